"""The changes within a day before the symptoms began, newest first.

"After it" is not "because of it": no cause is judged by a change, and every form of the report says so.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from bot.diagnosis.changes.nodes import nodes, settings
from bot.diagnosis.changes.objects import agents, policies, rollouts
from bot.diagnosis.changes.seen import Seen, latest
from bot.domain.facts import FactTable, Subject, SubjectKind
from bot.domain.finding import Symptom
from bot.domain.report import Change
from bot.probes.engine.evidence import Evidence

WINDOW = timedelta(hours=24)
MAX_CHANGES = 20


def changes_before(evidence: Evidence, facts: FactTable, symptoms: Sequence[Symptom]) -> tuple[Change, ...]:
    """What changed in the day before these symptoms; empty without any symptom."""
    if not symptoms:
        return ()
    began = began_at(evidence, symptoms)
    timed = [*rollouts(evidence), *policies(evidence), *agents(evidence), *nodes(evidence)]
    within = {each for each in timed if each.at and began - WINDOW <= each.at <= began}
    newest = sorted(within, key=lambda each: (_age(evidence, each.at), each.subject, each.what))
    return tuple(_change(evidence, each) for each in (*newest, *settings(facts)))[:MAX_CHANGES]


def began_at(evidence: Evidence, symptoms: Iterable[Symptom]) -> datetime:
    """When the symptoms began as far as Kubernetes saw it: the last time that a pod they name became unready.

    Where all these pods are ready nobody saw it begin, and everything until the diagnosis counts.
    """
    named = {subject for symptom in symptoms for subject in _named(symptom) if subject.kind is SubjectKind.POD}
    unready = (unready_at(evidence, subject) for subject in named)
    return latest(unready) or evidence.snapshot.taken_at


def _named(symptom: Symptom) -> Iterable[Subject]:
    yield symptom.subject
    for flow in symptom.flows:
        yield flow.source


def unready_at(evidence: Evidence, subject: Subject) -> datetime | None:
    """When the pod became unready; None for one that is ready, or not there."""
    pod = evidence.pods.get(subject)
    if pod is None:
        return None
    conditions = (each for each in pod.status.conditions if each.type == "Ready" and each.status == "False")
    return next((each.last_transition_time for each in conditions), None)


def _age(evidence: Evidence, at: datetime | None) -> float:
    return (evidence.snapshot.taken_at - at).total_seconds() if at else 0.0


def _change(evidence: Evidence, seen: Seen) -> Change:
    return Change(
        at=seen.at.isoformat(timespec="seconds").replace("+00:00", "Z") if seen.at else "",
        what=seen.what,
        subject=seen.subject,
        ago_s=round(_age(evidence, seen.at)) if seen.at else None,
    )
