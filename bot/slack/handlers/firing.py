"""Alerts: an incident is opened or joined and diagnosed, and one message in its thread tells of its alerts.

An entry is one alert. It may be handled twice, and beside others of the same incident.
"""

from dataclasses import dataclass

import structlog
from prometheus_client import Counter, Histogram

from bot.aio.soon import soon
from bot.alerts.routing import Routed, route
from bot.alerts.slack_message import AlertMessage
from bot.domain.alert import Alert
from bot.domain.errors import BotError, NotNowError
from bot.domain.incident import ALERT, ALL_NODES, Incident, Purpose
from bot.domain.outgoing import Content, Edit, Place, Post, Priority, React
from bot.incidents.alerting.intake import received
from bot.incidents.alerting.joining import Joined, Joining
from bot.incidents.alerting.locating import SYSTEM_NAMESPACE, Located
from bot.incidents.alerting.quiet import next_step
from bot.incidents.alerting.storms import Gathered
from bot.slack import views
from bot.slack.handlers.runs import is_quiet, newest_plan, permalink, reply_key, run, show_root, thread_of
from bot.slack.services import Services
from bot.slack.views import alert_cards, notices
from bot.store import Entry
from bot.store.anchors import Anchor, RecentAlert

log = structlog.get_logger()

ALERTS = Counter(
    "cnibot_alerts_total",
    "Alerts by outcome: diagnosed, joined (an incident), ended, ignored, unmapped, unknown (ended, but its start "
    "was never seen), unheard (nowhere to post).",
    ("outcome",),
)
VERDICT_SECONDS = Histogram(
    "cnibot_alert_verdict_seconds",
    "From an alert that was accepted to the verdict in the outbox, for alerts that were diagnosed.",
    buckets=(1, 2, 3, 5, 8, 10, 15, 20, 30, 60, 120),
)
DAY_S = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedAlert:
    """An alert, however it came."""

    alert: Alert
    cluster: str
    dedup: str
    """The id of the inbox's entry."""
    at: float
    """When it came in, Unix time."""
    known_as: str = ""
    """By what the inbox knows it again."""
    anchor: Anchor | None = None
    """The message of Alertmanager's that it was read from, or looked up for."""


async def alert_received(services: Services, entry: Entry) -> None:
    """The webhook brought an alert, or it was found at Alertmanager's API."""
    found = received(entry)
    if found.cluster is None:
        log.warning("alert.no_cluster", alert=found.alert.name)
        ALERTS.labels("unmapped").inc()
        await services.store.inbox.forget(found.known_as)  # Alertmanager repeats it, and settings change
        return
    incoming = ReceivedAlert(
        alert=found.alert,
        cluster=found.cluster,
        dedup=entry.id,
        at=entry.received_at,
        known_as=found.known_as,
        anchor=found.anchor,
    )
    await follow(services, incoming)


async def follow(services: Services, incoming: ReceivedAlert) -> None:
    """Do what the alert asks for."""
    alert = incoming.alert
    routed = route(alert, services.alert_routes)
    if routed.scope is None:
        ALERTS.labels("ignored").inc()
        return
    async with services.alert_turns:
        joined = await (
            _ended(services, incoming, routed) if alert.status == "resolved" else _fired(services, incoming, routed)
        )
    if joined is not None:
        await _diagnose(services, joined, dedup=incoming.dedup)
        if joined.is_due and alert.status == "firing":
            VERDICT_SECONDS.observe(max(0.0, services.now() - incoming.at))


async def _ended(services: Services, incoming: ReceivedAlert, routed: Routed) -> Joined | None:
    joining = Joining(store=services.store, service=services.service)
    joined = await joining.ended(routed, cluster=incoming.cluster, now=services.now())
    ALERTS.labels("ended" if joined else "unknown").inc()
    return joined


