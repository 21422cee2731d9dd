"""A report on a terminal: what Slack says, in the same order; everything with `details`.

Every line is one row of its own: prose is wrapped to the width, commands never are, and where no terminal is on the
other end nothing is wrapped or padded. Text from a cluster is cleaned of control characters and never read as markup.
"""

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from rich.console import Console
from rich.text import Text

from bot.domain.errors import bounded
from bot.domain.listing import and_more, counted, left_out
from bot.domain.redact import redact
from bot.domain.report import CauseReport, KnownIssueReport, NextStep, PathHop, RemediationReport, Report
from bot.remediation.offers import offer
from bot.render import brief
from bot.render.loops import pasteable
from bot.render.marks import (
    CHANGED_BEFORE,
    HOP_SIGNS,
    SEVERITY_SIGNS,
    STATUS_WORDS,
    change_words,
    cleaned,
    failing_pairs,
    pair_words,
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
"""Lines of one section unless details are asked for."""
MOST_PAIRS = 400
"""Directions between nodes that are listed even with details."""
_NOT_LISTED = 5
_MOST_POSSIBLE = 4


@dataclass(frozen=True, slots=True)
class Row:
    """A line of text as it is meant, before it is fitted to a width."""

    text: str = ""
    style: str = ""
    sign: str = ""
    """Stands before it; what is wrapped goes on beside it."""
    indent: int = 0
    is_exact: bool = False
    """A command or a drawing: never wrapped."""
    is_head: bool = False


def show(console: Console, report: Report, *, details: bool = False) -> None:
    """Print the report; wrapped where a person looks at a terminal."""
    for line in lines(report, details=details, width=console.width if console.is_terminal else None):
        console.print(line, soft_wrap=True)


def lines(report: Report, *, details: bool = False, width: int | None = None) -> Iterator[Text]:
    """The report line by line; None: nothing is wrapped."""
    for row in _rows(cleaned(report), details=details, width=width):
        yield from _fitted(replace(row, text=redact(row.text, "terminal")), width)


def _fitted(row: Row, width: int | None) -> Iterator[Text]:
    before = " " * row.indent + (f"{row.sign} " if row.sign else "")
    if row.is_head:
        if width is None:
            yield Text(f"{row.sign} {row.text}")
            return
        first, *others = textwrap.wrap(row.text, max(width - len(row.sign) - 3, 20)) or [""]
        yield Text.assemble((f" {row.sign} ", row.style), f" {first}")
        yield from (Text(f"  {one}") for one in others)
        return
    if row.is_exact or width is None or len(before) + len(row.text) <= width:
        yield _styled(before, row.text, row)
        return
    room = max(width - len(before), 20)
    wrapped = textwrap.wrap(row.text, room, break_long_words=False, break_on_hyphens=False)
    for number, part in enumerate(wrapped):
        yield _styled(before if number == 0 else " " * len(before), part, row)


def _styled(before: str, text: str, row: Row) -> Text:
    line = Text(before, style=row.style if row.sign else "")
    return line.append(text, style="" if row.sign else row.style)


def _rows(report: Report, *, details: bool, width: int | None) -> Iterator[Row]:
    """In the order in which people ask: what, who, what to do now; then where and why; then the rest."""
    verdict = report.verdict
    yield Row(brief.headline(report), STATUS_STYLES[verdict.status], STATUS_WORDS[verdict.status], is_head=True)
    named = f"{verdict.cause} ({verdict.confidence}) · " if verdict.cause else ""
    yield Row(f"{named}{brief.facts(report)}", "dim", indent=2)
    if verdict.headline and details:
        yield Row(verdict.summary, indent=2)
    yield from _who(report)
    yield from _do_now(report, details=details)
    yield from _path(report.path, width)
    yield from _known(report, details=details)
    yield from _causes(report, details=details)
    yield from _then(report, details=details)
    yield from _healed(report, details=details)
    yield from _trace(report, details=details)
    yield from _connectivity(report, details=details)
    yield from _known_issues(report, details=details)
    yield from _unobserved(report, details=details)
    if details:
        yield from _changes(report)
        yield from _ruled_out(report)
        yield from _findings(report)


def _section(title: str, rows: Iterable[Row]) -> Iterator[Row]:
    """A title with its rows under it; nothing where there are none."""
    listed = list(rows)
    if listed:
        yield Row()
        yield Row(title, "bold")
        yield from (Row(r.text, r.style, r.sign, r.indent + 2, r.is_exact) for r in listed)


def _who(report: Report) -> Iterator[Row]:
    rows = [Row(one) for one in brief.who(report)] if report.verdict.status != "healthy" else []
    if report.verdict.status in {"broken", "degraded"} or report.since:
        rows.append(Row(_since(report)))
    changed = [change_words(one) for one in brief.recent(report)][:2]
    rows += [Row(f"Changed before (a lead, not proof): {one}") for one in changed if rows]
    yield from _section("Who is affected", rows)


def _since(report: Report) -> str:
    """As far as Kubernetes saw it; a terminal knows of no earlier run."""
    if report.since:
        return f"Since {report.since.first}: {counted(report.since.pods, 'pod')} lost readiness."
    return f"Since when is not known; first seen {report.started_at}."


def _do_now(report: Report, *, details: bool) -> Iterator[Row]:
    for number, fix in enumerate(report.remediations if details else report.remediations[:1]):
        title = "What to do now" if number == 0 else "Or"
        nodes = brief.some([one.node for one in fix.at if one.node])
        rows = list(_fix(fix, details=details))
        if not details and report.remediations[1:]:
            more = brief.alternatives(report.remediations[1:]).rstrip(".")
            rows.append(Row(f"Or: {more} (-v shows how)."))
        if number == 0 and offer(report) is not None:
            rows.append(Row("Or propose a plan, which somebody else approves:"))
            rows.append(
                Row(f"cnibot plan propose fix --for {report.scope.namespace}", "bold cyan", "", 2, is_exact=True)
            )
        yield from _section(f"{title}{f' on {nodes}' if nodes else ''} ({brief.risk(fix)})", rows)
    if report.verdict.status == "inconclusive":
        looks = [one for one in report.steps if not one.is_warning][: None if details else MOST]
        rows = [row for one in looks for row in _step(report, one)]
        if says := brief.settling(report):
            rows.insert(0, Row(says, sign="→"))
        yield from _section("What would settle it (cheapest first)", rows)


def _step(report: Report, one: NextStep) -> Iterator[Row]:
    """What to do; of a look what it decides, and the command below it, whole on its line."""
    if not one.look:
        yield Row(one.text, sign="→")
        return
    place = f"at {one.place}, " if one.place else ""
    yield Row(f"{place}{brief.decides(report, one)}", sign="→")
    yield Row(one.command, "bold cyan", indent=2, is_exact=True)


def _fix(fix: RemediationReport, *, details: bool) -> Iterator[Row]:
    yield Row(f"{fix.why.rstrip('.')}.")
    if fix.decide:
        yield Row(f"You decide: {fix.decide}")
    if not fix.commands and fix.no_command:
        yield Row(f"No command: {fix.no_command}")
    yield from _placed(brief.grouped(fix), details=details)
    if details and fix.undo:
        yield Row("to undo:", "dim")
        yield from _placed(brief.undoing(fix), details=True)


def _placed(groups: Sequence[tuple[Sequence[str], Sequence[str]]], *, details: bool) -> Iterator[Row]:
    """Commands by the nodes on which they are typed; these are named where it is more than one block."""
    for nodes, commands in groups:
        if len(groups) > 1:
            yield Row(f"on {brief.some(nodes) or 'any machine with kubectl'}:")
        yield from _commands(commands, details=details)


def _commands(commands: Sequence[str], *, details: bool) -> Iterator[Row]:
    shown, hidden = pasteable(commands)
    if hidden and details:
        shown, hidden = list(commands), 0
    yield from (Row(line, "bold cyan", indent=2, is_exact=True) for line in shown)
    if hidden:
        yield Row(f"# {left_out(hidden)}: -v shows them", "dim", indent=2, is_exact=True)


def _path(path: tuple[PathHop, ...], width: int | None) -> Iterator[Row]:
    """The packet's way on one line with what is wrong under its hop; a hop a line where that has no room."""
    if not path:
        return
    drawn, below = _across(path)
    yield Row()
    if width is None or max(len(drawn), len(below)) + 2 <= width:
        yield Row(drawn, "dim", indent=2, is_exact=True)
        if below:
            yield Row(below, "red", indent=2, is_exact=True)
        return
    for hop in path:
        sign = {"ok": "│", "broken": "✗", "suspect": "?", "unknown": "┆"}[hop.state]
        detail = f": {hop.detail}" if hop.detail and hop.state != "ok" else ""
        yield Row(f"{hop.name}{detail}", "bold red" if hop.state == "broken" else "dim", sign, 2)


def _across(path: tuple[PathHop, ...]) -> tuple[str, str]:
    line = below = ""
    for index, hop in enumerate(path):
        line += f" {HOP_SIGNS[hop.state]} " if index else ""
        if hop.state == "broken" and not below:
            below = f"{' ' * len(line)}▲ {bounded(hop.detail, 160)}"
        line += bounded(hop.name, 60)
    return line, below


def _causes(report: Report, *, details: bool) -> Iterator[Row]:
    named = [cause for cause in report.causes if cause.confidence != "ruled_out"]
    standing = brief.standing(report)
    shown = [*standing, *(cause for cause in named if details and cause not in standing)]
    for number, cause in enumerate(shown):
        word = "Possible" if cause not in standing else "Besides" if number else "Why"
        proofs = list(_proofs(report, cause, details=details))
        proofs += list(_not_these(report, cause, is_first=number == 0)) if not details else []
        yield from _section(f"{word}: {cause.title} ({cause.confidence.replace('_', ' ')})", proofs)
    maybe = [brief.candidate(cause) for cause in named if cause not in shown]
    rows = [Row(one, "yellow", "?") for one in maybe[:_MOST_POSSIBLE]]
    if hidden := left_out(len(maybe) - len(rows)):
        rows.append(Row(f"{hidden}: -v shows them", "dim"))
    yield from _section("Also possible, not proven" if standing else "Possible, not proven", rows)
    follows = [Row(one, sign="↳") for one in brief.follows(report)]
    yield from _section("Follows from it", follows if details else follows[:MOST])
    if not any(cause.confidence in {"confirmed", "likely"} for cause in report.causes):
        rows = [
            Row(one.sentence, SEVERITY_STYLES[one.severity], SEVERITY_SIGNS[one.severity])
            for one in brief.found(report)[:MOST]
        ]
        yield from _section("What was found", [] if details else rows)


def _proofs(report: Report, cause: CauseReport, *, details: bool) -> Iterator[Row]:
    if details:
        yield Row(cause.mechanism, "dim") if cause.mechanism else Row()
        yield from (Row(one, "green", "✓") for one in cause.evidence_for)
        yield from (Row(one, "cyan", "≠") for one in cause.look_alikes)
        yield from (Row(one, "red", "✗") for one in cause.evidence_against)
        yield from (Row(one, "yellow", "?") for one in cause.unobserved)
        if len(cause.subjects) > 1:
            yield Row(", ".join(cause.subjects), "dim", "@")
        return
    proofs = brief.proofs(report, cause) or list(cause.evidence_for[:3])
    yield from (Row(one, "green", "✓") for one in proofs)
    yield from (Row(one, "yellow", "?") for one in cause.unobserved[:2])


def _not_these(report: Report, cause: CauseReport, *, is_first: bool) -> Iterator[Row]:
    """What it is not: look-alikes, the famous issue with the same symptom, and no reason for another CNI."""
    if alike := brief.not_these([cause]):
        yield Row(f"not: {and_more(alike, _NOT_LISTED, by='; ')}", "cyan", "≠")
    if is_first:
        _, refuted = brief.issues(report)
        yield from (Row(f"not {one.id}{f': {one.why[0]}' if one.why else ''}", "cyan", "≠") for one in refuted)
    if warning := brief.never([cause]):
        yield Row(warning, "cyan", "≠")


def _then(report: Report, *, details: bool) -> Iterator[Row]:
    if report.verdict.status == "inconclusive":
        return
    steps = [one for one in report.steps if not one.is_warning][: None if details else 3]
    rows = [row for one in steps for row in _step(report, one)] or [
        Row(one, sign="→") for one in report.next_steps[:3] if not report.steps
    ]
    yield from _section("Then", rows)


def _healed(report: Report, *, details: bool) -> Iterator[Row]:
    """What went away between two looks; where a cause is known only with details."""
    healed = [] if report.verdict.cause and not details else [transient_words(one) for one in report.transients]
    yield from _section(
        "Recovered by itself", [Row(one, "cyan", "~") for one in (healed if details else healed[:MOST])]
    )


def _trace(report: Report, *, details: bool) -> Iterator[Row]:
    """What became of probe packets; where a cause is known only with details."""
    if not details and report.verdict.cause:
        return
    shown = [one for one in report.trace if one.lost or details]
    yield from _section("Probe packets", [Row(one.sentence, "dim", "↯" if one.lost else "✓") for one in shown])


def _connectivity(report: Report, *, details: bool) -> Iterator[Row]:
    """Every direction with `details`; without, those that fail where no cause is known."""
    if not details and report.verdict.cause:
        return
    shown = report.connectivity if details else failing_pairs(report)[:MOST]
    signs = {"ok": ("✓", "green"), "failed": ("✗", "bold red"), "partial": ("!", "yellow"), "unknown": ("?", "dim")}
    rows = [Row(pair_words(pair), signs[pair.state][1], signs[pair.state][0]) for pair in shown[:MOST_PAIRS]]
    hidden = len(report.connectivity if details else failing_pairs(report)) - len(rows)
    more = [Row(f"{left_out(hidden)}{'' if details else ': -v shows them'}", "dim")] if hidden and rows else []
    yield from _section("Between nodes", rows + more)


def _changes(report: Report) -> Iterator[Row]:
    rows = [Row(change_words(one), "dim", "~") for one in report.changes]
    yield from _section(CHANGED_BEFORE, rows + [Row(one, "dim", "·") for one in usual_changes(report)])


def _known(report: Report, *, details: bool) -> Iterator[Row]:
    """The known issues that this is, before the cause's own proofs; with details they stand among all others."""
    matching, _ = brief.issues(report)
    yield from _section("Known", [] if details else map(_issue, matching))


def _known_issues(report: Report, *, details: bool) -> Iterator[Row]:
    """All issues with details; without a cause the famous one that it is not, else what it might be."""
    if details:
        shown = list(report.known_issues)
    elif brief.standing(report):
        shown = []  # said above and in the proofs
    else:
        matching, refuted = brief.issues(report)
        shown = refuted or ([] if matching else list(report.known_issues[:2]))
    yield from _section("Known issues", map(_issue, shown))


def _issue(one: KnownIssueReport) -> Row:
    signs = {"matches": ("=", "bold"), "possible": ("~", "yellow"), "ruled_out": ("≠", "cyan")}
    sign, style = signs[one.match]
    why = f": {one.why[0]}" if one.why else ""
    return Row(f"{one.id} {one.match.replace('_', ' ')}{why}", style, sign)


def _unobserved(report: Report, *, details: bool) -> Iterator[Row]:
    missing = brief.missed(report)
    shown = missing if details else missing[:3]
    rows: list[Row] = []
    for each in shown:
        remedy = f" (would help: {each.remedy})" if each.remedy else ""
        rows.append(Row(f"{each.what}: {each.why}{remedy}", "yellow", "?"))
    if hidden := left_out(len(missing) - len(shown)):
        rows.append(Row(f"{hidden}: -v shows them", "dim"))
    yield from _section("Not seen", rows)


def _ruled_out(report: Report) -> Iterator[Row]:
    out = [cause for cause in report.causes if cause.confidence == "ruled_out"]
    yield from _section("Ruled out", [Row(f"{c.id}: {'; '.join(c.evidence_against[:2])}", "dim", "≠") for c in out])


def _findings(report: Report) -> Iterator[Row]:
    rows = [
        Row(f"{f.probe}: {f.sentence}", SEVERITY_STYLES[f.severity], SEVERITY_SIGNS[f.severity])
        for f in report.findings
    ]
    yield from _section("All findings", rows)
