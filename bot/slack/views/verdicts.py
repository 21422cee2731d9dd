"""The verdict: what is broken and where, why, who is hit, what to do, and what it is not. One screen."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from bot.domain.outgoing import Content
from bot.domain.report import CauseReport, Report, Unobserved
from bot.render.marks import (
    CHANGED_BEFORE,
    STATUS_WORDS,
    change_words,
    failing_pairs,
    pair_words,
    transient_words,
    usual_changes,
)
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
    """Status and summary: what a notification shows. Of a long summary its beginning, for `_summary` tells it all."""
    word = f"{words.STATUS_SIGNS[report.verdict.status]} {STATUS_WORDS[report.verdict.status]}: "
    summary = clean(report.verdict.summary, _SUMMARY).rstrip(".") or report.scope.namespace
    return word + (summary if len(summary) <= _HEADING - len(word) else _beginning(summary, _HEADING - len(word)))


def _beginning(summary: str, limit: int) -> str:
    """The first statement, else the first words."""
    head = summary[: limit - 2]
    ends = [at for sign in ("; ", ". ", " (", ": ", ", ") if (at := head.rfind(sign)) > limit // 3]
    return f"{head[: ends[0]] if ends else head.rpartition(' ')[0] or head} …"


def _parts(report: Report) -> Iterator[Part]:
    """In the order in which people ask."""
    yield Part(items=(words.facts(report),), is_small=True)
    yield Part(items=tuple(_summary(report)))
    named = standing(report)
    for number, cause in enumerate(named):
        yield _why(report, cause, is_first=number == 0)
    yield from _found(report, named)
    yield part(said("*Healed by itself*"), report.transients, lambda one: _row(transient_words(one)), most=3, rank=5)
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
        yield joined(said("*Where:* "), words.path(report))


def standing(report: Report) -> list[CauseReport]:
    """The causes that a reader must know: those that explain something, at most two; else the best candidates."""
    named = [cause for cause in report.causes if cause.confidence != "ruled_out"]
    sure = [cause for cause in named if cause.confidence in {"confirmed", "likely"} and cause.explains]
    return (sure or [cause for cause in named if cause.id == report.verdict.cause])[:2]


def _why(report: Report, cause: CauseReport, *, is_first: bool) -> Part:
    title = joined(said("*Why:* "), words.cause_title(cause))
    return part(
        title,
        cause.evidence_for,
        lambda sentence: _evidence(sentence, report),
        most=5 if is_first else 3,
        rank=2,
        least=3,
    )


def _evidence(sentence: str, report: Report) -> Mrkdwn:
    return bullet(escape(words.condensed(sentence, report.scope.namespace)))


def _row(sentence: str) -> Mrkdwn:
    return bullet(escape(sentence))


def _found(report: Report, named: list[CauseReport]) -> Iterator[Part]:
    """What does not work, as long as no cause is known; and what else may be the cause of something."""
    warned = [one.sentence for one in report.findings if one.severity == "warn"]
    if report.verdict.status == "healthy":
        yield part(said("*Worth knowing*"), warned, _row, most=3, rank=6)
        return
    if not named:
        summary = clean(report.verdict.summary, _SUMMARY)
        failed = [one.sentence for one in report.findings if one.severity == "fail"]
        rows = [one for one in (*failed, *warned)[:8] if clean(one).rstrip(".…") not in summary]
        yield part(said("*What was found*"), rows, _row, most=4, rank=3, least=2)
    maybe = [cause for cause in report.causes if cause.confidence in {"likely", "possible"} and cause not in named]
    title = said("*Also possible, not proven*") if named else said("*Possible, not proven*")
    yield part(title, maybe, _candidate, most=2 if named else 4, rank=4 if named else 3, least=2)


def _candidate(cause: CauseReport) -> Mrkdwn:
    named = joined(code(cause.id, 80), said(": "), escape(cause.title, 160))
    return bullet(joined(named, said(" ("), escape(cause.confidence), said(")")))


def _not_these(report: Report, named: list[CauseReport]) -> Part:
    """Look-alikes with the fact that excludes each; then the other causes that were excluded, by number."""
    rows = [one for one in _unique(named, lambda cause: cause.look_alikes) if one.startswith("not ")]
    told = {sentence.partition(": ")[0] for sentence in rows}
    others = [c for c in report.causes if c.confidence == "ruled_out" and f"not {c.id}" not in told]
    if not rows:
        return part(said("*Ruled out*"), others, lambda cause: bullet(words.ruled_out(cause)), most=3, rank=5)
    title = said("*Ruled out* (what looks alike, and the fact against it)")
    found = part(title, rows, lambda row: bullet(words.look_alike(row)), most=4, rank=4, least=2)
    return replace(found, hidden=found.hidden + len(others))


def _unique(causes: Sequence[CauseReport], sentences: Callable[[CauseReport], Sequence[str]]) -> list[str]:
    """What the causes say, each sentence once."""
    return list(dict.fromkeys(sentence for cause in causes for sentence in sentences(cause)))


def _who(report: Report) -> Part:
    """Blast radius, and the directions between nodes that are dead."""
    radius = joined(*words.who_is_hit(report), by="; ")
    pairs = failing_pairs(report)
    more = f"; and {len(pairs) - 4} more directions" if len(pairs) > 4 else ""
    between = (
        joined(said("Between nodes: "), escape("; ".join(map(pair_words, pairs[:4])) + more)) if pairs else NOTHING
    )
    told = joined(said("*Who is hit:* "), radius) if radius else NOTHING
    return Part(items=tuple(one for one in (told, between) if one), rank=7)


def _what_next(report: Report) -> Iterator[Part]:
    """Fixes, safest first; and steps, cheapest first."""
    fixes = [*enumerate(report.remediations, start=1)]
    title = said("*What to do* (safest first; cnibot changes nothing by itself)")
    yield part(title, fixes, lambda one: words.fix(one[1], one[0]), most=3, rank=1)
    is_open = report.verdict.status == "inconclusive"
    title = said("*What would settle it* (cheapest first)") if is_open else said("*And then*")
    if is_open and not report.next_steps and report.coverage.access != "agent":
        look = said("1. Let cnibot look at the nodes: `cnibot doctor` names the permissions, then *Re-run*")
        yield Part(title=title, items=(look,), rank=2)
    steps = [*enumerate(report.next_steps, start=1)]
    rank, least = (2, 3) if is_open else (5, 1)
    yield part(title, steps, lambda one: words.step(one[1], one[0]), most=4, rank=rank, least=least)


def _known_issues(report: Report) -> Part:
    """The verdict on each. Those ruled out are never behind all the possible ones: they are what people will name."""
    of = {
        match: [one for one in report.known_issues if one.match == match]
        for match in ("matches", "possible", "ruled_out")
    }
    first = 0 if of["matches"] else 2
    ordered = [*of["matches"], *of["possible"][:first], *of["ruled_out"], *of["possible"][first:]]
    return part(said("*Known issues*"), ordered, lambda one: bullet(words.known_issue(one)), most=4, rank=4, least=2)


def _changed(report: Report) -> Part:
    rows = [change_words(change) for change in report.changes]
    return part(said(f"*{CHANGED_BEFORE}*"), [*rows, *usual_changes(report)] if rows else (), _row, most=3, rank=5)


def _not_seen(report: Report, named: list[CauseReport]) -> Part:
    """What the namespace asked about lacks comes first; then what bears on the causes of the verdict."""
    scope = f"{report.scope.namespace}/"
    missed = sorted(report.coverage.unobserved, key=lambda each: scope not in each.what + each.why)
    rows: list[Unobserved | str] = [
        *missed,
        *_unique(named, lambda cause: (*cause.unobserved, *words.not_refuted(cause))),
    ]
    return part(said("*Not observed*"), rows, _missed, most=3, rank=6)


def _missed(one: Unobserved | str) -> Mrkdwn:
    return bullet(escape(one) if isinstance(one, str) else words.unobserved(one))


def _buttons(value: str) -> Block:
    return blocks.actions(
        blocks.button("Details", ids.DETAILS, value, says="Details: all causes, findings and commands"),
        blocks.button("Re-run", ids.RERUN, value, says="Re-run this diagnosis"),
        blocks.button("Share report", ids.SHARE, value, says="Share the report with the channel"),
        blocks.button("Not it", ids.NOT_IT, value, says="Not it: say that this verdict is wrong"),
    )
