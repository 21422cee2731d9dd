"""A report on a terminal: the verdict on one screen, everything with `details`.

Text from a cluster is cleaned of control characters and never read as Rich markup.
"""

from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from bot.domain.errors import bounded
from bot.domain.report import CauseReport, PathHop, Report
from bot.render.marks import (
    CHANGED_BEFORE,
    HOP_SIGNS,
    RISK_WORDS,
    SEVERITY_SIGNS,
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

STATUS_STYLES = {
    "healthy": "bold black on green",
    "degraded": "bold black on yellow",
    "broken": "bold white on red",
    "inconclusive": "bold black on cyan",
}
CONFIDENCE_STYLES = {"confirmed": "bold green", "likely": "bold yellow", "possible": "yellow", "ruled_out": "dim"}
SEVERITY_STYLES = {"pass": "green", "info": "dim", "warn": "yellow", "fail": "bold red", "inconclusive": "cyan"}
MOST = 6
MOST_ISSUES = 4
MOST_COMMANDS = 3
"""Lines of one section unless details are asked for."""
MOST_PAIRS = 400
"""Directions between nodes that are listed even with details."""


class ReportView:
    """A report as Rich draws it."""

    def __init__(self, report: Report, *, details: bool = False) -> None:
        self.report = cleaned(report)
        self.details = details

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The sections in the order in which people ask."""
        yield from _headline(self.report)
        yield from _path(self.report.path)
        named = [cause for cause in self.report.causes if cause.confidence != "ruled_out"]
        for cause in named if self.details else _worth_showing(self.report, named):
            yield from _cause(self.report, cause, details=self.details)
        yield from _failures(self.report, details=self.details)
        healed: list[RenderableType] = [_bullet("~", transient_words(one), "cyan") for one in self.report.transients]
        yield from _section("Healed by itself", healed if self.details else healed[:MOST])
        yield from _who(self.report)
        yield from _connectivity(self.report, details=self.details)
        yield from _changes(self.report, details=self.details)
        yield from _next(self.report, details=self.details)
        yield from _known_issues(self.report, details=self.details)
        yield from _unobserved(self.report, details=self.details)
        if self.details:
            yield from _ruled_out(self.report)
            yield from _findings(self.report)


def _worth_showing(report: Report, named: list[CauseReport]) -> list[CauseReport]:
    sure = [cause for cause in named if cause.confidence in {"confirmed", "likely"} and cause.explains]
    return sure or [cause for cause in named if cause.id == report.verdict.cause] or named[:2]


def _section(title: str, lines: list[RenderableType]) -> Iterator[RenderableType]:
    if lines:
        yield Text(f"\n{title}", style="bold")
        yield Padding(Group(*lines), (0, 0, 0, 2))


def _bullet(sign: str, text: str, style: str = "") -> Table:
    """A sign and a text that wraps beside it, not under it."""
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row(Text(sign, style=style), Text(text))
    return table


def _headline(report: Report) -> Iterator[RenderableType]:
    verdict = report.verdict
    line = Text()
    line.append(f" {STATUS_WORDS[verdict.status]} ", style=STATUS_STYLES[verdict.status])
    line.append(f"  {verdict.summary}", style="bold")
    yield line
    facts = [scope_words(report), cni_words(report), access_words(report), f"{report.took_s:.1f} s"]
    if verdict.cause:
        facts.insert(0, f"{verdict.cause} ({verdict.confidence})")
    yield Text("  " + " · ".join(facts), style="dim")


def _path(path: tuple[PathHop, ...]) -> Iterator[RenderableType]:
    """The packet's way on one line, and what is wrong under the hop where it is wrong."""
    if not path:
        return
    line, below = Text("\n  "), ""
    for index, hop in enumerate(path):
        if index:
            style = "bold red" if hop.state == "broken" else "yellow" if hop.state == "suspect" else "dim"
            line.append(f" {HOP_SIGNS[hop.state]} ", style=style)
        start = len(line.plain.lstrip("\n"))
        name_style = {"broken": "bold red", "ok": "green", "suspect": "yellow"}.get(hop.state, "dim")
        line.append(bounded(hop.name, 40), style=name_style)
        if hop.state == "broken" and not below:
            below = " " * start + "▲ " + bounded(hop.detail, 160)
    yield line
    if below:
        yield Text(below, style="red")


def _cause(report: Report, cause: CauseReport, *, details: bool) -> Iterator[RenderableType]:
    head = Text()
    head.append(f"\n{cause.title} ", style="bold")
    head.append(cause.confidence.replace("_", " "), style=CONFIDENCE_STYLES[cause.confidence])
    yield head
    lines: list[RenderableType] = []
    if cause.mechanism:
        lines.append(Text(bounded(cause.mechanism, 600), style="dim"))
    most = None if details else MOST
    lines += [_bullet("✓", sentence, "green") for sentence in cause.evidence_for[:most]]
    lines += [_bullet("≠", sentence, "cyan") for sentence in cause.look_alikes[:most]]
    lines += [_bullet("✗", sentence, "red") for sentence in cause.evidence_against[:most]]
    lines += [_bullet("?", sentence, "yellow") for sentence in cause.unobserved[: None if details else 2]]
    if len(report.causes) and len(cause.subjects) > 1:
        more = f" and {len(cause.subjects) - MOST} more" if len(cause.subjects) > MOST else ""
        lines.append(_bullet("@", ", ".join(cause.subjects[:MOST]) + more, "dim"))
    yield Padding(Group(*lines), (0, 0, 0, 2))


def _failures(report: Report, *, details: bool) -> Iterator[RenderableType]:
    if details or any(c.confidence in {"confirmed", "likely"} for c in report.causes):
        return
    found = [finding for finding in report.findings if finding.severity in {"fail", "warn"}]
    yield from _section("What was found", [_bullet("✗", f.sentence, SEVERITY_STYLES[f.severity]) for f in found[:MOST]])


def _who(report: Report) -> Iterator[RenderableType]:
    radius = report.blast_radius
    if not (radius.pods or radius.nodes or radius.services):
        return
    parts = [f"{radius.pods} pods" + (f" on {', '.join(radius.nodes[:5])}" if radius.nodes else "")]
    if len(radius.nodes) > 5:
        parts[0] += f" and {len(radius.nodes) - 5} more nodes"
    if radius.services:
        more = f" and {len(radius.services) - 5} more" if len(radius.services) > 5 else ""
        parts.append("Services " + ", ".join(radius.services[:5]) + more)
    if radius.platforms:
        parts.append("platforms " + ", ".join(radius.platforms))
    yield from _section("Who is hit", [Text("; ".join(parts))])


def _connectivity(report: Report, *, details: bool) -> Iterator[RenderableType]:
    """The directions that fail; with `details` all of them."""
    bad = failing_pairs(report)
    shown = report.connectivity if details else bad[:MOST]
    signs = {"ok": ("✓", "green"), "failed": ("✗", "bold red"), "partial": ("!", "yellow"), "unknown": ("?", "dim")}
    lines: list[RenderableType] = [
        _bullet(signs[pair.state][0], pair_words(pair), signs[pair.state][1]) for pair in shown[:MOST_PAIRS]
    ]
    hidden = len(report.connectivity if details else bad) - len(lines)
    if hidden:
        lines.append(Text(f"and {hidden} more" + ("" if details else ": -v shows them"), style="dim"))
    yield from _section("Between nodes", lines)


def _changes(report: Report, *, details: bool) -> Iterator[RenderableType]:
    shown = report.changes if details else report.changes[:MOST]
    lines: list[RenderableType] = [_bullet("~", change_words(change), "dim") for change in shown]
    if len(report.changes) > len(shown):
        lines.append(Text(f"and {len(report.changes) - len(shown)} more: -v shows them", style="dim"))
    if lines or details:
        lines += [_bullet("·", sentence, "dim") for sentence in usual_changes(report)]
    yield from _section(CHANGED_BEFORE, lines)


def _next(report: Report, *, details: bool) -> Iterator[RenderableType]:
    lines: list[RenderableType] = []
    for number, fix in enumerate(report.remediations[:3], start=1):
        lines.append(_bullet(f"{number}.", f"{fix.why} [{RISK_WORDS[fix.risk]}]"))
        lines += _commands(fix.commands, "", "bold cyan", details=details)
        lines += _commands(fix.undo, "undo: ", "dim", details=details)
    lines += [_bullet("→", step) for step in report.next_steps[:MOST]]
    yield from _section("What next", lines)


def _commands(commands: tuple[str, ...], word: str, style: str, *, details: bool) -> Iterator[RenderableType]:
    shown = commands if details else commands[:MOST_COMMANDS]
    for command in shown:
        yield Text(f"     {word}{command}", style=style, overflow="fold")
    if len(commands) > len(shown):
        yield Text(f"     {word}and {len(commands) - len(shown)} more like it (-v shows all)", style="dim")


def _known_issues(report: Report, *, details: bool) -> Iterator[RenderableType]:
    signs = {"matches": ("=", "bold"), "possible": ("~", "yellow"), "ruled_out": ("≠", "cyan")}
    lines: list[RenderableType] = []
    matched = any(issue.match == "matches" for issue in report.known_issues)
    for issue in report.known_issues[: MOST if details else MOST_ISSUES]:
        if issue.match == "possible" and matched and not details:
            continue
        sign, style = signs[issue.match]
        why = f": {issue.why[0]}" if issue.why else ""
        lines.append(_bullet(sign, f"{issue.id} {issue.match.replace('_', ' ')}{why}", style))
    yield from _section("Known issues", lines)


def _unobserved(report: Report, *, details: bool) -> Iterator[RenderableType]:
    missing = report.coverage.unobserved
    shown = missing if details else missing[:3]
    lines: list[RenderableType] = []
    for each in shown:
        remedy = f" (would help: {each.remedy})" if each.remedy else ""
        lines.append(_bullet("?", f"{each.what}: {each.why}{remedy}", "yellow"))
    if len(missing) > len(shown):
        lines.append(Text(f"and {len(missing) - len(shown)} more: -v shows them", style="dim"))
    yield from _section("Not seen", lines)


def _ruled_out(report: Report) -> Iterator[RenderableType]:
    out = [cause for cause in report.causes if cause.confidence == "ruled_out"]
    lines: list[RenderableType] = [_bullet("≠", f"{c.id}: {'; '.join(c.evidence_against[:2])}", "dim") for c in out]
    yield from _section("Ruled out", lines)


def _findings(report: Report) -> Iterator[RenderableType]:
    lines: list[RenderableType] = [
        _bullet(SEVERITY_SIGNS[f.severity], f"{f.probe}: {f.sentence}", SEVERITY_STYLES[f.severity])
        for f in report.findings
    ]
    yield from _section("All findings", lines)
