"""The verdict: status, leading cause and one sentence; and what to do next."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from bot.domain.cause import Differential, Explanation
from bot.domain.facts import SubjectKind
from bot.domain.finding import Finding, Severity
from bot.domain.report import Confidence, Coverage, Status, Transient, Verdict
from bot.probes.evidence import Evidence

MAX_NAMED = 3


def verdict(evidence: Evidence, coverage: Coverage, findings: Sequence[Finding], differential: Differential) -> Verdict:
    """What the evidence comes to, never more than it carries."""
    failed = [finding for finding in findings if finding.severity is Severity.FAIL]
    if not differential.symptoms and not failed:
        return _nothing_wrong(evidence, coverage)
    if differential.selected:
        return _explained(evidence, differential, failed)
    return _unexplained(differential, failed or list(findings))


def _nothing_wrong(evidence: Evidence, coverage: Coverage) -> Verdict:
    """Healthy needs sight of every node in scope; less is inconclusive and says what is lacking."""
    namespace = evidence.snapshot.namespace
    if not evidence.scope_pods:
        return Verdict(
            status="inconclusive",
            summary=f"Namespace {namespace} has no pods: there is nothing to look at.",
        )
    if coverage.access == "api":
        return Verdict(
            status="inconclusive",
            summary="The API objects show nothing wrong, but no node was looked at: the network itself is unseen.",
        )
    if coverage.access != "agent":
        return Verdict(
            status="inconclusive",
            summary=f"Nothing wrong was seen, but the access rung {coverage.access} cannot test every hop.",
        )
    blind = [node for node in evidence.nodes_in_scope if node not in evidence.reports]
    if blind:
        seen = f"{coverage.nodes_observed} of {coverage.nodes_total} nodes"
        return Verdict(
            status="inconclusive",
            summary=f"Nothing wrong on {seen}; not seen: {_names(blind)} ({evidence.why_no_report(blind[0])})",
        )
    partial = [report.node for report in evidence.reports.values() if report.is_partial]
    if partial:
        return Verdict(
            status="inconclusive", summary=f"Nothing wrong was seen, but the report of {_names(partial)} is partial."
        )
    pods = coverage.pods_observed
    return Verdict(
        status="healthy",
        summary=f"{pods} pods on {coverage.nodes_observed} nodes reach what they need.",
    )


def healed_verdict(decided: Verdict, transients: Sequence[Transient]) -> Verdict:
    """The verdict with a word on what healed between two looks, where nothing else is wrong."""
    if not transients or decided.cause or decided.hop:
        return decided
    subjects = _names(sorted({one.subject for one in transients}))
    said = (
        f"{decided.summary.rstrip('.')}; trouble of {subjects} healed by itself within {transients[0].after_s:.0f} s."
    )
    return replace(decided, summary=said)


def _explained(evidence: Evidence, differential: Differential, failed: Sequence[Finding]) -> Verdict:
    first = differential.selected[0]
    status: Status = "broken" if failed else "degraded"
    summary = f"{first.title}: {_where(evidence, first)}"
    others = differential.selected[1:]
    if others:
        summary += f"; besides, {'; '.join(f'{other.title}: {_where(evidence, other)}' for other in others[:2])}"
    if differential.unexplained:
        number = len(differential.unexplained)
        summary += f"; {number} further symptom{'s remain' if number > 1 else ' remains'} unexplained"
    assert first.confidence is not Confidence.RULED_OUT
    return Verdict(status=status, cause=first.id, confidence=first.confidence.value, hop=first.hop, summary=summary)


def _unexplained(differential: Differential, findings: Sequence[Finding]) -> Verdict:
    """No cause fits: the hop is still localised from the symptoms, and the best candidate is named as a candidate."""
    symptoms = differential.unexplained or differential.symptoms
    hop = symptoms[0].hop if symptoms else None
    candidates = [one for one in differential.alternatives if one.confidence is not Confidence.RULED_OUT]
    says = findings[0].sentence if findings else "Something does not work"
    if candidates:
        names = ", ".join(one.id for one in candidates[:3])
        says = f"{says.rstrip('.')}. Not proven; possible: {names}"
    return Verdict(status="inconclusive", hop=hop, summary=says)


def _where(evidence: Evidence, explanation: Explanation) -> str:
    """The subjects in a few words: pods asked about first, many pods by their nodes."""
    asked = set(evidence.scope_pods)
    subjects = sorted(explanation.subjects, key=lambda subject: (subject not in asked, subject))
    if len(subjects) > MAX_NAMED and all(subject.kind is SubjectKind.POD for subject in subjects):
        nodes = sorted({evidence.node_of(subject) for subject in subjects})
        return f"{len(subjects)} pods on {_names(nodes)}"
    return _names([subject.name or "the cluster" for subject in subjects])


def _names(names: Sequence[str], most: int = MAX_NAMED) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def next_steps(differential: Differential, decided: Verdict) -> tuple[str, ...]:
    """What to do or to look at now, cheapest first."""
    return tuple(dict.fromkeys(_steps(differential, decided)))[:8]


def _steps(differential: Differential, decided: Verdict) -> Iterator[str]:
    for explanation in differential.selected:
        yield from explanation.then
        if explanation.never:
            yield explanation.never
    if decided.status == "inconclusive" or decided.confidence != "confirmed":
        for observation in differential.next_observations:
            look = observation.look or f"observe {observation.fact}"
            yield f"{look} ({observation.subject}; decides {', '.join(observation.decides[:3])})"
