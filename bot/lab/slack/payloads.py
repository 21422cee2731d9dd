"""Payloads of commands, clicks, submissions and shortcuts, in Slack's shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bot.lab.slack.handles import ResponseUrl
from bot.lab.slack.message import Ephemeral, Message
from bot.lab.slack.model import App, Channel, User, View
from bot.lab.slack.platform import Platform
from bot.lab.types import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Payloads:
    """Payloads of one person's doings, for one app."""

    platform: Platform
    app: App
    user: User

    def slash(self, channel: Channel, command: str, text: str) -> Json:
        """A slash command; all values are strings."""
        team = self.platform.state.teams[self.user.team_id]
        return {
            "token": self.app.verification_token,
            "team_id": team.id,
            "team_domain": team.domain,
            "channel_id": channel.id,
            "channel_name": "directmessage" if channel.is_im else channel.name,
            "user_id": self.user.id,
            "user_name": self.user.name,
            "command": command,
            "text": text,
            "api_app_id": self.app.id,
            "is_enterprise_install": "false",
            "response_url": self._response_url(channel),
            "trigger_id": self.platform.handles.new_trigger(self.app.id, self.user.id),
        }

    def block_action(self, channel: Channel, message: Message | Ephemeral, action: Json) -> Json:
        """A click in a message. Ephemeral messages are not sent along."""
        is_ephemeral = isinstance(message, Ephemeral)
        thread = {"thread_ts": message.thread_ts} if message.thread_ts else {}
        container = {
            "type": "message",
            "message_ts": message.ts,
            "channel_id": channel.id,
            "is_ephemeral": is_ephemeral,
            **thread,
        }
        shown = {} if isinstance(message, Ephemeral) else {"message": message.as_json()}
        return {
            **self._head("block_actions"),
            "container": container,
            "channel": {"id": channel.id, "name": channel.name},
            **shown,
            "state": {"values": {}},
            "response_url": self._response_url(channel, message),
            "actions": [action],
            "trigger_id": self.platform.handles.new_trigger(self.app.id, self.user.id),
        }

    def view_action(self, view: View, action: Json) -> Json:
        """A click in a modal or on the Home tab."""
        in_modal = view.id if view.payload["type"] == "modal" else ""
        return {
            **self._head("block_actions"),
            "container": {"type": "view", "view_id": view.id},
            "view": view.as_json(),
            "actions": [action],
            "trigger_id": self.platform.handles.new_trigger(self.app.id, self.user.id, in_modal),
        }

    def submission(self, view: View) -> Json:
        """The submit button of a modal."""
        return {
            **self._head("view_submission"),
            "trigger_id": self.platform.handles.new_trigger(self.app.id, self.user.id, view.id),
            "view": view.as_json(),
            "response_urls": [],
        }

    def closed(self, view: View, *, is_cleared: bool) -> Json:
        """A modal that was closed without submitting."""
        return {**self._head("view_closed"), "view": view.as_json(), "is_cleared": is_cleared}

    def message_shortcut(self, channel: Channel, message: Message, callback_id: str) -> Json:
        """An entry of a message's menu."""
        return {
            **self._head("message_action"),
            "action_ts": self.platform.state.ids.ts(),
            "channel": {"id": channel.id, "name": channel.name},
            "callback_id": callback_id,
            "trigger_id": self.platform.handles.new_trigger(self.app.id, self.user.id),
            "response_url": self._response_url(channel, message),
            "message_ts": message.ts,
            "message": message.as_json(),
        }

    def _head(self, kind: str) -> Json:
        """`team` is the person's own, which for external people is not the app's."""
        team = self.platform.state.teams[self.user.team_id]
        return {
            "type": kind,
            "team": {"id": team.id, "domain": team.domain},
            "user": {
                "id": self.user.id,
                "username": self.user.name,
                "name": self.user.name,
                "team_id": self.user.team_id,
            },
            "api_app_id": self.app.id,
            "token": self.app.verification_token,
            "enterprise": None,
            "is_enterprise_install": False,
        }

    def _response_url(self, channel: Channel, message: Message | Ephemeral | None = None) -> str:
        state, options = self.platform.state, self.platform.state.options
        handle = ResponseUrl(
            app_id=self.app.id,
            user=self.user.id,
            channel=channel.id,
            thread_ts=message.thread_ts if message else "",
            message_ts=message.ts if message else "",
            is_ephemeral=isinstance(message, Ephemeral),
            expires_at=state.clock() + options.response_url_ttl_s,
            uses_left=options.response_url_uses,
        )
        return f"{state.base_url}{self.platform.handles.new_response_url(handle)}"


def action_of(block: Json, element: Json, state: Mapping[str, object], action_ts: str) -> Json:
    """The entry of `actions` for an element; `state` is what was chosen, empty for buttons."""
    kind = str(element["type"])
    action: Json = {
        "action_id": element["action_id"],
        "block_id": block["block_id"],
        "type": kind,
        "action_ts": action_ts,
    }
    for name in ("text", "value", "style", "placeholder", "url") if kind == "button" else ("placeholder",):
        if element.get(name):
            action[name] = element[name]
    return {**action, **{name: value for name, value in state.items() if name != "type"}}
