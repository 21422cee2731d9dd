"""Who and what the ids in messages stand for, as the person at the page sees them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Final

UNKNOWN: Final = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """Names by id. ``viewer`` is the user who looks; ``zone`` is where the clock on the wall hangs."""

    users: Mapping[str, str] = field(default_factory=dict[str, str])
    channels: Mapping[str, str] = field(default_factory=dict[str, str])
    groups: Mapping[str, str] = field(default_factory=dict[str, str])
    members: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    """The users of each group."""
    viewer: str = ""
    zone: tzinfo | None = None
    """None: the machine's own."""

    def user(self, user_id: str) -> str:
        """A user's name without ``@``."""
        return self.users.get(user_id, UNKNOWN)

    def channel(self, channel_id: str) -> str:
        """A channel's name without ``#``."""
        return self.channels.get(channel_id, UNKNOWN)

    def group(self, group_id: str) -> str:
        """A user group's handle without ``@``."""
        return self.groups.get(group_id, UNKNOWN)

    def is_me(self, mentioned: str) -> bool:
        """Does a mention of this user, group or everybody (``channel``, ``here``) mean the viewer?"""
        if mentioned in {"here", "channel", "everyone"}:
            return True
        return mentioned == self.viewer or self.viewer in self.members.get(mentioned, frozenset())

    def at(self, seconds: float) -> datetime:
        """A moment in the viewer's zone; the epoch when no clock can show it."""
        try:
            return datetime.fromtimestamp(seconds, UTC).astimezone(self.zone)
        except (OverflowError, OSError, ValueError):
            return datetime.fromtimestamp(0, UTC)
