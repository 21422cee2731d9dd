"""Taking turns: a few at a time, first come first served, and everybody in the queue is told where they stand."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

Tell = Callable[[int], None]
"""Called with the place in the queue, from 1, each time it changes."""


class Turns:
    """At most `most` at the same time."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._queue: deque[tuple[asyncio.Future[None], Tell]] = deque()
        self.running = 0
        """How many have their turn now."""

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._queue)

    @asynccontextmanager
    async def turn(self, tell: Tell) -> AsyncGenerator[None]:
        """The block runs when its turn has come."""
        await self._come(tell)
        try:
            yield
        finally:
            self._leave()

    async def _come(self, tell: Tell) -> None:
        if self.running < self._most and not self._queue:
            self.running += 1
            return
        called = asyncio.get_running_loop().create_future()
        place = (called, tell)
        self._queue.append(place)
        tell(len(self._queue))
        try:
            await called
        except asyncio.CancelledError:
            if place in self._queue:
                self._queue.remove(place)
                self._announce()
            else:  # called and cancelled at once: the turn goes to the next
                self._leave()
            raise

    def _leave(self) -> None:
        self.running -= 1
        if self._queue:
            called, _ = self._queue.popleft()
            self.running += 1
            called.set_result(None)
            self._announce()

    def _announce(self) -> None:
        for number, (_, tell) in enumerate(self._queue, 1):
            tell(number)
