"""A report's statements as single lines, each the same wherever a view shows it."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from bot.domain.incident import ALL_NODES, Incident
from bot.domain.listing import and_more, left_out
from bot.domain.report import (
    CauseReport,
    FindingReport,
    KnownIssueReport,
    LookAlike,
    NextStep,
    RemediationReport,
    Report,
    Unobserved,
)
from bot.render import brief
from bot.render.loops import MOST_LISTED, SHOWN_OF_MANY, looped
from bot.render.marks import SEVERITY_SIGNS, STATUS_WORDS
from bot.slack.views.text import (
    MAX_LINE,
    NOTHING,
    Mrkdwn,
    bold,
    clean,
    code,
    escape,
    fence,
    fits,
    joined,
    moment,
    reference,
    said,
)

STATUS_SIGNS = {
    "broken": "🔴",
    "degraded": "🟠",
    "healthy": "🟢",
    "inconclusive": "⚪",
    "failed": "⚪",
    "diagnosing": "⏳",
    "closed": "⚫",
}
"""Beside the word, never instead of it."""

INCIDENT_WORDS = STATUS_WORDS | {"failed": "NO DIAGNOSIS", "diagnosing": "DIAGNOSING", "closed": "CLOSED"}

_HOP_WORDS = {
    "ok": said("ok"),
    "broken": said("*✗ BROKEN HERE*"),
    "suspect": said("*? SUSPECTED HERE*"),
    "unknown": said("_not known_"),
}
_MAX_HOPS = 8
_MAX_NAME = 64
_MAX_READ = 1_200
MAX_LOOP = 1_400
_IN_ONE_FENCE = 4


def bullet(line: Mrkdwn) -> Mrkdwn:
    """An item of a list; nothing stays nothing."""
    return joined(said("• "), line) if line else NOTHING


def facts(report: Report) -> Mrkdwn:
    """The cause's id, what was asked about and how much was seen, as small print."""
    verdict = report.verdict
    named = code(verdict.cause, 80) if verdict.cause else NOTHING
    return joined(named, escape(brief.facts(report), 600), by=" · ")


def path(report: Report) -> Mrkdwn:
    """The packet's way in words, hop after hop; of a long one the neighbourhood of the hop that matters.

    Where no node was inspected, no hop before it is called ok.
    """
    hops = report.path
    ok = _HOP_WORDS["ok"] if report.coverage.nodes_observed else said("_not inspected_")
    at = next((index for index, hop in enumerate(hops) if hop.state in {"broken", "suspect"}), 0)
    start = max(0, min(at - _MAX_HOPS + 2, len(hops) - _MAX_HOPS))
    shown = [
        joined(code(hop.name, _MAX_NAME), said(" "), ok if hop.state == "ok" else _HOP_WORDS[hop.state])
        for hop in hops[start:][:_MAX_HOPS]
    ]
    before = said("… → ") if start else NOTHING
    after = said(" → …") if len(hops) > start + _MAX_HOPS else NOTHING
    return joined(before, joined(*shown, by=" → "), after)


def look_alike(one: LookAlike) -> Mrkdwn:
    """A look-alike with the fact that refutes it; nothing for one that is not refuted."""
    return joined(code(one.cause, 80), said(": "), escape(one.why)) if one.is_refuted else NOTHING


def ruled_out(cause: CauseReport, *, reasons: int = 1) -> Mrkdwn:
    """A cause that was considered and excluded, with the facts that do it: each fact once, and where it holds."""
    where: dict[str, list[str]] = {}
    for statement in cause.opposing[:50]:
        where.setdefault(clean(statement.text, _MAX_READ), []).extend(statement.subjects)
    shown = sorted(where.items(), key=lambda item: -len(item[1]))[:reasons]
    why = "; ".join(f"{fact}{_at(subjects)}" for fact, subjects in shown)
    return joined(code(cause.id, 80), said(": "), escape(why or cause.title, MAX_LINE if reasons == 1 else 600))


def _at(subjects: list[str]) -> str:
    return f" ({and_more(subjects, 1)})" if subjects else ""


_MATCHES = {"matches": said("*matches*"), "possible": said("*possible*"), "ruled_out": said("*ruled out*")}


def known_issue(issue: KnownIssueReport) -> Mrkdwn:
    """A known issue's verdict with a link and the reason that tells most."""
    links = [reference(each, issue.id) for each in issue.references[:1]] or [code(issue.id, 80)]
    why = escape(_reason(issue))
    return joined(*links, said(" "), _MATCHES[issue.match], joined(said(": "), why) if why else NOTHING)


def known_issue_in_full(issue: KnownIssueReport) -> Mrkdwn:
    """A known issue's verdict with its title, all reasons and threads."""
    links = joined(*(reference(each) for each in issue.references[:6]), by=", ")
    return joined(
        code(issue.id, 80),
        said(" "),
        _MATCHES[issue.match],
        joined(said(": "), escape(issue.title)) if issue.title else NOTHING,
        *(joined(said("\n    - "), escape(why, 500)) for why in issue.why),
        joined(said("\n    - "), links) if links else NOTHING,
    )


def _reason(issue: KnownIssueReport) -> str:
    """Of a possible one what keeps it open, else the first."""
    return next(iter(issue.open if issue.match == "possible" and issue.open else issue.why), "")


