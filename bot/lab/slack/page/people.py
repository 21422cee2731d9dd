"""Faces and names beside messages."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from bot.lab.slack.message import Ephemeral, Message
from bot.lab.slack.model import User
from bot.lab.slack.page.directory import Directory
from bot.lab.slack.workspace_state import WorkspaceState

_TEAM = "T0LAB"


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """Who said it. ``badge``: APP, Guest, External, or nothing."""

    id: str
    name: str
    colour: str
    badge: str = ""

    @property
    def face(self) -> Markup:
        """A square with the first letter: no pictures are fetched."""
        return Markup('<span class="face" style="--face:#{}" aria-hidden="true">{}</span>').format(
            self.colour, (self.name[:1] or "?").upper()
        )


_BOTS = {"A0CNIBOT": "0f766e", "A0ALERTMANAGER": "c2410c"}
"""The colours of the two apps."""


def person(user: User) -> Author:
    """A user as author."""
    badge = "APP" if user.is_bot else role(user)
    return Author(id=user.id, name=user.name, colour=_BOTS.get(user.app_id) or _safe(user.color), badge=badge)


def role(user: User) -> str:
    """Why this person may do less than others; empty for members."""
    if user.team_id != _TEAM:
        return "External"
    return "Guest" if user.is_restricted or user.is_ultra_restricted else ""


def author(message: Message | Ephemeral, state: WorkspaceState) -> Author:
    """Who a message shows as its sender."""
    if isinstance(message, Ephemeral):
        app = state.apps.get(message.app_id)
        if message.source == "slack" or app is None:
            return Author(id="USLACKBOT", name="Slackbot", colour="64748b")
        return person(state.users[app.bot_user])
    user = state.users.get(message.user)
    if message.username:
        return Author(id=message.bot_id, name=message.username, colour=_BOTS.get(message.app_id, "64748b"), badge="APP")
    if user is not None:
        return person(user)
    name = str((message.bot_profile or {}).get("name") or "someone")
    return Author(id=message.bot_id, name=name, colour=_BOTS.get(message.app_id, "64748b"), badge="APP")


def directory(state: WorkspaceState, viewer: str) -> Directory:
    """The names of everybody and everything, as this person sees them."""
    return Directory(
        users={user.id: user.name for user in state.users.values()},
        channels={channel.id: channel.name for channel in state.channels.values()},
        groups={group.id: group.handle for group in state.groups.values()},
        members={group.id: frozenset(group.users) for group in state.groups.values()},
        viewer=viewer,
    )


def _safe(colour: str) -> str:
    return colour if len(colour) == 6 and all(one in "0123456789abcdefABCDEF" for one in colour) else "64748b"
