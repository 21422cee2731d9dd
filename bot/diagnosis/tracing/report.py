"""The traces as the report has them, and what they add to a verdict that knows no cause."""

from collections.abc import Sequence
from dataclasses import replace

from bot.domain.facts import SubjectKind
from bot.domain.finding import HOPS, Symptom
from bot.domain.report import Trace, Verdict
from bot.probes.engine.evidence import Evidence
from bot.probes.packet_trace.fate import Fate
from bot.probes.packet_trace.way import Ends
from bot.probes.packet_trace.words import flow_words, place, sentence
from bot.probes.services.host_clients import place_of


def trace_reports(fates: Sequence[Fate]) -> tuple[Trace, ...]:
    """One of each series."""
    return tuple(_trace(fate) for fate in fates)


def as_sent(evidence: Evidence, symptoms: Sequence[Symptom]) -> tuple[Symptom, ...]:
    """The symptoms, their flows from where packets are sent: for pods that share its network, the node."""
    return tuple(
        replace(one, flows=tuple(replace(flow, source=place_of(evidence, flow.source)) for flow in one.flows))
        for one in symptoms
    )


def localised(decided: Verdict, fates: Sequence[Fate], symptoms: Sequence[Symptom]) -> Verdict:
    """With the place where packets die, unless the cause is certain: then it says enough.

    Only flows that show a symptom count: others were followed too, which nobody needs and no finding mentions. Where
    no cause fits, the place comes first, and its hop counts. What the kernel itself named goes before the rest,
    but for what kube-proxy refuses: that follows from something else.
    """
    lost = [fate for fate in fates if fate.lost and fate.hop and any(_shows(fate.ends, one) for one in symptoms)]
    if not lost or decided.confidence == "confirmed":
        return decided
    best = min(lost, key=_telling)
    if decided.cause is not None:
        return replace(decided, summary=f"{decided.summary.rstrip('.')}; traced: {place(best)}")
    if decided.status != "inconclusive" or decided.hop is None:
        return decided
    return replace(decided, hop=best.hop, summary=f"Cause unknown, place known: {place(best)}. {decided.summary}")


def _shows(ends: Ends, symptom: Symptom) -> bool:
    """Whether packets between these ends are among what the symptom is about."""
    if not symptom.flows:
        about = {ends.source.name, ends.source_node, ends.target_node, ends.target.name if ends.target else ""}
        return symptom.subject.kind is SubjectKind.CLUSTER or symptom.subject.name in about
    return any(
        flow.source == ends.source
        and (ends.target is None or flow.target is None or ends.target in {flow.target, flow.target_node})
        for flow in symptom.flows
    )


def _telling(fate: Fate) -> tuple[bool, bool, bool, bool, int]:
    """Smallest first."""
    has_culprit = bool(fate.culprit) and not fate.is_service_refusal
    return (
        not (fate.is_known or has_culprit),
        fate.is_service_refusal,
        not has_culprit,
        fate.lost < fate.sent,
        HOPS.index(fate.hop or "api"),
    )


def _trace(fate: Fate) -> Trace:
    return Trace(
        flow=flow_words(fate),
        source=str(fate.ends.source),
        target=str(fate.ends.target) if fate.ends.target else "",
        sent=fate.sent,
        lost=fate.lost,
        direction=("reply" if fate.leg == "reply" else "request") if fate.leg else "",
        last_seen=fate.last_seen,
        first_not_seen=fate.first_not_seen,
        reason=fate.reason,
        culprit=fate.culprit,
        hop=fate.hop,
        is_kernels_word=fate.is_known,
        sentence=sentence(fate),
    )
