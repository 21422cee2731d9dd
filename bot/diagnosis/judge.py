"""From evidence to report: a pure function. The same evidence always comes to the same verdict."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import msgspec

from bot.agent.report import Missing
from bot.causes.differential import differentiate
from bot.diagnosis.blast_radius import blast_radius
from bot.diagnosis.changes.before import changes_before
from bot.diagnosis.connectivity import connectivity, with_lost_sizes
from bot.diagnosis.fact_table import observe
from bot.diagnosis.headline import with_headline
from bot.diagnosis.knowledge import Knowledge
from bot.diagnosis.packet_path import packet_path
from bot.diagnosis.recording import Recording
from bot.diagnosis.roll_back import roll_back_fix
from bot.diagnosis.second_look import agreed, healed
from bot.diagnosis.since import since
from bot.diagnosis.tracing.report import as_sent, localised, trace_reports
from bot.diagnosis.verdict import healed_verdict, next_steps, verdict
from bot.domain.cause import Differential, Explanation
from bot.domain.facts import Subject, SubjectKind
from bot.domain.finding import Finding, Symptom
from bot.domain.redact import redacted
from bot.domain.report import Coverage, FindingReport, KnownIssueReport, Report, ReportScope, Unobserved
from bot.known_issues.match import match
from bot.playbooks.engine import run
from bot.probes.catalogue import FACTS, PROBES
from bot.probes.engine.evidence import Evidence
from bot.probes.packet_trace.fate import fates

MAX_FINDINGS = 400


def judge_recording(recording: Recording, knowledge: Knowledge, *, playbook: str | None = None) -> Report:
    """The report on recorded evidence, by today's rules, without secrets: whoever shows it shows none."""
    report = judge(
        knowledge.informed(recording.evidence()),
        knowledge,
        playbook=playbook or recording.playbook,
        started_at=recording.started_at,
        took_s=recording.took_s,
    )
    plain = msgspec.to_builtins(report)
    safe = redacted(plain)
    return report if safe == plain else msgspec.convert(safe, Report)


def judge(evidence: Evidence, knowledge: Knowledge, *, playbook: str, started_at: str, took_s: float) -> Report:
    """The report on the evidence. Errors: `ConfigurationError` for a playbook that does not exist."""
    facts = observe(evidence)
    findings = run(knowledge.playbook(playbook), PROBES, facts)
    symptoms = tuple(finding.symptom for finding in findings if finding.symptom)
    differential = differentiate(knowledge.causes, facts, symptoms, FACTS.values())
    if evidence.first is not None:
        # Packets are followed after either look: what they prove of a state that both show counts for both.
        first = replace(evidence.first, traced=evidence.traced, traces=evidence.traces)
        differential = agreed(differential, _differential(first, knowledge, playbook), evidence)
    coverage = coverage_of(evidence)
    transients, passing_issues = healed(evidence, knowledge, playbook, symptoms)
    ways = with_lost_sizes(connectivity(evidence), facts)
    decided = healed_verdict(verdict(evidence, coverage, findings, differential, ways), transients)
    followed = fates(evidence)
    decided = localised(decided, followed, as_sent(evidence, symptoms))
    affected = _affected(differential, symptoms)
    radius = blast_radius(evidence, facts, knowledge, differential, affected)
    decided = with_headline(decided, evidence, differential, radius)
    steps = next_steps(differential, decided)
    rollback = roll_back_fix(evidence, differential, radius)
    fixes = (fix for explanation in differential.selected for fix in explanation.fixes)
    return Report(
        scope=ReportScope(cluster=evidence.snapshot.cluster, namespace=evidence.snapshot.namespace, pod=evidence.pod),
        started_at=started_at,
        took_s=round(took_s, 2),
        verdict=decided,
        causes=tuple(explanation.report() for explanation in _titled(differential.all, knowledge)),
        known_issues=(*passing_issues, *_others(match(knowledge.known_issues, facts, differential), passing_issues)),
        follows=tuple(one.statement() for one in differential.consequences),
        findings=_finding_reports(findings),
        blast_radius=radius,
        remediations=(*([rollback] if rollback else []), *fixes),
        coverage=coverage,
        path=packet_path(evidence, facts, decided, differential, affected),
        connectivity=ways,
        changes=changes_before(evidence, facts, affected),
        since=since(evidence, affected),
        trace=trace_reports(followed),
        transients=transients,
        next_steps=tuple(step.sentence for step in steps),
        steps=steps,
        cni=evidence.cni.name,
        cni_version=evidence.cni.version,
        kubernetes_version=evidence.snapshot.server_version,
        kernels=_kernels(evidence),
        exec_calls=evidence.exec_calls,
    )


