"""Plans in Slack: `plan …`, the buttons on their cards, and cards that follow what happens elsewhere.

A button names a plan and nothing else; rights are read from Slack again at each click. Clicks that change nothing are
answered to the one who clicked, and never touch the card.
"""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import structlog

from bot.domain.authorization import Action
from bot.domain.errors import BotError
from bot.domain.incident import ALL_NODES, PLAN, SCHEDULE, Incident
from bot.domain.outgoing import Edit, Post, Priority
from bot.domain.plan import Person
from bot.domain.plan_journal import JournalEntry
from bot.domain.plan_life import PlanRecord, Refusal, decided
from bot.domain.report import Report
from bot.incidents.plans import Proposal
from bot.incidents.service import DiagnosisRequest
from bot.remediation.requests import MigrateToCilium, PlanRequest
from bot.remediation.verification import baseline_of
from bot.slack import views
from bot.slack.caller import Caller, decide, ephemeral, inside, is_allowed, is_present, of_interaction, permitted
from bot.slack.handlers.buttons import pressed, reported_run
from bot.slack.handlers.diagnose import cluster_for, exists, take_up
from bot.slack.handlers.dialogues import fill, open_loading
from bot.slack.handlers.firing import after_run
from bot.slack.handlers.plan_news import announce_glass, announce_half_done
from bot.slack.handlers.runs import run, show_root, thread_of
from bot.slack.plan_commands import ListPlans, PlanCommand, PlansCommand, ResumePlans, StopPlans, Wanted, wanted
from bot.slack.services import Services
from bot.slack.views import notices, plans
from bot.store import Entry, StoreUnavailableError, UnknownPlanError
from bot.store.plans import BusyError, LeaseLostError

log = structlog.get_logger()

LOOK_S = 10.0
"""Between two looks at what was decided elsewhere, and at what a killed process left."""
_WAIT_S = 2.0
_COMPARE_S = 60.0
"""Between two looks at what a verified plan has left."""
_HOLDS_S = 86_400.0
"""How long somebody looks after it."""
_HAS_CHANGED = frozenset({"verified", "undone", "halted"})
"""Ends after which the cluster is another one than the newest verdict saw."""
_ENDED_NEWS = frozenset({"verified", "undone", "halted", "stale", "checked", "refused"})


async def obey_plans(services: Services, caller: Caller, command: PlansCommand) -> None:
    """Do what the command says."""
    match command:
        case PlanCommand():
            await propose_plan(services, caller, command)
        case ListPlans():
            await list_plans(services, caller)
        case StopPlans(reason=reason):
            await stop_all(services, caller, reason)
        case ResumePlans():
            await resume_all(services, caller)


async def propose_plan(services: Services, caller: Caller, command: PlanCommand) -> None:
    """Make a plan for an incident of this channel, and put its card into the thread."""
    asked = wanted(command.words)
    if isinstance(asked, str):
        await ephemeral(services, caller, "plan", notices.plainly(asked))
        return
    cluster = await cluster_for(services, caller, Action.PROPOSE, command.cluster)
    if cluster is None or not await is_allowed(
        services, caller, Action.PROPOSE, cluster=cluster, namespace=asked.namespace
    ):
        return
    if not await is_present(services, caller):
        return
    if isinstance(asked.request, MigrateToCilium):
        await _propose_migration(services, caller, cluster, asked)
        return
    found = await _justified(services, caller, cluster, asked.namespace)
    if found is None:
        text = f"Nothing justifies a plan yet. Type `/cni diagnose {asked.namespace}` here first."
        await ephemeral(services, caller, "plan", notices.plainly(text))
        return
    await put_forward(services, caller, *found, asked.request)


async def _propose_migration(services: Services, caller: Caller, cluster: str, asked: Wanted) -> None:
    """Diagnose every node in a thread of its own, and put the plan there: it needs no fault that justifies it."""
    namespace = asked.namespace
    if not await is_allowed(services, caller, Action.DIAGNOSE, cluster=cluster, namespace=namespace):
        return
    if not await exists(services, caller, cluster, namespace):
        return
    request = DiagnosisRequest(
        cluster=cluster,
        namespace=namespace,
        node=ALL_NODES,
        channel=caller.channel,
        thread=caller.thread,
        by=caller.user,
    )
    opened, is_new = await services.service.open(request, dedup=caller.key)
    found = await take_up(services, caller, opened, is_new=is_new)
    if found is not None:
        await put_forward(services, caller, *found, asked.request)


