"""Which NetworkPolicies select the pods and the flows in question, and what do they deny?

A denied flow looks like a broken network: no answer, no trace, from some pods and not from others. The API alone proves
it, by evaluating the policies of both ends; a network under suspicion need not be asked. What it cannot prove is that
the CNI enforces them, and what policies of its own kinds (Calico's GlobalNetworkPolicy, Cilium's, AdminNetworkPolicy)
say on top: these are named.

Whether a denial is meant is for people to say; this probe never calls it a fault.

Source: https://kubernetes.io/docs/concepts/services-networking/network-policies/
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

from bot.domain import facts
from bot.domain.facts import CLUSTER, FactBuilder, Subject, SubjectKind
from bot.domain.report import ApiRead
from bot.probes.engine.evidence import Evidence
from bot.probes.network_policies.clients import observe_clients
from bot.probes.network_policies.dns_servers import observe_dns_servers
from bot.probes.network_policies.hidden import observe_hidden
from bot.probes.network_policies.host_clients import observe_host_clients
from bot.probes.network_policies.nameservers import OF_NAMES, observe_names
from bot.probes.network_policies.stale import wrongly_dropped
from bot.probes.policy.enforcement import Passed, allowed, denied_but_passed, enforces_policy
from bot.probes.policy.evaluation import Allowed, policy_index
from bot.probes.policy.index import name_of
from bot.probes.policy.selectors import selects
from bot.probes.services.attempts import tests_by_service
from bot.probes.services.backends import Backend, backends
from bot.probes.shared.reach import target_of
from bot.probes.shared.unread_resources import why_unread

MAX_SOURCES = 32
"""Sources held against a Service where no test says who asks; pods that policies cannot tell apart count once."""
MAX_NAMED = 50

HIDDEN_PLURALS = (
    "globalnetworkpolicies",
    "networkpolicies",
    "hostendpoints",
    "ciliumnetworkpolicies",
    "ciliumclusterwidenetworkpolicies",
    "adminnetworkpolicies",
    "baselineadminnetworkpolicies",
    "clusternetworkpolicies",
)
"""Custom resources that filter traffic and that the arithmetic of `networking.k8s.io` does not know."""


def observe(evidence: Evidence, into: FactBuilder) -> None:
    """Who is isolated by what, and which of the flows in question are denied."""
    stand_ins = tuple(islice(_distinct(evidence, evidence.scope_pods, each=2), MAX_SOURCES))
    closed: dict[int, bool] = {}
    for pod in _pods_in_question(evidence):
        kind = policy_index(evidence).kind_of(pod)
        if kind not in closed:
            closed[kind] = _is_closed_to(evidence, pod, stand_ins)
        _observe_pod(evidence, pod, into, is_closed=closed[kind])
    _observe_tests(evidence, into)
    _observe_services(evidence, stand_ins, into)
    observe_clients(evidence, into)
    observe_host_clients(evidence, into)
    observe_dns_servers(evidence, into)
    observe_hidden(evidence, into)
    for node, dropped in wrongly_dropped(evidence).items():
        into.set(facts.node(node), "policy_drops_allowed", tuple(pod.name for pod in dropped.pods))
        into.set(facts.node(node), "policy_drops_ports", dropped.ports)
        into.set(facts.node(node), "policy_ranges_cut", dropped.ranges)
    _observe_cluster(evidence, into)


def _pods_in_question(evidence: Evidence) -> Iterator[Subject]:
    """The pods asked about, those that tested something, and those behind Services, if policies can concern them."""
    wanted = {*evidence.scope_pods, *(source for source, _, _ in evidence.tests)}
    wanted |= {pod for pods in evidence.relations.pods_of_service.values() for pod in pods}
    return (pod for pod in sorted(wanted & evidence.pods.keys()) if not evidence.pods[pod].spec.host_network)


# Pods


def _observe_pod(evidence: Evidence, pod: Subject, into: FactBuilder, *, is_closed: bool) -> None:
    index = policy_index(evidence)
    namespace = evidence.pods[pod].metadata.namespace
    why = index.why_unread(namespace)
    if why:
        keys = ("policies_ingress", "policies_egress", "policy_names", "ingress_denied_from_scope")
        into.miss_all(pod, (*keys, *OF_NAMES), f"NetworkPolicies of namespace {namespace} were not read: {why}")
        return
    ingress, egress = index.isolating(pod, "ingress"), index.isolating(pod, "egress")
    into.set(pod, "policies_ingress", len(ingress))
    into.set(pod, "policies_egress", len(egress))
    into.set(pod, "policy_names", tuple(sorted({name_of(policy) for policy in (*ingress, *egress)})))
    observe_names(evidence, pod, egress, into)
    into.set(pod, "ingress_denied_from_scope", is_closed)


def _is_closed_to(evidence: Evidence, pod: Subject, others: Sequence[Subject]) -> bool:
    """Whether one of these may reach the pod on none of the ports that it declares (or at all, if it has none)."""
    if not policy_index(evidence).isolating(pod, "ingress"):
        return False
    declared = [
        (port.container_port, port.protocol or "TCP")
        for container in evidence.pods[pod].spec.containers
        for port in container.ports
    ] or [(0, "TCP")]
    return any(
        all(allowed(evidence, other, pod, port, protocol).ingress.verdict == "no" for port, protocol in declared)
        for other in others
        if other != pod
    )


def _distinct(evidence: Evidence, pods: Iterable[Subject], *, each: int = 1) -> Iterator[Subject]:
    """So many pods of each kind that policies can tell apart."""
    index = policy_index(evidence)
    seen: Counter[int] = Counter()
    for pod in pods:
        kind = index.kind_of(pod)
        seen[kind] += 1
        if seen[kind] <= each:
            yield pod


# Tests


def _observe_tests(evidence: Evidence, into: FactBuilder) -> None:
    """Whether flows that were tested from each pod are denied, to its own node's pods and to others."""
    verdicts: dict[tuple[Subject, str], set[str]] = defaultdict(set)
    for source, node, test in evidence.tests:
        if test.purpose not in {"local-pod", "remote-pod"} or source.kind is not SubjectKind.POD:
            continue
        target = target_of(evidence, test)
        if target not in evidence.pods or target is None:
            continue
        where = "policy_blocks_local" if evidence.node_of(target) == node else "policy_blocks_remote"
        protocol = test.protocol if test.protocol in {"tcp", "udp"} else "icmp"
        verdicts[source, where].add(allowed(evidence, source, target, test.port, protocol).verdict)
    for (source, where), found in verdicts.items():
        value = True if "no" in found else None if "unknown" in found else False
        into.put(source, where, value, "it hangs on policies, labels or addresses that are not known")