def _differential(evidence: Evidence, knowledge: Knowledge, playbook: str) -> Differential:
    facts = observe(evidence)
    findings = run(knowledge.playbook(playbook), PROBES, facts)
    symptoms = (finding.symptom for finding in findings if finding.symptom)
    return differentiate(knowledge.causes, facts, symptoms, FACTS.values())


def _titled(explanations: Iterable[Explanation], knowledge: Knowledge) -> Iterator[Explanation]:
    """The explanations, their look-alikes by the short titles that people read."""
    titles = {cause.id: cause.short or cause.title for cause in knowledge.causes}
    for one in explanations:
        alike = tuple(replace(each, title=titles.get(each.cause, "")) for each in one.likenesses)
        yield replace(one, likenesses=alike)


def coverage_of(evidence: Evidence) -> Coverage:
    """How much of the pods and nodes in scope was seen."""
    scope = [pod for pod in evidence.scope_pods if not evidence.pods[pod].spec.host_network]
    missing = (
        Unobserved(
            what=f"node {report.node}: {_part_in_words(evidence, each)}",
            why=each.why,
            kind="part",
            subject=str(evidence.pod_by_uid.get(each.pod, Subject(SubjectKind.NODE, report.node))),
            part=each.what,
        )
        for report in evidence.reports.values()
        for each in report.missing
    )
    return Coverage(
        access=evidence.access.value,
        nodes_observed=len(evidence.reports),
        nodes_total=len(evidence.nodes_in_scope),
        pods_observed=sum(pod in evidence.pod_reports for pod in scope),
        pods_total=len(scope),
        unobserved=(*evidence.unobserved, *missing),
    )


def _part_in_words(evidence: Evidence, missing: Missing) -> str:
    """A part of a node's report, pods by their names: the report itself calls them by uid."""
    pod = evidence.pod_by_uid.get(missing.pod)
    if pod is None:
        return missing.what.removesuffix(".deadline")
    return f"{pod}: {missing.of_pod}" if missing.of_pod else str(pod)


def _kernels(evidence: Evidence) -> tuple[str, ...]:
    nodes = (evidence.nodes[name] for name in evidence.nodes_in_scope if name in evidence.nodes)
    return tuple(sorted({node.status.node_info.kernel_version for node in nodes} - {""}))


def _others(issues: Iterable[KnownIssueReport], listed: Iterable[KnownIssueReport]) -> Iterator[KnownIssueReport]:
    """The issues of which nothing was reported yet."""
    names = {one.id for one in listed}
    return (one for one in issues if one.id not in names)


def _affected(differential: Differential, symptoms: Sequence[Symptom]) -> tuple[Symptom, ...]:
    """The symptoms that the verdict speaks of: those of the leading causes, else all."""
    explained = tuple(symptom for explanation in differential.selected for symptom in explanation.explains)
    return (*explained, *differential.unexplained) if explained else tuple(symptoms)


_ORDER = {severity: rank for rank, severity in enumerate(("fail", "warn", "inconclusive", "info", "pass"))}


def _finding_reports(findings: Sequence[Finding]) -> tuple[FindingReport, ...]:
    """The findings, worst first, bounded."""
    ranked = sorted(findings, key=lambda finding: _ORDER[finding.severity.value])
    return tuple(
        FindingReport(
            probe=finding.probe,
            subject=str(finding.subject),
            severity=finding.severity.value,
            sentence=finding.sentence,
            symptom=finding.symptom.kind.value if finding.symptom else "",
            evidence={
                key: list(value) if isinstance(value, tuple) else value for key, value in finding.evidence.items()
            },
        )
        for finding in ranked[:MAX_FINDINGS]
    )
