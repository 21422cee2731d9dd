"""A report as Markdown for tickets and post-mortems: cluster text is escaped, so it formats and links nothing."""

import re
from collections.abc import Iterator

from bot.domain.redact import Sink, redact
from bot.domain.report import RemediationReport, Report
from bot.render import brief
from bot.render.marks import (
    CHANGED_BEFORE,
    STATUS_WORDS,
    access_words,
    change_words,
    cleaned,
    cni_words,
    failing_pairs,
    pair_words,
    scope_words,
    transient_words,
    usual_changes,
)

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~@])")


def escaped(text: str) -> str:
    """Text that Markdown shows as it stands."""
    return _SPECIAL.sub(r"\\\1", text)


def markdown(report: Report, sink: Sink = "markdown") -> str:
    """The whole report."""
    return redact("\n".join(_lines(cleaned(report))), sink) + "\n"


def _lines(report: Report) -> Iterator[str]:
    verdict = report.verdict
    yield f"# {STATUS_WORDS[verdict.status]}: {escaped(verdict.summary)}"
    yield ""
    yield f"- Scope: {escaped(scope_words(report))}, {escaped(cni_words(report))}"
    yield f"- Cause: {escaped(verdict.cause or 'none')}" + (f" ({verdict.confidence})" if verdict.confidence else "")
    yield f"- Hop: {verdict.hop or 'none'}"
    yield f"- Seen: {escaped(access_words(report))}; {escaped(report.started_at)}, {report.took_s:.1f} s"
    yield from _causes(report)
    yield from _listed("Recovered by itself", (escaped(transient_words(one)) for one in report.transients))
    yield from _listed("Probe packets", (escaped(one.sentence) for one in report.trace))
    yield from _listed("Who is affected", _radius(report))
    yield from _listed("Between nodes", (escaped(pair_words(pair)) for pair in failing_pairs(report)))
    yield from _listed(CHANGED_BEFORE, (escaped(line) for line in _changed(report)))
    yield from _fixes(report)
    yield from _listed(
        "Known issues",
        (
            f"**{escaped(issue.id)}** {issue.match.replace('_', ' ')}: {escaped('; '.join(issue.why))}"
            + "".join(f" {escaped(reference)}" for reference in issue.references)
            for issue in report.known_issues
        ),
    )
    yield from _listed(
        "Findings",
        (
            f"{finding.severity}: {escaped(finding.sentence)} ({escaped(finding.probe)})"
            for finding in report.findings
            if finding.severity != "pass"
        ),
    )
    yield from _listed(
        "Not seen",
        (
            f"{escaped(each.what)}: {escaped(each.why)}"
            + (f" (would help: {escaped(each.remedy)})" if each.remedy else "")
            for each in report.coverage.unobserved
        ),
    )


def _listed(title: str, items: Iterator[str]) -> Iterator[str]:
    lines = [f"- {item}" for item in items]
    if lines:
        yield from ("", f"## {title}", "", *lines)


def _causes(report: Report) -> Iterator[str]:
    for cause in report.causes:
        if cause.confidence == "ruled_out":
            continue
        yield from ("", f"## {escaped(cause.title)} ({cause.confidence})", "", escaped(cause.mechanism), "")
        yield from (f"- for: {escaped(sentence)}" for sentence in cause.evidence_for)
        yield from (f"- not a look-alike: {escaped(sentence)}" for sentence in cause.look_alikes)
        yield from (f"- against: {escaped(sentence)}" for sentence in cause.evidence_against)
        yield from (f"- not observed: {escaped(sentence)}" for sentence in cause.unobserved)
    yield from _listed("Follows from it", (escaped(one.sentence) for one in report.follows))
    yield from _listed(
        "Ruled out",
        (
            f"{escaped(cause.id)}: {escaped('; '.join(cause.evidence_against))}"
            for cause in report.causes
            if cause.confidence == "ruled_out"
        ),
    )


def _changed(report: Report) -> Iterator[str]:
    yield from (change_words(change) for change in report.changes)
    yield from usual_changes(report)


def _radius(report: Report) -> Iterator[str]:
    radius = report.blast_radius
    if radius.pods:
        yield f"{radius.pods} pods on {escaped(', '.join(radius.nodes) or 'unknown nodes')}"
    if radius.services:
        yield f"Services {escaped(', '.join(radius.services))}"
    if radius.platforms:
        yield f"platforms {escaped(', '.join(radius.platforms))}"


def _person(fix: RemediationReport) -> tuple[tuple[str, str], ...]:
    return ("you decide", fix.decide), ("no command", fix.no_command)


def _fixes(report: Report) -> Iterator[str]:
    if not (report.remediations or report.next_steps):
        return
    yield from ("", "## What next", "")
    for fix in report.remediations:
        yield f"- {escaped(fix.why)} ({brief.risk(fix)})"
        yield from (f"  - {word}: {escaped(reported)}" for word, reported in _person(fix) if reported)
        for word, groups in (("run", brief.grouped(fix)), ("undo", brief.undoing(fix))):
            for nodes, commands in groups:
                where = f" on {escaped(', '.join(nodes))}" if nodes else ""
                yield from (f"  - {word}{where}: `{command.replace('`', '')}`" for command in commands)
    yield from (f"- {escaped(step)}" for step in report.next_steps)
