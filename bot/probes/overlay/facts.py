"""The facts that overlay declares."""

from bot.domain.access import Need
from bot.probes.engine.fact_spec import API, NODE, fact
from bot.probes.engine.needs import LOOK_AT_PODS
from bot.probes.shared.reach import REACH_VALUES

ROUTES = ("present", "missing", "blackhole", "wrong-next-hop", "wrong-device")
_LINK = "ip -d link show <overlay device>  # on <node>"
_COUNTERS = "nstat -az UdpNoPorts IcmpInDestUnreachs UdpInCsumErrors  # on <node>"
_ROUTE = "ip route get <remote pod ip>  # on <node>"
_STATS = "ip -s -s link show <overlay device>  # on the other node, twice"

FACTS = (
    fact(
        "node.overlay_device",
        "str",
        "State of the tunnel's device; none: packets of other nodes do not take one.",
        look=_LINK,
        values=("up", "down", "missing", "none"),
        rungs=NODE,
    ),
    fact(
        "node.overlay_name", "str", "Name of the tunnel's device, also of one that is missing.", look=_LINK, rungs=NODE
    ),
    fact("node.overlay_port", "int", "UDP port of the tunnel.", look=_LINK, rungs=NODE),
    fact("node.overlay_vni", "int", "Network identifier of the tunnel.", look=_LINK, rungs=NODE),
    fact(
        "node.overlay_is_external",
        "bool",
        "eBPF programs choose the peer of each packet: the tunnel device's own address and tables take no part.",
        look=_LINK,
        rungs=NODE,
    ),
    fact("node.overlay_mtu_bytes", "int", "MTU of the tunnel's device.", look=_LINK, rungs=NODE),
    fact(
        "node.overlay_mac_matches",
        "bool",
        "The device has the MAC address that the node declares, or that most peers believe it to have.",
        look=_LINK,
        rungs=NODE,
    ),
    fact(
        "node.declared_ip_matches",
        "bool",
        "The address that the CNI declares for the node is one of the Node's, and no other node declares it.",
        look="kubectl get node <node> -o yaml  # annotations public-ip or projectcalico.org/IPv4Address",
        rungs=API,
    ),
    fact(
        "node.noports_delta", "int", "UDP packets to a closed port of the node (Udp.NoPorts) meanwhile.", look=_COUNTERS
    ),
    fact("node.dest_unreach_delta", "int", "ICMP unreachables that the node got meanwhile.", look=_COUNTERS),
    fact("node.udp_in_csum_delta", "int", "UDP packets with a wrong checksum meanwhile.", look=_COUNTERS),
    fact(
        "pair.tunnel",
        "str",
        "How packets to the other node's pods travel.",
        look=_ROUTE,
        values=("vxlan", "ipip", "geneve", "wireguard", "none"),
    ),
    fact("pair.route_to_block", "str", "The route to the other node's pods.", look=_ROUTE, values=ROUTES, rungs=NODE),
    fact("pair.return_route", "str", "The other node's route back.", look=_ROUTE, values=ROUTES, rungs=NODE),
    fact(
        "pair.fdb",
        "str",
        "Where the forwarding table sends the MAC address of the other node's tunnel; none: no such table takes part.",
        look="bridge fdb show dev <overlay device>  # on <node>",
        values=("ok", "missing", "wrong-ip", "wrong-port", "wrong-vni", "none"),
        rungs=NODE,
    ),
    fact(
        "pair.fdb_entry",
        "str",
        "That entry, as `bridge fdb` prints it.",
        look="bridge fdb show dev <overlay device>  # on <node>",
        rungs=NODE,
    ),
    fact(
        "pair.fdb_entry_deletions",
        "list",
        "The commands that delete the entries of them that lead elsewhere.",
        look="bridge fdb show dev <overlay device>  # on <node>",
        rungs=NODE,
        is_command=True,
    ),
    fact(
        "pair.vtep_neigh",
        "str",
        "The neighbour entry of the other node's tunnel address; none: no such table takes part.",
        look="ip neigh show dev <overlay device>  # on <node>",
        values=("ok", "missing", "wrong-mac", "none"),
        rungs=NODE,
    ),
    fact("pair.vni_matches", "bool", "Both devices have the same network identifier.", look=_LINK, rungs=NODE),
    fact("pair.port_matches", "bool", "Both devices use the same UDP port.", look=_LINK, rungs=NODE),
    fact("pair.src_overlay_tx_delta", "int", "Packets that the source's device sent meanwhile.", look=_STATS),
    fact("pair.dst_overlay_rx_delta", "int", "Packets that the destination's device received meanwhile.", look=_STATS),
    fact("pair.dst_otherhost_delta", "int", "Those among them for another MAC address.", look=_STATS),
    fact("pair.dst_noports_delta", "int", "UDP packets to a closed port at the destination meanwhile.", look=_COUNTERS),
    fact(
        "pair.overlay_reach",
        "str",
        "From tunnel address to tunnel address.",
        look="ping -c1 -W1 $(ip -o route get <remote pod ip> | grep -oP 'via \\K\\S+')  # on <node>",
        values=REACH_VALUES,
    ),
)

NODE_KEYS = (
    "overlay_device",
    "overlay_name",
    "overlay_port",
    "overlay_vni",
    "overlay_is_external",
    "overlay_mtu_bytes",
    "overlay_mac_matches",
    "noports_delta",
    "dest_unreach_delta",
    "udp_in_csum_delta",
)
PAIR_KEYS = (
    "vni_matches",
    "port_matches",
    "dst_overlay_rx_delta",
    "dst_otherhost_delta",
    "dst_noports_delta",
)
"""Facts of a pair that need the destination's report."""

NEEDS = (
    *LOOK_AT_PODS,
    Need(
        verb="list",
        resource="blockaffinities",
        group="crd.projectcalico.org",
        is_optional=True,
        why="to know which networks are on which node (Calico)",
    ),
    Need(
        verb="list",
        resource="ciliumnodes",
        group="cilium.io",
        is_optional=True,
        why="to know which networks are on which node (Cilium)",
    ),
)
