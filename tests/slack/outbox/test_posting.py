"""Posts: one a second, in order, each exactly once."""

from __future__ import annotations

from itertools import pairwise

import pytest

from bot.domain.outgoing import Attach, Content, Edit, Ephemeral, Place, Post, Priority, React
from tests.slack.outbox.rig import Rig


async def test_a_post_is_sent_once_however_often_it_is_put(rig: Rig) -> None:
    outbox = rig.outbox()
    for _ in range(3):
        await outbox.put(rig.post("a", "hello"))
        await rig.work(outbox)

    assert rig.said() == ["hello"]
    assert await outbox.ts_of("a") == rig.messages()[0].ts


async def test_a_channel_gets_one_post_a_second(rig: Rig) -> None:
    outbox = rig.outbox()
    for number in range(5):
        await outbox.put(rig.post(f"m{number}"))
    await rig.work(outbox)

    assert rig.said() == [f"m{number}" for number in range(5)]
    times = rig.times("chat.postMessage")
    assert all(later - earlier >= 1 for earlier, later in pairwise(times)), times


async def test_replies_find_the_thread_of_a_post_that_was_not_sent_when_they_were_put(rig: Rig) -> None:
    outbox = rig.outbox()
    await outbox.put(rig.post("root"))
    await outbox.put(rig.post("reply", thread_key="root"))
    await rig.work(outbox)

    root, reply = rig.messages()
    assert (root.text, reply.text, reply.thread_ts) == ("root", "reply", root.ts)


async def test_a_verdict_goes_before_what_was_put_earlier_and_pulls_its_thread_along(rig: Rig) -> None:
    outbox = rig.outbox()
    for number in range(3):
        await outbox.put(rig.post(f"other{number}"))
    await outbox.put(rig.post("root"))
    await outbox.put(rig.post("verdict", priority=Priority.VERDICT, thread_key="root"))
    await rig.work(outbox)

    assert rig.said() == ["root", "verdict", "other0", "other1", "other2"]


async def test_429_is_waited_for_and_nothing_is_lost(rig: Rig) -> None:
    outbox = rig.outbox()
    rig.ws.faults.rate_limit("chat.postMessage", times=2, retry_after=30)
    await outbox.put(rig.post("a"))
    took_s = await rig.work(outbox)

    assert rig.said() == ["a"]
    assert 60 <= took_s < 65
    assert outbox.counters.rate_limited == 2


@pytest.mark.parametrize("in_thread", [False, True])
async def test_a_message_whose_reply_got_lost_is_found_and_not_posted_again(rig: Rig, in_thread: bool) -> None:  # noqa: FBT001
    outbox = rig.outbox()
    await outbox.put(rig.post("root"))
    await rig.work(outbox)
    rig.ws.faults.lose_replies("chat.postMessage")
    await outbox.put(rig.post("a", thread_key="root" if in_thread else None))
    await outbox.put(rig.post("b", thread_key="root" if in_thread else None))
    await rig.work(outbox)

    assert sorted(rig.said()) == ["a", "b", "root"]
    assert outbox.counters.reconciled == 1
    assert await outbox.ts_of("a")


async def test_an_error_of_the_server_is_looked_into_before_posting_again(rig: Rig) -> None:
    outbox = rig.outbox()
    rig.ws.faults.server_error("chat.postMessage", times=2, status=503)
    await outbox.put(rig.post("a"))
    await rig.work(outbox)

    assert rig.said() == ["a"]
    assert len(rig.ws.calls.of("conversations.history")) == 2


async def test_blocks_that_slack_refuses_cost_the_blocks_and_not_the_message(rig: Rig) -> None:
    outbox = rig.outbox()
    blocks = ({"type": "no such block"},)
    await outbox.put(Post(key="a", place=rig.place(), content=Content(text="in words", blocks=blocks)))
    await rig.work(outbox)

    (message,) = rig.messages()
    assert message.text == "in words"
    assert outbox.counters.degraded == 1


