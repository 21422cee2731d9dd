"""The facts that pod-link declares."""

from bot.domain.facts import Rung
from bot.probes.engine.fact_spec import POD, fact

_OUTSIDE = (Rung.CNI_AGENT, Rung.AGENT)
_LOOK_ROOT = "ip -d link show <host link>  # on <node>"
FACTS = (
    fact(
        "pod.netns_found",
        "bool",
        "The node agent found the pod's network namespace.",
        look="crictl inspectp <sandbox> | grep pid  # on <node>",
    ),
    fact(
        "pod.eth0",
        "str",
        "State of the pod's own end of the link; no-carrier: it is up, but the node's end is not.",
        values=("up", "down", "missing", "no-carrier"),
        rungs=POD,
        look="kubectl exec <pod> -- ip link show eth0",
    ),
    fact(
        "pod.address_matches",
        "bool",
        "An interface of the pod carries the address that the API says it has.",
        rungs=POD,
        look="kubectl exec <pod> -- ip addr show eth0",
    ),
    fact(
        "pod.has_arp",
        "bool",
        "The pod's own end of the link takes part in ARP (it has no NOARP flag).",
        rungs=POD,
        look="kubectl exec <pod> -- ip link show eth0",
    ),
    fact(
        "pod.mtu_bytes",
        "int",
        "MTU of the pod's interface.",
        rungs=POD,
        look="kubectl exec <pod> -- cat /sys/class/net/eth0/mtu",
    ),
    fact(
        "pod.host_link",
        "str",
        "State of the node's end of the pod's link; missing: no device of the node is the peer of eth0.",
        values=("up", "down", "missing"),
        rungs=_OUTSIDE,
        look=_LOOK_ROOT,
    ),
    fact(
        "pod.host_link_kind",
        "str",
        "What the node's end is: Calico's cali…, Cilium's lxc…, a port of a bridge, or something else.",
        values=("calico", "lxc", "bridge-port", "other"),
        rungs=_OUTSIDE,
        look=_LOOK_ROOT,
    ),
    fact(
        "pod.host_mac_is_ee",
        "bool",
        "The node's end has the MAC address ee:ee:ee:ee:ee:ee that Calico gives it.",
        rungs=_OUTSIDE,
        look=_LOOK_ROOT,
    ),
    fact(
        "pod.host_has_arp",
        "bool",
        "The node's end takes part in ARP (it has no NOARP flag).",
        rungs=_OUTSIDE,
        look=_LOOK_ROOT,
    ),
    fact(
        "pod.host_master",
        "str",
        "The bridge that the node's end is a port of, empty when it is none.",
        rungs=_OUTSIDE,
        look=_LOOK_ROOT,
    ),
    fact(
        "pod.bridge_port",
        "str",
        "State of the bridge port; none: the node's end is not a port of a bridge.",
        values=("forwarding", "disabled", "blocking", "listening", "learning", "none"),
        rungs=_OUTSIDE,
        look="bridge -d link show dev <host link>  # on <node>",
    ),
    fact(
        "pod.bridge_isolated",
        "bool",
        "The bridge port is isolated: it reaches the bridge but no other isolated port.",
        rungs=_OUTSIDE,
        look="bridge -d link show dev <host link>  # on <node>",
    ),
    fact(
        "pod.bridge_muted",
        "bool",
        "The bridge has no way to its port: learning and flood are off, and no forwarding entry leads there.",
        rungs=_OUTSIDE,
        look="bridge -d link show dev <host link>; bridge fdb show brport <host link>  # on <node>",
    ),
    fact(
        "pod.bridge_hairpin",
        "bool",
        "The bridge port may send a frame back out of the port it came in by.",
        rungs=_OUTSIDE,
        look="bridge -d link show dev <host link>  # on <node>",
    ),
    fact(
        "pod.static_entries_wrong",
        "list",
        "Entries for the pod that somebody set on its node by hand, and that lead its packets elsewhere.",
        look="ip neigh show <pod ip>; bridge fdb show | grep -i "
        "$(nsenter -t <pid> -n ip -o link show eth0 | grep -oP 'ether \\K\\S+')  # on <node>",
        rungs=_OUTSIDE,
    ),
    fact(
        "pod.host_otherhost_delta",
        "int",
        "Frames from the pod addressed to another MAC address than the node's end has, while the tests ran.",
        look="ip -s -s -j link show <host link>  # on <node>: rx.otherhost",
    ),
    fact(
        "pod.host_rx_delta",
        "int",
        "Frames that the node's end received from the pod while the tests ran.",
        look="ip -s link show <host link>  # on <node>, twice",
    ),
    fact(
        "pod.host_tx_delta",
        "int",
        "Frames that the node's end sent to the pod while the tests ran.",
        look="ip -s link show <host link>  # on <node>, twice",
    ),
    fact(
        "pod.firewall_drops",
        "int",
        "Rules inside the pod's own network namespace that drop or reject.",
        look="nsenter -t <pid> -n nft list ruleset  # on <node>",
    ),
    fact(
        "pod.firewall_rules_match",
        "list",
        "Rules inside the pod's own network namespace that take flows that failed and none that passed.",
        look="nsenter -t <pid> -n nft list ruleset  # on <node>",
    ),
    fact(
        "pod.redirects_unserved",
        "list",
        "Rules inside the pod's own network namespace that hand flows that failed to a port of the pod on which nobody "
        "listens.",
        look="nsenter -t <pid> -n sh -c 'nft list ruleset; ss -tln'  # on <node>",
    ),
    fact(
        "pod.firewall_rules_perhaps",
        "list",
        "Rules inside the pod's own network namespace that may take flows that failed.",
        look="nsenter -t <pid> -n nft list ruleset  # on <node>",
    ),
    fact(
        "pod.firewall_present",
        "bool",
        "The pod's own network namespace has packet filter rules (a sidecar's, for instance).",
        look="nsenter -t <pid> -n nft list ruleset  # on <node>",
    ),
    fact(
        "pod.ipv6_dad_failed",
        "bool",
        "An IPv6 address of the pod failed duplicate address detection and is not used.",
        rungs=POD,
        look="kubectl exec <pod> -- ip -6 addr  # dadfailed",
    ),
)
