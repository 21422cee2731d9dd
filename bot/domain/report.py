"""The report: what a diagnosis came to, as one value. Its JSON form is a contract (docs/report.schema.json)."""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from bot.domain.finding import Hop
from bot.domain.listing import and_more
from bot.domain.subject_name import SubjectName

SCHEMA = "cnibot.report/v1"
_NAMESPACE = re.compile(r"[a-z0-9-]{1,63}")
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,252}")

Status = Literal["healthy", "degraded", "broken", "inconclusive"]


class Confidence(StrEnum):
    """How sure a cause is, strongest first."""

    CONFIRMED = "confirmed"
    LIKELY = "likely"
    POSSIBLE = "possible"
    RULED_OUT = "ruled_out"


Risk = Literal["r0", "r1", "r2", "r3"]
"""r0 none; r1 one pod; r2 one node or one Service, reversible; r3 the cluster, or needs a window."""


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
    headline: str = ""
    """The same for a lock screen: place, fact, effect; without a cause place and effect; "" where neither is known."""
    place: str = ""
    """Where the cause stands: "node-2", "Service shop/web". With cluster and cause it tells one fault from another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiRead:
    """Objects that were to be read from the Kubernetes API."""

    plural: str = ""
    """"pods"; "" for a path that is no resource."""
    group: str = ""
    namespace: str = ""
    """"" for all namespaces, and for what is in none."""
    name: str = ""
    """Of the only object; "" for a list."""
    selector: str = ""
    """Of labels or fields: only those objects; "" for all."""
    path: str = ""
    """Where it is no resource: "/apis"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unobserved:
    """What was not seen, why, and what would let it be seen."""

    what: str
    why: str
    remedy: str = ""
    """A permission ("get nodes") or a step."""
    kind: Literal["", "api", "node", "part", "trace", "access"] = ""
    """What `what` speaks of: reads of the API; a node that gave no report; part of a node's report; probe packets that
    were to be followed; a rung of the access ladder. "" in reports of older versions."""
    subject: str = ""
    """Kind and name of what it is about: "node node-3", "pod shop/a"; "" where that is nothing single."""
    part: str = ""
    """Of the node's report, dotted: "root.fdb"."""
    reads: tuple[ApiRead, ...] = ()
    """What was not read of the API, all for the one reason."""

    def is_about(self, namespace: str) -> bool:
        """Whether it was to be read in this namespace, or belongs to one of its pods."""
        subject = SubjectName.read(self.subject)
        is_pod_there = subject.kind == "pod" and subject.namespace == namespace
        return is_pod_there or any(read.namespace == namespace for read in self.reads)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Of how many subjects a statement holds: among those at fault, and among all others of their kind."""

    kind: str
    """What is counted, singular: "pod"."""
    here: int
    """Of those at fault that were observed (`of_here`)."""
    of_here: int
    elsewhere: int
    of_elsewhere: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What holds of one subject, of several alike, or (without any) of all."""

    text: str
    subjects: tuple[str, ...] = ()
    """Kind and name: "pod shop/a"."""
    more: int = 0
    """How many further subjects it holds of word for word."""
    likewise: int = 0
    """Of how many further subjects something like it holds, with other values."""
    counts: Counts | None = None
    """A contrast is the proof: the same in numbers, where there is something to compare with."""
    pattern: str = ""
    """The text with what differs between the subjects cut down to what they share: "proxy_arp is 0 on cali*"."""

    @property
    def sentence(self) -> str:
        """The whole in one line."""
        subjects = and_more(self.subjects, len(self.subjects), beyond=self.more)
        likewise = f" (and likewise for {self.likewise} more)" if self.likewise else ""
        return f"{subjects}: {self.text}{likewise}" if self.subjects else self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class LookAlike:
    """A cause with the same symptoms, and whether something refutes it."""

    cause: str
    is_refuted: bool
    why: str = ""
    """What refutes it."""
    title: str = ""
    """The cause in plain words, short: "the default route is missing"."""

    @property
    def sentence(self) -> str:
        """The same in one line."""
        if self.is_refuted:
            return f"not {self.cause}: {self.why}"
        return f"{self.cause} is not refuted by what was observed"


