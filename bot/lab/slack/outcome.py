"""What a person sees of an interaction."""

from dataclasses import dataclass, field

from bot.lab.types import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """`acked` within 3 s or not; `error` is what Slack shows the person, '' when all is well.

    `reply` is what the app said with its acknowledgement; `errors` what is wrong with the inputs of a
    modal, by block_id.
    """

    acked: bool
    took_s: float
    error: str = ""
    reply: Json | None = None
    errors: dict[str, str] = field(default_factory=dict[str, str])
