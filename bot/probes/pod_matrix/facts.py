"""The facts that pod-matrix declares."""

from bot.domain.facts import FactSpec
from bot.probes.engine.fact_spec import fact
from bot.probes.shared.reach import REACH_VALUES

_LOOK_POD = "nsenter -t <pid> -n ping -c 1 <other pod ip>  # on <node>"
_LOOK_PAIR = "nsenter -t <pid> -n ping -c 1 <remote pod ip>  # on the source node"


def _reach(name: str, doc: str, look: str = _LOOK_PAIR) -> FactSpec:
    return fact(name, "str", doc, values=REACH_VALUES, look=look)


FACTS = (
    _reach(
        "pod.reach_local_pods",
        "How the pod reaches other pods of its node (ICMP, and TCP to ports that listen).",
        _LOOK_POD,
    ),
    _reach(
        "pod.reach_remote_pods",
        "How the pod reaches pods of other nodes (ICMP, and TCP to ports that listen).",
        _LOOK_POD,
    ),
    fact(
        "pod.failing_local_pods",
        "list",
        "Pods of the same node that this one does not reach (50 at most).",
        look=_LOOK_POD,
    ),
    fact(
        "pod.own_failing_flows",
        "list",
        'Failing flows with pods of other nodes that have this pod alone in common, as "source>target" (50 at most).',
        look=_LOOK_POD,
    ),
    _reach("pair.pod_ping", "How pods of the first node reach pods of the second (ICMP)."),
    _reach("pair.pod_ping_tcp", "How pods of the first node reach TCP ports of pods of the second."),
    _reach("pair.node_to_pod", "How the first node itself reaches pods of the second."),
    _reach("pair.reverse_pod_ping", "How pods of the second node reach pods of the first (ICMP)."),
    fact(
        "pair.failing_flows", "list", 'Flows between pods that fail, as "source>target" (50 at most).', look=_LOOK_PAIR
    ),
    fact("pair.flows_tested", "int", "Flows between pods of the two nodes that were tried.", look=_LOOK_PAIR),
    fact(
        "pair.flows_denied",
        "int",
        "Further flows that were left out because NetworkPolicies forbid them.",
        look="kubectl get networkpolicies -A",
    ),
    fact("node.local_pods_dead", "bool", "No pod of the node reaches any other pod of the node.", look=_LOOK_POD),
    fact(
        "node.remote_dead_to",
        "str",
        "To how many of the other nodes that were tested no pod of this node gets through.",
        values=("none", "some", "all"),
        look=_LOOK_PAIR,
    ),
    fact(
        "node.remote_dead_from",
        "str",
        "From how many of the other nodes that were tested no pod gets through to this node's.",
        values=("none", "some", "all"),
        look=_LOOK_PAIR,
    ),
)
