"""What each person has read: unread marks and mentions beside the channels."""

from __future__ import annotations

from dataclasses import dataclass, field

from bot.lab.slack.model import Channel, User
from bot.lab.slack.page.directory import Directory
from bot.lab.slack.workspace_state import WorkspaceState


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """How a channel's line is marked."""

    is_unread: bool = False
    mentions: int = 0


@dataclass(slots=True)
class Reading:
    """The newest ts that each person has seen in each channel. Shared by all windows of the page."""

    seen: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])

    def read(self, user: str, channel: Channel) -> None:
        """The person looks at the channel now."""
        self.seen[user, channel.id] = max(channel.messages, default="")

    def mark(self, channel: Channel, directory: Directory) -> Mark:
        """What came since, from others and in the channel itself; mentions count in threads too."""
        last = self.seen.get((directory.viewer, channel.id), "")
        new = [one for ts, one in channel.messages.items() if ts > last and one.user != directory.viewer]
        roots = [one for one in new if one.thread_ts in {"", one.ts} or one.is_broadcast]
        mentions = sum(f"<@{directory.viewer}>" in one.text for one in new)
        return Mark(is_unread=bool(roots), mentions=mentions)


def channels_of(state: WorkspaceState, user: User) -> list[Channel]:
    """The channels in a person's sidebar."""
    return [
        channel
        for channel in state.channels.values()
        if user.id in channel.members and not channel.is_archived and not channel.is_im
    ]


def people(state: WorkspaceState) -> list[User]:
    """Those as whom one can sit down at the page."""
    return [user for user in state.users.values() if not (user.is_bot or user.deleted or user.id == "USLACKBOT")]