async def propose_fix(services: Services, entry: Entry) -> None:
    """Make the plan that the verdict leads to. One that is open already is not made twice."""
    caller = of_interaction(entry)
    found = await reported_run(services, entry)
    if found is None:
        await ephemeral(services, caller, "gone", notices.gone())
        return
    incident, run, report = found
    if caller.channel != incident.channel:
        await ephemeral(services, caller, "elsewhere", notices.elsewhere())
        return
    if not await is_allowed(
        services, caller, Action.PROPOSE, cluster=incident.cluster, namespace=incident.namespace
    ) or not await is_present(services, caller):
        return
    if run != incident.run or not incident.is_open:
        text = "There is a newer verdict. Use the button under that one, or *Re-run*."
        await ephemeral(services, caller, "plan", notices.plainly(text))
        return
    for record in await services.plans.recent():
        is_of_run = (record.plan.incident, record.plan.run) == (incident.id, run)
        if record.is_open and is_of_run and record.plan.id != _plan_id(caller):
            await ephemeral(services, caller, "plan", notices.plainly(decided(record).sentence))
            return
    await put_forward(services, caller, incident, report, None)


async def put_forward(
    services: Services, caller: Caller, incident: Incident, report: Report, asked: PlanRequest | None
) -> None:
    """The plan's card in the incident's thread; None: what the report leads to."""
    try:
        request = asked or await services.plans.fix_for(incident.cluster, report)
        proposal = _proposal(caller, incident, report, request)
        if isinstance(request, MigrateToCilium):  # it is checked against what stands on the nodes themselves
            seen = await services.service.inspect(incident.cluster, incident.namespace)
            proposal = replace(proposal, baseline=baseline_of(seen.report), reports=seen.node_reports)
        record = await services.plans.propose(proposal)
    except StoreUnavailableError:
        raise
    except BotError as error:
        await ephemeral(services, caller, "plan", notices.plainly(f"No plan: {error}"))
        return
    card = plans.plan_card(record, needed=_needed(services, record))
    await services.outbox.put(
        Post(key=card_key(record), place=thread_of(incident), content=card, priority=Priority.VERDICT)
    )
    await show_root(services, incident.id)


def _proposal(caller: Caller, incident: Incident, report: Report, request: PlanRequest) -> Proposal:
    """What is proposed. The same entry proposes the same plan again."""
    return Proposal(
        id=_plan_id(caller),
        asked=request,
        cluster=incident.cluster,
        namespace=incident.namespace,
        requester=Person(realm="slack", name=caller.user),
        baseline=baseline_of(report),
        evidence=_evidence(report),
        incident=incident.id,
        run=incident.run,
    )


def _plan_id(caller: Caller) -> str:
    """The same entry of the inbox has the same plan."""
    return f"p-{hashlib.blake2b(caller.key.encode(), digest_size=4).hexdigest()}"


def card_key(record: PlanRecord) -> str:
    """The outbox's key of the plan's card."""
    return f"{record.plan.id}:card"


def _evidence(report: Report) -> Sequence[str]:
    named = next((one for one in report.causes if one.id == report.verdict.cause), None)
    return (report.verdict.summary, *(named.evidence_for[:2] if named else ()))


def _needed(services: Services, record: PlanRecord) -> int:
    return services.plans.settings.policy.needed(record.plan)


async def _justified(
    services: Services, caller: Caller, cluster: str, namespace: str
) -> tuple[Incident, Report] | None:
    """The open incident of this channel that a plan for the namespace belongs to, with its newest report."""
    for incident in await services.store.incidents.open_ones(cluster):
        if incident.channel == caller.channel and incident.namespace == namespace and incident.run:
            report = await services.service.report(incident.id, incident.run)
            if report is not None:
                return incident, report
    return None


# Buttons


