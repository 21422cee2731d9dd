"""Are NetworkPolicies enforced here, and do they stop this flow?

What a CNI is known to do is a presumption; what packets did is not. A connection that policies deny and that was
answered shows that nobody enforces the policies which deny it: then they explain no other failure either.

- Where it is not known whether the CNI enforces policies, one such flow decides for all.
- Where it is known to, the flow speaks for the ends that should have stopped it, and for these alone.
- A flow within a node may pass by the packet filters (a bridge hands it over below them), so it speaks only of flows
  within a node.

ICMP shows nothing: enforcers let some of it pass whatever the policies say.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from bot.agent.report import Test
from bot.domain.facts import Subject, SubjectKind
from bot.probes.engine.evidence import Evidence
from bot.probes.engine.once import once_per_evidence
from bot.probes.filters.rule_owners import owners_of
from bot.probes.policy.ends import Direction
from bot.probes.policy.evaluation import ALLOWED, Allowed, by_rules, policy_index

_TO_PODS = frozenset({"local-pod", "remote-pod", "endpoint", "dns-pod"})
_PROTOCOLS = {"tcp": "TCP", "dns-tcp": "TCP", "dns-udp": "UDP"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """A flow that policies deny and that was answered."""

    source: Subject
    target: Subject
    port: int
    protocol: str
    is_local: bool
    """Both ends are on one node."""
    answer: Allowed
    """What the policies say about it."""

    @property
    def ends(self) -> Iterator[tuple[Subject, Direction]]:
        """The ends whose policies should have stopped it."""
        return _denying(self.source, self.target, self.answer)


@once_per_evidence
def denied_but_passed(evidence: Evidence) -> tuple[Passed, ...]:
    """The flows of our tests that policies deny and that were answered nevertheless."""
    return () if policy_index(evidence).is_empty else tuple(_passed(evidence))


@once_per_evidence
def enforces_policy(evidence: Evidence) -> bool | None:
    """Whether NetworkPolicies are enforced: what the CNI is known to do, else what packets show; None: unknown.

    A CNI that does not enforce them may have somebody beside it who does (Flannel kube-router): its rules show that.
    """
    presumed = evidence.cni.enforces_policy
    if presumed is None and any(not each.is_local for each in denied_but_passed(evidence)):
        return False
    return True if presumed is False and _has_enforcer(evidence) else presumed


def _has_enforcer(evidence: Evidence) -> bool:
    """Whether rules of NetworkPolicies stand on a node, in chains of the one who enforces them beside this CNI."""
    enforce = owners_of(evidence.cni.name).enforce
    filters = (report.root.firewall for report in evidence.reports.values())
    return any(enforce(rule.chain) for firewall in filters if firewall for rule in firewall.drops)


def allowed(
    evidence: Evidence,
    source_pod: Subject,
    target_pod: Subject,
    port: int | None,
    protocol: str,
    *,
    by_service: bool = False,
) -> Allowed:
    """Whether NetworkPolicies let `source_pod` reach `target_pod`, as `by_rules`; those that nobody enforces do."""
    if enforces_policy(evidence) is False:
        return ALLOWED
    answer = by_rules(evidence, source_pod, target_pod, port, protocol, by_service=by_service)
    if answer.is_denied and denied_but_passed(evidence) and _is_idle(evidence, source_pod, target_pod, answer):
        return ALLOWED
    return answer


def _is_idle(evidence: Evidence, source: Subject, target: Subject, answer: Allowed) -> bool:
    """Whether packets showed that every end which denies the flow does not stop such flows."""
    is_local = _is_local(evidence, source, target)
    if is_local and evidence.cni.enforces_policy is None:
        return True
    return all((end, is_local) in _idle_ends(evidence) for end in _denying(source, target, answer))


@once_per_evidence
def _idle_ends(evidence: Evidence) -> frozenset[tuple[tuple[Subject, Direction], bool]]:
    """The ends whose policies let pass what they deny, each for flows within its node, between nodes, or both."""
    return frozenset(
        (end, is_local)
        for flow in denied_but_passed(evidence)
        for end in flow.ends
        for is_local in ({True} if flow.is_local else {True, False})
    )


def _denying(source: Subject, target: Subject, answer: Allowed) -> Iterator[tuple[Subject, Direction]]:
    if answer.ingress.verdict == "no":
        yield target, "ingress"
    if answer.egress.verdict == "no":
        yield source, "egress"


def _passed(evidence: Evidence) -> Iterator[Passed]:
    for source, _, test in evidence.tests:
        target = _target(evidence, test)
        if target is None or target == source or source.kind is not SubjectKind.POD or test.outcome != "ok":
            continue
        protocol = _PROTOCOLS[test.protocol]
        answer = by_rules(evidence, source, target, test.port, protocol)
        if answer.is_denied:
            yield Passed(
                source=source,
                target=target,
                port=test.port,
                protocol=protocol,
                is_local=_is_local(evidence, source, target),
                answer=answer,
            )


def _target(evidence: Evidence, test: Test) -> Subject | None:
    """The one pod that a connection or question went to."""
    if test.purpose not in _TO_PODS or test.protocol not in _PROTOCOLS:
        return None
    at_address = evidence.pods_by_ip.get(test.ip, ())
    return at_address[0] if len(at_address) == 1 else None


def _is_local(evidence: Evidence, source: Subject, target: Subject) -> bool:
    return evidence.node_of(source) == evidence.node_of(target)
