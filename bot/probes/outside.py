"""Do nodes and their pods reach an address outside the cluster?

A node that reaches it while its pods do not points at masquerading, forwarding or an egress policy. Where no node
reaches it, the cluster may simply be cut off from the Internet on purpose: that is said, not accused.

Source: https://kubernetes.io/docs/concepts/services-networking/network-policies/ (egress isolation)
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from bot.cluster.cni.dataplane import config_map_data
from bot.domain import facts
from bot.domain.facts import FactBuilder, FactTable, Subject, SubjectKind, Value
from bot.domain.finding import Finding, Severity, Symptom, SymptomKind
from bot.probes.engine.evidence import Evidence
from bot.probes.engine.fact_spec import API, fact
from bot.probes.engine.needs import LOOK_AT_PODS
from bot.probes.engine.probe import Probe
from bot.probes.policy.enforcement import enforces_policy
from bot.probes.policy.evaluation import policy_index
from bot.probes.shared.own_link import is_link_broken
from bot.probes.shared.pod_views import observable_pods
from bot.probes.shared.reach import REACH_VALUES, aggregate, in_words, reach_from
from bot.probes.shared.sentences import Who, names, plural, sharing

NAME = "outside"
PODS = 2
"""From so many pods on, what all of them fail at is not one pod's trouble."""
_OUT = frozenset({"ok", "mixed"})
_BY_PROGRAM = frozenset({"cilium", "antrea", "ovn", "kube-ovn", "aws-vpc", "azure"})
"""They may translate addresses by programs. Cilium does where its configuration says so, else by rules."""
_UPSTREAM = (
    "$(cat /run/systemd/resolve/resolv.conf /etc/resolv.conf 2>/dev/null | awk '/^nameserver/ {print $2; exit}')"
)
"""The first resolver of the node, which is what our own tests dial, too."""
_LOOK_NODE = f"nc -zvw2 {_UPSTREAM} 53  # on <node>"
_LOOK_POD = f"nsenter -t <pid> -n nc -zvw2 {_UPSTREAM} 53  # on <node>"

