"""2,000 alerts within moments, and replicas that are killed in the middle: each alert counts once, in one incident."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from pathlib import Path

import aiohttp

from bot.aio.each import each
from bot.lab.slack import SlackWorkspace
from bot.store import open_store
from tests.benchmarks.alerts import PER_NOTIFICATION, Bot, Counted, bot, counted, deliver, handled, notification
from tests.redis import RedisServer
from tests.slack.waiting import until

ALERTS = 2000
AT_ONCE = 8
"""Notifications that Alertmanager has under way."""
WHOLE_S = 900.0
"""A storm that takes longer hangs."""


async def storm(replicas: list[Bot]) -> Counter[str]:
    """Deliver everything, and kill one replica after the other in between; what was sent again, by the reason."""
    bodies = [notification(first) for first in range(0, ALERTS, PER_NOTIFICATION)]
    acknowledged: list[float] = []
    again = Counter[str]()
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        # Each begins with another replica, as a Service would send them.
        ways = [[one.webhook for one in (replicas[at:] + replicas[:at])] for at in range(len(replicas))]
        turns = list(enumerate(bodies))

        async def send(turn: tuple[int, bytes]) -> None:
            await deliver(session, ways[turn[0] % len(ways)], turn[1], acknowledged, again)

        group.create_task(each(turns, send, limit=AT_ONCE))
        for number, victim in enumerate(replicas, 1):
            so_many = len(bodies) * number // (len(replicas) + 1)
            await until(lambda so_many=so_many: len(acknowledged) >= so_many, WHOLE_S)
            await victim.end(signal.SIGKILL)
            await victim.start()
    return again


async def test_every_alert_counts_once(tmp_path: Path) -> None:
    async with asyncio.timeout(WHOLE_S), SlackWorkspace.start() as slack:
        with RedisServer() as redis:
            async with (
                bot(slack, tmp_path / "a", REDIS_URL=redis.url) as one,
                bot(slack, tmp_path / "b", REDIS_URL=redis.url) as other,
            ):
                again = await storm([one, other])
                await handled(one)
            async with open_store(redis.url, tmp_path / "counting") as store:
                found = await counted(store)

    assert again, "nobody was hit by the kills"
    assert found == Counted(alerts=ALERTS, doubled=0, firing=ALERTS, incidents=found.incidents, waiting=0, dead=0)
