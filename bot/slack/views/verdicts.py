"""The verdict: what is broken and where, why, who is hit, what to do, and what it is not. One screen."""

from collections.abc import Iterator

from bot.domain.outgoing import Content
from bot.domain.report import CauseReport, Report
from bot.render.marks import CHANGED_BEFORE, STATUS_WORDS, change_words, failing_pairs, pair_words, usual_changes
from bot.slack.views import blocks, ids, words
from bot.slack.views.blocks import Block
from bot.slack.views.parts import Part, message, part
from bot.slack.views.text import NOTHING, Mrkdwn, clean, code, escape, joined, said
from bot.slack.views.words import bullet

_HEADING = 140
_SUMMARY = 400


def verdict(report: Report, *, incident_id: str, run: int) -> Content:
    """The verdict of one run, with its buttons."""
    return message(heading(report), list(_parts(report)), _buttons(ids.run_value(incident_id, run)))


def heading(report: Report) -> str:
    """Status and summary; of a long summary only where it is, for `_summary` tells it."""
    word = f"{words.STATUS_SIGNS[report.verdict.status]} {STATUS_WORDS[report.verdict.status]}"
    summary = clean(report.verdict.summary, _SUMMARY).rstrip(".")
    return f"{word}: {summary}" if 0 < len(summary) <= _HEADING - len(word) else f"{word}: {report.scope.namespace}"


def _parts(report: Report) -> Iterator[Part]:
    """In the order in which people ask."""
    yield Part(items=(words.facts(report),), is_small=True)
    yield Part(items=tuple(_summary(report)))
    named = standing(report)
    for number, cause in enumerate(named):
        yield _why(report, cause, is_first=number == 0)
    yield from _found(report, named)
    yield _not_these(report, named)
    yield _who(report)
    yield from _what_next(report)
    yield _known_issues(report)
    yield _changed(report)
    yield _not_seen(report, named)


def _summary(report: Report) -> Iterator[Mrkdwn]:
    """The summary where the heading had no room for it, and the packet's way."""
    summary = clean(report.verdict.summary, _SUMMARY)
    if summary.rstrip(".") not in heading(report):
        yield escape(summary, _SUMMARY)
    if report.path:
        yield joined(said("*Where:* "), words.path(report.path))


def standing(report: Report) -> list[CauseReport]:
    """The causes that a reader must know: those that explain something, at most two; else the best candidates."""
    named = [cause for cause in report.causes if cause.confidence != "ruled_out"]
    sure = [cause for cause in named if cause.confidence in {"confirmed", "likely"} and cause.explains]
    return (sure or [cause for cause in named if cause.id == report.verdict.cause])[:2]


def _why(report: Report, cause: CauseReport, *, is_first: bool) -> Part:
    evidence = [words.condensed(sentence, report.scope.namespace) for sentence in cause.evidence_for]
    title = joined(said("*Why:* "), words.cause_title(cause))
    return part(title, (bullet(escape(sentence)) for sentence in evidence), most=5 if is_first else 3, rank=2, least=3)


def _found(report: Report, named: list[CauseReport]) -> Iterator[Part]:
    """Without a cause: what does not work, and what it may be."""
    if report.verdict.status == "healthy":
        yield _warnings(report)
    elif not named:
        bad = [one for one in report.findings if one.severity in {"fail", "warn"}]
        failing = sorted(bad, key=lambda one: one.severity != "fail")
        said_already = clean(report.verdict.summary, _SUMMARY)
        rows = [one.sentence for one in failing if clean(one.sentence).rstrip(".…") not in said_already]
        yield part(said("*What was found*"), (bullet(escape(row)) for row in rows), most=4, rank=3, least=2)
        maybe = [cause for cause in report.causes if cause.confidence in {"likely", "possible"}]
        yield part(
            said("*Possible, not proven*"), (bullet(_candidate(cause)) for cause in maybe), most=4, rank=3, least=2
        )


def _warnings(report: Report) -> Part:
    rows = [one.sentence for one in report.findings if one.severity == "warn"]
    return part(said("*Worth knowing*"), (bullet(escape(row)) for row in rows), most=3, rank=6)


