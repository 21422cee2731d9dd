"""The inbox: what came from Slack, kept until it has been handled.

At least once: an entry leaves only after its handler returned. Handlers therefore do nothing that may not be done twice
for one `Entry.id`.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["command", "event", "action", "view_submission", "view_closed", "shortcut"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One accepted request."""

    id: str
    """The same each time it is handled: what a handler derives its keys from."""
    kind: Kind
    body: Mapping[str, Any]
    received_at: float
    """Unix time."""
    attempt: int
    """From 1."""


Handle = Callable[[Entry], Awaitable[None]]
OnDead = Callable[[Entry, str], Awaitable[None]]
"""Told of an entry that was given up, with a sentence that says why."""


class Inbox:
    """What came in and is not yet handled."""

    async def accept(self, dedup_id: str, kind: Kind, body: Mapping[str, Any]) -> bool:
        """Keep the request. True: it is new; False: it was accepted within the last 24 hours.

        When this returns, the entry is durable and may be acknowledged. Errors: `StoreUnavailableError`: do not
        acknowledge.
        """
        raise NotImplementedError

    async def work(self, handle: Handle, *, concurrency: int = 16, on_dead: OnDead | None = None) -> None:
        """Hand each entry to `handle` until cancelled; survives the store's absence."""
        raise NotImplementedError
