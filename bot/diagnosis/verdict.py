"""The verdict: status, leading cause and one sentence; and what to do next."""

import re
from collections.abc import Container, Iterator, Sequence
from dataclasses import replace

from bot.diagnosis.untried import untried_flows
from bot.domain.cause import Differential, Explanation
from bot.domain.facts import Subject, SubjectKind
from bot.domain.finding import HOPS, Finding, Severity, Symptom
from bot.domain.listing import and_more, counted
from bot.domain.report import Confidence, Connectivity, Coverage, NextStep, Status, Transient, Verdict
from bot.probes.engine.evidence import Evidence
from bot.probes.engine.running import has_failed
from bot.probes.services.host_clients import host_clients
from bot.probes.shared.unread_resources import why_unread

MAX_NAMED = 3
MAX_HEADLINE = 76
"""With sign and status 90, which a phone's lock screen shows."""
_NO_CAUSE = ", cause not proven"
_CLAUSE_ENDS = re.compile(r"[:;] | \(|\. |\.$")


def verdict(
    evidence: Evidence,
    coverage: Coverage,
    findings: Sequence[Finding],
    differential: Differential,
    ways: Sequence[Connectivity] = (),
) -> Verdict:
    """What the evidence comes to, never more than it carries."""
    failed = [finding for finding in findings if finding.severity is Severity.FAIL]
    if not differential.symptoms and not failed:
        crashed = next((finding.sentence for finding in findings if has_failed(finding)), "")
        if crashed:
            return Verdict(status="inconclusive", summary=crashed)
        return _nothing_wrong(evidence, coverage, findings, ways)
    if differential.selected:
        return _explained(evidence, differential, failed)
    return _unexplained(evidence, differential, findings)


def _nothing_wrong(
    evidence: Evidence, coverage: Coverage, findings: Sequence[Finding], ways: Sequence[Connectivity]
) -> Verdict:
    """Healthy needs every flow in scope seen to work; less is inconclusive and says what is lacking."""
    if lacking := next(_lacking(evidence, coverage, ways), ""):
        return Verdict(status="inconclusive", summary=lacking)
    if coverage.pods_total == 0:
        return Verdict(
            status="healthy",
            summary=_healthy_on_host_network(evidence),
        )
    return Verdict(
        status="healthy",
        summary=f"{counted(coverage.pods_observed, 'pod')} on {counted(coverage.nodes_observed, 'node')} "
        f"{'reaches what it needs' if coverage.pods_observed == 1 else 'reach what they need'}"
        f"{_unready_by_themselves(findings)}{_wrong_answers(findings)}.",
    )


def _healthy_on_host_network(evidence: Evidence) -> str:
    """Of the pods' own nodes: others are looked at for what these need."""
    pods, nodes = len(evidence.scope_pods), len({evidence.node_of(pod) for pod in evidence.scope_pods})
    node = "its node" if pods == 1 else "one node" if nodes == 1 else f"their {counted(nodes, 'node')}"
    whose = f"{counted(pods, 'pod')} {'uses' if pods == 1 else 'use'} the network of {node} (hostNetwork)"
    what = "which reaches" if nodes == 1 else "which reach each other,"
    return f"{whose}, {what} the API server and the cluster's DNS."


def _unready_by_themselves(findings: Sequence[Finding]) -> str:
    """The pods that are not ready, where that is no matter of the network: healthy must not hide them."""
    said = [each for each in findings if each.evidence.get("unready_by_itself") is True]
    if not said:
        return ""
    where = _names([each.subject.name or "some pods" for each in said])
    may_be_over = any(each.evidence.get("may_be_over") for each in said)
    whose = "of the application, or what a fault left that has just ended" if may_be_over else "of the application"
    return f"; not ready by their own word, which is a matter {whose}: {where}"


def _wrong_answers(findings: Sequence[Finding]) -> str:
    """The Services that are reached and answer otherwise than their playbook expects."""
    wrong = [each.subject.name for each in findings if each.evidence.get("wrong_answers")]
    return f"; a matter of the application, not of the network: wrong answers of {_names(wrong)}" if wrong else ""


