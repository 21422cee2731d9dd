"""Socket Mode: several connections, each replaced before it ends, so that there is no moment without one.

Slack keeps no click and no command for later: while no connection is up, people see an error.
"""

import asyncio
import random

import aiohttp
import structlog
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from bot.aio.groups import TaskGroup
from bot.domain.errors import BotError
from bot.slack.metrics import RECONNECTS
from bot.slack.socket_connection import Connection, ConnectionContext, Timing

log = structlog.get_logger()

_HOPELESS = {
    "account_inactive",
    "invalid_auth",
    "missing_scope",
    "no_permission",
    "not_allowed_token_type",
    "not_authed",
    "token_expired",
    "token_revoked",
}
"""Refusals that no waiting cures."""
_REFUSALS = 3
"""So many in a row are believed."""
_YOUNG_S = 10.0
"""A connection that lived shorter counts as one that failed."""


class SlackRefusedError(BotError):
    """Slack does not accept the app token (any more)."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"Slack refuses Socket Mode ({reason}): check the app-level token and that Socket Mode is enabled."
        )
        self.reason = reason


class SocketMode:
    """All connections of one app."""

    def __init__(
        self,
        app: AsyncApp,
        app_token: str,
        *,
        client: AsyncWebClient,
        connections: int = 2,
        timing: Timing | None = None,
    ) -> None:
        self._app = app
        self._app_token = app_token
        self._client = client
        self._wanted = connections
        self._timing = timing or Timing()
        self._live: set[Connection] = set()
        self._stopping = asyncio.Event()

    @property
    def is_ready(self) -> bool:
        """Whether Slack can reach us now."""
        return not self._stopping.is_set() and self.live_connections > 0

    @property
    def live_connections(self) -> int:
        """How many connections Slack has greeted and not closed."""
        return sum(connection.is_live for connection in self._live)

    def stop(self) -> None:
        """Take in nothing more. `run` ends once everything taken in is answered."""
        self._stopping.set()
        for connection in self._live:
            connection.leave()

    async def run(self) -> None:
        """Keep the connections up until `stop`. Errors: `SlackRefusedError`."""
        async with aiohttp.ClientSession(trust_env=True) as session, TaskGroup() as group:
            context = ConnectionContext(
                app=self._app, client=self._client, app_token=self._app_token, session=session, timing=self._timing
            )
            for _ in range(self._wanted):
                group.create_task(self._keep_one(context, group))

    async def _keep_one(self, context: ConnectionContext, group: TaskGroup) -> None:
        """One connection after another; the old one leaves when the new one is greeted."""
        failures = 0
        previous: Connection | None = None
        clock = asyncio.get_running_loop().time
        while not self._stopping.is_set():
            connection = Connection(context)
            group.create_task(self._one(connection))
            await connection.settled.wait()
            born = clock()
            if connection.is_live and previous is not None:
                previous.leave()
            previous = connection if connection.is_live else previous
            await connection.wants_successor.wait()
            is_fine = clock() - born > _YOUNG_S or connection.end in {"open", "renewed", "refreshed"}
            failures = 0 if is_fine else failures + 1
            if connection.end == "refused" and connection.why in _HOPELESS and failures >= _REFUSALS:
                raise SlackRefusedError(connection.why)
            await self._pause(failures)

    async def _one(self, connection: Connection) -> None:
        self._live.add(connection)
        await connection.live()
        self._live.discard(connection)
        RECONNECTS.labels(connection.end).inc()
        log.info("slack.connection_ended", how=connection.end, why=connection.why)

    async def _pause(self, failures: int) -> None:
        """Nothing after a good end, longer with each bad one; `stop` ends it."""
        if not failures:
            return
        pause_s = min(self._timing.first_pause_s * 2 ** (failures - 1), self._timing.longest_pause_s)
        deadline = asyncio.timeout(pause_s * random.uniform(0.7, 1))
        try:
            async with deadline:
                await self._stopping.wait()
        except TimeoutError:
            if not deadline.expired():
                raise
