"""Who is refused, and how they learn of it."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from bot.domain.authorization import Action, Grant
from bot.domain.outgoing import Content, Place, Post
from bot.slack import caller
from bot.slack.caller import Caller, notice
from bot.store.inbox.inbox import MOST_OF_ONE
from bot.store.outbox import OutboxQueue
from bot.store.outbox_entries import ToSend, Unit
from tests.slack.handlers.conftest import HERE, Opened, Rig, work
from tests.slack.waiting import until


async def nothing_happened(rig: Rig) -> None:
    await rig.quiet()
    assert await rig.store.incidents.open_ones() == ()
    assert [each for each in rig.roots() if each.user == rig.ws.bot_user_id] == []


async def test_a_guest_is_refused_whatever_a_grant_says(open_rig: Opened) -> None:
    everything = Grant(actions=frozenset(Action), users=frozenset({"*", "U0CAROL"}))
    rig = await open_rig(grants=(everything,))
    await rig.ws.user("carol").slash(HERE, "/cni", "diagnose shop")

    await rig.shown_only_to("carol", "Guests may not use cnibot")
    await nothing_happened(rig)


async def test_somebody_of_another_organisation_is_refused(rig: Rig) -> None:
    rig.ws.invite("shared", "cni")
    await rig.ws.user("eve").say("shared", f"{rig.ws.mention} diagnose shop")

    await rig.shown_only_to("eve", "not a member of this organisation", "shared")
    await nothing_happened(rig)
    assert len(rig.ws.messages("shared")) == 1


async def test_without_grants_nobody_may_do_anything(open_rig: Opened) -> None:
    rig = await open_rig(grants=())
    await rig.alice.slash(HERE, "/cni", "diagnose shop")

    await rig.shown_only_to("alice", "Nobody may ask for a diagnosis")
    await nothing_happened(rig)


async def test_a_refusal_says_who_may(open_rig: Opened) -> None:
    rig = await open_rig(grants=(Grant(actions=frozenset({Action.DIAGNOSE}), users=frozenset({"U0BOB"})),))
    await rig.alice.slash(HERE, "/cni", "diagnose shop")

    assert "<@U0BOB>" in await rig.shown_only_to("alice", "Not allowed")


@pytest.mark.parametrize("text", ["diagnose payments", "watch payments"])
async def test_a_grant_for_one_namespace_is_none_for_another(text: str, open_rig: Opened) -> None:
    one = Grant(actions=frozenset(Action), users=frozenset({"*"}), namespaces=("shop*",))
    rig = await open_rig(grants=(one,))
    await rig.alice.slash(HERE, "/cni", text)

    await rig.shown_only_to("alice", "in this namespace")
    await nothing_happened(rig)


async def test_incidents_of_other_namespaces_are_not_shown(open_rig: Opened) -> None:
    grants = (
        Grant(actions=frozenset(Action), users=frozenset({"U0ALICE"})),
        Grant(actions=frozenset({Action.READ}), users=frozenset({"U0BOB"}), namespaces=("payments",)),
    )
    rig = await open_rig(grants=grants)
    await rig.diagnosed()
    await rig.ws.user("bob").slash(HERE, "/cni", "incidents")

    await rig.shown_only_to("bob", "There are no open incidents")


@pytest.mark.parametrize("method", ["users.info", "usergroups.users.list", "conversations.info"])
async def test_a_question_waits_a_while_for_slack_to_say_who_asks_and_where(rig: Rig, method: str) -> None:
    rig.ws.faults.server_error(method, times=4)

    await rig.diagnosed()

    assert rig.alice.ephemerals() == []


async def test_when_slack_cannot_be_asked_nobody_is_believed(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller, "RETRIED_FOR_S", 0.0)
    rig.ws.faults.server_error("users.info", times=5)
    await rig.alice.slash(HERE, "/cni", "diagnose shop")

    await rig.shown_only_to("alice", "Slack did not report whether you are a full member")
    await nothing_happened(rig)


async def test_who_has_left_the_group_may_no_more(rig: Rig) -> None:
    await rig.alice.slash(HERE, "/cni", "incidents")
    await rig.shown_only_to("alice", "There are no open incidents")
    rig.ws.admin.set_group("sre", ["bob"])
    await rig.heard("subteam_members_changed")
    await rig.alice.slash(HERE, "/cni", "diagnose shop")

    await rig.shown_only_to("alice", "Not allowed")
    await nothing_happened(rig)


async def test_a_hundred_refused_commands_do_not_delay_the_on_calls_answer(open_rig: Opened) -> None:
    """Refusals are told once in ten seconds, by the command's own address, and behind everything else."""
    rig = await open_rig(at_work=False)
    for number in range(100):
        await rig.store.inbox.accept(f"g{number}", "command", command(rig, "carol", "diagnose shop"))
    await rig.store.inbox.accept("a", "command", command(rig, "alice", "diagnose shop"))

    await handled(rig)
    await rig.shown_only_to("carol", "Guests may not use cnibot")
    root = (await rig.ws.until(rig.roots))[0]
    await rig.verdict(root.ts)
    await rig.quiet()

    assert len(rig.ws.user("carol").ephemerals()) == 1
    assert rig.services.outbox.counters.merged == 99


