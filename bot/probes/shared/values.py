"""Values of facts as words of a sentence."""

from collections.abc import Sequence

from bot.domain.facts import Value
from bot.domain.listing import and_more
from bot.probes.shared.sentences import NAMED


def listed(values: Sequence[Value], limit: int = NAMED) -> str:
    """The first values, and how many more there are: "node-1, node-2 and 7 more"."""
    return and_more(values, limit)


def strings(value: Value | None) -> tuple[str, ...]:
    """The strings of a list-valued fact; empty when it was not observed."""
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, tuple) else ()
