"""What pod-matrix says: pods dead to their own node, and pairs of nodes whose pods do not reach each other."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence

from bot.domain import facts
from bot.domain.facts import FactTable, Flow, Subject, SubjectKind, Value
from bot.domain.finding import Finding, Hop, Severity, Symptom, SymptomKind
from bot.domain.listing import and_more
from bot.probes.shared.own_link import cannot_send
from bot.probes.shared.reach import in_words
from bot.probes.shared.sentences import names, plural

NAME = "pod-matrix"
LISTED = 50
"""So many failing flows are kept as facts."""


def judge(table: FactTable) -> Sequence[Finding]:
    """FAIL for pods that do not reach others of their node and for pairs of nodes; PASS where all flows succeed."""
    return [*_judge_local(table), *_judge_own(table), *_judge_pairs(table)]


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
    """Failures of some pods of a node. A pod that is dead to all is reported once, not by all that do not reach it."""
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


def _judge_own(table: FactTable) -> Iterator[Finding]:
    """Pods that alone fail between nodes whose other pods reach each other."""
    for pod in table.subjects(SubjectKind.POD):
        flows = table.flows_of(pod, "own_failing_flows")
        if flows:
            yield _own_failure(table, pod, flows)


def _own_failure(table: FactTable, pod: Subject, flows: Sequence[Flow]) -> Finding:
    others = {end for flow in flows for end in (flow.source, flow.target) if end and end != pod}
    sends = [flow.source == pod for flow in flows]
    way = (
        "does not reach"
        if all(sends)
        else "is not reached by"
        if not any(sends)
        else "neither reaches nor is reached by"
    )
    hosts = {host for flow in flows for host in (flow.source_node, flow.target_node) if host}
    return Finding(
        probe=NAME,
        subject=pod,
        severity=Severity.FAIL,
        sentence=f"{pod.name} {way} {plural(len(others), 'pod')} of other nodes ({names(sorted(others))}), "
        f"while other pods of {names(sorted(hosts))} reach each other.",
        evidence={
            "own_failing_flows": tuple(f"{flow.source.name}>{flow.target.name}" for flow in flows if flow.target)
        },
        symptom=Symptom(
            kind=SymptomKind.CROSS_NODE_UNREACHABLE, subject=pod, hop=_hop(table, [pod], "node"), flows=tuple(flows)
        ),
    )


def _judge_pairs(table: FactTable) -> Iterator[Finding]:
    good: dict[str, list[Subject]] = defaultdict(list)
    for pair in table.subjects(SubjectKind.PAIR):
        known = table.of(pair)
        source, target = (end.name for end in pair.ends)
        flows = table.flows_of(pair, "failing_flows")
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


def _pair_failure(table: FactTable, pair: Subject, flows: tuple[Flow, ...]) -> Finding:
    known = table.of(pair)
    source, target = (end.name for end in pair.ends)
    tested, reach = known.get("flows_tested"), str(known.get("pod_ping", known.get("pod_ping_tcp", "error")))
    listed = and_more([f"{flow.source.name} to {flow.target.name}" for flow in flows if flow.target], 3)
    examples = f" ({listed})" if listed else ""
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
