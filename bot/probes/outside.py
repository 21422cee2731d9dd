"""Do nodes and their pods reach an address outside the cluster?

A node that reaches it while its pods do not points at masquerading, forwarding or an egress policy. Where no node
reaches it, the cluster may simply be cut off from the Internet on purpose: that is said, not accused.

Source: https://kubernetes.io/docs/concepts/services-networking/network-policies/ (egress isolation)
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from bot.domain import facts
from bot.domain.facts import FactBuilder, FactSpec, FactTable, Subject, SubjectKind, Value
from bot.domain.finding import Finding, Severity, Symptom, SymptomKind
from bot.probes.cut_off import is_link_broken
from bot.probes.evidence import Evidence
from bot.probes.needs import LOOK_AT_PODS
from bot.probes.outcomes import REACH_VALUES, aggregate, in_words, reach_from
from bot.probes.policy_arithmetic import policy_index
from bot.probes.probe import Probe
from bot.probes.sight import pods_in_sight, put
from bot.probes.telling import Who, names, plural, sharing

NAME = "outside"
_LOOK_NODE = "ping -c 1 <outside address>  # on <node>"
_LOOK_POD = "nsenter -t <pid> -n ping -c 1 <outside address>  # on <node>"

FACTS = (
    FactSpec(
        name="node.reach_outside",
        type="str",
        values=REACH_VALUES,
        doc="How the node itself reaches an address outside the cluster.",
        look=_LOOK_NODE,
    ),
    FactSpec(
        name="pod.reach_outside",
        type="str",
        values=REACH_VALUES,
        doc="How the pod reaches an address outside the cluster.",
        look=_LOOK_POD,
    ),
    FactSpec(
        name="node.pods_reach_outside",
        type="str",
        values=REACH_VALUES,
        doc="How the node's pods reach an address outside the cluster, all together.",
        look=_LOOK_POD,
    ),
)


def observe(evidence: Evidence, into: FactBuilder) -> None:
    """What came of the tests to the outside, by node and by pod. Pods with egress policies are left out."""
    reaches: dict[Subject, list[str]] = defaultdict(list)
    for source, _, test in evidence.tests:
        if test.purpose != "outside" or test.protocol not in {"icmp", "tcp", "udp"}:
            continue
        reach = reach_from(evidence, source, test)
        if reach == "refused" and not test.icmp:
            reach = "ok"  # It came through: resolvers that serve no TCP refuse it by themselves.
        if reach is not None:
            reaches[source].append(reach)
    together: dict[str, list[str | None]] = defaultdict(list)
    enforced, index = evidence.cni.enforces_policy is not False, policy_index(evidence)
    for sight in pods_in_sight(evidence):
        pod, reach = sight.subject, aggregate(reaches[sight.subject])
        if reach not in {None, "ok"} and enforced and index.isolating(pod, "egress"):
            into.miss(pod, "reach_outside", "NetworkPolicies restrict what it may reach")
            continue
        put(into, pod, "reach_outside", reach, sight.why or "no test ran from this pod to the outside")
        together[sight.pod.spec.node_name].append(reach)
    for name in evidence.reports:
        node = facts.node(name)
        put(into, node, "reach_outside", aggregate(reaches[node]), "no test ran from this node to the outside")
        put(into, node, "pods_reach_outside", aggregate(together[name]), "no test ran from its pods to the outside")


def judge(table: FactTable) -> Sequence[Finding]:
    """FAIL where others get out and this node or its pods do not; INFO where nobody does."""
    nodes = {node: table.of(node).get("reach_outside") for node in table.subjects(SubjectKind.NODE)}
    tested = {node: reach for node, reach in nodes.items() if reach is not None}
    pods = {
        pod: table.of(pod)["reach_outside"]
        for pod in table.subjects(SubjectKind.POD)
        if "reach_outside" in table.of(pod)
    }
    if (tested or pods) and not any(reach in {"ok", "mixed"} for reach in (*tested.values(), *pods.values())):
        return [_nobody(tested, pods)]
    found = [_node(node, reach) for node, reach in tested.items() if reach != "ok"]
    found += _pods(table, pods)
    good = [node for node, reach in tested.items() if reach == "ok"]
    if good:
        found.append(_pass(good))
    return found


def _nobody(nodes: Mapping[Subject, Value], pods: Mapping[Subject, Value]) -> Finding:
    who = names(list(nodes or pods))
    return Finding(
        probe=NAME,
        subject=facts.CLUSTER,
        severity=Severity.INFO,
        sentence=f"Nobody who was asked ({who}) reaches the outside, as in a cluster without Internet access.",
    )


def _node(node: Subject, reach: Value) -> Finding:
    if reach == "mixed":
        sentence = f"Node {node.name} reaches only some of the addresses outside that were tried."
        return Finding(probe=NAME, subject=node, severity=Severity.WARN, sentence=sentence)
    return Finding(
        probe=NAME,
        subject=node,
        severity=Severity.FAIL,
        sentence=f"Node {node.name} does not reach the outside, which others do: a test {in_words(str(reach))}.",
        evidence={"reach_outside": reach},
        symptom=Symptom(kind=SymptomKind.OUTSIDE_UNREACHABLE, subject=node, hop="underlay"),
    )


def _pods(table: FactTable, pods: Mapping[Subject, Value]) -> Iterator[Finding]:
    """Pods that do not get out although their node does. Broken links and gateways are told by their own probes."""
    states: dict[Subject, str | None] = {}
    for pod, reach in pods.items():
        known, host = table.of(pod), table.relations.node_of_pod.get(pod)
        cut_off = is_link_broken(known) or known.get("gateway_arp") == "silent"
        by_itself = host is None or table.of(host).get("reach_outside") in {"ok", "mixed", None}
        states[pod] = str(reach) if reach not in {"ok", "mixed"} and by_itself and not cut_off else None
    for who, reach in sharing(table, states):
        yield _who(who, reach)


def _who(who: Who, reach: str) -> Finding:
    return Finding(
        probe=NAME,
        subject=who.subject,
        severity=Severity.FAIL,
        sentence=f"From {who} the outside is not reached: a test {in_words(reach)}.",
        evidence={"reach_outside": reach},
        symptom=who.symptom(SymptomKind.OUTSIDE_UNREACHABLE, "node"),
    )


def _pass(nodes: Sequence[Subject]) -> Finding:
    one = len(nodes) == 1
    return Finding(
        probe=NAME,
        subject=nodes[0] if one else facts.CLUSTER,
        severity=Severity.PASS,
        sentence=f"The outside is reached from {plural(len(nodes), 'node')} ({names(nodes)}).",
    )


PROBE = Probe(
    name=NAME,
    question="Do nodes and their pods reach an address outside the cluster?",
    facts=FACTS,
    needs=LOOK_AT_PODS,
    observe=observe,
    judge=judge,
)
