"""Policies of the CNI's own kinds that deny, or may deny, flows that failed: reported by pod, at either end.

What the API alone decides is "denies", and only for a flow that something needs; what it leaves open (names, network
sets, AdminNetworkPolicies) is "may-deny", where a flow that NetworkPolicies allow was lost.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from bot.domain.facts import FactBuilder, Subject, SubjectKind
from bot.domain.flows import NeededFlow
from bot.probes.engine.evidence import Evidence
from bot.probes.policy.enforcement import allowed
from bot.probes.policy.evaluation import Allowed, policy_index
from bot.probes.services.attempts import tests_by_service
from bot.probes.services.backends import Backend, backends
from bot.probes.services.needed import needed_flows, needs


def observe_hidden(evidence: Evidence, into: FactBuilder) -> None:
    """Of each pod which of these policies select it, and whether a flow was lost to them."""
    index = policy_index(evidence)
    kubelets = {flow.target: flow for flow in needed_flows(evidence) if flow.known_by == "probe" and flow.target}
    lost: dict[Subject, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    if index.has_hidden:
        for ends, word, names in _lost(evidence):
            for end in ends:
                lost[end][word].update(names)
    for pod, known in evidence.pods.items():
        if known.spec.host_network:
            continue
        denied = _of_kubelet(evidence, kubelets, pod) if index.has_hidden else ()
        found = lost.get(pod, {})
        denying = {*found.get("denies", ()), *denied} or found.get("may-deny", set[str]())
        into.set(pod, "hidden_policies", index.hidden_selecting(pod) if index.has_hidden else ())
        into.set(pod, "hidden_denies", "denies" if denied or "denies" in found else "may-deny" if found else "no")
        into.set(pod, "hidden_denying", tuple(sorted(denying)))
        into.set(pod, "kubelet_denied_by", denied)


def _of_kubelet(evidence: Evidence, kubelets: Mapping[Subject, NeededFlow], pod: Subject) -> tuple[str, ...]:
    flow = kubelets.get(pod)
    if flow is None:
        return ()
    answer = allowed(evidence, flow.source, pod, flow.port, flow.protocol)
    return answer.hidden if answer.is_denied and _is_lost(evidence, flow) else ()


def _is_lost(evidence: Evidence, flow: NeededFlow) -> bool:
    """Whether the node tried the pod, and never reached it."""
    tried = [
        test.outcome
        for source, _, test in evidence.tests
        if source == flow.source and test.ip == flow.address and test.protocol == "tcp"
    ]
    return bool(tried) and "ok" not in tried


def _lost(evidence: Evidence) -> Iterator[tuple[tuple[Subject, ...], str, tuple[str, ...]]]:
    """Failed flows that these policies deny or may deny: the ends at which they do, in which way, and by which."""
    for service, tests in tests_by_service(evidence).items():
        ends = [each for each in backends(evidence, service) if each.is_ready and each.pod in evidence.pods]
        for asked in tests.vip:
            if asked.reach == "ok" or asked.source.kind is not SubjectKind.POD:
                continue
            is_needed = needs(evidence, asked.source, service, asked.port)
            for end in ends:
                if end.service_port == asked.port and end.pod:
                    yield from _at_ends(evidence, asked.source, end, is_needed=is_needed)


def _at_ends(
    evidence: Evidence, source: Subject, end: Backend, *, is_needed: bool
) -> Iterator[tuple[tuple[Subject, ...], str, tuple[str, ...]]]:
    assert end.pod
    answer: Allowed = allowed(evidence, source, end.pod, end.port, end.protocol, by_service=True)
    if answer.verdict == "yes" or not answer.hidden or (answer.is_denied and not is_needed):
        return
    word = "denies" if answer.is_denied else "may-deny"
    sides = ((end.pod, answer.ingress), (source, answer.egress))
    for subject, side in sides:
        if side.verdict != "yes" and side.hidden:
            yield (subject,), word, side.hidden
