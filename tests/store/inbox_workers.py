"""Working off an inbox in tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

from bot.store import Entry, Inbox


@asynccontextmanager
async def at_work(work: Awaitable[None]) -> AsyncGenerator[asyncio.Task[None]]:
    """`work` beside the block, cancelled at its end."""

    async def run() -> None:
        await work

    async with asyncio.TaskGroup() as group:
        task = group.create_task(run())
        yield task
        task.cancel()


class Book:
    """A handler that remembers; `until` waits for what it is to have seen."""

    def __init__(self) -> None:
        self.handled: list[Entry] = []
        self._changed = asyncio.Condition()

    async def __call__(self, entry: Entry) -> None:
        async with self._changed:
            self.handled.append(entry)
            self._changed.notify_all()

    async def until(self, enough: Callable[[list[Entry]], bool]) -> None:
        async with asyncio.timeout(30), self._changed:
            await self._changed.wait_for(lambda: enough(self.handled))


async def empty(inbox: Inbox) -> None:
    """Until nothing waits any more."""
    async with asyncio.timeout(10):
        while (await inbox.counts()).waiting:  # noqa: ASYNC110 - Redis has no event for it
            await asyncio.sleep(0.01)
