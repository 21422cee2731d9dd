"""The report: what a diagnosis came to, as one value. Its JSON form is a contract (docs/report.schema.json)."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from bot.domain.finding import Hop

SCHEMA = "cnibot.report/v1"

Status = Literal["healthy", "degraded", "broken", "inconclusive"]


class Confidence(StrEnum):
    """How sure a cause is, strongest first."""

    CONFIRMED = "confirmed"
    LIKELY = "likely"
    POSSIBLE = "possible"
    RULED_OUT = "ruled_out"


Risk = Literal["r0", "r1", "r2", "r3"]
"""r0 none; r1 one pod; r2 one node, reversible; r3 the cluster, or needs a window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportScope:
    """What was asked about."""

    cluster: str
    namespace: str
    pod: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The answer in one line."""

    status: Status
    cause: str | None = None
    confidence: Literal["confirmed", "likely", "possible"] | None = None
    hop: Hop | None = None
    summary: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unobserved:
    """What was not seen, why, and what would let it be seen."""

    what: str
    why: str
    remedy: str = ""
    """A permission ("get nodes") or a step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CauseReport:
    """One hypothesis with its reasons."""

    id: str
    title: str
    confidence: Literal["confirmed", "likely", "possible", "ruled_out"]
    hop: Hop
    mechanism: str = ""
    subjects: tuple[str, ...] = ()
    evidence_for: tuple[str, ...] = ()
    evidence_against: tuple[str, ...] = ()
    unobserved: tuple[str, ...] = ()
    look_alikes: tuple[str, ...] = ()
    """Sentences: what it is not, and what shows that."""
    explains: tuple[str, ...] = ()
    """Symptoms it accounts for, as "kind subject"."""
    usual_changes: str = ""
    """What has usually changed before: where to look for the origin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownIssueReport:
    """A known issue held against the evidence."""

    id: str
    match: Literal["matches", "possible", "ruled_out"]
    title: str = ""
    references: tuple[str, ...] = ()
    why: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingReport:
    """A probe's statement."""

    probe: str
    subject: str
    severity: Literal["pass", "info", "warn", "fail", "inconclusive"]
    sentence: str
    symptom: str = ""
    """The kind of symptom that it shows and that needs a cause ("gateway-silent"), "" for none."""
    evidence: dict[str, bool | int | float | str | list[bool | int | float | str]] = field(
        default_factory=dict[str, bool | int | float | str | list[bool | int | float | str]]
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BlastRadius:
    """Who is hit."""

    nodes: tuple[str, ...] = ()
    pods: int = 0
    services: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    """Applications whose playbooks recognised their pods: "Seldon Core 2", "MLflow"."""
    pod_names: tuple[str, ...] = ()
    """At most 50 of the pods."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemediationReport:
    """A fix on offer, safest first."""

    id: str
    risk: Risk
    why: str
    commands: tuple[str, ...] = ()
    undo: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How much was seen."""

    access: Literal["api", "exec", "cni-agent", "agent"]
    nodes_observed: int
    nodes_total: int
    pods_observed: int
    pods_total: int
    unobserved: tuple[Unobserved, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PathHop:
    """One station of the packet's way, for the drawing."""

    name: str
    state: Literal["ok", "broken", "unknown", "suspect"]
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connectivity:
    """Whether one node's pods (or the node itself) reach another node's, in this direction."""

    source: str
    """A node."""
    target: str
    """A node; the same one for traffic that stays on it."""
    state: Literal["ok", "failed", "partial", "unknown"]
    """"unknown": nobody tested it, or policies forbid all that was tested."""
    tested: int
    """Flows that decided: between pods where there are such, else from the node itself."""
    failed: int
    """Those of them that failed, wholly or now and then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Something that changed within a day before the symptoms: a lead, never a proof."""

    at: str
    """RFC 3339, UTC; "" where only the difference is known, not since when."""
    what: str
    """As the rest of a sentence: "got revision 3 (Helm chart cilium-1.18.1)"."""
    subject: str
    """Kind and name: "DaemonSet kube-system/cilium"."""
    ago_s: int | None = None
    """Seconds before the evidence was taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transient:
    """Trouble of a young pod that was gone when looked at again: nothing to mend, and no cause."""

    subject: str
    """Kind and name: "pod seldon-mesh/a"."""
    symptom: str
    """Its kind: "gateway-silent"."""
    sentence: str
    """What was seen first."""
    after_s: float
    """Seconds between the two looks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that a reader of a diagnosis may want."""

    schema: str = SCHEMA
    scope: ReportScope
    started_at: str
    took_s: float
    verdict: Verdict
    causes: tuple[CauseReport, ...] = ()
    known_issues: tuple[KnownIssueReport, ...] = ()
    findings: tuple[FindingReport, ...] = ()
    blast_radius: BlastRadius = field(default_factory=BlastRadius)
    remediations: tuple[RemediationReport, ...] = ()
    coverage: Coverage
    path: tuple[PathHop, ...] = ()
    connectivity: tuple[Connectivity, ...] = ()
    """Every ordered pair of nodes, sorted; of many nodes only the pairs that were tested."""
    changes: tuple[Change, ...] = ()
    """Newest first, those of an unknown time last."""
    transients: tuple[Transient, ...] = ()
    """What healed by itself between two looks."""
    next_steps: tuple[str, ...] = ()
    """What to do or look at now, cheapest first."""
    cni: str = "unknown"
    cni_version: str = ""
    kubernetes_version: str = ""
    """The API server's, as it says it: "v1.33.1+k3s1"."""
    kernels: tuple[str, ...] = ()
    """The kernels of the nodes in scope, each once, sorted."""
    exec_calls: int = 0