async def _fired(services: Services, incoming: ReceivedAlert, routed: Routed) -> Joined | None:
    alert, cluster = incoming.alert, incoming.cluster
    assert routed.scope is not None
    try:
        where = await services.service.clusters.named(cluster).locate(routed.scope)
    except BotError as error:  # the diagnosis will say so, too
        log.warning("alert.not_located", alert=alert.name, cluster=cluster, why=str(error))
        where = Located(namespace=SYSTEM_NAMESPACE, node=ALL_NODES)
    channel = routed.channel or services.alert_channel
    if where is None:
        ALERTS.labels("unmapped").inc()
        await _say_once(services, incoming, channel, alert_cards.unmapped(alert.name, str(routed.scope)))
        return None
    if where.does_not_apply and _is_about_absence(alert):
        ALERTS.labels("ignored").inc()
        await _say_once(services, incoming, channel, alert_cards.does_not_apply(alert.name, where.does_not_apply))
        return None
    joining = Joining(store=services.store, service=services.service)
    channels = (channel,) if routed.channel else (channel, *sorted(services.alert_channels))
    gathered, home = Gathered(where=where), await joining.open_in(where, cluster=cluster, channels=channels)
    if not home:
        gathered = await services.storms.gather(where, cluster=cluster, channels=channels, now=services.now())
        home = await joining.open_in(gathered.where, cluster=cluster, channels=channels)
    if not home and gathered.where.node is None and await _is_gone(services, cluster, where.namespace):
        ALERTS.labels("unmapped").inc()
        await _say_once(services, incoming, channel, alert_cards.unmapped(alert.name, str(routed.scope)))
        return None
    anchor = incoming.anchor or await _anchor(services, alert, is_urgent=bool(home))
    place = Place(channel=home or channel)
    if anchor is not None and not home and not routed.channel:
        place = Place(channel=anchor.channel, thread=anchor.ts)
    if not place.channel or not await may_post(services, place.channel):
        ALERTS.labels("unheard").inc()
        await services.store.inbox.forget(
            incoming.known_as
        )  # Alertmanager repeats it, and we may be invited until then
        return None
    joined = await joining.fired(
        routed, gathered, cluster=cluster, place=place, dedup=incoming.dedup, now=services.now()
    )
    incident = joined.incident
    if anchor is not None and (incident.channel, incident.thread) != (anchor.channel, anchor.ts):
        await services.store.anchors.add_thread(incident.id, anchor.channel, anchor.ts)
    if incoming.anchor is None and services.alert_channels:
        recent = RecentAlert(incident=incident.id, labels=dict(alert.labels))
        await services.store.anchors.put_alert(recent, now=services.now())
    ALERTS.labels("diagnosed" if joined.is_due else "joined").inc()
    return joined


async def _anchor(services: Services, alert: Alert, *, is_urgent: bool) -> Anchor | None:
    """Alertmanager's message about the alert, which may come a moment later."""
    anchors, now = services.store.anchors, services.now()

    async def look() -> Anchor | None:
        return await anchors.find(lambda each: _is_about(each, alert), now=now)

    if not services.alert_channels:
        return None
    return await soon(look, 0.0 if is_urgent else services.anchor_wait_s)


def _is_about(anchor: Anchor, alert: Alert) -> bool:
    return AlertMessage(status="firing", tokens=anchor.tokens, labels=anchor.labels).is_about(alert.labels)


async def _diagnose(services: Services, joined: Joined, *, dedup: str) -> None:
    """Say that the alert joined; diagnose where that is due; and once more when all alerts ended meanwhile."""
    incident = joined.incident
    await show(services, incident.id)
    if not joined.is_due:
        return
    fired_before = await services.store.alerts.firing(incident.id)
    await _look(services, incident, dedup=dedup, purpose="ask" if fired_before else "verify")
    stands = await services.store.incidents.get(incident.id)
    if stands and stands.is_open and fired_before and not await services.store.alerts.firing(incident.id):
        await _look(services, stands, dedup=f"{dedup}:ended", purpose="verify")


async def _look(services: Services, incident: Incident, *, dedup: str, purpose: Purpose) -> None:
    """One diagnosis and what it came to, unless somebody else has begun one."""
    begun = await services.service.begin_next(incident, dedup=dedup, by=ALERT, purpose=purpose)
    if begun is not None:
        await run(services, begun, asked_by=ALERT)
        await show(services, incident.id)


async def alerts_quiet(services: Services, entry: Entry) -> None:
    """All alerts of an incident have ended some time ago: close it, or look again where it was not healthy."""
    incident = await services.store.incidents.get(str(entry.body.get("incident") or ""))
    if incident is None:
        return
    firing = await services.store.alerts.firing(incident.id)
    begun = await services.service.has_begun(incident, dedup=entry.id)
    match "verify" if begun else next_step(incident, firing=firing, now=services.now()):
        case "close":
            closed = await services.service.close(incident)
            if not is_quiet(services, closed):
                content = notices.closed()
                await services.outbox.put(Post(key=f"{incident.id}:quiet", place=thread_of(closed), content=content))
            await show_root(services, incident.id)
            await show(services, incident.id)
        case "verify":
            await _look(services, incident, dedup=entry.id, purpose="verify")
        case _:
            pass


