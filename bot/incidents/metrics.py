"""What diagnoses came to, for Prometheus. Labels are names that we know: clusters, causes, probes; never a pod's."""

from prometheus_client import Counter, Histogram

from bot.domain.report import Report

SECONDS = Histogram(
    "cnibot_diagnosis_seconds",
    "From the beginning of a diagnosis to its report, or to why there is none.",
    ("cluster", "status"),
    buckets=(1, 2, 3, 5, 8, 13, 20, 30, 45, 60, 120),
)
VERDICTS = Counter(
    "cnibot_verdicts_total", "Verdicts by status and cause (none: not known).", ("cluster", "status", "cause")
)
FINDINGS = Counter("cnibot_findings_total", "What probes stated, by severity.", ("cluster", "probe", "severity"))
FLOWS = Counter(
    "cnibot_node_flows_total",
    "Flows that were tried between nodes, or on one: same-node, other-node.",
    ("cluster", "path", "outcome"),
)


def count_report(cluster: str, report: Report, *, seconds: float) -> None:
    """Count a report."""
    verdict = report.verdict
    SECONDS.labels(cluster, verdict.status).observe(seconds)
    VERDICTS.labels(cluster, verdict.status, verdict.cause or "none").inc()
    for finding in report.findings:
        FINDINGS.labels(cluster, finding.probe, finding.severity).inc()
    for pair in report.connectivity:
        path = "same-node" if pair.source == pair.target else "other-node"
        FLOWS.labels(cluster, path, "failed").inc(pair.failed)
        FLOWS.labels(cluster, path, "passed").inc(pair.tested - pair.failed)


def count_failure(cluster: str, *, seconds: float) -> None:
    """Count a diagnosis without a verdict."""
    SECONDS.labels(cluster, "failed").observe(seconds)
