"""A Slack workspace on this machine, for unmodified Slack libraries and for people in tests and on the page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import aiohttp
from aiohttp import web

from bot.lab.slack import fixtures, persistence, platform
from bot.lab.slack.admin import Admin
from bot.lab.slack.alertmanager import Alertmanager
from bot.lab.slack.changes import Change
from bot.lab.slack.errors import UserClientError
from bot.lab.slack.message import File, Message
from bot.lab.slack.model import App, Channel
from bot.lab.slack.options import SlackOptions
from bot.lab.slack.server import Server
from bot.lab.slack.users import UserClient
from bot.lab.slack.web_api.chat import permalink_of
from bot.lab.slack.workspace_state import WorkspaceState
from bot.lab.types import Json

Result = TypeVar("Result")
_SHUTDOWN_S = 1.0
_KEEP_EVERY_S = 1.0


class SlackWorkspace:
    """Made by `SlackWorkspace.start(options)`. Channels are named by id or by name, with or without `#`."""

    def __init__(self, state: WorkspaceState) -> None:
        self.state = state
        self.platform = platform.build(state)
        state.on_event = self.platform.deliveries.publish
        self.faults = self.platform.faults
        self.calls = self.platform.calls
        self.deliveries = self.platform.deliveries
        self.sockets = self.platform.sockets
        self.admin = Admin(state)
        self.alertmanager = Alertmanager(self.platform)

    @classmethod
    @asynccontextmanager
    async def start(cls, options: SlackOptions | None = None) -> AsyncGenerator[SlackWorkspace]:
        """A workspace that serves until the block ends. A fault of the workspace itself is raised at the end."""
        options = options or SlackOptions()
        state = fixtures.furnished(WorkspaceState(options))
        if options.state_dir:
            persistence.load(state, options.state_dir)
        workspace = cls(state)
        runner = web.AppRunner(Server(workspace.platform).application(), access_log=None, shutdown_timeout=_SHUTDOWN_S)
        await runner.setup()
        try:
            site = web.TCPSite(runner, options.host, options.port)
            await site.start()
            port = runner.addresses[0][1]
            workspace.state.base_url = f"http://{options.host}:{port}"
            async with aiohttp.ClientSession(trust_env=False) as session:
                workspace.platform.push.session = session
                if options.state_dir:
                    workspace.platform.background.spawn(workspace.keep(options.state_dir), "keep state")
                try:
                    yield workspace
                finally:
                    if options.state_dir:
                        persistence.save(state, options.state_dir)
                    await workspace.platform.background.close()
                    await workspace.platform.sockets.close()
        finally:
            await runner.cleanup()
        if workspace.platform.background.failures:
            raise ExceptionGroup("the workspace failed", workspace.platform.background.failures)

    # --- how to reach it

    @property
    def base_url(self) -> str:
        """Where the workspace is."""
        return self.state.base_url

    @property
    def api_url(self) -> str:
        """For `AsyncWebClient(base_url=…)`; ends with a slash."""
        return f"{self.state.base_url}/api/"

    @property
    def app(self) -> App:
        """The app under test."""
        return self.state.bot_app()

    @property
    def bot_token(self) -> str:
        """`xoxb-…`, for the Web API."""
        return self.app.bot_token

    @property
    def app_token(self) -> str:
        """xapp-…, for Socket Mode."""
        return self.app.app_token

    @property
    def signing_secret(self) -> str:
        """For HTTP mode."""
        return self.app.signing_secret

    @property
    def bot_user_id(self) -> str:
        """The bot's user id."""
        return self.app.bot_user

    @property
    def mention(self) -> str:
        """What a person types to address the bot: `<@U…>`."""
        return f"<@{self.app.bot_user}>"

    def set_request_url(self, url: str) -> None:
        """Where the app listens, in HTTP mode."""
        self.app.request_url = url

    async def verify_request_url(self) -> bool:
        """Slack's handshake with the app's address."""
        return await self.platform.push.verify_url(self.app)

    def connection(self) -> Json:
        """All that a bot, or a person with a terminal, needs to reach the workspace."""
        return {
            "base_url": self.base_url,
            "api_url": self.api_url,
            "bot_token": self.bot_token,
            "app_token": self.app_token,
            "signing_secret": self.signing_secret,
            "bot_user_id": self.bot_user_id,
            "team_id": self.state.bot_app_team,
            "alertmanager_webhook_url": self.alertmanager.webhook_url,
            "alertmanager_token": self.alertmanager.bot_token,
            "channels": {channel.name: channel.id for channel in self.channels() if channel.name},
            "users": {actor.name: actor.id for actor in self.users()},
        }

    async def keep(self, directory: Path) -> None:
        """Save the state, at most once a second, for as long as it runs."""
        while True:
            seen = self.state.changes.count
            persistence.save(self.state, directory)
            await asyncio.sleep(_KEEP_EVERY_S)
            await self.state.changes.until(lambda seen=seen: self.state.changes.count > seen, None)

    # --- people and places

    def user(self, name: str) -> UserClient:
        """alice, bob, carol (a guest), dave (deactivated) or eve (of another organisation)."""
        user = self.state.user(name)
        if user.is_bot:
            raise UserClientError(f"{name} is a bot")
        return UserClient(self.platform, user)

    def users(self) -> list[UserClient]:
        """All people."""
        people = [user for user in self.state.users.values() if not user.is_bot and user.id != "USLACKBOT"]
        return [UserClient(self.platform, user) for user in people]

    def channel(self, channel: str) -> Channel:
        """A channel; raises `UserClientError`."""
        return self.state.channel(channel)

    def channels(self) -> list[Channel]:
        """All channels."""
        return list(self.state.channels.values())

    def invite(self, channel: str, user: str) -> None:
        """Add somebody to a channel; `cni` is the bot."""
        self.state.join(self.state.channel(channel), self.state.user(user).id)

    def remove(self, channel: str, user: str) -> None:
        """Take somebody out of a channel."""
        self.state.leave(self.state.channel(channel), self.state.user(user).id)

    # --- what was said

    def messages(self, channel: str) -> list[Message]:
        """Top-level messages, oldest first."""
        return [one for one in self.state.channel(channel).messages.values() if one.thread_ts in {"", one.ts}]

    def thread(self, channel: str, ts: str) -> list[Message]:
        """The root and its replies, oldest first."""
        return self.state.channel(channel).thread(ts)

    def everything(self, channel: str) -> list[Message]:
        """Top-level messages and replies, oldest first."""
        return list(self.state.channel(channel).messages.values())

    def message(self, channel: str, ts: str) -> Message | None:
        """One message; None when there is none (any more)."""
        return self.state.channel(channel).messages.get(ts)

    def files(self, channel: str) -> list[File]:
        """Files shared in a channel, oldest first."""
        channel_id = self.state.channel(channel).id
        return [file for file in self.state.files.values() if channel_id in file.shares]

    def permalink(self, channel: str, ts: str) -> str:
        """A message's address."""
        return permalink_of(self.state, self.state.channel(channel).messages[ts])

    # --- waiting

    async def until(self, predicate: Callable[[], Result | None], timeout: float = 15.0) -> Result:  # noqa: ASYNC109
        """The predicate's first true result, asked again at every change; TimeoutError says what there was instead."""
        try:
            return await self.state.changes.until(predicate, timeout)
        except TimeoutError as error:
            raise TimeoutError(f"not within {timeout} s; the workspace:\n{self.summary()}") from error

    def subscribe(self) -> AsyncIterator[Change]:
        """Every change from now on."""
        return self.state.changes.subscribe()

    def summary(self) -> str:
        """The newest messages, ephemeral ones and calls, for people who debug a test."""
        lines = [
            f"#{channel.name} {one.ts} {'  ' if one.thread_ts not in {'', one.ts} else ''}{one.user}: {one.text[:200]}"
            for channel in self.state.channels.values()
            for one in list(channel.messages.values())[-10:]
        ]
        lines += [f"ephemeral to {one.user}: {one.text[:200]}" for one in self.state.ephemerals[-5:]]
        lines += [f"call {call.method} {call.status} {call.error}" for call in list(self.calls)[-10:]]
        lines += [f"sockets: {len(self.sockets.connections)}"]
        return "\n".join(lines)
