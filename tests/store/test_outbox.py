"""The outbox's queue: what it keeps, in which order it gives it, and that it forgets nothing and leaks nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest

from bot.domain.outgoing import Attach, Content, Edit, Ephemeral, Place, Post, Priority, React
from bot.store import Store
from bot.store.outbox import OutboxQueue
from bot.store.outbox_entries import (
    Arrived,
    Budget,
    Dead,
    Nothing,
    OutboxFullError,
    Put,
    QueueLimits,
    ToEdit,
    ToReact,
    ToSend,
    Wait,
)

C = "C1"
ME, OTHER = "me", "other"
IN_FLIGHT_S = 12.0


@pytest.fixture
async def queue(store: Store) -> OutboxQueue:
    """Served by ME."""
    await store.outbox.lease(("posts", C), ME, now=0, lease_s=1000)
    await store.outbox.lease(("changes", C), ME, now=0, lease_s=1000)
    return store.outbox


def post(key: str, priority: Priority = Priority.NORMAL, **place: str) -> Post:
    return Post(key=key, place=Place(channel=C, **place), content=Content(text=key), priority=priority)


def edit(key: str, text: str, priority: Priority = Priority.PROGRESS) -> Edit:
    return Edit(key=key, place=Place(channel=C), content=Content(text=text), priority=priority)


async def next_post(queue: OutboxQueue, now: float) -> ToSend:
    found = await queue.next_post(C, ME, now=now, in_flight_s=IN_FLIGHT_S)
    assert isinstance(found, ToSend), found
    return found


async def send(queue: OutboxQueue, now: float, ts: str = "") -> str:
    """Send the next post; its key."""
    todo = await next_post(queue, now)
    assert not todo.is_uncertain
    content = todo.item.content if isinstance(todo.item, Post) else None
    arrived = Arrived(key=todo.key, ts=ts or f"{now:.6f}", thread=todo.thread, content=content)
    await queue.sent(arrived, now=now, next_post_at=now + 1, next_edit_at=now + 1)
    return todo.key


async def everything(queue: OutboxQueue, now: float = 0.0) -> list[str]:
    """Keys in the order of sending."""
    keys: list[str] = []
    while (await queue.state()).waiting:
        keys.append(await send(queue, now))
        now += 1
    return keys


async def test_items_come_back_as_they_were_put(queue: OutboxQueue) -> None:
    blocks = ({"type": "section", "text": {"type": "mrkdwn", "text": "é </b>\x00"}},)
    content = Content(text="é\n\x00", blocks=blocks)
    place = Place(channel=C, thread="1.0")
    items: list[Post | Ephemeral | Attach] = [
        Post(key="p", place=place, content=content, priority=Priority.PROGRESS, response_url="http://r"),
        Ephemeral(key="w", place=Place(channel=C), user="U1", content=content, response_url="http://r"),
        Attach(key="a", place=place, filename="f", title="t", alt_text="x", content=b"\x00\xff", comment="c"),
    ]
    for item in items:
        assert await queue.put(item, now=0) is Put.NEW
        assert await queue.put(item, now=0) is Put.KNOWN
    back: dict[str, Post | Ephemeral | Attach] = {}
    for now in range(3):
        todo = await next_post(queue, now)
        back[todo.key] = todo.item
        if todo.key == "a":
            assert await queue.file("a") == b"\x00\xff"
        await queue.sent(Arrived(key=todo.key, ts="1", thread=""), now=now, next_post_at=0, next_edit_at=0)

    assert back["p"] == items[0]
    assert back["w"] == items[1]
    assert back["a"] == replace(items[2], content=b"")
    assert await queue.file("a") == b"", "what is sent takes no room"


async def test_order_is_by_priority_between_threads_and_by_time_within(queue: OutboxQueue) -> None:
    await queue.put(post("progress", Priority.PROGRESS), now=0)
    await queue.put(post("a"), now=0)
    await queue.put(post("b"), now=0)
    await queue.put(post("a1", Priority.PROGRESS, thread_key="a"), now=0)
    await queue.put(post("a2", Priority.VERDICT, thread_key="a"), now=0)
    await queue.put(post("t1", thread="7.7"), now=0)
    await queue.put(post("t2", Priority.VERDICT, thread="7.7"), now=0)
    await queue.put(Ephemeral(key="w", place=Place(channel=C), user="U", content=Content(text="w")), now=0)

    assert await everything(queue) == ["a", "a1", "a2", "t1", "t2", "w", "b", "progress"]


async def test_a_thread_is_one_whether_it_is_named_by_key_or_by_ts(queue: OutboxQueue) -> None:
    await queue.put(post("root"), now=0)
    await send(queue, 0, ts="5.5")
    await queue.put(post("by ts", Priority.PROGRESS, thread="5.5"), now=1)
    await queue.put(post("by key", Priority.VERDICT, thread_key="root"), now=1)

    assert await everything(queue, 1) == ["by ts", "by key"]


async def test_a_post_that_is_a_reply_itself_stands_for_its_thread(queue: OutboxQueue) -> None:
    """Slack takes the ts of a thread's first message, never that of a reply."""
    await queue.put(post("in alert's thread", thread="3.3"), now=0)
    await queue.put(post("reply", thread_key="in alert's thread"), now=0)
    await send(queue, 0, ts="4.4")

    assert (await next_post(queue, 1)).thread == "3.3"


