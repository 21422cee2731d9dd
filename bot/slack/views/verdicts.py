"""The verdict: what is broken and for whom, what to do now, three proofs, and what it is not. One screen of a phone."""

from collections.abc import Iterator, Sequence

from bot.domain.listing import and_more, counted
from bot.domain.outgoing import Content
from bot.domain.report import CauseReport, KnownIssueReport, Report, Unobserved
from bot.remediation.offers import offer
from bot.render import brief
from bot.render.marks import STATUS_WORDS, change_words, failing_pairs, pair_words, transient_words
from bot.slack.views import blocks, ids, report_lines
from bot.slack.views.blocks import Block
from bot.slack.views.parts import Part, message, part
from bot.slack.views.report_lines import bullet
from bot.slack.views.text import (
    NOTHING,
    Mrkdwn,
    clean,
    code,
    escape,
    joined,
    lines,
    link,
    moment,
    person,
    reference,
    said,
)

MAX_HEADING = 90
_SUMMARY = 400
_MOST_FOLLOWS = 2
_NOT_LISTED = 3
"""Look-alikes named in the line that excludes them; the others are counted."""


def verdict(
    report: Report,
    *,
    incident_id: str,
    run: int,
    healthy_at: float | None = None,
    same_as: str = "",
    doubted_by: Sequence[str] = (),
) -> Content:
    """The verdict of one run.

    `healthy_at`: when a run last found nothing wrong; `same_as`: the thread of an older incident with the same fault;
    `doubted_by`: who says that it is wrong.
    """
    doubts = joined(said("⚠️ *Doubted by* "), joined(*map(person, doubted_by[:3]), by=", "), said(": see the thread."))
    doubt = Part(items=(doubts,) if doubted_by else ())
    if report.verdict.status == "healthy":
        parts = list(_healthy(report))
    else:
        parts = [
            _who(report, healthy_at, same_as),
            *_do_now(report),
            Part(after=(_buttons(incident_id, run, has_plan=offer(report) is not None),)),
        ]
        parts += [*_why(report), _then(report)]
    small = Part(items=(report_lines.facts(report),), is_small=True)
    foot = (_buttons(incident_id, run),) if report.verdict.status == "healthy" else ()
    return message(heading(report), [doubt, *parts, small], *foot)


def heading(report: Report) -> str:
    """Sign, status, place, fact, effect: short enough for a lock screen."""
    head = f"{report_lines.STATUS_SIGNS[report.verdict.status]} {STATUS_WORDS[report.verdict.status]} "
    line = clean(brief.headline(report), _SUMMARY)
    return head + (line if len(head) + len(line) <= MAX_HEADING else _beginning(line, MAX_HEADING - len(head)))