def step(report: Report, one: NextStep, number: int) -> Mrkdwn:
    """A next step; where it is a look that decides between causes, the command first, to be copied."""
    count = escape(f"{number}.")
    if not one.look:
        text = clean(one.text, _MAX_READ)
        return joined(count, said(" "), escape(text[:1].upper() + text[1:]))
    read = replace(one, look=clean(one.look, _MAX_READ), subject=clean(one.subject))
    at = joined(said(" at "), escape(read.place, 120)) if read.place else NOTHING
    return joined(count, said(" "), code(read.command), at, said(" "), escape(brief.decides(report, one), 300))


def unobserved(each: Unobserved) -> Mrkdwn:
    """What was not seen, why, and what would help."""
    remedy = joined(said(" (would help: "), escape(each.remedy, 160), said(")")) if each.remedy else NOTHING
    return joined(escape(each.what, 120), said(": "), escape(each.why, 200), remedy)


def finding(one: FindingReport) -> Mrkdwn:
    """A probe's sentence with its grade."""
    sign = SEVERITY_SIGNS[one.severity]
    return joined(
        escape(f"{sign} {one.severity}:"), said(" "), escape(one.sentence, 500), said(" "), code(one.probe, 60)
    )


def fix(one: RemediationReport, title: Mrkdwn) -> Iterator[Mrkdwn]:
    """An offered fix: where, how far it reaches, what it does, and the exact commands."""
    groups = brief.grouped(one)
    place = brief.some(groups[0][0]) if len(groups) == 1 else ""
    where = joined(said(" on *"), escape(place, 200), said("*")) if place else NOTHING
    yield joined(title, where, said(". "), risk(one), said(". "), escape(sentence(one.why), 400))
    if one.decide:
        yield joined(said("_You decide:_ "), escape(sentence(one.decide), 300))
    for nodes, commands in groups:
        if len(groups) > 1:
            yield joined(said("on *"), escape(brief.some(nodes) or "any machine with kubectl", 200), said("*"))
        yield _commands(commands)
    if not one.at and one.no_command:
        yield joined(said("_No command:_ "), escape(sentence(one.no_command), 300))


def sentence(text: str) -> str:
    """Foreign text as a sentence. Secrets are struck out first: with a capital letter they are not known any more."""
    read = clean(text, _MAX_READ)
    return f"{read[:1].upper()}{read[1:].rstrip('.')}."


def fix_in_full(one: RemediationReport, number: int) -> Iterator[Mrkdwn]:
    """The same with every command, in rows that fit a section each, and how to undo it."""
    yield from fix(replace(one, at=(), commands=()), joined(escape(f"{number}."), said(" *Fix*")))
    yield from _placed(brief.grouped(one))
    if one.undo:
        yield said("To undo:")
        yield from _placed(brief.undoing(one))


def _placed(groups: list[tuple[tuple[str, ...], tuple[str, ...]]]) -> Iterator[Mrkdwn]:
    for nodes, commands in groups:
        if nodes:
            yield joined(said("on *"), escape(", ".join(nodes), 300), said("*"))
        yield from _fences(commands)


def _fences(commands: tuple[str, ...]) -> Iterator[Mrkdwn]:
    loop = looped(commands)
    if loop and fits(loop):
        yield fence(loop.split("\n"))
        return
    for at in range(0, len(commands), _IN_ONE_FENCE):
        shown = [command for command in commands[at : at + _IN_ONE_FENCE] if fits(command)]
        more = len(commands[at : at + _IN_ONE_FENCE]) - len(shown)
        yield fence([*shown, *([f"# {left_out(more)}: in the shared report"] if more else [])])


def risk(one: RemediationReport) -> Mrkdwn:
    """How far a fix reaches, in words."""
    text = brief.risk(one)
    return escape(f"{text[:1].upper()}{text[1:]}", 120)


def _commands(commands: tuple[str, ...]) -> Mrkdwn:
    """What can be pasted: a loop where commands differ in one word; whole commands only, the others are counted."""
    loop = looped(commands)
    if loop and len(loop) <= MAX_LOOP:
        return fence(loop.split("\n"))
    most = MOST_LISTED if len(commands) <= MOST_LISTED else SHOWN_OF_MANY
    shown = [command for command in commands[:most] if fits(command)]
    if len(shown) < len(commands):
        shown.append(f"# all {len(commands)} in Details")
    return fence(shown)


def time_of(written: str) -> Mrkdwn:
    """An RFC 3339 time in the reader's own zone, or as it stands."""
    try:
        return moment(datetime.fromisoformat(written).timestamp())
    except (ValueError, OverflowError, OSError):
        return escape(written, 40)


def cause_title(cause: CauseReport) -> Mrkdwn:
    """What it is, and how sure that is."""
    return joined(bold(cause.title, 160), said(" ("), escape(cause.confidence.replace("_", " ")), said(")"))


def status(incident: Incident) -> Mrkdwn:
    """An incident's state: sign and word."""
    return joined(escape(STATUS_SIGNS[incident.status]), said(" *"), escape(INCIDENT_WORDS[incident.status]), said("*"))


def scope(incident: Incident, *, cluster_shown: bool = True, is_reach_shown: bool = False) -> Mrkdwn:
    """Namespace, pod, node or all nodes, how many more namespaces the newest verdict concerns, and the cluster."""
    named = code(f"{incident.namespace}/{incident.pod}" if incident.pod else incident.namespace, 320)
    if incident.node == ALL_NODES:
        named = said("all nodes")
    elif incident.node:
        named = joined(said("node "), code(incident.node, 260))
    more = incident.namespaces - 1
    if is_reach_shown and more > 0 and not incident.node:
        named = joined(named, said(" and "), escape(f"{more} more namespace{'' if more == 1 else 's'}"))
    return joined(named, said(" on "), code(incident.cluster, 80)) if cluster_shown else named
