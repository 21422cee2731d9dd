"""What files of /proc and /sys print, as the node report's values: for containers without `ip`."""

import re
import socket
import struct
from collections.abc import Iterator

from bot.agent.report import Link, Listener, Neighbour, Route

_COMPLETE, _PERMANENT = 0x2, 0x4
_ROUTE_REJECT = 0x200
"""Of unreachable and prohibit; a blackhole has neither flag nor device (Linux, net/ipv4/fib_trie.c, fib_flag_trans)."""
_NO_DEVICE = "*"
_IFF_UP, _IFF_NOARP = 0x1, 0x80
_LISTEN, _UNCONNECTED = "0A", "07"
_HEX = re.compile(r"(0x)?[0-9A-Fa-f]{1,15}")
_DECIMAL = re.compile(r"-?[0-9]{1,18}")
"""Numbers that fit into 63 bits: the kernel has no larger ones here, and no store takes them."""


def neighbours(text: str) -> tuple[Neighbour, ...] | None:
    """Of /proc/net/arp, IPv4 only. It does not tell FAILED from INCOMPLETE, nor REACHABLE from STALE."""
    lines = text.splitlines()
    if not lines or not lines[0].startswith("IP address"):
        return None
    rows = [line.split() for line in lines[1:]]
    return tuple(
        Neighbour(ip=row[0], dev=row[5], mac="" if not _hex(row[2]) else row[3], state=_arp_state(_hex(row[2])))
        for row in rows
        if len(row) >= 6
    )


def _arp_state(flags: int) -> str:
    if flags & _PERMANENT:
        return "PERMANENT"
    return "STALE" if flags & _COMPLETE else "INCOMPLETE"


def routes(text: str) -> tuple[Route, ...] | None:
    """Of /proc/net/route: the IPv4 main table."""
    lines = text.splitlines()
    if not lines or not lines[0].startswith("Iface"):
        return None
    return tuple(_route(row) for row in (line.split() for line in lines[1:]) if len(row) >= 9)


def _route(row: list[str]) -> Route:
    destination, mask = _ipv4(row[1]), _hex(row[7]).bit_count()
    via = _ipv4(row[2])
    kind = "unreachable" if _hex(row[3]) & _ROUTE_REJECT else "blackhole" if row[0] == _NO_DEVICE else "unicast"
    return Route(
        dst="default" if mask == 0 else f"{destination}/{mask}",
        type=kind,
        via="" if via == "0.0.0.0" else via,
        dev="" if row[0] == _NO_DEVICE else row[0],
        scope="global" if via != "0.0.0.0" else "link",
        metric=_number(row[6]),
        mtu=_number(row[8]) or None,
    )


def links(text: str) -> tuple[Link, ...]:
    """Of lines "name ifindex iflink mtu flags carrier address" that the script prints from /sys/class/net."""
    found: list[Link] = []
    for line in text.splitlines():
        name, *rest = line.split() or [""]
        numbers = [_number(value) for value in rest[:5] if _is_number(value)]
        if len(numbers) < 4:
            continue
        flags = numbers[3]
        found.append(
            Link(
                ifindex=numbers[0],
                name=name,
                mtu=numbers[2],
                mac=rest[-1] if ":" in rest[-1] else "",
                peer_ifindex=numbers[1] if numbers[1] != numbers[0] else 0,
                is_up=bool(flags & _IFF_UP),
                has_arp=not flags & _IFF_NOARP,
                has_carrier=numbers[4:5] == [1],
            )
        )
    return tuple(found)


def device_names(text: str) -> set[str]:
    """Of /proc/net/dev."""
    return {name.strip() for name, colon, _ in (line.partition(":") for line in text.splitlines()) if colon}


def counters(text: str) -> dict[str, int]:
    """Of /proc/net/snmp and /proc/net/netstat, with the names that nstat uses: "Ip.InReceives"."""
    found: dict[str, int] = {}
    names: list[str] = []
    for line in text.splitlines():
        group, _, rest = line.partition(":")
        words = rest.split()
        if words and not _is_number(words[0]):
            names = words
        elif len(words) == len(names):
            found |= {
                f"{group}.{name}": _number(value) for name, value in zip(names, words, strict=True) if _is_number(value)
            }
    return found


def listeners(tcp: str, udp: str) -> tuple[Listener, ...]:
    """Of /proc/net/tcp and tcp6, and of udp and udp6."""
    return (*_listeners(tcp, "tcp"), *_listeners(udp, "udp"))


def _listeners(text: str, protocol: str) -> Iterator[Listener]:
    wanted = _LISTEN if protocol == "tcp" else _UNCONNECTED
    for line in text.splitlines():
        row = line.split()
        if len(row) < 4 or row[3] != wanted or ":" not in row[1]:
            continue
        address, _, port = row[1].partition(":")
        yield Listener(protocol="tcp" if protocol == "tcp" else "udp", ip=_address(address), port=_hex(port))


def sysctls(text: str) -> dict[str, str]:
    """Of lines "/proc/sys/net/ipv4/ip_forward:1": dotted names without "net."; a device's own dots become slashes."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        path, colon, value = line.partition(":")
        if colon and value and path.startswith("/proc/sys/net/"):
            name = path.removeprefix("/proc/sys/net/").translate(str.maketrans("/.", "./"))
            found[name] = " ".join(value.split())[:200]
    return found


def resolver(text: str) -> tuple[tuple[str, ...], tuple[str, ...], int]:
    """Of /etc/resolv.conf: name servers, search domains, ndots."""
    servers: list[str] = []
    search: tuple[str, ...] = ()
    ndots = 1
    for line in text.splitlines():
        key, *values = line.split() or [""]
        if key == "nameserver" and values:
            servers.append(values[0])
        elif key == "search":
            search = tuple(values)
        elif key == "options":
            given = (value.removeprefix("ndots:") for value in values if value.startswith("ndots:"))
            ndots = next((_number(value) for value in given if _is_number(value)), ndots)
    return tuple(servers), search, ndots


def _ipv4(little_endian: str) -> str:
    return socket.inet_ntoa(struct.pack("<L", _hex(little_endian) & 0xFFFFFFFF))


def _address(text: str) -> str:
    words = [text[at : at + 8] for at in range(0, len(text), 8)]
    packed = b"".join(struct.pack("<L", _hex(word) & 0xFFFFFFFF) for word in words)
    if len(packed) == 4:
        return socket.inet_ntoa(packed)
    return socket.inet_ntop(socket.AF_INET6, packed) if len(packed) == 16 else ""


def _hex(text: str) -> int:
    """A hexadecimal number of at most 64 bits; 0 for what is none."""
    return int(text, 16) if _HEX.fullmatch(text) else 0


def _number(text: str) -> int:
    """A number as the kernel prints them; 0 for what is none."""
    if text.startswith("0x"):
        return _hex(text)
    return int(text) if _DECIMAL.fullmatch(text) else 0


def _is_number(text: str) -> bool:
    return bool(_HEX.fullmatch(text) if text.startswith("0x") else _DECIMAL.fullmatch(text))