async def test_a_thread_without_root_is_the_channel(queue: OutboxQueue) -> None:
    await queue.put(post("reply", thread_key="never put"), now=0)

    todo = await next_post(queue, 0)
    assert (todo.thread, todo.is_rootless) == ("", True)


async def test_a_root_of_another_channel_is_no_root(queue: OutboxQueue) -> None:
    await queue.put(Post(key="root", place=Place(channel="C2"), content=Content(text="x")), now=0)
    await queue.put(post("reply", thread_key="root"), now=0)

    assert (await next_post(queue, 0)).is_rootless


async def test_the_pace_of_a_channel_outlives_who_serves_it(queue: OutboxQueue) -> None:
    await queue.put(post("a"), now=0)
    await queue.put(post("b"), now=0)
    await send(queue, 10)
    await queue.release(("posts", C), ME, only_idle=False)
    await queue.lease(("posts", C), OTHER, now=10, lease_s=10)

    assert await queue.next_post(C, OTHER, now=10.5, in_flight_s=1) == Wait(until=11)


async def test_what_is_under_way_is_looked_for_only_when_it_must_have_arrived(queue: OutboxQueue) -> None:
    await queue.put(post("a"), now=0)
    assert not (await next_post(queue, 100)).is_uncertain

    assert await queue.next_post(C, ME, now=101, in_flight_s=IN_FLIGHT_S) == Wait(until=112)
    todo = await next_post(queue, 112)
    assert (todo.is_uncertain, todo.first_at) == (True, 100)


async def test_a_thread_that_waits_stops_no_other(queue: OutboxQueue) -> None:
    await queue.put(post("a"), now=0)
    await queue.put(post("b"), now=0)
    await next_post(queue, 0)
    await queue.keep("a", is_uncertain=True, now=0, hold_until=30, next_post_at=1)

    assert await send(queue, 1) == "b"
    assert await queue.next_post(C, ME, now=2, in_flight_s=IN_FLIGHT_S) == Wait(until=30)
    assert (await next_post(queue, 30)).is_uncertain


async def test_only_one_serves_a_channel(queue: OutboxQueue) -> None:
    await queue.put(post("a"), now=0)

    assert not await queue.lease(("posts", C), OTHER, now=999, lease_s=10)
    assert await queue.next_post(C, OTHER, now=999, in_flight_s=1) is Nothing.LOST
    assert await queue.lease(("posts", C), OTHER, now=1001, lease_s=10)
    assert await queue.next_post(C, ME, now=1001, in_flight_s=1) is Nothing.LOST
    assert isinstance(await queue.next_post(C, OTHER, now=1001, in_flight_s=1), ToSend)


