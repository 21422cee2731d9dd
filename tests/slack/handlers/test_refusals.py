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
from tests.slack.handlers.conftest import HERE, Office, Opened, work
from tests.slack.waiting import until


async def nothing_happened(office: Office) -> None:
    await office.quiet()
    assert await office.store.incidents.open_ones() == ()
    assert [each for each in office.roots() if each.user == office.ws.bot_user_id] == []


async def test_a_guest_is_refused_whatever_a_grant_says(open_office: Opened) -> None:
    everything = Grant(actions=frozenset(Action), users=frozenset({"*", "U0CAROL"}))
    office = await open_office(grants=(everything,))
    await office.ws.user("carol").slash(HERE, "/cni", "diagnose shop")

    await office.whispered("carol", "Guests may not use cnibot")
    await nothing_happened(office)


async def test_somebody_of_another_organisation_is_refused(office: Office) -> None:
    office.ws.invite("shared", "cni")
    await office.ws.user("eve").say("shared", f"{office.ws.mention} diagnose shop")

    await office.whispered("eve", "not a member of this organisation", "shared")
    await nothing_happened(office)
    assert len(office.ws.messages("shared")) == 1


async def test_without_grants_nobody_may_do_anything(open_office: Opened) -> None:
    office = await open_office(grants=())
    await office.alice.slash(HERE, "/cni", "diagnose shop")

    await office.whispered("alice", "Nobody may ask for a diagnosis")
    await nothing_happened(office)


async def test_a_refusal_says_who_may(open_office: Opened) -> None:
    office = await open_office(grants=(Grant(actions=frozenset({Action.DIAGNOSE}), users=frozenset({"U0BOB"})),))
    await office.alice.slash(HERE, "/cni", "diagnose shop")

    assert "<@U0BOB>" in await office.whispered("alice", "Not allowed")


@pytest.mark.parametrize("text", ["diagnose payments", "watch payments"])
async def test_a_grant_for_one_namespace_is_none_for_another(text: str, open_office: Opened) -> None:
    one = Grant(actions=frozenset(Action), users=frozenset({"*"}), namespaces=("shop*",))
    office = await open_office(grants=(one,))
    await office.alice.slash(HERE, "/cni", text)

    await office.whispered("alice", "in this namespace")
    await nothing_happened(office)


async def test_incidents_of_other_namespaces_are_not_shown(open_office: Opened) -> None:
    grants = (
        Grant(actions=frozenset(Action), users=frozenset({"U0ALICE"})),
        Grant(actions=frozenset({Action.READ}), users=frozenset({"U0BOB"}), namespaces=("payments",)),
    )
    office = await open_office(grants=grants)
    await office.diagnosed()
    await office.ws.user("bob").slash(HERE, "/cni", "incidents")

    await office.whispered("bob", "There are no open incidents")


@pytest.mark.parametrize("method", ["users.info", "usergroups.users.list", "conversations.info"])
async def test_a_question_waits_a_while_for_slack_to_say_who_asks_and_where(office: Office, method: str) -> None:
    office.ws.faults.server_error(method, times=4)

    await office.diagnosed()

    assert office.alice.whispers() == []


async def test_when_slack_cannot_be_asked_nobody_is_believed(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller, "RETRIED_FOR_S", 0.0)
    office.ws.faults.server_error("users.info", times=5)
    await office.alice.slash(HERE, "/cni", "diagnose shop")

    await office.whispered("alice", "Slack did not report whether you are a full member")
    await nothing_happened(office)


async def test_who_has_left_the_group_may_no_more(office: Office) -> None:
    await office.alice.slash(HERE, "/cni", "incidents")
    await office.whispered("alice", "There are no open incidents")
    office.ws.admin.set_group("sre", ["bob"])
    await office.heard("subteam_members_changed")
    await office.alice.slash(HERE, "/cni", "diagnose shop")

    await office.whispered("alice", "Not allowed")
    await nothing_happened(office)


async def test_a_hundred_refused_commands_do_not_delay_the_on_calls_answer(open_office: Opened) -> None:
    """Refusals are told once in ten seconds, by the command's own address, and behind everything else."""
    office = await open_office(at_work=False)
    for number in range(100):
        await office.store.inbox.accept(f"g{number}", "command", command(office, "carol", "diagnose shop"))
    await office.store.inbox.accept("a", "command", command(office, "alice", "diagnose shop"))

    await handled(office)
    await office.whispered("carol", "Guests may not use cnibot")
    root = (await office.ws.until(office.roots))[0]
    await office.verdict(root.ts)
    await office.quiet()

    assert len(office.ws.user("carol").whispers()) == 1
    assert office.services.outbox.counters.merged == 99


