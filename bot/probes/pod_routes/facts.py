"""The facts that pod-routes declares."""

from bot.domain.facts import Rung
from bot.probes.engine.fact_spec import POD, fact

_OUTSIDE = (Rung.CNI_AGENT, Rung.AGENT)
REFUSING = ("unreachable", "blackhole", "prohibit")
_LOOK_POD = "kubectl exec <pod> -- ip route"
_LOOK_BACK = "ip route get <pod ip>  # on <node>"
_LOOK_NODE = "ip route show default  # on <node>"
_LOOK_RULES = "ip rule; ip route show table all  # on <node>"
FACTS = (
    fact(
        "pod.default_route",
        "str",
        "The default route inside the pod; mistyped: 0.0.0.0/32 instead of 0.0.0.0/0.",
        values=("gateway", "missing", "mistyped", "other-device", *REFUSING),
        rungs=POD,
        look=_LOOK_POD,
    ),
    fact(
        "pod.eth0_routes",
        "bool",
        "The pod's main table has a route by eth0; when eth0 is switched off or removed, the kernel drops them all.",
        rungs=POD,
        look=_LOOK_POD,
    ),
    fact(
        "pod.route_on_node",
        "str",
        "How the node routes to the pod: by its own link, another's, its bridge, to Cilium's programs, or not at all; "
        "refused: by a route for its address alone; overruled: its route is there, and an ip rule goes before it.",
        values=(
            "own-link",
            "wrong-link",
            "missing",
            "blackhole",
            "refused",
            "overruled",
            "bridge",
            "programs",
            "other",
        ),
        rungs=_OUTSIDE,
        look=_LOOK_BACK,
    ),
    fact(
        "pod.refusing_route",
        "str",
        "The route of its node that refuses this one address.",
        rungs=_OUTSIDE,
        look=_LOOK_BACK,
    ),
    fact(
        "pod.refusing_route_deletion",
        "str",
        "The command that deletes it.",
        rungs=_OUTSIDE,
        look=_LOOK_BACK,
        is_command=True,
    ),
    fact("pod.route_dev", "str", "The device by which the node routes to the pod.", rungs=_OUTSIDE, look=_LOOK_BACK),
    fact(
        "node.default_route",
        "str",
        "The node's default route; mistyped: 0.0.0.0/32 instead of 0.0.0.0/0.",
        values=("present", "missing", "mistyped", *REFUSING),
        rungs=_OUTSIDE,
        look=_LOOK_NODE,
    ),
    fact(
        "node.zeroconf_route",
        "bool",
        "The node has a route to 169.254.0.0/16, which stands in for a default route when ARP is answered.",
        rungs=_OUTSIDE,
        look="ip route show 169.254.0.0/16  # on <node>",
    ),
    fact(
        "node.foreign_rule",
        "bool",
        "A routing rule that is neither the kernel's nor a CNI's sends pod traffic elsewhere.",
        rungs=_OUTSIDE,
        look=_LOOK_RULES,
    ),
    fact(
        "node.routing_rules_lost",
        "list",
        "The kernel's own routing rules of IPv4, for local addresses and for the main table, that are gone.",
        rungs=_OUTSIDE,
        look=_LOOK_RULES,
    ),
    fact("node.foreign_rules", "list", "Such rules, as `ip rule` prints them.", rungs=_OUTSIDE, look=_LOOK_RULES),
    fact(
        "node.outside_rules",
        "list",
        "Such rules that take what the node or its pods send out of the cluster elsewhere than the main table would.",
        rungs=_OUTSIDE,
        look=_LOOK_RULES,
    ),
    fact(
        "pair.diverted",
        "bool",
        "Such a rule takes packets between pods of the first node and pods of the second.",
        rungs=_OUTSIDE,
        look=_LOOK_RULES,
    ),
    fact("pair.diverting_rules", "list", "Those rules.", rungs=_OUTSIDE, look=_LOOK_RULES),
    fact(
        "pod.diverted",
        "bool",
        "Such a rule takes packets from or to this pod, and not those of all pods of its node.",
        rungs=_OUTSIDE,
        look=_LOOK_RULES,
    ),
    fact(
        "pod.diverted_fails",
        "bool",
        "Some of the tests failed of whose packets such a rule takes one.",
        look=_LOOK_RULES,
    ),
    fact("pod.diverting_rules", "list", "Those rules.", rungs=_OUTSIDE, look=_LOOK_RULES),
    fact(
        "pod.taken_away",
        "bool",
        "On another node a route or a rule takes this pod's address elsewhere than other pods of its node.",
        rungs=_OUTSIDE,
        look="ip route get <pod ip>  # on each other node",
    ),
    fact(
        "pod.taken_wholly",
        "bool",
        "One of them takes all packets: a route, or a rule that asks for the destination alone.",
        rungs=_OUTSIDE,
        look="ip route  # on <node>",
    ),
    fact("pod.taken_away_by", "list", "Such routes, and on which nodes.", rungs=_OUTSIDE, look="ip route  # on <node>"),
    fact(
        "pod.has_stray_route",
        "bool",
        "A route or rule inside the pod takes addresses of the cluster elsewhere than its default route.",
        rungs=POD,
        look="kubectl exec <pod> -- ip route; kubectl exec <pod> -- ip rule",
    ),
    fact(
        "pod.stray_routes_fail",
        "bool",
        "Tests from the pod to addresses that they take failed, and none succeeded.",
        look=_LOOK_POD,
    ),
    fact("pod.stray_routes", "list", "Such routes and rules.", rungs=POD, look=_LOOK_POD),
    fact(
        "node.pod_routes_missing",
        "int",
        "Pods of the node to which it has no route of their own.",
        rungs=_OUTSIDE,
        look=_LOOK_BACK,
    ),
    fact(
        "node.inno_routes_delta",
        "int",
        "Packets that the node had no route for (IpExt.InNoRoutes) while the tests ran.",
        look="nstat -az IpExtInNoRoutes  # on <node>, twice",
    ),
    fact(
        "node.service_route",
        "bool",
        "The node itself has a route for ClusterIPs (usually the default route), without which it cannot use them.",
        rungs=_OUTSIDE,
        look="ip route get <address>  # on <node>",
    ),
    fact(
        "node.overlapping_route",
        "bool",
        "A network of the node that is not the CNI's (docker0, a VPN) takes packets for pods or ClusterIPs.",
        rungs=_OUTSIDE,
        look="ip route get <remote pod ip>  # on <node>",
    ),
)
