"""With how many hops a namespace's packets set out, and whether these suffice within a cluster."""

from bot.agent.report import NetnsState
from bot.domain.facts import Subject
from bot.probes.engine.evidence import Evidence
from bot.probes.shared.pod_views import sysctl

USUAL = 64
FEW = 4
"""Two nodes and a router between them take three."""


def hops_of(state: NetnsState | None) -> int | None:
    """Of IPv4 packets (ip_default_ttl); None when it was not read."""
    return sysctl(state, "ipv4.ip_default_ttl") if state else None


def has_few_hops(evidence: Evidence, pod: Subject) -> bool:
    """Whether packets of the pod may die of their hops within the cluster: then their loss says nothing of filters."""
    report = evidence.pod_reports.get(pod)
    hops = hops_of(report.state) if report else None
    return hops is not None and hops < FEW
