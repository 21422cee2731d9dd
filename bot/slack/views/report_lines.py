"""A report's statements as single lines, each the same wherever a view shows it."""

import re
from collections.abc import Iterator
from dataclasses import replace

from bot.domain.incident import Incident
from bot.domain.report import (
    CauseReport,
    FindingReport,
    KnownIssueReport,
    RemediationReport,
    Report,
    Risk,
    Unobserved,
)
from bot.render.marks import RISK_WORDS, SEVERITY_SIGNS, STATUS_WORDS, access_words, cni_words, scope_words
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
    lines,
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
_SUBJECT = r"(?:pod|node|service|pair) [^\s,:]+"
_SUBJECTS = re.compile(rf"({_SUBJECT}(?:, {_SUBJECT})*)(?: and (\d+) more)?: ")
_LOOK = re.compile(r"(.{1,300}) \(([^()]{1,300}); decides ([^()]{1,300})\)")
_OBJECT = re.compile(r"(pod|node) (?:([a-z0-9-]{1,63})/)?([a-z0-9][a-z0-9.-]{0,252})")
_MAX_HOPS = 8
_MAX_NAME = 64
_MAX_READ = 1_200
_COMMANDS = 3
_IN_ONE_FENCE = 4


def bullet(line: Mrkdwn) -> Mrkdwn:
    """An item of a list; nothing stays nothing."""
    return joined(said("• "), line) if line else NOTHING


def condensed(sentence: str, namespace: str = "") -> str:
    """A sentence about many subjects, which are named first, with one of them (of the namespace asked about).

    Without the "and" that binds it to the sentence before: here each stands alone.
    """
    match = _SUBJECTS.match(sentence := clean(sentence, _MAX_READ))
    if match is None:
        return sentence
    subjects = match[1].split(", ")
    named = next((one for one in subjects if one.partition(" ")[2].startswith(f"{namespace}/")), subjects[0])
    more = len(subjects) - 1 + int((match[2] or "0")[:9])
    return f"{named}{f' and {more} more' if more else ''}: {sentence[match.end() :].removeprefix('and ')}"


def facts(report: Report) -> Mrkdwn:
    """What was asked about and how much was seen, as small print."""
    parts = [scope_words(report), cni_words(report), access_words(report), f"{report.took_s:.1f} s"]
    verdict = report.verdict
    named = (
        joined(code(verdict.cause, 80), said(" ("), escape(verdict.confidence or "", 20), said(")"))
        if verdict.cause
        else NOTHING
    )
    return joined(named, *(escape(part, 200) for part in parts), by=" · ")


def path(report: Report) -> Mrkdwn:
    """The packet's way in words, hop after hop; of a long one the neighbourhood of the hop that matters.

    Where no node was looked at, no hop before it is called ok.
    """
    hops = report.path
    ok = _HOP_WORDS["ok"] if report.coverage.nodes_observed else said("_not looked at_")
    at = next((index for index, hop in enumerate(hops) if hop.state in {"broken", "suspect"}), 0)
    start = max(0, min(at - _MAX_HOPS + 2, len(hops) - _MAX_HOPS))
    shown = [
        joined(code(hop.name, _MAX_NAME), said(" "), ok if hop.state == "ok" else _HOP_WORDS[hop.state])
        for hop in hops[start:][:_MAX_HOPS]
    ]
    before = said("… → ") if start else NOTHING
    after = said(" → …") if len(hops) > start + _MAX_HOPS else NOTHING
    return joined(before, joined(*shown, by=" → "), after)


def look_alike(sentence: str) -> Mrkdwn:
    """From "not CAUSE: why" the cause and the fact that shows it; nothing for a look-alike that is not refuted."""
    name, colon, why = clean(sentence, _MAX_READ).partition(": ")
    if not colon or not name.startswith("not "):
        return NOTHING
    return joined(code(name.removeprefix("not "), 80), said(": "), escape(why))


def not_refuted(cause: CauseReport) -> Iterator[str]:
    """The sentences about look-alikes that nothing refutes."""
    return (sentence for sentence in cause.look_alikes if not sentence.startswith("not "))


def ruled_out(cause: CauseReport, *, reasons: int = 1) -> Mrkdwn:
    """A cause that was considered and excluded, with the facts that do it: each fact once, and where it holds."""
    where: dict[str, list[str]] = {}
    for sentence in cause.evidence_against[:50]:
        match = _SUBJECTS.match(sentence := clean(sentence, _MAX_READ))
        fact, subject = (sentence[match.end() :], match[1]) if match else (sentence, "")
        where.setdefault(fact, []).append(subject)
    told = sorted(where.items(), key=lambda item: -len(item[1]))[:reasons]
    why = "; ".join(f"{fact}{_at(subjects)}" for fact, subjects in told)
    return joined(code(cause.id, 80), said(": "), escape(why or cause.title, MAX_LINE if reasons == 1 else 600))


