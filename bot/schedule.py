"""The clock: puts what is due into the inbox. The only importer of APScheduler.

What is due is work like any other: the inbox keeps it through a crash, and where several bots run, takes it once.
"""

import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import KW_ONLY, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler  # pyright: ignore[reportMissingTypeStubs]

from bot.domain.incident import Watch
from bot.incidents.affected_versions import VERSIONS_DUE
from bot.incidents.alerting.quiet import ALERTS_QUIET, next_step
from bot.incidents.alerting.reconciling import POLL_DUE
from bot.incidents.sweeps import SWEEP_DUE
from bot.incidents.watches import WATCH_DUE
from bot.store import Store, StoreUnavailableError

log = structlog.get_logger()


ALERTS_EVERY_S = 30.0
"""How often incidents whose alerts have all ended are looked for."""
VERSIONS_SOON_S = 60.0
VERSIONS_EVERY_S = 600.0
"""From the start, and then, so often is it made sure that this period's look at the clusters' versions is due."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Every so many seconds each watch, each poll, each cluster's sweep and its versions are due; incidents, after
    their alerts.
    """

    store: Store
    _: KW_ONLY
    every_s: float
    """Each watch."""
    sweep_s: float = 0.0
    versions_s: float = 0.0
    clusters: Sequence[str] = ()
    """Those that are swept, and whose versions are held against the known issues."""
    poll_s: float = 0.0
    polled: Sequence[str] = ()
    """Alertmanagers."""
    now: Callable[[], float] = time.time

    async def tick(self) -> None:
        """Put each watch into the inbox, once in each period."""
        period = int(self.now() // self.every_s)
        try:
            for watch in await self.store.watches.all():
                await self._put(watch, period)
        except StoreUnavailableError as error:
            log.warning("schedule.skipped", why=str(error))

    async def tick_sweeps(self) -> None:
        """Put a sweep of each cluster into the inbox, once in each period."""
        period = int(self.now() // self.sweep_s)
        due = {cluster: {"type": SWEEP_DUE, "cluster": cluster, "period": period} for cluster in self.clusters}
        await self._put_all("sweep", period, due)

    async def tick_polls(self) -> None:
        """Put a poll of each Alertmanager into the inbox, once in each period."""
        period = int(self.now() // self.poll_s)
        due = {name: {"type": POLL_DUE, "name": name, "period": period} for name in self.polled}
        await self._put_all("poll", period, due)

    async def tick_versions(self) -> None:
        """Put each cluster's versions into the inbox, once in each period."""
        period = int(self.now() // self.versions_s)
        due = {cluster: {"type": VERSIONS_DUE, "cluster": cluster, "period": period} for cluster in self.clusters}
        await self._put_all("versions", period, due)

    async def _put_all(self, kind: str, period: int, due: Mapping[str, Mapping[str, Any]]) -> None:
        """Each once, whichever bot comes first. What a store that is away misses is due again in the next period."""
        try:
            for name, payload in due.items():
                await self.store.inbox.accept(f"{kind}:{name}:{period}", "due", payload)
        except StoreUnavailableError as error:
            log.warning("schedule.skipped", why=str(error))

    async def tick_alerts(self) -> None:
        """Put each incident that is due after the end of its alerts into the inbox, once for each state of it."""
        try:
            for incident in await self.store.incidents.open_ones():
                if not await self.store.alerts.are_known(incident.id):
                    continue
                firing = await self.store.alerts.firing(incident.id)
                if next_step(incident, firing=firing, now=self.now()) != "wait":
                    due = {"type": ALERTS_QUIET, "incident": incident.id}
                    key = f"quiet:{incident.id}:{incident.updated_at!r}"
                    await self.store.inbox.accept(key, "due", due)
        except StoreUnavailableError as error:
            log.warning("schedule.skipped", why=str(error))

    async def _put(self, watch: Watch, period: int) -> None:
        place = f"{watch.cluster}/{watch.namespace}:{watch.channel}"
        due = {
            "type": WATCH_DUE,
            "cluster": watch.cluster,
            "namespace": watch.namespace,
            "channel": watch.channel,
            "period": period,
        }
        await self.store.inbox.accept(f"watch:{place}:{period}", "due", due)


@asynccontextmanager
async def scheduled(
    store: Store,
    *,
    every_s: float,
    sweep_s: float = 0.0,
    clusters: Sequence[str] = (),
    poll_s: float = 0.0,
    polled: Sequence[str] = (),
    versions_s: float = 0.0,
) -> AsyncGenerator[Schedule]:
    """The schedule, ticking until the block ends. `clusters` are swept every `sweep_s`, and their versions held against
    the known issues every `versions_s`; the Alertmanagers `polled` are asked every `poll_s`; 0: never.

    A tick that comes late is made, and several late ones are one: each period has its own key in the inbox.
    """
    schedule = Schedule(
        store,
        every_s=every_s,
        sweep_s=sweep_s,
        clusters=clusters,
        poll_s=poll_s,
        polled=polled,
        versions_s=versions_s,
    )
    late: dict[str, Any] = {"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
    scheduler: Any = AsyncIOScheduler(timezone="UTC", job_defaults=late)
    scheduler.add_job(schedule.tick, "interval", seconds=every_s)
    alerts_s = min(every_s, ALERTS_EVERY_S)
    scheduler.add_job(schedule.tick_alerts, "interval", seconds=alerts_s)
    if sweep_s and clusters:
        scheduler.add_job(schedule.tick_sweeps, "interval", seconds=sweep_s)
    if poll_s and polled:
        scheduler.add_job(schedule.tick_polls, "interval", seconds=poll_s)
    if versions_s and clusters:  # more often than it is due: a bot that lives for less than a day looks as well
        soon = datetime.now(UTC) + timedelta(seconds=VERSIONS_SOON_S)
        scheduler.add_job(schedule.tick_versions, "interval", seconds=VERSIONS_EVERY_S, next_run_time=soon)
    scheduler.start()
    try:
        yield schedule
    finally:
        scheduler.shutdown(wait=False)
