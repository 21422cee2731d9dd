"""What the server refuses with 422: names, required fields, ranges, and what may not change."""

from collections.abc import Mapping
from typing import Any

from bot.lab.apiserver.errors import Cause
from bot.lab.apiserver.kinds import Resource


def faults(resource: Resource, obj: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[Cause]:
    """Everything that is wrong with an object, in the order in which the real server names it."""
    return []
