"""What an approval needs, and when plans rest."""

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bot.domain import plan_life
from bot.domain.plan import Person
from bot.domain.plan_life import Approval, PlanRecord, Refusal
from bot.domain.plan_policy import ApprovalRule, Policy, QuietHours
from tests.remediation.build import BOB, NOW, ROOT, approval, plan, record

ZURICH = ZoneInfo("Europe/Zurich")
ONCALL = Person(realm="kubernetes", name="oncall@example.org")
GLASS = Policy(break_glass=frozenset({ONCALL.name}))


def hours(begins: str = "22:00", ends: str = "06:00", **changes: Any) -> QuietHours:
    values: dict[str, Any] = {"days": frozenset(range(7)), "zone": ZURICH, "risks": frozenset({"r1"})} | changes
    return QuietHours(begins=dt.time.fromisoformat(begins), ends=dt.time.fromisoformat(ends), **values)


def at(text: str) -> float:
    return dt.datetime.fromisoformat(text).replace(tzinfo=ZURICH).timestamp()


@pytest.mark.parametrize(
    ("moment", "is_quiet"),
    [
        ("2026-11-30T21:59", False),
        ("2026-11-30T22:00", True),
        ("2026-12-01T05:59", True),
        ("2026-12-01T06:00", False),
        ("2026-12-01T12:00", False),
    ],
)
def test_quiet_hours_go_past_midnight(moment: str, *, is_quiet: bool) -> None:
    policy = Policy(quiet_hours=(hours(),))

    assert bool(policy.quiet(plan(), at(moment))) is is_quiet


def test_a_night_belongs_to_the_day_on_which_it_begins() -> None:
    monday = hours(days=frozenset({0}))

    assert monday.until(plan(), at("2026-12-01T03:00")) == dt.datetime(2026, 12, 1, 6, tzinfo=ZURICH)
    assert monday.until(plan(), at("2026-11-30T03:00")) is None


@pytest.mark.parametrize(
    ("rules", "needed"),
    [
        ({}, 3),
        ({"clusters": ("l*",)}, 3),
        ({"clusters": ("prod-*",)}, 1),
        ({"risks": frozenset({"r2", "r3"})}, 1),
        ({"namespaces": ("kube-*",)}, 1),
        ({"namespaces": ("shop",)}, 3),
    ],
)
def test_how_many_must_approve_may_depend_on_the_place(rules: dict[str, Any], needed: int) -> None:
    policy = Policy(approval_rules=(ApprovalRule(people=3, **rules), ApprovalRule(people=1)))

    assert policy.needed(plan()) == needed


def test_a_rule_for_a_namespace_holds_for_what_is_changed_there_and_what_justifies_it() -> None:
    rule = ApprovalRule(people=2, namespaces=("kube-system",))

    assert not rule.applies(plan())
    assert rule.applies(replace(plan(), namespace="kube-system"))


def test_fewer_than_the_place_asks_for_begin_nothing() -> None:
    strict = Policy(approval_rules=(ApprovalRule(people=2, clusters=("lab",)),))
    once = plan_life.approve(record(), approval(plan(), BOB), strict)

    assert isinstance(once, PlanRecord)
    assert once.state == "waiting"
    assert isinstance(plan_life.start(replace(once, state="approved"), NOW, strict), Refusal)


def test_quiet_hours_are_for_some_risks_and_clusters() -> None:
    night = at("2026-11-30T23:00")

    assert hours(risks=frozenset({"r3"})).until(plan(), night) is None
    assert hours(clusters=("prod-*",)).until(plan(), night) is None
    assert hours(clusters=("l*",)).until(plan(), night) is not None


@given(st.floats(0, 4e9), st.times(), st.times())
def test_quiet_hours_end_after_now(now: float, begins: dt.time, ends: dt.time) -> None:
    quiet = QuietHours(begins=begins, ends=ends, days=frozenset({0, 3}), zone=dt.UTC, risks=frozenset({"r1"}))
    end = quiet.until(plan(), now)

    assert end is None or end.timestamp() > now


def kind(changed: PlanRecord | Refusal) -> str:
    return changed.kind if isinstance(changed, Refusal) else changed.state


def glass(made: PlanRecord, person: Person = ONCALL, reason: str = "Everything is down") -> Approval:
    return replace(approval(made.plan, person), is_break_glass=True, reason=reason)


def test_quiet_hours_hold_up_approval_and_begin() -> None:
    night = at("2026-11-30T23:00")
    made = record(made_at=night - 60, expires_at=night + 600)
    policy = Policy(quiet_hours=(hours(),))

    assert kind(plan_life.approve(made, approval(made.plan, BOB, at=night), policy)) == "quiet"
    early = plan_life.approve(made, approval(made.plan, BOB, at=night - 7200), policy)
    assert isinstance(early, PlanRecord)
    assert kind(plan_life.start(early, night, policy)) == "quiet"


def test_one_who_breaks_the_glass_is_enough_also_for_their_own_plan_at_night() -> None:
    policy = Policy(
        approvals={"r1": 3},
        break_glass=GLASS.break_glass,
        quiet_hours=(hours(begins="00:00", ends="00:00"),),
    )
    made = record(requester=ONCALL)
    done = plan_life.approve(made, glass(made), policy)

    assert isinstance(done, PlanRecord)
    assert done.glass_broken_by is not None
    assert kind(plan_life.start(done, NOW + 2, policy)) == "running"


def test_the_glass_is_for_those_named_for_it_with_a_reason_and_never_in_slack() -> None:
    made = record()
    namesake = Person(realm="slack", name=ONCALL.name)

    assert kind(plan_life.approve(made, glass(made, ROOT), GLASS)) == "glass"
    assert kind(plan_life.approve(made, glass(made, namesake), GLASS)) == "glass"
    assert kind(plan_life.approve(made, glass(made, reason=" "), GLASS)) == "reason"


def test_a_glass_broken_under_another_policy_begins_nothing() -> None:
    made = record()
    done = plan_life.approve(made, glass(made), GLASS)

    assert isinstance(done, PlanRecord)
    assert kind(plan_life.start(done, NOW + 2, Policy(approvals={"r1": 2}))) == "not-approved"


def test_a_reason_is_required_where_the_policy_says_so() -> None:
    made, policy = record(), Policy(reason_required=frozenset({"r1"}))

    assert kind(plan_life.approve(made, approval(made.plan, BOB), policy)) == "reason"
    given_ = replace(approval(made.plan, BOB), reason="The fix of inc-1")
    assert kind(plan_life.approve(made, given_, policy)) == "approved"
