"""Do pods reach pods: on their own node, and from each node to each other, in both directions?

If pods of one node reach each other, and nodes do, but pods of different nodes do not, the fault is in the overlay or
in routes between nodes; only tests in both directions tell which end. Flows that NetworkPolicies forbid are left out.

Source: https://kubernetes.io/docs/concepts/services-networking/ (every pod reaches every pod without NAT)
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bot.domain import facts
from bot.domain.facts import FactBuilder, FactSpec, Subject, SubjectKind
from bot.probes.evidence import Evidence
from bot.probes.flows import Tried, tried_flows
from bot.probes.needs import LOOK_AT_PODS
from bot.probes.outcomes import REACH_VALUES, aggregate
from bot.probes.pod_matrix_told import LISTED, NAME, judge
from bot.probes.probe import Probe
from bot.probes.sight import pods_in_sight, put

_LOOK_POD = "nsenter -t <pid> -n ping -c 1 <other pod ip>  # on <node>"
_LOOK_PAIR = "nsenter -t <pid> -n ping -c 1 <remote pod ip>  # on the source node"
_DENIED = "NetworkPolicies forbid all flows that were tested"


def _reach(name: str, doc: str, look: str = _LOOK_PAIR) -> FactSpec:
    return FactSpec(name=name, type="str", values=REACH_VALUES, doc=doc, look=look)


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
    FactSpec(
        name="pod.failing_local_pods",
        type="list",
        doc="Pods of the same node that this one does not reach (50 at most).",
        look=_LOOK_POD,
    ),
    _reach("pair.pod_ping", "How pods of the first node reach pods of the second (ICMP)."),
    _reach("pair.pod_ping_tcp", "How pods of the first node reach TCP ports of pods of the second."),
    _reach("pair.node_to_pod", "How the first node itself reaches pods of the second."),
    _reach("pair.reverse_pod_ping", "How pods of the second node reach pods of the first (ICMP)."),
    FactSpec(
        name="pair.failing_flows",
        type="list",
        doc='Flows between pods that fail, as "source>target" (50 at most).',
        look=_LOOK_PAIR,
    ),
    FactSpec(
        name="pair.flows_tested",
        type="int",
        doc="Flows between pods of the two nodes that were tried.",
        look=_LOOK_PAIR,
    ),
    FactSpec(
        name="pair.flows_denied",
        type="int",
        doc="Further flows that were left out because NetworkPolicies forbid them.",
        look="kubectl get networkpolicies -A",
    ),
    FactSpec(
        name="node.local_pods_dead",
        type="bool",
        doc="No pod of the node reaches any other pod of the node.",
        look=_LOOK_POD,
    ),
    FactSpec(
        name="node.remote_dead_to",
        type="str",
        values=("none", "some", "all"),
        doc="To how many of the other nodes that were tested no pod of this node gets through.",
        look=_LOOK_PAIR,
    ),
    FactSpec(
        name="node.remote_dead_from",
        type="str",
        values=("none", "some", "all"),
        doc="From how many of the other nodes that were tested no pod gets through to this node's.",
        look=_LOOK_PAIR,
    ),
)


@dataclass(slots=True)
class _Between:
    """What was tried from one node to another."""

    icmp: list[str] = field(default_factory=list[str])
    tcp: list[str] = field(default_factory=list[str])
    from_node: list[str] = field(default_factory=list[str])
    failing: dict[str, None] = field(default_factory=dict[str, None])
    flows: set[tuple[Subject, Subject]] = field(default_factory=set[tuple[Subject, Subject]])
    denied: set[tuple[Subject, Subject]] = field(default_factory=set[tuple[Subject, Subject]])

    def add(self, flow: Tried) -> None:
        """Count one flow."""
        if flow.source.kind is SubjectKind.NODE:
            self.from_node.append(flow.reach)
        elif flow.is_denied:
            self.denied.add((flow.source, flow.target))
        else:
            (self.tcp if flow.protocol == "tcp" else self.icmp).append(flow.reach)
            self.flows.add((flow.source, flow.target))
            if flow.reach != "ok":
                self.failing[f"{flow.source.name}>{flow.target.name}"] = None


def observe(evidence: Evidence, into: FactBuilder) -> None:
    """What came of every test between pods, by pod, by pair of nodes and by node."""
    local: dict[Subject, list[Tried]] = defaultdict(list)
    remote: dict[Subject, list[Tried]] = defaultdict(list)
    between: dict[tuple[str, str], _Between] = defaultdict(_Between)
    for flow in tried_flows(evidence):
        if flow.target.kind is not SubjectKind.POD or not flow.target_node:
            continue
        is_local = flow.source_node == flow.target_node
        if flow.source.kind is SubjectKind.POD:
            (local if is_local else remote)[flow.source].append(flow)
        if not is_local:
            between[flow.source_node, flow.target_node].add(flow)
    for sight in pods_in_sight(evidence):
        pod, untested = sight.subject, sight.why or "the pod was not a source of tests"
        _put_reach(pod, "reach_remote_pods", remote[pod], untested, into)
        _put_reach(pod, "reach_local_pods", local[pod], untested, into)
        failing = dict.fromkeys(f.target.name for f in local[pod] if f.reach != "ok" and not f.is_denied)
        put(into, pod, "failing_local_pods", tuple(failing)[:LISTED] if local[pod] else None, untested)
    _observe_pairs(between, into)
    _observe_nodes(evidence, local, between, into)


def _put_reach(pod: Subject, key: str, flows: Sequence[Tried], untested: str, into: FactBuilder) -> None:
    reach = aggregate(flow.reach for flow in flows if not flow.is_denied)
    put(into, pod, key, reach, _DENIED if flows else untested)


def _observe_pairs(between: Mapping[tuple[str, str], _Between], into: FactBuilder) -> None:
    for (source, target), seen in sorted(between.items()):
        pair, untested = facts.pair(source, target), _DENIED if seen.denied else "no such test ran"
        put(into, pair, "pod_ping", aggregate(seen.icmp), untested)
        put(into, pair, "pod_ping_tcp", aggregate(seen.tcp), untested)
        put(into, pair, "node_to_pod", aggregate(seen.from_node), "no test ran from the node itself")
        back = between.get((target, source))
        put(into, pair, "reverse_pod_ping", aggregate(back.icmp) if back else None, "no test ran in this direction")
        into.set(pair, "failing_flows", tuple(seen.failing)[:LISTED])
        into.set(pair, "flows_tested", len(seen.flows))
        into.set(pair, "flows_denied", len(seen.denied - seen.flows))


def _observe_nodes(
    evidence: Evidence,
    local: Mapping[Subject, Sequence[Tried]],
    between: Mapping[tuple[str, str], _Between],
    into: FactBuilder,
) -> None:
    here: dict[str, list[str]] = defaultdict(list)
    for pod, flows in local.items():
        here[evidence.node_of(pod)] += (flow.reach for flow in flows if not flow.is_denied)
    pings = {ends: aggregate(seen.icmp) or aggregate(seen.tcp) for ends, seen in between.items()}
    for name in sorted({*evidence.reports, *(node for ends in pings for node in ends)}):
        node, together = facts.node(name), aggregate(here[name])
        dead = None if together is None else together not in {"ok", "mixed"}
        put(into, node, "local_pods_dead", dead, "no test ran between pods of this node")
        untested = "no test ran between this node's pods and those of others"
        put(into, node, "remote_dead_to", _share(r for (source, _), r in pings.items() if source == name), untested)
        put(into, node, "remote_dead_from", _share(r for (_, target), r in pings.items() if target == name), untested)


def _share(reaches: Iterable[str | None]) -> str | None:
    """How many of these fail altogether: none, some or all of those that were tested."""
    dead = [reach not in {"ok", "mixed"} for reach in reaches if reach is not None]
    if not dead:
        return None
    return "all" if all(dead) else "some" if any(dead) else "none"


PROBE = Probe(
    name=NAME,
    question="Do pods reach pods: on their own node, and from each node to each other, in both directions?",
    facts=FACTS,
    needs=LOOK_AT_PODS,
    observe=observe,
    judge=judge,
)
