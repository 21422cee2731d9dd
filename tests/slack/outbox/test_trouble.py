"""Messages that Slack does not take as they are, or not there, or not now."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from bot.domain.outgoing import Attach, Content, Place, Post, Whisper
from bot.lab.slack.handles import ResponseUrl
from tests.slack.outbox.rig import Rig

BAD_BLOCKS = ({"type": "no such block"},)


def response_url(rig: Rig, channel: str = "general", uses: int = 5) -> str:
    """As it comes with alice's command in a channel that the bot is not in."""
    handle = ResponseUrl(
        app_id=rig.ws.app.id, user=rig.ws.user("alice").id, channel=rig.ws.channel(channel).id, thread_ts="",
        message_ts="", is_ephemeral=False, expires_at=rig.clock.now() + 1800, uses_left=uses,
    )  # fmt: skip
    return rig.ws.base_url + rig.ws.platform.handles.new_response_url(handle)


def whispers(rig: Rig, channel: str = "general") -> list[str]:
    return [one.text for one in rig.ws.user("alice").whispers(channel)]


async def test_who_asks_where_the_bot_is_not_is_told_to_invite_it(rig: Rig) -> None:
    outbox = rig.outbox()
    general = rig.place(channel="general")
    await outbox.put(
        Post(key="a", place=general, content=Content(text="diagnosing"), response_url=response_url(rig))
    )  # fmt: skip
    await outbox.put(Post(key="b", place=rig.place("a", channel="general"), content=Content(text="the verdict")))
    await rig.work(outbox)

    (said,) = whispers(rig)
    assert said.startswith(f"I cannot post in <#{general.channel}>, because I am not in it. Invite me there")
    assert [(one.key, one.reason) for one in await rig.queue.dead()] == [
        ("b", "not_in_channel"), ("a", "not_in_channel"),
    ]  # fmt: skip


@pytest.mark.parametrize("blocks", [(), BAD_BLOCKS])
async def test_a_whisper_takes_the_response_url_where_the_bot_is_not(rig: Rig, blocks: tuple[dict[str, str]]) -> None:
    outbox = rig.outbox()
    whisper = Whisper(
        key="w", place=rig.place(channel="general"), user=rig.ws.user("alice").id,
        content=Content(text="not allowed", blocks=blocks), response_url=response_url(rig),
    )  # fmt: skip
    await outbox.put(whisper)
    await rig.work(outbox)

    assert whispers(rig) == ["not allowed"]
    assert await rig.queue.dead() == []


async def test_a_whisper_whose_response_url_is_used_up_is_given_up_at_once(rig: Rig) -> None:
    outbox = rig.outbox()
    whisper = Whisper(
        key="w", place=rig.place(channel="general"), user=rig.ws.user("alice").id, content=Content(text="x"),
        response_url=response_url(rig, uses=0),
    )  # fmt: skip
    await outbox.put(whisper)
    await outbox.put(replace(whisper, key="w2", response_url=""))
    took_s = await rig.work(outbox)

    assert sorted(one.reason for one in await rig.queue.dead()) == ["not_in_channel", "response_url: used_url"]
    assert took_s < 5


async def test_a_reply_to_what_was_deleted_goes_to_the_channel(rig: Rig) -> None:
    outbox = rig.outbox()
    await outbox.put(rig.post("root"))
    await rig.work(outbox)
    ts = await outbox.ts_of("root")
    assert ts
    del rig.ws.channel("incidents").messages[ts]
    await outbox.put(rig.post("verdict", thread_key="root"))
    await outbox.put(rig.post("more", thread_key="verdict"))
    await rig.work(outbox)

    verdict, more = rig.messages()
    assert (verdict.text, verdict.thread_ts) == ("verdict", verdict.ts), "the first of a new thread"
    assert (more.text, more.thread_ts) == ("more", verdict.ts)


async def test_a_reply_to_what_was_deleted_whose_reply_got_lost_is_found_in_the_channel(rig: Rig) -> None:
    outbox = rig.outbox()
    await outbox.put(Post(key="a", place=rig.place(thread="123.456"), content=Content(text="verdict")))
    await rig.work(outbox, for_s=0.1)
    assert rig.said() == ["verdict"]
    rig.ws.faults.lose_replies("chat.postMessage", times=1)
    await outbox.put(Post(key="b", place=rig.place(thread="123.789"), content=Content(text="another")))
    await rig.work(outbox)

    assert rig.said() == ["verdict", "another"]


