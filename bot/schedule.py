"""The clock: puts what is due into the inbox. The only importer of APScheduler.

What is due is work like any other: the inbox keeps it through a crash, and where several bots run, takes it once.
"""

import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler  # pyright: ignore[reportMissingTypeStubs]

from bot.domain.incident import Watch
from bot.incidents.alerting.quiet import ALERTS_QUIET, next_step
from bot.incidents.alerting.reconciling import POLL_DUE
from bot.incidents.sweeps import SWEEP_DUE
from bot.incidents.watches import WATCH_DUE
from bot.store import Store, StoreUnavailableError

log = structlog.get_logger()


ALERTS_EVERY_S = 30.0
"""How often incidents whose alerts have all ended are looked for."""


class Schedule:
    """Every so many seconds each watch, each cluster's sweep and each poll is due; incidents, after their alerts."""

    def __init__(
        self,
        store: Store,
        *,
        every_s: float,
        sweep_s: float = 0.0,
        clusters: Sequence[str] = (),
        poll_s: float = 0.0,
        polled: Sequence[str] = (),
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._sweep_s = sweep_s
        self._clusters = clusters
        self._poll_s = poll_s
        self._polled = polled
        self._every_s = every_s
        self._now = now

    async def tick(self) -> None:
        """Put each watch into the inbox, once in each period."""
        period = int(self._now() // self._every_s)
        try:
            for watch in await self._store.watches.all():
                await self._put(watch, period)
        except StoreUnavailableError as error:
            log.warning("schedule.skipped", why=str(error))

    async def tick_sweeps(self) -> None:
        """Put a sweep of each cluster into the inbox, once in each period."""
        period = int(self._now() // self._sweep_s)
        due = {cluster: {"type": SWEEP_DUE, "cluster": cluster, "period": period} for cluster in self._clusters}
        await self._put_all("sweep", period, due)

    async def tick_polls(self) -> None:
        """Put a poll of each Alertmanager into the inbox, once in each period."""
        period = int(self._now() // self._poll_s)
        due = {name: {"type": POLL_DUE, "name": name, "period": period} for name in self._polled}
        await self._put_all("poll", period, due)

    async def _put_all(self, kind: str, period: int, due: Mapping[str, Mapping[str, Any]]) -> None:
        """Each once, whichever bot comes first. What a store that is away misses is due again in the next period."""
        try:
            for name, payload in due.items():
                await self._store.inbox.accept(f"{kind}:{name}:{period}", "due", payload)
        except StoreUnavailableError as error:
            log.warning("schedule.skipped", why=str(error))

    async def tick_alerts(self) -> None:
        """Put each incident that is due after the end of its alerts into the inbox, once for each state of it."""
        try:
            for incident in await self._store.incidents.open_ones():
                if not await self._store.alerts.are_known(incident.id):
                    continue
                firing = await self._store.alerts.firing(incident.id)
                if next_step(incident, firing=firing, now=self._now()) != "wait":
                    due = {"type": ALERTS_QUIET, "incident": incident.id}
                    key = f"quiet:{incident.id}:{incident.updated_at!r}"
                    await self._store.inbox.accept(key, "due", due)
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
        await self._store.inbox.accept(f"watch:{place}:{period}", "due", due)


@asynccontextmanager
async def scheduled(
    store: Store,
    *,
    every_s: float,
    sweep_s: float = 0.0,
    clusters: Sequence[str] = (),
    poll_s: float = 0.0,
    polled: Sequence[str] = (),
) -> AsyncGenerator[Schedule]:
    """The schedule, ticking until the block ends. `clusters` are swept every `sweep_s`, the Alertmanagers `polled`
    every `poll_s`; 0: never.
    """
    schedule = Schedule(store, every_s=every_s, sweep_s=sweep_s, clusters=clusters, poll_s=poll_s, polled=polled)
    scheduler: Any = AsyncIOScheduler(timezone="UTC")
    scheduler.add_job(schedule.tick, "interval", seconds=every_s, coalesce=True, max_instances=1)
    alerts_s = min(every_s, ALERTS_EVERY_S)
    scheduler.add_job(schedule.tick_alerts, "interval", seconds=alerts_s, coalesce=True, max_instances=1)
    if sweep_s and clusters:
        scheduler.add_job(schedule.tick_sweeps, "interval", seconds=sweep_s, coalesce=True, max_instances=1)
    if poll_s and polled:
        scheduler.add_job(schedule.tick_polls, "interval", seconds=poll_s, coalesce=True, max_instances=1)
    scheduler.start()
    try:
        yield schedule
    finally:
        scheduler.shutdown(wait=False)
