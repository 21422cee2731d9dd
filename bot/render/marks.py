"""What every form of a report shares: words, signs, and text made harmless before anything is laid out."""

from collections.abc import Sequence
from typing import cast

import msgspec

from bot.domain.errors import bounded
from bot.domain.report import Change, Connectivity, Report, Transient

MAX_TEXT = 600

STATUS_WORDS = {
    "healthy": "HEALTHY",
    "degraded": "DEGRADED",
    "broken": "BROKEN",
    "inconclusive": "INCONCLUSIVE",
}
SEVERITY_SIGNS = {"pass": "✓", "info": "·", "warn": "!", "fail": "✗", "inconclusive": "?"}
RISK_WORDS = {
    "r0": "no risk",
    "r1": "touches one pod",
    "r2": "touches one node, reversible",
    "r3": "touches the whole cluster: needs a window",
}
HOP_SIGNS = {"ok": "──", "broken": "─✗─", "suspect": "─?─", "unknown": "┄┄"}


def access_words(report: Report) -> str:
    """How much was seen, in one clause."""
    seen = report.coverage
    words = f"{seen.nodes_observed} of {seen.nodes_total} nodes inspected"
    if seen.access == "api":
        words = "API objects only: no node was inspected"
    return f"{words}, {seen.pods_observed} of {seen.pods_total} pods, access {seen.access}"


def scope_words(report: Report) -> str:
    """Namespace or pod, and the cluster."""
    scope = report.scope
    where = f"{scope.namespace}/{scope.pod}" if scope.pod else scope.namespace
    return f"{where} on {scope.cluster}"


def cni_words(report: Report) -> str:
    """The CNI and its version."""
    return f"{report.cni} {report.cni_version}".strip() if report.cni != "unknown" else "unknown CNI"


def pair_words(pair: Connectivity) -> str:
    """One direction between two nodes, and how many of the flows tested in it failed."""
    where = f"on {pair.source}" if pair.source == pair.target else f"{pair.source} to {pair.target}"
    if pair.state == "unknown":
        return f"{where}: not tested"
    flows = f"{pair.tested} flow{'' if pair.tested == 1 else 's'}"
    large = f", {pair.lost_bytes} bytes vanish" if pair.lost_bytes else ""
    return f"{where}: {flows} ok{large}" if pair.state == "ok" else f"{where}: {pair.failed} of {flows} failed{large}"


def failing_pairs(report: Report) -> tuple[Connectivity, ...]:
    """The directions between nodes in which something fails, the dead ones first."""
    bad = [pair for pair in report.connectivity if pair.state in {"failed", "partial"}]
    return tuple(sorted(bad, key=lambda pair: (pair.state != "failed", pair.source, pair.target)))


CHANGED_BEFORE = "Changed before (a lead, not proof of the cause)"


def change_words(change: Change) -> str:
    """What changed and how long ago."""
    ago = "since when is not known" if change.ago_s is None else f"{_span(change.ago_s)} ago"
    return f"{change.subject} {change.what}: {ago}"


def _span(seconds: int) -> str:
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def transient_words(one: Transient) -> str:
    """What was seen first, and that it was gone."""
    return f"{one.sentence.rstrip('.')}: {one.after_s:.0f} s later it was gone"


def usual_changes(report: Report) -> tuple[str, ...]:
    """What usually changed before the causes that stand, each reported once."""
    standing = (cause for cause in report.causes if cause.confidence in {"confirmed", "likely"} and cause.explains)
    return tuple(dict.fromkeys(f"{c.id} usually follows {c.usual_changes}" for c in standing if c.usual_changes))


def cleaned(report: Report) -> Report:
    """The report with every text bounded, on one line and without control characters: safe to lay out."""
    return msgspec.convert(_cleaned(msgspec.to_builtins(report)), Report)


def _cleaned(value: object) -> object:
    if isinstance(value, str):
        return bounded(value, MAX_TEXT)
    if isinstance(value, list | tuple):
        return [_cleaned(item) for item in cast("Sequence[object]", value)]
    if isinstance(value, dict):
        return {str(_cleaned(key)): _cleaned(item) for key, item in cast("dict[object, object]", value).items()}
    return value