def _lacking(evidence: Evidence, coverage: Coverage, ways: Sequence[Connectivity]) -> Iterator[str]:
    """Why nothing wrong is not yet healthy, most telling first."""
    yield from _nothing_to_see(evidence, coverage)
    yield from _unread(evidence, coverage)
    if untried := list(untried_flows(evidence)):
        flows = [f"{one.source.name} to {one.target.name if one.target else one.address}:{one.port}" for one in untried]
        yield f"Nothing wrong was seen, but needed connections were not tested: {_names(flows)} ({untried[0].why})."
    lost = [one.words for each in host_clients(evidence).values() for one in each if one.reach != "ok"]
    if lost:
        yield f"No check failed, yet needed connections of pods with hostNetwork did: {_names(lost)}."
    failing = [one for one in ways if one.state in {"failed", "partial"}]
    if failing:
        pairs = _names([f"{one.source} to {one.target}" for one in failing])
        yield f"No check failed, yet {sum(one.failed for one in failing)} test connections did ({pairs})."


def _nothing_to_see(evidence: Evidence, coverage: Coverage) -> Iterator[str]:
    namespace = evidence.snapshot.namespace
    if not evidence.scope_pods and (why := why_unread(evidence.snapshot, "pods", namespace=namespace)):
        yield f"The pods of namespace {namespace} could not be read, so nothing is known: {why}"
    if not evidence.scope_pods:
        yield f"Namespace {namespace} has no pods: there is nothing to diagnose."
    if coverage.access == "api":
        yield "The API objects show nothing wrong, but no node was inspected."
    if coverage.access != "agent":
        yield f"Nothing wrong was seen, but the access rung {coverage.access} cannot test every hop."


def _unread(evidence: Evidence, coverage: Coverage) -> Iterator[str]:
    blind = [node for node in evidence.nodes_in_scope if node not in evidence.reports]
    if blind:
        seen = f"{coverage.nodes_observed} of {coverage.nodes_total} nodes"
        yield f"Nothing wrong on {seen}; not seen: {_names(blind)} ({evidence.why_no_report(blind[0])})"
    partial = [report.node for report in evidence.reports.values() if report.is_partial]
    if partial:
        yield f"Nothing wrong was seen, but the report of {_names(partial)} is partial."
    unread = evidence.snapshot.unobserved
    if unread:
        yield f"Nothing wrong was seen, but {_names([one.what for one in unread])} could not be read: {unread[0].why}"
    if coverage.pods_total == 0:
        yield from _unseen_of_host_pods(evidence)
    unseen = coverage.pods_total - coverage.pods_observed
    if unseen:
        yield f"Nothing wrong was seen, but {unseen} of {coverage.pods_total} pods could not be observed."


def _unseen_of_host_pods(evidence: Evidence) -> Iterator[str]:
    """What is not known of a namespace whose pods all have their node's network: these are seen by their nodes."""
    pods = {pod: evidence.pods[pod] for pod in evidence.scope_pods}
    plain = [subject.name for subject, pod in pods.items() if pod.spec.dns_policy in {"ClusterFirst", ""}]
    if plain:
        ask = "it asks its node's resolver" if len(plain) == 1 else "they ask their nodes' resolvers"
        yield (
            f"Every pod here uses its node's network (hostNetwork), with dnsPolicy ClusterFirst ({_names(plain)}): "
            f"{ask}, not the cluster's DNS. Whether a name of the cluster is needed is not known "
            "(ClusterFirstWithHostNet would resolve it)."
        )
    if unread := [subject.name for subject in pods if subject not in evidence.resolvers]:
        yield f"Every pod here uses its node's network (hostNetwork); how {_names(unread)} resolve names was not seen."
    tests = [test for source, _, test in evidence.tests if source.kind is SubjectKind.NODE]
    relied_on = [test for test in tests if test.purpose in {"cluster-ip", "dns-service"}]
    if not relied_on:
        yield "Every pod here uses its node's network (hostNetwork), and what the nodes reach was not tested."
    if failing := [test.name for test in relied_on if test.outcome != "ok"]:
        yield f"Every pod here uses its node's network (hostNetwork), and from a node {_names(failing)} did not answer."


def healed_verdict(decided: Verdict, transients: Sequence[Transient]) -> Verdict:
    """The verdict with a word on what healed between two looks, where nothing else is wrong."""
    if not transients or decided.cause or decided.hop:
        return decided
    subjects = _names(sorted({one.subject for one in transients}))
    healed = f"the trouble of {subjects} went away by itself within {transients[0].after_s:.0f} s"
    return replace(decided, summary=f"{decided.summary.rstrip('.')}; {healed}.")