async def test_what_anybody_can_make_us_say_goes_behind_what_was_asked_with_a_right(rig: Rig) -> None:
    """In a channel whose turn has not come, the queue is put in order before anything is sent."""
    caller = Caller(key="k", attempt=1, user="U0CAROL", channel=rig.ws.channel(HERE).id)
    answer = Post(key="verdict", place=Place(channel=caller.channel), content=Content(text="the verdict"))
    queue, later = OutboxQueue(rig.store.connection), 10.0**10
    unit: Unit = ("posts", caller.channel)
    assert await queue.lease(unit, "test", now=later, lease_s=60), "the bot at work does not take it before that"
    for number in range(3):
        said = Content(text=f"no {number}")
        await notice(rig.services, dataclasses.replace(caller, user=f"U{number}"), "refused", said)
    await queue.put(answer, now=0.0)

    todo = await queue.next_post(caller.channel, "test", now=later, in_flight_s=1)

    assert isinstance(todo, ToSend)
    assert todo.key == "verdict"


async def test_nobody_fills_the_queue_of_the_others(open_rig: Opened) -> None:
    rig = await open_rig(at_work=False)
    outcomes = [await rig.ws.user("carol").slash(HERE, "/cni", "status") for _ in range(MOST_OF_ONE + 2)]

    assert all(outcome.acked for outcome in outcomes)
    assert (await rig.store.inbox.counts()).waiting == MOST_OF_ONE
    await rig.shown_only_to("carol", f"You have {MOST_OF_ONE} requests waiting")
    await rig.alice.slash(HERE, "/cni", "status")
    assert (await rig.store.inbox.counts()).waiting == MOST_OF_ONE + 1

    await handled(rig)
    async with rig.store.connection.client() as client:
        assert await client.exists(rig.store.connection.keys.of("inbox", "owners")) == 0


def command(rig: Rig, who: str, text: str) -> dict[str, str]:
    return {
        "command": "/cni",
        "text": text,
        "user_id": rig.ws.user(who).id,
        "channel_id": rig.ws.channel(HERE).id,
    }


async def handled(rig: Rig) -> None:
    """Work off all that waits."""
    async with asyncio.TaskGroup() as group:
        working = group.create_task(work(rig))
        await rig.quiet()
        working.cancel()


async def test_a_guest_is_not_told_who_may(rig: Rig) -> None:
    await rig.ws.user("carol").slash(HERE, "/cni", "diagnose shop")

    reported = await rig.shown_only_to("carol", "Guests may not use cnibot")

    assert "S0SRE" not in reported
    assert "Who may" not in reported


async def test_status_shows_no_watch_and_no_cluster_that_one_may_not_read(open_rig: Opened) -> None:
    some = Grant(
        actions=frozenset({Action.READ}), users=frozenset({"U0BOB"}), clusters=("lab",), namespaces=("payments",)
    )
    everything = Grant(actions=frozenset(Action), users=frozenset({"U0ALICE"}))
    rig = await open_rig(grants=(everything, some), clusters=("lab", "hidden"))
    for namespace in ("shop", "payments"):
        await rig.alice.slash(HERE, "/cni", f"watch {namespace}")
        await rig.said(f"watches `{namespace}`")
    await rig.ws.user("bob").slash(HERE, "/cni", "status")

    reported = await rig.shown_only_to("bob", "payments")

    assert "shop" not in reported
    assert "hidden" not in reported


@pytest.mark.parametrize("is_told_late", [False, True])
async def test_the_nearest_names_are_those_that_one_may_ask_about(open_rig: Opened, *, is_told_late: bool) -> None:
    """Or a mistyped name would tell which namespaces there are, at once or when the diagnosis did not find it."""
    some = Grant(actions=frozenset(Action), users=frozenset({"U0BOB"}), namespaces=("shop", "sho", "shop-staginc"))
    rig = await open_rig(grants=(some,))
    if is_told_late:
        rig.silent.add("lab")
    await rig.ws.user("bob").slash(HERE, "/cni", "diagnose shop-staginc")

    reported = await rig.shown_only_to("bob", "There is no namespace")

    assert "shop-staging" not in reported


async def test_a_right_that_is_gone_when_the_answer_is_there_withholds_it(rig: Rig) -> None:
    rig.gate.shut()
    await rig.alice.slash(HERE, "/cni", "diagnose shop")
    await until(lambda: rig.gate.waiting == 1)
    object.__setattr__(rig.services, "grants", ())
    rig.gate.open()

    root = (await rig.ws.until(rig.roots))[0]
    await rig.ws.until(lambda: "no longer allowed to diagnose this namespace" in rig.roots()[0].text)
    await rig.quiet()

    assert [one for one in rig.ws.thread(HERE, root.ts) if "cni_details" in one.action_ids] == []
