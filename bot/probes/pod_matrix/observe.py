"""Do pods reach pods: on their own node, and from each node to each other, in both directions?

If pods of one node reach each other, and nodes do, but pods of different nodes do not, the fault is in the overlay or
in routes between nodes; only tests in both directions tell which end. Flows that NetworkPolicies forbid are left out.

Source: https://kubernetes.io/docs/concepts/services-networking/ (every pod reaches every pod without NAT)
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bot.domain import facts
from bot.domain.facts import Ends, FactBuilder, Subject, SubjectKind
from bot.probes.engine.evidence import Evidence
from bot.probes.pod_matrix.findings import LISTED
from bot.probes.pod_matrix.sharing import own_failures
from bot.probes.shared.flows import Tried, tried_flows
from bot.probes.shared.pod_views import observable_pods
from bot.probes.shared.reach import aggregate

_DENIED = "NetworkPolicies forbid all flows that were tested"


@dataclass(slots=True)
class _Between:
    """What was tried from one node to another."""

    icmp: list[str] = field(default_factory=list[str])
    tcp: list[str] = field(default_factory=list[str])
    from_node: list[str] = field(default_factory=list[str])
    failing: dict[Ends, None] = field(default_factory=dict[Ends, None])
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
                self.failing[flow.source, flow.target] = None


def observe(evidence: Evidence, into: FactBuilder) -> None:
    """What came of every test between pods, by pod, by pair of nodes and by node."""
    local: dict[Subject, list[Tried]] = defaultdict(list)
    remote: dict[Subject, list[Tried]] = defaultdict(list)
    between: dict[tuple[str, str], _Between] = defaultdict(_Between)
    flows = tried_flows(evidence)
    own = own_failures(each for each in flows if _is_between_pods(each))
    aside = {id(flow) for mine in own.values() for flow in mine}
    for flow in flows:
        if id(flow) in aside or flow.target.kind is not SubjectKind.POD or not flow.target_node:
            continue
        is_local = flow.source_node == flow.target_node
        if flow.source.kind is SubjectKind.POD:
            (local if is_local else remote)[flow.source].append(flow)
        if not is_local:
            between[flow.source_node, flow.target_node].add(flow)
    for view in observable_pods(evidence):
        pod, untested = view.subject, view.why or "the pod was not a source of tests"
        _put_reach(pod, "reach_remote_pods", remote[pod], untested, into)
        _put_reach(pod, "reach_local_pods", local[pod], untested, into)
        mine = [(each.source, each.target) for each in own.get(pod, ())]
        if mine or remote[pod]:
            into.set_flows(pod, "own_failing_flows", mine, most=LISTED)
        else:
            into.miss(pod, "own_failing_flows", untested)
        failing = dict.fromkeys(f.target.name for f in local[pod] if f.reach != "ok" and not f.is_denied)
        into.put(pod, "failing_local_pods", tuple(failing)[:LISTED] if local[pod] else None, untested)
    _observe_pairs(between, into)
    _observe_nodes(evidence, local, between, into)


def _is_between_pods(flow: Tried) -> bool:
    return flow.source.kind is SubjectKind.POD and flow.target.kind is SubjectKind.POD and bool(flow.target_node)


def _put_reach(pod: Subject, key: str, flows: Sequence[Tried], untested: str, into: FactBuilder) -> None:
    reach = aggregate(flow.reach for flow in flows if not flow.is_denied)
    into.put(pod, key, reach, _DENIED if flows else untested)


def _observe_pairs(between: Mapping[tuple[str, str], _Between], into: FactBuilder) -> None:
    for (source, target), seen in sorted(between.items()):
        pair, untested = facts.pair(source, target), _DENIED if seen.denied else "no such test ran"
        into.put(pair, "pod_ping", aggregate(seen.icmp), untested)
        into.put(pair, "pod_ping_tcp", aggregate(seen.tcp), untested)
        into.put(pair, "node_to_pod", aggregate(seen.from_node), "no test ran from the node itself")
        back = between.get((target, source))
        into.put(pair, "reverse_pod_ping", aggregate(back.icmp) if back else None, "no test ran in this direction")
        into.set_flows(pair, "failing_flows", seen.failing, most=LISTED)
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
        into.put(node, "local_pods_dead", dead, "no test ran between pods of this node")
        untested = "no test ran between this node's pods and those of others"
        into.put(node, "remote_dead_to", _share(r for (source, _), r in pings.items() if source == name), untested)
        into.put(node, "remote_dead_from", _share(r for (_, target), r in pings.items() if target == name), untested)


def _share(reaches: Iterable[str | None]) -> str | None:
    """How many of these fail altogether: none, some or all of those that were tested."""
    dead = [reach not in {"ok", "mixed"} for reach in reaches if reach is not None]
    if not dead:
        return None
    return "all" if all(dead) else "some" if any(dead) else "none"