def _candidate(cause: CauseReport) -> Mrkdwn:
    return joined(
        code(cause.id, 80), said(": "), escape(cause.title, 160), said(" ("), escape(cause.confidence), said(")")
    )


def _not_these(report: Report, named: list[CauseReport]) -> Part:
    """Look-alikes with the fact that excludes each; then the other causes that were excluded, by number."""
    rows = list(dict.fromkeys(words.look_alike(sentence) for cause in named for sentence in cause.look_alikes))
    told = {sentence.partition(": ")[0] for cause in named for sentence in cause.look_alikes}
    others = [c for c in report.causes if c.confidence == "ruled_out" and f"not {c.id}" not in told]
    if not any(rows):
        return part(said("*Ruled out*"), (bullet(words.ruled_out(cause, 200)) for cause in others), most=3, rank=5)
    found = part(
        said("*Ruled out* (what looks alike, and the fact against it)"), map(bullet, rows), most=4, rank=4, least=2
    )
    return Part(
        title=found.title, items=found.items, rank=4, least=2, hidden=found.hidden + len(others), more="in Details"
    )


def _who(report: Report) -> Part:
    """Blast radius, and the directions between nodes that are dead."""
    radius = joined(*words.who_is_hit(report), by="; ")
    pairs = failing_pairs(report)
    more = f"; and {len(pairs) - 4} more directions" if len(pairs) > 4 else ""
    between = (
        joined(said("Between nodes: "), escape("; ".join(map(pair_words, pairs[:4])) + more)) if pairs else NOTHING
    )
    if radius:
        radius = joined(said("*Who is hit:* "), radius)
    return part(NOTHING, [radius, between], most=2, rank=7)


def _what_next(report: Report) -> Iterator[Part]:
    """Fixes, safest first; and steps, cheapest first."""
    fixes = [words.fix(one, number) for number, one in enumerate(report.remediations, start=1)]
    title = said("*What to do* (safest first; cnibot changes nothing by itself)")
    yield part(title, fixes, most=3, rank=1)
    is_open = report.verdict.status == "inconclusive"
    title = said("*What would settle it* (cheapest first)") if is_open else said("*And then*")
    rows = [words.step(step, number) for number, step in enumerate(report.next_steps, start=1)]
    if is_open and not rows and report.coverage.access != "agent":
        rows = [said("1. Let cnibot look at the nodes: `cnibot doctor` names the permissions, then *Re-run*")]
    yield part(title, rows, most=4, rank=2 if is_open else 5, least=3 if is_open else 1)


def _known_issues(report: Report) -> Part:
    """The verdict on each, those ruled out too: they are what people will name first."""
    rows = [bullet(words.known_issue(issue)) for issue in report.known_issues]
    return part(said("*Known issues*"), rows, most=4, rank=4, least=2)


def _changed(report: Report) -> Part:
    rows = [bullet(escape(change_words(change))) for change in report.changes]
    if rows:
        rows += [bullet(escape(sentence)) for sentence in usual_changes(report)]
    return part(said(f"*{CHANGED_BEFORE}*"), rows, most=3, rank=5)


def _not_seen(report: Report, named: list[CauseReport]) -> Part:
    scope = f"{report.scope.namespace}/"
    missed = sorted(report.coverage.unobserved, key=lambda each: scope not in each.what + each.why)
    rows = [words.unobserved(each) for each in missed]
    rows += [escape(sentence) for cause in named for sentence in (*cause.unobserved, *words.not_refuted(cause))]
    return part(said("*Not observed*"), (bullet(row) for row in dict.fromkeys(rows)), most=3, rank=6)


def _buttons(value: str) -> Block:
    return blocks.actions(
        blocks.button("Details", ids.DETAILS, value, says="Details: all causes, findings and commands"),
        blocks.button("Re-run", ids.RERUN, value, says="Re-run this diagnosis"),
        blocks.button("Share report", ids.SHARE, value, says="Share the report with the channel"),
        blocks.button("Not it", ids.NOT_IT, value, says="Not it: say that this verdict is wrong"),
    )
