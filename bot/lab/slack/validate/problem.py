"""One thing that Slack would refuse."""

from collections.abc import Sequence
from dataclasses import dataclass

from bot.lab.slack.errors import SlackError


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """`error` is Slack's code, `pointer` a JSON pointer into the payload. Warnings do not refuse the message."""

    error: str
    sentence: str
    pointer: str = ""
    is_warning: bool = False

    def __str__(self) -> str:
        return f"{self.sentence} [json-pointer:{self.pointer}]"


def refuse(problems: Sequence[Problem]) -> None:
    """Raise what Slack answers to the first kind of problem, naming all of that kind."""
    serious = [problem for problem in problems if not problem.is_warning]
    if not serious:
        return
    code = serious[0].error
    messages = [str(problem) for problem in serious if problem.error == code]
    if code in {"invalid_blocks", "invalid_arguments"}:
        raise SlackError(code, *(f"[ERROR] {one}" for one in messages), errors=messages)
    raise SlackError(code)
