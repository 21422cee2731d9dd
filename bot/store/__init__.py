"""The store: everything that outlives the process, in Redis. The only importer of the Redis client."""

from bot.store.errors import NoServerError, StoreInUseError, StoreUnavailableError, UnknownIncidentError
from bot.store.inbox.entry import DeadEntry, Entry, Handle, Kind, OnDead
from bot.store.inbox.inbox import Inbox, InboxCounts
from bot.store.incidents import Incidents
from bot.store.people import Feedback, Watches
from bot.store.plans import UnknownPlanError
from bot.store.server.opening import Store, open_store

__all__ = [
    "DeadEntry", "Entry", "Feedback", "Handle", "Inbox", "InboxCounts", "Incidents", "Kind", "NoServerError", "OnDead",
    "Store", "StoreInUseError", "StoreUnavailableError", "UnknownIncidentError", "UnknownPlanError", "Watches",
    "open_store",
]  # fmt: skip
