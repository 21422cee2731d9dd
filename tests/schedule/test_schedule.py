"""The clock."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from bot.domain.incident import Watch
from bot.incidents.affected_versions import VERSIONS_DUE
from bot.incidents.alerting.reconciling import POLL_DUE
from bot.incidents.watches import WATCH_DUE
from bot.schedule import Schedule, scheduled
from bot.store import Entry, Store, open_store
from tests.redis import RedisServer

SHOP = Watch(cluster="lab", namespace="shop", channel="C1", by="U1", since=1.0)


async def due(store: Store, count: int) -> list[Entry]:
    """What comes out of the inbox."""
    found: list[Entry] = []
    enough = asyncio.Event()

    async def take(entry: Entry) -> None:
        found.append(entry)
        if len(found) >= count:
            enough.set()

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        working = group.create_task(store.inbox.work(take))
        await enough.wait()
        working.cancel()
    return found


async def test_a_watch_is_due_in_every_period(store: Store) -> None:
    await store.watches.add(SHOP)
    async with scheduled(store, every_s=0.05):
        found = await due(store, 2)

    first, second = found[:2]
    assert [(entry.kind, entry.body["type"]) for entry in (first, second)] == [("due", WATCH_DUE)] * 2
    assert first.body["period"] < second.body["period"]
    assert (first.body["cluster"], first.body["namespace"], first.body["channel"]) == ("lab", "shop", "C1")


async def test_in_one_period_a_watch_is_due_once(store: Store) -> None:
    await store.watches.add(SHOP)
    await store.watches.add(Watch(cluster="lab", namespace="shop", channel="C2", by="U1", since=1.0))
    for _ in range(3):
        await Schedule(store, every_s=600, now=lambda: 1_000.0).tick()

    assert (await store.inbox.counts()).waiting == 2


async def test_in_one_period_each_clusters_versions_are_due_once(store: Store) -> None:
    schedule = Schedule(store, every_s=600, versions_s=86_400, clusters=("lab", "prod"), now=lambda: 1_000.0)
    for _ in range(3):
        await schedule.tick_versions()

    assert {(one.body["type"], one.body["cluster"]) for one in await due(store, 2)} == {
        (VERSIONS_DUE, "lab"), (VERSIONS_DUE, "prod"),
    }  # fmt: skip


async def test_a_tick_that_comes_late_is_made(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop that was busy when it was due may be busy for more than the second that APScheduler allows by itself."""
    monkeypatch.setattr("bot.schedule.VERSIONS_SOON_S", 0.0)
    async with scheduled(store, every_s=600, clusters=("lab",), versions_s=86_400):
        time.sleep(1.2)  # noqa: ASYNC251 the loop is what is busy
        (late,) = await due(store, 1)

    assert late.body["type"] == VERSIONS_DUE


async def test_a_store_that_is_away_is_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with RedisServer() as server:
        async with open_store(server.url, tmp_path) as store:
            await store.watches.add(SHOP)
            server.stop()

            await Schedule(store, every_s=600).tick()  # nothing is raised: the next period is as good


async def test_in_one_period_an_alertmanager_is_asked_once(store: Store) -> None:
    for _ in range(3):
        await Schedule(store, every_s=600, poll_s=60, polled=["am", "other"], now=lambda: 1_000.0).tick_polls()

    assert {(one.body["type"], one.body["name"]) for one in await due(store, 2)} == {
        (POLL_DUE, "am"), (POLL_DUE, "other"),
    }  # fmt: skip
