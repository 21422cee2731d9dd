"""A report as an on-call engineer needs it, in plain sentences: who, since when, why, and what it is not.

Slack and the terminal say the same, for both read it here.
"""

import re
from collections.abc import Sequence

from bot.domain.errors import bounded
from bot.domain.listing import and_more, counted, left_out
from bot.domain.redact import redact
from bot.domain.report import (
    CauseReport,
    Change,
    Connectivity,
    FindingReport,
    KnownIssueReport,
    NextStep,
    NodeCommands,
    RemediationReport,
    Report,
    Statement,
    Unobserved,
)
from bot.domain.subject_name import SubjectName
from bot.render.marks import access_words, cni_words, scope_words

RISK_WORDS = {
    "none": "changes nothing",
    "pod": "touches one pod",
    "node": "touches this node only",
    "service": "touches one Service",
    "cluster": "touches the whole cluster: needs a window",
}
_BLAMED = frozenset({"pod", "gateway", "node", "overlay", "underlay"})
"""Hops whose failures people blame on the CNI."""
_MOST_NAMED = 3
_CLAUSE_ENDS = re.compile(r"[;:.] | \(|\.$")
_MOST_OF_CLAUSE = 90
RECENT_S = 3_600
"""A change so shortly before is shown beside "since when"."""


def headline(report: Report) -> str:
    """The verdict in a line: the headline where there is one, else the summary."""
    return report.verdict.headline or report.verdict.summary.rstrip(".") or report.scope.namespace


def standing(report: Report) -> list[CauseReport]:
    """The causes that a reader must know: those that explain something, at most two; else the best candidates."""
    named = [cause for cause in report.causes if cause.confidence != "ruled_out"]
    sure = [cause for cause in named if cause.confidence in {"confirmed", "likely"} and cause.explains]
    return (sure or [cause for cause in named if cause.id == report.verdict.cause])[:2]


def who(report: Report) -> list[str]:
    """Who is cut off, who does not reach them, and what works: numbers that add up."""
    radius = report.blast_radius
    lines: list[str] = []
    if radius.cut_off and radius.effect:
        named = _own(report, radius.cut_off_names[0]) if radius.cut_off_names else ""
        others = radius.cut_off - 1
        pods = f"{named} {left_out(others, 'pod' if others == 1 else 'pods')}".rstrip()
        lines.append(f"{pods}{_on(radius.cut_off_nodes)} {radius.effect}.")
    services = _services(report, radius.waited_for if radius.cut_off else radius.services)
    if radius.waiting:
        pods = f"{counted(radius.waiting, 'pod')} elsewhere" if radius.cut_off else counted(radius.waiting, "pod")
        verb = "does not reach" if radius.waiting == 1 else "do not reach"
        if report.verdict.hop == "dns" and not radius.cut_off:  # it may well be reached, and answer only a part
            verb = "lacks answers of" if radius.waiting == 1 else "lack answers of"
        them = "them" if radius.cut_off > 1 else "it"
        whom = f"{them} ({services})" if radius.cut_off and services else services or them
        lines.append(f"{pods} {verb} {whom}.")
    if not lines and radius.pods:
        lines.append(f"{counted(radius.pods, 'pod')}{_on(radius.nodes)}{f' ({services})' if services else ''}.")
    elif not lines and services:
        lines.append(f"Service {services}.")
    if not lines and report.verdict.place and report.verdict.hop in {"node", "overlay", "underlay"}:
        lines.append(f"Traffic {_between(report.verdict.place)}.")
    if works := _works(report):
        lines.append(works)
    return lines


def _between(place: str) -> str:
    """Of one direction, or between nodes."""
    subject = SubjectName.read(place)
    if subject.kind == "pair":
        return "from {} to {}".format(*subject.ends)
    nodes = place.split(", ")
    return f"of {nodes[0]}" if len(nodes) == 1 else f"between {some(nodes)}"


def _own(report: Report, name: str) -> str:
    """A pod's name; that of the namespace asked about without it."""
    return name.removeprefix(f"{report.scope.namespace}/")


def _on(nodes: Sequence[str]) -> str:
    return f" on {some(nodes)}" if nodes else ""


