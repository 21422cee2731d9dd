"""The outbox's front: what the rest of the bot calls."""

from dataclasses import dataclass

from slack_sdk.web.async_client import AsyncWebClient

from bot.domain.outgoing import Outgoing
from bot.store.outbox import OutboxQueue, QueueState


@dataclass(slots=True, kw_only=True)
class Counters:
    """What this process has done since it started."""

    sent: int = 0
    """Posts, whispers and files."""
    edited: int = 0
    reacted: int = 0
    withheld: int = 0
    """Edits that were never sent because a newer one came while their message had to wait."""
    retried: int = 0
    """Attempts that failed and were kept."""
    rate_limited: int = 0
    """Answers 429."""
    reconciled: int = 0
    """Messages whose reply was lost and that were found in the channel."""
    degraded: int = 0
    """Messages that Slack took only as plain or shorter text."""
    dead: int = 0
    """Given up, with a reason."""


class Outbox:
    """Messages on their way to Slack."""

    def __init__(self, queue: OutboxQueue, client: AsyncWebClient) -> None:
        self._queue = queue
        self._client = client
        self.counters = Counters()

    async def put(self, item: Outgoing) -> None:
        """Keep `item` until it is sent. Durable when this returns; a key that was put before changes nothing.

        Errors: `StoreUnavailableError`; `OutboxFullError` when a channel's queue is full; `ValueError` for what can
        never be sent (an empty channel, a file over the limit).
        """
        raise NotImplementedError

    async def ts_of(self, key: str) -> str | None:
        """The ts of the post with this key; None while it is not sent, or forgotten."""
        raise NotImplementedError

    async def run(self) -> None:
        """Send until cancelled. Several processes may run at once: each channel is served by one of them."""
        raise NotImplementedError

    async def drained(self, timeout_s: float) -> bool:
        """Wait until nothing waits to be sent, at most `timeout_s`; whether that was reached. For shutdown, while
        `run` still runs; what is left waits in the store for the next start.
        """
        raise NotImplementedError

    async def state(self) -> QueueState:
        """How much waits, and since when."""
        raise NotImplementedError