# Services


def _observe_services(evidence: Evidence, stand_ins: Sequence[Subject], into: FactBuilder) -> None:
    tested = tests_by_service(evidence)
    alike: dict[int, list[Subject]] = defaultdict(list)
    for pod in evidence.scope_pods:
        alike[policy_index(evidence).kind_of(pod)].append(pod)
    for service in evidence.services:
        ends = [each for each in backends(evidence, service) if each.is_ready and each.pod in evidence.pods]
        pods = [each.pod for each in ends if each.pod]
        count = max((_isolating(evidence, pod) for pod in pods), default=None)
        into.put(service, "policies_ingress", count, "no pod is known behind the Service")
        tried = [*of.vip, *of.direct] if (of := tested.get(service)) else []
        refused = any(each.is_refused_by_rule for each in tried) if tried else None
        into.put(service, "refused_by_rule", refused, "no test of this Service ran")
        if not ends:
            keys = ("denied_by", "denied_sources", "denying_policies")
            into.miss_all(service, keys, "no pod is known behind the Service")
            continue
        own = {each.pod for each in ends}
        tests = tested.get(service)
        tried = [each for each in (*tests.vip, *tests.direct) if each.is_from_pod] if tests else []
        asked, ports = {each.source for each in tried}, {each.port for each in tried if each.backend is None}
        ends = [end for end in ends if not ports or end.service_port in ports]
        sources = _distinct(evidence, sorted(asked - own) or [pod for pod in stand_ins if pod not in own])
        _observe_service(evidence, service, tuple(islice(sources, MAX_SOURCES)), ends, alike, into)