async def test_what_can_never_be_sent_is_kept_aside_with_its_reason_and_blocks_nobody(rig: Rig) -> None:
    outbox = rig.outbox()
    rig.ws.channel("alerts").is_archived = True
    place = Place(channel=rig.ws.channel("alerts").id)
    await outbox.put(Post(key="a", place=place, content=Content(text="to nowhere")))
    await outbox.put(Post(key="b", place=place, content=Content(text="to nowhere either")))
    await outbox.put(rig.post("c"))
    await rig.work(outbox)

    dead = await rig.queue.dead()
    assert sorted((one.key, one.reason, one.text) for one in dead) == [
        ("a", "is_archived", "to nowhere"), ("b", "is_archived", "to nowhere either"),
    ]  # fmt: skip
    assert rig.said() == ["c"]
    assert (await outbox.state()).waiting == 0


async def test_ephemeral_messages_reach_one_person(rig: Rig) -> None:
    outbox = rig.outbox()
    alice = rig.ws.user("alice")
    await outbox.put(Ephemeral(key="w", place=rig.place(), user=alice.id, content=Content(text="for you")))
    await rig.work(outbox)

    assert [one.text for one in alice.ephemerals("incidents")] == ["for you"]
    assert rig.said() == []


async def test_an_ephemeral_message_waits_for_the_thread_it_belongs_to(rig: Rig) -> None:
    outbox = rig.outbox()
    alice = rig.ws.user("alice")
    await outbox.put(rig.post("root"))
    place = rig.place(thread_key="root")
    await outbox.put(Ephemeral(key="w", place=place, user=alice.id, content=Content(text="for you")))
    await rig.work(outbox)

    (call,) = rig.ws.calls.of("chat.postEphemeral")
    assert call.args["thread_ts"] == await outbox.ts_of("root")


async def test_a_file_comes_with_its_alt_text(rig: Rig) -> None:
    outbox = rig.outbox()
    await outbox.put(rig.post("root"))
    await outbox.put(
        Attach(
            key="f",
            place=rig.place(thread_key="root"),
            filename="matrix.png",
            title="Matrix",
            alt_text="Node 2 reaches nobody",
            content=b"\x89PNG\x00\xff",
            comment="all nodes",
        )
    )
    await rig.work(outbox)
    await rig.ws.until(lambda: rig.ws.files("incidents"))

    (file,) = rig.ws.files("incidents")
    assert (file.content, file.alt_txt, file.title) == (b"\x89PNG\x00\xff", "Node 2 reaches nobody", "Matrix")
    message = rig.messages()[-1]
    assert (message.text, message.thread_ts) == ("all nodes", await outbox.ts_of("root"))


@pytest.mark.parametrize("method", ["files.getUploadURLExternal", "files.completeUploadExternal"])
async def test_a_file_is_shown_once_whichever_reply_got_lost(rig: Rig, method: str) -> None:
    outbox = rig.outbox()
    rig.ws.faults.lose_replies(method)
    await outbox.put(Attach(key="f", place=rig.place(), filename="a.txt", title="A", alt_text="", content=b"a"))
    await rig.work(outbox)
    await rig.ws.until(rig.messages)

    assert len(rig.messages()) == 1
    assert len(rig.ws.files("incidents")) == 1


async def test_reactions_wait_for_their_message(rig: Rig) -> None:
    outbox = rig.outbox()
    await outbox.put(rig.post("root"))
    await outbox.put(React(key="r", place=rig.place(), message_key="root", name="eyes"))
    await outbox.put(React(key="r2", place=rig.place(), message_key="root", name="eyes"))
    await rig.work(outbox)

    (message,) = rig.messages()
    assert list(message.reactions) == ["eyes"]
    assert (await outbox.state()).waiting == 0


async def test_an_edit_of_an_unknown_post_is_posted(rig: Rig) -> None:
    outbox = rig.outbox()
    await outbox.put(Edit(key="old", place=rig.place(), content=Content(text="newest state")))
    await rig.work(outbox)

    assert rig.said() == ["newest state"]
