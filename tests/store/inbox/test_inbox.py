"""The inbox: what is accepted is handled, and nothing is lost."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from bot.aio.retry import Backoff
from bot.domain.errors import ElsewhereError, TooLargeError
from bot.store import Entry, Inbox, Store, StoreUnavailableError, open_store
from bot.store.inbox.entry import Handle, OnDead
from bot.store.inbox.leases import Leases
from bot.store.inbox.worker import Worker
from tests.redis import RedisServer
from tests.store.inbox_workers import Book, at_work, empty

QUICK = Backoff(attempts=4, first_s=0.01, max_s=0.02)


async def test_an_entry_comes_out_as_it_went_in(store: Store) -> None:
    body: dict[str, Any] = {
        "type": "event_callback",
        "event": {"text": "é </b>\x00\n", "n": 1.5, "none": None, "deep": [[{"a": 0}]]},
    }
    book = Book()
    assert await store.inbox.accept("Ev1", "event", body)
    async with at_work(store.inbox.work(book)):
        await book.until(lambda handled: len(handled) == 1)
        await empty(store.inbox)

    (entry,) = book.handled
    assert (entry.kind, entry.body, entry.attempt) == ("event", body, 1)
    assert entry.received_at > 1.7e9


async def test_a_thousand_events_with_every_tenth_redelivered_are_each_handled_once(store: Store) -> None:
    book = Book()
    new = 0
    async with at_work(store.inbox.work(book)):
        for number in range(1000):
            new += await store.inbox.accept(f"Ev{number}", "event", {"number": number})
            if number % 10 == 0:
                new += await store.inbox.accept(f"Ev{number}", "event", {"number": number})
        await book.until(lambda handled: len(handled) >= 1000)
        await empty(store.inbox)

    assert new == 1000
    assert Counter(entry.body["number"] for entry in book.handled) == Counter(range(1000))


async def test_the_same_request_at_the_same_time_is_new_once(store: Store) -> None:
    async with asyncio.TaskGroup() as group:
        answers = [group.create_task(store.inbox.accept("Ev1", "event", {})) for _ in range(20)]

    assert sum(answer.result() for answer in answers) == 1
    assert (await store.inbox.counts()).waiting == 1


async def test_more_requests_at_once_than_connections_are_all_kept(store: Store) -> None:
    async with asyncio.TaskGroup() as group:
        answers = [group.create_task(store.inbox.accept(f"Ev{number}", "event", {})) for number in range(150)]

    assert all(answer.result() for answer in answers)
    assert (await store.inbox.counts()).waiting == 150


async def test_two_processes_share_the_work(store: Store, redis_server: RedisServer, tmp_path: Path) -> None:
    one, two = Book(), Book()
    async with open_store(redis_server.url, tmp_path) as other:
        for number in range(200):
            await store.inbox.accept(f"Ev{number}", "event", {"number": number})
        async with at_work(store.inbox.work(one, concurrency=2)), at_work(other.inbox.work(two, concurrency=2)):
            await empty(store.inbox)

    numbers = Counter(entry.body["number"] for entry in one.handled + two.handled)
    assert numbers == Counter(range(200))


async def test_no_more_than_wanted_at_a_time(store: Store) -> None:
    now = most = 0

    async def handle(_: Entry) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        for _round in range(5):
            await asyncio.sleep(0)
        now -= 1

    for number in range(50):
        await store.inbox.accept(f"Ev{number}", "event", {})
    async with at_work(store.inbox.work(handle, concurrency=3)):
        await empty(store.inbox)

    assert most == 3


def patient(store: Store, **options: Any) -> Inbox:
    """An inbox on the store's connection that tries again soon."""
    return Inbox(store.connection, backoff=QUICK, **options)


async def test_a_failing_handler_is_called_again(store: Store) -> None:
    book = Book()

    async def handle(entry: Entry) -> None:
        await book(entry)
        if entry.attempt < 3:
            raise ValueError("not yet")

    inbox = patient(store)
    await inbox.accept("Ev1", "event", {})
    async with at_work(inbox.work(handle)):
        await book.until(lambda handled: len(handled) == 3)
        await empty(inbox)

    assert [entry.attempt for entry in book.handled] == [1, 2, 3]
    assert len({entry.id for entry in book.handled}) == 1
    assert (await inbox.counts()).dead == 0


