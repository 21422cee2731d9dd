"""Who may do what."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.authorization import (
    Action,
    Grant,
    Principal,
    Scope,
    allowed_actions,
    authorize,
    standing,
)

USERS = ("U1", "U2", "U3")
GROUPS = ("S1", "S2")
NAMES = ("prod", "staging", "shop")

flags = st.sampled_from([True, False, None])
principals = st.builds(
    Principal,
    user_id=st.sampled_from([*USERS, "USLACKBOT", ""]),
    is_deactivated=flags,
    is_bot=flags,
    is_guest=flags,
    is_external=flags,
    groups=st.frozensets(st.sampled_from(GROUPS)),
    unknown=st.sampled_from(["", "no answer in time"]),
)
members = st.builds(
    Principal,
    user_id=st.sampled_from(USERS),
    is_deactivated=st.just(False),
    is_bot=st.just(False),
    is_guest=st.just(False),
    is_external=st.just(False),
    groups=st.frozensets(st.sampled_from(GROUPS)),
)
patterns = st.lists(st.sampled_from(["*", "prod", "s*", "shop"]), max_size=2).map(tuple)
grants = st.lists(
    st.builds(
        Grant,
        actions=st.frozensets(st.sampled_from(Action)),
        users=st.frozensets(st.sampled_from([*USERS, "*"])),
        groups=st.frozensets(st.sampled_from(GROUPS)),
        clusters=patterns,
        namespaces=patterns,
        channels=st.sampled_from([("*",), ("C1",), ()]),
    ),
    max_size=4,
)
scopes = st.builds(
    Scope,
    cluster=st.sampled_from([None, *NAMES]),
    namespace=st.sampled_from([None, *NAMES]),
    channel=st.sampled_from(["", "C1", "C2"]),
    is_channel_external=flags,
)
actions = st.sampled_from(Action)

ALICE = Principal(user_id="U1", is_deactivated=False, is_bot=False, is_guest=False, is_external=False)
EVERYTHING = Grant(actions=frozenset(Action), users=frozenset({"*"}))


@given(principals, actions, scopes, grants)
def test_only_full_members_are_ever_allowed(
    principal: Principal, action: Action, scope: Scope, granted: list[Grant]
) -> None:
    decision = authorize(principal, action, scope, granted)

    if decision.allowed:
        known = (principal.is_deactivated, principal.is_bot, principal.is_guest, principal.is_external)
        assert known == (False, False, False, False)
        assert principal.user_id in USERS
    assert decision.reason.endswith(".")


@given(principals, actions, scopes)
def test_without_grants_nobody_may_do_anything(principal: Principal, action: Action, scope: Scope) -> None:
    decision = authorize(principal, action, scope, [])

    assert not decision.allowed
    assert decision.who_may == ()


@given(members, actions, scopes, grants)
def test_who_is_allowed_is_among_those_who_may(
    principal: Principal, action: Action, scope: Scope, granted: list[Grant]
) -> None:
    decision = authorize(principal, action, scope, granted)
    nobody = dataclasses.replace(principal, user_id="U0NOBODY", groups=frozenset())
    refused = authorize(nobody, action, scope, granted)

    assert authorize(dataclasses.replace(principal, is_guest=True), action, scope, granted).who_may == ()
    if decision.allowed and not refused.allowed:
        assert {principal.user_id, "*", *principal.groups} & set(refused.who_may)


@given(members, actions, scopes, grants, grants)
def test_another_grant_takes_nothing_away(
    principal: Principal, action: Action, scope: Scope, granted: list[Grant], more: list[Grant]
) -> None:
    before = authorize(principal, action, scope, granted)
    after = authorize(principal, action, scope, [*granted, *more])

    assert after.allowed >= before.allowed


@given(principals, actions, scopes, grants)
def test_what_slack_does_not_tell_never_helps(
    principal: Principal, action: Action, scope: Scope, granted: list[Grant]
) -> None:
    reported = authorize(principal, action, scope, granted)
    for field in ("is_deactivated", "is_bot", "is_guest", "is_external"):
        assert not authorize(dataclasses.replace(principal, **{field: None}), action, scope, granted).allowed
    forgotten = authorize(dataclasses.replace(principal, groups=frozenset()), action, scope, granted)
    assert forgotten.allowed <= reported.allowed


@given(members, actions, scopes, grants)
def test_nothing_is_posted_where_strangers_read(
    principal: Principal, action: Action, scope: Scope, granted: list[Grant]
) -> None:
    outside = dataclasses.replace(scope, is_channel_external=True)
    unknown = dataclasses.replace(scope, is_channel_external=None)

    if action not in {Action.READ, Action.FEEDBACK}:
        assert not authorize(principal, action, outside, granted).allowed
        assert not authorize(principal, action, unknown, granted).allowed


@pytest.mark.parametrize(
    ("principal", "reason"),
    [
        (dataclasses.replace(ALICE, is_guest=True), "Guests may not use cnibot."),
        (dataclasses.replace(ALICE, is_bot=True), "Bots may not use cnibot."),
        (dataclasses.replace(ALICE, user_id="USLACKBOT"), "Bots may not use cnibot."),
        (dataclasses.replace(ALICE, is_deactivated=True), "Your account is deactivated."),
        (dataclasses.replace(ALICE, is_external=True), "You are not a member of this organisation."),
        (dataclasses.replace(ALICE, user_id=""), "It is not known who you are."),
        (
            dataclasses.replace(ALICE, is_external=None),
            "Slack did not report whether you are a full member, so nothing is allowed. Try again.",
        ),
    ],
)
def test_the_reason_is_said(principal: Principal, reason: str) -> None:
    assert authorize(principal, Action.DIAGNOSE, Scope(), [EVERYTHING]).reason == reason
    assert standing(principal).reason == reason


@pytest.mark.parametrize(
    ("grant", "scope", "may"),
    [
        (Grant(actions=frozenset({Action.DIAGNOSE}), users=frozenset({"U1"})), Scope(namespace="shop"), True),
        (Grant(actions=frozenset({Action.READ}), users=frozenset({"U1"})), Scope(namespace="shop"), False),
        (Grant(actions=frozenset({Action.DIAGNOSE}), users=frozenset()), Scope(), False),
        (Grant(actions=frozenset(Action), users=frozenset({"u1"})), Scope(), False),
        (Grant(actions=frozenset(Action), groups=frozenset({"S1"})), Scope(), True),
        (Grant(actions=frozenset(Action), groups=frozenset({"S2"})), Scope(), False),
        (dataclasses.replace(EVERYTHING, namespaces=("shop-*",)), Scope(namespace="shop-eu"), True),
        (dataclasses.replace(EVERYTHING, namespaces=("shop-*",)), Scope(namespace="shop"), False),
        (dataclasses.replace(EVERYTHING, namespaces=("shop-*",)), Scope(), True),
        (dataclasses.replace(EVERYTHING, namespaces=()), Scope(), False),
        (dataclasses.replace(EVERYTHING, clusters=("prod",)), Scope(cluster="PROD"), False),
        (dataclasses.replace(EVERYTHING, clusters=("prod",)), Scope(cluster="prod"), True),
        (dataclasses.replace(EVERYTHING, channels=("C1",)), Scope(channel="C1"), True),
        (dataclasses.replace(EVERYTHING, channels=("C1",)), Scope(channel="C2"), False),
        (dataclasses.replace(EVERYTHING, channels=("C1",)), Scope(), False),
    ],
)
def test_a_grant_counts_for_what_it_names(grant: Grant, scope: Scope, *, may: bool) -> None:
    principal = dataclasses.replace(ALICE, groups=frozenset({"S1"}))
    assert authorize(principal, Action.DIAGNOSE, scope, [grant]).allowed is may


def test_who_is_named_may_although_groups_could_not_be_asked() -> None:
    principal = dataclasses.replace(ALICE, unknown="no answer in time")
    by_group = Grant(actions=frozenset(Action), groups=frozenset({"S1"}))
    by_name = Grant(actions=frozenset(Action), users=frozenset({"U1"}))

    assert authorize(principal, Action.DIAGNOSE, Scope(), [by_name]).allowed
    refused = authorize(principal, Action.DIAGNOSE, Scope(), [by_group])
    assert "could not be read from Slack" in refused.reason


def test_those_who_may_are_named_users_first() -> None:
    some = Grant(actions=frozenset(Action), users=frozenset({"U3", "U2"}), groups=frozenset({"S1"}))

    assert authorize(ALICE, Action.READ, Scope(), [some]).who_may == ("U2", "U3", "S1")
    guest = dataclasses.replace(ALICE, is_guest=True)
    assert authorize(guest, Action.READ, Scope(), [some, EVERYTHING]).who_may == ()  # may never, so is told nobody


def test_allowed_actions_are_those_of_the_grants() -> None:
    some = Grant(actions=frozenset({Action.SHARE, Action.READ}), users=frozenset({"U1"}))

    assert allowed_actions(ALICE, Scope(), [some]) == (Action.READ, Action.SHARE)
