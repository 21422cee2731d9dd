"""Messages that Slack does not take as they are, or not there, or not now."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import pytest
from slack_sdk.errors import SlackApiError

from bot.domain.outgoing import Attach, Content, Ephemeral, Place, Post, Priority
from bot.lab.slack.handles import ResponseUrl
from bot.lab.slack.ids import Ids
from bot.slack.outbox import Outbox
from bot.slack.outbox.timing import RealClock
from bot.slack.views.delivery_notices import goes_on_here
from tests.slack.outbox.rig import Rig

BAD_BLOCKS = ({"type": "no such block"},)


def response_url(rig: Rig, channel: str = "general", uses: int = 5) -> str:
    """As it comes with alice's command in a channel that the bot is not in."""
    handle = ResponseUrl(
        app_id=rig.ws.app.id, user=rig.ws.user("alice").id, channel=rig.ws.channel(channel).id, thread_ts="",
        message_ts="", is_ephemeral=False, expires_at=rig.clock.now() + 1800, uses_left=uses,
    )  # fmt: skip
    return rig.ws.base_url + rig.ws.platform.handles.new_response_url(handle)


def ephemerals(rig: Rig, channel: str = "general") -> list[str]:
    return [one.text for one in rig.ws.user("alice").ephemerals(channel)]


async def test_who_asks_where_the_bot_is_not_is_told_to_invite_it(rig: Rig) -> None:
    outbox = rig.outbox()
    general = rig.place(channel="general")
    await outbox.put(
        Post(key="a", place=general, content=Content(text="diagnosing"), response_url=response_url(rig))
    )  # fmt: skip
    await outbox.put(Post(key="b", place=rig.place("a", channel="general"), content=Content(text="the verdict")))
    await rig.work(outbox)

    (said,) = ephemerals(rig)
    assert said.startswith(f"I cannot post in <#{general.channel}>, because I am not in it. Invite me there")
    assert [(one.key, one.reason) for one in await rig.queue.dead()] == [
        ("b", "not_in_channel"), ("a", "not_in_channel"),
    ]  # fmt: skip


@pytest.mark.parametrize("blocks", [(), BAD_BLOCKS])
async def test_an_ephemeral_message_takes_the_response_url_where_the_bot_is_not(
    rig: Rig, blocks: tuple[dict[str, str]]
) -> None:
    outbox = rig.outbox()
    ephemeral = Ephemeral(
        key="w", place=rig.place(channel="general"), user=rig.ws.user("alice").id,
        content=Content(text="not allowed", blocks=blocks), response_url=response_url(rig),
    )  # fmt: skip
    await outbox.put(ephemeral)
    await rig.work(outbox)

    assert ephemerals(rig) == ["not allowed"]
    assert await rig.queue.dead() == []


@pytest.mark.parametrize("is_usable", [True, False])
async def test_what_anybody_can_make_us_say_takes_a_turn_of_the_channel_only_where_its_response_url_is_of_no_use(
    rig: Rig, *, is_usable: bool
) -> None:
    outbox = rig.outbox()
    ephemeral = Ephemeral(
        key="w", place=rig.place(), user=rig.ws.user("alice").id, content=Content(text="not allowed"),
        response_url=response_url(rig, "incidents", uses=5 if is_usable else 0), priority=Priority.NOTICE,
    )  # fmt: skip
    await outbox.put(ephemeral)
    await rig.work(outbox)

    assert ephemerals(rig, "incidents") == ["not allowed"]
    assert len(rig.times("chat.postEphemeral")) == (0 if is_usable else 1)


async def test_an_ephemeral_message_whose_response_url_is_used_up_is_given_up_at_once(rig: Rig) -> None:
    outbox = rig.outbox()
    ephemeral = Ephemeral(
        key="w", place=rig.place(channel="general"), user=rig.ws.user("alice").id, content=Content(text="x"),
        response_url=response_url(rig, uses=0),
    )  # fmt: skip
    await outbox.put(ephemeral)
    await outbox.put(replace(ephemeral, key="w2", response_url=""))
    took_s = await rig.work(outbox)

    assert sorted(one.reason for one in await rig.queue.dead()) == ["not_in_channel", "response_url: used_url"]
    assert took_s < 5


GOES_ON = goes_on_here().text


def delete(rig: Rig, ts: str) -> None:
    channel = rig.ws.channel("incidents")
    rig.ws.platform.state.delete(channel, channel.messages[ts])


async def a_root_that_is_deleted(rig: Rig, outbox: Outbox) -> str:
    await outbox.put(rig.post("root"))
    await rig.work(outbox)
    ts = await outbox.ts_of("root")
    assert ts
    delete(rig, ts)
    return ts


async def test_a_thread_whose_first_message_was_deleted_goes_on_under_another(rig: Rig) -> None:
    """Slack takes the reply into the channel without a word; it is removed there."""
    outbox = rig.outbox()
    thread = await a_root_that_is_deleted(rig, outbox)
    await outbox.put(rig.post("verdict", thread_key="root"))
    await outbox.put(rig.post("more", thread_key="verdict"))
    await outbox.put(Post(key="late", place=rig.place(thread=thread), content=Content(text="late")))
    took_s = await rig.work(outbox)

    anchor, *replies = rig.messages()
    assert (anchor.text, anchor.thread_ts) == (GOES_ON, anchor.ts)
    assert [(one.text, one.thread_ts) for one in replies] == [
        ("verdict", anchor.ts), ("more", anchor.ts), ("late", anchor.ts),
    ]  # fmt: skip
    assert len(rig.times("chat.delete")) == 1
    assert took_s >= 3, "one post a second"


