"""The conditions of a rule in nft's JSON as the report's `FirewallMatch`.

A condition that has no field of the report is "unknown" (it may hold or not); one of chance (numgen) is
"chance". What nft takes for granted in its listing stands in the match: `tcp dport 80` asks for TCP as well.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

from bot.agent.report import FirewallMatch

VALUES_LIMIT = 2000
"""Elements of a set that are written out; of larger sets nothing is known."""

Elements = Callable[[str], Sequence[object] | None]
"""The elements of a named set or map; None when it is not known."""

UNKNOWN = FirewallMatch(fields=("unknown",))
CHANCE = FirewallMatch(fields=("chance",))
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}

_META = {
    "iifname": "iif",
    "iif": "iif",
    "oifname": "oif",
    "oif": "oif",
    "l4proto": "proto",
    "nfproto": "nfproto",
    "protocol": "ethertype",
    "mark": "mark",
    "length": "length",
    "ibrname": "ibr",
    "obrname": "obr",
    "random": "chance",
    "skuid": "skuid",
    "skgid": "skgid",
}
_CT = {"state": "ctstate", "direction": "ctdirection", "status": "ctstatus"}
_PAYLOAD = {
    "saddr": "saddr",
    "daddr": "daddr",
    "sport": "sport",
    "dport": "dport",
    "protocol": "proto",
    "nexthdr": "proto",
}
_SPECIAL = {
    ("ip", "length"): "length",
    ("icmp", "type"): "icmptype",
    ("icmpv6", "type"): "icmptype",
    ("tcp", "flags"): "tcpflags",
    ("arp", "operation"): "arpop",
    ("arp", "saddr ip"): "saddr",
    ("arp", "daddr ip"): "daddr",
    ("ether", "type"): "ethertype",
}
_IMPLIED = {
    "ip": ("ethertype", "ip"),
    "ip6": ("ethertype", "ip6"),
    "arp": ("ethertype", "arp"),
    "tcp": ("proto", "tcp"),
    "udp": ("proto", "udp"),
    "icmp": ("proto", "icmp"),
    "icmpv6": ("proto", "icmpv6"),
    "sctp": ("proto", "sctp"),
    "udplite": ("proto", "udplite"),
    "dccp": ("proto", "dccp"),
    "esp": ("proto", "esp"),
    "ah": ("proto", "ah"),
}


def matches_of(expression: Mapping[str, Any], elements: Elements) -> Iterator[FirewallMatch]:
    """The conditions in one expression of a rule; none for a statement without any."""
    if "match" in expression:
        yield from _match(_dict(expression["match"]), elements)
    elif "xt" in expression:
        yield from _xt(_dict(expression["xt"]))
    elif "limit" in expression or "ct count" in expression:
        yield _limit(_dict(expression.get("limit")), _dict(expression.get("ct count")))
    elif expression.keys() & {"quota", "connlimit", "fib", "socket", "osf"}:
        yield UNKNOWN


def _limit(rate: Mapping[str, Any], count: Mapping[str, Any]) -> FirewallMatch:
    """`limit rate over 2/second`, `ct count over 3`: what is beyond that; without "over", what is not."""
    word = str(count.get("val", "")) if count else per_second(str(rate.get("rate", "")), str(rate.get("per", "")))
    is_packets = bool(count) or not rate.get("rate_unit")
    return FirewallMatch(
        fields=("limit",), values=(word,) if word and is_packets else (), is_inverted=not (rate or count).get("inv")
    )


def per_second(number: str, unit: str) -> str:
    """How many in a second, rounded up; "" where that cannot be told."""
    seconds = _SECONDS.get(unit[:1])
    return str(-(-int(number) // seconds)) if seconds and number.isdecimal() else ""


def keyed(key: object, values: Sequence[object], *, is_inverted: bool = False) -> Iterator[FirewallMatch]:
    """The condition that `key` (one operand, or several of a concatenation) has one of these values."""
    parts = _list(_dict(key).get("concat")) or [key]
    fields = tuple(field_of(part) for part in parts)
    for part in parts:
        yield from _implied(part)
    if "chance" in fields:
        yield CHANCE
        return
    texts = [value_text(value, len(fields)) for value in values]
    if "unknown" in fields or None in texts or len(texts) > VALUES_LIMIT:
        yield UNKNOWN
        return
    yield FirewallMatch(fields=fields, values=tuple(text for text in texts if text), is_inverted=is_inverted)


def field_of(operand: object) -> str:
    """The report's name of what an operand reads; "unknown" for all that it has no name for."""
    for kind, inner in _dict(operand).items():
        if kind in _READERS:
            return _READERS[kind](_dict(inner))
    return "unknown"


def _fib_field(fib: Mapping[str, Any]) -> str:
    flags = _list(fib.get("flags"))
    if fib.get("result") == "type":
        return f"{flags[0]}type" if flags in (["daddr"], ["saddr"]) else "unknown"
    return "rpf" if "saddr" in flags and {"iif", "oif"} & {*flags, str(fib.get("result"))[:3]} else "unknown"


