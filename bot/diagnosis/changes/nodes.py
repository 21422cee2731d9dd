"""Changes of nodes: joined, started again, ready again, and settings that no other node has."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from bot.agent.report import NodeReport
from bot.cluster.objects import Node
from bot.diagnosis.changes.seen import SETTLING, Seen, settled_at
from bot.domain.facts import FactTable, SubjectKind
from bot.domain.listing import and_more
from bot.probes.engine.evidence import Evidence


def nodes(evidence: Evidence) -> Iterator[Seen]:
    """Nodes that joined, booted or became ready again after their cluster had come up."""
    settled = settled_at(evidence)
    for name, node in sorted(evidence.nodes.items()):
        joined, subject = node.metadata.creation_timestamp, f"Node {name}"
        if joined and settled and joined > settled:
            yield Seen(at=joined, what="joined the cluster", subject=subject)
        booted = _booted_at(evidence.reports.get(name))
        if booted and joined and booted > joined:
            yield Seen(at=booted, what="was started again", subject=subject)
        ready = _ready_at(node)
        if ready and joined and ready > joined + SETTLING and not (booted and _is_near(booted, ready)):
            yield Seen(at=ready, what="became ready again", subject=subject)


def _booted_at(report: NodeReport | None) -> datetime | None:
    if report is None or report.uptime_s is None:
        return None
    try:
        seen_at = datetime.fromisoformat(report.started_at)
        return seen_at - timedelta(seconds=report.uptime_s) if seen_at.tzinfo else None
    except (ValueError, OverflowError):
        return None  # a node's own words: nothing follows from nonsense


def _ready_at(node: Node) -> datetime | None:
    for condition in node.status.conditions:
        if condition.type == "Ready" and condition.status == "True":
            return condition.last_transition_time
    return None


def _is_near(booted: datetime, ready: datetime) -> bool:
    """Whether a node became ready because it booted: one change, not two."""
    return booted <= ready <= booted + SETTLING


def settings(facts: FactTable) -> Iterator[Seen]:
    """Sysctls in which one node differs from all others, which agree; nobody knows since when."""
    for node in facts.subjects(SubjectKind.NODE):
        outliers = facts.of(node).get("sysctl_outliers")
        if isinstance(outliers, tuple) and outliers:
            listed = and_more(outliers, 3, by="; ")
            yield Seen(at=None, what=f"differs from all other nodes: {listed}", subject=f"Node {node.name}")
