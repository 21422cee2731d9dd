"""Since when: when the pods affected became unready, as far as Kubernetes saw it."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from bot.diagnosis.changes.before import unready_at
from bot.diagnosis.changes.seen import settled_at
from bot.domain.facts import Subject, SubjectKind
from bot.domain.finding import Symptom
from bot.domain.report import Since
from bot.probes.engine.evidence import Evidence

_AT_ONCE = timedelta(seconds=2)
"""Conditions that kubelet sets together may stand some time apart, and their times are whole seconds."""


def since(evidence: Evidence, symptoms: Sequence[Symptom]) -> Since | None:
    """When pods that the symptoms name became unready; None where all are ready, and nobody saw it begin.

    Pods that were never ready since the cluster came up tell of its beginning, not of the fault's.
    """
    named = {one for symptom in symptoms for one in (symptom.subject, *(flow.source for flow in symptom.flows))}
    began = settled_at(evidence)
    times = sorted(
        at
        for one in named
        if one.kind is SubjectKind.POD
        and (at := unready_at(evidence, one))
        and (began is None or at > began or _was_ready(evidence, one, at))
    )
    if not times:
        return None
    first, last = (at.isoformat(timespec="seconds").replace("+00:00", "Z") for at in (times[0], times[-1]))
    return Since(first=first, last=last, pods=len(times))


def _was_ready(evidence: Evidence, pod: Subject, unready: datetime) -> bool:
    """Whether it had been ready before that: kubelet says "not ready" of a new pod no later than "initialized".

    Source: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-conditions (times are of transitions)
    """
    conditions = evidence.pods[pod].status.conditions
    begun = (one.last_transition_time for one in conditions if one.type == "Initialized" and one.status == "True")
    return any(at and unready - at > _AT_ONCE for at in begun)
