"""Who somebody is, asked of the lab's Slack."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from bot.domain.authorization import Action, Grant
from bot.lab.slack import SlackWorkspace
from bot.slack.channels import Channels
from bot.slack.client import open_client
from bot.slack.identity import Identity, WhoAmI
from bot.slack.people import People, account_of

GRANTS = (Grant(actions=frozenset(Action), groups=frozenset({"S0SRE"})),)


@dataclass
class Rig:
    ws: SlackWorkspace
    client: Any
    now: float = 1_000.0
    people: People = field(init=False)
    channels: Channels = field(init=False)

    def __post_init__(self) -> None:
        self.people = People(self.client, WhoAmI(self.client), GRANTS, clock=lambda: self.now)
        self.channels = Channels(self.client, clock=lambda: self.now)

    def asked(self, method: str) -> int:
        return sum(call.method == method for call in self.ws.calls)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with SlackWorkspace.start() as ws, open_client(ws.bot_token, base_url=ws.api_url) as client:
        yield Rig(ws, client)


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("alice", (False, False, False, False)),
        ("carol", (False, False, True, False)),
        ("dave", (True, None, None, None)),
        ("eve", (False, False, None, True)),
        ("cni", (False, True, False, False)),
    ],
)
async def test_slack_says_who_they_are(name: str, flags: tuple[bool | None, ...], rig: Rig) -> None:
    user = rig.ws.state.user(name)
    who = await rig.people.principal(user.id)

    found = (who.is_deactivated, who.is_bot, who.is_guest, who.is_external)
    assert [one for one in zip(found, flags, strict=True) if one[1] is not None and one[0] is not one[1]] == []
    assert who.groups == (frozenset({"S0SRE"}) if name == "alice" else frozenset())
    assert who.unknown == ""


async def test_answers_are_kept_for_a_minute_and_no_longer(rig: Rig) -> None:
    for _ in range(3):
        await rig.people.principal("U0ALICE")
    assert (rig.asked("users.info"), rig.asked("usergroups.users.list")) == (1, 1)

    rig.now += 61
    await rig.people.principal("U0ALICE")
    assert (rig.asked("users.info"), rig.asked("usergroups.users.list")) == (2, 2)


async def test_many_at_once_ask_once(rig: Rig) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(rig.people.principal("U0ALICE"))

    assert rig.asked("users.info") == 1


async def test_where_much_hangs_on_it_slack_is_asked_anew(rig: Rig) -> None:
    await rig.people.principal("U0ALICE")
    rig.ws.admin.set_group("sre", ["bob"])
    rig.ws.admin.deactivate("alice")

    who = await rig.people.principal("U0ALICE", fresh=True)

    assert who.is_deactivated
    assert who.groups == frozenset()


async def test_a_changed_group_is_asked_for_again(rig: Rig) -> None:
    await rig.people.principal("U0ALICE")
    rig.ws.admin.set_group("sre", ["bob"])
    assert (await rig.people.principal("U0ALICE")).groups == {"S0SRE"}

    rig.people.forget_group("S0SRE")

    assert (await rig.people.principal("U0ALICE")).groups == frozenset()


@pytest.mark.parametrize("fault", ["server_error", "rate_limit", "lose_replies"])
async def test_who_cannot_be_asked_about_is_nobody(fault: str, rig: Rig) -> None:
    getattr(rig.ws.faults, fault)("users.info", times=5)

    who = await rig.people.principal("U0ALICE")

    assert who.unknown
    assert (who.is_bot, who.is_guest, who.is_external, who.is_deactivated) == (None, None, None, None)
    rig.ws.faults.clear()
    assert (await rig.people.principal("U0ALICE")).unknown == ""  # the failure was not remembered


async def test_a_group_that_cannot_be_asked_about_holds_nobody(rig: Rig) -> None:
    rig.ws.faults.server_error("usergroups.users.list", times=5)

    who = await rig.people.principal("U0ALICE")

    assert who.groups == frozenset()
    assert who.unknown
    assert who.is_guest is False


async def test_a_group_that_is_no_more_holds_nobody(rig: Rig) -> None:
    gone = (Grant(actions=frozenset(Action), groups=frozenset({"S0GONE"})),)
    who = await People(rig.client, WhoAmI(rig.client), gone).principal("U0ALICE")

    assert (who.groups, who.unknown) == (frozenset(), "")


@pytest.mark.parametrize(
    ("channel", "is_member", "is_external"),
    [("C0INCIDENTS", True, False), ("C0GENERAL", False, False), ("C0SHARED", False, True), ("C0NOWHERE", False, None)],
)
async def test_channels(channel: str, is_member: bool, is_external: bool | None, rig: Rig) -> None:  # noqa: FBT001
    found = await rig.channels.channel(channel)

    assert (found.is_member, found.is_external) == (is_member, is_external)


async def test_an_invitation_counts_at_once(rig: Rig) -> None:
    assert (await rig.channels.channel("C0GENERAL")).is_member is False
    rig.ws.invite("general", "cni")

    assert (await rig.channels.channel("C0GENERAL")).is_member


async def test_a_channel_that_slack_tells_nothing_about_is_not_ours_alone(rig: Rig) -> None:
    rig.ws.faults.server_error("conversations.info", times=5)

    assert (await rig.channels.channel("C0INCIDENTS")).is_external is None


US = Identity(token="", team="", team_id="T1", enterprise_id=None, user="", user_id="U9", bot_id=None)
GRID = Identity(token="", team="", team_id="T1", enterprise_id="E1", user="", user_id="U9", bot_id=None)
MEMBER = {"id": "U1", "team_id": "T1", "deleted": False, "is_bot": False, "is_restricted": False, "is_ultra_restricted": False}  # fmt: skip  # noqa: E501


@pytest.mark.parametrize(
    ("changed", "identity", "is_external"),
    [
        ({}, US, False),
        ({"team_id": "T2"}, US, True),
        ({"team_id": ""}, US, None),
        ({"team_id": None}, US, None),
        ({"is_stranger": True}, US, True),
        ({"team_id": "T2"}, GRID, True),
        ({"team_id": "T2", "enterprise_user": {"enterprise_id": "E1"}}, GRID, False),
        ({"team_id": "T2", "enterprise_user": {"enterprise_id": "E2"}}, GRID, True),
        ({"team_id": "T2", "enterprise_user": {"enterprise_id": ""}}, US, True),
        ({"team_id": "E1"}, GRID, False),
    ],
)
def test_who_is_of_another_organisation(changed: dict[str, Any], identity: Identity, is_external: bool | None) -> None:  # noqa: FBT001
    assert account_of({**MEMBER, **changed}, "U1", identity).is_external is is_external


@pytest.mark.parametrize("missing", ["deleted", "is_bot", "is_restricted", "is_ultra_restricted", "team_id"])
def test_a_flag_that_is_missing_is_not_false(missing: str) -> None:
    account = account_of({key: value for key, value in MEMBER.items() if key != missing}, "U1", US)

    assert None in {account.is_deactivated, account.is_bot, account.is_guest, account.is_external}


def test_an_answer_about_somebody_else_tells_nothing() -> None:
    assert account_of(MEMBER, "U2", US).is_guest is None


def test_who_is_only_invited_counts_as_a_guest() -> None:
    assert account_of({**MEMBER, "is_invited_user": True}, "U1", US).is_guest
