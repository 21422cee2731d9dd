"""Handles that an interaction gives to an app for a while: trigger ids and response URLs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from bot.lab.slack.errors import SlackError
from bot.lab.slack.ids import Ids

_KEPT = 10_000
"""Older handles are forgotten; by then they have long expired."""


@dataclass(kw_only=True, slots=True)
class Trigger:
    """Permission to open one view for `user`, for a few seconds."""

    app_id: str
    user: str
    view_id: str
    expires_at: float
    is_used: bool = False


@dataclass(kw_only=True, slots=True)
class ResponseUrl:
    """Where an app may answer an interaction; `message_ts` is what `replace_original` replaces ('' for commands)."""

    app_id: str
    user: str
    channel: str
    thread_ts: str
    message_ts: str
    is_ephemeral: bool
    expires_at: float
    uses_left: int


@dataclass(kw_only=True)
class Handles:
    """All that were given out."""

    ids: Ids
    clock: Callable[[], float]
    trigger_ttl_s: float
    triggers: dict[str, Trigger] = field(default_factory=dict[str, Trigger])
    response_urls: dict[str, ResponseUrl] = field(default_factory=dict[str, ResponseUrl])

    def new_trigger(self, app_id: str, user: str, view_id: str = "") -> str:
        """`view_id` is the modal that the person is in, onto which a view may be pushed."""
        trigger_id = self.ids.trigger("1000000000000")
        expires_at = self.clock() + self.trigger_ttl_s
        self.triggers[trigger_id] = Trigger(app_id=app_id, user=user, view_id=view_id, expires_at=expires_at)
        _forget(self.triggers)
        return trigger_id

    def use_trigger(self, trigger_id: str, app_id: str) -> Trigger:
        """Raises what Slack answers to a foreign, used or late one."""
        trigger = self.triggers.get(trigger_id)
        if trigger is None:
            raise SlackError("invalid_trigger_id" if trigger_id.count(".") == 2 else "invalid_trigger")
        if trigger.app_id != app_id:
            raise SlackError("invalid_trigger_id")
        if trigger.is_used:
            raise SlackError("exchanged_trigger_id")
        if self.clock() > trigger.expires_at:
            raise SlackError("expired_trigger_id")
        trigger.is_used = True
        return trigger

    def new_response_url(self, handle: ResponseUrl) -> str:
        """The path of the URL."""
        kind = "actions" if handle.message_ts else "commands"
        path = f"/{kind}/T0LAB/{self.ids.number()}/{self.ids.secret()}"
        self.response_urls[path] = handle
        _forget(self.response_urls)
        return path

    def use_response_url(self, path: str) -> ResponseUrl:
        """Raises `used_url` after its last use, `expired_url` when late or unknown."""
        handle = self.response_urls.get(path)
        if handle is None or self.clock() > handle.expires_at:
            raise SlackError("expired_url")
        if handle.uses_left <= 0:
            raise SlackError("used_url")
        handle.uses_left -= 1
        return handle


def _forget(handles: dict[str, Trigger] | dict[str, ResponseUrl]) -> None:
    while len(handles) > _KEPT:
        del handles[next(iter(handles))]
