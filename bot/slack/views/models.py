"""What the views of the bot's own state are made from."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bot.domain.authorization import Action, Decision
from bot.domain.checks import Check
from bot.domain.incident import Incident, Watch


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusModel:
    """How the bot itself is doing."""

    version: str
    checks: tuple[Check, ...] = ()
    """Clusters, Slack, the store: what works, and what to do about what does not."""
    connections: str = ""
    """How Slack reaches us: "2 of 2 connections"."""
    running: int = 0
    """Diagnoses under way."""
    waiting: int = 0
    """Diagnoses that wait for their turn."""
    unsent: int = 0
    """Messages that wait in the outbox."""
    open_incidents: int = 0
    watches: tuple[Watch, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A proposed change that waits for this person's word."""

    title: str
    cluster: str
    permalink: str
    """The message with the proposal, where it is decided."""
    expires_at: float
    """Unix time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeModel:
    """What one person's Home shows."""

    user_id: str
    status: StatusModel
    incidents: tuple[Incident, ...] = ()
    """Open ones that the person may read, newest first."""
    permalinks: Mapping[str, str] = field(default_factory=dict[str, str])
    """Of the incidents' threads, by the incident's id."""
    approvals: tuple[Approval, ...] = ()
    actions: tuple[Action, ...] = ()
    """What the person may do."""
    refusal: Decision | None = None
    """Why the person may not even read; then nothing else is shown."""
    now: float = 0.0
    """Unix time."""