async def approve(services: Services, entry: Entry) -> None:
    """Approve; with enough approvals the plan runs at once, and if we die the inbox hands this click out again."""
    caller = of_interaction(entry)
    record = await pressed_plan(services, caller, entry)
    if record is None or not await _may(services, caller, record, Action.APPROVE):
        return
    policy, risk = services.plans.settings.policy, record.plan.risk
    asks_reason, asks_cluster = risk in policy.reason_required, risk in policy.typed_cluster
    if record.state == "waiting" and (asks_reason or asks_cluster):
        if window := await open_loading(services, caller, views.loading_modal()):
            modal = plans.approve_modal(record, asks_reason=asks_reason, asks_cluster=asks_cluster)
            await fill(services, window, modal)
        return
    await _approve(services, caller, record, digest=record.plan.digest)


async def approved(services: Services, entry: Entry) -> None:
    """A submitted approval, with what the policy wanted to be said. It is for the digest that the window showed."""
    view = inside(entry.body, "view")
    plan_id, _, digest = str(view.get("private_metadata") or "").partition(" ")
    found = await _submitted(services, entry, plans.parse_plan(plan_id))
    if found is None:
        return
    caller, record = found
    if await _may(services, caller, record, Action.APPROVE):
        reason = _typed(view, plans.REASON_BLOCK, plans.REASON_INPUT)
        cluster = _typed(view, plans.CLUSTER_BLOCK, plans.CLUSTER_INPUT)
        await _approve(services, caller, record, digest=digest, reason=reason, cluster=cluster)


def _typed(view: Mapping[str, Any], block: str, element: str) -> str:
    """What was typed into a field of a submitted window."""
    field = inside(inside(inside(inside(view, "state"), "values"), block), element)
    return str(field.get("value") or "").strip()


async def _submitted(services: Services, entry: Entry, plan_id: str | None) -> tuple[Caller, PlanRecord] | None:
    """Who submitted a window about a plan, as if in its incident's channel; None where either is gone."""
    record = await _known(services, plan_id) if plan_id else None
    incident = await services.store.incidents.get(record.plan.incident) if record else None
    if record is None or incident is None:
        return None
    said = of_interaction(entry)
    return Caller(key=said.key, attempt=said.attempt, user=said.user, channel=incident.channel), record


async def _approve(
    services: Services, caller: Caller, record: PlanRecord, *, digest: str, reason: str = "", cluster: str = ""
) -> None:
    reference = f"{caller.channel} {caller.message} {caller.key}"
    answer = await services.plans.approve(
        record.plan.id,
        Person(realm="slack", name=caller.user),
        digest=digest,
        reason=reason,
        reference=reference,
        typed=cluster,
    )
    record = await services.plans.get(record.plan.id)
    is_ours = any(one.reference == reference for one in record.approvals)
    if isinstance(answer, Refusal) and not is_ours:
        await ephemeral(services, caller, "plan", notices.plainly(answer.sentence))
        await _redraw_ended(services, record)
        return
    await redraw(services, record)
    if record.state in {"approved", "running"}:
        await carry_out(services, record.plan.id, who=caller.key)


async def carry_out(services: Services, plan_id: str, *, who: str) -> None:
    """Run the plan, or go on with it; its card follows. Waits for a process that was killed to lose the cluster."""

    async def on_move(record: PlanRecord, journal: Sequence[JournalEntry]) -> None:
        await redraw(services, record, journal)

    while True:
        try:
            done = await services.plans.execute(plan_id, who=who, on_move=on_move)
        except BusyError as error:
            if error.plan_id != plan_id:
                log.warning("plan.busy", plan=plan_id, by=error.plan_id)
                return  # it stays approved until it expires; whoever looks after plans tries again
            await asyncio.sleep(_WAIT_S)
        except LeaseLostError:
            return
        else:
            if isinstance(done, PlanRecord):
                await say_end(services, done)
            return


async def say_end(services: Services, record: PlanRecord) -> None:
    """The card at its end, a line in the thread, for edits notify nobody, and a look at what it has left."""
    await redraw(services, record, await services.plans.journal(record.plan.id))
    incident = await services.store.incidents.get(record.plan.incident)
    if incident is not None and record.state in _ENDED_NEWS:
        key = f"{record.plan.id}:{record.state}"
        await services.outbox.put(
            Post(key=key, place=thread_of(incident), content=plans.plan_news(record), priority=Priority.VERDICT)
        )
        await announce_half_done(services, record)
    if incident is not None and incident.is_open and record.state in _HAS_CHANGED:
        begun = await services.service.begin(incident, dedup=f"{record.plan.id}:left", by=PLAN)
        await run(services, begun, asked_by=PLAN)
        await after_run(services, incident.id)


