"""Alertmanager's API beside its notifications: what they left out is taken in, and what they did not name is looked up.

A notification gets lost where Alertmanager gives up on it (a 4xx, an outage longer than its patience); what it says in
Slack often gives no names of labels. The API knows both. What is found goes the way of the webhook's alerts, where
it is known again, so it does not matter who was first.
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import structlog
from prometheus_client import Counter

from bot.aio.each import each
from bot.alerts.slack_message import AlertMessage
from bot.domain.alert import Alert
from bot.domain.errors import BotError
from bot.incidents.alerting.alertmanager_api import AlertmanagerApi, Listing
from bot.incidents.alerting.intake import CLUSTER_LABELS, Accepted, AlertIntake, moment_of
from bot.store.anchors import Anchor
from bot.store.seen_alerts import SeenAlert, SeenAlerts

log = structlog.get_logger()

POLL_DUE = "cni_alertmanager_poll_due"
"""The type of the event that says that an Alertmanager's turn to be asked has come."""
YOUNG_S = 60.0
"""An alert that began later is left to its notification, which waits for others of its group."""
GONE_S = 300.0
"""An alert that no peer has listed for so long has ended. One that was just started has not received all yet."""
MOST_OF_A_MESSAGE = 200
"""Alerts that one message in Slack may be about."""
_KEPT_LABELS = ("alertname", "severity")

POLLED = Counter(
    "cnibot_alerts_polled_total",
    "Alerts whose beginning or end the poll of Alertmanager's API knew before any notification said it.",
    ("outcome",),
)
POLLS = Counter("cnibot_alertmanager_polls_total", "Polls of Alertmanager's API: whole, partial, failed.", ("outcome",))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciler:
    """Some Alertmanagers and what was seen there."""

    alertmanagers: Sequence[AlertmanagerApi]
    intake: AlertIntake
    seen: SeenAlerts

    async def poll(self, name: str, *, now: float) -> Accepted:
        """Take in what fires and what no longer does; how much of it was news. Errors: `AlertmanagerError`."""
        api = next((one for one in self.alertmanagers if one.name == name), None)
        if api is None:  # it was taken out of the settings
            return Accepted(new=0, known=0)
        try:
            listing = await api.alerts(receiver=api.receiver)
        except BotError:
            POLLS.labels("failed").inc()
            raise
        POLLS.labels("whole" if listing.is_whole else "partial").inc()
        firing = [one.alert for one in listing.alerts if one.is_active and _age_s(one.alert, now) >= YOUNG_S]
        began = await self.intake.keep(firing, api.cluster or None)
        ended = await self._end_unlisted(f"poll {name}", listing, firing, api.cluster, now=now, gone_s=GONE_S)
        POLLED.labels("began").inc(began.new)
        POLLED.labels("ended").inc(ended.new)
        return Accepted(new=began.new + ended.new, known=began.known + ended.known)

    async def look_up(
        self, message: AlertMessage, *, cluster: str, anchor: Anchor, now: float
    ) -> tuple[Alert, ...] | None:
        """Take in the alerts that a message in Slack is about, and the ends of those that it was about; those alerts.

        None: it is not known which ones they are, and the message must speak for itself.
        """
        listings = [one for one in await each(self._of(cluster), _listing) if one is not None]
        if not listings:
            return None
        listed = {one.alert.fingerprint: one for listing in listings for one in listing.alerts}
        found = [one.alert for one in listed.values() if one.is_active and message.is_about(one.alert.labels)]
        found = found[:MOST_OF_A_MESSAGE]
        await self.intake.keep(found, cluster, anchor=anchor)
        whole = all(one.is_whole for one in listings) and len(listings) == len(self._of(cluster))
        everything = Listing(alerts=tuple(listed.values()), is_whole=whole)
        viewer = f"message {cluster} {anchor.channel} {message.fingerprint}"
        ended = await self._end_unlisted(viewer, everything, found, cluster, now=now, gone_s=0.0)
        return tuple(found) if found or ended.new or ended.known else None

    def _of(self, cluster: str) -> tuple[AlertmanagerApi, ...]:
        """Those that may know alerts of the cluster."""
        return tuple(one for one in self.alertmanagers if one.cluster in {"", cluster})

    async def _end_unlisted(
        self, viewer: str, listing: Listing, firing: Sequence[Alert], cluster: str, *, now: float, gone_s: float
    ) -> Accepted:
        """End what this viewer saw and nobody lists any more; remember what it sees now."""
        seen = await self.seen.of(viewer)
        listed = {one.alert.fingerprint for one in listing.alerts}
        gone = {
            fingerprint: one
            for fingerprint, one in seen.items()
            if listing.is_whole and fingerprint not in listed and now - one.at >= gone_s
        }
        ended = await self.intake.keep(_ended(gone, now), cluster or None)
        still = {name: one for name, one in seen.items() if name in listed}  # silenced ones, too
        current = {alert.fingerprint: _seen(alert, now) for alert in firing}
        renewed = {name: SeenAlert(labels=one.labels, starts_at=one.starts_at, at=now) for name, one in still.items()}
        await self.seen.change(viewer, {**renewed, **current}, tuple(gone))
        return ended


async def _listing(api: AlertmanagerApi) -> Listing | None:
    try:
        return await api.alerts()
    except BotError as error:
        log.warning("alertmanager.not_looked_up", name=api.name, why=str(error))
        return None


def _seen(alert: Alert, now: float) -> SeenAlert:
    labels = {name: alert.labels[name] for name in (*_KEPT_LABELS, *CLUSTER_LABELS) if name in alert.labels}
    return SeenAlert(labels=labels, starts_at=alert.starts_at, at=now)


def _ended(gone: Mapping[str, SeenAlert], now: float) -> Iterable[Alert]:
    at = dt.datetime.fromtimestamp(now, dt.UTC).isoformat()
    for fingerprint, one in gone.items():
        yield Alert(fingerprint=fingerprint, status="resolved", starts_at=one.starts_at, ends_at=at, labels=one.labels)


def _age_s(alert: Alert, now: float) -> float:
    """How long it has fired; long, where that is not known."""
    began = moment_of(alert.starts_at)
    return now - began.timestamp() if began else float("inf")