def _explained(evidence: Evidence, differential: Differential, failed: Sequence[Finding]) -> Verdict:
    first = differential.selected[0]
    status: Status = "broken" if failed else "degraded"
    summary = f"{first.title}: {_where(evidence, first)}"
    others = differential.selected[1:]
    if others:
        besides = [f"{other.title}: {_where(evidence, other)}" for other in others]
        summary += f"; also: {and_more(besides, 2, by='; ')}"
    if differential.unexplained:
        number = len(differential.unexplained)
        summary += f"; {number} further symptom{'s remain' if number > 1 else ' remains'} unexplained"
    assert first.confidence is not Confidence.RULED_OUT
    return Verdict(status=status, cause=first.id, confidence=first.confidence.value, hop=first.hop, summary=summary)


def _unexplained(evidence: Evidence, differential: Differential, findings: Sequence[Finding]) -> Verdict:
    """No cause fits: the hop is still localised from the symptoms, and the best candidates are named as candidates."""
    symptom = _first_on_the_way(differential.unexplained or differential.symptoms, set(evidence.scope_pods))
    says = _sentence(symptom, findings)
    headline = unproven(_CLAUSE_ENDS.split(says, maxsplit=1)[0])
    candidates = [one for one in differential.alternatives if one.confidence is not Confidence.RULED_OUT]
    if candidates:
        names = and_more([one.short or one.title for one in candidates], 3, by="; ")
        says = f"{says.rstrip('.')}. Not proven; possible: {names}"
    hop = symptom.hop if symptom else None
    return Verdict(status="inconclusive", hop=hop, summary=says, headline=headline)


def unproven(says: str) -> str:
    """What is wrong, as a headline that names no cause; "" for what is too long for one."""
    return f"{says}{_NO_CAUSE}" if len(says) + len(_NO_CAUSE) <= MAX_HEADLINE else ""


def _first_on_the_way(symptoms: Sequence[Symptom], asked: Container[Subject]) -> Symptom | None:
    """The symptom that a packet meets first: what fails further on may follow from it. Pods asked about come first."""
    return min(
        symptoms,
        key=lambda one: (HOPS.index(one.hop), one.subject not in asked, -len(one.flows), one.subject),
        default=None,
    )


def _sentence(symptom: Symptom | None, findings: Sequence[Finding]) -> str:
    """What the finding says that shows the symptom; else the first failure."""
    shows = (finding for finding in findings if finding.symptom and finding.symptom == symptom)
    failed = (finding for finding in findings if finding.severity is Severity.FAIL)
    found = next(shows, None) or next(failed, None)
    return found.sentence if found else "Something does not work"


def _where(evidence: Evidence, explanation: Explanation) -> str:
    """The subjects in a few words: pods asked about first, many pods by their nodes."""
    asked = set(evidence.scope_pods)
    subjects = sorted(explanation.subjects, key=lambda subject: (subject not in asked, subject))
    if len(subjects) > MAX_NAMED and all(subject.kind is SubjectKind.POD for subject in subjects):
        nodes = sorted({evidence.node_of(subject) for subject in subjects})
        return f"{len(subjects)} pods on {_names(nodes)}"
    return _names([subject.name or "the cluster" for subject in subjects])


def _names(names: Sequence[str]) -> str:
    return and_more(names, MAX_NAMED)


def next_steps(differential: Differential, decided: Verdict) -> tuple[NextStep, ...]:
    """What to do or to look at now, cheapest first."""
    return tuple(dict.fromkeys(_steps(differential, decided)))[:8]


def _steps(differential: Differential, decided: Verdict) -> Iterator[NextStep]:
    for explanation in differential.selected:
        yield from (NextStep(text=one) for one in explanation.then)
        if explanation.never:
            yield NextStep(text=explanation.never, is_warning=True)
    if decided.status == "inconclusive" or decided.confidence != "confirmed":
        for observation in differential.next_observations:
            look = observation.look or f"observe {observation.fact}"
            yield NextStep(look=look, subject=str(observation.subject), decides=observation.decides[:3])
