"""Whether what a diagnosis found is what an alert is about. That it must be shown: an alert proves nothing."""

from typing import Literal

from bot.domain.report import Report
from bot.domain.subject_name import SubjectName

Relevance = Literal["explained", "unexplained", "undecided"]
"""Of a fault: it hits what the alert names; it hits others only; or the alert names nothing to hold it against."""


def relevance(report: Report, subject: str) -> Relevance:
    """How a report that found a fault bears on an alert about `subject` (kind and name; "" for nothing exact)."""
    kind, name = SubjectName.read(subject)
    radius = report.blast_radius
    is_cut = radius.pods > len(radius.pod_names)
    if not subject:
        return "undecided"
    if kind == "node":
        return "explained" if name in radius.nodes else "unexplained"
    if kind == "service":
        return "explained" if name in radius.services else "unexplained"
    if kind == "namespace":
        is_affected = any(each.partition("/")[0] == name for each in (*radius.pod_names, *radius.services))
    elif kind == "pod":
        is_affected = name in radius.pod_names
    else:  # pods are called after their workload
        is_affected = any(pod.startswith(f"{name}-") for pod in radius.pod_names)
    if is_affected:
        return "explained"
    return "undecided" if is_cut else "unexplained"
