"""What the outbox's tests are made of: a clock that only tests move, and workers that take one step at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush

from slack_sdk.web.async_client import AsyncWebClient

from bot.domain.outgoing import Content, Edit, Place, Post, Priority
from bot.lab.slack import Message, SlackWorkspace
from bot.slack.outbox import Outbox
from bot.slack.outbox.changing import Changing
from bot.slack.outbox.posting import Posting
from bot.slack.outbox.timing import Timing
from bot.store import Store
from bot.store.outbox import OutboxQueue
from bot.store.outbox_entries import Nothing, Unit

STEP_S = 60.0
"""A step that takes so long hangs: it fails its test, instead of holding all of them."""
TIMING = Timing()
"""As the bot has it. Only a request's limit passes in real time: no test waits for it, and a busy machine keeps it."""


class VirtualClock:
    """Stands still but for `advance`, and for `pump`, which moves it on to the next moment that somebody waits for."""

    def __init__(self) -> None:
        self._now = time.time()
        self._count = 0
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += seconds
        while self._waiting and self._waiting[0][0] <= self._now + 1e-6:
            _, _, future = heappop(self._waiting)
            if not future.done():
                future.set_result(None)

    async def wait(self, event: asyncio.Event, timeout_s: float) -> None:
        alarm = asyncio.get_running_loop().create_future()
        self._count += 1
        heappush(self._waiting, (self._now + timeout_s, self._count, alarm))
        async with asyncio.TaskGroup() as group:
            ringing = group.create_task(event.wait())
            ringing.add_done_callback(lambda _: alarm.done() or alarm.set_result(None))
            try:
                await alarm
            finally:
                ringing.cancel()

    async def pump(self, until: Callable[[], object], within_s: float = 3600.0) -> None:
        """Let time pass until the predicate holds: whenever all of the outbox waits, on to the next alarm."""
        end = self._now + within_s
        async with asyncio.timeout(60):
            while not until():
                live = [entry for entry in self._waiting if not entry[2].done()]
                if live and len(live) == _outbox_tasks():
                    assert self._now < end, "it does not happen"
                    self.advance(max(min(live)[0] - self._now, 0.0))
                await asyncio.sleep(0.001)  # what is under way takes real time


def _outbox_tasks() -> int:
    """Tasks of outboxes: each of them waits for the clock, or for Slack or Redis, which take no virtual time."""
    coroutines = (task.get_coro() for task in asyncio.all_tasks())
    return sum(getattr(coroutine, "__qualname__", "").startswith("Outbox.") for coroutine in coroutines)


@dataclass
class Rig:
    """A store, a workspace, and any number of outboxes between them (processes, as it were)."""

    store: Store
    ws: SlackWorkspace
    client: AsyncWebClient
    clock: VirtualClock
    timing: Timing = TIMING
    outboxes: list[Outbox] = field(default_factory=list[Outbox])

    @property
    def queue(self) -> OutboxQueue:
        return self.store.outbox

    def outbox(self) -> Outbox:
        """Another process."""
        made = Outbox(self.queue, self.client, timing=self.timing, clock=self.clock)
        self.outboxes.append(made)
        return made

    def place(self, thread_key: str | None = None, *, thread: str | None = None, channel: str = "incidents") -> Place:
        return Place(channel=self.ws.channel(channel).id, thread=thread, thread_key=thread_key)

    def post(
        self, key: str, text: str = "", priority: Priority = Priority.NORMAL, thread_key: str | None = None
    ) -> Post:
        return Post(key=key, place=self.place(thread_key), content=Content(text=text or key), priority=priority)

    def edit(self, key: str, text: str, priority: Priority = Priority.PROGRESS) -> Edit:
        return Edit(key=key, place=self.place(), content=Content(text=text), priority=priority)

    def said(self, channel: str = "incidents") -> list[str]:
        """Texts of the bot, in the order of posting."""
        return [message.text for message in self.messages(channel)]

    def messages(self, channel: str = "incidents") -> list[Message]:
        return [one for one in self.ws.everything(channel) if one.bot_id]

    def times(self, method: str) -> list[float]:
        """When calls of the method began, whatever became of them."""
        return [call.at for call in self.ws.calls.of(method)]

    async def work(self, outbox: Outbox, *, for_s: float = 3600.0, steps: int = 10_000) -> float:
        """Serve everything until nothing waits, time passing only while all wait; the seconds that it took."""
        begun = self.clock.now()
        workers: dict[Unit, Posting | Changing] = {}
        context = outbox.context
        for _ in range(steps):
            waits: list[float] = []
            for unit in sorted(await self.queue.units()):
                if not await self.queue.lease(unit, context.token, now=self.clock.now(), lease_s=self.timing.lease_s):
                    waits.append(1.0)
                    continue
                kind = Posting if unit[0] == "posts" else Changing
                worker = workers.setdefault(unit, kind(context, unit[1]))
                async with asyncio.timeout(STEP_S):
                    wait_s = await worker.step()
                if isinstance(wait_s, Nothing):
                    await self.queue.release(unit, context.token, only_idle=True)
                else:
                    waits.append(wait_s)
            if not waits:
                break
            left_s = begun + for_s - self.clock.now()
            if left_s <= 0:
                break
            self.clock.advance(min(*waits, left_s, left_s))
        else:
            raise AssertionError(f"work for ever: {await self.queue.state()}\n{self.ws.summary()}")
        return self.clock.now() - begun
