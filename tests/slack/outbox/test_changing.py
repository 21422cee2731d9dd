"""Edits: the newest state, never too often, and a word about what was left out."""

from __future__ import annotations

from itertools import pairwise

import pytest

from bot.domain.outgoing import Content, Edit, Priority, React
from tests.slack.outbox.rig import Rig


async def test_only_the_newest_of_many_edits_is_made(rig: Rig) -> None:
    outbox = rig.outbox()
    await outbox.put(rig.post("a", "starting"))
    await rig.work(outbox)
    for number in range(20):
        await outbox.put(rig.edit("a", f"step {number}"))
    await rig.work(outbox)

    assert rig.said() == ["step 19"]
    assert len(rig.ws.calls.of("chat.update")) == 1
    assert outbox.counters.withheld == 0, "nobody misses states of the same second"


async def test_a_message_is_edited_once_a_second(rig: Rig) -> None:
    outbox = rig.outbox()
    await outbox.put(rig.post("a"))
    for number in range(40):
        await outbox.put(rig.edit("a", f"step {number}"))
        await rig.work(outbox, for_s=0.1)
    await rig.work(outbox)

    times = rig.times("chat.update")
    assert 3 <= len(times) <= 5
    assert all(later - earlier >= 1 for earlier, later in pairwise(times)), times
    assert rig.said() == ["step 39"]


async def test_an_edit_joins_a_post_that_is_not_sent_yet(rig: Rig) -> None:
    outbox = rig.outbox()
    await outbox.put(rig.post("a", "starting"))
    await outbox.put(rig.edit("a", "done"))
    await rig.work(outbox)

    assert rig.said() == ["done"]
    assert rig.ws.calls.of("chat.update") == []


async def test_an_edit_that_comes_while_its_post_hangs_is_made_afterwards(rig: Rig) -> None:
    """The reply of the post is lost: what Slack has is the old text, and nobody may think otherwise."""
    outbox = rig.outbox()
    rig.ws.faults.lose_replies("chat.postMessage")
    await outbox.put(rig.post("a", "starting"))
    await rig.work(outbox, for_s=0.5)
    await outbox.put(rig.edit("a", "done"))
    await rig.work(outbox)

    assert rig.said() == ["done"]
    assert len(rig.ws.calls.of("chat.update")) == 1


async def test_an_edit_that_says_nothing_new_is_not_made(rig: Rig) -> None:
    outbox = rig.outbox()
    await outbox.put(rig.post("a", "done"))
    await rig.work(outbox)
    await outbox.put(rig.edit("a", "done"))
    await rig.work(outbox)

    assert rig.ws.calls.of("chat.update") == []


async def test_edits_of_all_messages_share_a_budget_which_verdicts_may_exceed_a_little(rig: Rig) -> None:
    """Tier 3 is 50 calls a minute in the whole workspace."""
    outbox = rig.outbox()
    keys = [f"m{number}" for number in range(12)]
    for key in keys:
        await outbox.put(rig.post(key))
    await rig.work(outbox)
    begun = rig.clock.now()
    for second in range(80):
        for key in keys:
            await outbox.put(rig.edit(key, f"{key} at {second}"))
        await rig.work(outbox, for_s=1)
    await outbox.put(rig.edit("m7", "m7 approved", Priority.VERDICT))
    await rig.work(outbox, for_s=0.01)

    times = [at for at in rig.times("chat.update") if at >= begun]
    assert max(len([at for at in times if start <= at < start + 60]) for start in times) <= 50
    assert len(times) >= 55, "the budget is used"
    assert "m7 approved" in rig.said(), "what matters does not wait for progress"


async def test_all_messages_get_their_turn(rig: Rig) -> None:
    outbox = rig.outbox()
    keys = [f"m{number}" for number in range(12)]
    for key in keys:
        await outbox.put(rig.post(key))
    await rig.work(outbox)
    for second in range(40):
        for key in keys:
            await outbox.put(rig.edit(key, f"{key} at {second}"))
        await rig.work(outbox, for_s=1)

    edits = [sum(call.args["ts"] == ts for call in rig.ws.calls.of("chat.update")) for ts in [
        await outbox.ts_of(key) for key in keys
    ]]  # fmt: skip
    assert max(edits) - min(edits) <= 1, edits


async def test_withheld_updates_are_owned_up_to_once(rig: Rig) -> None:
    outbox = rig.outbox()
    await outbox.put(rig.post("a", "starting"))
    await rig.work(outbox)
    rig.ws.faults.rate_limit("chat.update", retry_after=20)
    for number in range(10):
        await outbox.put(rig.edit("a", f"step {number}"))
        await rig.work(outbox, for_s=1)
    await rig.work(outbox)

    message, note = rig.messages()
    assert message.text == "step 9"
    assert note.text.startswith("4 progress updates were left out"), note.text
    assert note.thread_ts == message.ts
    assert outbox.counters.withheld == 4


async def test_429_on_edits_stops_all_edits_and_no_posts(rig: Rig) -> None:
    outbox = rig.outbox()
    for key in ("a", "b"):
        await outbox.put(rig.post(key))
    await rig.work(outbox)
    rig.ws.faults.rate_limit("chat.update", retry_after=30)
    for key in ("a", "b"):
        await outbox.put(rig.edit(key, f"{key} edited"))
    await rig.work(outbox, for_s=0.1)
    await outbox.put(rig.post("c"))
    await rig.work(outbox, for_s=2)

    assert rig.said() == ["a", "b", "c"]
    assert len(rig.ws.calls.of("chat.update")) == 1

    await rig.work(outbox)
    assert rig.said() == ["a edited", "b edited", "c"]