async def test_a_unit_is_given_back_only_when_it_has_no_work(queue: OutboxQueue) -> None:
    await queue.put(post("a"), now=0)
    assert await queue.units() == {("posts", C)}
    assert not await queue.release(("posts", C), ME, only_idle=True)
    await send(queue, 0)

    assert await queue.next_post(C, ME, now=5, in_flight_s=1) is Nothing.IDLE
    assert await queue.release(("posts", C), ME, only_idle=True)
    assert await queue.units() == set()


async def test_taking_over_looks_at_once_for_what_was_under_way(queue: OutboxQueue) -> None:
    await queue.put(post("a"), now=0)
    await next_post(queue, 0)
    await queue.take_over(settled_at=2)

    assert await queue.lease(("posts", C), OTHER, now=1, lease_s=10)
    assert await queue.next_post(C, OTHER, now=1, in_flight_s=1) == Wait(until=2)
    todo = await queue.next_post(C, OTHER, now=2, in_flight_s=1)
    assert isinstance(todo, ToSend)
    assert todo.is_uncertain


async def test_edits_join_posts_replace_edits_and_raise_priority(queue: OutboxQueue) -> None:
    await queue.put(post("first"), now=0)
    await queue.put(post("p", Priority.PROGRESS), now=0)
    await queue.put(edit("p", "one"), now=0)
    await queue.put(edit("p", "two", Priority.VERDICT), now=0)
    todo = await next_post(queue, 0)

    assert isinstance(todo.item, Post)
    assert (todo.key, todo.item.content.text) == ("p", "two")


async def test_an_edit_that_replaces_one_that_waited_long_is_counted(queue: OutboxQueue) -> None:
    await queue.put(post("p"), now=0)
    await send(queue, 0)
    assert await queue.put(edit("p", "one"), now=10) is Put.NEW
    assert await queue.put(edit("p", "two"), now=14) is Put.NEW
    assert await queue.put(edit("p", "three"), now=16) is Put.WITHHELD
    todo = await queue.next_change(C, ME, now=16, budget=Budget())

    assert isinstance(todo, ToEdit)
    assert todo.content.text == "three"
    assert await queue.changed("p", now=16, next_edit_at=17) == 1
    assert await queue.next_change(C, ME, now=30, budget=Budget()) is Nothing.IDLE


async def test_an_edit_during_an_edit_comes_next(queue: OutboxQueue) -> None:
    await queue.put(post("p"), now=0)
    await send(queue, 0)
    await queue.put(edit("p", "one"), now=1)
    assert isinstance(await queue.next_change(C, ME, now=1, budget=Budget()), ToEdit)
    await queue.put(edit("p", "two"), now=1.5)
    await queue.changed("p", now=2, next_edit_at=3)

    assert await queue.next_change(C, ME, now=2, budget=Budget()) == Wait(until=3)
    todo = await queue.next_change(C, ME, now=3, budget=Budget())
    assert isinstance(todo, ToEdit)
    assert todo.content.text == "two"


async def test_the_budget_refills_and_keeps_a_reserve(queue: OutboxQueue) -> None:
    budget = Budget(burst=3, per_minute=60, reserve=1)
    for key in "abcd":
        await queue.put(post(key), now=0)
        await send(queue, 0 if key == "a" else ord(key), ts=key)
        await queue.put(edit(key, "new"), now=200)
    made = [await queue.next_change(C, ME, now=200, budget=budget)]
    await queue.changed("a", now=200, next_edit_at=201)
    made.append(await queue.next_change(C, ME, now=200, budget=budget))
    await queue.changed("b", now=200, next_edit_at=201)

    assert [isinstance(one, ToEdit) for one in made] == [True, True]
    assert await queue.next_change(C, ME, now=200, budget=budget) == Wait(until=201), "the reserve is not for progress"
    await queue.put(edit("d", "approved", Priority.VERDICT), now=200)
    todo = await queue.next_change(C, ME, now=200, budget=budget)
    assert isinstance(todo, ToEdit)
    assert todo.key == "d"


