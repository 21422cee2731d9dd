"""The life of a plan: who may decide what about it, and when. Pure: the store makes each decision happen once.

    waiting ──> approved ──> running ──> verified | undone | halted
       │            └──> stale | checked
       └──> refused | expired | superseded | aborted

An approval is for a digest: a plan that differs by one byte is another plan.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from msgspec import Struct

from bot.domain.plan import Person, Plan
from bot.domain.plan_policy import Policy

PlanState = Literal[
    "waiting",
    "approved",
    "running",
    "verified",
    "undone",
    "halted",
    "refused",
    "expired",
    "superseded",
    "stale",
    "checked",
    "aborted",
]
OPEN: frozenset[PlanState] = frozenset({"waiting", "approved", "running"})
"""All others are final."""
Outcome = Literal["verified", "undone", "halted", "stale", "checked", "aborted"]
"""halted: something was done, and a person must look. checked: in shadow mode, everything but the change itself."""

MAX_REASON = 500


class Approval(Struct, frozen=True, kw_only=True):
    """One person's word for one digest."""

    person: Person
    at: float
    digest: str
    reason: str = ""
    reference: str = ""
    """Where it was given: channel and ts of the card in Slack."""
    is_break_glass: bool = False
    """It counts alone, whoever proposed the plan and whatever the hour."""


