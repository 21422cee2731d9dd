"""Proposing, deciding and carrying out plans. Each decision is one compare-and-set in the store, with its audit."""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Literal

import msgspec
import structlog
from msgspec.structs import replace

from bot.agent.report import NodeReport
from bot.aio.failures import first_failure
from bot.aio.groups import TaskGroup
from bot.cluster.access.agent_pod import DEFAULT_NAMESPACE
from bot.cluster.client.api import Api
from bot.cluster.writer import Writer
from bot.domain import plan_life
from bot.domain.errors import BotError
from bot.domain.plan import Baseline, Person, Plan, Recheck, Step
from bot.domain.plan_journal import AuditEntry, JournalEntry
from bot.domain.plan_life import Approval, PlanRecord, Refusal
from bot.domain.plan_policy import Policy
from bot.domain.report import Report
from bot.incidents.plans import limits
from bot.incidents.plans.drift import drift
from bot.incidents.plans.limits import Limits
from bot.incidents.plans.surroundings import Surroundings
from bot.remediation.actions.draft import Circumstances, NotPlannedError, is_forward, plan_of
from bot.remediation.active_approval import announced
from bot.remediation.conditions import can_hold_before, holds
from bot.remediation.executor import MAX_PAUSE_S, PAUSE_S, UNKNOWN_S, Better, Executor, may_pass
from bot.remediation.offers import confirmed, offer
from bot.remediation.requests import PlanRequest, Supplies, draft, rehearsed
from bot.remediation.verification import BETWEEN_ROUNDS_S, rechecked
from bot.store import Store, StoreUnavailableError
from bot.store.plans import Lease, Stop

log = structlog.get_logger()

PlanMode = Literal["shadow", "execute"]
"""shadow: plans are proposed, approved and checked, and nothing is changed."""

Connect = Callable[[str], AbstractAsyncContextManager[Api]]
"""The API of a cluster by its name."""
Diagnose = Callable[[Plan, str], Awaitable[Report]]
"""A diagnosis of this namespace for a plan: of the one that justified it, or of the plan's test pods."""
OnMove = Callable[[PlanRecord, Sequence[JournalEntry]], Awaitable[None]]


async def silent(_: PlanRecord, __: Sequence[JournalEntry]) -> None:
    """Where nobody watches a plan run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSettings:
    """What the settings say about plans."""

    mode: PlanMode = "shadow"
    policy: Policy = field(default_factory=Policy)
    limits: Limits = field(default_factory=Limits)
    supplies: Supplies = field(default_factory=Supplies)
    expiry_s: float = 900.0
    pause_s: float = PAUSE_S
    unknown_s: float = UNKNOWN_S
    between_rounds_s: float = BETWEEN_ROUNDS_S
    admission_policy: bool = False
    """The approval that is being carried out is written into the cluster, for an admission policy to read."""
    bot_namespace: str = DEFAULT_NAMESPACE


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What somebody wants done, and the diagnosis that justifies it."""

    asked: PlanRequest
    cluster: str
    namespace: str
    requester: Person
    baseline: Baseline
    evidence: Sequence[str] = ()
    incident: str = ""
    run: int = 0
    reports: Mapping[str, NodeReport] = field(default_factory=dict[str, NodeReport])
    """What node agents see on every node, where somebody has them look."""
    id: str = ""
    """The same id a second time is the same plan."""


def new_plan_id() -> str:
    """A new id: "p-" and eight hexadecimal digits."""
    return f"p-{secrets.token_hex(4)}"


