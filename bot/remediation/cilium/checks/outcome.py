"""What a check gives."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bot.remediation.cilium.seen import Seen

Severity = Literal["block", "accept", "warn"]
"""block: it must not be done so. accept: somebody must know it and say that it is all right. warn: to be known."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that speaks against it. `severity`: other than that of its check."""

    sentence: str
    severity: Severity | None = None


@dataclass(frozen=True, slots=True)
class Unread:
    """Something that could not be read, so that nobody knows whether it is well."""

    sentence: str


Outcome = Problem | Unread
Look = Callable[[Mapping[str, Any], Seen], Iterator[Outcome]]
"""From the values by their dotted paths, and what was read."""