async def test_a_queue_has_an_end(store: Store) -> None:
    small = OutboxQueue(store.connection, limits=QueueLimits(channel_items=2, file_bytes=10, all_files_bytes=15))

    def file(key: str, size: int) -> Attach:
        return Attach(
            key=key, place=Place(channel="C2"), filename="f", title="t", alt_text="", content=b"x" * size
        )  # fmt: skip

    await small.put(post("a"), now=0)
    await small.put(post("b"), now=0)
    with pytest.raises(OutboxFullError, match="2 messages wait already"):
        await small.put(post("c"), now=0)
    await small.put(post("a"), now=0)  # known: no room needed
    with pytest.raises(ValueError, match="over the limit"):
        await small.put(file("f0", 11), now=0)
    await small.put(file("f1", 10), now=0)
    with pytest.raises(OutboxFullError, match="files of 15 bytes"):
        await small.put(file("f2", 10), now=0)
    await small.put(file("f3", 5), now=0)


async def test_what_has_no_place_is_refused(queue: OutboxQueue) -> None:
    with pytest.raises(ValueError, match="without key or channel"):
        await queue.put(Post(key="a", place=Place(channel=""), content=Content(text="x")), now=0)


async def test_what_waited_for_the_dead_dies_with_it(queue: OutboxQueue) -> None:
    await queue.put(post("a"), now=0)
    await queue.put(edit("a", "edited"), now=0)
    await queue.put(React(key="r", place=Place(channel=C), message_key="a", name="eyes"), now=0)
    await next_post(queue, 0)
    await queue.give_up(
        Dead(key="a", kind="post", channel=C, reason="is_archived", text="a", at=0), next_post_at=1
    )  # fmt: skip

    assert (await queue.state()).waiting == 0
    assert (await queue.state()).dead == 1
    assert await queue.put(edit("a", "again"), now=1) is Put.KNOWN
    assert await queue.put(post("a"), now=1) is Put.KNOWN, "put again by a handler that runs again: it stays dead"


async def test_nothing_stays_for_ever(queue: OutboxQueue, store: Store) -> None:
    """Whatever is left in Redis when nothing waits has a time to live, or is bounded in number."""
    await queue.put(post("a"), now=0)
    await queue.put(React(key="r", place=Place(channel=C), message_key="a", name="eyes"), now=0)
    await queue.put(Ephemeral(key="w", place=Place(channel=C), user="U", content=Content(text="w")), now=0)
    await queue.put(
        Attach(key="f", place=Place(channel=C), filename="f", title="t", alt_text="", content=b"x"), now=0
    )  # fmt: skip
    for now in range(3):
        await send(queue, now)
    await queue.put(edit("a", "edited"), now=5)
    for now in (10, 11):
        todo = await queue.next_change(C, ME, now=now, budget=Budget())
        assert isinstance(todo, ToEdit | ToReact)
        await queue.changed(todo.key, now=now, next_edit_at=now + 1)
    for what in ("posts", "changes"):
        await queue.release((what, C), ME, only_idle=True)

    assert (await queue.state()).waiting == 0
    async with store.connection.client() as redis:
        names = cast("list[bytes]", await redis.keys("*"))  # pyright: ignore[reportUnknownMemberType]
        left = [name.decode() for name in names if await redis.ttl(name) < 0]
    assert sorted(left) == ["cnibot:outbox:bytes", "cnibot:outbox:seq"], "two counters"