def _isolating(evidence: Evidence, pod: Subject) -> int:
    """How many policies of any kind isolate a pod for ingress, or may."""
    index = policy_index(evidence)
    return len(index.isolating(pod, "ingress")) + len(index.hidden_selecting(pod))


def _observe_service(
    evidence: Evidence,
    service: Subject,
    sources: Sequence[Subject],
    ends: Sequence[Backend],
    alike: Mapping[int, Sequence[Subject]],
    into: FactBuilder,
) -> None:
    """`sources` and `ends` stand for all that policies cannot tell apart from them; so do the denied ones."""
    index = policy_index(evidence)
    kinds = {(index.kind_of(end.pod), end.port, end.protocol): end for end in ends if end.pod}
    answers: list[tuple[Subject, Allowed]] = [
        (source, allowed(evidence, source, end.pod, end.port, end.protocol))
        for source in sources
        for end in kinds.values()
        if end.pod
    ]
    denied = [(source, answer) for source, answer in answers if answer.is_denied]
    unknown = next((answer.why for _, answer in answers if answer.verdict == "unknown"), "")
    if not denied and (unknown or not answers):
        keys = ("denied_by", "denied_sources", "denying_policies")
        into.miss_all(service, keys, unknown or "no pod asked about has a network of its own")
        return
    sides = {side for _, answer in denied for side in ("ingress", "egress") if getattr(answer, side).verdict == "no"}
    own = {end.pod for end in ends}
    alike_ones = (pod for source, _ in denied for pod in alike.get(index.kind_of(source), ())[:MAX_NAMED])
    named = dict.fromkeys(pod for pod in (*(source for source, _ in denied), *alike_ones) if pod not in own)
    into.set(service, "denied_by", "both" if len(sides) == 2 else next(iter(sides), "none"))
    into.set(service, "denied_sources", tuple(sorted(pod.name for pod in islice(named, MAX_NAMED))))
    into.set(service, "denying_policies", tuple(sorted({name for _, answer in denied for name in answer.policies})))


# The cluster


def _observe_cluster(evidence: Evidence, into: FactBuilder) -> None:
    why = f"whether {evidence.cni.name} enforces NetworkPolicies here is not known"
    into.put(CLUSTER, "enforces_policy", enforces_policy(evidence), why)
    passed = denied_but_passed(evidence)
    into.set(CLUSTER, "denied_but_passed", tuple(islice(dict.fromkeys(map(_in_words, passed)), MAX_NAMED)))
    custom = evidence.snapshot.custom_objects
    kinds = {each.kind or plural for plural in HIDDEN_PLURALS for each in custom.get(plural, ())}
    unread = [each for each in evidence.snapshot.unobserved if not each.reads or any(map(_is_hidden, each.reads))]
    hidden = tuple(sorted(kinds)) if kinds or not unread else None
    into.put(CLUSTER, "hidden_policies", hidden, unread[0].why if unread else "")
    namespace = evidence.snapshot.namespace
    why = why_unread(evidence.snapshot, "networkpolicies", group="networking.k8s.io", namespace=namespace)
    into.put(CLUSTER, "policies_selecting_nothing", None if why else tuple(_idle_policies(evidence)), why)


def _in_words(passed: Passed) -> str:
    by = ", ".join((*passed.answer.policies, *passed.answer.hidden))
    return f"{passed.source.name} reaches {passed.target.name} on {passed.protocol} {passed.port} in spite of {by}"


def _is_hidden(read: ApiRead) -> bool:
    """Whether policies of another kind than Kubernetes' own may have come by this read."""
    return read.path == "/apis" or (read.plural in HIDDEN_PLURALS and read.group not in {"", "networking.k8s.io"})


def _idle_policies(evidence: Evidence) -> Iterator[str]:
    namespace = evidence.snapshot.namespace
    pods: Mapping[Subject, Mapping[str, str]] = {
        facts.pod(namespace, pod.metadata.name): pod.metadata.labels for pod in evidence.snapshot.pods
    }
    for policy in policy_index(evidence).by_namespace.get(namespace, ()):
        if not any(selects(policy.spec.pod_selector, labels) is not False for labels in pods.values()):
            yield name_of(policy)
