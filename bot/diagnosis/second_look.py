"""When to look twice, and what the two looks say of each other.

A pod's network may come up late: in its first two minutes a silent gateway, a missing address or a lost packet can heal
by itself (calico#8689 is such a delay). Whoever blames a sysctl for that is wrong, so it is inspected again before
anything is blamed.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from bot.causes.differential import differentiate
from bot.cluster.objects import Pod
from bot.diagnosis.fact_table import observe
from bot.diagnosis.knowledge import Knowledge
from bot.diagnosis.untried import untried_dials
from bot.domain.cause import Differential
from bot.domain.facts import FactTable, Subject, SubjectKind
from bot.domain.finding import Finding, Symptom
from bot.domain.report import Confidence, KnownIssueReport, Transient
from bot.known_issues.match import match
from bot.playbooks.engine import run
from bot.probes.catalogue import FACTS, PROBES
from bot.probes.engine.evidence import Evidence
from bot.probes.pod_sandbox.observe import YOUNG_S

MAX_TRANSIENTS = 50


def doubtful_pods(evidence: Evidence, knowledge: Knowledge, playbook: str) -> frozenset[Subject]:
    """The pods that are worth a second look; empty when nothing is wrong, and when the first look settles it.

    Those are the young pods of which all symptoms stem; else, where something fails and its cause is not certain, all
    pods in scope: an error that the kernel's rate limit swallowed, or a readiness that changes, is different then.
    Where nothing fails, pods that were seen to dial without an answer: their node can try that now.
    """
    facts = observe(evidence)
    symptoms = [finding.symptom for finding in run(knowledge.playbook(playbook), PROBES, facts) if finding.symptom]
    if not symptoms:
        return frozenset(flow.source for flow in untried_dials(evidence))
    if any(_is_newborn(evidence, pod) for pod in evidence.pods.values()):
        fresh = frozenset(one for one in facts.subjects(SubjectKind.POD) if _is_fresh(facts, one))
        if all(_stems_from(symptom, fresh) for symptom in symptoms):
            return fresh & {one for symptom in symptoms for one in _touched(symptom)}
    found = differentiate(knowledge.causes, facts, symptoms, FACTS.values())
    return frozenset() if is_certain(found) else frozenset(evidence.scope_pods)


def is_certain(found: Differential) -> bool:
    """Whether every symptom has a cause, and each is confirmed."""
    return found.is_settled and all(one.confidence is Confidence.CONFIRMED for one in found.selected)


def agreed(found: Differential, first: Differential, evidence: Evidence) -> Differential:
    """What was found, no surer than both looks together: what only one of two looks shows is not confirmed.

    Where only the second one could see, it stands for itself.
    """
    if not first.symptoms:
        return found
    before, unseen = {one.id for one in first.selected}, _newly_seen(evidence)
    selected = tuple(
        replace(one, confidence=Confidence.LIKELY)
        if one.confidence is Confidence.CONFIRMED
        and one.id not in before
        and unseen.isdisjoint(node for subject in one.subjects for node in _nodes_of(evidence, subject))
        else one
        for one in found.selected
    )
    follows = found.consequences if selected == found.selected else ()
    return replace(found, selected=selected, consequences=follows)


def _newly_seen(evidence: Evidence) -> frozenset[str]:
    """Nodes that the first look did not see, or by a lower rung only."""
    if evidence.first is None or not evidence.first.rungs:
        return frozenset()
    before = evidence.first.rungs
    return frozenset(node for node, rung in evidence.rungs.items() if before.get(node) is not rung)


def _nodes_of(evidence: Evidence, subject: Subject) -> Iterator[str]:
    match subject.kind:
        case SubjectKind.NODE:
            yield subject.name
        case SubjectKind.PAIR:
            yield from subject.name.split(">")
        case SubjectKind.POD:
            yield evidence.node_of(subject)
        case _:
            pass


def _is_newborn(evidence: Evidence, pod: Pod) -> bool:
    made = pod.metadata.creation_timestamp
    return made is not None and (evidence.snapshot.taken_at - made).total_seconds() < YOUNG_S


def _is_fresh(facts: FactTable, pod: Subject) -> bool:
    """Younger than two minutes, and never known to have answered over its network."""
    known = facts.of(pod)
    has_own = known.get("host_network") is False and known.get("is_terminating") is not True
    return has_own and known.get("is_young") is True and known.get("has_answered_probe") is not True


def _stems_from(symptom: Symptom, fresh: frozenset[Subject]) -> bool:
    if symptom.subject in fresh:
        return True
    return bool(symptom.flows) and all(flow.source in fresh or flow.target in fresh for flow in symptom.flows)


def _touched(symptom: Symptom) -> Iterable[Subject]:
    yield symptom.subject
    for flow in symptom.flows:
        yield flow.source
        if flow.target is not None:
            yield flow.target


def healed(
    evidence: Evidence, knowledge: Knowledge, playbook: str, now: Sequence[Symptom]
) -> tuple[tuple[Transient, ...], tuple[KnownIssueReport, ...]]:
    """What the first look showed and the second no more, and the known issues that are just that.

    A symptom whose pod is gone has not healed: nobody saw it work. Nor has one that is reported of a node's pods one by
    one, and was reported of their node before, or the other way round.
    """
    if evidence.first is None:
        return (), ()
    facts = observe(evidence.first)
    still = {(symptom.kind, subject) for symptom in now for subject in _at(evidence, symptom.subject)}
    gone = [
        (finding, finding.symptom)
        for finding in run(knowledge.playbook(playbook), PROBES, facts)
        if finding.symptom
        and not any((finding.symptom.kind, one) in still for one in _at(evidence, finding.symptom.subject))
    ]
    seen_to_work = [(finding, symptom) for finding, symptom in gone if _is_there(evidence, symptom)]
    if not seen_to_work:
        return (), ()
    after_s = (evidence.snapshot.taken_at - evidence.first.snapshot.taken_at).total_seconds()
    transients = tuple(_transient(finding, symptom, after_s) for finding, symptom in seen_to_work)
    return transients[:MAX_TRANSIENTS], _issues(knowledge, facts, [symptom for _, symptom in seen_to_work], after_s)


def _at(evidence: Evidence, subject: Subject) -> Iterator[Subject]:
    """A subject; with a node its pods."""
    yield subject
    if subject.kind is SubjectKind.NODE:
        yield from evidence.pods_on(subject.name)


def _is_there(evidence: Evidence, symptom: Symptom) -> bool:
    return symptom.subject.kind is not SubjectKind.POD or symptom.subject in evidence.pods


def _transient(finding: Finding, symptom: Symptom, after_s: float) -> Transient:
    return Transient(
        subject=str(symptom.subject), symptom=symptom.kind.value, sentence=finding.sentence, after_s=round(after_s, 1)
    )


def _issues(
    knowledge: Knowledge, facts: FactTable, symptoms: Sequence[Symptom], after_s: float
) -> tuple[KnownIssueReport, ...]:
    """Known issues that heal by themselves, held against what healed. Lasting causes are out: it did heal."""
    issues = [issue for issue in knowledge.known_issues if issue.heals]
    names = {name for issue in issues for name in issue.causes}
    passing = [cause for cause in knowledge.causes if cause.id in names]
    differential = differentiate(passing, facts, symptoms, FACTS.values())
    return tuple(
        KnownIssueReport(
            id=one.id,
            match=one.match,
            title=one.title,
            references=one.references,
            why=(f"it healed by itself within {after_s:.0f} s", *one.why),
        )
        for one in match(issues, facts, differential)
        if one.match != "ruled_out"
    )