def _services(report: Report, services: Sequence[str]) -> str:
    ranked = sorted(services, key=lambda one: not one.startswith(f"{report.scope.namespace}/"))
    return some([_own(report, one) for one in ranked])


def _works(report: Report) -> str:
    """The other nodes, where every tested direction among them works."""
    bad = {
        name for pair in report.connectivity if pair.state in {"failed", "partial"} for name in _blamed(report, pair)
    }
    seen = {pair.source for pair in report.connectivity if pair.state == "ok"}
    good = sorted(seen - bad - set(report.blast_radius.cut_off_nodes))
    if not bad or len(good) < 2:
        return ""
    return f"{some(good)} reach each other."


def _blamed(report: Report, pair: Connectivity) -> Sequence[str]:
    """Which ends of a failing direction are at fault: those where the cause stands, else both."""
    ends = (pair.source, pair.target)
    at_fault = [end for end in ends if end in report.blast_radius.cut_off_nodes]
    return at_fault or ends


def some(names: Sequence[str], most: int = _MOST_NAMED) -> str:
    """The first few names as a person lists them."""
    if len(names) > most:
        return and_more(names, most)
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1] if names else "")))


def recent(report: Report) -> list[Change]:
    """Changes within the hour before the evidence was taken, newest first: a lead, no proof."""
    return [one for one in report.changes if one.ago_s is not None and one.ago_s <= RECENT_S]


def found(report: Report) -> list[FindingReport]:
    """What does not work, failures first, and among them those of the namespace asked about."""
    rows = [one for grade in ("fail", "warn") for one in report.findings if one.severity == grade]

    def is_own(one: FindingReport) -> bool:
        subject = SubjectName.read(one.subject)
        return subject.kind == "pod" and subject.namespace == report.scope.namespace

    return sorted(rows, key=lambda one: (one.severity != "fail", not is_own(one)))


def missed(report: Report) -> list[Unobserved]:
    """What was not seen, that of the namespace asked about first."""
    return sorted(report.coverage.unobserved, key=lambda one: not one.is_about(report.scope.namespace))


def decides(report: Report, step: NextStep) -> str:
    """Between which causes a look decides, in words: "decides: cni0 is down; IP forwarding is off"."""
    titles = {one.id: one.short or one.title for one in report.causes}
    return f"decides: {and_more([titles.get(one, one) for one in step.decides], 2, by='; ')}"


def settling(report: Report) -> str:
    """Of a verdict that is inconclusive what would help before any look: more access, or where to begin."""
    if report.verdict.status != "inconclusive":
        return ""
    if report.coverage.access != "agent":
        return "let cnibot inspect the nodes: --access agent; `cnibot doctor` names the permissions"
    if report.steps or report.verdict.hop is None:
        return ""
    if any(one.lost for one in report.trace):
        return "no known cause fits: follow the probe packets below from where they were last seen"
    return "no known cause fits: compare what fails below with what works beside it"


def risk(fix: RemediationReport) -> str:
    """What a fix touches, in words."""
    nodes = len({one.node for one in fix.at if one.node})
    return f"touches these {nodes} nodes only" if fix.touches == "node" and nodes > 1 else RISK_WORDS[fix.touches]


def grouped(fix: RemediationReport) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """The commands, each block once with the nodes on which it is typed; no nodes: wherever the API answers."""
    return _grouped(fix.at, fix.commands)


def undoing(fix: RemediationReport) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """The same of what undoes it."""
    return _grouped(fix.undo_at, fix.undo)


def _grouped(at: Sequence[NodeCommands], commands: tuple[str, ...]) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    groups: dict[tuple[str, ...], list[str]] = {}
    if commands and not at:  # of a version that did not know where
        return [((), commands)]
    for one in at:
        groups.setdefault(one.commands, []).extend([one.node] if one.node else [])
    return [(tuple(nodes), typed) for typed, nodes in groups.items()]


def alternatives(fixes: Sequence[RemediationReport]) -> str:
    """Further fixes in a line, each by what it does, names as they are: "restart calico-node on node-2"."""
    return "; ".join(filter(None, map(_in_short, fixes[:2])))


