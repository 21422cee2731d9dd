"""Incidents: what people asked to have diagnosed and where the answers go; watches; feedback on verdicts."""

from dataclasses import dataclass
from typing import Literal

IncidentStatus = Literal["diagnosing", "healthy", "degraded", "broken", "inconclusive", "failed", "closed"]
"""Where it stands: a diagnosis runs, its verdict, none could be had (failed), or nobody asks any more (closed)."""

Purpose = Literal["ask", "verify", "reopen"]
"""Why a run is made: somebody or something asks, all alerts have ended, or the incident had been closed."""

Phase = Literal["open", "diagnosing", "diagnosed", "remediating", "verifying", "resolved", "reopened"]
"""The stage of its life. `reopened`: it was closed, and is being diagnosed again."""

SCHEDULE = "schedule"
"""`Incident.opened_by` when nobody asked: a watch did."""
ALERT = "alert"
"""`Incident.opened_by` when nobody asked: an alert fired."""
PLAN = "plan"
"""`Incident.asked_by` of the run that looks at what a plan has left."""
ALL_NODES = "*"
"""`Incident.node` of a sweep of the whole cluster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """One incident, one thread: all diagnoses of one scope that were asked for in one channel."""

    id: str
    """ "inc-" and eight hexadecimal digits."""
    cluster: str
    namespace: str
    pod: str | None = None
    node: str | None = None
    """The node that it is about, or `ALL_NODES`; the namespace then only begins the look."""
    channel: str
    thread: str | None = None
    """The ts of the thread it was opened in; None when its first post starts the thread."""
    playbook: str = ""
    """By which it is diagnosed; "" for the usual one."""
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
    headline: str = ""
    """Place, fact, effect of the newest verdict."""
    place: str = ""
    """Where the cause stands: with cluster and cause it tells one fault from another."""
    was: str = ""
    """The headline of the last verdict that found something, also when it is healthy by now."""
    found_run: int = 0
    """The run of that verdict."""
    pods: int = 0
    """How many are affected."""
    namespaces: int = 0
    """In how many namespaces they are, the one asked about included."""
    took_s: float = 0.0
    """Of the newest run."""
    asked_by: str = ""
    """Who asked for the newest run."""
    run: int = 0
    """How many diagnoses have been begun; 0 before the first."""
    run_for: Purpose = "ask"
    """Of the newest run."""
    assignee: str = ""
    """The id of the user who takes care of it; "" for nobody."""
    updated_at: float
    """Unix time."""

    @property
    def fault(self) -> tuple[str, str, str] | None:
        """What it is about: cluster, cause and place; None while no cause is known, and once it is closed."""
        return (self.cluster, self.cause, self.place) if self.cause and self.place and self.is_open else None

    @property
    def is_open(self) -> bool:
        """Whether it still takes up who asks about its scope."""
        return self.status != "closed"


EventKind = Literal[
    "opened", "run", "verdict", "failed", "closed", "note", "assigned", "alert-fired", "alert-ended", "plan-proposed",
    "plan-approved", "plan-begun", "plan-ended",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEvent:
    """Something that happened in an incident."""

    at: float
    """Unix time."""
    kind: EventKind
    text: str = ""
    """What, beyond its kind: a verdict's sentence, an alert's name, a note."""
    by: str = ""
    """Who: a user's id, `SCHEDULE`, `ALERT`; "" for cnibot itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """A namespace that is diagnosed regularly; `channel` is notified when its verdict changes."""

    cluster: str
    namespace: str
    channel: str
    by: str
    """The id of the user who asked for it."""
    since: float
    """Unix time."""
    wrong_answers: tuple[str, ...] = ()
    """The Services that are reached and answered an application's question wrongly, as far as the channel knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackEntry:
    """What a person said about the verdict of one run."""

    incident: str
    run: int
    user: str
    text: str
    at: float
    """Unix time."""
