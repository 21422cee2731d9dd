"""Alertmanager's own messages: the thread under one holds the diagnosis, or tells where it is.

The webhook says more, so its alerts are waited for; where none comes, the message itself is read as an alert.
"""

from collections.abc import Sequence

import structlog

from bot.aio.soon import soon
from bot.alerts.slack_message import AlertMessage, as_alert, message_of, read_message
from bot.domain.alert import Alert
from bot.domain.errors import BotError
from bot.slack.caller import inside
from bot.slack.handlers.firing import ALERTS, ReceivedAlert, follow, may_post, show
from bot.slack.services import Services
from bot.store import Entry
from bot.store.anchors import Anchor

log = structlog.get_logger()


async def alert_message(services: Services, entry: Entry) -> None:
    """A message about alerts was posted, or edited."""
    event = inside(entry.body, "event")
    channel = str(event.get("channel") or "")
    posted = message_of(event)
    message = read_message(posted, services.alert_extractors.get(channel))
    if message is None or channel not in services.alert_channels or not await may_post(services, channel):
        return
    ts = str(posted.get("thread_ts") or posted.get("ts") or "")
    anchor = Anchor(channel=channel, ts=ts, tokens=message.tokens, labels=dict(message.labels))
    if message.status == "firing":
        await services.store.anchors.put(anchor, now=services.now())
    incident_id = await _by_webhook(services, message)
    if incident_id is None:
        await _by_itself(services, entry, message, anchor)
        return
    await _tell_of(services, incident_id, anchor)


async def _tell_of(services: Services, incident_id: str, anchor: Anchor) -> None:
    """Tell of the incident under the message, unless its own thread is there."""
    incident = await services.store.incidents.get(incident_id)
    if incident is not None and (incident.channel, incident.thread) != (anchor.channel, anchor.ts):
        await services.store.anchors.add_thread(incident_id, anchor.channel, anchor.ts)
    await show(services, incident_id)


async def _by_webhook(services: Services, message: AlertMessage) -> str | None:
    """The incident of an alert that the webhook brought and that this message is about."""
    anchors, now = services.store.anchors, services.now()

    async def look() -> str | None:
        found = await anchors.find_alert(lambda alert: message.is_about(alert.labels), now=now)
        return found.incident if found else None

    return await soon(look, services.anchor_wait_s if services.takes_webhook else 0.0)


async def _by_itself(services: Services, entry: Entry, message: AlertMessage, anchor: Anchor) -> None:
    """Look up the alerts that the message is about; where that is not possible, read it as one."""
    cluster = await _cluster_of(services, message)
    if cluster is None:
        ALERTS.labels("unmapped").inc()
        return
    reconciler, now = services.reconciler, services.now()
    found = await reconciler.look_up(message, cluster=cluster, anchor=anchor, now=now) if reconciler else None
    if found is not None:
        await _tell_under(services, cluster, found, anchor)
        return
    alert = await _as_alert(services, cluster, message)
    await follow(
        services, ReceivedAlert(alert=alert, cluster=cluster, dedup=entry.id, at=entry.received_at, anchor=anchor)
    )


async def _tell_under(services: Services, cluster: str, alerts: Sequence[Alert], anchor: Anchor) -> None:
    """Tell under the message of the open incidents that know its alerts already."""
    known = {await services.store.alerts.incident_of(cluster, alert.fingerprint) for alert in alerts}
    for incident_id in sorted(filter(None, known)):
        incident = await services.store.incidents.get(incident_id)
        if incident is not None and incident.is_open:
            await _tell_of(services, incident_id, anchor)


async def _cluster_of(services: Services, message: AlertMessage) -> str | None:
    """The only one, or the one that it names."""
    clusters = services.service.clusters
    if clusters.is_one:
        return clusters.names[0]
    said = {word.lower() for word in (*message.tokens, *message.labels.values())}
    named = [name for name in clusters.names if name.lower() in said]
    return named[0] if len(named) == 1 else None


async def _as_alert(services: Services, cluster: str, message: AlertMessage) -> Alert:
    """With the cluster's own names to tell which word is what; without them where it does not answer."""
    names = await services.service.namespaces(cluster)
    try:
        nodes = await services.service.clusters.named(cluster).nodes()
    except BotError as error:
        log.warning("alert_message.nodes_unknown", cluster=cluster, why=str(error))
        nodes = ()
    return as_alert(message, namespaces=frozenset(names or ()), nodes=frozenset(nodes))