async def after_run(services: Services, incident_id: str) -> None:
    """Bring what is said about its alerts up to date after a run that somebody else asked for."""
    if await services.store.alerts.are_known(incident_id):
        await show(services, incident_id)


async def show(services: Services, incident_id: str) -> None:
    """Bring what is said about an incident's alerts up to date, everywhere."""

    async def work() -> None:
        incident = await services.store.incidents.get(incident_id)
        if incident is None:
            return
        alerts = await services.store.alerts.of(incident_id)
        report = await services.service.report(incident_id, incident.run) if incident.run else None
        before = await services.service.report(incident_id, incident.run - 1) if incident.run > 1 else None
        plan = await newest_plan(services, incident)
        standing = alert_cards.AlertsModel(incident=incident, alerts=alerts, report=report, before=before, plan=plan)
        await _ensure_root(services, incident)
        is_alone = is_quiet(services, incident)
        key = reply_key(incident) if is_alone else f"{incident_id}:alerts"
        await _put(services, key, thread_of(incident), alert_cards.card(standing, is_alone=is_alone))
        reaction = alert_cards.reaction(standing)
        if incident.thread and incident.opened_by == ALERT:
            await _sign(services, incident.channel, incident.thread, reaction)
        threads = await services.store.anchors.threads(incident_id)
        link = await permalink(services, incident) if threads else ""
        for channel, ts in threads:
            content = alert_cards.card(standing, link=link)
            await _put(services, f"{incident_id}:alerts:{channel}:{ts}", Place(channel=channel, thread=ts), content)
            await _sign(services, channel, ts, reaction)

    await services.alert_cards.run(incident_id, work)


async def _put(services: Services, key: str, place: Place, content: Content) -> None:
    await services.outbox.put(Post(key=key, place=place, content=content))
    await services.outbox.put(Edit(key=key, place=place, content=content, priority=Priority.NORMAL))


async def _sign(services: Services, channel: str, ts: str, name: str) -> None:
    """How it stands, on Alertmanager's message itself, in place of what stood there."""
    place = Place(channel=channel)
    await services.outbox.put(React(key=f"alert-sign:{channel}:{ts}", place=place, name=name, message_ts=ts))


async def _ensure_root(services: Services, incident: Incident) -> None:
    """The thread's first message, by whoever comes first."""
    if incident.thread is None:
        shown = not services.service.clusters.is_one
        opening = views.opening(incident, asked_by=incident.opened_by, cluster_shown=shown)
        await services.outbox.put(Post(key=incident.root_key, place=Place(channel=incident.channel), content=opening))


async def _is_gone(services: Services, cluster: str, namespace: str) -> bool:
    """Whether the cluster surely has no such namespace: it was deleted, or is another cluster's."""
    return (await services.service.check(cluster, namespace)).is_known is False


def _is_about_absence(alert: Alert) -> bool:
    """Whether its rule fires because nothing is there: `absent()` leaves no label of anything that is."""
    return not any(alert.labels.get(label) for label in ("instance", "pod", "node"))


async def _say_once(services: Services, incoming: ReceivedAlert, channel: str, content: Content) -> None:
    """Once for each name and day; under the message, where there is one."""
    place = (
        Place(channel=incoming.anchor.channel, thread=incoming.anchor.ts) if incoming.anchor else Place(channel=channel)
    )
    if not place.channel or not await may_post(services, place.channel):
        return
    if incoming.anchor is not None:
        await _sign(services, place.channel, incoming.anchor.ts, alert_cards.REACTIONS["⚪"])
    key = f"alert-note:{place.channel}:{incoming.alert.name[:100]}:{int(incoming.at // DAY_S)}"
    await services.outbox.put(Post(key=key, place=place, content=content))


async def may_post(services: Services, channel: str) -> bool:
    """Whether the channel is ours alone and we are in it. Errors: `NotNowError`: Slack does not say."""
    where = await services.channels.channel(channel)
    if where.unknown:
        raise NotNowError(f"Slack does not say what channel {channel} is: {where.unknown}.")
    if where.is_external is not False or where.is_member is False or where.is_archived:
        log.warning("alert.unheard", channel=channel, is_external=where.is_external, is_member=where.is_member)
        return False
    return True
