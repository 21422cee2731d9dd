"""What the outbox's workers share."""

import asyncio
from dataclasses import dataclass, field

from bot.slack.outbox.calls import Calls
from bot.slack.outbox.delivery import Delivery
from bot.slack.outbox.timing import Clock, Timing
from bot.store.outbox import OutboxQueue
from bot.store.outbox_entries import Budget


@dataclass(slots=True, kw_only=True)
class Counters:
    """What this process has done since it started."""

    sent: int = 0
    """Posts, ephemeral messages and files."""
    edited: int = 0
    reacted: int = 0
    merged: int = 0
    """Notices that were not sent because the person had got the same within the last seconds."""
    withheld: int = 0
    """Edits that were never sent because a newer one came while their message had to wait."""
    retried: int = 0
    """Attempts that failed; what they carried was kept."""
    rate_limited: int = 0
    """Of them: answers 429."""
    reconciled: int = 0
    """Messages whose reply was lost and that were found in the channel."""
    degraded: int = 0
    """Messages that Slack took only as plain or shorter text, or beside their thread."""
    dead: int = 0
    """Given up, with a reason."""


class Wakeups:
    """Wakes who waits for work: one wakeup a channel, and "" for who looks after all."""

    def __init__(self) -> None:
        self._events: dict[str, asyncio.Event] = {}

    def of(self, name: str) -> asyncio.Event:
        """Set at the next ring. Take it before looking for work, so that nothing slips in between."""
        return self._events.setdefault(name, asyncio.Event())

    def ring(self, name: str) -> None:
        """Wake everybody who waits for `name`, and the one who looks after all."""
        for one in (name, ""):
            if event := self._events.pop(one, None):
                event.set()


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What each worker needs."""

    queue: OutboxQueue
    calls: Calls
    delivery: Delivery
    clock: Clock
    timing: Timing
    budget: Budget
    token: str
    """This process, among those that share the store."""
    counters: Counters = field(default_factory=Counters)
    wakeups: Wakeups = field(default_factory=Wakeups)
