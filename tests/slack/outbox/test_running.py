"""The outbox at work: by itself, beside another process, without Slack, without the store, at its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from bot.domain.outgoing import Content, Place, Post, Priority
from bot.slack.client import open_client
from bot.slack.outbox import Outbox
from bot.store import open_store
from bot.store.outbox_entries import ToSend
from tests.redis import RedisServer
from tests.slack.outbox.rig import TIMING, Rig


@asynccontextmanager
async def running(*outboxes: Outbox) -> AsyncGenerator[None]:
    """The outboxes send during the block."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(outbox.run()) for outbox in outboxes]
        yield
        for task in tasks:
            task.cancel()


async def drained(rig: Rig, outbox: Outbox, timeout_s: float) -> bool:
    """What `drained` says, time passing meanwhile."""
    async with asyncio.TaskGroup() as group:
        draining = group.create_task(outbox.drained(timeout_s))
        await rig.clock.pump(draining.done)
    return draining.result()


async def commands(rig: Rig) -> int:
    """How many commands the store has executed, those of scripts included."""
    async with rig.store.connection.client() as redis:
        said: object = await redis.info("stats")  # pyright: ignore[reportUnknownMemberType]
    assert isinstance(said, dict)
    return int(str(said["total_commands_processed"]))


async def test_what_is_put_goes_out_at_once(rig: Rig) -> None:
    """No time passes at all: neither the pace nor the scan may delay the first message."""
    outbox = rig.outbox()
    async with running(outbox):
        await outbox.put(rig.post("a"))
        await rig.ws.until(rig.said)

    assert rig.said() == ["a"]


async def test_edits_and_posts_of_several_channels_flow_side_by_side(rig: Rig) -> None:
    outbox = rig.outbox()
    channels = ["incidents", "alerts"]
    async with running(outbox):
        for number in range(5):
            for channel in channels:
                place = Place(channel=rig.ws.channel(channel).id)
                await outbox.put(Post(key=f"{channel}{number}", place=place, content=Content(text=str(number))))
        begun = rig.clock.now()
        await rig.clock.pump(lambda: all(len(rig.said(channel)) == 5 for channel in channels))

    assert rig.clock.now() - begun < 8, "one channel does not wait for another"
    assert all(rig.said(channel) == list("01234") for channel in channels)


async def test_two_processes_send_everything_once_and_in_order(rig: Rig) -> None:
    one, two = rig.outbox(), rig.outbox()
    async with running(one, two):
        for number in range(6):
            await (one, two)[number % 2].put(rig.post(f"m{number}"))
        await rig.clock.pump(lambda: len(rig.said()) >= 6)
        assert await drained(rig, one, 60)

    assert rig.said() == [f"m{number}" for number in range(6)]
    times = rig.times("chat.postMessage")
    assert all(later - earlier >= 1 for earlier, later in pairwise(times)), times


async def test_who_stops_in_order_leaves_the_channel_to_the_other_at_once(rig: Rig) -> None:
    first = rig.outbox()
    async with running(first):
        await first.put(rig.post("a"))
        await rig.ws.until(rig.said)
        await first.put(rig.post("b"))
    second = rig.outbox()
    begun = rig.clock.now()
    async with running(second):
        await rig.clock.pump(lambda: len(rig.said()) == 2)

    assert rig.clock.now() - begun < TIMING.lease_s / 2


async def test_slack_down_for_ten_minutes_loses_nothing(rig: Rig) -> None:
    rig.timing = replace(rig.timing, scan_s=5)
    outbox = rig.outbox()
    async with running(outbox):
        await outbox.put(rig.post("before"))
        await rig.ws.until(rig.said)
        rig.ws.faults.down()
        begun = rig.clock.now()
        for incident in range(3):
            root = f"root{incident}"
            await outbox.put(rig.post(root))
            for step in range(10):
                await outbox.put(rig.edit(root, f"{root} step {step}"))
            await outbox.put(rig.post(f"evidence{incident}", thread_key=root))
            await outbox.put(rig.post(f"verdict{incident}", priority=Priority.VERDICT, thread_key=root))
        await rig.clock.pump(lambda: rig.clock.now() - begun > 600)
        tries = len(rig.ws.calls.of("chat.postMessage", "conversations.history"))
        rig.ws.faults.down(False)
        await rig.clock.pump(lambda: len(rig.said()) >= 10)
        assert await drained(rig, outbox, 60)

    assert tries < 120, "a channel that rests asks about twice a minute"
    for incident in range(3):
        ts = await outbox.ts_of(f"root{incident}")
        assert ts
        thread = [message.text for message in rig.ws.thread("incidents", ts)]
        assert thread[:3] == [f"root{incident} step 9", f"evidence{incident}", f"verdict{incident}"]
    assert len(rig.said()) == len(set(rig.said()))