async def redraw(services: Services, record: PlanRecord, journal: Sequence[JournalEntry] = ()) -> None:
    """The card as the plan stands now."""
    incident = await services.store.incidents.get(record.plan.incident)
    if incident is None:
        return
    stands = await services.plans.get(record.plan.id)
    content = plans.plan_card(stands, journal, needed=_needed(services, stands))
    priority = Priority.PROGRESS if stands.state == "running" else Priority.NORMAL
    await services.outbox.put(Edit(key=card_key(stands), place=thread_of(incident), content=content, priority=priority))
    if not (journal and stands.is_open):  # while it runs, only its card follows each step
        await show_root(services, incident.id)


async def _redraw_ended(services: Services, record: PlanRecord) -> None:
    """A card that still offers what is over."""
    if not record.is_open:
        await redraw(services, record, await services.plans.journal(record.plan.id))


async def stop(services: Services, entry: Entry) -> None:
    """Abort, or turn back."""
    caller = of_interaction(entry)
    record = await pressed_plan(services, caller, entry)
    if record is None or not await _may(services, caller, record, Action.APPROVE):
        return
    answer = await services.plans.abort(record.plan.id, Person(realm="slack", name=caller.user))
    if isinstance(answer, Refusal):
        await ephemeral(services, caller, "plan", notices.plainly(answer.sentence))
        return
    await redraw(services, answer, await services.plans.journal(record.plan.id))


async def _in_window(services: Services, caller: Caller, entry: Entry) -> tuple[str, PlanRecord] | None:
    """A window that was opened for the plan; None where either is missing, which the person has been notified of."""
    window = await open_loading(services, caller, views.loading_modal())
    if window is None:
        return None
    record = await _plan_of(services, entry)
    if record is None:
        await fill(services, window, views.problem_modal("This plan is no longer kept."))
        return None
    return window, record


async def show(services: Services, entry: Entry) -> None:
    """The plan whole, in a window."""
    caller = of_interaction(entry)
    if (found := await _in_window(services, caller, entry)) is None:
        return
    window, record = found
    plan = record.plan
    decision = await decide(services, caller, Action.READ, cluster=plan.cluster, namespace=plan.namespace)
    if not decision.allowed:
        await fill(services, window, notices.refused_dialogue(decision))
        return
    await fill(services, window, plans.plan_modal(record, await services.plans.journal(plan.id)))


async def refuse(services: Services, entry: Entry) -> None:
    """Ask why."""
    if found := await _in_window(services, of_interaction(entry), entry):
        window, record = found
        await fill(services, window, plans.refuse_modal(record))


async def refused(services: Services, entry: Entry) -> None:
    """A submitted refusal."""
    view = inside(entry.body, "view")
    found = await _submitted(services, entry, plans.parse_plan(str(view.get("private_metadata") or "")))
    if found is None:
        return
    caller, record = found
    is_own = record.plan.requester == Person(realm="slack", name=caller.user)
    if not is_own and not await _may(services, caller, record, Action.APPROVE):
        return
    reason = _typed(view, plans.REFUSE_BLOCK, plans.REFUSE_INPUT)
    answer = await services.plans.refuse(record.plan.id, Person(realm="slack", name=caller.user), reason)
    if isinstance(answer, Refusal):
        await ephemeral(services, caller, "plan", notices.plainly(answer.sentence))
        return
    await say_end(services, answer)


async def list_plans(services: Services, caller: Caller) -> None:
    """The newest plans that the caller may read, and what became of them."""
    if not await is_allowed(services, caller, Action.READ):
        return
    recent = await services.plans.recent()
    places = {(one.plan.cluster, one.plan.namespace) for one in recent}
    may = set(await permitted(services, caller, Action.READ, places))
    shown = [one for one in recent if (one.plan.cluster, one.plan.namespace) in may]
    await ephemeral(services, caller, "plans", plans.plan_list(shown))


