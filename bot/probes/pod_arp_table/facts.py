"""The facts that pod-arp-table declares."""

from bot.probes.engine.fact_spec import NODE, POD, fact

STATES = ("REACHABLE", "STALE", "DELAY", "PROBE", "INCOMPLETE", "FAILED", "PERMANENT", "NOARP", "none")
_LOOK_ARP = "nsenter -t <pid> -n arping -c 3 -I eth0 <gateway>  # on <node>"
FACTS = (
    fact(
        "pod.gateway_ip",
        "str",
        'The next hop of the pod\'s default route, "" when it has none.',
        rungs=POD,
        look="kubectl exec <pod> -- ip route show default",
    ),
    fact(
        "pod.gateway_kind",
        "str",
        "What the gateway is: 169.254.1.1 by proxy ARP, the address of a bridge, another address of the node.",
        values=("link-local", "bridge", "node", "none"),
        rungs=POD,
        look="ip addr | grep -w <gateway>  # on <node>",
    ),
    fact(
        "pod.gateway_neigh",
        "str",
        "State of the gateway's entry in the pod's neighbour table; none: there is no entry.",
        values=STATES,
        rungs=POD,
        look="kubectl exec <pod> -- ip neigh show  # or cat /proc/net/arp",
    ),
    fact(
        "pod.gateway_mac_matches",
        "bool",
        "The gateway's entry holds the MAC address of the node's end of the link (or of the bridge).",
        look="nsenter -t <pid> -n ip neigh; ip link show <host link>  # on <node>",
    ),
    fact(
        "pod.gateway_macs", "int", "Distinct MAC addresses that answered ARP requests for the gateway.", look=_LOOK_ARP
    ),
    fact(
        "pod.gateway_arp",
        "str",
        "The result of ARP requests for the gateway: all answered at once; all, but some late; only some; none.",
        values=("answered", "late", "partial", "silent"),
        look=_LOOK_ARP,
    ),
    fact("pod.gateway_requests", "int", "ARP requests sent for the gateway.", look=_LOOK_ARP),
    fact("pod.gateway_answers", "int", "ARP requests that the gateway answered.", look=_LOOK_ARP),
    fact("pod.gateway_arp_max_ms", "float", "The slowest answer of the gateway to ARP.", look=_LOOK_ARP),
    fact(
        "pod.gateway_arp_spread_ms",
        "float",
        "The difference between the slowest and the quickest answer of the gateway to ARP.",
        look=_LOOK_ARP,
    ),
    fact(
        "node.gateway_silent_pods",
        "int",
        "Pods of the node whose gateway does not answer ARP.",
        rungs=POD,
        look=_LOOK_ARP,
    ),
    fact("node.gateway_checked_pods", "int", "Pods of the node whose gateway was asked.", rungs=POD, look=_LOOK_ARP),
    fact(
        "node.gateway_silent",
        "str",
        "For how many of the node's pods the gateway is silent.",
        values=("none", "some", "all"),
        rungs=POD,
        look=_LOOK_ARP,
    ),
    fact(
        "node.gateways_absent",
        "list",
        "Gateways of the pods of a bridge that are addresses of the node's range, and that no device of the node has.",
        rungs=NODE,
        look="ip -o -4 addr show  # on <node>",
    ),
    fact(
        "node.gateway_restoring",
        "list",
        "The commands that give the bridge these addresses.",
        rungs=NODE,
        look="ip -o -4 addr show  # on <node>",
        is_command=True,
    ),
)
