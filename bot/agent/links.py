"""The links of a namespace, with what the kernel says about them beyond `ip link`: per-device sysctls and the peer.

Source: include/uapi/linux/if_link.h, include/uapi/linux/ip.h (IPV4_DEVCONF_*), include/uapi/linux/ipv6.h (DEVCONF_*)
"""

import socket
import struct
from dataclasses import dataclass, replace

from bot.agent.netlink import NetlinkSocket, attributes, text, u32
from bot.agent.report import Link

RTM_NEWLINK = 16
RTM_GETLINK = 18
IFINFOMSG = struct.Struct("=BxHiII")

IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINK, IFLA_MASTER = 1, 3, 4, 5, 10
IFLA_LINKINFO, IFLA_STATS64, IFLA_AF_SPEC, IFLA_LINK_NETNSID = 18, 23, 26, 37
IFLA_INFO_KIND, IFLA_INFO_DATA, IFLA_INFO_SLAVE_KIND, IFLA_INFO_SLAVE_DATA = 1, 2, 4, 5
IFLA_VXLAN_ID, IFLA_VXLAN_LOCAL, IFLA_VXLAN_PORT, IFLA_VXLAN_COLLECT_METADATA = 1, 4, 15, 25
IFLA_XDP, IFLA_XDP_PROG_ID = 43, 4
IFLA_BR_VLAN_FILTERING = 7
IFLA_BRPORT_STATE, IFLA_BRPORT_MODE, IFLA_BRPORT_ISOLATED = 1, 4, 33
IFLA_BRPORT_LEARNING, IFLA_BRPORT_UNICAST_FLOOD = 8, 9
IFLA_INET_CONF = 1
IFLA_INET6_CONF = 2
IFF_UP, IFF_LOOPBACK, IFF_NOARP, IFF_LOWER_UP = 0x1, 0x8, 0x80, 0x10000

# Positions in struct rtnl_link_stats64. The last one exists since Linux 5.19.
RX_PACKETS, TX_PACKETS, RX_DROPPED, TX_DROPPED, RX_OTHERHOST = 0, 1, 6, 7, 24

