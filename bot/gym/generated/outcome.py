"""How right a verdict about a generated scenario was: a pure comparison of a report with what was done."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bot.causes.cause import Cause
from bot.domain.report import CauseReport, Report
from bot.gym.generated.oracle import Effect
from bot.gym.generated.scenario import Scenario

Outcome = Literal[
    "right",
    "partly",
    "honest",
    "vague",
    "misled",
    "healthy",
    "wrong-confirmed",  # of what is broken
    "quiet",
    "unsure",
    "alarm",  # of a decoy
    "no effect",
    "not done",
]
"""right: cause, hop and culprit are named. partly: the cause is, the hop or the culprit is not.
honest: no cause is claimed, the hop or the culprit is right. vague: nothing false is claimed, and nothing right.
misled: a wrong cause leads that is not confirmed, or one that only follows, on a wrong hop.
healthy: healthy, though it is broken.
wrong-confirmed: something is confirmed that nobody did.
quiet, unsure, alarm: of a decoy, by status (healthy; inconclusive without a failure; anything else).
no effect: sockets show that everything still works: no fault. not done: the kernel refused it."""
_SURE = ("confirmed", "likely")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One diagnosis of one scenario: what was done, what sockets showed, what the verdict said."""

    id: str
    seed: int
    cni: str
    namespace: str
    family: str
    mechanism: str
    place: str
    selector: str
    scope: str
    direction: str
    says: str
    symptom: str = ""
    share: float = 0.0
    causes: tuple[str, ...] = ()
    hops: tuple[str, ...] = ()
    rung: str = ""
    outcome: Outcome
    status: str = ""
    cause: str = ""
    confidence: str = ""
    hop: str = ""
    summary: str = ""
    wrong: tuple[str, ...] = ()
    """Confirmed, and not what was done."""
    is_hop_right: bool = False
    is_culprit_named: bool = False
    is_direction_named: bool = False
    again: str = ""
    """What a second diagnosis, ten seconds later, said instead: "" for the same."""
    is_repeated: bool = False
    took_s: float = 0.0
    taken_on: str = ""
    """The day, as 2026-11-30."""

    @property
    def is_decoy(self) -> bool:
        """Whether nothing was broken on purpose."""
        return self.family == "decoy"

    @property
    def is_scored(self) -> bool:
        """Whether it counts: what had no effect, or was not done, does not."""
        return self.outcome not in {"no effect", "not done"}


def skipped(scenario: Scenario, outcome: Outcome, why: str = "") -> Result:
    """A scenario that was not diagnosed."""
    return _result(scenario, outcome=outcome, summary=why)


def judged(
    scenario: Scenario,
    proven: Effect | None,
    report: Report,
    causes: Mapping[str, Cause],
    *,
    rung: str,
    filled: Callable[[str], str],
) -> Result:
    """The outcome of this report. `filled` puts the lab's names into the truth's words."""
    words = tuple(filled(word) for word in scenario.truth.words)
    wrong = tuple(one.id for one in report.causes if _is_wrong(one, scenario, causes, words))
    verdict = report.verdict
    objects = tuple(filled(word) for word in scenario.truth.objects)
    named = _names_culprit(scenario, report, words, objects)
    is_hop_right = verdict.hop in scenario.truth.hops
    outcome = (
        _of_decoy(report, wrong)
        if proven is None
        else _of_fault(scenario, report, causes, words, wrong, is_named=named)
    )
    return _result(
        scenario,
        outcome=outcome,
        says=filled(scenario.says),
        symptom=proven.symptom if proven else "",
        share=round(proven.share, 2) if proven else 0.0,
        rung=rung,
        status=verdict.status,
        cause=verdict.cause or "",
        confidence=verdict.confidence or "",
        hop=verdict.hop or "",
        summary=verdict.summary,
        wrong=wrong,
        is_hop_right=is_hop_right,
        is_culprit_named=named,
        is_direction_named=_names_direction(scenario, report, filled),
        took_s=report.took_s,
        taken_on=report.started_at[:10],
    )


def _of_decoy(report: Report, wrong: Sequence[str]) -> Outcome:
    if wrong:
        return "wrong-confirmed"
    if report.verdict.status == "healthy":
        return "quiet"
    fails = any(finding.severity == "fail" for finding in report.findings)
    return "alarm" if fails or report.verdict.status != "inconclusive" or report.verdict.cause else "unsure"


