"""2,000 alerts on three replicas, and the Redis primary that is killed in the middle: a sentinel promotes the other."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

import aiohttp
import pytest

from bot.aio.each import each
from bot.lab.slack import SlackWorkspace
from bot.store import Store, open_store
from tests.benchmarks.alerts import PER_NOTIFICATION, Bot, Counted, bot, counted, deliver, handled, notification
from tests.store.test_remote import Guarded, until_answered

pytestmark = pytest.mark.long
ALERTS = 2000
AT_ONCE = 8
"""Notifications that Alertmanager has under way."""
WHOLE_S = 600.0
"""A storm that takes longer hangs."""


async def replicated(store: Store) -> None:
    """Until the replica has all that was acknowledged by now."""
    async with store.connection.client() as client:
        replicas: object = await client.wait(1, 10_000)  # pyright: ignore[reportUnknownMemberType] untyped
        assert replicas == 1


async def storm(bots: list[Bot], guarded: Guarded, store: Store) -> Counter[str]:
    """Deliver everything; with half of it acknowledged the primary dies. What was sent again, by the reason."""
    bodies = [notification(first) for first in range(0, ALERTS, PER_NOTIFICATION)]
    ways = [[one.webhook for one in (bots[at:] + bots[:at])] for at in range(len(bots))]
    acknowledged: list[float] = []
    again = Counter[str]()
    async with aiohttp.ClientSession() as session:

        async def send(turn: tuple[int, bytes]) -> None:
            await deliver(session, ways[turn[0] % len(ways)], turn[1], acknowledged, again)

        turns = list(enumerate(bodies))
        half = len(turns) // 2
        await each(turns[:half], send, limit=AT_ONCE)
        await replicated(store)
        guarded.servers[0].stop(signal.SIGKILL)
        await each(turns[half:], send, limit=AT_ONCE)  # while nobody is the primary, and after
    return again


async def test_what_redis_kept_counts_once(tmp_path: Path) -> None:
    with ExitStack() as servers:
        guarded = Guarded(servers)
        async with asyncio.timeout(WHOLE_S), SlackWorkspace.start() as slack, AsyncExitStack() as stack:
            await until_answered(guarded.sentinel_port, "SENTINEL MASTER main", "num-slaves\r\n$1\r\n1")
            bots = [
                await stack.enter_async_context(bot(slack, tmp_path / name, REDIS_URL=guarded.url))
                for name in ("a", "b", "c")
            ]
            store = await stack.enter_async_context(open_store(guarded.url, tmp_path / "counting"))
            again = await storm(bots, guarded, store)
            await until_answered(guarded.sentinel_port, "SENTINEL GET-MASTER-ADDR-BY-NAME main", str(guarded.ports[1]))
            for one in bots:
                await handled(one)
            found = await counted(store)

    assert again["503"], "nobody met the failover"
    assert found == Counted(alerts=ALERTS, doubled=0, firing=ALERTS, incidents=found.incidents, waiting=0, dead=0)
