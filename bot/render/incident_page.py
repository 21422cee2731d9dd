"""An incident as one HTML page: read without a script, on a telephone, on paper.

It is built as a tree, so text is text wherever it stands; every text is bounded and struck of secrets on its way in.
"""

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

from bot.domain.incident import Incident
from bot.domain.listing import left_out
from bot.domain.redact import redact
from bot.domain.report import CauseReport, FindingReport, KnownIssueReport, Report
from bot.incidents.chronicle import Chronicle
from bot.render.incidents import PHASE_WORDS, at_words, event_words, headline_of, scope_of
from bot.render.marks import SEVERITY_SIGNS, STATUS_WORDS, access_words, change_words, cleaned, cni_words
from bot.render.pictures.matrix_model import Cell, Matrix, matrix_of
from bot.render.pictures.path_model import Way, way_of

MOST_TEXT = 4_000
MOST_ROWS = 500
"""Of one table; the rest is counted."""

STYLE = """
:root { color-scheme: light dark; --bad: #b3261e; --good: #1b6e3c; --dim: #666; --line: #ccc; }
@media (prefers-color-scheme: dark) { :root { --bad: #ff8a80; --good: #7bd88f; --dim: #aaa; --line: #444; } }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 60rem; padding: 1rem; }
h1 { font-size: 1.4rem; line-height: 1.25; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin-top: 2rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1rem; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1rem; margin: 0; }
dt, time, .dim { color: var(--dim); } dd { margin: 0; overflow-wrap: anywhere; }
ol.timeline { list-style: none; padding: 0; } ol.timeline li { padding: .25rem 0; overflow-wrap: anywhere; }
time { display: block; font-size: .85rem; }
.scroll { overflow-x: auto; }
caption { text-align: left; padding-bottom: .25rem; }
table { border-collapse: collapse; font-size: .9rem; }
th, td { border: 1px solid var(--line); padding: .25rem .5rem; text-align: left; vertical-align: top; }
td { overflow-wrap: anywhere; }
table.matrix td { text-align: center; white-space: nowrap; } table.matrix th { white-space: nowrap; }
.bad { color: var(--bad); font-weight: 600; } .good { color: var(--good); }
ol.way { display: flex; flex-wrap: wrap; gap: .25rem; list-style: none; padding: 0; }
ol.way li { border: 1px solid var(--line); border-radius: .4rem; padding: .25rem .5rem; max-width: 16rem; }
ol.way li.bad { border: 2px solid var(--bad); } ol.way li + li::before { content: "→ "; color: var(--dim); }
pre { overflow-x: auto; border: 1px solid var(--line); padding: .5rem; }
@media print {
  body { font-size: 10pt; max-width: none; } h2 { break-after: avoid; } li, tr { break-inside: avoid; }
  .scroll, pre { overflow: visible; } pre { white-space: pre-wrap; } :root { color-scheme: light; }
}
"""
_DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
_NOTHING = ("default-src", "base-uri", "form-action", "frame-ancestors")
POLICY = "; ".join((f"style-src 'sha256-{_DIGEST}'", *(f"{what} 'none'" for what in _NOTHING)))
"""The page's Content-Security-Policy: its own style, and nothing else."""

Child = ET.Element | str | None


def page(found: Chronicle) -> str:
    """The whole document."""
    report = cleaned(found.report) if found.report else None
    older = cleaned(found.found) if found.found and found.found != found.report else None
    stage = PHASE_WORDS[found.phase]
    title = f"{stage[0].upper()}{stage[1:]}: {headline_of(found)}"
    head = _el(
        "head",
        _el("meta", charset="utf-8"),
        _el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        _el("meta", name="robots", content="noindex"),
        _el("title", f"{found.incident.id} · {title}"),
        _style(),
    )
    body = _el("body", _el("h1", title), _facts(found), *_sections(found, report, older))
    root = _el("html", head, body, lang="en")
    return "<!doctype html>\n" + ET.tostring(root, encoding="unicode", method="html") + "\n"


