"""Everything that a scenario plays with: a bot, its store, its cluster, its workspace, its clock."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from redis.asyncio import Redis

from bot.lab.scratch import scratch
from bot.lab.slack import SlackWorkspace
from bot.lab.slack.options import SlackOptions
from tests.chaos.bot_process import BotProcess
from tests.chaos.clock import Clock
from tests.chaos.cluster_proxy import ClusterProxy, before
from tests.chaos.requests import Request
from tests.chaos.timeline import Timeline
from tests.conftest import LabUnderTest
from tests.contracts.scripted_server import closed_port
from tests.redis import RedisServer
from tests.stories.whole_bot import environment

MARK = "CHAOS_SCENARIO"
"""An environment variable that the bot and all it starts inherit, so that what outlives it is found."""
ALERT_TOKEN = "alertmanagers-token"
RETRY_DELAYS_S = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Slack's own 0 s, 1 min and 5 min, as long as a scenario lasts."""


@dataclass(frozen=True)
class BrokenLab(LabUnderTest):
    """A lab with a fault in it; `pid` is that of its first process."""

    pid: int


@dataclass
class System:
    """What faults act on and invariants look at."""

    lab: BrokenLab
    slack: SlackWorkspace
    redis: RedisServer
    store: Redis
    cluster: ClusterProxy
    clock: Clock
    bot: BotProcess
    session: aiohttp.ClientSession
    directory: Path
    mark: str
    timeline: Timeline
    webhook: str
    requests: list[Request] = field(default_factory=list[Request])
    """Of the scenario that is being played."""

    @property
    def scratch(self) -> Path:
        """Where the bot puts temporary files."""
        return self.directory / "tmp"


def _settings(directory: Path, clock: Clock, mark: str, ports: tuple[int, int]) -> dict[str, str]:
    return clock.environment | {
        MARK: mark,
        "TMPDIR": str(directory / "tmp"),
        "CNIBOT_TIMEOUT_S": "15",
        "CNIBOT_HTTP_PORT": str(ports[0]),
        "CNIBOT_HEALTH_PORT": str(ports[1]),
        "CNIBOT_ALERT_CHANNEL": "C0ALERTS",
        "CNIBOT_ALERT_ROUTES": str(directory / "routes.yaml"),
        "CNIBOT_ALERTMANAGER_TOKEN": ALERT_TOKEN,
    }


def _routes(channels: tuple[str, ...]) -> str:
    """Each alert's incident in the channel that its label names: in one channel, the next alert would join the last."""
    matched = [(f'team="{name}"', f"C0{name.upper()}") for name in channels]
    return json.dumps({"routes": [{"matchers": [team], "channel": channel} for team, channel in matched]})


@asynccontextmanager
async def assembled(
    lab: BrokenLab, channels: tuple[str, ...], *, has_own_store: bool, has_pictures: bool
) -> AsyncGenerator[System]:
    """Everything, with a bot that nobody has started yet. `has_own_store`: it starts a redis-server itself."""
    options = SlackOptions(extra_channels=channels, retry_delays_s=RETRY_DELAYS_S, strict_rates=True)
    with scratch("chaos") as directory, RedisServer() as redis:
        socket = directory / "state/store/redis.sock" if has_own_store else redis.socket
        (directory / "tmp").mkdir()
        (directory / "routes.yaml").write_text(_routes(channels), encoding="utf-8")
        clock, mark, ports = Clock(directory / "clock"), secrets.token_hex(8), (closed_port(), closed_port())
        async with (
            SlackWorkspace.start(options) as slack,
            before(lab.kubeconfig, directory) as (cluster, kubeconfig),
            aiohttp.ClientSession() as session,
            Redis(unix_socket_path=str(socket), socket_timeout=5) as store,
        ):
            timeline = Timeline()
            clusters = json.dumps({"lab": {"kubeconfig": str(kubeconfig)}})
            settings = _settings(directory, clock, mark, ports) | {"CNIBOT_CLUSTERS": clusters}
            settings |= {} if has_own_store else {"CNIBOT_REDIS_URL": redis.url}
            settings |= {} if has_pictures else {"CHAOS_WITHOUT_MATPLOTLIB": "1"}
            env = environment(lab, slack, directory / "state", **settings)
            bot = BotProcess(env, directory / "log", f"http://127.0.0.1:{ports[1]}", timeline)
            yield System(
                lab=lab, slack=slack, redis=redis, store=store, cluster=cluster, clock=clock, bot=bot, session=session,
                directory=directory, mark=mark, timeline=timeline, webhook=f"http://127.0.0.1:{ports[0]}/alertmanager",
            )  # fmt: skip