def _at(subjects: list[str]) -> str:
    more = f" and {len(subjects) - 1} more" if len(subjects) > 1 else ""
    return f" ({subjects[0]}{more})" if subjects[0] else ""


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
    is_open = [why for why in issue.why if why.startswith(("to be checked", "not observed", "nothing that"))]
    return next(iter(is_open if issue.match == "possible" and is_open else issue.why), "")


def step(sentence: str, number: int) -> Mrkdwn:
    """A next step; where it is a look that decides between causes, the command first, to be copied."""
    count = escape(f"{number}.")
    sentence = clean(sentence, _MAX_READ)  # before anything is taken apart: half a secret is not known as one
    match = _LOOK.fullmatch(sentence)
    if match is None:
        return joined(count, said(" "), escape(sentence[:1].upper() + sentence[1:]))
    look, subject, decides = match.groups()
    filled = _filled(look, subject)
    at = NOTHING if filled != look else joined(said(" at "), escape(subject, 120))
    return joined(count, said(" "), code(filled), at, said(" decides "), escape(decides))


def _filled(look: str, subject: str) -> str:
    """The command with the subject in its placeholders, where the name is one that a shell takes as it stands."""
    match = _OBJECT.fullmatch(subject)
    if match is None:
        return look
    kind, namespace, name = match.groups()
    if kind == "node" and not namespace:
        return look.replace("<node>", name)
    return (
        look.replace("<pod>", f"-n {namespace} {name}") if kind == "pod" and namespace and "kubectl" in look else look
    )


def who_is_hit(report: Report) -> Iterator[Mrkdwn]:
    """Pods, nodes, Services and platforms."""
    radius = report.blast_radius
    if radius.pods or radius.nodes:
        nodes = f" on {_some(radius.nodes)}" if radius.nodes else ""
        yield escape(f"{radius.pods} pod{'' if radius.pods == 1 else 's'}{nodes}")
    if radius.services:
        yield escape(f"Services {_some(radius.services)}")
    if radius.platforms:
        yield escape(f"platforms {_some(radius.platforms)}")


def _some(names: tuple[str, ...], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


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


def fix(one: RemediationReport, number: int) -> Mrkdwn:
    """An offered fix: what it does, its risk in words, the exact commands, and how to undo it."""
    head = joined(escape(f"{number}."), said(" "), escape(one.why, 400), said(" "), risk(one.risk))
    undo = [said("To undo:"), _commands(one.undo, 1)] if one.undo else []
    return lines([head, _commands(one.commands, _COMMANDS), *undo])


def fix_in_full(one: RemediationReport, number: int) -> Iterator[Mrkdwn]:
    """The same with every command, in rows that fit a section each."""
    yield fix(replace(one, commands=(), undo=()), number)
    yield from _fences(one.commands)
    if one.undo:
        yield said("To undo:")
        yield from _fences(one.undo)


def _fences(commands: tuple[str, ...]) -> Iterator[Mrkdwn]:
    for at in range(0, len(commands), _IN_ONE_FENCE):
        yield _commands(commands[at : at + _IN_ONE_FENCE], None)


def risk(one: Risk) -> Mrkdwn:
    """A risk class in words."""
    return joined(said("_("), escape(RISK_WORDS[one]), said(")_"))


def _commands(commands: tuple[str, ...], most: int | None) -> Mrkdwn:
    """Whole commands only: what is left out is counted in a comment."""
    shown = [command for command in commands[:most] if fits(command)]
    more = len(commands) - len(shown)
    if more:
        shown.append(f"# and {more} more: see Details" if most else f"# and {more} more: in the shared report")
    return fence(shown)


def cause_title(cause: CauseReport) -> Mrkdwn:
    """What it is, and how sure that is."""
    return joined(bold(cause.title, 160), said(" ("), escape(cause.confidence.replace("_", " ")), said(")"))


def status(incident: Incident) -> Mrkdwn:
    """An incident's state: sign and word."""
    return joined(escape(STATUS_SIGNS[incident.status]), said(" *"), escape(INCIDENT_WORDS[incident.status]), said("*"))


def scope(incident: Incident, *, cluster_shown: bool = True) -> Mrkdwn:
    """Namespace or pod, and the cluster."""
    where = f"{incident.namespace}/{incident.pod}" if incident.pod else incident.namespace
    named = code(where, 320)
    return joined(named, said(" on "), code(incident.cluster, 80)) if cluster_shown else named
