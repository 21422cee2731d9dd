"""Opening the store."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from bot.store.inbox import Inbox
from bot.store.incidents import Incidents
from bot.store.people import Feedback, Watches


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """Everything that outlives the process."""

    inbox: Inbox
    incidents: Incidents
    watches: Watches
    feedback: Feedback


def open_store(url: str | None, state_dir: Path) -> AbstractAsyncContextManager[Store]:
    """The store at `url`; None: a redis-server of our own with its data in `state_dir`."""
    raise NotImplementedError
