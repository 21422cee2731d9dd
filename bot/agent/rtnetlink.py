"""Addresses, routes, rules, neighbours and forwarding entries of a namespace, and questions to its routing.

Source: include/uapi/linux/rtnetlink.h, neighbour.h, if_addr.h, fib_rules.h, net_namespace.h
"""

import errno
import ipaddress
import socket
import struct
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bot.agent.netlink import NetlinkSocket, attribute, attributes, text, u32
from bot.agent.report import Address, FdbEntry, Neighbour, Route, RouteAnswer, Rule

RTM_NEWADDR, RTM_GETADDR = 20, 22
RTM_NEWROUTE, RTM_GETROUTE = 24, 26
RTM_NEWNEIGH, RTM_GETNEIGH = 28, 30
RTM_NEWRULE, RTM_GETRULE = 32, 34
RTM_NEWNEIGHTBL, RTM_GETNEIGHTBL = 64, 66
RTM_GETNSID = 90

IFADDRMSG = struct.Struct("=BBBBI")
RTMSG = struct.Struct("=BBBBBBBBI")
NDMSG = struct.Struct("=BxxxiHBB")
NDTMSG = struct.Struct("=Bxxx")

IFA_ADDRESS, IFA_LOCAL, IFA_FLAGS = 1, 2, 8
RTA_DST, RTA_SRC, RTA_IIF, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_PREFSRC = 1, 2, 3, 4, 5, 6, 7
RTA_METRICS, RTA_MULTIPATH, RTA_TABLE, RTA_VIA = 8, 9, 15, 18
RTAX_MTU, RTAX_ADVMSS = 2, 8
RTNH_F_ONLINK = 4
RTM_F_CLONED = 0x200
RTM_F_FIB_MATCH = 0x2000
FRA_DST, FRA_SRC, FRA_IIFNAME, FRA_PRIORITY, FRA_FWMARK, FRA_TABLE, FRA_FWMASK, FRA_OIFNAME = 1, 2, 3, 6, 10, 15, 16, 17
FRA_SUPPRESS_PREFIXLEN, FRA_UID_RANGE, FRA_IP_PROTO, FRA_SPORT_RANGE, FRA_DPORT_RANGE = 14, 20, 22, 23, 24
FIB_RULE_INVERT = 2
NDA_DST, NDA_LLADDR, NDA_VLAN, NDA_PORT, NDA_VNI = 1, 2, 5, 6, 7
NDTA_NAME, NDTA_THRESH3, NDTA_CONFIG, NDTA_STATS = 1, 4, 5, 7
NDTC_ENTRIES_AT = 4
NDTS_TABLE_FULLS_AT = 80
"""The last of eleven counters of 8 bytes (struct ndt_stats)."""
NETNSA_NSID, NETNSA_FD = 1, 3
NSID_UNASSIGNED = 0xFFFFFFFF
LOCAL_TABLE = 255
BY_KERNEL = 2
ANY_UID = (0, 0xFFFFFFFF)
NO_SUPPRESSION = 0xFFFFFFFF

ROUTE_TYPES = {
    1: "unicast",
    2: "local",
    3: "broadcast",
    4: "anycast",
    5: "multicast",
    6: "blackhole",
    7: "unreachable",
    8: "prohibit",
    9: "throw",
    10: "nat",
}
ROUTE_SCOPES = {0: "global", 200: "site", 253: "link", 254: "host", 255: "nowhere"}
ROUTE_PROTOCOLS = {1: "redirect", 2: "kernel", 3: "boot", 4: "static", 9: "ra", 12: "bird", 16: "dhcp", 186: "bgp"}
RULE_ACTIONS = {1: "lookup", 2: "goto", 3: "nop", 6: "blackhole", 7: "unreachable", 8: "prohibit"}
NEIGHBOUR_STATES = {
    0x01: "INCOMPLETE",
    0x02: "REACHABLE",
    0x04: "STALE",
    0x08: "DELAY",
    0x10: "PROBE",
    0x20: "FAILED",
    0x40: "NOARP",
    0x80: "PERMANENT",
}
NUD_NOARP = 0x40
NUD_PERMANENT = 0x80
ADDRESS_FLAGS = {
    0x01: "secondary",
    0x02: "nodad",
    0x04: "optimistic",
    0x08: "dadfailed",
    0x20: "deprecated",
    0x40: "tentative",
    0x80: "permanent",
}

type_names = Mapping[int, str]
"""ifindex -> name of the device."""


