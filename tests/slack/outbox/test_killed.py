"""A bot that is killed with -9 while Slack posts its message: the next one knows."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import DEVNULL
from pathlib import Path

from bot.slack.outbox import Outbox
from bot.slack.outbox.timing import RealClock
from tests.redis import RedisServer
from tests.slack.outbox.rig import Rig
from tests.slack.outbox.victim import SHORT


async def test_killed_between_sending_and_noting(rig: Rig, redis_server: RedisServer, tmp_path: Path) -> None:
    """In real time, with a real process: Slack takes the post, and nobody is left to hear its answer."""
    clock = RealClock()
    rig.ws.state.clock = clock.now
    outbox = Outbox(rig.queue, rig.client, timing=SHORT, clock=clock)
    await outbox.put(rig.post("a"))
    await outbox.put(rig.post("b", thread_key="a"))
    victim = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.slack.outbox.victim", redis_server.url, rig.ws.api_url, rig.ws.bot_token,
        str(tmp_path), cwd=Path(__file__).parents[3], stdout=DEVNULL,
    )  # fmt: skip
    publish = rig.ws.state.on_event
    rig.ws.state.on_event = lambda _event, _channel: victim.kill()  # while the post is executed, before the answer
    await victim.wait()
    rig.ws.state.on_event = publish
    assert rig.said() == ["a"]
    assert await outbox.ts_of("a") is None, "nobody has noted it"

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        running = group.create_task(outbox.run())
        await outbox.drained(30)
        running.cancel()

    assert rig.said() == ["a", "b"]
    assert outbox.counters.reconciled == 1
    assert rig.messages()[1].thread_ts == rig.messages()[0].ts
