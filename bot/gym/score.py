"""How right a verdict was: a pure comparison of a report with what was broken."""

from collections.abc import Mapping
from dataclasses import dataclass

from bot.causes.cause import Cause
from bot.domain.report import CauseReport, Report
from bot.gym.cases import Case

_SURE = ("confirmed", "likely")


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One diagnosis of one case on one rung."""

    case: str
    kind: str
    cni: str
    expected: tuple[str, ...]
    rung: str
    verdict: str
    """The cause that the verdict names, "" for none."""
    status: str
    confidence: str
    is_top1: bool
    """The verdict names an expected cause (nothing, for decoys and healthy labs)."""
    is_complete: bool
    """Every expected cause is named as confirmed or likely."""
    is_hop_right: bool
    is_overclaimed: bool
    """Something is called confirmed that this rung cannot see, or that nobody broke; a consequence beside its cause
    is none."""
    look_alikes: int
    look_alikes_refuted: int
    wrong_known_issues: tuple[str, ...]
    """Known issues said to match although they concern another cause."""
    took_s: float
    exec_calls: int
    taken_on: str = ""
    """The day, as 2026-11-30: causes and probes change, and figures do not by themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What a score is held against."""

    causes: Mapping[str, Cause]
    issues: Mapping[str, frozenset[str]]
    """The causes that each known issue concerns."""


def score(case: Case, rung: str, report: Report, answers: Answers) -> Score:
    """How right this report is about this case."""
    causes = answers.causes
    accepted = [{fault.cause, *fault.also} for fault in case.faults if fault.cause]
    named = {cause.id: cause for cause in report.causes if cause.confidence in _SURE and cause.explains}
    verdict = report.verdict.cause or ""
    hops = {causes[cause].hop for group in accepted for cause in group if cause in causes}
    lead = next((cause for cause in report.causes if cause.id == verdict), None)
    listed = causes[verdict].look_alikes if verdict in causes else ()
    every = set[str]().union(*accepted) if accepted else set[str]()
    is_quiet = report.verdict.status in {"healthy", "inconclusive"} and not verdict and not _failures(report)
    return Score(
        case=case.id,
        kind=case.kind,
        cni=case.cni,
        expected=tuple(fault.cause for fault in case.faults if fault.cause),
        rung=rung,
        verdict=verdict,
        status=report.verdict.status,
        confidence=report.verdict.confidence or "",
        is_top1=verdict in every if accepted else is_quiet,
        is_complete=all(group & set(named) for group in accepted) if accepted else is_quiet,
        is_hop_right=(report.verdict.hop in hops) if accepted else report.verdict.hop is None,
        is_overclaimed=any(
            _overclaims(cause, rung, every, causes, is_root_named=bool(every & named.keys())) for cause in report.causes
        ),
        look_alikes=len(listed),
        look_alikes_refuted=_refuted(lead),
        wrong_known_issues=tuple(
            issue.id
            for issue in report.known_issues
            if issue.match == "matches" and not answers.issues[issue.id] & every
        ),
        taken_on=report.started_at[:10],
        took_s=report.took_s,
        exec_calls=report.exec_calls,
    )


def _failures(report: Report) -> bool:
    return any(finding.severity == "fail" for finding in report.findings)


def _overclaims(
    cause: CauseReport, rung: str, expected: set[str], causes: Mapping[str, Cause], *, is_root_named: bool
) -> bool:
    """Confirmed where this rung cannot see it, or though nobody broke it; what follows from a named cause is true."""
    if cause.confidence != "confirmed" or not cause.explains:
        return False
    if rung not in {str(each) for each in causes[cause.id].rungs}:
        return True
    return cause.id not in expected and not (is_root_named and causes[cause.id].is_consequence)


def _refuted(lead: CauseReport | None) -> int:
    if lead is None:
        return 0
    return sum(one.is_refuted for one in lead.likenesses)