def _sections(found: Chronicle, report: Report | None, older: Report | None) -> Iterator[Child]:
    if report is not None:
        yield from _of_report("Now", report)
    if older is not None:
        yield from _of_report("Before, when something was wrong", older)
    yield _section("Timeline", _timeline(found))
    yield _section("Alerts", _alerts(found))
    yield _section("Plans", _plans(found))


def _facts(found: Chronicle) -> ET.Element:
    incident = found.incident
    facts = {
        "Incident": incident.id,
        "Scope": scope_of(incident),
        "Opened": at_words(incident.opened_at),
        "Newest state": at_words(incident.updated_at),
        "Diagnoses": str(incident.run),
        "Taken care of by": incident.assignee or "nobody",
        **_cause_facts(incident),
    }
    return _el("dl", *(part for name, value in facts.items() for part in (_el("dt", name), _el("dd", value))))


def _cause_facts(incident: Incident) -> Mapping[str, str]:
    return {"Cause": incident.cause} if incident.cause else {}


def _of_report(title: str, report: Report) -> Iterator[Child]:
    verdict = report.verdict
    is_bad = verdict.status in {"broken", "degraded"}
    yield _el("h2", f"{title}: {STATUS_WORDS[verdict.status]}", **{"class": "bad" if is_bad else ""})
    yield _el("p", verdict.summary)
    yield _el("p", f"{report.started_at}, {cni_words(report)}; {access_words(report)}", **{"class": "dim"})
    yield from _way(way_of(report))
    yield from _matrix(matrix_of(report))
    for cause in report.causes:
        if cause.confidence != "ruled_out":
            yield from _cause(cause)
    yield _section("What to do", _fixes(report))
    yield _section("Known issues", _known_issues(report.known_issues))
    yield _section("Findings", _findings(report.findings))
    yield _section("Changed before (a lead, no proof)", _list(change_words(one) for one in report.changes))
    ruled_out = (one for one in report.causes if one.confidence == "ruled_out")
    yield _section("Ruled out", _list(f"{one.title}: {'; '.join(one.evidence_against)}" for one in ruled_out))
    yield _section("Not seen", _list(f"{one.what}: {one.why}" for one in report.coverage.unobserved))


def _cause(cause: CauseReport) -> Iterator[Child]:
    yield _el("h3", f"{cause.title} ({cause.confidence})")
    yield _el("p", cause.mechanism)
    rows = [
        *(("for", text) for text in cause.evidence_for),
        *(("not a look-alike", text) for text in cause.look_alikes),
        *(("against", text) for text in cause.evidence_against),
        *(("not observed", text) for text in cause.unobserved),
    ]
    yield _table(("evidence", "what was seen"), rows)


def _fixes(report: Report) -> Child:
    parts: list[Child] = []
    for fix in report.remediations:
        parts += [_el("p", fix.why), _el("pre", "\n".join(fix.commands)) if fix.commands else None]
    parts.append(_list(report.next_steps))
    return _el("div", *parts) if any(part is not None for part in parts) else None


def _known_issues(issues: Iterable[KnownIssueReport]) -> Child:
    items = [
        _el(
            "li",
            f"{issue.id} {issue.match.replace('_', ' ')}: {'; '.join(issue.why)} ",
            *(_link(reference) for reference in issue.references),
        )
        for issue in issues
    ]
    return _el("ul", *items) if items else None


def _link(reference: str) -> Child:
    """A reference that is an address becomes a link; others stay text."""
    parts = urlsplit(reference)
    if parts.scheme != "https" or not parts.hostname:
        return f"{reference} "
    return _el("a", f"{parts.hostname}{parts.path} ", href=reference, rel="noreferrer noopener")


def _findings(findings: Iterable[FindingReport]) -> Child:
    rows = [
        (f"{SEVERITY_SIGNS[one.severity]} {one.severity}", one.sentence, one.probe)
        for one in sorted(findings, key=lambda one: _ORDER.index(one.severity))
    ]
    return _table(("", "finding", "probe"), rows)


_ORDER = ("fail", "warn", "inconclusive", "info", "pass")


