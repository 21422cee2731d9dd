"""What happened in the workspace, told to whoever waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

Result = TypeVar("Result")
_LOOK_AGAIN_S = 0.05
_QUEUED_CHANGES = 10_000
"""A subscriber further behind than this loses the oldest changes; the page reads the state again anyway."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change of state: message, message_changed, message_deleted, ephemeral, reaction, view, home, file, member,
    user, channel, status, call, socket, delivery, outcome, faults.
    """

    kind: str
    channel: str = ""
    ts: str = ""
    user: str = ""
    detail: str = ""


class Changes:
    """Wakes waiters and feeds subscribers."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[Change]] = set()
        self._waiting: set[asyncio.Event] = set()
        self.count = 0

    def note(self, kind: str, *, channel: str = "", ts: str = "", user: str = "", detail: str = "") -> None:
        """Tell everyone; never blocks."""
        self.count += 1
        change = Change(kind=kind, channel=channel, ts=ts, user=user, detail=detail)
        for queue in self._queues:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(change)
        for event in self._waiting:
            event.set()

    async def subscribe(self) -> AsyncIterator[Change]:
        """Every change from now on, until the caller stops iterating."""
        queue: asyncio.Queue[Change] = asyncio.Queue(_QUEUED_CHANGES)
        self._queues.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._queues.discard(queue)

    async def until(self, predicate: Callable[[], Result | None], timeout_s: float | None) -> Result:
        """The predicate's first true result. Raises TimeoutError (None: never).

        Asked again after every change, and every 50 ms for what the predicate may see beside the workspace.
        """
        woken = asyncio.Event()
        self._waiting.add(woken)
        try:
            async with asyncio.timeout(timeout_s):
                while not (result := predicate()):
                    with suppress(TimeoutError):
                        async with asyncio.timeout(_LOOK_AGAIN_S):
                            await woken.wait()
                    woken.clear()
                return result
        finally:
            self._waiting.discard(woken)
