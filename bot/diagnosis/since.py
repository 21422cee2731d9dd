"""Since when: when the pods affected became unready, as far as Kubernetes saw it."""

from collections.abc import Sequence

from bot.diagnosis.changes.before import unready_at
from bot.diagnosis.changes.seen import settled_at
from bot.domain.facts import SubjectKind
from bot.domain.finding import Symptom
from bot.domain.report import Since
from bot.probes.engine.evidence import Evidence


def since(evidence: Evidence, symptoms: Sequence[Symptom]) -> Since | None:
    """When pods that the symptoms name became unready; None where all are ready, and nobody saw it begin.

    Pods that were never ready since the cluster came up tell of its beginning, not of the fault's.
    """
    named = {one for symptom in symptoms for one in (symptom.subject, *(flow.source for flow in symptom.flows))}
    began = settled_at(evidence)
    times = sorted(
        at
        for one in named
        if one.kind is SubjectKind.POD and (at := unready_at(evidence, one)) and (began is None or at > began)
    )
    if not times:
        return None
    first, last = (at.isoformat(timespec="seconds").replace("+00:00", "Z") for at in (times[0], times[-1]))
    return Since(first=first, last=last, pods=len(times))