async def test_what_failed_elsewhere_is_logged_without_a_traceback_of_ours(store: Store) -> None:
    """The process that makes diagnoses was killed, say: that was logged where it was seen."""

    async def handle(entry: Entry) -> None:
        raise (ElsewhereError("killed by signal 9") if entry.attempt == 1 else ValueError("a fault")) from None

    inbox = patient(store)
    await inbox.accept("Ev1", "event", {})
    with capture_logs() as said:
        async with at_work(inbox.work(handle)):
            await empty(inbox)

    first, second, *_ = [each for each in said if each["event"] == "inbox.handler_failed"]
    assert (first["why"], first["exc_info"]) == ("killed by signal 9", None)
    assert isinstance(second["exc_info"], ValueError)


async def test_a_cancellation_that_nobody_ordered_is_a_failure_with_a_last_word(store: Store) -> None:
    reported: list[str] = []

    async def handle(_: Entry) -> None:
        raise asyncio.CancelledError

    async def on_dead(_: Entry, error: str) -> None:
        reported.append(error)

    inbox = patient(store)
    await inbox.accept("Ev1", "command", {})
    async with at_work(inbox.work(handle, on_dead=on_dead)):
        await empty(inbox)

    assert reported == ["StrayCancellationError: it was cancelled without a request"]


async def test_an_entry_that_always_fails_is_put_aside_and_told(store: Store) -> None:
    book = Book()
    reported: list[tuple[str, str]] = []

    async def handle(entry: Entry) -> None:
        await book(entry)
        if entry.body["poison"]:
            raise ValueError("no good")

    async def on_dead(entry: Entry, error: str) -> None:
        reported.append((entry.id, error))

    inbox = patient(store)
    await inbox.accept("Ev1", "command", {"poison": True})
    await inbox.accept("Ev2", "command", {"poison": False})
    async with at_work(inbox.work(handle, on_dead=on_dead)):
        await empty(inbox)

    poison = [entry for entry in book.handled if entry.body["poison"]]
    assert len(poison) == 4
    assert reported == [(poison[0].id, "ValueError: no good")]
    (dead,) = await inbox.dead()
    assert (dead.entry.id, dead.entry.kind, dead.error) == (poison[0].id, "command", "ValueError: no good")


async def test_what_fails_makes_room_for_others_while_it_waits(store: Store) -> None:
    book = Book()

    async def handle(entry: Entry) -> None:
        await book(entry)
        if entry.body["poison"]:
            raise ValueError

    inbox = Inbox(store.connection, backoff=Backoff(attempts=2, first_s=3600, max_s=3600))
    await inbox.accept("Ev1", "event", {"poison": True})
    async with at_work(inbox.work(handle, concurrency=1)):
        await book.until(lambda handled: len(handled) == 1)
        await inbox.accept("Ev2", "event", {"poison": False})
        await book.until(lambda handled: len(handled) == 2)


async def test_on_dead_that_fails_keeps_nothing_up(store: Store) -> None:
    async def fail(*_: object) -> None:
        raise ValueError("as bad")

    inbox = patient(store)
    await inbox.accept("Ev1", "event", {})
    async with at_work(inbox.work(fail, on_dead=fail)):
        await empty(inbox)

    assert (await inbox.counts()).dead == 1


async def test_what_is_no_entry_of_ours_is_put_aside(store: Store) -> None:
    async with store.connection.client() as client:
        await client.xadd("cnibot:inbox", {"kind": "pickle", "body": b"\x80\x04."})
        await client.xadd("cnibot:inbox", {"kind": "event", "body": b"\x80\x04.", "received_at": "1"})
        await client.xadd("cnibot:inbox", {"kind": "event", "body": b"[]", "received_at": "1"})
    book = Book()
    await store.inbox.accept("Ev1", "event", {})
    async with at_work(store.inbox.work(book)):
        await empty(store.inbox)

    assert len(book.handled) == 1
    assert (await store.inbox.counts()).dead == 3
    assert await store.inbox.dead() == ()


