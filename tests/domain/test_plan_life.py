"""The life of a plan, held against what no order of clicks may reach."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from bot.domain import plan_life
from bot.domain.plan import Person, Plan
from bot.domain.plan_life import OPEN, PlanRecord, Refusal
from bot.domain.plan_policy import Policy
from tests.remediation.build import ALICE, BOB, CAROL, EXPIRY_S, NOW, ROOT, approval, plan, record, step

PEOPLE = (ALICE, BOB, CAROL, ROOT)
TWO = Policy(approvals={"r1": 2})


def approved(made: PlanRecord, *people: Person, policy: Policy | None = None) -> PlanRecord | Refusal:
    for person in people:
        changed = plan_life.approve(made, approval(made.plan, person), policy or Policy())
        if isinstance(changed, Refusal):
            return changed
        made = changed
    return made


def refusal(changed: PlanRecord | Refusal) -> str:
    assert isinstance(changed, Refusal), changed
    assert changed.sentence
    return changed.kind


def test_somebody_else_approves() -> None:
    done = approved(record(), BOB)

    assert isinstance(done, PlanRecord)
    assert done.state == "approved"


def test_the_proposer_never_approves() -> None:
    assert refusal(approved(record(), ALICE)) == "own"
    assert refusal(approved(record(), BOB, ALICE, policy=TWO)) == "own"


def test_nobody_counts_twice() -> None:
    assert refusal(approved(record(), BOB, BOB, policy=TWO)) == "again"


def test_another_realm_may_hide_the_proposer() -> None:
    """Alice in Slack and alice@example.org in the terminal may be one person."""
    assert refusal(approved(record(), ROOT)) == "realm"
    assert isinstance(approved(record(requester=Person(realm="cnibot", name="cnibot")), ROOT), PlanRecord)


def test_an_approval_is_for_one_digest_and_in_time() -> None:
    made = record()
    other = plan(step(2))

    assert refusal(plan_life.approve(made, approval(other), Policy())) == "digest"
    assert refusal(plan_life.approve(made, approval(made.plan, at=NOW + EXPIRY_S), Policy())) == "expired"


def test_a_policy_may_ask_for_the_terminal_or_the_typed_cluster() -> None:
    made = record()
    slack = Policy(not_from_slack=frozenset({"r1"}))
    typed = Policy(typed_cluster=frozenset({"r1"}))

    assert refusal(plan_life.approve(made, approval(made.plan), slack)) == "slack"
    assert refusal(plan_life.approve(made, approval(made.plan), typed, typed_cluster="prod")) == "typed"
    assert isinstance(plan_life.approve(made, approval(made.plan), typed, typed_cluster="lab"), PlanRecord)


def test_no_policy_needs_less_than_one_approval() -> None:
    assert Policy(approvals={"r1": 0}).needed(record().plan) == 1


@pytest.mark.parametrize("state", sorted({"verified", "undone", "halted", "refused", "expired", "stale", "aborted"}))
def test_what_has_ended_stays_as_it_is(state: Any) -> None:
    ended = msgspec.structs.replace(record(), state=state)

    for changed in (
        plan_life.approve(ended, approval(ended.plan), Policy()),
        plan_life.refuse(ended, BOB, "no", NOW),
        plan_life.stop(ended, BOB, NOW),
        plan_life.start(ended, NOW, Policy()),
        plan_life.finish(ended, "verified", "Done.", NOW),
        plan_life.supersede(ended, "p-2", NOW),
    ):
        assert refusal(changed) in {"decided", "expired"}
    assert plan_life.expire(ended, NOW + 10 * EXPIRY_S) is None


_TEXT = st.text(max_size=8)
_JSON = st.recursive(st.none() | st.integers() | _TEXT, lambda inner: st.dictionaries(_TEXT, inner, max_size=3))


@given(_JSON, _JSON)
def test_the_digest_covers_every_value_and_survives_the_store(one: Any, other: Any) -> None:
    def made(after: Any) -> Plan:
        return plan(step(do=msgspec.structs.replace(step().do, after=after)))

    kept = msgspec.json.decode(msgspec.json.encode(made(one)), type=Plan)

    assert kept.digest == made(one).digest
    assert (made(one).digest == made(other).digest) == (one == other)


class Life(RuleBasedStateMachine):
    """Any order of clicks by anybody, at any time, for any digest."""

    def __init__(self) -> None:
        super().__init__()
        self.record = PlanRecord(plan=plan(risk="r2"))
        self.policy = Policy(approvals={"r2": 2})
        self.now = NOW
        self.voices: set[Person] = set()
        self.final: PlanRecord | None = None

    def take(self, changed: PlanRecord | Refusal | None) -> None:
        if isinstance(changed, PlanRecord):
            self.record = changed

    @rule(person=st.sampled_from(PEOPLE), is_right=st.booleans())
    def approve(self, person: Person, is_right: bool) -> None:  # noqa: FBT001 drawn
        digest = self.record.plan.digest if is_right else "0" * 64
        changed = plan_life.approve(
            self.record, approval(self.record.plan, person, at=self.now, digest=digest), self.policy
        )
        if isinstance(changed, PlanRecord):
            assert is_right
            assert self.now < self.record.plan.expires_at
            self.voices.add(person)
        self.take(changed)

    @rule(person=st.sampled_from(PEOPLE))
    def refuse(self, person: Person) -> None:
        self.take(plan_life.refuse(self.record, person, "", self.now))

    @rule(person=st.sampled_from(PEOPLE))
    def stop(self, person: Person) -> None:
        self.take(plan_life.stop(self.record, person, self.now))

    @rule()
    def start(self) -> None:
        changed = plan_life.start(self.record, self.now, self.policy)
        if isinstance(changed, PlanRecord):
            assert len(self.voices) >= 2
            assert self.now < self.record.plan.expires_at
        self.take(changed)

    @rule(outcome=st.sampled_from(("verified", "undone", "halted", "stale", "checked", "aborted")))
    def finish(self, outcome: Any) -> None:
        before = self.record.state
        changed = plan_life.finish(self.record, outcome, "Ended.", self.now)
        if isinstance(changed, PlanRecord) and outcome in {"verified", "undone", "halted"}:
            assert before == "running"
        self.take(changed)

    @rule()
    def replace(self) -> None:
        self.take(plan_life.supersede(self.record, "p-2", self.now))

    @rule(seconds=st.sampled_from((1.0, EXPIRY_S / 2, EXPIRY_S)))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.take(plan_life.expire(self.record, self.now))

    @invariant()
    def never_by_the_proposer_alone(self) -> None:
        assert ALICE not in self.voices
        assert len({one.person for one in self.record.approvals}) == len(self.record.approvals)
        if self.record.state in {"approved", "running", "verified", "undone", "halted"}:
            assert len(self.record.approvals) >= 2

    @invariant()
    def the_end_is_the_end(self) -> None:
        if self.final is not None:
            assert self.record == self.final
        if self.record.state not in OPEN:
            self.final = self.record
            assert self.record.ended_at
            assert self.record.sentence


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
