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

from bot.cluster.objects import NetworkPolicy
from bot.domain import facts
from bot.domain.access import Need
from bot.domain.facts import CLUSTER, FactBuilder, FactTable, Subject, SubjectKind
from bot.domain.finding import Finding
from bot.probes.declaring import API, fact
from bot.probes.evidence import Evidence
from bot.probes.needs import LOOK_AT_PODS
from bot.probes.network_policies_told import NAME, findings
from bot.probes.outcomes import target_of
from bot.probes.policy_arithmetic import Allowed, allowed, policy_index
from bot.probes.policy_index import name_of
from bot.probes.policy_selectors import selects
from bot.probes.probe import Probe
from bot.probes.service_tests import tests_by_service
from bot.probes.service_view import Backend, backends
from bot.probes.sight import miss_all, put
from bot.probes.stale_policies import wrongly_dropped
from bot.probes.unread import why_unread

MAX_SOURCES = 32
"""Sources held against a Service where no test says who asks; pods that policies cannot tell apart count once."""
MAX_NAMED = 50
_POLICIES = "kubectl get networkpolicies -A -o yaml"
_SELECTING = "kubectl get networkpolicies -n <namespace> -o yaml  # those whose podSelector takes <pod>"
_DENYING = ("none", "ingress", "egress", "both")

HIDDEN_PLURALS = (
    "globalnetworkpolicies",
    "networkpolicies",
    "hostendpoints",
    "ciliumnetworkpolicies",
    "ciliumclusterwidenetworkpolicies",
    "adminnetworkpolicies",
    "baselineadminnetworkpolicies",
)
"""Custom resources that filter traffic and that the arithmetic of `networking.k8s.io` does not know."""

FACTS = (
    fact(
        "pod.policies_ingress", "int", "NetworkPolicies that isolate the pod for ingress.", look=_SELECTING, rungs=API
    ),
    fact("pod.policies_egress", "int", "NetworkPolicies that isolate the pod for egress.", look=_SELECTING, rungs=API),
    fact("pod.policy_names", "list", "The NetworkPolicies that select the pod.", look=_SELECTING, rungs=API),
    fact(
        "pod.egress_dns_denied",
        "bool",
        "The pod's egress policies let it reach no DNS pod.",
        look=_SELECTING,
        rungs=API,
    ),
    fact(
        "pod.ingress_denied_from_scope",
        "bool",
        "No ingress rule of the pod's policies takes some other pod asked about.",
        look=_SELECTING,
        rungs=API,
    ),
    fact(
        "pod.policy_blocks_local",
        "bool",
        "Policies deny some of the flows that were tested from the pod to pods of its own node.",
        look=_POLICIES,
    ),
    fact(
        "pod.policy_blocks_remote",
        "bool",
        "Policies deny some of the flows that were tested from the pod to pods of other nodes.",
        look=_POLICIES,
    ),
    fact(
        "service.denied_by",
        "str",
        "Whose policies deny pods asked about the endpoints: the endpoints' own (ingress) or the pods' (egress).",
        look=_POLICIES,
        values=_DENYING,
        rungs=API,
    ),
    fact(
        "service.denied_sources",
        "list",
        "Pods asked about whom policies deny the Service, at most 50.",
        look=_POLICIES,
        rungs=API,
    ),
    fact("service.denying_policies", "list", "The policies that deny it.", look=_POLICIES, rungs=API),
    fact(
        "node.policy_drops_allowed",
        "list",
        "Pods whose policy chains on the node dropped packets while flows that NetworkPolicies allow were lost.",
        look="nft list ruleset; iptables-save -c  # on <node>, twice: the pod's policy chain, against the policies",
    ),
    fact("cluster.enforces_policy", "bool", "The CNI enforces NetworkPolicies.", look=_POLICIES, rungs=API),
    fact(
        "cluster.hidden_policies",
        "list",
        "Kinds of policy objects present that are not NetworkPolicies of Kubernetes.",
        look="kubectl api-resources | grep -i polic; kubectl get <kind> -A",
        rungs=API,
    ),
    fact(
        "cluster.policies_selecting_nothing",
        "list",
        "NetworkPolicies of the namespace asked about that select no pod.",
        look=_POLICIES,
        rungs=API,
    ),
)

NEEDS = (
    *LOOK_AT_PODS,
    Need(verb="list", resource="networkpolicies", group="networking.k8s.io", why="to know who may talk to whom"),
    Need(verb="list", resource="namespaces", is_optional=True, why="their labels select sources in policies"),
    *(
        Need(verb="list", resource=plural, group=group, is_optional=True, why="policies beyond Kubernetes' own")
        for plural, group in (
            ("globalnetworkpolicies", "crd.projectcalico.org"),
            ("networkpolicies", "crd.projectcalico.org"),
            ("hostendpoints", "crd.projectcalico.org"),
            ("ciliumnetworkpolicies", "cilium.io"),
            ("ciliumclusterwidenetworkpolicies", "cilium.io"),
            ("adminnetworkpolicies", "policy.networking.k8s.io"),
            ("baselineadminnetworkpolicies", "policy.networking.k8s.io"),
        )
    ),
)


def observe(evidence: Evidence, into: FactBuilder) -> None:
    """Who is isolated by what, and which of the flows in question are denied."""
    dns = tuple(_dns_backends(evidence))
    stand_ins = tuple(islice(_distinct(evidence, evidence.scope_pods, each=2), MAX_SOURCES))
    closed: dict[int, bool] = {}
    for pod in _pods_in_question(evidence):
        kind = policy_index(evidence).kind_of(pod)
        if kind not in closed:
            closed[kind] = _is_closed_to(evidence, pod, stand_ins)
        _observe_pod(evidence, pod, dns, into, is_closed=closed[kind])
    _observe_tests(evidence, into)
    _observe_services(evidence, stand_ins, into)
    for node, dropped in wrongly_dropped(evidence).items():
        into.set(facts.node(node), "policy_drops_allowed", tuple(pod.name for pod in dropped))
    _observe_cluster(evidence, into)