class PlanService:
    """All plans of all clusters."""

    def __init__(
        self,
        store: Store,
        connect: Connect,
        diagnose: Diagnose,
        settings: PlanSettings,
        *,
        surroundings: Surroundings | None = None,
        observe: Connect | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._plans = store.plans
        self._troubles = (surroundings or Surroundings(store)).troubles
        self._connect = connect
        self._observe = observe or connect
        self._diagnose = diagnose
        self._settings = settings
        self._now = now
        self._program = version("cnibot")

    def _writer(self, api: Api) -> Writer:
        return Writer(api, helm=self._settings.supplies.helm)

    @property
    def settings(self) -> PlanSettings:
        """What governs plans."""
        return self._settings

    # Proposing

    async def propose(self, proposal: Proposal) -> PlanRecord:
        """The plan, made from what stands in the cluster now and rehearsed there by a dry run.

        Open plans for the same objects are superseded. Errors: `NotPlannedError`, `BotError`.
        """
        plan_id = proposal.id or new_plan_id()
        known = await self._plans.find(plan_id)
        if known is not None:
            return known
        async with self._connect(proposal.cluster) as api:
            writer = self._writer(api)
            made = await draft(proposal.asked, writer, self._settings.supplies, proposal.reports)
            given = Circumstances(
                id=plan_id,
                cluster=proposal.cluster,
                namespace=proposal.namespace,
                requester=proposal.requester,
                now=self._now(),
                expiry_s=self._settings.expiry_s,
                program=self._program,
                incident=proposal.incident,
                run=proposal.run,
                baseline=proposal.baseline,
                evidence=proposal.evidence,
            )
            plan = await rehearsed(plan_of(made, given), writer)
            await self._refuse_unguarded(plan, writer)
        plan = await self._warned(plan)
        if why := limits.refusal(plan, await self._plans.recent(), self._settings.limits, self._now()):
            raise NotPlannedError(why)
        policy = self._settings.policy
        if plan.requester.realm == "slack" and plan.risk in policy.not_from_slack:
            raise NotPlannedError(
                f"Plans of risk {plan.risk} are approved in the terminal.", "Propose it there: cnibot plan propose"
            )
        record = PlanRecord(plan=plan, asked=msgspec.to_builtins(proposal.asked))
        await self._plans.add(record, self._entry("proposed", record, plan.requester, plan.title))
        await self._supersede(plan)
        return await self._plans.get(plan_id)

    async def fix_for(self, cluster: str, report: Report) -> PlanRequest:
        """What the report leads to, as the cluster stands now. Errors: `NotPlannedError`, `BotError`."""
        offered = offer(report)
        if offered is None:
            raise NotPlannedError(
                "No fix of the newest verdict can be carried out by a plan.",
                "Its commands are for the owner of the host.",
            )
        async with self._connect(cluster) as api:
            return await confirmed(offered, report, self._writer(api))

    async def _refuse_unguarded(self, plan: Plan, writer: Writer) -> None:
        for step in plan.steps:
            for guard in filter(can_hold_before, step.guards):
                held = await holds(guard, writer, now=self._now())
                if not held.is_so:
                    raise NotPlannedError(f"It could not begin: {held.why}.")

    async def _warned(self, plan: Plan) -> Plan:
        """The plan with what else is wrong there, for its approvers. Errors: `NotPlannedError`: an incident is open."""
        found = await self._troubles(plan)
        for one in found:
            if one.is_incident:
                raise NotPlannedError(f"{one.sentence}.", "Close it first, or diagnose it again.")
        warnings = (*plan.warnings, *(f"{one.sentence}." for one in found))
        return replace(plan, warnings=warnings, accepted=tuple(sorted({one.key for one in found} - {""})))

    async def _unexpected(self, plan: Plan) -> str:
        """What has gone wrong with the plan's objects since its approvers were warned; "" for nothing known."""
        found = await self._troubles(plan)
        new = next((one for one in found if one.key and one.key not in plan.accepted), None)
        return f"{new.sentence}, which was not so when the plan was made." if new else ""

    async def _supersede(self, plan: Plan) -> None:
        """Of two plans for one object the older one is void."""
        keys = {target.key for target in plan.targets}
        for other in await self._plans.recent():
            theirs = {target.key for target in other.plan.targets}
            if other.plan.id != plan.id and other.plan.cluster == plan.cluster and keys & theirs:
                await self._plans.decide(
                    other.plan.id,
                    lambda stands: plan_life.supersede(stands, plan.id, self._now()),
                    lambda changed: self._entry("superseded", changed, plan.requester, changed.sentence),
                )

    # Deciding

    async def approve(
        self,
        plan_id: str,
        person: Person,
        *,
        digest: str,
        reason: str = "",
        reference: str = "",
        typed: str = "",
        is_break_glass: bool = False,
    ) -> PlanRecord | Refusal:
        """One approval more, for the digest that the person saw; or why not. Errors: `UnknownPlanError`."""
        await self._expire(plan_id)
        approval = Approval(
            person=person,
            at=self._now(),
            digest=digest,
            reason=reason[: plan_life.MAX_REASON],
            reference=reference,
            is_break_glass=is_break_glass,
        )
        event = "glass broken" if is_break_glass else "approved"
        return await self._plans.decide(
            plan_id,
            lambda stands: plan_life.approve(stands, approval, self._settings.policy, typed_cluster=typed),
            lambda changed: self._entry(event, changed, person, f"{reason} {reference}".strip()),
        )

    async def refuse(self, plan_id: str, person: Person, reason: str) -> PlanRecord | Refusal:
        """The plan, refused. Errors: `UnknownPlanError`."""
        await self._expire(plan_id)
        return await self._plans.decide(
            plan_id,
            lambda stands: plan_life.refuse(stands, person, reason, self._now()),
            lambda changed: self._entry("refused", changed, person, reason),
        )

    async def abort(self, plan_id: str, person: Person) -> PlanRecord | Refusal:
        """The plan, aborted, or turning back. Errors: `UnknownPlanError`."""
        await self._expire(plan_id)
        return await self._plans.decide(
            plan_id,
            lambda stands: plan_life.stop(stands, person, self._now()),
            lambda changed: self._entry("aborted", changed, person, changed.sentence),
        )

    async def get(self, plan_id: str) -> PlanRecord:
        """The plan as it stands. Errors: `UnknownPlanError`."""
        await self._expire(plan_id)
        return await self._plans.get(plan_id)

    async def journal(self, plan_id: str) -> tuple[JournalEntry, ...]:
        """What was done of it."""
        return await self._plans.journal(plan_id)

    async def recent(self) -> tuple[PlanRecord, ...]:
        """The newest plans first; those whose time has passed are expired by this."""
        for one in await self._plans.recent():
            if plan_life.expire(one, self._now()):
                await self._expire(one.plan.id)
        return await self._plans.recent()

    async def _expire(self, plan_id: str) -> None:
        stands = await self._plans.get(plan_id)
        if plan_life.expire(stands, self._now()) is None:
            return
        nobody = Person(realm="cnibot", name="cnibot")
        await self._plans.decide(
            plan_id,
            lambda one: plan_life.expire(one, self._now()) or plan_life.decided(one),
            lambda changed: self._entry("expired", changed, nobody, changed.sentence),
        )

    async def stop_all(self, person: Person, reason: str) -> None:
        """Throw the kill switch: nothing begins, and what runs turns back at its next step."""
        stop = Stop(person=person, at=self._now(), reason=reason[: plan_life.MAX_REASON])
        await self._plans.stop_all(stop, self._said("stopped", person, reason))

    async def resume_all(self, person: Person) -> None:
        """Release the kill switch."""
        await self._plans.stop_all(None, self._said("resumed", person, ""))

    async def stopped(self) -> Stop | None:
        """Who threw the kill switch."""
        return await self._plans.stopped()

    # Carrying out

    async def execute(self, plan_id: str, *, who: str, on_move: OnMove = silent) -> PlanRecord | Refusal:
        """The plan at its end; or why it may not begin. What another process left half done is gone on with.

        `who` names this process. Errors: `BusyError`: another plan, or another process, has the cluster in hand;
        `StoreUnavailableError`, `LeaseLostError`: whoever comes next goes on.
        """
        record = await self.get(plan_id)
        if record.state not in {"approved", "running"}:
            return plan_life.decided(record)
        if record.state == "running" and self._settings.mode == "shadow":
            sentence = f"Plan {plan_id} was started elsewhere: in shadow mode it is not continued here."
            return Refusal(kind="not-running", sentence=sentence)
        lease = await self._plans.lease(record.plan.cluster, plan_id, who)
        async with self._held(lease):
            began = await self._begun(record)
            if isinstance(began, Refusal) or began.state != "running":
                return began
            return await self._carried_out(began, lease, on_move)

    async def _begun(self, record: PlanRecord) -> PlanRecord | Refusal:
        """The plan, running; or at its end, where it may not or need not run."""
        plan = record.plan
        if record.state == "running":
            return record if plan.program == self._program else await self._end(record, "halted", _OTHER_PROGRAM)
        if plan.program != self._program:
            return await self._end_approved(record, _OTHER_PROGRAM)
        if not record.glass_broken_by and (quiet := self._settings.policy.quiet(plan, self._now())):
            return Refusal(kind="quiet", sentence=quiet)
        if why := await self._obstacle(plan):
            return await self._end_approved(record, f"{why} Nothing was changed.")
        if self._settings.mode == "shadow":
            sentence = "Shadow mode: the cluster matches the plan and would accept each change. Nothing was changed."
            return await self._end(record, "checked", sentence)
        return await self._plans.decide(
            plan.id,
            lambda stands: plan_life.start(stands, self._now(), self._settings.policy),
            lambda changed: self._entry("began", changed, _EXECUTOR, ""),
        )

    async def _obstacle(self, plan: Plan) -> str:
        """Why an approved plan is not begun; "" when nothing stands in its way."""
        earlier = await self._plans.recent()
        refused = await self._halt() or limits.refusal(plan, earlier, self._settings.limits, self._now())
        return refused or await self._unexpected(plan) or await self._drift(plan)

    async def _drift(self, plan: Plan) -> str:
        """Why the cluster is no longer as it was when the plan was made; "" when all is as it was."""
        until, pause_s = self._now() + self._settings.unknown_s, self._settings.pause_s
        while True:
            try:
                async with self._connect(plan.cluster) as api:
                    again = await rehearsed(plan, self._writer(api))
            except BotError as error:
                if not may_pass(error) or self._now() >= until:
                    return str(error)
            else:
                other = "The cluster would make something else of the changes by now."
                return "" if again.digest == plan.digest else other
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, MAX_PAUSE_S)

    async def _carried_out(self, record: PlanRecord, lease: Lease, on_move: OnMove) -> PlanRecord | Refusal:
        plan = record.plan

        async def recheck(asked: Recheck) -> Better:
            where = asked.namespace or plan.namespace
            between_s = self._settings.between_rounds_s
            return await rechecked(asked, plan.baseline, lambda: self._diagnose(plan, where), between_s=between_s)

        async def is_stopping() -> bool:
            return (await self._plans.get(plan.id)).is_stopping

        async def halt(step: Step) -> str:
            return await self._halt() or (await self._unexpected(plan) if is_forward(step) else "")

        async with self._connect(plan.cluster) as api, self._announced(plan):
            journal = _Journal(self, lease, record, on_move)
            ended = await Executor(
                plan,
                self._writer(api),
                journal,
                recheck=recheck,
                is_stopping=is_stopping,
                halt=halt,
                now=self._now,
                pause_s=self._settings.pause_s,
                unknown_s=self._settings.unknown_s,
            ).run()
        return await self._end(record, ended.outcome, _sentence(plan, ended.outcome, ended.why))

    @asynccontextmanager
    async def _announced(self, plan: Plan) -> AsyncGenerator[None]:
        """While it lasts an admission policy, where there is one, lets the executor do what this plan names."""
        if not self._settings.admission_policy:
            yield
            return
        async with self._observe(plan.cluster) as api, announced(api, plan, self._settings.bot_namespace):
            yield

    async def drifted(self, record: PlanRecord) -> str:
        """What a verified plan has changed and is otherwise by now, as a sentence; "" where all is as it left it.

        What a later plan changed is no drift. Errors: `BotError`: it could not be read.
        """
        later = [one.plan for one in await self._plans.recent() if one.started_at > record.started_at]
        taken_over = {target.key for plan in later for target in plan.targets}
        async with self._connect(record.plan.cluster) as api:
            return await drift(record.plan, self._writer(api), taken_over, self._now())

    async def _halt(self) -> str:
        """Why nothing may be changed now."""
        stop = await self._plans.stopped()
        if stop is None:
            return ""
        reason = f" ({stop.reason})" if stop.reason else ""
        return f"{stop.person.name} has stopped all changes{reason}."

    async def _end_approved(self, record: PlanRecord, sentence: str) -> PlanRecord | Refusal:
        return await self._end(record, "stale", sentence)

    async def _end(self, record: PlanRecord, outcome: plan_life.Outcome, sentence: str) -> PlanRecord | Refusal:
        log.info("plan.ended", plan=record.plan.id, outcome=outcome, why=sentence)
        return await self._plans.decide(
            record.plan.id,
            lambda stands: plan_life.finish(stands, outcome, sentence, self._now()),
            lambda changed: self._entry(outcome, changed, _EXECUTOR, sentence),
        )

    @asynccontextmanager
    async def _held(self, lease: Lease) -> AsyncGenerator[None]:
        """The lease, renewed while the block runs. Errors: `LeaseLostError` ends the block at once."""

        async def renew() -> None:
            while True:
                await asyncio.sleep(self._plans.lease_s / 3)
                await self._plans.keep(lease)

        try:
            async with TaskGroup() as group:
                renewing = group.create_task(renew())
                yield
                renewing.cancel()
        except BaseExceptionGroup as failures:
            raise first_failure(failures, rather=BotError) from failures
        finally:
            with suppress(StoreUnavailableError):  # it then runs out by itself
                await self._plans.release(lease)

    # Audit

    async def write(self, lease: Lease, record: PlanRecord, place: int, line: JournalEntry) -> None:
        """A line of the journal, and what the audit says of it."""
        step = record.plan.step(line.step, line.way)
        of = len(record.plan.back if line.way == "undo" and record.plan.back else record.plan.steps)
        what = f"step {line.step + 1} of {of}, {line.way}, {step.title}"
        event = "checked" if isinstance(step.do, Recheck) else "step"
        detail = f"{what}: {line.note}" if line.note else what
        entry = self._entry(f"{event} {line.event}", record, _EXECUTOR, detail)
        await self._plans.write(lease, record.plan.id, place, line, entry)

    def _entry(self, event: str, record: PlanRecord, person: Person, detail: str) -> AuditEntry:
        plan = record.plan
        return AuditEntry(
            number=0,
            at=self._now(),
            event=event,
            plan=plan.id,
            cluster=plan.cluster,
            incident=plan.incident,
            who=str(person),
            digest=plan.digest,
            detail=detail[:1000],
            previous="",
        )

    def _said(self, event: str, person: Person, detail: str) -> AuditEntry:
        return AuditEntry(number=0, at=self._now(), event=event, plan="", who=str(person), detail=detail, previous="")


