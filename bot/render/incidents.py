"""An incident as the draft of a post-mortem, and as JSON."""

import datetime as dt
from collections.abc import Iterator, Mapping

import msgspec

from bot.domain.incident import ALERT, ALL_NODES, PLAN, SCHEDULE, EventKind, Incident, TimelineEvent
from bot.domain.redact import redact, redacted
from bot.domain.report import CauseReport, Report
from bot.incidents.chronicle import Chronicle
from bot.render.markdown import escaped
from bot.render.marks import RISK_WORDS, access_words, change_words, cleaned, cni_words, usual_changes

SCHEMA = "cnibot.incident/v1"

PHASE_WORDS: Mapping[str, str] = {
    "open": "open",
    "diagnosing": "being diagnosed",
    "diagnosed": "diagnosed, open",
    "remediating": "a plan is being carried out",
    "verifying": "its end is being verified",
    "resolved": "resolved",
    "reopened": "reopened, being diagnosed again",
}
_EVENT_WORDS: Mapping[EventKind, str] = {
    "opened": "Opened",
    "run": "Run",
    "verdict": "Verdict",
    "failed": "No verdict",
    "closed": "Closed",
    "note": "Note",
    "assigned": "Assigned to",
    "alert-fired": "Alert fires",
    "alert-ended": "Alert ended",
    "plan-proposed": "Plan proposed",
    "plan-approved": "Plan approved",
    "plan-begun": "Plan begun",
    "plan-ended": "Plan ended",
}
_NOBODY: Mapping[str, str] = {SCHEDULE: "the schedule", ALERT: "an alert", PLAN: "a plan"}


def at_words(at: float) -> str:
    """A time as people of several time zones read it."""
    return f"{dt.datetime.fromtimestamp(at, dt.UTC):%Y-%m-%d %H:%M:%S} UTC"


def scope_of(incident: Incident) -> str:
    """What the incident is about."""
    if incident.node == ALL_NODES:
        return f"all nodes of {incident.cluster}"
    if incident.node:
        return f"node {incident.node} of {incident.cluster}"
    place = f"{incident.namespace}/{incident.pod}" if incident.pod else incident.namespace
    return f"{place} on {incident.cluster}"


def event_words(event: TimelineEvent) -> str:
    """What happened, in a line of plain text."""
    text = event.text.rstrip(".")
    by = f", by {_NOBODY.get(event.by, event.by)}" if event.by else ""
    return f"{_EVENT_WORDS[event.kind]}: {text}{by}" if text else f"{_EVENT_WORDS[event.kind]}{by}"


def headline_of(found: Chronicle) -> str:
    """What the incident is called: the last fault that was found, also when it is gone."""
    incident = found.incident
    return incident.was or incident.headline or f"no fault found in {scope_of(incident)}"


def encoded(found: Chronicle) -> str:
    """All of it as JSON, indented, secrets struck out."""
    whole = {
        "schema": SCHEMA,
        "phase": found.phase,
        "incident": found.incident,
        "timeline": found.timeline,
        "alerts": found.alerts,
        "plans": found.plans,
        "report": found.report,
        "found": found.found,
    }
    safe = redacted(msgspec.to_builtins(whole), "json")
    return msgspec.json.format(msgspec.json.encode(safe), indent=2).decode() + "\n"


def post_mortem(found: Chronicle) -> str:
    """A draft in Markdown: what is known is filled in, what only people know is asked for."""
    return redact("\n".join(_lines(found)) + "\n", "markdown")


def _lines(found: Chronicle) -> Iterator[str]:
    incident = found.incident
    newest = found.found or found.report
    report = cleaned(newest) if newest else None
    yield f"# Post-mortem (draft): {escaped(headline_of(found))}"
    yield ""
    yield f"- Incident: {incident.id}, {PHASE_WORDS[found.phase]}"
    yield f"- Scope: {escaped(scope_of(incident))}"
    yield f"- Opened: {at_words(incident.opened_at)}, by {escaped(_NOBODY.get(incident.opened_by, incident.opened_by))}"
    if found.phase == "resolved":
        minutes = (incident.updated_at - incident.opened_at) / 60
        yield f"- Closed: {at_words(incident.updated_at)}, after {minutes:.0f} min"
    yield f"- Taken care of by: {escaped(incident.assignee or 'nobody')}"
    if report is not None:
        yield f"- Seen: {escaped(cni_words(report))}; {escaped(access_words(report))}"
    yield from _section("Timeline", (f"{at_words(one.at)}: {escaped(event_words(one))}" for one in found.timeline))
    if report is None:
        yield from ("", "No diagnosis came to a verdict.")
    else:
        yield from _of_report(report)
    yield from _section("Actions", _actions(found))
    yield from _section("Follow-ups", _follow_ups(found, report))


def _of_report(report: Report) -> Iterator[str]:
    verdict, radius = report.verdict, report.blast_radius
    yield from ("", "## Impact", "")
    yield f"- {escaped(verdict.summary)}"
    if radius.pods:
        yield f"- {radius.pods} pods on {escaped(', '.join(radius.nodes) or 'unknown nodes')}"
    if radius.services:
        yield f"- Services {escaped(', '.join(radius.services))}"
    yield "- Users noticed: (fill in)"
    standing = [one for one in report.causes if one.confidence != "ruled_out"]
    for cause in standing:
        yield from _cause(cause)
    if not standing:
        yield from ("", "## Cause", "", "Not known.")
    yield from _section("Changed before (a lead, no proof)", (escaped(change_words(one)) for one in report.changes))
    unseen = (f"{escaped(one.what)}: {escaped(one.why)}" for one in report.coverage.unobserved)
    yield from _section("Not seen", unseen)


def _cause(cause: CauseReport) -> Iterator[str]:
    yield from ("", f"## Cause: {escaped(cause.title)} ({cause.confidence})", "", escaped(cause.mechanism), "")
    yield from (f"- for: {escaped(sentence)}" for sentence in cause.evidence_for)
    yield from (f"- not a look-alike: {escaped(sentence)}" for sentence in cause.look_alikes)
    yield from (f"- against: {escaped(sentence)}" for sentence in cause.evidence_against)
    yield from (f"- not observed: {escaped(sentence)}" for sentence in cause.unobserved)


def _actions(found: Chronicle) -> Iterator[str]:
    for one in found.plans:
        yield f"{escaped(one.plan.title)} ({one.plan.id}): {one.state}. {escaped(one.sentence)}".rstrip()
    if not found.plans:
        yield "No plan of cnibot's. What people did: (fill in)"


def _follow_ups(found: Chronicle, report: Report | None) -> Iterator[str]:
    """What the evidence asks for, as boxes to tick."""
    if report is not None:
        for change in usual_changes(report):
            yield f"[ ] Find what changed, or it comes back: {escaped(change)}"
        for fix in report.remediations:
            if not found.plans:
                yield f"[ ] Was this done, and where is it kept? {escaped(fix.why)} ({RISK_WORDS[fix.risk]})"
        for one in report.coverage.unobserved:
            if one.remedy:
                yield f"[ ] Let cnibot see {escaped(one.what)}: {escaped(one.remedy)}"
    yield "[ ] How would it have been found earlier? (fill in)"


def _section(title: str, items: Iterator[str]) -> Iterator[str]:
    lines = [f"- {item}" for item in items]
    if lines:
        yield from ("", f"## {title}", "", *lines)
