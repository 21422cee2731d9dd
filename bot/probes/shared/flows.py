"""The tests between pods and nodes as flows: who asked whom, what came of it, and whether policies forbid it.

A flow that NetworkPolicies forbid fails rightly, and ICMP counts as forbidden unless a rule without ports allows it.
A TCP connection that the pod itself refuses (RST) on a port on which it does not listen proves that packets pass: it is
left out, like every such refusal by a pod whose listening ports are not known. A refusal by ICMP comes from a rule.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from bot.agent.report import PodReport, Purpose, Test
from bot.domain.facts import Subject, SubjectKind
from bot.probes.engine.evidence import Evidence
from bot.probes.engine.once import once_per_evidence
from bot.probes.policy.enforcement import allowed, enforces_policy
from bot.probes.policy.evaluation import policy_index
from bot.probes.shared.reach import is_refused_by_rule, reach_from, target_of
from bot.probes.shared.unread_resources import why_unread

_PURPOSES = frozenset({"own-node", "node", "local-pod", "remote-pod", "endpoint"})
_LOOPBACK = frozenset({"127.0.0.1", "::1", "::ffff:127.0.0.1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One test between subjects of the cluster."""

    source: Subject
    source_node: str
    target: Subject
    target_node: str
    purpose: Purpose
    protocol: str
    reach: str
    port: int = 0
    latency_ms: float | None = None
    """None: it did not come through."""
    is_refused_by_rule: bool = False
    """An ICMP message refused it: no pod does that, a packet filter does."""
    is_denied: bool = False
    """Policies forbid it, and are enforced (or may be)."""


@once_per_evidence
def tried_flows(evidence: Evidence) -> tuple[Tried, ...]:
    """All tests between pods and nodes that ran, in the reports' order, without pings that are only filtered."""
    flows = tuple(_tried(evidence))
    groups: dict[_Group, list[Tried]] = defaultdict(list)
    for flow in flows:
        if not flow.is_denied:
            for group in _groups(flow):
                groups[group].append(flow)
    filtered = {group for group, those in groups.items() if _lacks_pings_only(those)}
    return tuple(flow for flow in flows if not (_is_lost_ping(flow) and filtered.intersection(_groups(flow))))


_Group: TypeAlias = Subject | tuple[str, str]


def _groups(flow: Tried) -> Sequence[_Group]:
    """What may filter pings: a pod, or something between two nodes."""
    if flow.target.kind is not SubjectKind.POD:
        return ()
    return (flow.target, *([(flow.source_node, flow.target_node)] if flow.source_node != flow.target_node else []))


def _is_lost_ping(flow: Tried) -> bool:
    return flow.protocol == "icmp" and flow.reach == "timeout"


def _lacks_pings_only(flows: Sequence[Tried]) -> bool:
    """Whether nobody's pings are answered where all connections open: a hardened pod, a firewall that takes ICMP.

    No application needs an echo; we send it for contrast.
    """
    pings = [flow for flow in flows if flow.protocol == "icmp"]
    connections = [flow for flow in flows if flow.protocol == "tcp"]
    is_silent = len(pings) > 1 and all(map(_is_lost_ping, pings))
    return is_silent and bool(connections) and all(flow.reach == "ok" for flow in connections)


def _tried(evidence: Evidence) -> Iterator[Tried]:
    # Without any policy nothing is denied: thousands of flows need no arithmetic.
    enforced = enforces_policy(evidence) is not False and not policy_index(evidence).is_empty
    for source, node, test in evidence.tests:
        reach = reach_from(evidence, source, test)
        if reach is None or test.purpose not in _PURPOSES or test.protocol not in {"icmp", "tcp"}:
            continue
        target = target_of(evidence, test)
        if target is None or target == source or _is_gone(evidence, target):
            continue
        if not _counts(evidence.pod_reports.get(target), test, reach):
            continue
        is_pod = target.kind is SubjectKind.POD
        yield Tried(
            source=source,
            source_node=node,
            target=target,
            target_node=(evidence.node_of(target) or test.node) if is_pod else target.name,
            purpose=test.purpose,
            protocol=test.protocol,
            reach=reach,
            port=test.port,
            latency_ms=test.latency_ms if reach == "ok" else None,
            is_refused_by_rule=is_refused_by_rule(test),
            is_denied=enforced
            and allowed(evidence, source, target, test.port or None, test.protocol.upper()).is_denied,
        )


def _is_gone(evidence: Evidence, target: Subject) -> bool:
    """Whether an endpoint speaks of a pod that the namespace asked about does not have: nobody's neighbour."""
    namespace = evidence.snapshot.namespace
    is_ours = target.kind is SubjectKind.POD and target.name.startswith(f"{namespace}/")
    return is_ours and target not in evidence.pods and not why_unread(evidence.snapshot, "pods", namespace=namespace)


def _counts(target: PodReport | None, test: Test, reach: str) -> bool:
    if reach == "reset":
        return False  # Both ways were open: who accepted it ended it.
    if reach != "refused" or test.protocol != "tcp" or test.icmp or test.purpose in {"own-node", "node"}:
        return True
    listeners = target.state.listeners if target and target.state else None
    return listeners is not None and any(
        each.port == test.port and each.protocol == "tcp" and each.ip not in _LOOPBACK for each in listeners
    )
