"""Reading JSON objects whose fields may be missing or null."""

from collections.abc import Mapping
from typing import Any

_EMPTY: Mapping[str, Any] = {}


def sub(obj: Mapping[str, Any] | None, key: str) -> dict[str, Any]:
    """The object in a field; a new empty one when it is missing or null."""
    return (obj or _EMPTY).get(key) or {}


def items_of(obj: Mapping[str, Any] | None, key: str) -> list[Any]:
    """The list in a field; a new empty one when it is missing or null."""
    return (obj or _EMPTY).get(key) or []


def condition_of(obj: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The condition of this type in an object's status; empty when it has none."""
    for condition in items_of(sub(obj, "status"), "conditions"):
        if condition["type"] == kind:
            return condition
    return {}
