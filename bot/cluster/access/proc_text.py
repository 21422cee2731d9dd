"""What files of /proc and /sys print, as the node report's values: for containers without `ip`."""

import socket
import struct
from collections.abc import Iterator

from bot.agent.report import Link, Listener, Neighbour, Route

_COMPLETE, _PERMANENT = 0x2, 0x4
_ROUTE_REJECT = 0x200
_IFF_UP, _IFF_NOARP = 0x1, 0x80
_LISTEN, _UNCONNECTED = "0A", "07"


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
    is_refused = bool(_hex(row[3]) & _ROUTE_REJECT)
    return Route(
        dst="default" if mask == 0 else f"{destination}/{mask}",
        type="unreachable" if is_refused else "unicast",
        via="" if via == "0.0.0.0" else via,
        dev="" if is_refused else row[0],
        scope="global" if via != "0.0.0.0" else "link",
        metric=int(row[6]) if row[6].isdecimal() else 0,
        mtu=int(row[8]) if row[8].isdecimal() and row[8] != "0" else None,
    )


def links(text: str) -> tuple[Link, ...]:
    """Of lines "name ifindex iflink mtu flags carrier address" that the script prints from /sys/class/net."""
    found: list[Link] = []
    for line in text.splitlines():
        name, *rest = line.split()
        numbers = [_hex(value) if value.startswith("0x") else int(value) for value in rest[:5] if _is_number(value)]
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
                f"{group}.{name}": int(value) for name, value in zip(names, words, strict=True) if _is_number(value)
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
            ndots = next((int(value) for value in given if value.isdecimal()), ndots)
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
    try:
        return int(text, 16)
    except ValueError:
        return 0


def _is_number(text: str) -> bool:
    if text.startswith("0x"):
        return all(character in "0123456789abcdef" for character in text[2:])
    digits = text.removeprefix("-")
    return digits.isascii() and digits.isdecimal() and len(digits) < 20
