"""Values of facts as words of a sentence."""

from collections.abc import Sequence

from bot.domain.facts import Value
from bot.probes.telling import NAMED


def listed(values: Sequence[Value], limit: int = NAMED) -> str:
    """The first values, and how many more there are: "node-1, node-2 and 7 more"."""
    shown = ", ".join(str(each) for each in values[:limit])
    return f"{shown} and {len(values) - limit} more" if len(values) > limit else shown


def strings(value: Value | None) -> tuple[str, ...]:
    """The strings of a list-valued fact; empty when it was not observed."""
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, tuple) else ()
