"""People, channels and apps of the workspace. Mutable: the workspace is its state."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from bot.lab.slack.message import Message
from bot.lab.types import Json

Mode = Literal["socket", "http", "none"]


@dataclass(kw_only=True, slots=True)
class Team:
    """A workspace; the second one is where external people come from."""

    id: str
    domain: str
    name: str


@dataclass(kw_only=True, slots=True)
class User:
    """A person or a bot user."""

    id: str
    name: str
    real_name: str
    team_id: str
    title: str = ""
    deleted: bool = False
    is_admin: bool = False
    is_bot: bool = False
    is_restricted: bool = False
    is_ultra_restricted: bool = False
    is_invited_user: bool = False
    bot_id: str = ""
    app_id: str = ""
    color: str = "4bbe2e"
    updated: int = 0


@dataclass(kw_only=True, slots=True)
class Group:
    """A user group, `@handle`."""

    id: str
    handle: str
    name: str
    users: list[str]
    is_disabled: bool = False
    created: int = 0


@dataclass(kw_only=True, slots=True)
class Channel:
    """A conversation: a channel, or a direct message (`is_im`). `messages` by ts, replies too, in order."""

    id: str
    name: str
    members: list[str]
    created: int = 0
    creator: str = ""
    topic: str = ""
    purpose: str = ""
    is_private: bool = False
    is_archived: bool = False
    is_im: bool = False
    is_ext_shared: bool = False
    is_pending_ext_shared: bool = False
    is_org_shared: bool = False
    shared_team_ids: list[str] = field(default_factory=list[str])
    messages: dict[str, Message] = field(default_factory=dict[str, Message])
    deleted: list[str] = field(default_factory=list[str])
    """The ts of messages that were deleted and left no tombstone."""

    @property
    def type(self) -> str:
        """As in the `channel_type` of message events."""
        if self.is_im:
            return "im"
        return "group" if self.is_private else "channel"

    @property
    def subscription(self) -> str:
        """The bot event that an app subscribes to for messages here."""
        return {"im": "message.im", "group": "message.groups", "channel": "message.channels"}[self.type]

    def thread(self, ts: str) -> list[Message]:
        """The root and its replies, in order; empty when there is no such message."""
        return [message for message in self.messages.values() if ts in {message.ts, message.thread_ts}]


@dataclass(kw_only=True, slots=True)
class App:
    """An installed app with its bot user, tokens and what its manifest declares."""

    id: str
    name: str
    bot_id: str
    bot_user: str
    bot_token: str
    app_token: str = ""
    signing_secret: str = ""
    verification_token: str = ""
    scopes: frozenset[str] = frozenset()
    app_scopes: frozenset[str] = frozenset({"connections:write"})
    events: frozenset[str] = frozenset()
    commands: frozenset[str] = frozenset()
    shortcuts: frozenset[str] = frozenset()
    mode: Mode = "none"
    request_url: str = ""

    def profile(self, team_id: str) -> Json:
        """The `bot_profile` in messages."""
        return {
            "id": self.bot_id,
            "deleted": False,
            "name": self.name,
            "updated": 0,
            "app_id": self.id,
            "user_id": self.bot_user,
            "icons": {},
            "team_id": team_id,
        }


@dataclass(kw_only=True, slots=True)
class View:
    """A modal or a Home tab as an app published it, and what the person typed into it (`values`)."""

    id: str
    hash: str
    app_id: str
    user: str
    payload: Json
    team_id: str = ""
    bot_id: str = ""
    external_id: str = ""
    root_view_id: str = ""
    previous_view_id: str | None = None
    values: Json = field(default_factory=dict[str, object])

    @property
    def callback_id(self) -> str:
        """The app's name for the view."""
        return str(self.payload.get("callback_id", ""))

    @property
    def title(self) -> str:
        """The title's text."""
        title: Json = self.payload.get("title") or {}
        return str(title.get("text", ""))

    @property
    def blocks(self) -> list[Json]:
        """The blocks that it shows."""
        return self.payload.get("blocks") or []

    @property
    def private_metadata(self) -> str:
        """What the app wanted back."""
        return str(self.payload.get("private_metadata") or "")

    def as_json(self) -> Json:
        """The view as in answers and payloads."""
        kind = self.payload["type"]
        extra = {"submit": self.payload.get("submit")} if kind == "modal" else {}
        return {
            "id": self.id,
            "team_id": self.team_id,
            "type": kind,
            "blocks": self.blocks,
            "private_metadata": self.private_metadata,
            "callback_id": self.callback_id,
            "state": {"values": self.values},
            "hash": self.hash,
            "title": self.payload.get("title") or {"type": "plain_text", "text": "View Title", "emoji": True},
            "clear_on_close": bool(self.payload.get("clear_on_close")),
            "notify_on_close": bool(self.payload.get("notify_on_close")),
            "close": self.payload.get("close"),
            **extra,
            "previous_view_id": self.previous_view_id,
            "root_view_id": self.root_view_id or self.id,
            "app_id": self.app_id,
            "external_id": self.external_id,
            "app_installed_team_id": self.team_id,
            "bot_id": self.bot_id,
        }
