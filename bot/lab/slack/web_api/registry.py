"""The table of Web API methods: who may call them, how often, and what answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from bot.lab.slack.errors import SlackError
from bot.lab.slack.model import App, Channel
from bot.lab.slack.web_api.arguments import Arguments
from bot.lab.slack.workspace_state import WorkspaceState
from bot.lab.types import Json

if TYPE_CHECKING:
    from bot.lab.slack.platform import Platform


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call under way."""

    platform: Platform
    app: App
    args: Arguments

    @property
    def state(self) -> WorkspaceState:
        """The state."""
        return self.platform.state

    def channel(self, *, name: str = "channel") -> Channel:
        """The channel that the app may know of; private ones only as a member."""
        channel = self.state.channels.get(self.args.required(name))
        if channel is None or ((channel.is_private or channel.is_im) and self.app.bot_user not in channel.members):
            raise SlackError("channel_not_found")
        return channel

    def joined(self) -> Channel:
        """The channel, of which the app must be a member."""
        channel = self.channel()
        if self.app.bot_user not in channel.members:
            raise SlackError("not_in_channel")
        return channel


Handler = Callable[[Call], Json]
Credential = Literal["bot", "app", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """A method. `scopes`: one of them is needed; `per_minute`: its tier (0: special, not limited here)."""

    name: str
    handler: Handler
    scopes: tuple[str, ...]
    per_minute: int
    takes_json: bool
    credential: Credential


METHODS: dict[str, Method] = {}


def method(
    name: str, *scopes: str, per_minute: int = 0, takes_json: bool = False, credential: Credential = "bot"
) -> Callable[[Handler], Handler]:
    """Enter a handler into the table."""

    def enter(handler: Handler) -> Handler:
        METHODS[name] = Method(
            name=name,
            handler=handler,
            scopes=scopes,
            per_minute=per_minute,
            takes_json=takes_json,
            credential=credential,
        )
        return handler

    return enter


TIER_1, TIER_2, TIER_3, TIER_4 = 1, 20, 50, 100
