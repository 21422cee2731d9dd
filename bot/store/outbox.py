"""The outbox's queue: what is to be said, kept until Slack has it."""

from dataclasses import dataclass

from bot.store.connection import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueState:
    """What waits, over all channels."""

    waiting: int
    oldest_at: float | None
    """Unix time at which the oldest waiting item was put; None when nothing waits."""
    dead: int


class OutboxQueue:
    """The queue of each channel."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
