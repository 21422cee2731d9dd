"""Diagnoses wait in a queue: a few run at a time, first come first served, and all see their place."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

Tell = Callable[[int], None]
"""Called with the place in the queue, from 1, each time it changes."""


@dataclass(frozen=True, slots=True, eq=False)
class _Place:
    called: "asyncio.Future[None]"
    tell: Tell
    is_background: bool


class DiagnosisQueue:
    """At most `most` at the same time. Background diagnoses wait until no others do, and never take all slots."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._queue: deque[_Place] = deque()
        """Those in the background behind all others."""
        self._background_running = 0
        self.running = 0
        """How many run now."""

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._queue)

    @asynccontextmanager
    async def slot(self, tell: Tell = lambda _: None, *, is_background: bool = False) -> AsyncGenerator[None]:
        """The block runs once a slot is free and nobody waits before it."""
        place = _Place(asyncio.get_running_loop().create_future(), tell, is_background)
        self._line_up(place)
        try:
            await place.called
        except asyncio.CancelledError:
            if place in self._queue:
                self._queue.remove(place)
                self._announce()
            else:  # called and cancelled at once: the slot goes to the next
                self._leave(place)
            raise
        try:
            yield
        finally:
            self._leave(place)

    def _line_up(self, place: _Place) -> None:
        others = sum(not each.is_background for each in self._queue)
        self._queue.insert(len(self._queue) if place.is_background else others, place)
        self._call()

    def _leave(self, place: _Place) -> None:
        self.running -= 1
        self._background_running -= place.is_background
        self._call()

    def _call(self) -> None:
        """Whoever is first and may."""
        while self._queue and self._has_room(self._queue[0]):
            place = self._queue.popleft()
            self.running += 1
            self._background_running += place.is_background
            place.called.set_result(None)
        self._announce()

    def _has_room(self, place: _Place) -> bool:
        is_full = self.running >= self._most
        return not is_full and not (place.is_background and self._background_running >= max(1, self._most // 2))

    def _announce(self) -> None:
        for number, place in enumerate(self._queue, 1):
            place.tell(number)