def _pods_in_question(evidence: Evidence) -> Iterator[Subject]:
    """The pods asked about, those that tested something, and those behind Services, if policies can concern them."""
    wanted = {*evidence.scope_pods, *(source for source, _, _ in evidence.tests)}
    wanted |= {pod for pods in evidence.relations.pods_of_service.values() for pod in pods}
    return (pod for pod in sorted(wanted & evidence.pods.keys()) if not evidence.pods[pod].spec.host_network)


# Pods


def _observe_pod(
    evidence: Evidence, pod: Subject, dns: Sequence[Backend], into: FactBuilder, *, is_closed: bool
) -> None:
    index = policy_index(evidence)
    namespace = evidence.pods[pod].metadata.namespace
    why = index.why_unread(namespace)
    if why:
        keys = ("policies_ingress", "policies_egress", "policy_names", "egress_dns_denied", "ingress_denied_from_scope")
        miss_all(into, pod, keys, f"NetworkPolicies of namespace {namespace} were not read: {why}")
        return
    ingress, egress = index.isolating(pod, "ingress"), index.isolating(pod, "egress")
    into.set(pod, "policies_ingress", len(ingress))
    into.set(pod, "policies_egress", len(egress))
    into.set(pod, "policy_names", tuple(sorted({name_of(policy) for policy in (*ingress, *egress)})))
    denied, why = _dns_denied(evidence, pod, egress, dns)
    put(into, pod, "egress_dns_denied", denied, why)
    into.set(pod, "ingress_denied_from_scope", is_closed)


def _dns_backends(evidence: Evidence) -> Iterator[Backend]:
    for service in evidence.dns_services:
        yield from (each for each in backends(evidence, service) if each.service_port == 53 and each.protocol == "UDP")


def _dns_denied(
    evidence: Evidence, pod: Subject, egress: Sequence[NetworkPolicy], dns: Sequence[Backend]
) -> tuple[bool | None, str]:
    if not egress:
        return False, ""
    known = [each for each in dns if each.pod in evidence.pods]
    if not known:
        return None, "no DNS pod is known"
    verdicts = {allowed(evidence, pod, each.pod, each.port, "UDP").egress.verdict for each in known if each.pod}
    if "yes" in verdicts:
        return False, ""
    return (None, "it hangs on labels or addresses that are not known") if "unknown" in verdicts else (True, "")


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
        put(into, source, where, value, "it hangs on policies, labels or addresses that are not known")


# Services


def _observe_services(evidence: Evidence, stand_ins: Sequence[Subject], into: FactBuilder) -> None:
    tested = tests_by_service(evidence)
    alike: dict[int, list[Subject]] = defaultdict(list)
    for pod in evidence.scope_pods:
        alike[policy_index(evidence).kind_of(pod)].append(pod)
    for service in evidence.services:
        ends = [each for each in backends(evidence, service) if each.is_ready and each.pod in evidence.pods]
        if not ends:
            keys = ("denied_by", "denied_sources", "denying_policies")
            miss_all(into, service, keys, "no pod is known behind the Service")
            continue
        own = {each.pod for each in ends}
        tests = tested.get(service)
        asked = {each.source for each in (*tests.vip, *tests.direct) if each.is_from_pod} if tests else set[Subject]()
        sources = _distinct(evidence, sorted(asked - own) or [pod for pod in stand_ins if pod not in own])
        _observe_service(evidence, service, tuple(islice(sources, MAX_SOURCES)), ends, alike, into)


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
        miss_all(into, service, keys, unknown or "no pod asked about has a network of its own")
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
    put(into, CLUSTER, "enforces_policy", evidence.cni.enforces_policy, why)
    custom = evidence.snapshot.custom_objects
    kinds = {each.kind or plural for plural in HIDDEN_PLURALS for each in custom.get(plural, ())}
    unread = [each for each in evidence.snapshot.unobserved if _is_hidden(each.what)]
    hidden = tuple(sorted(kinds)) if kinds or not unread else None
    put(into, CLUSTER, "hidden_policies", hidden, unread[0].why if unread else "")
    namespace = evidence.snapshot.namespace
    why = why_unread(evidence.snapshot, "networkpolicies", group="networking.k8s.io", namespace=namespace)
    put(into, CLUSTER, "policies_selecting_nothing", None if why else tuple(_idle_policies(evidence)), why)


def _is_hidden(what: str) -> bool:
    plural, _, group = what.split(" ", maxsplit=1)[0].partition(".")
    return plural in HIDDEN_PLURALS and group != "networking.k8s.io" and (plural != "networkpolicies" or bool(group))


def _idle_policies(evidence: Evidence) -> Iterator[str]:
    namespace = evidence.snapshot.namespace
    pods: Mapping[Subject, Mapping[str, str]] = {
        facts.pod(namespace, pod.metadata.name): pod.metadata.labels for pod in evidence.snapshot.pods
    }
    for policy in policy_index(evidence).by_namespace.get(namespace, ()):
        if not any(selects(policy.spec.pod_selector, labels) is not False for labels in pods.values()):
            yield name_of(policy)


def judge(table: FactTable) -> Sequence[Finding]:
    """See `bot.probes.network_policies_told`."""
    return findings(table)


PROBE = Probe(
    name=NAME,
    question="Which NetworkPolicies select the pods and the flows in question, and what do they deny?",
    facts=FACTS,
    needs=NEEDS,
    observe=observe,
    judge=judge,
)
