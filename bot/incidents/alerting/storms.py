"""Many alerts at once: one incident for what one cause explains, one sweep of all nodes instead of many looks."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bot.domain.incident import ALL_NODES, Incident
from bot.incidents.alerting.locating import SYSTEM_NAMESPACE, Located
from bot.incidents.alerting.relevance import relevance
from bot.incidents.service import DiagnosisService
from bot.store import Store

STORM_SCOPES = 5
"""So many new scopes of one cluster within `WINDOW_S` are diagnosed one by one; further ones by a sweep."""
WINDOW_S = 120.0
FRESH_S = 1.0
_MOST_LOOKED_AT = 10
"""Open incidents whose verdicts are held against an alert, newest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """Where an alert belongs."""

    where: Located
    is_explained: bool = False
    """A verdict that stands explains it already."""


@dataclass(slots=True, kw_only=True)
class Storms:
    """What is open, and how much is new."""

    store: Store
    service: DiagnosisService
    _open: Mapping[str, tuple[float, tuple[Incident, ...]]] = field(default_factory=dict[str, Any])
    """By cluster: the open incidents, and when they were read."""

    async def gather(self, where: Located, *, cluster: str, channels: Sequence[str], now: float) -> Gathered:
        """The scope of an incident whose verdict explains the alert; in a storm all nodes; else the alert's own."""
        scope = f"{where.namespace} {where.node or ''}"
        count = await self.store.alerts.count_scope(cluster, scope, now=now, window_s=WINDOW_S)
        is_storm = count > STORM_SCOPES
        same = self._explaining(where.subject, await self._open_ones(cluster, now, may_be_old=is_storm), channels)
        async for incident in same:
            found = Located(namespace=incident.namespace, node=incident.node, subject=where.subject)
            return Gathered(where=found, is_explained=True)
        if not is_storm or where.node == ALL_NODES:
            return Gathered(where=where)
        return Gathered(where=Located(namespace=SYSTEM_NAMESPACE, node=ALL_NODES, subject=where.subject))

    async def _explaining(
        self, subject: str, incidents: Sequence[Incident], channels: Sequence[str]
    ) -> AsyncIterator[Incident]:
        """Those whose newest verdict hits the subject."""
        faults = [one for one in incidents if one.status in {"broken", "degraded"} and one.pod is None]
        here = [one for one in faults if one.channel in channels] if subject else []
        for incident in here[:_MOST_LOOKED_AT]:
            report = await self.service.report(incident.id, incident.run)
            if report is not None and relevance(report, subject) == "explained":
                yield incident

    async def _open_ones(self, cluster: str, now: float, *, may_be_old: bool) -> tuple[Incident, ...]:
        """The open incidents; in a storm, which asks a hundred times a second, as they were within the last one."""
        read_at, found = self._open.get(cluster, (float("-inf"), ()))
        if not (may_be_old and 0 <= now - read_at < FRESH_S):
            found = await self.store.incidents.open_ones(cluster)
            self._open = {**self._open, cluster: (now, found)}
        return found