CONF4 = {
    "forwarding": 1,
    "proxy_arp": 3,
    "rp_filter": 8,
    "arp_filter": 13,
    "disable_policy": 16,
    "arp_announce": 18,
    "arp_ignore": 19,
    "accept_local": 23,
    "src_valid_mark": 24,
    "proxy_arp_pvlan": 25,
    "route_localnet": 26,
}
"""Name below net.ipv4.conf.DEV -> number in the array of IFLA_INET_CONF (which starts at 1)."""
CONF6 = {"forwarding": 0, "hop_limit": 1, "accept_ra": 3, "proxy_ndp": 22, "disable_ipv6": 26}
"""Name below net.ipv6.conf.DEV -> index in IFLA_INET6_CONF."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkRecord:
    """A link, and what the report states elsewhere."""

    link: Link
    is_loopback: bool
    master_ifindex: int
    peer_nsid: int | None
    """This namespace's number for the peer's namespace; None when the peer is here or there is none."""
    conf4: dict[str, str]
    conf6: dict[str, str]


def read_links(netlink: NetlinkSocket) -> tuple[LinkRecord, ...]:
    """All links, masters named. OSError when the kernel refuses."""
    records = [
        _decode(body)
        for kind, body in netlink.dump(RTM_GETLINK, IFINFOMSG.pack(socket.AF_UNSPEC, 0, 0, 0, 0))
        if kind == RTM_NEWLINK
    ]
    names = {record.link.ifindex: record.link.name for record in records}
    return tuple(
        replace(record, link=replace(record.link, master=names.get(record.master_ifindex, "")))
        if record.master_ifindex
        else record
        for record in records
    )


def with_growth(link: Link, after: Link | None) -> Link:
    """The link as it was before the tests, with the growth of its counters while they ran."""
    if after is None:
        return link
    has_otherhost = link.rx_otherhost is not None and after.rx_otherhost is not None
    return replace(
        link,
        rx_packets_delta=max(0, after.rx_packets - link.rx_packets),
        tx_packets_delta=max(0, after.tx_packets - link.tx_packets),
        rx_otherhost_delta=max(0, (after.rx_otherhost or 0) - (link.rx_otherhost or 0)) if has_otherhost else None,
    )


def _decode(body: bytes) -> LinkRecord:
    _, _, ifindex, flags, _ = IFINFOMSG.unpack_from(body)
    found = attributes(body, IFINFOMSG.size)
    info = attributes(found.get(IFLA_LINKINFO, b""))
    kind = text(info.get(IFLA_INFO_KIND))
    stats = _stats(found.get(IFLA_STATS64, b""))
    port = attributes(info.get(IFLA_INFO_SLAVE_DATA, b"")) if text(info.get(IFLA_INFO_SLAVE_KIND)) == "bridge" else {}
    vxlan = attributes(info.get(IFLA_INFO_DATA, b"")) if kind == "vxlan" else {}
    bridge = attributes(info.get(IFLA_INFO_DATA, b"")) if kind == "bridge" else {}
    local = vxlan.get(IFLA_VXLAN_LOCAL)
    link = Link(
        ifindex=ifindex,
        name=text(found.get(IFLA_IFNAME)),
        kind=kind,
        mac=found.get(IFLA_ADDRESS, b"").hex(":"),
        mtu=u32(found.get(IFLA_MTU)),
        is_up=bool(flags & IFF_UP),
        has_carrier=bool(flags & IFF_LOWER_UP),
        has_arp=not flags & IFF_NOARP,
        peer_ifindex=u32(found.get(IFLA_LINK)),
        vxlan_id=u32(vxlan[IFLA_VXLAN_ID]) if IFLA_VXLAN_ID in vxlan else None,
        vxlan_port=int.from_bytes(vxlan[IFLA_VXLAN_PORT], "big") if IFLA_VXLAN_PORT in vxlan else None,
        vxlan_local=socket.inet_ntoa(local) if local and len(local) == 4 else "",
        vxlan_external=any(vxlan.get(IFLA_VXLAN_COLLECT_METADATA, b"")) if vxlan else None,
        bridge_port_state=port[IFLA_BRPORT_STATE][0] if port.get(IFLA_BRPORT_STATE) else None,
        is_hairpin=bool(port[IFLA_BRPORT_MODE][0]) if port.get(IFLA_BRPORT_MODE) else None,
        is_isolated=bool(port[IFLA_BRPORT_ISOLATED][0]) if port.get(IFLA_BRPORT_ISOLATED) else None,
        is_learning=bool(port[IFLA_BRPORT_LEARNING][0]) if port.get(IFLA_BRPORT_LEARNING) else None,
        is_flooded=bool(port[IFLA_BRPORT_UNICAST_FLOOD][0]) if port.get(IFLA_BRPORT_UNICAST_FLOOD) else None,
        has_vlan_filtering=bool(bridge[IFLA_BR_VLAN_FILTERING][0]) if bridge.get(IFLA_BR_VLAN_FILTERING) else None,
        xdp_program=u32(attributes(found.get(IFLA_XDP, b"")).get(IFLA_XDP_PROG_ID)) or None,
        rx_packets=stats[RX_PACKETS] if stats else 0,
        tx_packets=stats[TX_PACKETS] if stats else 0,
        rx_dropped=stats[RX_DROPPED] if stats else 0,
        tx_dropped=stats[TX_DROPPED] if stats else 0,
        rx_otherhost=stats[RX_OTHERHOST] if len(stats) > RX_OTHERHOST else None,
    )
    families = attributes(found.get(IFLA_AF_SPEC, b""))
    return LinkRecord(
        link=link,
        is_loopback=bool(flags & IFF_LOOPBACK),
        master_ifindex=u32(found.get(IFLA_MASTER)),
        peer_nsid=u32(found[IFLA_LINK_NETNSID]) if IFLA_LINK_NETNSID in found else None,
        conf4=_conf(families.get(socket.AF_INET, b""), IFLA_INET_CONF, CONF4, first=1),
        conf6=_conf(families.get(socket.AF_INET6, b""), IFLA_INET6_CONF, CONF6, first=0),
    )


def _stats(data: bytes) -> tuple[int, ...]:
    count = len(data) // 8
    return struct.unpack_from(f"={count}Q", data)


def _conf(data: bytes, kind: int, names: dict[str, int], *, first: int) -> dict[str, str]:
    array = attributes(data).get(kind, b"")
    values: tuple[int, ...] = struct.unpack_from(f"={len(array) // 4}i", array)
    return {name: str(values[number - first]) for name, number in names.items() if number - first < len(values)}
