"""One run of an incident, from "diagnosing …" to the verdict in its thread.

All keys come from the incident and the run, and each step may be done twice: whoever takes over from a killed process
says nothing a second time, and the report that was kept is not made anew.
"""

import asyncio
import dataclasses
from collections.abc import Sequence
from typing import Any

import structlog

from bot.diagnosis.request import Progress
from bot.domain.authorization import Action, Scope, authorize
from bot.domain.errors import BotError, UnknownNamespaceError, UnknownPodError
from bot.domain.incident import ALERT, PLAN, SCHEDULE, Incident
from bot.domain.outgoing import Attach, Content, Edit, Place, Post, Priority
from bot.domain.plan_life import PlanRecord
from bot.domain.report import Report
from bot.slack import views
from bot.slack.handlers.progress import live
from bot.slack.lookups import NOT_ANSWERED, why
from bot.slack.services import Services
from bot.slack.views import notices
from bot.store import StoreUnavailableError

log = structlog.get_logger()
_RECENT_PLANS = 50


def run_key(services: Services, incident: Incident) -> str:
    """The key of the message that shows this run's progress: the thread's first one for the first run."""
    if incident.run <= 1:
        return incident.root_key
    return reply_key(incident) if is_quiet(services, incident) else f"{incident.id}:run:{incident.run}"


def is_quiet(services: Services, incident: Incident) -> bool:
    """Whether its channel gets one reply, which is edited."""
    return incident.channel in services.quiet_channels


def reply_key(incident: Incident) -> str:
    """The key of the one reply in a quiet channel."""
    return f"{incident.id}:reply"


def thread_of(incident: Incident) -> Place:
    """The incident's thread."""
    if incident.thread:
        return Place(channel=incident.channel, thread=incident.thread)
    return Place(channel=incident.channel, thread_key=incident.root_key)


async def run(services: Services, incident: Incident, *, asked_by: str, response_url: str = "") -> Report | BotError:
    """Diagnose and say what it came to. An error: why no verdict could be had, which was said too.

    Errors: `StoreUnavailableError`, and our own mistakes: the inbox hands the entry out again.
    """
    is_first = incident.run <= 1
    place = thread_of(incident) if incident.thread or not is_first else Place(channel=incident.channel)
    key = run_key(services, incident)
    shown = not services.service.clusters.is_one
    first_word = views.opening(incident, asked_by=asked_by, cluster_shown=shown)
    await services.outbox.put(Post(key=key, place=place, content=first_word, response_url=response_url))

    async def tell(steps: Sequence[Progress], elapsed_s: float) -> None:
        asked = dataclasses.replace(incident, opened_by=asked_by)
        content = views.progress(asked, steps, elapsed_s=elapsed_s, cluster_shown=shown)
        await services.outbox.put(Edit(key=key, place=place, content=content))

    try:
        async with live(tell) as on_progress:
            report = await services.service.diagnose_incident(incident, on_progress=on_progress)
    except StoreUnavailableError:
        raise
    except BotError as error:
        await _failed(services, incident, error, place)
        return error
    concluded = await services.service.conclude(incident, report)
    if why_not := await _why_withheld(services, incident, asked_by):
        await services.outbox.put(Edit(key=key, place=place, content=why_not, priority=Priority.NORMAL))
        return report
    if not is_first and not is_quiet(services, incident):
        last_word = notices.settled(concluded, cluster_shown=shown)
        await services.outbox.put(Edit(key=key, place=place, content=last_word, priority=Priority.NORMAL))
    await say_verdict(services, concluded, report)
    await show_root(services, concluded.id)
    return report


async def _why_withheld(services: Services, incident: Incident, asked_by: str) -> Content | None:
    """What to say instead of the verdict, where it may not be posted by now. Much may change while we look."""
    channel = await services.channels.channel(incident.channel)
    if channel.is_external:
        return notices.withheld()
    if asked_by in {SCHEDULE, ALERT, PLAN}:  # nobody asked; whose watch it is was asked when its turn came
        return None
    principal = await services.people.principal(asked_by)
    scope = Scope(cluster=incident.cluster, namespace=incident.namespace, channel=incident.channel)
    decision = authorize(principal, Action.DIAGNOSE, scope, services.grants)
    # The right was there when the question was taken: that Slack does not answer now does not take it away.
    return None if decision.allowed or principal.unknown else notices.not_yours_any_more()


async def show_root(services: Services, incident_id: str) -> None:
    """Edit the incident's first message, so that it shows the newest status.

    It is drawn from what is kept, never from what a run believes: a run that ends late, or a second time, cannot bring
    an old status back. While a later run is under way, that run will do it.
    """
    while (incident := await services.store.incidents.get(incident_id)) and incident.status != "diagnosing":
        place = Place(channel=incident.channel, thread=incident.thread)
        doubters = await services.store.feedback.doubters(incident.id, incident.run)
        shown = not services.service.clusters.is_one
        page = services.links.to(incident.id) if services.links else ""
        plan = await newest_plan(services, incident)
        content = notices.root(incident, cluster_shown=shown, doubted_by=doubters, page=page, plan=plan)
        edit = Edit(key=incident.root_key, place=place, content=content, priority=Priority.NORMAL)
        await services.outbox.put(edit)
        if await services.store.incidents.get(incident_id) == incident:
            return


async def newest_plan(services: Services, incident: Incident) -> PlanRecord | None:
    """The newest plan of the incident."""
    recent = await services.store.plans.recent(_RECENT_PLANS)
    return next((one for one in recent if one.plan.incident == incident.id), None)