def read_addresses(netlink: NetlinkSocket, names: type_names) -> Iterator[Address]:
    """Addresses of both families."""
    for kind, body in netlink.dump(RTM_GETADDR, IFADDRMSG.pack(socket.AF_UNSPEC, 0, 0, 0, 0)):
        if kind != RTM_NEWADDR:
            continue
        family, prefix_len, flags, _, ifindex = IFADDRMSG.unpack_from(body)
        found = attributes(body, IFADDRMSG.size)
        raw = found.get(IFA_LOCAL) or found.get(IFA_ADDRESS)
        if raw is None or family not in {socket.AF_INET, socket.AF_INET6}:
            continue
        flags = u32(found.get(IFA_FLAGS), flags)
        yield Address(
            dev=names.get(ifindex, str(ifindex)),
            ip=ip_text(raw),
            prefix_len=prefix_len,
            family=4 if family == socket.AF_INET else 6,
            flags=tuple(name for bit, name in ADDRESS_FLAGS.items() if flags & bit),
        )


def read_routes(netlink: NetlinkSocket, names: type_names) -> Iterator[Route]:
    """Routes of both families, of the local table only what the kernel did not write by itself; of IPv6 without
    link-local and multicast.

    A route over several next hops gives one value for each.
    """
    for kind, body in netlink.dump(RTM_GETROUTE, RTMSG.pack(socket.AF_UNSPEC, 0, 0, 0, 0, 0, 0, 0, 0)):
        if kind != RTM_NEWROUTE:
            continue
        family, dst_len, _, _, table, protocol, scope, route_type, flags = RTMSG.unpack_from(body)
        found = attributes(body, RTMSG.size)
        table = u32(found.get(RTA_TABLE), table)
        if table == LOCAL_TABLE and protocol == BY_KERNEL:
            continue
        if flags & RTM_F_CLONED or family not in {socket.AF_INET, socket.AF_INET6}:
            continue
        dst = _destination(family, dst_len, found.get(RTA_DST))
        if dst.startswith(("fe80:", "ff00:")):
            continue
        metrics = attributes(found.get(RTA_METRICS, b""))
        for via, ifindex, hop_flags in _hops(found, flags):
            yield Route(
                dst=dst,
                type=ROUTE_TYPES.get(route_type, str(route_type)),
                via=via,
                dev=names.get(ifindex, str(ifindex)) if ifindex else "",
                scope=ROUTE_SCOPES.get(scope, str(scope)),
                proto=ROUTE_PROTOCOLS.get(protocol, str(protocol)),
                metric=u32(found.get(RTA_PRIORITY)),
                table=table,
                src=ip_text(found.get(RTA_PREFSRC)),
                onlink=bool(hop_flags & RTNH_F_ONLINK),
                mtu=u32(metrics.get(RTAX_MTU)) or None,
                advmss=u32(metrics.get(RTAX_ADVMSS)) or None,
            )


def read_rules(netlink: NetlinkSocket) -> Iterator[Rule]:
    """The rules of both families, each in order of priority."""
    for kind, body in netlink.dump(RTM_GETRULE, RTMSG.pack(socket.AF_UNSPEC, 0, 0, 0, 0, 0, 0, 0, 0)):
        if kind != RTM_NEWRULE:
            continue
        family, dst_len, src_len, _, table, _, _, action, flags = RTMSG.unpack_from(body)
        if family not in {socket.AF_INET, socket.AF_INET6}:
            continue
        found = attributes(body, RTMSG.size)
        mark, mask = u32(found.get(FRA_FWMARK)), u32(found.get(FRA_FWMASK), 0xFFFFFFFF)
        yield Rule(
            family=4 if family == socket.AF_INET else 6,
            priority=u32(found.get(FRA_PRIORITY)),
            src=_prefix(found.get(FRA_SRC), src_len),
            dst=_prefix(found.get(FRA_DST), dst_len),
            iif=text(found.get(FRA_IIFNAME)),
            oif=text(found.get(FRA_OIFNAME)),
            fwmark="" if not mark else f"{mark:#x}" if mask == 0xFFFFFFFF else f"{mark:#x}/{mask:#x}",
            table=u32(found.get(FRA_TABLE), table),
            action=RULE_ACTIONS.get(action, str(action)),
            is_inverted=bool(flags & FIB_RULE_INVERT),
            protocol=found.get(FRA_IP_PROTO, b"\0")[0],
            sport=_ports(found.get(FRA_SPORT_RANGE)),
            dport=_ports(found.get(FRA_DPORT_RANGE)),
            is_of_users=_users(found) is not None,
            others=_other_selectors(found),
            suppress_prefix=_suppressed(found),
        )


