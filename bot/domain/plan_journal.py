"""What an executor wrote down before and after each thing it did, and what was said of a plan for the audit."""

from typing import Literal

from msgspec import Struct

from bot.domain.plan import Way

Event = Literal[
    "begun",  # the next thing is the write: from here on it may have happened
    "written",  # it happened, as the API server answered or as was observed
    "verified",  # and what it was to bring about holds
    "refused",  # it did not happen, and will not
    "failed",  # it happened, and did not bring about what it should
    "lost",  # what became of it is not known, or the object is neither as before nor as after
    "turned",  # from here on the way back
]


class JournalEntry(Struct, frozen=True, kw_only=True):
    """One line of a plan's journal."""

    at: float
    """Unix time."""
    fence: int
    """The lease's number: later holders have higher ones."""
    step: int
    way: Way
    event: Event
    note: str = ""


class AuditEntry(Struct, frozen=True, kw_only=True):
    """One line of the audit. Each holds the hash of the one before, so that none can be altered or taken out unseen."""

    number: int
    """From 1, without gaps."""
    at: float
    event: str
    """ "proposed", "approved", "step", "verified", …"""
    plan: str
    cluster: str = ""
    incident: str = ""
    who: str = ""
    digest: str = ""
    """Of the plan, as it was shown."""
    detail: str = ""
    previous: str
    """The hash of the entry before; "" for the first."""
    hash: str = ""
    """SHA-256 over all other fields."""