async def test_a_message_that_slack_breaks_down_over_lets_others_pass(rig: Rig) -> None:
    outbox = rig.outbox()
    rig.ws.faults.server_error("chat.postMessage")
    await outbox.put(rig.post("a"))
    await outbox.put(rig.post("b"))
    await rig.work(outbox)

    assert rig.said() == ["b", "a"]


async def test_a_file_that_cannot_be_attached_leaves_a_word(rig: Rig) -> None:
    outbox = rig.outbox()
    rig.ws.app.scopes -= {"files:write"}
    await outbox.put(rig.post("root"))
    file = Attach(
        key="f", place=rig.place("root"), filename="x", title="All evidence", alt_text="", content=b"x", comment="Look."
    )
    await outbox.put(file)
    await rig.work(outbox)

    assert rig.said() == ["root", "The file “All evidence” could not be attached (missing_scope).\nLook."]


async def test_a_file_that_takes_too_long_does_not_hold_up_its_thread_for_ever(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = rig.outbox()

    async def hang(_url: str, _content: bytes) -> None:
        raise TimeoutError

    monkeypatch.setattr(outbox.context.calls, "_upload", hang)
    await outbox.put(rig.post("root"))
    file = Attach(key="f", place=rig.place("root"), filename="x", title="Evidence", alt_text="", content=b"x")
    await outbox.put(file)
    await outbox.put(rig.post("closed", thread_key="root"))
    await rig.work(outbox)

    assert rig.said() == ["root", "closed", "The file “Evidence” could not be attached (the upload took too long)."]


async def test_without_the_right_to_look_a_message_is_rather_said_twice_than_never(rig: Rig) -> None:
    outbox = rig.outbox()
    rig.ws.app.scopes -= {"channels:history"}
    rig.ws.faults.server_error("chat.postMessage")
    await outbox.put(rig.post("a"))
    await rig.work(outbox)

    assert rig.said() == ["a"]


async def test_a_mistake_of_our_own_is_tried_for_a_while(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.timing = replace(rig.timing, strikes=3)
    outbox = rig.outbox()
    tries: list[float] = []

    async def refuse(*_: object) -> str:
        tries.append(rig.clock.now())
        raise KeyError("our own mistake")

    monkeypatch.setattr(outbox.context.calls, "post", refuse)
    await outbox.put(rig.post("a"))
    took_s = await rig.work(outbox)

    assert [one.reason for one in await rig.queue.dead()] == ["KeyError"]
    waits = [later - earlier for earlier, later in pairwise(tries)]
    assert waits == [pytest.approx(2, abs=0.1), pytest.approx(4, abs=0.1)]
    assert took_s < 10


async def test_what_has_failed_for_a_day_is_given_up(rig: Rig) -> None:
    rig.timing = replace(rig.timing, give_up_s=120)
    outbox = rig.outbox()
    rig.ws.faults.down()
    await outbox.put(rig.post("a"))
    took_s = await rig.work(outbox)

    assert [one.key for one in await rig.queue.dead()] == ["a"]
    assert took_s >= 120


async def test_a_record_of_another_version_blocks_nobody(rig: Rig) -> None:
    outbox = rig.outbox()
    await outbox.put(rig.post("a"))
    await outbox.put(rig.post("b"))
    await outbox.put(rig.post("c"))
    async with rig.store.connection.door() as redis:
        await redis.hset("cnibot:outbox:item:b", "item", '{"from": 2030}')
    await rig.work(outbox)

    assert rig.said() == ["a", "c"]
    assert [one.kind for one in await rig.queue.dead()] == ["unreadable"]


async def test_what_no_message_may_be_is_cut(rig: Rig) -> None:
    outbox = rig.outbox()
    blocks = tuple({"type": "section", "text": {"type": "plain_text", "text": "x" * 3000}} for _ in range(100))
    await outbox.put(Post(key="a", place=rig.place(), content=Content(text="y" * 50_000, blocks=blocks)))
    await rig.work(outbox)

    (message,) = rig.messages()
    assert message.blocks == []
    assert message.text.startswith("yyy")


async def test_a_client_without_a_session_is_refused(rig: Rig) -> None:
    rig.client.session = None
    with pytest.raises(TypeError, match="open_client"):
        rig.outbox()


async def test_places_with_only_a_channel_are_enough(rig: Rig) -> None:
    outbox = rig.outbox()
    await outbox.put(Post(key="a", place=Place(channel=rig.place().channel), content=Content(text="a")))
    await rig.work(outbox)

    assert rig.said() == ["a"]