def _other_selectors(found: Mapping[int, bytes]) -> str:
    """What a rule asks for beside addresses, devices and marks."""
    words: list[str] = []
    if (users := _users(found)) is not None:
        words.append(f"uidrange {users[0]}-{users[1]}")
    if protocol := found.get(FRA_IP_PROTO, b"\0")[0]:
        words.append(f"ipproto {protocol}")
    for at, word in ((FRA_SPORT_RANGE, "sport"), (FRA_DPORT_RANGE, "dport")):
        if ports := _ports(found.get(at)):
            first, last = ports
            words.append(f"{word} {first}" if first == last else f"{word} {first}-{last}")
    return " ".join(words)


def _users(found: Mapping[int, bytes]) -> tuple[int, int] | None:
    """The first and last user, None for all."""
    value = found.get(FRA_UID_RANGE, b"")
    users = struct.unpack_from("=II", value) if len(value) >= 8 else ANY_UID
    return None if users == ANY_UID else users


def _ports(value: bytes | None) -> tuple[int, ...]:
    return struct.unpack_from("=HH", value) if value and len(value) >= 4 else ()


def _suppressed(found: Mapping[int, bytes]) -> int | None:
    length = u32(found.get(FRA_SUPPRESS_PREFIXLEN), NO_SUPPRESSION)
    return None if length == NO_SUPPRESSION else length


def read_neighbours(netlink: NetlinkSocket, names: type_names) -> Iterator[Neighbour]:
    """ARP and neighbour discovery entries; not those of devices that need none (multicast, loopback)."""
    for kind, body in netlink.dump(RTM_GETNEIGH, NDMSG.pack(socket.AF_UNSPEC, 0, 0, 0, 0)):
        if kind != RTM_NEWNEIGH:
            continue
        family, ifindex, state, _, _ = NDMSG.unpack_from(body)
        found = attributes(body, NDMSG.size)
        if family not in {socket.AF_INET, socket.AF_INET6} or state & NUD_NOARP or NDA_DST not in found:
            continue
        yield Neighbour(
            ip=ip_text(found[NDA_DST]),
            dev=names.get(ifindex, str(ifindex)),
            mac=found.get(NDA_LLADDR, b"").hex(":"),
            state=NEIGHBOUR_STATES.get(state, "NONE"),
        )


def read_fdb(netlink: NetlinkSocket, names: type_names) -> Iterator[FdbEntry]:
    """Forwarding entries of bridges and VXLAN devices."""
    for kind, body in netlink.dump(RTM_GETNEIGH, NDMSG.pack(socket.AF_BRIDGE, 0, 0, 0, 0)):
        if kind != RTM_NEWNEIGH:
            continue
        _, ifindex, state, _, _ = NDMSG.unpack_from(body)
        found = attributes(body, NDMSG.size)
        yield FdbEntry(
            dev=names.get(ifindex, str(ifindex)),
            mac=found.get(NDA_LLADDR, b"").hex(":"),
            dst=ip_text(found.get(NDA_DST)),
            state="PERMANENT" if state & NUD_PERMANENT else NEIGHBOUR_STATES.get(state, "NONE"),
            port=int.from_bytes(found.get(NDA_PORT, b""), "big"),
            vni=u32(found[NDA_VNI]) if NDA_VNI in found else None,
            vlan=int.from_bytes(found.get(NDA_VLAN, b""), sys.byteorder),
        )


def ask_route(
    netlink: NetlinkSocket, names: type_names, dst: str, *, src: str = "", iif: tuple[int, str] | None = None
) -> RouteAnswer:
    """What `ip route get DST [from SRC] [iif DEV]` answers, refusals included."""
    question = dst + (f" from {src}" if src else "") + (f" iif {iif[1]}" if iif else "")
    try:
        body = RTMSG.pack(socket.AF_INET, 32, 32 if src else 0, 0, 0, 0, 0, 0, 0)
        body += attribute(RTA_DST, socket.inet_aton(dst))
        if src:
            body += attribute(RTA_SRC, socket.inet_aton(src))
        if iif:
            body += attribute(RTA_IIF, struct.pack("=I", iif[0]))
        _, answer = netlink.ask(RTM_GETROUTE, body)
    except OSError as error:
        return RouteAnswer(question=question, errno=errno.errorcode.get(error.errno or 0, str(error.errno)))
    route_type = RTMSG.unpack_from(answer)[7]
    found = attributes(answer, RTMSG.size)
    ifindex = u32(found.get(RTA_OIF))
    return RouteAnswer(
        question=question,
        type=ROUTE_TYPES.get(route_type, str(route_type)),
        via=ip_text(found.get(RTA_GATEWAY)),
        dev=names.get(ifindex, str(ifindex)) if ifindex else "",
        src=ip_text(found.get(RTA_PREFSRC)),
    )