async def test_an_edit_is_kept_while_slack_breaks_down_over_it(rig: Rig) -> None:
    outbox = rig.outbox()
    await outbox.put(rig.post("a"))
    await rig.work(outbox)
    rig.ws.faults.server_error("chat.update", times=3)
    rig.ws.faults.lose_replies("chat.update", times=1)
    await outbox.put(rig.edit("a", "edited"))
    await rig.work(outbox)

    assert rig.said() == ["edited"]
    assert outbox.counters.retried == 4


async def test_an_edit_of_a_deleted_message_is_given_up(rig: Rig) -> None:
    outbox = rig.outbox()
    await outbox.put(rig.post("a"))
    await rig.work(outbox)
    ts = await outbox.ts_of("a")
    assert ts
    del rig.ws.channel("incidents").messages[ts]
    await outbox.put(rig.edit("a", "edited"))
    await rig.work(outbox)

    assert [(one.kind, one.reason) for one in await rig.queue.dead()] == [("edit", "message_not_found")]
    assert (await outbox.state()).waiting == 0


async def test_blocks_refused_in_an_edit_leave_the_text(rig: Rig) -> None:
    outbox = rig.outbox()
    await outbox.put(rig.post("a"))
    await rig.work(outbox)
    content = Content(text="x" * 5000, blocks=({"type": "no such block"},))
    await outbox.put(Edit(key="a", place=rig.place(), content=content))
    await rig.work(outbox)

    assert rig.said() == ["x" * 2999 + "…"]


async def test_a_process_that_dies_with_an_edit_in_its_hands_leaves_it_to_the_next(rig: Rig) -> None:
    outbox = rig.outbox()
    await outbox.put(rig.post("a"))
    await rig.work(outbox)
    await outbox.put(rig.edit("a", "edited"))
    channel = rig.place().channel
    await rig.queue.lease(("changes", channel), "dead", now=rig.clock.now(), lease_s=12)
    rig.clock.advance(2)
    assert await rig.queue.next_change(channel, "dead", now=rig.clock.now(), budget=outbox.context.budget)
    took_s = await rig.work(outbox)

    assert rig.said() == ["edited"]
    assert took_s >= 10, "the lease of the dead one had to end"


@pytest.mark.parametrize("known", [True, False])
async def test_reactions_to_what_is_not_there_are_given_up(rig: Rig, known: bool) -> None:  # noqa: FBT001
    outbox = rig.outbox()
    target = {"message_ts": "1.000001"} if known else {"message_key": "never put"}
    await outbox.put(React(key="r", place=rig.place(), name="eyes", **target))
    await rig.work(outbox)

    assert [one.kind for one in await rig.queue.dead()] == ["react"]
    assert (await outbox.state()).waiting == 0


async def test_a_reaction_by_ts(rig: Rig) -> None:
    outbox = rig.outbox()
    ts = await rig.ws.user("alice").say("incidents", "an alert")
    await outbox.put(React(key="r", place=rig.place(), name="eyes", message_ts=ts))
    await rig.work(outbox)

    message = rig.ws.message("incidents", ts)
    assert message
    assert list(message.reactions) == ["eyes"]


def of_alert(rig: Rig, ts: str, name: str) -> React:
    return React(key="sign", place=rig.place(), name=name, message_ts=ts)


def signs(rig: Rig, ts: str) -> list[str]:
    message = rig.ws.message("incidents", ts)
    assert message
    return list(message.reactions)


async def test_a_reaction_takes_the_place_of_the_one_before_with_its_key(rig: Rig) -> None:
    outbox = rig.outbox()
    ts = await rig.ws.user("alice").say("incidents", "an alert")
    for name in ("eyes", "red_circle", "red_circle"):
        await outbox.put(of_alert(rig, ts, name))
        await rig.work(outbox)
    assert signs(rig, ts) == ["red_circle"]

    for name in ("eyes", "white_circle", "black_circle"):
        await outbox.put(of_alert(rig, ts, name))
    await rig.work(outbox)
    assert signs(rig, ts) == ["black_circle"]
    assert len(rig.ws.calls.of("reactions.add")) == 3, "of three at once only the newest is made"
    assert (await outbox.state()).waiting == 0


@pytest.mark.parametrize("method", ["reactions.add", "reactions.remove"])
@pytest.mark.parametrize("trouble", ["lose_replies", "rate_limit"])
async def test_no_second_one_is_left_when_a_call_fails_in_between(rig: Rig, method: str, trouble: str) -> None:
    outbox = rig.outbox()
    ts = await rig.ws.user("alice").say("incidents", "an alert")
    await outbox.put(of_alert(rig, ts, "eyes"))
    await rig.work(outbox)
    getattr(rig.ws.faults, trouble)(method)
    await outbox.put(of_alert(rig, ts, "red_circle"))
    await rig.work(outbox)

    assert signs(rig, ts) == ["red_circle"]


async def test_what_a_dead_process_may_have_drawn_is_taken_away(rig: Rig) -> None:
    outbox = rig.outbox()
    ts = await rig.ws.user("alice").say("incidents", "an alert")
    await outbox.put(of_alert(rig, ts, "eyes"))
    channel = rig.place().channel
    await rig.queue.lease(("changes", channel), "dead", now=rig.clock.now(), lease_s=12)
    assert await rig.queue.next_change(channel, "dead", now=rig.clock.now(), budget=outbox.context.budget)
    await outbox.context.calls.react(channel, ts, "eyes")  # and then it died
    await outbox.put(of_alert(rig, ts, "red_circle"))
    await rig.work(outbox)

    assert signs(rig, ts) == ["red_circle"]
