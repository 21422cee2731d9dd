"""What `ip -j` prints, as the node report's values. Its own words for states, scopes and protocols are kept."""

from typing import Any, Literal, TypeVar

import msgspec
from msgspec import Struct, field

from bot.agent.report import Address, Link, Neighbour, Route, RouteAnswer, Rule

T = TypeVar("T")

_TABLES = {"main": 254, "default": 253, "local": 255}
_LOCAL = 255
_IPV6_ONLY = ("fe80:", "ff00:")


class _AddressInfo(Struct):
    family: str = ""
    local: str = ""
    prefixlen: int = 0
    tentative: bool = False
    dadfailed: bool = False
    deprecated: bool = False
    dynamic: bool = False


class _Counts(Struct):
    packets: int = 0
    dropped: int = 0
    otherhost_dropped: int | None = None


class _Stats(Struct):
    rx: _Counts = field(default_factory=_Counts)
    tx: _Counts = field(default_factory=_Counts)


class _LinkInfo(Struct):
    info_kind: str = ""
    info_data: dict[str, Any] = field(default_factory=dict[str, Any])


class _Link(Struct):
    ifindex: int = 0
    ifname: str = ""
    flags: tuple[str, ...] = ()
    mtu: int = 0
    address: str = ""
    master: str = ""
    link_index: int = 0
    linkinfo: _LinkInfo = field(default_factory=_LinkInfo)
    stats64: _Stats = field(default_factory=_Stats)
    addr_info: tuple[_AddressInfo, ...] = ()


class _Metric(Struct):
    mtu: int | None = None


class _NextHop(Struct):
    gateway: str = ""
    dev: str = ""
    flags: tuple[str, ...] = ()


class _Route(Struct):
    dst: str = ""
    type: str = "unicast"
    gateway: str = ""
    dev: str = ""
    scope: str = "global"
    protocol: str = "boot"
    metric: int = 0
    table: str | int = "main"
    prefsrc: str = ""
    flags: tuple[str, ...] = ()
    metrics: tuple[_Metric, ...] = ()
    nexthops: tuple[_NextHop, ...] = ()


class _Neighbour(Struct):
    dst: str = ""
    dev: str = ""
    lladdr: str = ""
    state: tuple[str, ...] = ()


class _Rule(Struct, rename={"not_": "not"}):
    priority: int = 0
    src: str = ""
    srclen: int | None = None
    dst: str = ""
    dstlen: int | None = None
    iif: str = ""
    oif: str = ""
    fwmark: str = ""
    fwmask: str = ""
    table: str | int = 0
    action: str = "lookup"
    not_: Any = None


def links(text: str) -> tuple[tuple[Link, ...], tuple[Address, ...]] | None:
    """Of `ip -j -d -s addr show`; None when it is not that (no `ip`, or one without -j)."""
    found = _decode(text, tuple[_Link, ...])
    if found is None:
        return None
    addresses = tuple(_address(link.ifname, info) for link in found for info in link.addr_info if info.local)
    return tuple(_link(link) for link in found if link.ifname), addresses


def _link(link: _Link) -> Link:
    info, data = link.linkinfo, link.linkinfo.info_data
    rx, tx = link.stats64.rx, link.stats64.tx
    is_vxlan = info.info_kind == "vxlan"
    return Link(
        ifindex=link.ifindex,
        name=link.ifname,
        kind=info.info_kind,
        mac=link.address,
        mtu=link.mtu,
        is_up="UP" in link.flags,
        has_carrier="LOWER_UP" in link.flags,
        has_arp="NOARP" not in link.flags,
        master=link.master,
        peer_ifindex=link.link_index,
        vxlan_id=_number(data.get("id")) if is_vxlan else None,
        vxlan_port=_number(data.get("port")) if is_vxlan else None,
        vxlan_local=str(data.get("local") or "") if is_vxlan else "",
        vxlan_external=bool(data.get("external")) if is_vxlan else None,
        rx_packets=rx.packets,
        tx_packets=tx.packets,
        rx_dropped=rx.dropped,
        tx_dropped=tx.dropped,
        rx_otherhost=rx.otherhost_dropped,
    )


def _address(dev: str, info: _AddressInfo) -> Address:
    named = {
        "tentative": info.tentative,
        "dadfailed": info.dadfailed,
        "deprecated": info.deprecated,
        "permanent": not info.dynamic,
    }
    family: Literal[4, 6] = 6 if info.family == "inet6" else 4
    flags = tuple(name for name, is_set in named.items() if is_set)
    return Address(dev=dev, ip=info.local, prefix_len=info.prefixlen, family=family, flags=flags)


def routes(text: str) -> tuple[Route, ...] | None:
    """Of `ip -j route show table all`: all tables but local; one value for each next hop."""
    found = _decode(text, tuple[_Route, ...])
    if found is None:
        return None
    return tuple(value for route in found for value in _routes(route))


def _routes(route: _Route) -> list[Route]:
    table = _table(route.table)
    if table == _LOCAL or route.dst.startswith(_IPV6_ONLY):
        return []
    hops = route.nexthops or (_NextHop(gateway=route.gateway, dev=route.dev, flags=route.flags),)
    mtu = next((metric.mtu for metric in route.metrics if metric.mtu), None)
    return [
        Route(
            dst=route.dst if route.dst == "default" or "/" in route.dst else f"{route.dst}/{_width(route.dst)}",
            type=route.type,
            via=hop.gateway,
            dev=hop.dev,
            scope=route.scope,
            proto=route.protocol,
            metric=route.metric,
            table=table,
            src=route.prefsrc,
            onlink="onlink" in hop.flags,
            mtu=mtu,
        )
        for hop in hops
    ]


def neighbours(text: str) -> tuple[Neighbour, ...] | None:
    """Of `ip -j neigh show`; not those of devices that need none."""
    found = _decode(text, tuple[_Neighbour, ...])
    if found is None:
        return None
    known = (each for each in found if "NOARP" not in each.state)
    return tuple(
        Neighbour(ip=each.dst, dev=each.dev, mac=each.lladdr, state=each.state[0] if each.state else "")
        for each in known
    )


def rules(text: str) -> tuple[Rule, ...] | None:
    """Of `ip -j rule show` (IPv4)."""
    found = _decode(text, tuple[_Rule, ...])
    if found is None:
        return None
    return tuple(
        Rule(
            priority=each.priority,
            src=_prefix(each.src, each.srclen),
            dst=_prefix(each.dst, each.dstlen),
            iif=each.iif,
            oif=each.oif,
            fwmark=f"{each.fwmark}/{each.fwmask}" if each.fwmark and each.fwmask else each.fwmark,
            table=_table(each.table),
            action=each.action,
            is_inverted=each.not_ is not None,
        )
        for each in found
    )


def route_answer(question: str, text: str) -> RouteAnswer | None:
    """Of `ip -j route get …`; None when it is not an answer."""
    found = _decode(text, tuple[_Route, ...])
    if not found:
        return None
    route = found[0]
    return RouteAnswer(question=question, type=route.type, via=route.gateway, dev=route.dev, src=route.prefsrc)


def _decode(text: str, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(text, type=kind, strict=False)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and abs(value) < 2**63 else None


def _table(name: str | int) -> int:
    if isinstance(name, int):
        return name
    return int(name) if name.isdecimal() and len(name) < 11 else _TABLES.get(name, 0)


def _width(address: str) -> int:
    return 128 if ":" in address else 32


def _prefix(address: str, length: int | None) -> str:
    if address in {"", "all"}:
        return ""
    return f"{address}/{length if length is not None else _width(address)}"
