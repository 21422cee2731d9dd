"""How fast, how patient; and the clock, so that tests need not wait."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """All in seconds."""

    post_s: float = 1.0
    """Between two posts to a channel: Slack's limit, whatever the way of posting."""
    edit_s: float = 1.0
    """Between two edits of a message."""
    request_s: float = 10.0
    """One request to Slack."""
    settle_s: float = 2.0
    """After a lost reply, before looking whether the message is there."""
    withheld_after_s: float = 5.0
    """An edit that is replaced after it waited longer counts as withheld; sooner, nobody would notice."""
    first_backoff_s: float = 1.0
    """After the first failure of a channel in a row, doubled after each."""
    longest_backoff_s: float = 30.0
    give_up_s: float = 24 * 3600
    """An item that has failed for so long is given up: nobody waits for it any more."""
    most_failures: int = 6
    """So often an item may fail for a reason of its own: about a minute, as the waits double."""
    lease_s: float = 12.0
    """A process that has not said for so long that it serves a channel has ended."""
    scan_s: float = 1.0
    """How soon it is seen what another process has put."""

    @property
    def in_flight_s(self) -> float:
        """So long after its beginning a request may still arrive at Slack."""
        return self.request_s + self.settle_s


class Clock(Protocol):
    """Time, and waiting."""

    def now(self) -> float:
        """Unix time."""
        ...

    async def wait(self, event: asyncio.Event, timeout_s: float) -> None:
        """Returns when the event is set, or after `timeout_s`."""
        ...


class RealClock:
    """The machine's clock, which all processes on all nodes share more or less.

    Where it is set back, this one goes on at half its speed until the other has caught up: what was to be done in a
    second is done in two, not in an hour.
    """

    def __init__(self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._now = 0.0
        self._asked_at = monotonic()

    def now(self) -> float:
        """Unix time; never less than before."""
        asked_at = self._monotonic()
        self._now = max(self._wall(), self._now + (asked_at - self._asked_at) / 2)
        self._asked_at = asked_at
        return self._now

    async def wait(self, event: asyncio.Event, timeout_s: float) -> None:
        """Returns when the event is set, or after `timeout_s`."""
        deadline = asyncio.timeout(timeout_s)
        try:
            async with deadline:
                await event.wait()
        except TimeoutError:
            if not deadline.expired():
                raise
