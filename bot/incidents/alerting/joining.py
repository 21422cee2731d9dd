"""What becomes of an alert: which incident it joins, and whether that is diagnosed (again)."""

from collections.abc import Sequence
from dataclasses import dataclass

from bot.alerts.routing import Routed
from bot.domain.incident import ALERT, Incident
from bot.domain.outgoing import Place
from bot.incidents.alerting.locating import Located
from bot.incidents.alerting.storms import Gathered
from bot.incidents.service import DiagnosisRequest, DiagnosisService
from bot.store import Store
from bot.store.alerts import AlertPut, IncidentAlert

COOLDOWN_S = 600.0
"""After a verdict further alerts of known names and severities join without a new diagnosis."""
STALE_S = 900.0
"""A run that has been silent for so long is not waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """An alert and its incident."""

    incident: Incident
    put: AlertPut
    is_due: bool
    """Whether the incident is to be diagnosed now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Joining:
    """Alerts and incidents, as the store keeps them."""

    store: Store
    service: DiagnosisService

    async def fired(
        self, routed: Routed, gathered: Gathered, *, cluster: str, place: Place, dedup: str, now: float
    ) -> Joined:
        """The alert joins the open incident of its scope and channel, or opens one. Once for the same `dedup`."""
        where = gathered.where
        request = DiagnosisRequest(
            cluster=cluster,
            namespace=where.namespace,
            node=where.node,
            channel=place.channel,
            thread=place.thread,
            playbook=routed.playbook,
            by=ALERT,
        )
        incident, is_new = await self.service.open(request, dedup=dedup)
        known = _known(routed, now=now, subject=where.subject)
        put = await self.store.alerts.put(cluster, incident.id, known)
        is_due = await self._is_due(
            incident, put, is_new=is_new, is_explained=gathered.is_explained, dedup=dedup, now=now
        )
        return Joined(incident=incident, put=put, is_due=is_due)

    async def open_in(self, where: Located, *, cluster: str, channels: Sequence[str]) -> str:
        """The first of the channels that has an open incident of this scope; "" for none."""
        for channel in filter(None, channels):
            if await self.store.incidents.is_open(
                cluster=cluster, namespace=where.namespace, pod=None, node=where.node, channel=channel
            ):
                return channel
        return ""

    async def ended(self, routed: Routed, *, cluster: str, now: float) -> Joined | None:
        """The alert is over. None: no incident that is still open knows it."""
        incident_id = await self.store.alerts.incident_of(cluster, routed.alert.fingerprint)
        incident = await self.store.incidents.get(incident_id) if incident_id else None
        if incident is None or not incident.is_open:
            return None
        put = await self.store.alerts.put(cluster, incident.id, _known(routed, now=now))
        has_ended = put.firing == 0 and not self._is_busy(incident, now)
        return Joined(incident=incident, put=put, is_due=has_ended and incident.status != "healthy")

    async def _is_due(
        self, incident: Incident, put: AlertPut, *, is_new: bool, is_explained: bool, dedup: str, now: float
    ) -> bool:
        """One diagnosis at a time; after its verdict a pause, which a new name or severity breaks."""
        if await self.service.has_begun(incident, dedup=dedup):
            return True  # it was cut short, and is ended now
        if self._is_busy(incident, now):
            return is_new
        is_rested = now - incident.updated_at >= COOLDOWN_S
        is_news = put.is_new_kind and not is_explained
        return is_new or is_news or (put.is_changed and is_rested)

    @staticmethod
    def _is_busy(incident: Incident, now: float) -> bool:
        return incident.status == "diagnosing" and now - incident.updated_at < STALE_S


def _known(routed: Routed, *, now: float, subject: str = "") -> IncidentAlert:
    alert = routed.alert
    return IncidentAlert(
        fingerprint=alert.fingerprint,
        name=alert.name,
        severity=routed.severity,
        status=alert.status,
        subject=subject,
        starts_at=alert.starts_at,
        since=now,
        first_at=now,
    )
