"""The clock: puts what is due into the inbox. The only importer of APScheduler.

What is due is work like any other: the inbox keeps it through a crash, and where several bots run, takes it once.
"""

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler  # pyright: ignore[reportMissingTypeStubs]

from bot.domain.incident import Watch
from bot.incidents.watching import WATCH_DUE
from bot.store import Store, StoreUnavailableError

log = structlog.get_logger()


class Schedule:
    """Every so many seconds each watch is due."""

    def __init__(self, store: Store, *, every_s: float, now: Callable[[], float] = time.time) -> None:
        self._store = store
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

    async def _put(self, watch: Watch, period: int) -> None:
        place = f"{watch.cluster}/{watch.namespace}:{watch.channel}"
        event = {
            "type": WATCH_DUE,
            "cluster": watch.cluster,
            "namespace": watch.namespace,
            "channel": watch.channel,
            "period": period,
        }
        await self._store.inbox.accept(f"watch:{place}:{period}", "event", {"event": event})


@asynccontextmanager
async def scheduled(store: Store, *, every_s: float) -> AsyncGenerator[Schedule]:
    """The schedule, ticking until the block ends."""
    schedule = Schedule(store, every_s=every_s)
    scheduler: Any = AsyncIOScheduler(timezone="UTC")
    scheduler.add_job(schedule.tick, "interval", seconds=every_s, coalesce=True, max_instances=1)
    scheduler.start()
    try:
        yield schedule
    finally:
        scheduler.shutdown(wait=False)