async def say_verdict(services: Services, incident: Incident, report: Report) -> None:
    """The verdict as a message of its own (edits notify nobody), its evidence and pictures, and that it is over."""
    key, place = f"{incident.id}:{incident.run}", thread_of(incident)
    if is_quiet(services, incident):
        await _edit_reply(services, incident, report)
        return
    older = await services.service.same_fault(incident)
    verdict = await verdict_of(services, incident, report, older)
    if older and older.channel == incident.channel:
        back = views.seen_from(report, link_to=await permalink(services, incident))
        await _post(services, f"{older.id}:seen-from:{incident.id}", thread_of(older), back)
    await services.outbox.put(Post(key=f"{key}:verdict", place=place, content=verdict, priority=Priority.VERDICT))
    is_in_same_channel = older is not None and older.channel == incident.channel
    if report.verdict.status != "healthy" and not is_in_same_channel:
        await _attach(services, key, place, report)
    if incident.status == "closed" and incident.found_run:
        await _post(services, f"{key}:closed", place, notices.closed())
    log.info(
        "incident.diagnosed", incident=incident.id, run=incident.run, cluster=incident.cluster,
        namespace=incident.namespace, status=report.verdict.status, cause=report.verdict.cause, took_s=report.took_s,
    )  # fmt: skip


async def _edit_reply(services: Services, incident: Incident, report: Report) -> None:
    """The newest verdict in the one reply. Where alerts opened the incident, it stands in the message about them."""
    if await services.store.alerts.are_known(incident.id):
        return
    await _put_reply(services, incident, await verdict_of(services, incident, report, None))


async def _put_reply(services: Services, incident: Incident, content: Content) -> None:
    """The one reply says this now."""
    key, place = reply_key(incident), thread_of(incident)
    await services.outbox.put(Post(key=key, place=place, content=content, priority=Priority.VERDICT))
    await services.outbox.put(Edit(key=key, place=place, content=content, priority=Priority.VERDICT))


async def verdict_of(services: Services, incident: Incident, report: Report, older: Incident | None) -> Content:
    """The verdict; where the channel has an older incident with the same fault, a card that leads there.

    In another channel its reader may not see the older one: there the verdict is whole, and has a link.
    """
    linked = await permalink(services, older) if older else ""
    doubters = await services.store.feedback.doubters(incident.id, incident.run)
    if older and older.channel == incident.channel and not doubters:
        return views.same_fault(report, link_to=linked, incident_id=incident.id, run=incident.run)
    healthy_at = await services.store.incidents.healthy_at(incident)
    return views.verdict(
        report,
        incident_id=incident.id,
        run=incident.run,
        healthy_at=healthy_at,
        same_as=linked,
        doubted_by=doubters,
    )


async def permalink(services: Services, incident: Incident) -> str:
    """The address of the incident's thread; "" where Slack did not tell, or the thread has not begun."""
    ts = incident.thread or await services.outbox.ts_of(incident.root_key)
    return await message_link(services, incident.channel, ts) if ts else ""


async def message_link(services: Services, channel: str, ts: str) -> str:
    """The address of a message; "" where Slack did not tell."""
    try:
        client: Any = services.client  # the SDK's methods are not fully annotated
        answer = await client.chat_getPermalink(channel=channel, message_ts=ts)
    except NOT_ANSWERED as error:
        log.warning("permalink.unknown", channel=channel, why=why(error))
        return ""
    return str(answer.get("permalink", ""))


async def _attach(services: Services, key: str, place: Place, report: Report) -> None:
    for picture in await services.draw(report):
        await services.outbox.put(
            Attach(
                key=f"{key}:{picture.name}",
                place=place,
                filename=picture.name,
                title=picture.title,
                alt_text=picture.alt_text,
                content=picture.png,
            )
        )
    filename, content = await asyncio.to_thread(views.evidence_file, report)
    await services.outbox.put(
        Attach(
            key=f"{key}:evidence",
            place=place,
            filename=filename,
            title=f"All evidence, {report.scope.namespace}",
            alt_text="The whole report as Markdown",
            content=content,
        )
    )


async def _failed(services: Services, incident: Incident, error: BotError, place: Place) -> None:
    """Say that there is no verdict. A typing error is no incident."""
    is_nothing = isinstance(error, UnknownNamespaceError | UnknownPodError)
    failed = await services.service.fail(incident, str(error), closes=is_nothing)
    content = views.failed(error, failed)
    if is_nothing or incident.run > 1:
        last_word = content if is_nothing else notices.settled(failed, cluster_shown=False)
        await services.outbox.put(
            Edit(key=run_key(services, incident), place=place, content=last_word, priority=Priority.NORMAL)
        )
    if not is_nothing:
        await _say_failed(services, incident, content)
        await show_root(services, incident.id)
    log.warning("incident.failed", incident=incident.id, run=incident.run, error=type(error).__name__, why=str(error))


async def _say_failed(services: Services, incident: Incident, content: Content) -> None:
    if is_quiet(services, incident):
        await _put_reply(services, incident, content)
        return
    key = f"{incident.id}:{incident.run}:failed"
    await services.outbox.put(Post(key=key, place=thread_of(incident), content=content, priority=Priority.VERDICT))


async def give_up(services: Services, incident: Incident, content: Content) -> None:
    """A run that failed by a fault of our own: nobody waits for it any more, and its thread says so."""
    await services.service.fail(incident, "An internal error of cnibot.")
    if incident.run > 1:
        edit = Edit(
            key=run_key(services, incident), place=thread_of(incident), content=content, priority=Priority.NORMAL
        )
        await services.outbox.put(edit)
    await _post(services, f"{incident.id}:{incident.run}:failed", thread_of(incident), content)
    await show_root(services, incident.id)


async def _post(services: Services, key: str, place: Place, content: Content) -> None:
    await services.outbox.put(Post(key=key, place=place, content=content))
