"""What objects say of themselves in their status."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot.cluster.writer import Object
from bot.domain.plan import value_at


@dataclass(frozen=True, slots=True)
class Holds:
    """Whether it holds, and why not as the end of a sentence."""

    is_so: bool
    why: str = ""


def condition_of(obj: Object, kind: str) -> Mapping[str, Any]:
    """One condition of the object's status; empty where it has none of that kind."""
    found: Sequence[Mapping[str, Any]] = value_at(obj, ("status", "conditions")) or ()
    for one in found:
        if one.get("type") == kind:
            return one
    return {}


def is_true(obj: Object, condition: str) -> bool:
    """Whether a condition of the object's status is True."""
    return condition_of(obj, condition).get("status") == "True"


def is_ready(pod: Object) -> bool:
    """Whether a pod is Ready and stays."""
    return is_true(pod, "Ready") and value_at(pod, ("metadata", "deletionTimestamp")) is None
