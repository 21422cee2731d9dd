"""Watches: what the clock puts into the inbox, and when a verdict is news."""

from collections.abc import Sequence

from bot.domain.incident import Incident
from bot.domain.report import Report
from bot.remediation.verification import ANSWERS

WATCH_DUE = "cni_watch_due"
"""The type of the inbox's entry that says that a watch's turn has come."""


def is_news(incident: Incident | None, report: Report) -> bool:
    """Whether the verdict differs from what the channel knows. Without an open incident it knows of nothing wrong.

    Not knowing is no news, unless something was seen to fail.
    """
    verdict = report.verdict
    if verdict.status == "inconclusive" and not any(finding.severity == "fail" for finding in report.findings):
        return False
    if incident is None:
        return verdict.status != "healthy"
    return (incident.status, incident.cause) != (verdict.status, verdict.cause)


def answers_after(known: Sequence[str], report: Report) -> tuple[str, ...]:
    """The Services that answer wrongly by now, of those known to and those that were asked. Not asked is no change."""
    asked = {one.subject: one.severity for one in report.findings if one.probe == ANSWERS}
    right = {subject for subject, severity in asked.items() if severity == "pass"}
    wrong = {subject for subject, severity in asked.items() if severity == "warn"}
    return tuple(sorted((set(known) | wrong) - right))
