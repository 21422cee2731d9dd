"""JSON from strangers."""

from __future__ import annotations

import json
from typing import Any, cast

from bot.lab.types import Json

_DEEPEST = 60
"""Nothing that Slack accepts is nested so deep; walking through it would exhaust the stack."""


def decode(text: str | bytes) -> Any:
    """The value. Raises ValueError for what is no JSON, is nested absurdly deep, or holds NaN."""
    try:
        value: Any = json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if _is_deeper(value, _DEEPEST):
        raise ValueError("nested too deep")
    return value


def decode_object(text: str | bytes) -> Json:
    """The same, for what must be an object."""
    value: Any = decode(text)
    if not isinstance(value, dict):
        raise ValueError("not an object")  # noqa: TRY004  # the one error that callers expect
    return cast("Json", value)


def _refuse(name: str) -> None:
    raise ValueError(name)


def _is_deeper(value: Any, most: int) -> bool:
    """Whether the value is nested deeper; without recursion."""
    level: list[Any] = [value]
    for _ in range(most):
        level = [inner for one in level for inner in _inner(one)]
        if not level:
            return False
    return True


def _inner(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(cast("Json", value).values())
    return cast("list[Any]", value) if isinstance(value, list) else []
