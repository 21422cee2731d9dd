"""Telling apps: events until they acknowledge (or four attempts), interactions once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from bot.lab.slack.background import Background
from bot.lab.slack.faults import Faults
from bot.lab.slack.model import App, Channel
from bot.lab.slack.subscriptions import wants
from bot.lab.slack.workspace_state import WorkspaceState
from bot.lab.types import Json

_KEPT = 10_000
Kind = Literal["events_api", "slash_commands", "interactive"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """What came of one delivery. `error` is '' when it was acknowledged; `reply` is what the app said with it."""

    error: str = ""
    reply: Json | None = None
    took_s: float = 0.0
    no_retry: bool = False

    @property
    def ok(self) -> bool:
        """Whether the app acknowledged."""
        return not self.error


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """One attempt to tell an app something. `retry_attempt` is 0 at first."""

    kind: Kind
    payload: Json
    accepts_reply: bool
    retry_attempt: int = 0
    retry_reason: str = ""


class Transport(Protocol):
    """Socket Mode or HTTP."""

    async def send(self, app: App, envelope: Envelope) -> Ack:
        """One attempt; never raises for what the app does."""
        ...


@dataclass(kw_only=True, slots=True)
class EventLog:
    """One event's way to one app."""

    event_id: str
    number: int
    type: str
    app_id: str
    at: float
    attempts: list[Ack] = field(default_factory=list[Ack])
    is_acked: bool = False
    is_given_up: bool = False


@dataclass(kw_only=True)
class Deliveries:
    """Delivers, and keeps a log of events."""

    state: WorkspaceState
    faults: Faults
    background: Background
    transports: Mapping[str, Transport]
    log: deque[EventLog] = field(default_factory=lambda: deque[EventLog](maxlen=_KEPT))
    _count: int = 0

    def publish(self, event: Json, channel: Channel | None) -> None:
        """An event to every app that subscribes to it."""
        for app in self.state.apps.values():
            if app.mode != "none" and wants(app, event, channel):
                self._event(app, {name: value for name, value in event.items() if name != "_only_app"}, channel)

    async def interaction(self, app: App, kind: Kind, payload: Json) -> Ack:
        """A click, command or submission: delivered once, never again."""
        accepts = kind == "slash_commands" or payload.get("type") in {"view_submission", "block_suggestion"}
        return await self._send(app, Envelope(kind=kind, payload=payload, accepts_reply=accepts))

    async def _send(self, app: App, envelope: Envelope) -> Ack:
        if self.faults.is_down:
            return Ack(error="slack_down")
        return await self.transports[app.mode].send(app, envelope)

    def _event(self, app: App, event: Json, channel: Channel | None) -> None:
        body = self._wrap(app, event, channel)
        self._count += 1
        log = EventLog(
            event_id=body["event_id"], number=self._count, type=event["type"], app_id=app.id, at=self.state.clock()
        )
        self.log.append(log)
        self.background.spawn(self._deliver(app, body, log), f"event {log.event_id}")

    def _wrap(self, app: App, event: Json, channel: Channel | None) -> Json:
        team_id = self.state.users[app.bot_user].team_id
        authorization = {
            "enterprise_id": None,
            "team_id": team_id,
            "user_id": app.bot_user,
            "is_bot": True,
            "is_enterprise_install": False,
        }
        return {
            "token": app.verification_token,
            "team_id": team_id,
            "context_team_id": team_id,
            "context_enterprise_id": None,
            "api_app_id": app.id,
            "event": event,
            "type": "event_callback",
            "event_id": self.state.ids.fresh("Ev0", 9),
            "event_time": int(self.state.clock()),
            "authorizations": [authorization],
            "is_ext_shared_channel": bool(channel and channel.is_ext_shared),
            "event_context": f"4-{self.state.ids.secret(40)}",
        }

    async def _deliver(self, app: App, body: Json, log: EventLog) -> None:
        faults, number = self.faults, log.number
        if faults.reorder_every and number % faults.reorder_every == 0:
            await self._after_the_next(number)
        if faults.duplicate_every and number % faults.duplicate_every == 0:
            await self._attempt(app, body, log, 0, "")
        await self._until_acked(app, body, log)
        if faults.redeliver_every and number % faults.redeliver_every == 0:
            await self._attempt(app, body, log, 1, "timeout")

    async def _after_the_next(self, number: int) -> None:
        """Wait until a later event has arrived, but not for ever."""
        try:
            await self.state.changes.until(lambda: any(log.attempts for log in self.log if log.number > number), 0.5)
        except TimeoutError:
            return

    async def _until_acked(self, app: App, body: Json, log: EventLog) -> None:
        reason = ""
        for attempt, wait_s in enumerate((0.0, *self.state.options.retry_delays_s)):
            await asyncio.sleep(wait_s)
            ack = await self._attempt(app, body, log, attempt, reason)
            if ack.ok or ack.no_retry:
                break
            reason = ack.error
        log.is_given_up = not log.is_acked
        self.state.changes.note("delivery", detail=log.event_id)

    async def _attempt(self, app: App, body: Json, log: EventLog, attempt: int, reason: str) -> Ack:
        envelope = Envelope(
            kind="events_api", payload=body, accepts_reply=False, retry_attempt=attempt, retry_reason=reason
        )
        ack = await self._send(app, envelope)
        log.attempts.append(ack)
        log.is_acked = log.is_acked or ack.ok
        self.state.changes.note("delivery", detail=log.event_id)
        return ack