async def test_cancelling_gives_back_what_was_begun(store: Store, redis_server: RedisServer, tmp_path: Path) -> None:
    """A rolling update does not wait for a lease to run out, and it is no failed attempt."""
    begun = asyncio.Event()

    async def handle(_: Entry) -> None:
        begun.set()
        await asyncio.Event().wait()

    await store.inbox.accept("Ev1", "event", {})
    async with at_work(store.inbox.work(handle)):
        async with asyncio.timeout(10):
            await begun.wait()
    book = Book()
    async with open_store(redis_server.url, tmp_path, lease_s=3600) as other, at_work(other.inbox.work(book)):
        await book.until(lambda handled: len(handled) == 1)

    assert book.handled[0].attempt == 1


async def test_stopping_finishes_what_was_begun_and_takes_nothing_new(store: Store) -> None:
    begun, go_on, stopping = asyncio.Event(), asyncio.Event(), asyncio.Event()
    book = Book()

    async def handle(entry: Entry) -> None:
        begun.set()
        await go_on.wait()
        await book(entry)

    await store.inbox.accept("Ev1", "event", {})
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        working = group.create_task(store.inbox.work(handle, stopping=stopping))
        await begun.wait()
        stopping.set()
        go_on.set()
        await working

    assert len(book.handled) == 1
    assert (await store.inbox.counts()).waiting == 0


async def test_a_lease_is_renewed_while_the_handler_works(
    redis_server: RedisServer, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process leaves it alone for several times the lease."""
    begun, renewed, go_on = asyncio.Event(), asyncio.Event(), asyncio.Event()
    mine, others = Book(), Book()
    renewals = 0
    keep = Leases.keep

    async def counted(self: Leases, held: Mapping[str, int]) -> set[str]:
        nonlocal renewals
        lost = await keep(self, held)
        renewals += 1
        if renewals == 9:
            renewed.set()
        return lost

    async def handle(entry: Entry) -> None:
        begun.set()
        await go_on.wait()
        await mine(entry)

    monkeypatch.setattr(Leases, "keep", counted)
    async with (
        open_store(redis_server.url, tmp_path, lease_s=1.2) as one,
        open_store(redis_server.url, tmp_path, lease_s=1.2) as two,
    ):
        await one.inbox.accept("Ev1", "event", {})
        async with asyncio.timeout(30), at_work(one.inbox.work(handle)):
            await begun.wait()
            async with at_work(two.inbox.work(others)):
                await renewed.wait()
                go_on.set()
                await mine.until(lambda handled: len(handled) == 1)
                await empty(store.inbox)
    assert others.handled == []


async def only_id(client: Redis) -> bytes:
    """Of the one entry in the stream."""
    entries = cast("list[tuple[bytes, object]]", await client.xrange("cnibot:inbox"))
    assert len(entries) == 1
    return entries[0][0]


async def test_who_lost_its_lease_stops(store: Store, redis_server: RedisServer, tmp_path: Path) -> None:
    """A process that was paused for longer than its lease must not go on beside its successor."""
    begun, cut = asyncio.Event(), asyncio.Event()

    async def handle(_: Entry) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cut.set()

    async with open_store(redis_server.url, tmp_path, lease_s=0.3) as one:
        await one.inbox.accept("Ev1", "event", {})
        async with asyncio.timeout(20), at_work(one.inbox.work(handle)):
            await begun.wait()
            async with store.connection.client() as client:
                await client.xclaim("cnibot:inbox", "workers", "successor", 0, [await only_id(client)])
            await cut.wait()
        async with store.connection.client() as client:
            (pending,) = await client.xpending_range("cnibot:inbox", "workers", "-", "+", 10)
    assert pending["consumer"] == b"successor"


async def test_an_entry_that_kills_its_process_is_given_up(store: Store) -> None:
    """Otherwise one request would take the bot down for ever; but nothing that was merely beside it is given up."""
    done: list[int] = []
    reported: list[int] = []
    lives = Lives(store)

    async def handle(entry: Entry) -> None:
        if entry.body["number"] == 7:
            await lives.die()
        await asyncio.sleep(0.01)
        done.append(entry.body["number"])

    async def on_dead(entry: Entry, error: str) -> None:
        reported.append(entry.body["number"])
        assert error == "It was begun 5 times with nothing beside it, and each time its process ended."

    for number in range(20):
        await store.inbox.accept(f"Ev{number}", "event", {"number": number})
    while not await lives.live(handle, on_dead):
        assert len(lives.ended) < 20, "it is never given up"

    assert reported == [7]
    assert set(done) == set(range(20)) - {7}  # what had ended beside it, and was not noted yet, is begun again
    assert len(lives.ended) == 2 + 5
    async with store.connection.client() as client:
        assert await client.exists("cnibot:inbox:crashes") == 0


async def test_processes_that_are_killed_lose_nothing(store: Store) -> None:
    """Killed by others: everything is handled in the end, and nothing is given up."""
    done: list[int] = []
    reported: list[str] = []
    lives = Lives(store)

    async def handle(entry: Entry) -> None:
        await asyncio.sleep(0.01)
        done.append(entry.body["number"])
        if len(done) % 4 == 0 and len(lives.ended) < 15:
            await lives.die()

    async def on_dead(_: Entry, error: str) -> None:
        reported.append(error)

    for number in range(40):
        await store.inbox.accept(f"Ev{number}", "event", {"number": number})
    while not await lives.live(handle, on_dead):
        pass

    assert reported == []
    assert set(done) == set(range(40))
    assert lives.ended


class Lives:
    """Processes one after the other on a store that each has for itself; they die without a word."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._dying = asyncio.Event()
        self.ended: list[str] = []

    async def die(self) -> None:
        self._dying.set()
        await asyncio.Event().wait()  # what runs no more does nothing more

    async def live(self, handle: Handle, on_dead: OnDead) -> bool:
        """One life; whether everything was handled at its end."""
        self._dying = asyncio.Event()
        inbox = Inbox(self._store.connection, is_alone=True, backoff=QUICK)

        async def cut_off(self: Worker) -> None:
            """A process that is killed gives nothing back."""

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Worker, "_give_back", cut_off)
            async with asyncio.timeout(30), at_work(inbox.work(handle, on_dead=on_dead)):
                while not self._dying.is_set():
                    if not (await inbox.counts()).waiting:
                        return True
                    await asyncio.sleep(0.005)
        self.ended.append("killed")
        return False


