"""Whether a rule's conditions hold for a packet as one hook sees it: yes, no, or unknown.

A packet is a mapping of the report's field names to the values that the field may have: one when it is known, several
when it is one of them, None (or no entry) when nothing is known.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from ipaddress import ip_address, ip_network

from bot.agent.report import FirewallMatch

Packet = Mapping[str, frozenset[str] | None]

_PROTOCOLS = {"1": "icmp", "6": "tcp", "17": "udp", "58": "icmpv6", "132": "sctp", "4": "ipencap", "ipip": "ipencap"}
_ETHERTYPES = {"0x0800": "ip", "ipv4": "ip", "0x0806": "arp", "2054": "arp", "2048": "ip", "ipv6": "ip6"}


def all_of(outcomes: Iterable[bool | None]) -> bool | None:
    """False when one is, True when all are, else unknown."""
    found = list(outcomes)
    if False in found:
        return False
    return None if None in found else True


def any_of(outcomes: Iterable[bool | None]) -> bool | None:
    """True when one is, False when none can be, else unknown."""
    found = list(outcomes)
    if True in found:
        return True
    return None if None in found else False


def holds(match: FirewallMatch, packet: Packet) -> bool | None:
    """Whether the condition holds. One of chance, or of a kind that is not known, may hold or not.

    For a packet with the field "chance" each throw of dice turns out as the rule asks; one with the field "crowd" is
    beyond each limit of that many or fewer.
    """
    if match.fields == ("limit",):
        is_beyond = _is_beyond(match, packet)
        return is_beyond if is_beyond is None or not match.is_inverted else not is_beyond
    if match.fields == ("rpf",):
        return False  # a reverse path check is judged by its own probes, on routes and counters
    if match.fields == ("chance",) and packet.get("chance"):
        return True
    if match.fields in {("unknown",), ("chance",)}:
        return None
    if len(match.fields) == 1:
        outcome = _one(match.fields[0], match.values, packet)
    else:
        rows = (value.split(" . ") for value in match.values)
        outcome = any_of(
            all_of(_one(field, (part,), packet) for field, part in zip(match.fields, row, strict=False)) for row in rows
        )
    return outcome if outcome is None or not match.is_inverted else not outcome


def _is_beyond(match: FirewallMatch, packet: Packet) -> bool | None:
    crowd = packet.get("crowd")
    if not crowd or not match.values or not match.values[0].isdecimal():
        return None
    return True if int(match.values[0]) <= max(map(int, crowd)) else None


def _one(field: str, values: tuple[str, ...], packet: Packet) -> bool | None:
    if field == "nfproto":
        field, values = "ethertype", tuple(_ETHERTYPES.get(value, value) for value in values)
    possible = packet.get(field)
    if possible is None:
        return None
    if not possible:
        return False  # a packet of another protocol has no such field
    takes = _TAKES.get(field, _same)
    outcomes = {any(takes(value, one) for value in values) for one in possible}
    return outcomes.pop() if len(outcomes) == 1 else None


def _same(value: str, one: str) -> bool:
    return value == one


def _address(value: str, one: str) -> bool:
    low, high = _ends(value)
    number = _number(one)
    return number is not None and low is not None and high is not None and low <= number <= high


@lru_cache(maxsize=65536)
def _ends(value: str) -> tuple[int | None, int | None]:
    """The first and last address of a CIDR, a range or an address."""
    first, dash, last = value.partition("-")
    if dash:
        return _number(first), _number(last)
    try:
        network = ip_network(value, strict=False)
    except ValueError:
        return None, None
    return int(network.network_address), int(network.broadcast_address)


@lru_cache(maxsize=65536)
def _number(ip: str) -> int | None:
    try:
        return int(ip_address(ip))
    except ValueError:
        return None


def _range(value: str, one: str) -> bool:
    low, dash, high = value.partition("-")
    try:
        return int(low or 0) <= int(one) <= int(high or (1 << 32 if dash else low))
    except ValueError:
        return False


def _device(value: str, one: str) -> bool:
    return one.startswith(value[:-1]) and one != "" if value.endswith("*") else value == one


def _protocol(value: str, one: str) -> bool:
    return _PROTOCOLS.get(value, value) == one


def _ethertype(value: str, one: str) -> bool:
    return _ETHERTYPES.get(value.lower(), value.lower()) == one


def _flags(value: str, one: str) -> bool:
    """`value` is "set/inspected" or "any …"; `one` the flags of the packet, with commas."""
    flags = set(one.split(","))
    if value.startswith("any "):
        return bool(flags & set(value[4:].split(",")))
    wanted, _, mask = value.partition("/")
    return flags & set(mask.split(",")) == set(filter(None, wanted.split(",")))


def _account(value: str, one: str) -> bool:
    return _range({"root": "0"}.get(value, value), one)


_TAKES: Mapping[str, Callable[[str, str], bool]] = {
    "saddr": _address,
    "daddr": _address,
    "sport": _range,
    "dport": _range,
    "length": _range,
    "skuid": _account,
    "skgid": _account,
    "iif": _device,
    "oif": _device,
    "physin": _device,
    "physout": _device,
    "ibr": _device,
    "obr": _device,
    "proto": _protocol,
    "ethertype": _ethertype,
    "tcpflags": _flags,
}
