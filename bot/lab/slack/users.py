"""People at work: they type commands, talk, press buttons and fill in modals, as far as Slack's client lets them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from bot.lab.slack import inputs, richtext
from bot.lab.slack.delivery import Ack, Kind
from bot.lab.slack.errors import SlackError, UserClientError
from bot.lab.slack.handles import ResponseUrl
from bot.lab.slack.inputs import Typed
from bot.lab.slack.message import Ephemeral, Message, elements
from bot.lab.slack.model import App, Channel, User, View
from bot.lab.slack.outcome import Outcome
from bot.lab.slack.payloads import Payloads, action_of
from bot.lab.slack.responding import say
from bot.lab.slack.submitting import respond_to_submission
from bot.lab.types import Json

if TYPE_CHECKING:
    from bot.lab.slack.platform import Platform


class UserClient:
    """One person. Methods raise `UserClientError` for what the client would not offer them."""

    def __init__(self, platform: Platform, user: User) -> None:
        self._platform = platform
        self._state = platform.state
        self.user = user

    @property
    def id(self) -> str:
        """As in `<@U…>`."""
        return self.user.id

    @property
    def name(self) -> str:
        """The handle, such as `alice`."""
        return self.user.name

    @property
    def mention(self) -> str:
        """What others type to address this person."""
        return f"<@{self.user.id}>"

    # --- talking

    async def say(self, channel: str, text: str, thread: str | None = None) -> str:
        """Post a message, into a thread if given; its ts."""
        place = self._composer(channel)
        root = place.messages.get(thread) if thread else None
        if thread and root is None:
            raise UserClientError(f"there is no message {thread} in #{place.name}")
        escaped = richtext.escape(text)
        message = Message(
            channel=place.id,
            ts="",
            text=escaped,
            blocks=richtext.blocks(escaped),
            user=self.id,
            team=self.user.team_id,
            client_msg_id=self._state.ids.secret(32).lower(),
            thread_ts=(root.thread_ts or root.ts) if root else "",
        )
        return self._state.post(place, message).ts

    async def edit(self, channel: str, ts: str, text: str) -> None:
        """Change what one has said."""
        place, message = self._own(channel, ts)
        escaped = richtext.escape(text)
        self._state.edit(place, message, self.id, {"text": escaped, "blocks": richtext.blocks(escaped)})

    async def delete(self, channel: str, ts: str) -> None:
        """Take back what one has said."""
        self._state.delete(*self._own(channel, ts))

    async def react(self, channel: str, ts: str, name: str) -> None:
        """Add an emoji to a message."""
        place = self._place(channel)
        self._state.react(place, self._message(place, ts), name, self.id, add=True)

    def _own(self, channel: str, ts: str) -> tuple[Channel, Message]:
        place = self._place(channel)
        message = self._message(place, ts)
        if message.user != self.id:
            raise UserClientError(f"{self.name} did not write that message")
        return place, message

    # --- interactions

    async def slash(self, channel: str, command: str, text: str = "") -> Outcome:
        """Type a slash command. Slack offers it to members of the installing workspace only, and never in threads."""
        place = self._composer(channel)
        app = next((app for app in self._state.apps.values() if command in app.commands), None)
        if app is None or self.user.team_id != self._state.users[app.bot_user].team_id:
            return self._failed(place, Ack(error="no_command"), f"{command} {_NO_COMMAND}")
        payloads = self._payloads(app)
        payload = payloads.slash(place, command, richtext.command_text(text, self._state.names()))
        ack = await self._platform.deliveries.interaction(app, "slash_commands", payload)
        if not ack.ok:
            return self._failed(place, ack, f"{command} failed with the error {_ERRORS.get(ack.error, ack.error)!r}")
        if ack.reply:
            try:
                say(self._platform, self._handle(payload["response_url"]), ack.reply)
            except SlackError as error:
                return self._failed(place, Ack(error=error.code), f"{command} failed with the error {error.code!r}")
        return self._done(ack)

    async def click(self, channel: str, ts: str, action_id: str, value: Typed = None) -> Outcome:
        """Press a button, or choose `value` in a menu; of several buttons with one action_id, `value` says which."""
        place = self._place(channel)
        message = self._shown(place, ts)
        app = self._state.apps[message.app_id]
        block, element = self._element(message.all_blocks, action_id, value)
        action = self._action(block, element, value)
        payload = self._payloads(app).block_action(place, message, action)
        return await self._interact(app, payload, place)

    async def click_in_view(self, view_id: str, action_id: str, value: Typed = None) -> Outcome:
        """The same in a modal or on the Home tab."""
        view = self._view(view_id)
        app = self._state.apps[view.app_id]
        block, element = self._element(view.blocks, action_id, value)
        action = self._action(block, element, value)
        if element["type"] != "button":
            inputs.fill(view.blocks, view.values, {action_id: value})
        return await self._interact(app, self._payloads(app).view_action(view, action))

    async def submit(self, view_id: str, values: Mapping[str, Typed] | None = None) -> Outcome:
        """Fill in inputs by action_id and press the modal's submit button."""
        view = self._view(view_id)
        if view.payload["type"] != "modal" or not view.payload.get("submit"):
            raise UserClientError("this view has no submit button")
        inputs.fill(view.blocks, view.values, values or {})
        errors = inputs.client_errors(view.blocks, view.values)
        if errors:
            return Outcome(acked=False, took_s=0.0, errors=errors)
        app = self._state.apps[view.app_id]
        payload = self._payloads(app).submission(view)
        ack = await self._platform.deliveries.interaction(app, "interactive", payload)
        if not ack.ok:
            return self._failed(None, ack, "We had some trouble connecting. Try again?")
        return respond_to_submission(self._platform, view, ack)

    async def close(self, view_id: str, *, all_views: bool = False) -> None:
        """Close a modal, or the whole stack; the app hears of it when it asked for that."""
        view = self._view(view_id)
        closing = list(reversed(self.modals())) if all_views or view.payload.get("clear_on_close") else [view]
        app = self._state.apps[view.app_id]
        closed_views = [
            self._payloads(app).closed(one, is_cleared=len(closing) > 1)
            for one in closing
            if one.payload.get("notify_on_close")
        ]
        for one in closing:
            self._platform.modals.pop(one)
        for payload in closed_views:
            await self._platform.deliveries.interaction(app, "interactive", payload)

    async def shortcut(self, channel: str, ts: str, callback_id: str) -> Outcome:
        """Choose a message shortcut from a message's menu."""
        place = self._place(channel)
        message = self._message(place, ts)
        app = next((app for app in self._state.apps.values() if callback_id in app.shortcuts), None)
        if app is None or self.user.team_id != self._state.users[app.bot_user].team_id:
            raise UserClientError(f"there is no shortcut {callback_id} for {self.name}")
        return await self._interact(app, self._payloads(app).message_shortcut(place, message, callback_id), place)

    async def open_home(self, tab: str = "home") -> None:
        """Open the app's Home tab; what is published there is `home()`."""
        self._alive()
        app = self._state.bot_app()
        view = self._state.homes.get((app.id, self.id))
        event = {"type": "app_home_opened", "user": self.id, "channel": f"D0{self.id[2:]}", "tab": tab}
        shown = {"view": view.as_json()} if view else {}
        self._state.on_event({**event, **shown, "event_ts": self._state.ids.ts(), "_only_app": app.id}, None)

    # --- seeing

    def home(self) -> View | None:
        """The published Home tab."""
        return self._state.homes.get((self._state.bot_app().id, self.id))

    def modals(self) -> list[View]:
        """The open modals; the last is on top."""
        return list(self._platform.modals.stack(self.id))

    def ephemerals(self, channel: str | None = None) -> list[Ephemeral]:
        """Ephemeral messages to this person, oldest first."""
        wanted = self._state.channel(channel).id if channel else ""
        return [one for one in self._state.ephemerals if one.user == self.id and (not wanted or one.channel == wanted)]

    # --- how

    def _payloads(self, app: App) -> Payloads:
        return Payloads(platform=self._platform, app=app, user=self.user)

    async def _interact(self, app: App, payload: Json, place: Channel | None = None) -> Outcome:
        kind: Kind = "interactive"
        ack = await self._platform.deliveries.interaction(app, kind, payload)
        return self._done(ack) if ack.ok else self._failed(place, ack, _ERRORS.get(ack.error, ack.error))

    def _done(self, ack: Ack) -> Outcome:
        self._state.changes.note("outcome", user=self.id)
        return Outcome(acked=True, took_s=ack.took_s, reply=ack.reply)

    def _failed(self, place: Channel | None, ack: Ack, sentence: str) -> Outcome:
        """Slackbot tells the person that it did not work."""
        if place is not None:
            self._state.ephemeral(Ephemeral(channel=place.id, ts="", user=self.id, text=sentence, source="slack"))
        self._state.changes.note("outcome", user=self.id, detail=sentence)
        return Outcome(acked=False, took_s=ack.took_s, error=sentence)

    def _handle(self, url: str) -> ResponseUrl:
        path = url.removeprefix(self._state.base_url)
        return self._platform.handles.response_urls[path]

    def _alive(self) -> None:
        if self.user.deleted:
            raise UserClientError(f"{self.name} is deactivated")

    def _place(self, channel: str) -> Channel:
        """A channel that the person sees: as a member, or a public one for members of the workspace."""
        self._alive()
        place = self._state.channel(channel)
        is_own = self.user.team_id == self._state.bot_app_team and not self.user.is_restricted
        if self.id not in place.members and (place.is_private or place.is_im or not is_own):
            raise UserClientError(f"{self.name} does not see #{place.name}")
        return place

    def _composer(self, channel: str) -> Channel:
        """A channel in which the person can type: as a member, while it is not archived."""
        place = self._place(channel)
        if place.is_archived:
            raise UserClientError(f"#{place.name} is archived")
        if self.id not in place.members:
            raise UserClientError(f"{self.name} has not joined #{place.name}")
        return place

    def _message(self, place: Channel, ts: str) -> Message:
        message = place.messages.get(ts)
        if message is None:
            raise UserClientError(f"there is no message {ts} in #{place.name}")
        return message

    def _shown(self, place: Channel, ts: str) -> Message | Ephemeral:
        for ephemeral in self.ephemerals(place.id):
            if ephemeral.ts == ts:
                return ephemeral
        return self._message(place, ts)

    def _view(self, view_id: str) -> View:
        view = self._state.views.get(view_id)
        if view is None or view.user != self.id:
            raise UserClientError(f"{self.name} has no view {view_id} open")
        self._alive()
        return view

    def _element(self, blocks: list[Json], action_id: str, value: Typed) -> tuple[Json, Json]:
        found = [(block, one) for block, one in elements(blocks) if one.get("action_id") == action_id]
        shown = [(block, one) for block, one in found if self.id in (one.get("visible_to_user_ids") or [self.id])]
        if len(shown) > 1 and value is not None:
            shown = [(block, one) for block, one in shown if one.get("value") == value]
        if not shown:
            others = sorted({str(one.get("action_id")) for _, one in elements(blocks)})
            raise UserClientError(f"{self.name} sees no element {action_id} (value {value}), only {others}")
        return shown[0]

    def _action(self, block: Json, element: Json, value: Typed) -> Json:
        state: Json = {}
        if element["type"] == "overflow":
            state = {"selected_option": inputs.option(element, str(value))}
        elif element["type"] != "button":
            state = inputs.state_of(element, value)
        return action_of(block, element, state, self._state.ids.ts())


_NO_COMMAND = (
    'is not a valid command. In Slack, all messages that start with the "/" character are interpreted as commands. '
    'If you are trying to send a message and not run a command, try preceding the "/" with an empty space.'
)
"""Slack's own words."""
_ERRORS = {
    "timeout": "operation_timeout",
    "http_timeout": "operation_timeout",
    "no_connection": "dispatch_failed",
    "connection_failed": "dispatch_failed",
    "http_error": "dispatch_unknown_error",
}