async def test_a_thread_that_moved_may_move_again(rig: Rig) -> None:
    outbox = rig.outbox()
    await a_root_that_is_deleted(rig, outbox)
    await outbox.put(rig.post("verdict", thread_key="root"))
    await rig.work(outbox)
    anchor, verdict = rig.messages()
    delete(rig, verdict.ts)
    delete(rig, anchor.ts)
    await outbox.put(rig.post("more", thread_key="root"))
    await rig.work(outbox)

    again, more = rig.messages()
    assert (again.text, more.text, more.thread_ts) == (GOES_ON, "more", again.ts)


async def test_a_thread_that_slack_never_knew_goes_on_under_another_message(rig: Rig) -> None:
    outbox = rig.outbox()
    await outbox.put(Post(key="a", place=rig.place(thread="123.456"), content=Content(text="verdict")))
    await rig.work(outbox)

    anchor, verdict = rig.messages()
    assert (anchor.text, verdict.text, verdict.thread_ts) == (GOES_ON, "verdict", anchor.ts)


@pytest.mark.parametrize("method", ["chat.postMessage", "chat.delete"])
async def test_nothing_is_said_twice_where_slacks_reply_about_a_lost_thread_got_lost(rig: Rig, method: str) -> None:
    outbox = rig.outbox()
    await a_root_that_is_deleted(rig, outbox)
    rig.ws.faults.lose_replies(method, times=1)
    await outbox.put(rig.post("verdict", thread_key="root"))
    await rig.work(outbox)

    anchor, verdict = rig.messages()
    assert (anchor.text, verdict.text, verdict.thread_ts) == (GOES_ON, "verdict", anchor.ts)


async def test_what_slack_does_not_let_us_remove_stays_and_is_not_said_twice(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = rig.outbox()
    await a_root_that_is_deleted(rig, outbox)

    async def refuse(_channel: str, _ts: str) -> None:
        answer = SimpleNamespace(status_code=200, headers={}, data={"ok": False, "error": "no_permission"})
        raise SlackApiError("no", answer)

    monkeypatch.setattr(outbox.context.calls, "remove", refuse)
    await outbox.put(rig.post("verdict", thread_key="root"))
    await outbox.put(rig.post("more", thread_key="verdict"))
    await rig.work(outbox)

    verdict, more = rig.messages()
    assert (verdict.text, more.text, more.thread_ts) == ("verdict", "more", verdict.ts)


async def test_a_file_follows_its_thread(rig: Rig) -> None:
    outbox = rig.outbox()
    place = rig.place(thread="123.456")
    file = Attach(key="f", place=place, filename="x", title="Evidence", alt_text="", content=b"x", comment="Look.")
    await outbox.put(file)
    await rig.work(outbox)

    anchor, shown = rig.messages()
    assert (anchor.text, shown.text, shown.thread_ts) == (GOES_ON, "Look.", anchor.ts)


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
    rig.timing = replace(rig.timing, most_failures=3)
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


async def test_a_clock_that_was_set_back_holds_up_nothing(rig: Rig) -> None:
    """What stands in the store was written by a process before that, which was killed with its leases."""
    first = rig.outbox()
    await first.put(rig.post("a"))
    await rig.work(first)
    for number in range(12):
        await first.put(rig.edit("a", f"a {number}", Priority.NORMAL))
        await rig.work(first)
    rig.ws.faults.rate_limit("chat.postMessage", 1, 30)
    rig.ws.faults.rate_limit("chat.update", 1, 30)
    await first.put(rig.post("b", thread_key="a"))
    await first.put(rig.edit("a", "edited", Priority.NORMAL))
    await rig.work(first, for_s=0.5)
    for unit in await rig.queue.units():
        await rig.queue.lease(unit, "dead", now=rig.clock.now(), lease_s=12)
    rig.clock.advance(-3600)

    took_s = await rig.work(rig.outbox())

    assert rig.said() == ["edited", "b"]
    assert took_s < 60


async def test_a_lost_reply_is_found_where_our_clock_is_hours_ahead_of_slacks(rig: Rig) -> None:
    rig.ws.state.clock = lambda: rig.clock.now() - 5 * 3600
    rig.ws.state.ids = Ids(rig.ws.state.clock)
    rig.ws.faults.lose_replies("chat.postMessage")
    outbox = rig.outbox()
    await outbox.put(rig.post("a"))
    await rig.work(outbox)

    assert rig.said() == ["a"]
    assert outbox.counters.reconciled == 1


def test_the_clock_never_runs_backwards_and_catches_up() -> None:
    wall, passed = 1000.0, 0.0
    clock = RealClock(lambda: wall, lambda: passed)
    assert clock.now() == 1000.0
    wall, passed = 400.0, 0.0
    assert clock.now() == 1000.0
    wall, passed = 410.0, 10.0
    assert clock.now() == 1005.0, "at half its speed"
    wall, passed = 1700.0, 1300.0
    assert clock.now() == 1700.0
    wall, passed = 9000.0, 1301.0
    assert clock.now() == 9000.0


async def test_a_record_of_another_version_blocks_nobody(rig: Rig) -> None:
    outbox = rig.outbox()
    await outbox.put(rig.post("a"))
    await outbox.put(rig.post("b"))
    await outbox.put(rig.post("c"))
    async with rig.store.connection.client() as redis:
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