async def test_what_anybody_can_make_us_say_goes_behind_what_was_asked_with_a_right(office: Office) -> None:
    """In a channel whose turn has not come, the queue is put in order before anything is sent."""
    caller = Caller(key="k", attempt=1, user="U0CAROL", channel=office.ws.channel(HERE).id)
    answer = Post(key="verdict", place=Place(channel=caller.channel), content=Content(text="the verdict"))
    queue = OutboxQueue(office.store.connection)
    for number in range(3):
        said = Content(text=f"no {number}")
        await notice(office.services, dataclasses.replace(caller, user=f"U{number}"), "refused", said)
    await queue.put(answer, now=0.0)
    unit: Unit = ("posts", caller.channel)
    assert await queue.lease(unit, "test", now=0.0, lease_s=60)

    todo = await queue.next_post(caller.channel, "test", now=10.0**10, in_flight_s=1)

    assert isinstance(todo, ToSend)
    assert todo.key == "verdict"


async def test_nobody_fills_the_queue_of_the_others(open_office: Opened) -> None:
    office = await open_office(at_work=False)
    outcomes = [await office.ws.user("carol").slash(HERE, "/cni", "status") for _ in range(MOST_OF_ONE + 2)]

    assert all(outcome.acked for outcome in outcomes)
    assert (await office.store.inbox.counts()).waiting == MOST_OF_ONE
    await office.whispered("carol", f"You have {MOST_OF_ONE} requests waiting")
    await office.alice.slash(HERE, "/cni", "status")
    assert (await office.store.inbox.counts()).waiting == MOST_OF_ONE + 1

    await handled(office)
    async with office.store.connection.client() as client:
        assert await client.exists(office.store.connection.keys.of("inbox", "owners")) == 0


def command(office: Office, who: str, text: str) -> dict[str, str]:
    return {
        "command": "/cni",
        "text": text,
        "user_id": office.ws.user(who).id,
        "channel_id": office.ws.channel(HERE).id,
    }


async def handled(office: Office) -> None:
    """Work off all that waits."""
    async with asyncio.TaskGroup() as group:
        working = group.create_task(work(office))
        await office.quiet()
        working.cancel()


async def test_a_guest_is_not_told_who_may(office: Office) -> None:
    await office.ws.user("carol").slash(HERE, "/cni", "diagnose shop")

    told = await office.whispered("carol", "Guests may not use cnibot")

    assert "S0SRE" not in told
    assert "Who may" not in told


async def test_status_shows_no_watch_and_no_cluster_that_one_may_not_read(open_office: Opened) -> None:
    some = Grant(
        actions=frozenset({Action.READ}), users=frozenset({"U0BOB"}), clusters=("lab",), namespaces=("payments",)
    )
    everything = Grant(actions=frozenset(Action), users=frozenset({"U0ALICE"}))
    office = await open_office(grants=(everything, some), clusters=("lab", "hidden"))
    for namespace in ("shop", "payments"):
        await office.alice.slash(HERE, "/cni", f"watch {namespace}")
        await office.said(f"watches `{namespace}`")
    await office.ws.user("bob").slash(HERE, "/cni", "status")

    told = await office.whispered("bob", "payments")

    assert "shop" not in told
    assert "hidden" not in told


async def test_the_nearest_names_are_those_that_one_may_ask_about(open_office: Opened) -> None:
    """Or a mistyped name would tell which namespaces there are."""
    some = Grant(actions=frozenset(Action), users=frozenset({"U0BOB"}), namespaces=("shop", "sho", "shop-staginc"))
    office = await open_office(grants=(some,))
    await office.ws.user("bob").slash(HERE, "/cni", "diagnose shop-staginc")

    told = await office.whispered("bob", "There is no namespace")

    assert "shop-staging" not in told


async def test_a_right_that_is_gone_when_the_answer_is_there_withholds_it(office: Office) -> None:
    office.gate.shut()
    await office.alice.slash(HERE, "/cni", "diagnose shop")
    await until(lambda: office.gate.waiting == 1)
    object.__setattr__(office.services, "grants", ())
    office.gate.open()

    root = (await office.ws.until(office.roots))[0]
    await office.ws.until(lambda: "no longer allowed to diagnose this namespace" in office.roots()[0].text)
    await office.quiet()

    assert [one for one in office.ws.thread(HERE, root.ts) if "cni_details" in one.action_ids] == []