@dataclass(frozen=True, slots=True, kw_only=True)
class NextStep:
    """Something to do, or (with `look`) to look at because it decides between causes."""

    text: str = ""
    look: str = ""
    """How a person observes it: a command. Reports of former versions may have <pod> and <node> in it."""
    subject: str = ""
    decides: tuple[str, ...] = ()
    """Causes."""
    is_warning: bool = False
    """It says what not to do."""

    @property
    def command(self) -> str:
        """`look` with the subject in its placeholders, where its name is one that a shell takes as it stands."""
        subject = SubjectName.read(self.subject)
        if not _NAME.fullmatch(subject.short):
            return self.look
        if subject.kind == "node" and not subject.namespace:
            return self.look.replace("<node>", subject.name)
        takes_pod = subject.kind == "pod" and _NAMESPACE.fullmatch(subject.namespace) and "kubectl" in self.look
        return self.look.replace("<pod>", f"-n {subject.namespace} {subject.short}") if takes_pod else self.look

    @property
    def place(self) -> str:
        """Where to look, unless the command says it."""
        name = SubjectName.read(self.subject).short
        return "" if name and name in self.command else self.subject

    @property
    def sentence(self) -> str:
        """The same in one line."""
        if not self.look:
            return self.text
        about = "; ".join(filter(None, (self.place, f"decides {', '.join(self.decides)}")))
        return f"{self.command} ({about})"


