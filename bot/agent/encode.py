"""A report as JSON: fields at their default are left out, texts are bounded, everything is ASCII.

`json` walks the containers in C and asks here only for each object; 200 pods take about 60 ms.
"""

import dataclasses
import json
from functools import cache
from typing import Any

from bot.agent.report import NodeReport

TEXT_LIMIT = 8192


def encode(report: NodeReport, *, is_pretty: bool = False) -> str:
    """One JSON document without line breaks, or indented."""
    if is_pretty:
        return json.dumps(report, default=_plain, indent=2)
    return json.dumps(report, default=_plain, separators=(",", ":"))


@cache
def _defaults(kind: type) -> tuple[tuple[str, Any], ...]:
    found: list[tuple[str, Any]] = []
    for field in dataclasses.fields(kind):
        default: Any = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        found.append((field.name, default))
    return tuple(found)


def _plain(value: object) -> dict[str, Any]:
    kind = type(value)
    if not dataclasses.is_dataclass(kind):
        raise TypeError(f"not part of a report: {kind.__name__}")
    found: dict[str, Any] = {}
    for name, default in _defaults(kind):
        item = getattr(value, name)
        if name != "schema" and (item is default or item == default):
            continue
        found[name] = item[:TEXT_LIMIT] if isinstance(item, str) else item
    return found