def _way(way: Way | None) -> Iterator[Child]:
    if way is None:
        return
    yield _el("h3", way.title)
    stations = [
        _el(
            "li",
            _el("strong", station.name),
            _el("br"),
            f"{'✗ ' if station.state == 'broken' else ''}{station.words}",
            _el("br") if station.detail else None,
            _el("span", station.detail, **{"class": "dim"}) if station.detail else None,
            **{"class": "bad" if station.state == "broken" else ""},
        )
        for station in way.stations
    ]
    yield _el("ol", *stations, **{"class": "way", "aria-label": way.alt_text})


_CELL_WORDS = {"ok": "✓", "failed": "✗", "partial": "~", "unknown": "·"}


def _matrix(matrix: Matrix | None) -> Iterator[Child]:
    if matrix is None:
        return
    yield _el("h3", matrix.title)
    head = _el("tr", _el("th", "from \\ to"), *(_el("th", name, scope="col") for name in matrix.names))
    rows = [
        _el("tr", _el("th", name, scope="row"), *map(_cell, cells))
        for name, cells in zip(matrix.names, matrix.cells, strict=True)
    ]
    table = _el("table", _el("caption", matrix.alt_text), head, *rows, **{"class": "matrix"})
    yield _el("div", table, **{"class": "scroll"})
    yield _el("p", f"✓ reaches, ✗ fails, ~ fails now and then, · not tested. {matrix.note}", **{"class": "dim"})


def _cell(cell: Cell) -> ET.Element:
    counted = f" {cell.failed}/{cell.tested}" if cell.state in {"failed", "partial"} else ""
    style = {"failed": "bad", "partial": "bad", "ok": "good"}.get(cell.state, "dim")
    return _el("td", f"{_CELL_WORDS[cell.state]}{counted}", **{"class": style})


def _timeline(found: Chronicle) -> Child:
    items = [_el("li", _el("time", at_words(one.at)), event_words(one)) for one in found.timeline]
    return _el("ol", *items, **{"class": "timeline"}) if items else None


def _alerts(found: Chronicle) -> Child:
    rows = [
        (one.name, one.severity, one.subject, "fires" if one.status == "firing" else "ended", at_words(one.since))
        for one in found.alerts.alerts
    ]
    return _table(("alert", "severity", "about", "", "since"), rows)


def _plans(found: Chronicle) -> Child:
    rows = [(one.plan.id, one.plan.title, one.state, one.sentence) for one in found.plans]
    return _table(("plan", "to", "state", ""), rows)


def _section(title: str, content: Child) -> Child:
    return None if content is None else _el("section", _el("h2", title), content)


def _list(items: Iterable[str]) -> Child:
    made = [_el("li", item) for item in items]
    return _el("ul", *made) if made else None


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Child:
    listed = list(rows)
    if not listed:
        return None
    shown = [_el("tr", *(_el("td", cell) for cell in row)) for row in listed[:MOST_ROWS]]
    more = left_out(len(listed) - MOST_ROWS) or None
    table = _el("table", _el("tr", *(_el("th", name, scope="col") for name in head)), *shown)
    return _el("div", table, more, **{"class": "scroll"})


def _style() -> ET.Element:
    made = ET.Element("style")
    made.text = STYLE
    return made


def _el(tag: str, *children: Child, **attributes: str) -> ET.Element:
    """One element; strings among its children are text."""
    made = ET.Element(tag, {name: _text(value) for name, value in attributes.items() if value})
    last: ET.Element | None = None
    for child in children:
        if isinstance(child, ET.Element):
            made.append(child)
            last = child
        elif child and last is None:
            made.text = (made.text or "") + _text(child)
        elif child and last is not None:
            last.tail = (last.tail or "") + _text(child)
    return made


def _text(text: str) -> str:
    """As it may stand on the page: bounded, without secrets, without what no document may hold."""
    kept = "".join(sign for sign in text[:MOST_TEXT] if sign in "\n\t" or sign.isprintable())
    return redact(kept, "page")