@pytest.mark.parametrize(("is_alone", "within_s"), [(True, 4), (False, 16)])
async def test_what_a_killed_bot_was_sending_is_looked_for(rig: Rig, is_alone: bool, within_s: float) -> None:  # noqa: FBT001
    """Whoever is alone with the store need not wait for leases of the dead."""
    rig.queue.is_alone = is_alone
    killed = rig.outbox().context
    await rig.outbox().put(rig.post("a"))
    channel, now = rig.place().channel, rig.clock.now()
    await rig.queue.lease(("posts", channel), killed.token, now=now, lease_s=rig.timing.lease_s)
    todo = await rig.queue.next_post(channel, killed.token, now=now, in_flight_s=12)
    assert isinstance(todo, ToSend)
    await killed.delivery.send(todo)
    outbox = rig.outbox()
    async with running(outbox):
        await rig.clock.pump(lambda: outbox.counters.sent)

    assert rig.said() == ["a"]
    assert outbox.counters.reconciled == 1
    assert within_s - 4 <= rig.clock.now() - now <= within_s


async def test_a_token_that_is_revoked_costs_no_message(rig: Rig) -> None:
    outbox = rig.outbox()
    rig.ws.faults.bad_auth = True
    async with running(outbox):
        await outbox.put(rig.post("a"))
        begun = rig.clock.now()
        await rig.clock.pump(lambda: rig.clock.now() - begun > 300)
        rig.ws.faults.bad_auth = False
        await rig.clock.pump(rig.said)

    assert rig.said() == ["a"]
    assert await rig.queue.dead() == []


async def test_a_store_that_is_away_for_a_while_stops_nothing_for_good(rig: Rig, tmp_path: Path) -> None:
    with RedisServer() as server:
        async with (
            open_store(server.url, tmp_path) as store,
            open_client(rig.ws.bot_token, base_url=rig.ws.api_url) as client,
        ):
            outbox = Outbox(store.outbox, client, timing=TIMING, clock=rig.clock)
            async with running(outbox):
                await outbox.put(rig.post("a"))
                await rig.ws.until(rig.said)
                await outbox.put(rig.post("b"))
                server.stop()
                begun = rig.clock.now()
                await rig.clock.pump(lambda: rig.clock.now() - begun > 60)
                server.start()
                await rig.clock.pump(lambda: len(rig.said()) == 2)

    assert rig.said() == ["a", "b"]


async def test_draining_is_bounded(rig: Rig) -> None:
    outbox = rig.outbox()
    rig.ws.faults.down()
    async with running(outbox):
        await outbox.put(rig.post("a"))
        begun = rig.clock.now()
        assert not await drained(rig, outbox, 5)

    assert rig.clock.now() - begun < 10
    assert (await outbox.state()).waiting == 1


async def test_the_state_tells_how_long_the_oldest_has_waited(rig: Rig) -> None:
    outbox = rig.outbox()
    assert await outbox.state() == await rig.queue.state()
    assert (await outbox.state()).oldest_at is None
    begun = rig.clock.now()
    await outbox.put(rig.post("a"))
    rig.clock.advance(100)
    await outbox.put(rig.post("b"))

    state = await outbox.state()
    assert (state.waiting, state.dead) == (2, 0)
    assert state.oldest_at is not None
    assert abs(state.oldest_at - begun) < 0.001


async def test_idle_outboxes_do_nearly_nothing(rig: Rig) -> None:
    outbox = rig.outbox()
    async with running(outbox):
        await outbox.put(rig.post("a"))
        await rig.ws.until(rig.said)
        assert await drained(rig, outbox, 60)
        begun = rig.clock.now()
        await rig.clock.pump(lambda: rig.clock.now() - begun > 5)  # whoever served has gone home
        begun, asked = rig.clock.now(), await commands(rig)
        await rig.clock.pump(lambda: rig.clock.now() - begun > 60)
        asked = await commands(rig) - asked

    assert await rig.queue.units() == set()
    assert 0 < asked < 70, "one look a second"