FACTS = (
    fact(
        "node.reach_outside",
        "str",
        "How the node itself reaches an address outside the cluster.",
        values=REACH_VALUES,
        look=_LOOK_NODE,
    ),
    fact(
        "pod.reach_outside",
        "str",
        "How the pod reaches an address outside the cluster.",
        values=REACH_VALUES,
        look=_LOOK_POD,
    ),
    fact(
        "node.pods_reach_outside",
        "str",
        "How the node's pods reach an address outside the cluster, all together.",
        values=REACH_VALUES,
        look=_LOOK_POD,
    ),
    fact(
        "node.pods_reach_beyond",
        "str",
        "How the node's pods reach what is no pod: other nodes, endpoints outside, addresses outside, all together.",
        values=REACH_VALUES,
        look="nsenter -t <pid> -n ping -c 1 <other node ip>  # on <node>",
    ),
    fact(
        "node.egress_nat",
        "str",
        "Whether packets that the node's pods send outside get an address that answers find back to (masquerading).",
        values=("present", "missing"),
        look="nft list ruleset; iptables-save -t nat  # on <node>: the way through POSTROUTING",
    ),
    fact(
        "cluster.pools_without_nat",
        "list",
        "Calico's enabled IPPools that do not masquerade what leaves (natOutgoing is not true).",
        look="kubectl get ippools.crd.projectcalico.org -o yaml",
        rungs=API,
    ),
    fact(
        "cluster.only_nodes_reach_outside",
        "bool",
        "Nodes reach the outside, and not one of their pods does.",
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
        if reach == "reset" or (reach == "refused" and not test.icmp):
            reach = "ok"  # It came through: resolvers that serve no TCP refuse it by themselves.
        if reach is not None:
            reaches[source].append(reach)
    together: dict[str, list[str | None]] = defaultdict(list)
    enforced, index = enforces_policy(evidence) is not False, policy_index(evidence)
    for view in observable_pods(evidence):
        pod, reach = view.subject, aggregate(reaches[view.subject])
        if reach not in {None, "ok"} and enforced and index.isolating(pod, "egress"):
            into.miss(pod, "reach_outside", "NetworkPolicies restrict what it may reach")
            continue
        into.put(pod, "reach_outside", reach, view.why or "no test ran from this pod to the outside")
        together[view.pod.spec.node_name].append(reach)
    for name in evidence.reports:
        node = facts.node(name)
        into.put(node, "reach_outside", aggregate(reaches[node]), "no test ran from this node to the outside")
        into.put(node, "pods_reach_outside", aggregate(together[name]), "no test ran from its pods to the outside")
    _observe_nat(evidence, into)
    _observe_contrast(reaches, together, into)
    for name, beyond in _beyond(evidence).items():
        into.put(facts.node(name), "pods_reach_beyond", aggregate(beyond), "no test ran from its pods to anything else")


def _observe_contrast(
    reaches: Mapping[Subject, Sequence[str]], together: Mapping[str, Sequence[str | None]], into: FactBuilder
) -> None:
    """Nodes against their pods, where both were tested."""
    from_nodes = [aggregate(reaches.get(facts.node(name), ())) for name in together if aggregate(together[name])]
    from_pods = [reach for found in together.values() for reach in found if reach is not None]
    is_known = len(from_pods) >= PODS and any(from_nodes)
    only_nodes = any(reach in _OUT for reach in from_nodes) and not any(reach in _OUT for reach in from_pods)
    why = "too few pods and nodes tried to reach the outside"
    into.put(facts.CLUSTER, "only_nodes_reach_outside", only_nodes if is_known else None, why)


def _observe_nat(evidence: Evidence, into: FactBuilder) -> None:
    """What the rules of each node do with what its pods send outside, and what Calico's pools say."""
    pools = evidence.snapshot.custom_objects.get("ippools")
    enabled = [each for each in pools or () if each.spec.get("disabled") is not True]
    off = tuple(each.metadata.name for each in enabled if each.spec.get("natOutgoing") is not True)
    into.put(facts.CLUSTER, "pools_without_nat", off if pools is not None else None, "the API serves no IPPools")
    for name, report in evidence.reports.items():
        outcomes = {each.is_translated for each in report.egress_nat or ()}
        state = "present" if True in outcomes else "missing" if outcomes == {False} else None
        why = "the node's packet filters were not read" if not outcomes else "a rule may, whose conditions are unknown"
        if state == "missing" and _may_translate_by_program(evidence) and not off:
            state, why = None, f"{evidence.cni.name} may translate addresses by programs of its own"
        into.put(facts.node(name), "egress_nat", state, why)


def _may_translate_by_program(evidence: Evidence) -> bool:
    config = config_map_data(evidence.snapshot, "cilium-config") if evidence.cni.name == "cilium" else {}
    if config:
        return config.get("enable-bpf-masquerade") == "true"
    return evidence.cni.name in _BY_PROGRAM


def _beyond(evidence: Evidence) -> Mapping[str, Sequence[str]]:
    """By node, what came of tests from its pods to addresses that are no pod's and not its own."""
    found: dict[str, list[str]] = {name: [] for name in evidence.reports}
    enforced, index = enforces_policy(evidence) is not False, policy_index(evidence)
    own = {name: {each.ip for each in report.root.addresses} for name, report in evidence.reports.items()}
    for source, node, test in evidence.tests:
        is_beyond = test.purpose in {"node", "endpoint", "outside"} and test.protocol in {"icmp", "tcp", "udp"}
        if source.kind is not SubjectKind.POD or not is_beyond or evidence.pods_by_ip.get(test.ip):
            continue
        if test.ip in own[node] or (enforced and index.isolating(source, "egress")):
            continue
        reach = reach_from(evidence, source, test)
        if reach is not None:
            found[node].append("ok" if reach == "refused" and not test.icmp else reach)
    return found


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
        sentence=f"None of those that tried ({who}) reaches the outside, as in a cluster without Internet access.",
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
    """Pods that do not get out although their node does. Broken links and gateways are reported by their own probes."""
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
