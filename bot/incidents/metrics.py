"""What diagnoses came to, for Prometheus. Labels are names that we know: clusters, causes, probes; never a pod's."""

from prometheus_client import Counter, Histogram

from bot.cluster.client import tally
from bot.domain.report import Report
from bot.domain.subject_name import SubjectName

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

LATENCY = Histogram(
    "cnibot_node_latency_seconds",
    "Of what passed between two nodes, or on one, in a diagnosis: the median of each pair of nodes.",
    ("cluster", "path"),
    buckets=(0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5),
)
GATEWAYS = Counter(
    "cnibot_gateway_failures_total",
    "Findings of pods whose gateway answers no ARP request (gateway-silent), or late (gateway-late), by their node; "
    'node "": pods of several.',
    ("cluster", "node", "symptom"),
)
API_REQUESTS = Counter(
    "cnibot_api_requests_total",
    "Requests to API servers, by method (WEBSOCKET: exec) and outcome: the class of the status, or why there is none.",
    ("method", "outcome"),
)
_GATEWAY = {"gateway-silent", "gateway-late"}


def count_report(cluster: str, report: Report, *, seconds: float) -> None:
    """Count a report."""
    verdict = report.verdict
    SECONDS.labels(cluster, verdict.status).observe(seconds)
    VERDICTS.labels(cluster, verdict.status, verdict.cause or "none").inc()
    for finding in report.findings:
        FINDINGS.labels(cluster, finding.probe, finding.severity).inc()
        if finding.symptom in _GATEWAY:
            GATEWAYS.labels(cluster, _node_of(finding.subject, report), finding.symptom).inc()
    for pair in report.connectivity:
        path = "same-node" if pair.source == pair.target else "other-node"
        FLOWS.labels(cluster, path, "failed").inc(pair.failed)
        FLOWS.labels(cluster, path, "passed").inc(pair.tested - pair.failed)
        if pair.latency_ms is not None:
            LATENCY.labels(cluster, path).observe(pair.latency_ms / 1_000)


def _node_of(subject: str, report: Report) -> str:
    """The node of a finding about a node or about a pod that is cut off; "" where the report does not tell it."""
    name = SubjectName.read(subject)
    if name.kind == "node":
        return name.name
    nodes = report.blast_radius.cut_off_nodes
    return nodes[0] if len(nodes) == 1 else ""


def count_api_requests() -> None:
    """Count the requests since the last time, the worker's too."""
    for method, outcome, number in tally.taken():
        API_REQUESTS.labels(method, outcome).inc(number)


def count_failure(cluster: str, *, seconds: float) -> None:
    """Count a diagnosis without a verdict."""
    SECONDS.labels(cluster, "failed").observe(seconds)
