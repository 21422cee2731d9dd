"""The outbox's front: what the rest of the bot calls."""

import asyncio
import dataclasses
from contextlib import suppress
from uuid import uuid4

import structlog
from slack_sdk.web.async_client import AsyncWebClient

from bot.aio.groups import TaskGroup
from bot.domain.outgoing import Edit, Ephemeral, Outgoing, Post, Priority
from bot.slack.outbox.calls import Calls
from bot.slack.outbox.changing import Changing
from bot.slack.outbox.context import Context, Counters
from bot.slack.outbox.delivery import Delivery
from bot.slack.outbox.posting import Posting
from bot.slack.outbox.timing import Clock, RealClock, Timing
from bot.slack.views.quiet import unmentioned
from bot.store.errors import StoreUnavailableError
from bot.store.outbox import OutboxQueue
from bot.store.outbox_entries import Budget, Nothing, Put, QueueState, Unit

log = structlog.get_logger()


class Outbox:
    """Messages on their way to Slack. Any number of processes may share a store; each channel is served by one."""

    def __init__(
        self,
        queue: OutboxQueue,
        client: AsyncWebClient,
        *,
        timing: Timing | None = None,
        budget: Budget | None = None,
        clock: Clock | None = None,
        quiet_channels: frozenset[str] = frozenset(),
    ) -> None:
        """`client` comes from `open_client`. In `quiet_channels` nobody is mentioned. The rest is for tests."""
        self._quiet = quiet_channels
        timing, clock = timing or Timing(), clock or RealClock()
        calls = Calls(client, request_s=timing.request_s)
        delivery = Delivery(queue, calls, settled_at=lambda: clock.now() + timing.in_flight_s)
        self.context = Context(
            queue=queue,
            calls=calls,
            delivery=delivery,
            clock=clock,
            timing=timing,
            budget=budget or Budget(),
            token=uuid4().hex,
        )
        self._serving: set[Unit] = set()

    @property
    def counters(self) -> Counters:
        """What this process has done."""
        counters = self.context.counters
        counters.degraded = self.context.delivery.degraded
        return counters

    async def put(self, item: Outgoing) -> None:
        """Keep `item` until it is sent. Durable when this returns; a key that was put before changes nothing.

        Errors: `StoreUnavailableError`; `OutboxFullError` when a channel's queue is full; `ValueError` for what can
        never be sent (no channel, a file over the limit).
        """
        context = self.context
        if item.place.channel in self._quiet and isinstance(item, Post | Edit):
            item = dataclasses.replace(item, content=unmentioned(item.content))
        became = await context.queue.put(
            item, now=context.clock.now(), withheld_after_s=context.timing.withheld_after_s
        )
        context.counters.withheld += became is Put.WITHHELD
        is_notice = isinstance(item, Ephemeral) and item.priority is Priority.NOTICE
        context.counters.merged += is_notice and became is Put.KNOWN
        if became is not Put.KNOWN:
            context.wakeups.ring(item.place.channel)

    async def ts_of(self, key: str) -> str | None:
        """The ts of the post with this key; None while it is not sent, or forgotten."""
        return await self.context.queue.ts_of(key)

    async def state(self) -> QueueState:
        """How much waits, and since when."""
        return await self.context.queue.state()

    async def drained(self, timeout_s: float) -> bool:
        """Wait until nothing waits to be sent, at most `timeout_s`; whether that was reached. For shutdown, while `run`
        still runs; what is left waits in the store for the next start.
        """
        context = self.context
        end = context.clock.now() + timeout_s
        while True:
            wakeup = context.wakeups.of("")
            with suppress(StoreUnavailableError):
                if (await self.state()).waiting == 0:
                    return True
            left_s = end - context.clock.now()
            if left_s <= 0:
                return False
            await context.clock.wait(wakeup, min(left_s, 0.2))

    async def run(self) -> None:
        """Send until cancelled; survives the absence of the store and of Slack."""
        context = self.context
        has_taken_over = not context.queue.is_alone
        async with TaskGroup() as group:
            while True:
                wakeup = context.wakeups.of("")
                try:
                    if not has_taken_over:
                        await context.queue.take_over(settled_at=context.clock.now() + context.timing.settle_s)
                        has_taken_over = True
                    for unit in await context.queue.units() - self._serving:
                        if await self._lease(unit):
                            self._serving.add(unit)
                            group.create_task(self._serve(unit), name=f"outbox {' '.join(unit)}")
                except StoreUnavailableError as error:
                    log.warning("outbox.store_away", why=error.why)
                await context.clock.wait(wakeup, context.timing.scan_s)

    async def _serve(self, unit: Unit) -> None:
        """Serve a unit until it has no work, or another process has taken it."""
        worker = Posting(self.context, unit[1]) if unit[0] == "posts" else Changing(self.context, unit[1])
        try:
            async with TaskGroup() as group:
                renewing = group.create_task(self._renew(unit))
                while not await self._work(unit, worker):
                    pass
                renewing.cancel()
        except* StoreUnavailableError:
            log.warning("outbox.store_away", unit=" ".join(unit))
        except* Exception:
            log.exception("outbox.crashed", unit=" ".join(unit))  # the next look at the units begins again
        finally:
            try:
                with suppress(StoreUnavailableError):  # the lease then ends by itself
                    await self.context.queue.release(unit, self.context.token, only_idle=False)
            finally:
                self._serving.discard(unit)

    async def _work(self, unit: Unit, worker: Posting | Changing) -> bool:
        """One step, and the wait after it; whether the work has ended."""
        context = self.context
        wakeup = context.wakeups.of(unit[1])
        wait_s = await worker.step()
        match wait_s:
            case Nothing.LOST:
                return True
            case Nothing.IDLE:
                return await context.queue.release(unit, context.token, only_idle=True)
            case _ if wait_s > 0:
                await context.clock.wait(wakeup, min(wait_s, context.timing.scan_s))
                return False
            case _:
                return False

    async def _renew(self, unit: Unit) -> None:
        never = asyncio.Event()
        while True:
            await self.context.clock.wait(never, self.context.timing.lease_s / 3)
            with suppress(StoreUnavailableError):
                await self._lease(unit)

    async def _lease(self, unit: Unit) -> bool:
        context = self.context
        return await context.queue.lease(unit, context.token, now=context.clock.now(), lease_s=context.timing.lease_s)
