"""Reading JSON that an app sent: what is not of the expected shape counts as absent."""

from __future__ import annotations

import math
from typing import Any, cast

from bot.lab.types import Json


def inner(of: Json, key: str) -> Json:
    """The object under a key; empty when there is none."""
    value = of.get(key)
    return cast("Json", value) if isinstance(value, dict) else {}


def rows(of: Json, key: str) -> list[Any]:
    """The list under a key; empty when there is none."""
    value = of.get(key)
    return cast("list[Any]", value) if isinstance(value, list) else []


def items(of: Json, key: str) -> list[Json]:
    """The objects in the list under a key."""
    return [cast("Json", one) for one in rows(of, key) if isinstance(one, dict)]


def string(of: Json, key: str) -> str:
    """The text under a key; empty when there is none."""
    value = of.get(key)
    return str(value) if isinstance(value, str | int | float) else ""


def number(of: Json, key: str) -> float:
    """The number under a key; 0 when there is none, or none that one can count with."""
    value = of.get(key)
    try:
        found = float(value) if isinstance(value, str | int | float) else 0.0
    except (ValueError, OverflowError):
        return 0.0
    return found if math.isfinite(found) else 0.0
