"""Incidents: what people asked to have diagnosed and where the answers go; watches; feedback on verdicts."""

from dataclasses import dataclass
from typing import Literal

IncidentStatus = Literal["diagnosing", "healthy", "degraded", "broken", "inconclusive", "failed", "closed"]
"""Where it stands: a diagnosis runs, its verdict, none could be had (failed), or nobody asks any more (closed)."""

SCHEDULE = "schedule"
"""`Incident.opened_by` when nobody asked: a watch did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """One incident, one thread: all diagnoses of one scope that were asked for in one channel."""

    id: str
    """ "inc-" and eight hexadecimal digits."""
    cluster: str
    namespace: str
    pod: str | None = None
    channel: str
    thread: str | None = None
    """The ts of the thread it was opened in; None when its first post starts the thread."""
    root_key: str
    """The outbox's key of the thread's first post."""
    opened_at: float
    """Unix time."""
    opened_by: str
    """A user's id, or `SCHEDULE`."""
    status: IncidentStatus = "diagnosing"
    summary: str = ""
    """The verdict's sentence."""
    cause: str | None = None
    """A cause's id."""
    run: int = 0
    """How many diagnoses have been begun; 0 before the first."""
    updated_at: float
    """Unix time."""

    @property
    def is_open(self) -> bool:
        """Whether it still takes up who asks about its scope."""
        return self.status != "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """A namespace that is diagnosed regularly; `channel` hears when its verdict changes."""

    cluster: str
    namespace: str
    channel: str
    by: str
    """The id of the user who asked for it."""
    since: float
    """Unix time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackEntry:
    """What a person said about the verdict of one run."""

    incident: str
    run: int
    user: str
    text: str
    at: float
    """Unix time."""