def _of_fault(
    scenario: Scenario,
    report: Report,
    causes: Mapping[str, Cause],
    words: Sequence[str],
    wrong: Sequence[str],
    *,
    is_named: bool,
) -> Outcome:
    verdict = report.verdict
    is_near = is_named or verdict.hop in scenario.truth.hops
    if wrong or verdict.status == "healthy":
        return "wrong-confirmed" if wrong else "healthy"
    lead = next((one for one in report.causes if one.id == verdict.cause), None)
    if lead is None:
        return "honest" if is_near else "vague"
    if _is_true(lead, scenario, words):
        is_complete = verdict.hop in scenario.truth.hops and is_named
        return "honest" if verdict.confidence not in _SURE else "right" if is_complete else "partly"
    if _is_consequence(lead, scenario, causes):
        return "honest" if is_near else "misled"
    return "misled"


def _is_true(cause: CauseReport, scenario: Scenario, words: Sequence[str]) -> bool:
    """It is what was done: by its id, or because it names the very thing that was done where no id of ours fits."""
    return cause.id in scenario.truth.causes or (cause.hop in scenario.truth.hops and names(_text_of(cause), words))


def _is_consequence(cause: CauseReport, scenario: Scenario, causes: Mapping[str, Cause]) -> bool:
    return cause.id in scenario.truth.follows or (cause.id in causes and causes[cause.id].is_consequence)


def _is_wrong(cause: CauseReport, scenario: Scenario, causes: Mapping[str, Cause], words: Sequence[str]) -> bool:
    return (
        cause.confidence == "confirmed"
        and bool(cause.explains)
        and not _is_true(cause, scenario, words)
        and (scenario.is_decoy or not _is_consequence(cause, scenario, causes))
    )


def _names_culprit(scenario: Scenario, report: Report, words: Sequence[str], objects: Sequence[str]) -> bool:
    """A reader learns what to look at: by the culprit's own words or, once the cause is right, by where it is."""
    said, is_cause_right = _said(report), report.verdict.cause in scenario.truth.causes
    return names(said, words) or (is_cause_right and names(said, objects))


def names(text: str, words: Sequence[str]) -> bool:
    """Whether one of the words is in the text."""
    return any(word in text for word in words)


def _text_of(cause: CauseReport) -> str:
    return " ".join((cause.title, *cause.subjects, *cause.evidence_for))


def _said(report: Report) -> str:
    """What a reader sees at once: the summary, the causes that are held, the fixes and what failed."""
    held = [_text_of(cause) for cause in report.causes if cause.confidence in _SURE]
    fixes = [f"{one.why} {' '.join(one.commands)}" for one in report.remediations]
    failed = [one.sentence for one in report.findings if one.severity == "fail"]
    return "\n".join((report.verdict.summary, *held, *fixes, *failed))


_REPLY = (
    "repl",
    "answers to ",
    "answers included",
    "answers of ",
    "way back",
    "comes back",
    "come back",
    "return route",
)
"""Not "no answer": that a test got none does not tell which of the two was lost."""


def _names_direction(scenario: Scenario, report: Report, filled: Callable[[str], str]) -> bool:
    """Whether a reader learns that the replies are lost, where only they are; true in all other cases.

    By words, by a trace, or by a cause of the pair of nodes as replies go, and not as requests do.
    """
    if scenario.direction != "reply":
        return True
    led = {subject for one in report.causes if one.id == report.verdict.cause for subject in one.subjects}
    there, back = filled("pair $SRC_NODE>$DST_NODE"), filled("pair $DST_NODE>$SRC_NODE")
    is_shown_by_pair = back in led and there not in led
    is_traced = any(one.direction == "reply" for one in report.trace)
    return is_shown_by_pair or is_traced or any(word in _said(report).lower() for word in _REPLY)


def _result(scenario: Scenario, *, outcome: Outcome, **more: object) -> Result:
    values: dict[str, object] = {
        "id": scenario.id,
        "seed": scenario.seed,
        "cni": scenario.cni,
        "namespace": scenario.edge.namespace,
        "family": scenario.family,
        "mechanism": scenario.mechanism,
        "place": scenario.place,
        "selector": scenario.selector,
        "scope": scenario.scope,
        "direction": scenario.direction,
        "says": scenario.says,
        "causes": scenario.truth.causes,
        "hops": scenario.truth.hops,
        "outcome": outcome,
    }
    return Result(**{**values, **more})  # type: ignore[arg-type]
