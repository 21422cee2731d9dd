"""From evidence to report: a pure function. The same evidence always comes to the same verdict."""

from collections.abc import Iterable, Iterator, Sequence

from bot.causes.differential import differentiate
from bot.domain.cause import Differential
from bot.domain.finding import Finding, Symptom
from bot.domain.report import Coverage, FindingReport, KnownIssueReport, Report, ReportScope, Unobserved
from bot.incidents.blast_radius import blast_radius
from bot.incidents.changes.before import changes_before
from bot.incidents.connectivity import connectivity
from bot.incidents.knowledge import Knowledge
from bot.incidents.observing import observe
from bot.incidents.path import packet_path
from bot.incidents.recording import Recording
from bot.incidents.second_look import healed
from bot.incidents.verdict import healed_verdict, next_steps, verdict
from bot.known_issues.match import match
from bot.playbooks.engine import run
from bot.probes.catalogue import FACTS, PROBES
from bot.probes.evidence import Evidence

MAX_FINDINGS = 400


def judge_recording(recording: Recording, knowledge: Knowledge, *, playbook: str | None = None) -> Report:
    """The report on recorded evidence, by today's rules."""
    return judge(
        recording.evidence(),
        knowledge,
        playbook=playbook or recording.playbook,
        started_at=recording.started_at,
        took_s=recording.took_s,
    )


def judge(evidence: Evidence, knowledge: Knowledge, *, playbook: str, started_at: str, took_s: float) -> Report:
    """The report on the evidence. Errors: `ConfigurationError` for a playbook that does not exist."""
    facts = observe(evidence)
    findings = run(knowledge.playbook(playbook), PROBES, facts)
    symptoms = tuple(finding.symptom for finding in findings if finding.symptom)
    differential = differentiate(knowledge.causes, facts, symptoms, FACTS.values())
    coverage = coverage_of(evidence)
    transients, passing_issues = healed(evidence, knowledge, playbook, symptoms)
    decided = healed_verdict(verdict(evidence, coverage, findings, differential), transients)
    affected = _affected(differential, symptoms)
    return Report(
        scope=ReportScope(cluster=evidence.snapshot.cluster, namespace=evidence.snapshot.namespace, pod=evidence.pod),
        started_at=started_at,
        took_s=round(took_s, 2),
        verdict=decided,
        causes=tuple(explanation.report() for explanation in differential.all),
        known_issues=(*passing_issues, *_others(match(knowledge.known_issues, facts, differential), passing_issues)),
        findings=_finding_reports(findings),
        blast_radius=blast_radius(evidence, knowledge, differential, affected),
        remediations=tuple(fix for explanation in differential.selected for fix in explanation.fixes),
        coverage=coverage,
        path=packet_path(evidence, decided, differential, affected),
        connectivity=connectivity(evidence),
        changes=changes_before(evidence, facts, affected),
        transients=transients,
        next_steps=next_steps(differential, decided),
        cni=evidence.cni.name,
        cni_version=evidence.cni.version,
        kubernetes_version=evidence.snapshot.server_version,
        kernels=_kernels(evidence),
        exec_calls=evidence.exec_calls,
    )


def coverage_of(evidence: Evidence) -> Coverage:
    """How much of the pods and nodes in scope was seen."""
    scope = [pod for pod in evidence.scope_pods if not evidence.pods[pod].spec.host_network]
    missing = [
        (f"node {report.node}: {each.what}", each.why)
        for report in evidence.reports.values()
        for each in report.missing
    ]
    return Coverage(
        access=evidence.access.value,
        nodes_observed=len(evidence.reports),
        nodes_total=len(evidence.nodes_in_scope),
        pods_observed=sum(pod in evidence.pod_reports for pod in scope),
        pods_total=len(scope),
        unobserved=(*evidence.unobserved, *(Unobserved(what=what, why=why) for what, why in missing)),
    )


def _kernels(evidence: Evidence) -> tuple[str, ...]:
    nodes = (evidence.nodes[name] for name in evidence.nodes_in_scope if name in evidence.nodes)
    return tuple(sorted({node.status.node_info.kernel_version for node in nodes} - {""}))


def _others(issues: Iterable[KnownIssueReport], told: Iterable[KnownIssueReport]) -> Iterator[KnownIssueReport]:
    """The issues of which nothing was told yet."""
    names = {one.id for one in told}
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