@dataclass(frozen=True, slots=True, kw_only=True)
class CauseReport:
    """One hypothesis with its reasons."""

    id: str
    title: str
    confidence: Literal["confirmed", "likely", "possible", "ruled_out"]
    hop: Hop
    short: str = ""
    """The title in a few words."""
    mechanism: str = ""
    subjects: tuple[str, ...] = ()
    evidence_for: tuple[str, ...] = ()
    evidence_against: tuple[str, ...] = ()
    unobserved: tuple[str, ...] = ()
    look_alikes: tuple[str, ...] = ()
    """Sentences: what it is not, and what shows that."""
    supporting: tuple[Statement, ...] = ()
    """`evidence_for` as values."""
    opposing: tuple[Statement, ...] = ()
    """`evidence_against` as values."""
    likenesses: tuple[LookAlike, ...] = ()
    """`look_alikes` as values."""
    explains: tuple[str, ...] = ()
    """Symptoms it accounts for, as "kind subject"."""
    usual_changes: str = ""
    """What has usually changed before: where to look for the origin."""
    never: str = ""
    """A drastic step that it does not call for, and why not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownIssueReport:
    """A known issue held against the evidence."""

    id: str
    match: Literal["matches", "possible", "ruled_out"]
    title: str = ""
    references: tuple[str, ...] = ()
    why: tuple[str, ...] = ()
    open: tuple[str, ...] = ()
    """Those of the reasons that keep it from matching."""


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
    """Who is affected."""

    nodes: tuple[str, ...] = ()
    pods: int = 0
    namespaces: tuple[str, ...] = ()
    """Of all these pods."""
    services: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    """Applications whose playbooks recognised their pods: "Seldon Core 2", "MLflow"."""
    pod_names: tuple[str, ...] = ()
    """At most 50 of the pods."""
    cut_off: int = 0
    """Those of the pods at which the cause stands, or whose node it is."""
    cut_off_names: tuple[str, ...] = ()
    """At most 50 of them, those asked about first."""
    cut_off_nodes: tuple[str, ...] = ()
    fault_nodes: tuple[str, ...] = ()
    """Where the causes stand: of directions that fail the node that they share, while `cut_off_nodes` has both ends."""
    waiting: int = 0
    """All others of the pods: sound themselves, they need something that is cut off. `pods` = `cut_off` + `waiting`."""
    waiting_names: tuple[str, ...] = ()
    """At most 50 of them, those asked about first."""
    waited_for: tuple[str, ...] = ()
    """The Services that those waiting do not reach: of `services` some are missed only by who is cut off."""
    effect: str = ""
    """What it means for those cut off, after their number: "have no gateway"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeCommands:
    """Commands of a fix that are typed at one place."""

    node: str
    """The node whose shell they need; "" where they run wherever the cluster's API answers (kubectl, helm)."""
    commands: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Since:
    """When it began, as far as Kubernetes saw it."""

    first: str
    """RFC 3339, UTC: the first of the pods affected became unready."""
    last: str
    """The last of them."""
    pods: int
    """How many of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemediationReport:
    """A fix on offer, safest first."""

    id: str
    risk: Risk
    why: str
    commands: tuple[str, ...] = ()
    undo: tuple[str, ...] = ()
    touches: Literal["none", "pod", "node", "service", "cluster"] = "node"
    """How far it reaches."""
    at: tuple[NodeCommands, ...] = ()
    """`commands` by the place where they are typed."""
    undo_at: tuple[NodeCommands, ...] = ()
    """`undo` likewise."""
    decide: str = ""
    """What a person must fill in where a command holds a <placeholder>."""
    no_command: str = ""
    """Why there is no command to paste."""
    subjects: tuple[str, ...] = ()
    """Kind and name of what it is for, as many as commands are written for: "pod shop/a"."""


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
    lost_bytes: int | None = None
    """From this size on packets vanish without an error, though smaller ones pass; null where none is known to."""
    latency_ms: float | None = None
    """The median of the flows that came through; null where none did."""


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
    """Trouble of a young pod that was gone when inspected again: nothing to fix, and no cause."""

    subject: str
    """Kind and name: "pod seldon-mesh/a"."""
    symptom: str
    """Its kind: "gateway-silent"."""
    sentence: str
    """What was seen first."""
    after_s: float
    """Seconds between the two looks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What became of a series of probe packets of one flow that fails: it localises, whatever the mechanism."""

    flow: str
    """"UDP from shop/a to 10.43.0.10:53 (kube-system/coredns-1)"."""
    source: str
    """Kind and name: "pod shop/a"."""
    target: str = ""
    sent: int
    lost: int
    direction: Literal["", "request", "reply"] = ""
    """Which of the two was lost; "" for neither."""
    last_seen: str = ""
    """A device, whose it is, and which way: "cali0 of node-1, coming in"."""
    first_not_seen: str = ""
    """Where it should have been seen next; "" where nobody listened."""
    reason: str = ""
    culprit: str = ""
    """The object that did it, as it is written on the node; "" where it is not known."""
    hop: Hop | None = None
    is_kernels_word: bool = False
    """The kernel itself named the place; else it follows from where the packets were seen."""
    sentence: str = ""
    """All of it."""


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
    follows: tuple[Statement, ...] = ()
    """What follows from the causes: states that hold, and that are no faults of their own."""
    findings: tuple[FindingReport, ...] = ()
    blast_radius: BlastRadius = field(default_factory=BlastRadius)
    remediations: tuple[RemediationReport, ...] = ()
    coverage: Coverage
    path: tuple[PathHop, ...] = ()
    connectivity: tuple[Connectivity, ...] = ()
    """Every ordered pair of nodes, sorted; of many nodes only the pairs that were tested."""
    changes: tuple[Change, ...] = ()
    """Newest first, those of an unknown time last."""
    since: Since | None = None
    """When it began; None where nobody saw it."""
    trace: tuple[Trace, ...] = ()
    """What became of probe packets of some flows that fail."""
    transients: tuple[Transient, ...] = ()
    """What healed by itself between two looks."""
    next_steps: tuple[str, ...] = ()
    """What to do or look at now, cheapest first."""
    steps: tuple[NextStep, ...] = ()
    """`next_steps` as values."""
    cni: str = "unknown"
    cni_version: str = ""
    kubernetes_version: str = ""
    """The API server's, as it says it: "v1.33.1+k3s1"."""
    kernels: tuple[str, ...] = ()
    """The kernels of the nodes in scope, each once, sorted."""
    exec_calls: int = 0
