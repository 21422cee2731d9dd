"""The store: everything that outlives the process, in Redis. The only importer of the Redis client."""

from bot.store.errors import NoServerError, StoreInUseError, StoreUnavailableError
from bot.store.inbox import Entry, Inbox, Kind
from bot.store.incidents import Incidents
from bot.store.opening import Store, open_store
from bot.store.people import Feedback, Watches

__all__ = [
    "Entry", "Feedback", "Inbox", "Incidents", "Kind", "NoServerError", "Store", "StoreInUseError",
    "StoreUnavailableError", "Watches", "open_store",
]  # fmt: skip