def _beginning(summary: str, limit: int) -> str:
    """The first statement, else the first words."""
    head = summary[: limit - 2]
    ends = [at for sign in ("; ", ". ", " (", ": ", ", ") if (at := head.rfind(sign)) > limit // 3]
    return f"{head[: ends[0]] if ends else head.rpartition(' ')[0] or head} …"


def _healthy(report: Report) -> Iterator[Part]:
    """Next to nothing: what healed by itself, and what is worth knowing."""
    healed = [transient_words(one) for one in report.transients]
    yield part(said("*Recovered by itself*"), healed, _row, most=3, rank=5)
    warned = [one.sentence for one in report.findings if one.severity == "warn"]
    yield part(said("*Worth knowing*"), warned, _row, most=3, rank=6)


def _who(report: Report, healthy_at: float | None, same_as: str) -> Part:
    """Who is affected, since when, and where the same fault is dealt with already."""
    summary = clean(report.verdict.summary, _SUMMARY)
    rows: list[Mrkdwn] = []
    if not report.verdict.headline and summary.rstrip(".") not in heading(report):
        rows.append(escape(summary, _SUMMARY))
    if affected := brief.who(report):
        rows.append(joined(said("*Who:* "), escape(" ".join(affected), 700)))
    if report.verdict.status in {"broken", "degraded"} or report.since:
        rows.append(joined(said("*Since:* "), since(report, healthy_at)))
    if same_as:
        rows.append(joined(said("*Same fault as* "), link(same_as, "an older incident"), said(".")))
    pairs = failing_pairs(report)
    if pairs and not report.verdict.cause:
        rows.append(joined(said("*Between nodes:* "), escape("; ".join(map(pair_words, pairs[:4])))))
    return Part(items=tuple(rows), is_whole=True, rank=2)


def since(report: Report, healthy_at: float | None) -> Mrkdwn:
    """When it began: between the last healthy run and what Kubernetes saw first; and what changed within the hour."""
    began, seen = report.since, report_lines.time_of(report.started_at)
    unready = joined(
        escape(counted(began.pods, "pod")), said(" lost readiness at "), report_lines.time_of(began.first)
    ) if began else NOTHING  # fmt: skip
    if healthy_at is not None:
        when = joined(said("between "), moment(healthy_at), said(" (healthy) and "), seen)
        when = joined(when, said("; ") if unready else NOTHING, unready)
    else:
        when = unready or joined(said("not known; first seen "), seen)
    changed = [change_words(one) for one in brief.recent(report)]
    listed = and_more(changed, 1) + (", see Details" if len(changed) > 1 else "")
    lead = joined(said(" Changed before (a lead, not proof): "), escape(listed), said("."))
    return joined(when, said("."), lead if changed else NOTHING)


def _do_now(report: Report) -> Iterator[Part]:
    """The fix to paste; where nothing is proven, what would settle it."""
    if report.remediations:
        rows = [*report_lines.fix(report.remediations[0], said("*Do now*"))]
        if more := report.remediations[1:]:
            rows.append(joined(said("*Or:* "), escape(brief.alternatives(more), 300), said(" (see Details)")))
        yield Part(items=tuple(rows), is_whole=True, rank=1, least=len(rows))
    if report.verdict.status != "inconclusive":
        return
    title = said("*What would settle it* (cheapest first)")
    if not report.steps and (says := brief.settling(report)):
        look = said("Let cnibot inspect the nodes: `cnibot doctor` names the permissions, then *Re-run*")
        is_blind = report.coverage.access != "agent"
        yield Part(title=title, items=(bullet(look if is_blind else escape(says[:1].upper() + says[1:])),), rank=2)
    steps = [*enumerate(report.steps, start=1)]
    yield part(title, steps, lambda one: report_lines.step(report, one[1], one[0]), most=4, rank=2, least=3)
    if report.coverage.unobserved:
        yield part(said("*Not seen*"), brief.missed(report), _missed, most=3, rank=4)


def _missed(one: Unobserved) -> Mrkdwn:
    return bullet(report_lines.unobserved(one))


def _row(sentence: str) -> Mrkdwn:
    return bullet(escape(sentence))


def _why(report: Report) -> Iterator[Part]:
    """At most three proofs, a second fault, and what it is not."""
    named = brief.standing(report)
    matching, refuted = brief.issues(report)
    yield part(said("*Known*"), matching, _known, most=2, rank=3)
    for number, cause in enumerate(named):
        title = said("*Why* ") if number == 0 else joined(said("*Besides:* "), escape(cause.title, 160), said(" "))
        proofs = brief.proofs(report, cause, 3 if number == 0 else 2)
        rows = tuple(bullet(escape(one, 260)) for one in proofs)
        sure = joined(title, escape(f"({cause.confidence})"))
        if number == 0 and not rows:
            sure = joined(said("*Why:* "), escape(f"{cause.title} ({cause.confidence})", 180))
        yield Part(title=sure, items=rows, rank=3, least=2) if rows else Part(items=(sure,), rank=3)
    if follows := brief.follows(report):
        line = and_more(follows, _MOST_FOLLOWS, by="; ")
        yield Part(items=(joined(said("*Follows from it:* "), escape(line, 400), said(".")),), rank=4)
    yield from _open(report, named)
    yield Part(items=tuple(_not_these(report, named, refuted)), rank=4, least=2)


def _known(one: KnownIssueReport) -> Mrkdwn:
    return bullet(report_lines.known_issue(one))


def _open(report: Report, named: list[CauseReport]) -> Iterator[Part]:
    """What does not work, as long as no cause is known; and what else may be the cause of something."""
    if not named:
        rows = [one.sentence for one in brief.found(report)]
        yield part(said("*What was found*"), rows, _row, most=4, rank=3, least=2)
        lost = [one.sentence for one in report.trace if one.lost]
        yield part(said("*Probe packets*"), lost, _row, most=2, rank=4)
    maybe = [cause for cause in report.causes if cause.confidence in {"likely", "possible"} and cause not in named]
    title = said("*Also possible, not proven*") if named else said("*Possible, not proven*")
    yield part(title, maybe, _candidate, most=2 if named else 4, rank=4 if named else 3, least=2)


def _candidate(cause: CauseReport) -> Mrkdwn:
    return bullet(escape(brief.candidate(cause), 180))


def _not_these(report: Report, named: list[CauseReport], refuted: list[KnownIssueReport]) -> Iterator[Mrkdwn]:
    """Look-alikes that were checked, by plain title; a famous issue that it is not; and no new CNI."""
    alike = brief.not_these(named)
    out = sum(cause.confidence == "ruled_out" for cause in report.causes)
    if alike:
        listed = and_more(alike, _NOT_LISTED, beyond=max(0, out - len(alike)), by="; ")
        yield joined(said("*Not:* "), escape(listed, 500))
    warning = brief.never(named)
    advice = escape(f"{warning}.", 200) if warning else NOTHING
    for one in refuted:
        why = joined(said(": "), escape(one.why[0], 260)) if one.why else NOTHING
        issue = joined(said("*Not* "), reference(one.references[0], one.id), why, said("."))
        yield joined(issue, advice, by=" ")
    if advice and not refuted:
        yield advice


def _then(report: Report) -> Part:
    """What keeps it fixed."""
    if report.verdict.status == "inconclusive":
        return Part()
    rows = [one.text for one in report.steps if one.text and not one.is_warning]
    looks = [*enumerate((one for one in report.steps if one.look), start=1)]
    found = [joined(said("*Then:* "), escape(report_lines.sentence(text), 300)) for text in rows[:2]]
    found += [joined(said("*To be sure:* "), report_lines.step(report, one, 0)) for _, one in looks[:1]]
    return Part(items=(lines(found),) if found else (), rank=5)


def _buttons(incident_id: str, run: int, *, is_shareable: bool = True, has_plan: bool = False) -> Block:
    value = ids.run_value(incident_id, run)
    share = [("Share report", ids.option_value(ids.SHARE, value))] if is_shareable else []
    says = "Propose fix: a plan that somebody else approves"
    propose = [blocks.button("Propose fix", ids.PROPOSE_FIX, value, style="primary", says=says)] if has_plan else []
    return blocks.actions(
        *propose,
        blocks.button("Details", ids.DETAILS, value, says="Details: all causes, findings and commands"),
        blocks.button("Re-run", ids.RERUN, value, says="Re-run this diagnosis"),
        blocks.overflow(ids.MORE, [*share, ("Not it", ids.option_value(ids.NOT_IT, value))]),
    )


def same_fault(report: Report, *, link_to: str, incident_id: str, run: int) -> Content:
    """Instead of a verdict: the same fault has an incident in this channel already."""
    where = link(link_to, brief.headline(report)) if link_to else escape(brief.headline(report))
    sign = escape(report_lines.STATUS_SIGNS[report.verdict.status])
    scope = code(report.scope.namespace, 80)
    line = joined(sign, said(" *Same fault as* "), where, said(". The commands are there."))
    return message(
        "",
        [
            Part(items=(line,)),
            Part(items=(joined(said("*Who:* "), escape(" ".join(brief.who(report)), 500)),)),
            Part(items=(joined(said("asked about "), scope),), is_small=True),
        ],
        _buttons(incident_id, run, is_shareable=False),
    )


def seen_from(report: Report, *, link_to: str) -> Content:
    """For the older thread: somebody met its fault from elsewhere."""
    other = code(report.scope.namespace, 80)
    where = joined(other, said(" ("), link(link_to, "its thread"), said(")")) if link_to else other
    return message("", [Part(items=(joined(said("The same fault was seen again, from "), where, said(".")),))])
