"""Do pods reach pods: on their own node, and from each node to each other, in both directions?

If pods of one node reach each other, and nodes do, but pods of different nodes do not, the fault is in the overlay or
in routes between nodes; only tests in both directions tell which end. Flows that NetworkPolicies forbid are left out.

Source: https://kubernetes.io/docs/concepts/services-networking/ (every pod reaches every pod without NAT)
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from bot.domain import facts
from bot.domain.facts import FactBuilder, FactSpec, FactTable, Subject, SubjectKind, Value
from bot.domain.finding import Finding, Flow, Hop, Severity, Symptom, SymptomKind
from bot.probes.evidence import Evidence
from bot.probes.flows import Tried, tried_flows
from bot.probes.needs import LOOK_AT_PODS
from bot.probes.outcomes import REACH_VALUES, aggregate, in_words
from bot.probes.pod_arp_table import cannot_send
from bot.probes.probe import Probe
from bot.probes.sight import pods_in_sight, put
from bot.probes.telling import names, plural

NAME = "pod-matrix"
LISTED = 50
"""So many failing flows are kept as facts."""

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


# Judgement


def judge(table: FactTable) -> Sequence[Finding]:
    """FAIL for pods that do not reach others of their node and for pairs of nodes; PASS where all flows succeed."""
    return [*_judge_local(table), *_judge_pairs(table)]


def _judge_local(table: FactTable) -> Iterator[Finding]:
    by_node: dict[Subject | None, list[Subject]] = defaultdict(list)
    for pod in table.subjects(SubjectKind.POD):
        if "reach_local_pods" in table.of(pod):
            by_node[table.relations.node_of_pod.get(pod)].append(pod)
    for node, pods in by_node.items():
        reaches = {pod: table.of(pod)["reach_local_pods"] for pod in pods}
        failing = {pod: tuple(_targets(table.of(pod))) for pod in pods}
        if node is not None and all(reach == "ok" for reach in reaches.values()):
            yield _finding(node, Severity.PASS, f"Pods on {node.name} reach each other (tested from {names(pods)}).")
        elif node is not None and len(pods) > 1 and all(_is_dead(reach) for reach in reaches.values()):
            yield _local_failure(table, pods, node, failing)
        else:
            yield from _judge_some(table, node, failing)


def _is_dead(reach: Value | None) -> bool:
    return reach not in {"ok", "mixed"}


def _judge_some(
    table: FactTable, node: Subject | None, failing: Mapping[Subject, Sequence[Subject]]
) -> Iterator[Finding]:
    """Failures of some pods of a node. A pod that is dead to all is told once, not by each that does not reach it."""
    dead = {pod for pod in failing if _is_dead(table.of(pod)["reach_local_pods"])}
    unreached = _dead_targets({pod: targets for pod, targets in failing.items() if pod not in dead}, dead)
    yield from (_dead_target(table, target, node, sources) for target, sources in sorted(unreached.items()))
    for pod, targets in failing.items():
        left = [target for target in targets if pod in dead or (target not in unreached and target not in dead)]
        if left or pod in dead:
            also = {other: (pod,) for other, others in failing.items() if pod in dead and pod in others}
            yield _local_failure(table, [pod], node, {pod: tuple(left), **also})


def _targets(known: Mapping[str, Value]) -> Iterator[Subject]:
    names_ = known.get("failing_local_pods")
    for name in names_ if isinstance(names_, tuple) else ():
        yield Subject(SubjectKind.POD, str(name))


def _dead_targets(
    failing: Mapping[Subject, Sequence[Subject]], dead: Collection[Subject]
) -> dict[Subject, list[Subject]]:
    """Pods that none of at least two (living) sources reaches, with these sources."""
    times = Counter(target for targets in failing.values() for target in targets if target not in dead)
    found = {target: [pod for pod in failing if pod != target] for target in times}
    return {target: sources for target, sources in found.items() if len(sources) == times[target] >= 2}


def _dead_target(table: FactTable, target: Subject, node: Subject | None, sources: Sequence[Subject]) -> Finding:
    where = f" on {node.name}" if node else ""
    flows = tuple(Flow(source=pod, target=target, source_node=node, target_node=node) for pod in sources)
    return Finding(
        probe=NAME,
        subject=target,
        severity=Severity.FAIL,
        sentence=f"None of {plural(len(sources), 'other pod')}{where} ({names(sources)}) reaches {target.name}.",
        evidence={"sources": tuple(pod.name for pod in sources[:LISTED])},
        symptom=Symptom(
            kind=SymptomKind.LOCAL_PODS_UNREACHABLE, subject=target, hop=_hop(table, [target], "node"), flows=flows
        ),
    )


def _local_failure(
    table: FactTable, pods: Sequence[Subject], node: Subject | None, failing: Mapping[Subject, Sequence[Subject]]
) -> Finding:
    """One pod that does not reach others of its node, or (several) a node on which none does."""
    reach = str(table.of(pods[0])["reach_local_pods"])
    where = f" on {node.name}" if node else ""
    targets = [target for pod in pods for target in failing[pod]]
    whom = f" ({names(set(targets))})" if targets else ""
    if len(pods) > 1:
        sentence = (
            f"No pod{where} reaches another pod of the node (tested from {names(pods)}): a test {in_words(reach)}."
        )
    elif reach == "mixed":
        sentence = f"{pods[0].name}{where} does not reach {plural(len(targets), 'other pod')} of its node{whom}."
    else:
        sentence = f"{pods[0].name}{where} reaches no other pod of its node{whom}: a test {in_words(reach)}."
    subject = pods[0] if len(pods) == 1 or node is None else node
    flows = tuple(
        Flow(source=pod, target=target, source_node=node, target_node=node)
        for pod, those in failing.items()
        for target in those
    )
    return Finding(
        probe=NAME,
        subject=subject,
        severity=Severity.FAIL,
        sentence=sentence,
        evidence={"reach_local_pods": reach},
        symptom=Symptom(
            kind=SymptomKind.LOCAL_PODS_UNREACHABLE, subject=subject, hop=_hop(table, pods, "node"), flows=flows
        ),
    )


def _judge_pairs(table: FactTable) -> Iterator[Finding]:
    good: dict[str, list[Subject]] = defaultdict(list)
    for pair in table.subjects(SubjectKind.PAIR):
        known = table.of(pair)
        source, _, target = pair.name.partition(">")
        flows = tuple(_flows(known, source, target))
        reaches = [known[key] for key in ("pod_ping", "pod_ping_tcp") if key in known]
        if flows:
            yield _pair_failure(table, pair, flows)
        elif reaches and all(reach == "ok" for reach in reaches):
            good[source].append(facts.node(target))
        elif any(reach != "ok" for reach in reaches):
            yield _pair_failure(table, pair, ())
        elif known.get("flows_denied"):
            yield _finding(pair, Severity.INFO, _all_denied(known, source, target))
    for source, targets in sorted(good.items()):
        sentence = f"Pods on {source} reach pods on {plural(len(targets), 'other node')} ({names(targets)})."
        yield _finding(facts.node(source), Severity.PASS, sentence)


def _flows(known: Mapping[str, Value], source: str, target: str) -> Iterator[Flow]:
    failing = known.get("failing_flows")
    for text in failing if isinstance(failing, tuple) else ():
        first, _, second = str(text).partition(">")
        ends = (Subject(SubjectKind.POD, first), Subject(SubjectKind.POD, second))
        yield Flow(source=ends[0], target=ends[1], source_node=facts.node(source), target_node=facts.node(target))


def _pair_failure(table: FactTable, pair: Subject, flows: tuple[Flow, ...]) -> Finding:
    known = table.of(pair)
    source, _, target = pair.name.partition(">")
    tested, reach = known.get("flows_tested"), str(known.get("pod_ping", known.get("pod_ping_tcp", "error")))
    listed = ", ".join(f"{f.source.name} to {f.target.name}" for f in flows[:3] if f.target)
    more = f" and {len(flows) - 3} more" if len(flows) > 3 else ""
    examples = f" ({listed}{more})" if listed else ""
    of = f"{len(flows)} of {plural(tested, 'flow')}" if isinstance(tested, int) and flows else "flows"
    fail = "fails" if len(flows) == 1 else "fail"
    sentence = (
        f"From pods on {source} to pods on {target}, {of} {fail}{examples}."
        if reach in {"mixed", "ok"}
        else f"Pods on {source} do not reach pods on {target}: a test {in_words(reach)}; {of} {fail}{examples}."
    )
    keys = ("pod_ping", "pod_ping_tcp", "reverse_pod_ping", "node_ping", "flows_tested", "flows_denied")
    ends = [end for flow in flows for end in (flow.source, flow.target) if end]
    stops = any(table.of(facts.node(name)).get("ip_forward") is False for name in (source, target))
    return Finding(
        probe=NAME,
        subject=pair,
        severity=Severity.FAIL,
        sentence=sentence,
        evidence={key: known[key] for key in keys if key in known},
        symptom=Symptom(
            kind=SymptomKind.CROSS_NODE_UNREACHABLE,
            subject=pair,
            hop=_hop(table, ends, "node" if stops else "overlay"),
            flows=flows,
        ),
    )


def _hop(table: FactTable, pods: Sequence[Subject], otherwise: Hop) -> Hop:
    """The first hop that is not proven good: what is broken at an end comes before all that lies between."""
    known = [table.of(pod) for pod in pods]
    if any(cannot_send(each) for each in known):
        return "pod"
    if any(each.get("gateway_arp") == "silent" for each in known):
        return "gateway"
    ways = {each.get(key, "ok") for each in known for key in ("reach_own_node", "node_reaches_pod")}
    return otherwise if ways <= {"ok", "mixed"} else "node"


def _all_denied(known: Mapping[str, Value], source: str, target: str) -> str:
    denied = known.get("flows_denied")
    count = plural(denied, "flow") if isinstance(denied, int) else "flows"
    return f"From pods on {source} to pods on {target}, all {count} tried are forbidden by NetworkPolicies."


def _finding(subject: Subject, severity: Severity, sentence: str) -> Finding:
    return Finding(probe=NAME, subject=subject, severity=severity, sentence=sentence)


PROBE = Probe(
    name=NAME,
    question="Do pods reach pods: on their own node, and from each node to each other, in both directions?",
    facts=FACTS,
    needs=LOOK_AT_PODS,
    observe=observe,
    judge=judge,
)