async def stop_all(services: Services, caller: Caller, reason: str) -> None:
    """The kill switch."""
    if await is_allowed(services, caller, Action.APPROVE) and await is_present(services, caller):
        await services.plans.stop_all(Person(realm="slack", name=caller.user), reason)
        await ephemeral(services, caller, "stop", notices.plainly("All changes are stopped until `/cni resume`."))


async def resume_all(services: Services, caller: Caller) -> None:
    """Release the kill switch."""
    if await is_allowed(services, caller, Action.APPROVE) and await is_present(services, caller):
        await services.plans.resume_all(Person(realm="slack", name=caller.user))
        await ephemeral(services, caller, "resume", notices.plainly("Plans may be carried out again."))


async def _plan_of(services: Services, entry: Entry) -> PlanRecord | None:
    plan_id = plans.parse_plan(str(pressed(entry).get("value") or ""))
    return await _known(services, plan_id) if plan_id else None


async def _known(services: Services, plan_id: str) -> PlanRecord | None:
    try:
        return await services.plans.get(plan_id)
    except UnknownPlanError:
        return None


async def pressed_plan(services: Services, caller: Caller, entry: Entry) -> PlanRecord | None:
    """The plan that the button names, in the channel of its incident; else the caller knows why not."""
    record = await _plan_of(services, entry)
    incident = await services.store.incidents.get(record.plan.incident) if record else None
    if record is None or incident is None:
        await ephemeral(services, caller, "gone", notices.plainly("This plan is no longer kept. Propose it again."))
        return None
    if incident.channel != caller.channel:
        await ephemeral(services, caller, "elsewhere", notices.elsewhere())
        return None
    return record


async def _may(services: Services, caller: Caller, record: PlanRecord, action: Action) -> bool:
    plan = record.plan
    return await is_allowed(services, caller, action, cluster=plan.cluster, namespace=plan.namespace)


# What happens elsewhere


async def look_after(services: Services) -> None:
    """Keep cards true to what the terminal and the clock decide, and go on with what a killed process left."""
    drawn: dict[str, int] = {}
    compared: dict[str, float] = {}
    while True:
        try:
            for record in await services.plans.recent():
                await _look_after(services, record, drawn)
                await look_for_drift(services, record, compared)
        except StoreUnavailableError as error:
            log.warning("plans.store_away", why=error.why)
        except Exception:
            log.exception("plans.failed")
        await asyncio.sleep(LOOK_S)


async def _look_after(services: Services, record: PlanRecord, drawn: dict[str, int]) -> None:
    plan_id = record.plan.id
    await announce_glass(services, record)
    if record.is_open or plan_id in drawn:
        if drawn.get(plan_id) not in {None, record.revision}:
            await (redraw if record.is_open else say_end)(services, record)
        drawn[plan_id] = record.revision
    if record.state in {"approved", "running"} and record.plan.incident:
        try:
            done = await services.plans.execute(plan_id, who=f"caretaker {id(services)}")
        except (BusyError, LeaseLostError):
            return  # somebody is at it
        if isinstance(done, PlanRecord):
            await say_end(services, done)


async def look_for_drift(services: Services, record: PlanRecord, compared: dict[str, float]) -> None:
    """Open the incident of a verified plan again where somebody has changed, within a day, what the plan left.

    `compared`: when each plan was checked last.
    """
    plan_id, now = record.plan.id, services.now()
    is_young = record.state == "verified" and now - record.ended_at < _HOLDS_S
    if not is_young or not record.plan.incident or now - compared.get(plan_id, 0.0) < _COMPARE_S:
        return
    compared[plan_id] = now
    key = f"{plan_id}:drift"
    incident = await services.store.incidents.get(record.plan.incident)
    if incident is None or await services.outbox.ts_of(key) is not None:
        return
    try:
        why = await services.plans.drifted(record)
    except StoreUnavailableError:
        raise
    except BotError as error:
        log.warning("plan.drift_unknown", plan=plan_id, why=str(error))
        return
    if not why:
        return
    log.info("plan.drifted", plan=plan_id, why=why)
    news = plans.plan_drifted(record, why)
    await services.outbox.put(Post(key=key, place=thread_of(incident), content=news, priority=Priority.VERDICT))
    taken = incident if incident.is_open else await services.service.open_one(incident) or incident
    await run(services, await services.service.begin(taken, dedup=key, by=SCHEDULE), asked_by=SCHEDULE)