class PlanRecord(Struct, frozen=True, kw_only=True):
    """A plan and what has become of it."""

    plan: Plan
    asked: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    """What was asked for, as it is to be planned again. It is no part of what people approve."""
    state: PlanState = "waiting"
    approvals: tuple[Approval, ...] = ()
    decided_by: Person | None = None
    """Who refused or aborted it, or asked that it stop."""
    is_stopping: bool = False
    """Somebody asked a running plan to stop."""
    started_at: float = 0.0
    ended_at: float = 0.0
    sentence: str = ""
    """How it ended, and why."""
    revision: int = 0
    """Counts its changes; the store's lock."""

    @property
    def glass_broken_by(self) -> Approval | None:
        """The approval that went past the policy."""
        return next((one for one in self.approvals if one.is_break_glass), None)

    @property
    def is_open(self) -> bool:
        """Whether anything can still become of it."""
        return self.state in OPEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a click changes nothing: a sentence for the person who clicked."""

    kind: Literal[
        "own",
        "again",
        "decided",
        "expired",
        "realm",
        "digest",
        "typed",
        "reason",
        "slack",
        "quiet",
        "glass",
        "not-approved",
        "not-running",
    ]
    sentence: str


def approve(record: PlanRecord, approval: Approval, policy: Policy, *, typed_cluster: str = "") -> PlanRecord | Refusal:
    """The plan with one approval more; approved when there are enough."""
    plan = record.plan
    if record.state != "waiting":
        return decided(record)
    if approval.at >= plan.expires_at:
        return Refusal(kind="expired", sentence=f"Plan {plan.id} has expired. Nothing was changed; propose it again.")
    if approval.digest != plan.digest:
        return Refusal(
            kind="digest", sentence=f"You approved another version of plan {plan.id}. Read it again, then approve."
        )
    refusal = _glass(approval, policy) if approval.is_break_glass else _as_usual(record, approval, policy)
    if refusal := refusal or _said(plan, approval, policy, typed_cluster):
        return refusal
    approvals = (*record.approvals, approval)
    is_enough = approval.is_break_glass or len(approvals) >= policy.needed(plan)
    return msgspec.structs.replace(record, approvals=approvals, state="approved" if is_enough else "waiting")


def _glass(approval: Approval, policy: Policy) -> Refusal | None:
    """Whether this person may go past the policy, and says why."""
    if not policy.may_break_glass(approval.person):
        return Refusal(kind="glass", sentence="You are not among those who may break the glass.")
    if not approval.reason.strip():
        return Refusal(kind="reason", sentence="Say why you break the glass: --reason")
    return None


def _as_usual(record: PlanRecord, approval: Approval, policy: Policy) -> Refusal | None:
    """Whether this person may be one of its approvers, here and now."""
    plan = record.plan
    if refusal := _who(record, approval.person):
        return refusal
    if approval.person.realm == "slack" and plan.risk in policy.not_from_slack:
        return Refusal(kind="slack", sentence=f"Plans of risk {plan.risk} are approved in the terminal, not in Slack.")
    if quiet := policy.quiet(plan, approval.at):
        return Refusal(kind="quiet", sentence=f"{quiet} Who may break the glass does it in the terminal.")
    return None


def _said(plan: Plan, approval: Approval, policy: Policy, typed_cluster: str) -> Refusal | None:
    """Whether the person typed and said what the policy asks for."""
    if plan.risk in policy.typed_cluster and typed_cluster != plan.cluster:
        return Refusal(
            kind="typed",
            sentence=f"Type the name of the cluster to approve this plan: cnibot plan approve {plan.id} --cluster NAME",
        )
    if plan.risk in policy.reason_required and not approval.reason.strip():
        return Refusal(kind="reason", sentence=f"Plans of risk {plan.risk} are approved with a reason: --reason")
    return None


def _who(record: PlanRecord, person: Person) -> Refusal | None:
    """Whether this person may be one of its approvers, whatever their rights."""
    requester = record.plan.requester
    if person == requester:
        return Refusal(kind="own", sentence="You proposed this plan; another person has to approve it.")
    realms = {one.realm for one in (requester, *(one.person for one in record.approvals)) if one.realm != "cnibot"}
    if realms - {person.realm}:
        return Refusal(
            kind="realm",
            sentence=(
                f"This plan was proposed or approved under a name of {min(realms)}. Whether that is you is not "
                "known, so it must be approved there too."
            ),
        )
    if any(one.person == person for one in record.approvals):
        return Refusal(
            kind="again", sentence="You have already approved this plan; another person has to approve it too."
        )
    return None


def refuse(record: PlanRecord, person: Person, reason: str, now: float) -> PlanRecord | Refusal:
    """The plan, refused: by anybody who may approve it, and by the proposer."""
    if record.state not in {"waiting", "approved"}:
        return decided(record)
    sentence = f"Refused by {person.name}: {reason[:MAX_REASON]}" if reason else f"Refused by {person.name}."
    return msgspec.structs.replace(
        record, state="refused", decided_by=person, ended_at=now, sentence=f"{sentence} Nothing was changed."
    )


def expire(record: PlanRecord, now: float) -> PlanRecord | None:
    """The plan, expired, where its time has passed before it was begun; else None."""
    if record.state not in {"waiting", "approved"} or now < record.plan.expires_at:
        return None
    missing = "It was approved and not begun" if record.state == "approved" else "Nobody approved it"
    return msgspec.structs.replace(
        record, state="expired", ended_at=now, sentence=f"{missing} in time. Nothing was changed."
    )


def supersede(record: PlanRecord, by: str, now: float) -> PlanRecord | Refusal:
    """The plan, replaced by a newer one that changes the same objects."""
    if record.state not in {"waiting", "approved"}:
        return decided(record)
    return msgspec.structs.replace(
        record, state="superseded", ended_at=now, sentence=f"Plan {by} replaces it. Nothing was changed."
    )


def stop(record: PlanRecord, person: Person, now: float) -> PlanRecord | Refusal:
    """The plan, aborted before it began, or asked to turn back at its next step."""
    if record.state in {"waiting", "approved"}:
        return msgspec.structs.replace(
            record,
            state="aborted",
            decided_by=person,
            ended_at=now,
            sentence=f"Aborted by {person.name}. Nothing was changed.",
        )
    if record.state != "running":
        return decided(record)
    if record.is_stopping:
        return Refusal(kind="again", sentence="It is stopping already.")
    return msgspec.structs.replace(record, is_stopping=True, decided_by=person)


def start(record: PlanRecord, now: float, policy: Policy) -> PlanRecord | Refusal:
    """The plan, running: approved by enough people, for exactly this digest, in time."""
    plan = record.plan
    if record.state != "approved":
        return decided(record) if record.state != "waiting" else _lacking(record, policy)
    if now >= plan.expires_at:
        return Refusal(kind="expired", sentence=f"Plan {plan.id} expired before it began. Nothing was changed.")
    given = [one for one in record.approvals if one.digest == plan.digest]
    if not any(one.is_break_glass and policy.may_break_glass(one.person) for one in given):
        if len({one.person for one in given} - {plan.requester}) < policy.needed(plan):
            return _lacking(record, policy)
        if quiet := policy.quiet(plan, now):
            return Refusal(kind="quiet", sentence=f"{quiet} Nothing was changed.")
    return msgspec.structs.replace(record, state="running", started_at=now)


def finish(record: PlanRecord, outcome: Outcome, sentence: str, now: float) -> PlanRecord | Refusal:
    """The plan at its end. Only what has not begun can be stale or checked."""
    may = {"stale": {"approved", "running"}, "checked": {"approved"}}.get(outcome, {"running"})
    if record.state not in may:
        return decided(record)
    return msgspec.structs.replace(record, state=outcome, ended_at=now, sentence=sentence)


def _lacking(record: PlanRecord, policy: Policy) -> Refusal:
    missing = policy.needed(record.plan) - len(record.approvals)
    people = "one more person" if missing == 1 else f"{missing} more people"
    return Refusal(kind="not-approved", sentence=f"Plan {record.plan.id} waits for the approval of {people}.")


def decided(record: PlanRecord) -> Refusal:
    """The answer to somebody who comes too late."""
    names = " and ".join(one.person.name for one in record.approvals)
    words: Mapping[PlanState, str] = {
        "waiting": "waits for approval.",
        "approved": f"is approved by {names}.",
        "running": f"was approved by {names} and is running.",
        "verified": "has run, and every check passed.",
        "undone": "has run and was undone.",
        "halted": "stopped half done: a person must check what is left.",
        "refused": "was refused.",
        "expired": "has expired. Nothing was changed.",
        "superseded": "was replaced by a newer one.",
        "stale": "was not run: the cluster had changed.",
        "checked": "was checked in shadow mode; nothing was changed.",
        "aborted": "was aborted. Nothing was changed.",
    }
    sentence = f"Plan {record.plan.id} {words[record.state]}"
    return Refusal(kind="expired" if record.state == "expired" else "decided", sentence=sentence)