async def test_a_full_inbox_says_so(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.store.inbox.inbox.MOST_WAITING", 2)
    await store.inbox.accept("Ev1", "event", {})
    await store.inbox.accept("Ev2", "event", {})
    with pytest.raises(StoreUnavailableError, match=r"its inbox is full \(2 entries\)"):
        await store.inbox.accept("Ev3", "event", {})
    assert not await store.inbox.accept("Ev2", "event", {})


async def test_a_request_has_a_bound(store: Store) -> None:
    with pytest.raises(TooLargeError, match="A request is larger than 2 MiB"):
        await store.inbox.accept("Ev1", "event", {"text": "x" * 2 * 2**20})


async def test_consumers_of_ended_processes_are_forgotten(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.store.inbox.leases._IDLE_CONSUMER_MS", -1)
    await store.inbox.accept("Ev1", "event", {})
    async with store.connection.client() as client:
        await client.xgroup_create("cnibot:inbox", "workers", id="0")
        await client.xgroup_createconsumer("cnibot:inbox", "workers", "nothing undone")
        await client.xreadgroup("workers", "one undone", {"cnibot:inbox": ">"})
    book = Book()
    async with at_work(store.inbox.work(book)):
        await store.inbox.accept("Ev2", "event", {})
        await book.until(lambda handled: len(handled) == 1)
        async with store.connection.client() as client:
            names = {one["name"] for one in await client.xinfo_consumers("cnibot:inbox", "workers")}

    assert b"nothing undone" not in names
    assert b"one undone" in names