def _payload_field(payload: Mapping[str, Any]) -> str:
    protocol, name = str(payload.get("protocol")), str(payload.get("field"))
    if (protocol, name) in _SPECIAL:
        return _SPECIAL[protocol, name]
    return _PAYLOAD.get(name, "unknown") if protocol in _IMPLIED or protocol == "th" else "unknown"


_READERS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "numgen": lambda _: "chance",
    "meta": lambda meta: _META.get(str(meta.get("key")), "unknown"),
    "ct": lambda ct: "unknown" if ct.get("dir") else _CT.get(str(ct.get("key")), "unknown"),
    "fib": _fib_field,
    "payload": _payload_field,
}


def value_text(value: object, width: int = 1) -> str | None:
    """A right-hand value in the report's words; None when it has none."""
    if isinstance(value, str | int) and not isinstance(value, bool):
        return str(value)
    for kind, inner in _dict(value).items():
        if kind == "elem":
            return value_text(_dict(inner).get("val"), width)
        if kind == "prefix":
            return f"{_dict(inner).get('addr')}/{_dict(inner).get('len')}"
        if kind in {"range", "concat"}:
            return _joined([value_text(part) for part in _list(inner)], kind, width)
    return None


def _joined(parts: Sequence[str | None], kind: str, width: int) -> str | None:
    known = [part for part in parts if part is not None]
    if len(known) != len(parts) or len(parts) != (2 if kind == "range" else width):
        return None
    return ("-" if kind == "range" else " . ").join(known)


def mark_set(statement: Mapping[str, Any]) -> tuple[int, int] | None:
    """(mask to keep, bits to flip) of `meta mark set …`; None when it sets no mark, or in a way that is not known."""
    mangle = _dict(statement.get("mangle"))
    if field_of(mangle.get("key")) != "mark":
        return None
    return _mark_value(mangle.get("value"))


def sets_mark(statement: Mapping[str, Any]) -> bool:
    """Whether it sets the packet mark in any way."""
    return field_of(_dict(statement.get("mangle")).get("key")) == "mark"


def _mark_value(value: object) -> tuple[int, int] | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return 0, value
    for operator, operands in _dict(value).items():
        sides = _list(operands)
        inner = _mark_value(sides[0]) if len(sides) == 2 and field_of(sides[0]) != "mark" else (0xFFFFFFFF, 0)
        number = sides[1] if len(sides) == 2 else None
        if inner is None or not isinstance(number, int):
            return None
        keep, flip = inner
        if operator == "&":
            return keep & number, flip & number
        if operator == "|":
            return keep & ~number, (flip & ~number) | number
        if operator == "^":
            return keep, flip ^ number
    return None


def _match(match: Mapping[str, Any], elements: Elements) -> Iterator[FirewallMatch]:
    operator, left, right = match.get("op"), match.get("left"), match.get("right")
    if "&" in _dict(left):
        yield from _masked(_list(_dict(left)["&"]), operator, right)
        return
    if isinstance(right, str) and right.startswith("@"):
        found = elements(right[1:])
        if found is None:
            yield UNKNOWN
            return
        values = list(found)
    else:
        values = _list(_dict(right).get("set")) if "set" in _dict(right) else _list(right) or [right]
    if operator in {"==", "in", "!="}:
        if field_of(left) == "tcpflags":
            words = ",".join(text for value in values if (text := value_text(value)))
            values = [f"any {words}" if operator == "in" else f"{words}/fin,syn,rst,psh,ack,urg"]
        yield from keyed(left, values, is_inverted=operator == "!=")
    elif operator in {"<", ">", "<=", ">="} and isinstance(right, int):
        yield from keyed(left, [_interval(str(operator), right)])
    else:
        yield UNKNOWN


def _interval(operator: str, number: int) -> str:
    return {"<": f"0-{number - 1}", "<=": f"0-{number}", ">": f"{number + 1}-", ">=": f"{number}-"}[operator]


def _masked(sides: Sequence[object], operator: object, right: object) -> Iterator[FirewallMatch]:
    """`mark & 0x4 == 0x4`, `tcp flags & (syn | ack) == syn`."""
    field = field_of(sides[0]) if len(sides) == 2 else "unknown"
    if field not in {"mark", "tcpflags"} or operator not in {"==", "!="}:
        yield UNKNOWN
        return
    mask = ",".join(str(one) for one in _list(sides[1]) or [sides[1]])
    value = ",".join(str(one) for one in _list(right) or [right])
    yield from _implied(sides[0])
    yield FirewallMatch(fields=(field,), values=(f"{value}/{mask}",), is_inverted=operator == "!=")


def _implied(operand: object) -> Iterator[FirewallMatch]:
    payload = _dict(_dict(operand).get("payload"))
    if (implied := _IMPLIED.get(str(payload.get("protocol")))) is not None:
        yield FirewallMatch(fields=(implied[0],), values=(implied[1],))


def _xt(extension: Mapping[str, Any]) -> Iterator[FirewallMatch]:
    """An extension of iptables: nft prints its name only. A comment asks for nothing."""
    if extension.get("type") == "match" and extension.get("name") != "comment":
        yield CHANCE if extension.get("name") == "statistic" else UNKNOWN


def _dict(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []
