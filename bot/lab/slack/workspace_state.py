"""The workspace's state, and the few ways to change it. Every change wakes those who wait, and tells the apps."""

from __future__ import annotations

import time
from collections.abc import Callable

from bot.lab.slack.changes import Changes
from bot.lab.slack.errors import SlackError, UserClientError
from bot.lab.slack.ids import TEAM, Ids
from bot.lab.slack.inputs import INTERACTIVE
from bot.lab.slack.message import Ephemeral, File, Message, Revision
from bot.lab.slack.model import App, Channel, Group, Team, User, View
from bot.lab.slack.options import SlackOptions
from bot.lab.slack.richtext import mentioned
from bot.lab.types import Json


def _nobody_listens(_event: Json, _channel: Channel | None) -> None:
    """Until the workspace connects the apps."""


class WorkspaceState:
    """Users, channels, messages, views and files. No I/O: `on_event` is called with what apps may subscribe to."""

    def __init__(self, options: SlackOptions, clock: Callable[[], float] = time.time) -> None:
        self.options = options
        self.clock = clock
        self.ids = Ids(clock)
        self.changes = Changes()
        self.on_event: Callable[[Json, Channel | None], None] = _nobody_listens
        self.base_url = ""
        self.teams: dict[str, Team] = {}
        self.users: dict[str, User] = {}
        self.groups: dict[str, Group] = {}
        self.channels: dict[str, Channel] = {}
        self.apps: dict[str, App] = {}
        self.files: dict[str, File] = {}
        self.ephemerals: list[Ephemeral] = []
        self.views: dict[str, View] = {}
        self.stacks: dict[str, list[View]] = {}
        self.homes: dict[tuple[str, str], View] = {}
        self.webhooks: dict[str, str] = {}
        self.thread_status: dict[tuple[str, str], str] = {}

    # --- looking things up

    def channel(self, ref: str) -> Channel:
        """By id, or by name with or without `#`. Raises `UserClientError`."""
        name = ref.removeprefix("#")
        for channel in self.channels.values():
            if channel.id == ref or channel.name == name:
                return channel
        raise UserClientError(f"there is no channel {ref}")

    def user(self, ref: str) -> User:
        """By id or name. Raises `UserClientError`."""
        for user in self.users.values():
            if ref.removeprefix("@") in {user.id, user.name}:
                return user
        raise UserClientError(f"there is nobody called {ref}")

    def names(self) -> dict[str, str]:
        """The names of users and channels by id."""
        users = {user.id: user.name for user in self.users.values()}
        return users | {channel.id: channel.name for channel in self.channels.values()}

    def bot_app(self) -> App:
        """The app under test."""
        return self.apps["A0CNIBOT"]

    @property
    def bot_app_team(self) -> str:
        """The team that installed the app under test."""
        return self.users[self.bot_app().bot_user].team_id

    def message(self, channel: Channel, ts: str) -> Message:
        """Raises `SlackError("message_not_found")`."""
        message = channel.messages.get(ts)
        if message is None:
            raise SlackError("message_not_found")
        return message

    # --- changing messages

    def post(self, channel: Channel, message: Message) -> Message:
        """Put a message into the channel; fills its ts and block ids."""
        message.channel, message.ts = channel.id, message.ts or self.ids.ts()
        self.fill_block_ids(message.blocks)
        channel.messages[message.ts] = message
        if message.thread_ts:
            self._count_reply(channel, message)
            if message.app_id:
                self.thread_status.pop((channel.id, message.thread_ts), None)
        self.changes.note("message", channel=channel.id, ts=message.ts, user=message.user)
        self.on_event(self._message_event(channel, message), channel)
        self._mentions(channel, message)
        return message

    def edit(self, channel: Channel, message: Message, editor: str, new: Json) -> None:
        """Replace the fields of `new` (text, blocks, attachments, metadata); apps hear `message_changed`."""
        previous = message.as_json()
        message.revisions.append(Revision(text=message.text, blocks=message.blocks, until=self.clock()))
        for name, value in new.items():
            setattr(message, name, value)
        self.fill_block_ids(message.blocks)
        message.edited = {"user": editor, "ts": self.ids.ts()}
        self.changed(channel, message, previous)

    def changed(self, channel: Channel, message: Message, previous: Json) -> None:
        """Tell everyone that a message is no longer as it was."""
        self.changes.note("message_changed", channel=channel.id, ts=message.ts)
        self.on_event(
            self._hidden_event(channel, "message_changed", message=message.as_json(), previous_message=previous),
            channel,
        )

    def delete(self, channel: Channel, message: Message) -> None:
        """Remove a message; apps hear `message_deleted`. Of the root of a thread a tombstone stays."""
        event = self._hidden_event(channel, "message_deleted", previous_message=message.as_json())
        if len(channel.thread(message.ts)) > 1:
            message.text, message.subtype, message.user = "This message was deleted.", "tombstone", "USLACKBOT"
            message.blocks, message.attachments, message.files, message.metadata = [], [], [], None
            message.bot_id, message.app_id, message.bot_profile = "", "", None
        else:
            del channel.messages[message.ts]
            channel.deleted.append(message.ts)
        self.changes.note("message_deleted", channel=channel.id, ts=message.ts)
        self.on_event({**event, "deleted_ts": message.ts}, channel)

    def ephemeral(self, ephemeral: Ephemeral) -> Ephemeral:
        """Show a message to one person."""
        ephemeral.ts = self.ids.ts()
        self.fill_block_ids(ephemeral.blocks)
        self.ephemerals.append(ephemeral)
        self.changes.note("ephemeral", channel=ephemeral.channel, ts=ephemeral.ts, user=ephemeral.user)
        return ephemeral

    def react(self, channel: Channel, message: Message, name: str, user: str, *, add: bool) -> None:
        """Add or remove a reaction. Raises `already_reacted` or `no_reaction`."""
        users = message.reactions.get(name, [])
        if add == (user in users):
            raise SlackError("already_reacted" if add else "no_reaction")
        if add:
            message.reactions[name] = [*users, user]
        else:
            users.remove(user)
            if not users:
                del message.reactions[name]
        self.changes.note("reaction", channel=channel.id, ts=message.ts, user=user, detail=name)
        kind = "reaction_added" if add else "reaction_removed"
        item = {"type": "message", "channel": channel.id, "ts": message.ts}
        event = {"type": kind, "user": user, "reaction": name, "item_user": message.user, "item": item}
        self.on_event({**event, "event_ts": self.ids.ts()}, channel)

    def fill_block_ids(self, blocks: list[Json]) -> None:
        """Fill block_ids, and the action_ids of what can be pressed, as Slack does where an app gave none."""
        for block in blocks:
            if not block.get("block_id"):
                block["block_id"] = self.ids.block()
            self.fill_block_ids(block.get("child_blocks") or [])
            candidates: list[Json] = [*(block.get("elements") or []), block.get("accessory") or {}]
            for element in [*candidates, block.get("element") or {}]:
                if element.get("type") in INTERACTIVE and not element.get("action_id"):
                    element["action_id"] = self.ids.block()

    # --- membership

    def join(self, channel: Channel, user: str) -> None:
        """Add a member; apps there hear of it."""
        if user in channel.members:
            return
        channel.members.append(user)
        self.changes.note("member", channel=channel.id, user=user)
        event = {"type": "member_joined_channel", "user": user, "channel": channel.id, "team": TEAM}
        self.on_event({**event, "channel_type": "C", "event_ts": self.ids.ts()}, channel)

    def leave(self, channel: Channel, user: str) -> None:
        """Remove a member."""
        if user in channel.members:
            channel.members.remove(user)
            self.changes.note("member", channel=channel.id, user=user)

    # --- events

    def _count_reply(self, channel: Channel, reply: Message) -> None:
        root = channel.messages[reply.thread_ts]
        replies = [one for one in channel.messages.values() if one.thread_ts == root.ts and one.ts != root.ts]
        users = list(dict.fromkeys(one.user for one in replies if one.user))
        root.thread_ts = root.ts
        root.more |= {
            "reply_count": len(replies),
            "reply_users_count": len(users),
            "reply_users": users[:5],
            "latest_reply": reply.ts,
            "is_locked": False,
            "subscribed": False,
        }
        reply.more["parent_user_id"] = root.user

    def _message_event(self, channel: Channel, message: Message) -> Json:
        place = {"channel": channel.id, "event_ts": message.ts, "channel_type": channel.type}
        return {**message.as_json(), **place}

    def _hidden_event(self, channel: Channel, subtype: str, **more: Json) -> Json:
        ts = self.ids.ts()
        head = {"type": "message", "subtype": subtype, "hidden": True, "channel": channel.id, "ts": ts}
        return {**head, "event_ts": ts, "channel_type": channel.type, **more}

    def _mentions(self, channel: Channel, message: Message) -> None:
        """`app_mention`, beside the message event and with an event id of its own."""
        for app in self.apps.values():
            if message.app_id == app.id or app.bot_user not in mentioned(message.text):
                continue
            event = {**self._message_event(channel, message), "type": "app_mention", "_only_app": app.id}
            self.on_event({name: value for name, value in event.items() if name != "channel_type"}, channel)