def ask_mtu(netlink: NetlinkSocket, dst: str) -> tuple[int, int | None]:
    """The device (ifindex, 0: no way) to an address, and the MTU that stands on the route there.

    The route as it is written, not a path MTU that was learnt on it.
    """
    body = RTMSG.pack(socket.AF_INET, 32, 0, 0, 0, 0, 0, 0, RTM_F_FIB_MATCH)
    try:
        _, answer = netlink.ask(RTM_GETROUTE, body + attribute(RTA_DST, socket.inet_aton(dst)))
    except OSError:
        return 0, None
    found = attributes(answer, RTMSG.size)
    mtu = attributes(found.get(RTA_METRICS, b"")).get(RTAX_MTU)
    ifindex = next((ifindex for _, ifindex, _ in _hops(found, 0)), 0)
    return ifindex, u32(mtu) or None


def ask_nsid(netlink: NetlinkSocket, netns_fd: int) -> int | None:
    """The number that a namespace has here, given a descriptor of it; None when it has none."""
    try:
        _, answer = netlink.ask(RTM_GETNSID, b"\0\0\0\0" + attribute(NETNSA_FD, struct.pack("=I", netns_fd)))
    except OSError:
        return None
    nsid = u32(attributes(answer, 4).get(NETNSA_NSID), NSID_UNASSIGNED)
    return None if nsid == NSID_UNASSIGNED else nsid


def ip_text(raw: bytes | None) -> str:
    """An address as people write it; "" for none."""
    if raw is None:
        return ""
    if len(raw) == 4:
        return socket.inet_ntoa(raw)
    return str(ipaddress.IPv6Address(raw)) if len(raw) == 16 else raw.hex()


def _destination(family: int, length: int, raw: bytes | None) -> str:
    if length == 0:
        return "default" if family == socket.AF_INET else "::/0"
    return f"{ip_text(raw)}/{length}"


def _prefix(raw: bytes | None, length: int) -> str:
    return f"{ip_text(raw)}/{length}" if raw is not None else ""


def _hops(found: Mapping[int, bytes], flags: int) -> Iterator[tuple[str, int, int]]:
    """(gateway, ifindex, flags) of each next hop."""
    hops = found.get(RTA_MULTIPATH)
    if hops is None:
        yield _gateway(found), u32(found.get(RTA_OIF)), flags
        return
    offset = 0
    while offset + 8 <= len(hops):
        length, hop_flags, _, ifindex = struct.unpack_from("=HBBi", hops, offset)
        if length < 8:
            return
        yield _gateway(attributes(hops[offset + 8 : offset + length])), ifindex, hop_flags
        offset += (length + 3) & ~3


def _gateway(found: Mapping[int, bytes]) -> str:
    """RTA_GATEWAY, or RTA_VIA: a gateway of the other family, after two bytes that name it."""
    if RTA_GATEWAY in found:
        return ip_text(found[RTA_GATEWAY])
    via = found.get(RTA_VIA)
    return ip_text(via[2:]) if via else ""


@dataclass(frozen=True, slots=True)
class NeighbourTable:
    """The ARP table that all namespaces of a machine share. None: the kernel does not say."""

    entries: int | None = None
    limit: int | None = None
    """gc_thresh3."""
    refusals: int | None = None
    """How often since the boot there was no room for an entry, even after unused ones were thrown out (table_fulls)."""


def read_neighbour_table(netlink: NetlinkSocket) -> NeighbourTable:
    """By netlink every namespace can read it; sysctl and /proc/net/stat show it to the first one only."""
    for kind, body in netlink.dump(RTM_GETNEIGHTBL, NDTMSG.pack(socket.AF_INET)):
        found = attributes(body, NDTMSG.size)
        if kind != RTM_NEWNEIGHTBL or text(found.get(NDTA_NAME)) != "arp_cache" or NDTA_THRESH3 not in found:
            continue
        config = found.get(NDTA_CONFIG, b"")[NDTC_ENTRIES_AT:]
        stats = found.get(NDTA_STATS, b"")[NDTS_TABLE_FULLS_AT:]
        return NeighbourTable(
            entries=u32(config) if len(config) >= 4 else None,
            limit=u32(found[NDTA_THRESH3]),
            refusals=int.from_bytes(stats[:8], sys.byteorder) if len(stats) >= 8 else None,
        )
    return NeighbourTable()