def _in_short(fix: RemediationReport) -> str:
    """The first clause of what a fix does, as the middle of a sentence."""
    says = redact(bounded(fix.why, 600))  # struck out before it is cut: half of a secret is known no more
    clause = bounded(_CLAUSE_ENDS.split(says, maxsplit=1)[0].strip(), _MOST_OF_CLAUSE)
    return clause if clause[1:2].isupper() else f"{clause[:1].lower()}{clause[1:]}"


def proofs(report: Report, cause: CauseReport, most: int = 3) -> list[str]:
    """What shows the cause; two contrasts in numbers are proof enough."""
    shown = [one for one in cause.supporting if one.counts or one.pattern or not one.subjects]
    contrasts = sum(one.counts is not None and one.counts.of_elsewhere > one.counts.elsewhere for one in shown[:2])
    return [proof(report, one) for one in shown[: min(most, 2) if contrasts == 2 else most]]


def proof(report: Report, one: Statement) -> str:
    """A statement with the contrast in numbers; without one with the number of its subjects."""
    counts = one.counts
    text = one.pattern or one.text
    if counts is None or not counts.of_here:
        return _named(report, one)
    here = f"{counts.here} of {counted(counts.of_here, noun(counts.kind))}{_at_fault(report, counts.kind)}"
    if counts.of_here == 1 and one.subjects:
        here = _short(report, one.subjects[0])
    if counts.elsewhere == counts.of_elsewhere:  # nothing to compare with, or no contrast
        return f"{text}: {here}"
    return f"{text}: {here}, {counts.elsewhere} of {counts.of_elsewhere} elsewhere"


def noun(kind: str) -> str:
    """What subjects of a kind are called."""
    return {"pair": "direction", "service": "Service"}.get(kind, redact(kind))  # before an "s" is added


def _at_fault(report: Report, kind: str) -> str:
    return _on(report.blast_radius.cut_off_nodes) if kind == "pod" else ""


def _named(report: Report, one: Statement) -> str:
    """A statement with one of its subjects, of the namespace asked about if there is one, and the number of others."""
    text = one.text
    if not one.subjects or one.subjects[0] == "cluster":  # there is one
        return text
    own = report.scope.namespace
    first = next((each for each in one.subjects if SubjectName.read(each).namespace == own), one.subjects[0])
    shown = and_more([_short(report, first)], 1, beyond=len(one.subjects) - 1 + one.more)
    return f"{shown}: {text}"


def _short(report: Report, subject: str) -> str:
    """A subject without the namespace asked about: "pod a"."""
    read = SubjectName.read(subject)
    name = " to ".join(read.ends) if read.kind == "pair" else _own(report, read.name)
    return f"{noun(read.kind)} {name}".strip()


def follows(report: Report) -> list[str]:
    """What follows from the cause and is no second fault: "Service mlflow/postgres: no endpoint is ready"."""
    return [_named(report, one) for one in report.follows]


def candidate(cause: CauseReport) -> str:
    """A cause that is not proven; "possible" is what the title above it says."""
    return cause.title if cause.confidence == "possible" else f"{cause.title} ({cause.confidence})"


def not_these(causes: Sequence[CauseReport]) -> list[str]:
    """The look-alikes that are refuted, by their plain titles, each once."""
    found = (one for cause in causes for one in cause.likenesses if one.is_refuted)
    return list(dict.fromkeys(one.title or one.cause for one in found))


def never(causes: Sequence[CauseReport]) -> str:
    """What people would do in vain; "" for causes that nobody blames on the CNI."""
    return next((one.never for one in causes if one.never and one.hop in _BLAMED), "")


def issues(report: Report) -> tuple[list[KnownIssueReport], list[KnownIssueReport]]:
    """The known issues that match, and one that does not though its symptom looks like it."""
    matching = [one for one in report.known_issues if one.match == "matches"]
    refuted = [one for one in report.known_issues if one.match == "ruled_out" and one.references]
    return matching, refuted[:1]


def facts(report: Report) -> str:
    """What was asked and how much was seen, as small print."""
    seen = report.coverage
    much = f"{seen.nodes_observed} of {seen.nodes_total} nodes, {seen.pods_observed} of {seen.pods_total} pods seen"
    if seen.access != "agent":
        much = access_words(report)
    return " · ".join((scope_words(report), cni_words(report), much, f"{report.took_s:.1f} s"))
