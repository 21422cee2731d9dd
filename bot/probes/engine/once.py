"""Work that is done once for each evidence."""

from collections.abc import Callable
from functools import wraps
from typing import TypeVar, cast

from bot.probes.engine.evidence import Evidence

Made = TypeVar("Made")


def once_per_evidence(make: Callable[[Evidence], Made]) -> Callable[[Evidence], Made]:
    """What the function makes is kept with the evidence, and lives as long as it."""
    name = f"_{make.__module__}.{make.__qualname__}"

    @wraps(make)
    def kept(evidence: Evidence) -> Made:
        values = vars(evidence)
        if name not in values:
            values[name] = make(evidence)
        return cast("Made", values[name])

    return kept
