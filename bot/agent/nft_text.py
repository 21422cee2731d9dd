"""One expression of nft's JSON in nft's own words, as far as rules that drop use them; the rest stays JSON."""

import json
from collections.abc import Callable
from typing import Any, cast

LIMIT = 300
DEEPEST = 6

Render = Callable[[str], str]
"""The text of one of the expression's fields."""


def expression_text(value: object, depth: int = 0) -> str:
    """A statement or an operand, at most 300 characters."""
    if depth > DEEPEST:
        return "…"
    if isinstance(value, list):
        return _joined(cast("list[object]", value), ", ", depth)
    if isinstance(value, str):
        return value[:LIMIT]
    fields = cast("dict[str, object]", value) if isinstance(value, dict) else {}
    if len(fields) == 1:
        [(kind, inner)] = fields.items()
        return _expression(kind, inner, depth)[:LIMIT]
    return json.dumps(value)[:LIMIT]


def _expression(kind: str, inner: object, depth: int) -> str:
    if isinstance(inner, list) and kind in LISTS:
        around, between = LISTS[kind]
        return around.format(_joined(cast("list[object]", inner), between, depth))
    if isinstance(inner, dict) and kind in KNOWN:
        fields = cast("dict[str, Any]", inner)
        return KNOWN[kind](lambda name: expression_text(fields[name], depth + 1) if name in fields else "")
    return kind if inner is None else f"{kind} {json.dumps(inner)}"


def _match(part: Render) -> str:
    operator = part("op")
    return f"{part('left')} {'' if operator in {'==', 'in'} else operator + ' '}{part('right')}"


def _endpoint(part: Render) -> str:
    ip, port = part("addr"), part("port")
    shown = f"[{ip}]" if ":" in ip and port else ip
    return f"{shown}:{port}" if port else shown


def _over(part: Render) -> str:
    return "over " if part("inv") == "true" else ""


def _joined(parts: list[object], between: str, depth: int) -> str:
    return between.join(expression_text(part, depth + 1) for part in parts[:16])[:LIMIT]


LISTS: dict[str, tuple[str, str]] = {
    "set": ("{{ {} }}", ", "),
    "concat": ("{}", " . "),
    "range": ("{}", "-"),
    "&": ("{}", " & "),
    "|": ("({})", " | "),
}
"""What stands around the parts of a list, and between them."""

KNOWN: dict[str, Callable[[Render], str]] = {
    "match": _match,
    "payload": lambda part: f"{part('protocol')} {part('field')}".strip(),
    "meta": lambda part: f"meta {part('key')}",
    "ct": lambda part: f"ct {part('dir')} {part('key')}".replace("  ", " "),
    "prefix": lambda part: f"{part('addr')}/{part('len')}",
    "counter": lambda _: "counter",
    "reject": lambda part: f"reject with {part('type')} {part('expr')}".rstrip(),
    "mangle": lambda part: f"{part('key')} set {part('value')}",
    "dnat": lambda part: f"dnat to {_endpoint(part)}",
    "snat": lambda part: f"snat to {_endpoint(part)}",
    "redirect": lambda part: f"redirect to :{part('port')}",
    "tcp option": lambda part: f"tcp option {part('name')} {part('field')}",
    "numgen": lambda part: f"numgen {part('mode')} mod {part('mod')}",
    "fib": lambda part: f"fib {part('flags')} {part('result')}",
    "limit": lambda part: f"limit rate {_over(part)}{part('rate')}/{part('per')}",
    "ct count": lambda part: f"ct count {_over(part)}{part('val')}",
    "jump": lambda part: f"jump {part('target')}",
    "goto": lambda part: f"goto {part('target')}",
    "vmap": lambda part: f"{part('key')} vmap {part('data')}",
}
