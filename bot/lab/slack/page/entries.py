"""Which messages a person sees in a channel or a thread, and how each stands to the one before it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from typing import Final

from bot.lab.slack.message import Ephemeral, Message
from bot.lab.slack.model import Channel
from bot.lab.slack.page.directory import Directory
from bot.lab.slack.page.people import author
from bot.lab.slack.workspace_state import WorkspaceState

_TOGETHER_S: Final = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A message to draw, for one person."""

    viewer: str
    message: Message | Ephemeral
    begins_day: bool
    is_compact: bool
    """Follows closely on a message of the same author: no face, no name."""
    replies: int

    @property
    def signature(self) -> str:
        """Changes whenever what is drawn would."""
        said = _said(self.message)
        return json.dumps([self.viewer, self.begins_day, self.is_compact, self.replies, said], default=str)

    @property
    def key(self) -> str:
        """Unique in the workspace."""
        return self.message.ts

    @property
    def latest_reply(self) -> str:
        """The ts of the newest reply; empty without replies."""
        return "" if isinstance(self.message, Ephemeral) else str(self.message.more.get("latest_reply") or "")


def channel_entries(state: WorkspaceState, channel: Channel, directory: Directory) -> list[Entry]:
    """The channel itself: roots, replies that were sent to the channel too, and what only the viewer sees."""
    seen = [one for one in channel.messages.values() if not _is_reply(one) or one.is_broadcast]
    return _entries(state, [*seen, *_ephemerals(state, channel, directory.viewer, "")], directory, in_thread=False)


def thread_entries(state: WorkspaceState, channel: Channel, root: str, directory: Directory) -> list[Entry]:
    """A thread: its root first."""
    return _entries(
        state, [*channel.thread(root), *_ephemerals(state, channel, directory.viewer, root)], directory, in_thread=True
    )


def _is_reply(message: Message) -> bool:
    return bool(message.thread_ts) and message.thread_ts != message.ts


def _ephemerals(state: WorkspaceState, channel: Channel, viewer: str, thread: str) -> list[Ephemeral]:
    return [one for one in state.ephemerals if (one.channel, one.user, one.thread_ts) == (channel.id, viewer, thread)]


def _entries(
    state: WorkspaceState, messages: list[Message | Ephemeral], directory: Directory, *, in_thread: bool
) -> list[Entry]:
    entries: list[Entry] = []
    ordered = sorted(messages, key=lambda one: one.ts)
    for before, message in zip([None, *ordered], ordered, strict=False):
        day = _day(message, directory)
        begins_day = before is None or _day(before, directory) != day
        entry = Entry(
            viewer=directory.viewer,
            message=message,
            begins_day=begins_day and not in_thread,
            is_compact=not begins_day and before is not None and _together(state, before, message),
            replies=0 if in_thread or isinstance(message, Ephemeral) else int(message.more.get("reply_count") or 0),
        )
        entries.append(entry)
    return entries


def _said(message: Message | Ephemeral) -> object:
    return message.as_json() if isinstance(message, Message) else [message.text, message.blocks, message.attachments]


def _day(message: Message | Ephemeral, directory: Directory) -> date:
    return directory.at(float(message.ts)).date()


def _together(state: WorkspaceState, before: Message | Ephemeral, message: Message | Ephemeral) -> bool:
    if isinstance(before, Ephemeral) or isinstance(message, Ephemeral):
        return False
    if author(before, state) != author(message, state) or before.more.get("reply_count"):
        return False
    return float(message.ts) - float(before.ts) < _TOGETHER_S
