"""The bot's life: Slack is asked whether it is ready for us, all parts run beside each other, a signal ends them."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field

import structlog

from bot.aio.failures import first_failure
from bot.aio.groups import TaskGroup
from bot.aio.stopping import Stop
from bot.app.failures import NotReadyError, part
from bot.app.wiring import Bot, open_bot
from bot.domain.errors import BotError
from bot.incidents.clusters import Clusters
from bot.schedule import scheduled
from bot.settings import Settings
from bot.slack.handlers.plans import look_after
from bot.slack.identity import Identity
from bot.slack.startup import verify
from bot.web.api import build_api, build_health_api
from bot.web.server import run_server

log = structlog.get_logger()

_RETRY_S = 10.0
"""Between two looks whether Slack is ready for us."""
_LOOK_S = 0.05
_HANDLERS = 256
"""Requests that are handled at the same time. One that waits for its diagnosis must not keep a click waiting; how many
diagnoses run is the service's to say.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A bot that is ready."""

    address: str
    """Where Slack and Alertmanager come in: "http://127.0.0.1:9742"."""
    health_address: str
    """Where health and metrics are."""
    says: str
    """One line for people."""


async def serve(
    settings: Settings,
    *,
    on_ready: Callable[[Running], None] = lambda _: None,
    clusters: Clusters | None = None,
    stop: Stop | None = None,
) -> None:
    """Run the bot until SIGTERM or SIGINT (or `stop`), then finish what was begun and return.

    `clusters` instead of those of the settings. Errors: `BotError`: what cannot be used, with what to do about it;
    `PartFailedError`: what died.
    """
    stop = stop or Stop()
    try:
        with stop.on_signals():
            async with AsyncExitStack() as stack:
                bot = await open_bot(settings, stack, clusters)
                async with TaskGroup() as group:
                    await _Life(bot, group, stop).live(on_ready)
    except BaseExceptionGroup as failures:
        raise first_failure(failures, rather=BotError) from failures


@dataclass(slots=True)
class _Life:
    bot: Bot
    group: TaskGroup
    stop: Stop
    working: list[asyncio.Task[None]] = field(default_factory=list[asyncio.Task[None]])
    """All parts but the HTTP servers, the inbox first."""
    no_more: asyncio.Event = field(default_factory=asyncio.Event)
    """The inbox hands out nothing more."""

    async def live(self, on_ready: Callable[[Running], None]) -> None:
        """Everything at once until it is to end, then in order: intake, work, words, and health last."""
        bot, web_stop = self.bot, asyncio.Event()
        api = build_api(on_slack=bot.requests, alertmanager=bot.alertmanager, incidents=bot.incidents)
        health = build_health_api(bot.health)
        web = [
            self._begin("web", run_server(api, bot.bound, web_stop, drain_s=1.0, tls=bot.tls)),
            self._begin("health", run_server(health, bot.health_bound, web_stop, drain_s=1.0)),
        ]
        starting = self.group.create_task(self._start(on_ready), name="start")
        await self.stop.asked.wait()
        log.info("bot.stopping", drain_s=bot.settings.drain_s)
        starting.cancel()
        await asyncio.wait([starting])
        await self._drain()
        for task in self.working:
            task.cancel()
        web_stop.set()
        await asyncio.wait([*web, *self.working])

    def _begin(self, name: str, work: Awaitable[None]) -> asyncio.Task[None]:
        return self.group.create_task(part(name, work, self.stop), name=name)

    async def _start(self, on_ready: Callable[[Running], None]) -> None:
        """Begin to work, once Slack is ready for us; tell when everything is well."""
        bot, services = self.bot, self.bot.services
        identity = await self._verified()
        handing_out = services.store.inbox.work(
            bot.router.handle, concurrency=_HANDLERS, on_dead=bot.router.on_dead, stopping=self.no_more
        )
        self.working.append(self._begin("inbox", handing_out))
        self.working.append(self._begin("outbox", services.outbox.run()))
        self.working.append(self._begin("gauges", bot.gauges.run()))
        self.working.append(self._begin("plans", look_after(services)))
        self.working.append(self._begin("schedule", self._ticking()))
        if bot.socket is not None:
            self.working.append(self._begin("socket", bot.socket.run()))
        bot.health.parts = self._health()
        while bot.health.not_ready():  # noqa: ASYNC110 parts tell when they are asked
            await asyncio.sleep(_LOOK_S)
        on_ready(Running(address=bot.address, health_address=bot.health_address, says=self._ready_line(identity)))

    async def _ticking(self) -> None:
        settings, services = self.bot.settings, self.bot.services
        clusters = services.service.clusters.names
        polled = [one.name for one in services.reconciler.alertmanagers] if services.reconciler else []
        async with scheduled(
            services.store,
            every_s=settings.watch_every_s,
            sweep_s=settings.sweep_every_s,
            clusters=clusters,
            poll_s=settings.alertmanager_poll_s,
            polled=polled,
            versions_s=settings.known_issues_every_s,
        ):
            await asyncio.Event().wait()

    async def _verified(self) -> Identity:
        """Who we are in Slack, once everything that can be checked is well. Errors: `NotReadyError`."""
        settings, services = self.bot.settings, self.bot.services
        while True:
            checks = await verify(
                services.client,
                mode=settings.slack_mode,
                app_token=settings.secret("slack_app_token"),
                signing_secret=settings.secret("slack_signing_secret"),
            )
            for check in checks:
                if check.problem:
                    log.warning("bot.check", check=check.name, problem=check.problem, remedy=check.remedy)
            failed = [check for check in checks if not check.ok]
            if not failed:
                return await services.who_am_i()
            if not all(check.may_pass for check in failed):
                raise NotReadyError(failed)
            problem = failed[0].problem
            self.bot.health.parts = {"slack": lambda problem=problem: problem}
            await asyncio.sleep(_RETRY_S)

    def _health(self) -> dict[str, Callable[[], str]]:
        """What has to be well for the bot to be ready."""
        bot, stop = self.bot, self.stop
        return {
            "bot": lambda: "stopping" if stop.asked.is_set() else "",
            "store": lambda: bot.gauges.store_trouble,
            "slack": lambda: "" if bot.socket is None or bot.socket.is_ready else "no connection to Slack",
            "token": lambda: bot.gauges.token_trouble,
        }

    def _ready_line(self, identity: Identity) -> str:
        services = self.bot.services
        clusters = ", ".join(services.service.clusters.names)
        return (
            f"cnibot is ready: @{identity.user} in {identity.team}, {services.connections()}; "
            f"clusters: {clusters}; health and metrics: {self.bot.health_address}"
        )

    async def _drain(self) -> None:
        """Take nothing in, finish what was begun, say what is to be said: within the time, or until a second signal."""
        bot = self.bot
        if bot.socket is not None:
            bot.socket.stop()
        self.no_more.set()
        if not self.working:
            return

        async def finish() -> None:
            await asyncio.wait(self.working[:1])
            await bot.services.outbox.drained(bot.settings.drain_s)

        with suppress(TimeoutError):  # the rest is in the store, for the next start
            async with asyncio.timeout(bot.settings.drain_s), TaskGroup() as group:
                finishing = group.create_task(finish())
                hurried = group.create_task(self.stop.hurried.wait())
                await asyncio.wait((finishing, hurried), return_when=asyncio.FIRST_COMPLETED)
                finishing.cancel()
                hurried.cancel()