_EXECUTOR = Person(realm="cnibot", name="executor")
_OTHER_PROGRAM = "Another version of cnibot made it, and this one does not go on with it."


def _sentence(plan: Plan, outcome: str, why: str) -> str:
    cures = any(isinstance(step.do, Recheck) and step.do.expects == "better" for step in plan.steps)
    words = {
        "verified": "The fault is gone." if cures else "It is done.",
        "undone": "It did not help or could not be finished, and was undone.",
        "halted": "It stopped half done: a person must check what is left.",
        "stale": "It was not run. Nothing was changed.",
        "aborted": "It was aborted. Nothing was changed.",
    }
    return f"{words[outcome]} {why[:1].upper()}{why[1:]}".strip()


class _Journal:
    """The store's journal, as the executor sees it."""

    def __init__(self, service: PlanService, lease: Lease, record: PlanRecord, on_move: OnMove) -> None:
        self._service = service
        self._lease = lease
        self._record = record
        self._on_move = on_move

    @property
    def fence(self) -> int:
        return self._lease.fence

    async def read(self) -> tuple[JournalEntry, ...]:
        return await self._service.journal(self._record.plan.id)

    async def write(self, place: int, line: JournalEntry) -> None:
        await self._service.write(self._lease, self._record, place, line)
        await self._on_move(self._record, await self.read())
