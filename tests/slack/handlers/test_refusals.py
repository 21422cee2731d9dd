"""Who is refused, and how they learn of it."""

from __future__ import annotations

import pytest

from bot.domain.authorization import Action, Grant
from tests.slack.handlers.conftest import HERE, Office, Opened


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


async def test_when_slack_cannot_be_asked_nobody_is_believed(office: Office) -> None:
    office.ws.faults.server_error("users.info", times=5)
    await office.alice.slash(HERE, "/cni", "diagnose shop")

    await office.whispered("alice", "Slack did not say whether you are a full member")
    await nothing_happened(office)


async def test_who_has_left_the_group_may_no_more(office: Office) -> None:
    await office.alice.slash(HERE, "/cni", "incidents")
    await office.whispered("alice", "There are no open incidents")
    office.ws.admin.set_group("sre", ["bob"])
    await office.heard("subteam_members_changed")
    await office.alice.slash(HERE, "/cni", "diagnose shop")

    await office.whispered("alice", "Not allowed")
    await nothing_happened(office)
