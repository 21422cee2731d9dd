"""What an administrator of the workspace can change while it runs."""

from __future__ import annotations

from collections.abc import Sequence

from bot.lab.slack import fixtures
from bot.lab.slack.errors import UserClientError
from bot.lab.slack.model import Channel, Group
from bot.lab.slack.workspace_state import WorkspaceState


class Admin:
    """`SlackWorkspace.admin`: people, groups and channels, by id or name."""

    def __init__(self, state: WorkspaceState) -> None:
        self._state = state

    def create_channel(
        self, name: str, *, members: Sequence[str] = ("alice", "bob", "cni"), is_private: bool = False
    ) -> Channel:
        """A new channel with these members."""
        name = name.removeprefix("#")
        if any(channel.name == name for channel in self._state.channels.values()):
            raise UserClientError(f"#{name} exists already")
        users = [self._state.user(member).id for member in members]
        channel = Channel(id=self._state.ids.fresh("C0", 9), name=name, members=users, is_private=is_private)
        self._state.channels[channel.id] = channel
        self._state.changes.note("channel", channel=channel.id)
        return channel

    def archive(self, channel: str, *, is_archived: bool = True) -> None:
        """Archive a channel, or take that back."""
        found = self._state.channel(channel)
        found.is_archived = is_archived
        kind = "channel_archive" if is_archived else "channel_unarchive"
        self._publish(found, {"type": kind, "channel": found.id, "user": "U0BOB"})

    def share(self, channel: str, *, is_ext_shared: bool = True, is_pending: bool = False) -> None:
        """Share a channel with the other organisation (Slack Connect), or end that."""
        found = self._state.channel(channel)
        found.is_ext_shared, found.is_pending_ext_shared = is_ext_shared and not is_pending, is_pending
        found.shared_team_ids = [fixtures.TEAM, fixtures.OTHER_TEAM] if found.is_ext_shared else [fixtures.TEAM]
        if not found.is_ext_shared:
            strangers = [one for one in found.members if self._state.users[one].team_id != fixtures.TEAM]
            for one in strangers:
                self._state.leave(found, one)
        kind = "channel_shared" if is_ext_shared else "channel_unshared"
        self._publish(found, {"type": kind, "connected_team_id": fixtures.OTHER_TEAM, "channel": found.id})

    def deactivate(self, user: str, *, is_deleted: bool = True) -> None:
        """Deactivate somebody. Slack leaves them in channels and groups for a while, and so do we."""
        found = self._state.user(user)
        found.deleted = is_deleted
        self._state.changes.note("user", user=found.id)
        event = {"type": "user_change", "user": {"id": found.id, "deleted": is_deleted}}
        self._state.on_event({**event, "event_ts": self._state.ids.ts()}, None)

    def set_group(self, handle: str, users: Sequence[str], *, is_disabled: bool = False) -> Group:
        """Who is in a user group; makes the group if there is none of that handle."""
        handle = handle.removeprefix("@")
        members = [self._state.user(user).id for user in users]
        found = next((group for group in self._state.groups.values() if group.handle == handle), None)
        before = list(found.users) if found else []
        if found is None:
            found = Group(id=self._state.ids.fresh("S0", 9), handle=handle, name=handle, users=members)
            self._state.groups[found.id] = found
        found.users, found.is_disabled = members, is_disabled
        self._state.changes.note("user", detail=found.id)
        event = {
            "type": "subteam_members_changed",
            "subteam_id": found.id,
            "team_id": fixtures.TEAM,
            "added_users": [user for user in members if user not in before],
            "removed_users": [user for user in before if user not in members],
        }
        self._state.on_event({**event, "event_ts": self._state.ids.ts()}, None)
        return found

    def _publish(self, channel: Channel, event: dict[str, object]) -> None:
        self._state.changes.note("channel", channel=channel.id)
        self._state.on_event({**event, "event_ts": self._state.ids.ts()}, channel)
