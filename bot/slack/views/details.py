"""The modals under a verdict: everything in a window, and "Not it"."""

from collections.abc import Iterator
from functools import partial

from bot.domain.report import CauseReport, KnownIssueReport, NextStep, RemediationReport, Report, Unobserved
from bot.render import brief
from bot.render.marks import CHANGED_BEFORE, change_words, pair_words, transient_words, usual_changes
from bot.slack.views import blocks, ids, report_lines
from bot.slack.views.blocks import Block
from bot.slack.views.parts import chapter
from bot.slack.views.report_lines import bullet
from bot.slack.views.text import Mrkdwn, clean, code, escape, joined, said
from bot.slack.views.verdicts import heading

MAX_BYTES = 250_000
"""Of a view's JSON, says Slack; the rooms below come to less."""
_TITLE = "Diagnosis"
_ORDER = {severity: at for at, severity in enumerate(("fail", "warn", "inconclusive", "info", "pass"))}


def loading_modal() -> Block:
    """What stands there while the report is read: a trigger lives three seconds only."""
    return blocks.modal(_TITLE, [blocks.section(said("Loading the report …"))], callback_id=ids.DETAILS_VIEW)


def problem_modal(sentence: str) -> Block:
    """Why there are no details: an answer in the window that is already open."""
    return blocks.modal(_TITLE, [blocks.section(escape(sentence, 1_000))], callback_id=ids.DETAILS_VIEW)


def details_modal(report: Report, *, incident_id: str, run: int) -> Block:
    """All causes, ruled out ones too, all findings, and how much was seen; what does not fit is counted."""
    out = [cause for cause in report.causes if cause.confidence == "ruled_out"]
    changes = [*map(change_words, report.changes), *usual_changes(report)]
    findings = sorted(report.findings, key=lambda one: _ORDER[one.severity])
    rows: list[Block] = [
        *chapter(heading(report), (report,), _top, room=8_000, most_blocks=4),
        *chapter("Why", _standing_first(report), _cause, room=60_000, most_blocks=26),
        *chapter(
            "What to do", [*enumerate(_to_do(report), start=1)], partial(_do, report), room=40_000, most_blocks=16
        ),
        *chapter(
            "Recovered by itself", report.transients, lambda one: _row(transient_words(one)), room=6_000, most_blocks=3
        ),
        *chapter("Probe packets", report.trace, lambda one: _row(one.sentence), room=8_000, most_blocks=4),
        *chapter(
            "Ruled out",
            out,
            lambda one: (bullet(report_lines.ruled_out(one, reasons=12)),),
            room=25_000,
            most_blocks=12,
        ),
        *chapter("Known issues", report.known_issues, _known_issue, room=15_000, most_blocks=7),
        *chapter("Between nodes", report.connectivity, lambda one: _row(pair_words(one)), room=8_000, most_blocks=4),
        *chapter(CHANGED_BEFORE, changes, _row, room=8_000, most_blocks=4),
        *chapter("Findings", findings, lambda one: (report_lines.finding(one),), room=35_000, most_blocks=14),
        *chapter("Not observed", report.coverage.unobserved, _unobserved, room=12_000, most_blocks=6),
    ]
    return blocks.modal(_TITLE, rows, callback_id=ids.DETAILS_VIEW, metadata=ids.run_value(incident_id, run))


def _top(report: Report) -> Iterator[Mrkdwn]:
    if report.verdict.summary not in heading(report):
        yield escape(clean(report.verdict.summary, 600), 1_200)
    yield report_lines.facts(report)
    yield joined(said("Diagnosed at "), report_lines.time_of(report.started_at))
    if report.path:
        yield joined(said("*Where:* "), report_lines.path(report))
    if affected := " ".join(brief.who(report)):
        yield joined(said("*Who is affected:* "), escape(affected, 700))
    if report.blast_radius.pod_names:
        yield joined(said("*Pods:* "), escape(", ".join(report.blast_radius.pod_names[:50]), 1_500))


def _standing_first(report: Report) -> list[CauseReport]:
    """Those that stand, the ones of the verdict first."""
    first = brief.standing(report)
    return [*first, *(c for c in report.causes if c.confidence != "ruled_out" and all(c is not one for one in first))]


def _cause(cause: CauseReport) -> Iterator[Mrkdwn]:
    yield joined(report_lines.cause_title(cause), said(" "), code(cause.id, 80))
    if cause.mechanism:
        yield joined(said("_How it works:_ "), escape(cause.mechanism, 900))
    for word, sentences in (
        (said("• for: "), cause.evidence_for),
        (said("• against: "), cause.evidence_against),
        (said("• not observed: "), cause.unobserved),
    ):
        for sentence in sentences:
            yield joined(word, escape(sentence, 600))
    for one in cause.likenesses:
        refuted = report_lines.look_alike(one)
        yield joined(said("• not "), refuted) if refuted else bullet(escape(one.sentence))
    if cause.subjects:
        yield joined(said("• where: "), escape(", ".join(cause.subjects[:50]), 1_200))


def _to_do(report: Report) -> list[RemediationReport | NextStep]:
    return [*report.remediations, *(step for step in report.steps if not step.is_warning)]


def _do(report: Report, numbered: tuple[int, RemediationReport | NextStep]) -> Iterator[Mrkdwn]:
    number, one = numbered
    if isinstance(one, NextStep):
        yield report_lines.step(report, one, number)
    else:
        yield from report_lines.fix_in_full(one, number)


def _known_issue(one: KnownIssueReport) -> Iterator[Mrkdwn]:
    yield report_lines.known_issue_in_full(one)


def _unobserved(one: Unobserved) -> Iterator[Mrkdwn]:
    yield bullet(report_lines.unobserved(one))


def _row(sentence: str) -> Iterator[Mrkdwn]:
    yield bullet(escape(sentence))


def not_it_modal(incident_id: str, run: int, cause: str | None) -> Block:
    """Asks what it was instead."""
    named = (
        joined(said("The verdict named "), code(cause, 80), said(".")) if cause else said("The verdict named no cause.")
    )
    rows = [
        blocks.section(named),
        blocks.text_input(
            "What was it, or what makes you doubt the verdict?",
            ids.NOT_IT_BLOCK,
            ids.NOT_IT_INPUT,
            placeholder="For example: the node's uplink was down, see the switch's log",
            hint="Kept with the report for those who fix the rules. It changes nothing in the cluster. No passwords.",
        ),
    ]
    metadata = ids.run_value(incident_id, run)
    return blocks.modal("Not it", rows, callback_id=ids.NOT_IT_VIEW, metadata=metadata, submit="Send")
