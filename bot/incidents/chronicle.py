"""All that is known of one incident: where it stands, what happened in which order, what was found.

What other records hold (alerts, plans) is read from them, and only the rest is kept by the timeline.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from bot.domain.incident import Incident, Phase, Purpose, TimelineEvent
from bot.domain.plan_life import PlanRecord
from bot.domain.report import Report
from bot.store import Store, UnknownIncidentError
from bot.store.alerts import AlertsOf

MOST_ALERT_EVENTS = 200
"""Of one incident in its timeline, the oldest; a storm brings thousands."""
_RUNNING: Mapping[Purpose, Phase] = {"ask": "diagnosing", "verify": "verifying", "reopen": "reopened"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chronicle:
    """One incident, whole."""

    incident: Incident
    phase: Phase
    timeline: tuple[TimelineEvent, ...]
    """Oldest first."""
    alerts: AlertsOf
    plans: tuple[PlanRecord, ...]
    report: Report | None
    """Of the newest run that ended."""
    found: Report | None
    """Of the last run that found something; the same as `report` where that did."""


async def chronicle(store: Store, incident_id: str) -> Chronicle:
    """What the store knows. Errors: `UnknownIncidentError`, `StoreUnavailableError`."""
    incident = await store.incidents.get(incident_id)
    if incident is None:
        raise UnknownIncidentError(incident_id)
    alerts = await store.alerts.of(incident_id)
    plans = tuple(one for one in await store.plans.recent() if one.plan.incident == incident_id)
    events = (*await store.timeline.of(incident_id), *_of_alerts(alerts), *_of_plans(plans))
    report = await _newest(store, incident)
    found = await _report(store, incident_id, incident.found_run) if incident.found_run else None
    return Chronicle(
        incident=incident,
        phase=phase(incident, plans),
        timeline=tuple(sorted(events, key=lambda event: event.at)),
        alerts=alerts,
        plans=plans,
        report=report,
        found=found,
    )


def phase(incident: Incident, plans: Sequence[PlanRecord]) -> Phase:
    """Where in its life an incident is."""
    if any(one.state == "running" for one in plans):
        return "remediating"
    if incident.status == "closed":
        return "resolved"
    if incident.run == 0:
        return "open"
    if incident.status == "diagnosing":
        return _RUNNING[incident.run_for]
    return "diagnosed"


async def _newest(store: Store, incident: Incident) -> Report | None:
    """The report of the newest run; while that is under way, of the one before."""
    for run in (incident.run, incident.run - 1):
        if run > 0 and (report := await _report(store, incident.id, run)):
            return report
    return None


async def _report(store: Store, incident_id: str, run: int) -> Report | None:
    kept = await store.incidents.report(incident_id, run)
    return msgspec.json.decode(kept, type=Report) if kept else None


def _of_alerts(alerts: AlertsOf) -> Iterator[TimelineEvent]:
    for alert in sorted(alerts.alerts, key=lambda one: one.first_at)[:MOST_ALERT_EVENTS]:
        about = f"{alert.name}, {alert.subject}" if alert.subject else alert.name
        yield TimelineEvent(at=alert.first_at, kind="alert-fired", text=about)
        if alert.status == "resolved":
            yield TimelineEvent(at=alert.since, kind="alert-ended", text=about)


def _of_plans(plans: Sequence[PlanRecord]) -> Iterator[TimelineEvent]:
    for one in plans:
        plan = one.plan
        title = f"{plan.title} ({plan.id})"
        yield TimelineEvent(at=plan.made_at, kind="plan-proposed", text=title, by=plan.requester.name)
        for approval in one.approvals:
            yield TimelineEvent(at=approval.at, kind="plan-approved", text=title, by=approval.person.name)
        if one.started_at:
            yield TimelineEvent(at=one.started_at, kind="plan-begun", text=title)
        if one.ended_at:
            by = one.decided_by.name if one.decided_by else ""
            end = f"{title}: {one.state}. {one.sentence}".strip()
            yield TimelineEvent(at=one.ended_at, kind="plan-ended", text=end, by=by)
