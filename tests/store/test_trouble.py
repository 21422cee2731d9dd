"""The store goes away, comes back, and processes are killed: nothing that was accepted is lost."""

from __future__ import annotations

import asyncio
import random
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest

from bot.domain.errors import NotNowError
from bot.store import Entry, Store, StoreUnavailableError, open_store
from tests.redis import RedisServer
from tests.store.inbox_workers import Book, at_work, empty


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server that the test may mistreat. It writes to the disk before it answers, as our own does."""
    with RedisServer("--appendfsync", "always") as mine:
        yield mine


@pytest.fixture
async def fragile(server: RedisServer, tmp_path: Path) -> AsyncGenerator[Store]:
    """A store on that server."""
    async with open_store(server.url, tmp_path, lease_s=1.0) as opened:
        yield opened


async def test_nothing_is_accepted_while_the_store_is_away(server: RedisServer, fragile: Store) -> None:
    server.stop()
    with pytest.raises(StoreUnavailableError, match=r"The store at unix://.* is not available: Error"):
        await fragile.inbox.accept("Ev1", "event", {})
    server.start()

    assert await fragile.inbox.accept("Ev1", "event", {}), "the retry is new"


async def test_a_store_that_hangs_is_away_too(server: RedisServer, fragile: Store) -> None:
    """Slack waits for three seconds, so nobody waits longer."""
    await fragile.inbox.accept("Ev0", "event", {})
    server.pause()
    with pytest.raises(StoreUnavailableError, match="it did not answer within 2 s"):
        await fragile.inbox.accept("Ev1", "event", {})
    server.resume()

    await fragile.inbox.accept("Ev1", "event", {})
    assert (await fragile.inbox.counts()).waiting == 2, "whether or not it had arrived all the same"


async def test_a_store_without_memory_takes_nothing(fragile: Store) -> None:
    async with fragile.connection.client() as client:
        await client.execute_command("CONFIG", "SET", "maxmemory", "1")  # pyright: ignore[reportUnknownMemberType]
    with pytest.raises(StoreUnavailableError, match="it has no memory left for new entries"):
        await fragile.inbox.accept("Ev1", "event", {})


async def test_work_goes_on_after_the_store_was_killed(server: RedisServer, fragile: Store) -> None:
    book = Book()
    for number in range(50):
        await fragile.inbox.accept(f"Ev{number}", "event", {"number": number})
    async with at_work(fragile.inbox.work(book, concurrency=2)):
        await book.until(lambda handled: len(handled) >= 10)
        server.stop(by=9)
        server.start()
        await fragile.connection.until_back()
        for number in range(50, 100):
            await fragile.inbox.accept(f"Ev{number}", "event", {"number": number})
        await book.until(lambda handled: len({entry.id for entry in handled}) == 100)
        await empty(fragile.inbox)

    counted = Counter(entry.body["number"] for entry in book.handled)
    assert counted.keys() == set(range(100))
    assert counted.total() <= 104, "at most those are handled again that were at work"


async def test_work_goes_on_after_the_store_was_emptied(fragile: Store) -> None:
    book = Book()
    async with at_work(fragile.inbox.work(book)):
        await fragile.inbox.accept("Ev1", "event", {})
        await book.until(lambda handled: len(handled) == 1)
        async with fragile.connection.client() as client:
            await client.execute_command("FLUSHALL")  # pyright: ignore[reportUnknownMemberType]
        await fragile.inbox.accept("Ev2", "event", {})
        await book.until(lambda handled: len(handled) == 2)


async def test_work_goes_on_after_the_store_was_emptied_before_suspects_were_looked_for(
    server: RedisServer, tmp_path: Path
) -> None:
    """The first wait for entries follows a sweep: what is asked next asks about a group that is gone."""
    book = Book()
    async with open_store(server.url, tmp_path, lease_s=60) as store, at_work(store.inbox.work(book)):
        async with store.connection.client() as client:
            while not any(one["cmd"] == "xreadgroup" for one in await client.client_list()):  # pyright: ignore[reportUnknownMemberType]
                pass
            await client.execute_command("FLUSHALL")  # pyright: ignore[reportUnknownMemberType]
        await store.inbox.accept("Ev1", "event", {})
        await book.until(lambda handled: len(handled) == 1)


async def test_a_handler_that_misses_the_store_has_not_failed(fragile: Store) -> None:
    """Ten minutes without a store must not use up an entry's attempts."""
    book = Book()

    async def handle(entry: Entry) -> None:
        await book(entry)
        if len(book.handled) < 4:
            async with asyncio.TaskGroup() as group:
                group.create_task(away())

    async def away() -> None:
        raise StoreUnavailableError("there", "it is away")

    await fragile.inbox.accept("Ev1", "event", {})
    async with at_work(fragile.inbox.work(handle)):
        await empty(fragile.inbox)

    assert [entry.attempt for entry in book.handled] == [1] * 4


async def test_a_handler_that_needs_an_answer_from_elsewhere_has_not_failed(fragile: Store) -> None:
    book = Book()

    async def handle(entry: Entry) -> None:
        await book(entry)
        if len(book.handled) < 7:
            raise NotNowError("Slack does not say.")

    await fragile.inbox.accept("Ev1", "event", {})
    async with at_work(fragile.inbox.work(handle)):
        await empty(fragile.inbox)

    assert [entry.attempt for entry in book.handled] == [1] * 7
    assert (await fragile.inbox.counts()).dead == 0


WORKER = """
import asyncio, sys
from pathlib import Path
from bot.store import open_store

async def main(url, directory):
    out = open(Path(directory) / "handled", "a", buffering=1)

    async def handle(entry):
        out.write(f"begun {entry.body['number']}\\n")
        await asyncio.sleep(0.02)
        out.write(f"done {entry.body['number']}\\n")
        print(".", end="", flush=True)

    async with open_store(url, Path(directory), lease_s=0.5) as store:
        await store.inbox.work(handle, concurrency=4)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_killed_workers_lose_nothing_and_repeat_only_what_they_had_begun(
    server: RedisServer, fragile: Store, tmp_path: Path
) -> None:
    kills, entries = 2, 80
    chance = random.Random(4)
    for number in range(entries):
        await fragile.inbox.accept(f"Ev{number}", "event", {"number": number})
    for run in range(kills + 1):
        worker = await asyncio.create_subprocess_exec(
            sys.executable, "-c", WORKER, server.url, str(tmp_path), stdout=asyncio.subprocess.PIPE
        )
        try:
            assert worker.stdout
            async with asyncio.timeout(60):
                if run < kills:
                    await worker.stdout.readexactly(chance.randint(1, 20))
                else:
                    await empty(fragile.inbox)
        finally:
            worker.kill()
            await worker.wait()

    lines = (tmp_path / "handled").read_text(encoding="ascii").split("\n")
    done = Counter(line for line in lines if line.startswith("done"))
    begun = Counter(line for line in lines if line.startswith("begun"))
    assert len(done) == entries
    assert begun.total() <= entries + kills * 4
    assert (await fragile.inbox.counts()).dead == 0
