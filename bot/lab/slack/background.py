"""Work that outlives the request that began it, with an owner."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Background:
    """Runs coroutines until closed; keeps what they raised, so that a fault of the lab fails the test it is in."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closed = False
        self.failures: list[Exception] = []

    def spawn(self, work: Coroutine[Any, Any, object], name: str) -> None:
        """Run `work` on the side; ignored after `close`."""
        if self._is_closed:
            work.close()
            return
        # Not a TaskGroup: fixtures enter and leave the workspace in different tasks, which a group does not allow.
        task = asyncio.get_running_loop().create_task(self._run(work, name), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: work.close())  # one that was cancelled before it began was never awaited

    async def _run(self, work: Coroutine[Any, Any, object], name: str) -> None:
        try:
            await work
        except Exception as error:
            log.exception("background.failed", name=name)
            self.failures.append(error)

    async def close(self) -> None:
        """Cancel what still runs, and wait until it has ended."""
        self._is_closed = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
