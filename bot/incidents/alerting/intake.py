"""Taking alerts in: each alert of a notification is kept in the inbox by itself before it is acknowledged.

Known again by cluster, fingerprint, status and start, so that the two of a highly available pair, and repeats, are
taken once. The end of an alert makes its beginning new again: after an outage Prometheus goes on with the old start.
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from bot.alerts.payload import read_notification
from bot.domain.alert import Alert, AlertStatus
from bot.incidents.clusters import Clusters
from bot.store import Entry
from bot.store.anchors import Anchor
from bot.store.inbox.inbox import Item

CLUSTER_LABELS = ("cluster", "cluster_name", "cluster_id")
_EPOCH = dt.datetime.fromtimestamp(0, dt.UTC)
_OTHER: Mapping[AlertStatus, AlertStatus] = {"firing": "resolved", "resolved": "firing"}


class Accepting(Protocol):
    """The inbox, as far as it takes things in."""

    async def accept_all(self, items: Sequence[Item]) -> int:
        """How many are new; all are kept when this returns."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertReceived:
    """One alert as the inbox keeps it."""

    alert: Alert
    cluster: str | None
    """By its name; None where neither the sender nor a label says which one of several."""
    known_as: str = ""
    """By what the inbox knows it again."""
    anchor: Anchor | None = None
    """The message in Slack for which it was looked up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What became of alerts."""

    new: int
    known: int


class AlertIntake:
    """Where alerts come in, whoever brings them: Alertmanager's webhook, its API."""

    def __init__(self, inbox: Accepting, clusters: Clusters) -> None:
        self._inbox = inbox
        self._clusters = clusters

    async def __call__(self, body: bytes, cluster: str | None) -> Accepted:
        """Keep the alerts. When this returns they may be acknowledged.

        Errors: `NotAPayloadError`, `UnknownClusterError`: nothing was kept. `StoreUnavailableError`: some may have
        been, and are known when the sender tries again.
        """
        named = self._clusters.named(cluster).name if cluster else None
        return await self.keep(read_notification(body).alerts, named)

    async def keep(self, alerts: Iterable[Alert], cluster: str | None, *, anchor: Anchor | None = None) -> Accepted:
        """Keep alerts of a cluster; None: their labels say of which one. Errors: `StoreUnavailableError`."""
        items = [_item(alert, cluster or self._cluster_of(alert), anchor) for alert in alerts]
        new = await self._inbox.accept_all(items)
        return Accepted(new=new, known=len(items) - new)

    def _cluster_of(self, alert: Alert) -> str | None:
        """By its labels; where there is one cluster only, that one."""
        if self._clusters.is_one:
            return self._clusters.names[0]
        said = {alert.labels[label].lower() for label in CLUSTER_LABELS if label in alert.labels}
        return next((name for name in self._clusters.names if name.lower() in said), None)


def _item(alert: Alert, cluster: str | None, anchor: Anchor | None) -> Item:
    began = _to_the_millisecond(alert.starts_at)

    def known_as(status: AlertStatus) -> str:
        return f"alert:{cluster or ''}:{alert.fingerprint}:{status}:{began}"

    name = known_as(alert.status)
    received = AlertReceived(alert=alert, cluster=cluster, known_as=name, anchor=anchor)
    body: Mapping[str, Any] = msgspec.to_builtins(received)
    return Item(dedup_id=name, kind="alert", body=body, forget=known_as(_OTHER[alert.status]))


def _to_the_millisecond(time: str) -> str:
    """The same for a time however it is written: the webhook gives nanoseconds, the API milliseconds."""
    moment = moment_of(time)
    return time if moment is None else str((moment - _EPOCH) // dt.timedelta(milliseconds=1))


def moment_of(time: str) -> dt.datetime | None:
    """A time as Alertmanager writes it; None: it cannot be read."""
    try:
        moment = dt.datetime.fromisoformat(time)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def received(entry: Entry) -> AlertReceived:
    """The alert in an entry of the inbox."""
    return msgspec.convert(entry.body, type=AlertReceived)
