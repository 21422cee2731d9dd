"""One run of an incident, from "diagnosing …" to the verdict in its thread.

All keys come from the incident and the run, and each step may be done twice: whoever takes over from a killed process
says nothing a second time, and the report that was kept is not made anew.
"""

import asyncio
import dataclasses
from collections.abc import Sequence

import structlog

from bot.domain.errors import BotError, UnknownNamespaceError
from bot.domain.incident import Incident
from bot.domain.outgoing import Attach, Content, Edit, Place, Post, Priority
from bot.domain.report import Report
from bot.incidents.request import Progress
from bot.slack import saying, views
from bot.slack.handlers.live import live
from bot.slack.services import Services
from bot.store import StoreUnavailableError

log = structlog.get_logger()


def run_key(incident: Incident) -> str:
    """The key of the message that shows this run's progress: the thread's first one for the first run."""
    return incident.root_key if incident.run <= 1 else f"{incident.id}:run:{incident.run}"


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
    key = run_key(incident)
    shown = not services.desk.clusters.is_one
    first_word = views.opening(incident, asked_by=asked_by, cluster_shown=shown)
    await services.outbox.put(Post(key=key, place=place, content=first_word, response_url=response_url))

    async def tell(steps: Sequence[Progress], elapsed_s: float) -> None:
        asked = dataclasses.replace(incident, opened_by=asked_by)
        content = views.progress(asked, steps, elapsed_s=elapsed_s, cluster_shown=shown)
        await services.outbox.put(Edit(key=key, place=place, content=content))

    try:
        async with live(tell) as on_progress:
            report = await services.desk.diagnose(incident, on_progress=on_progress)
    except StoreUnavailableError:
        raise
    except BotError as error:
        await _failed(services, incident, error, place)
        return error
    concluded = await services.desk.conclude(incident, report)
    if (await services.channels.channel(incident.channel)).is_external:  # shared with others while we looked
        await services.outbox.put(Edit(key=key, place=place, content=saying.withheld(), priority=Priority.NORMAL))
        return report
    last_word = saying.settled(
        dataclasses.replace(concluded, status=report.verdict.status),
        asked_by=asked_by,
        cluster_shown=shown,
        took_s=report.took_s,
    )
    await services.outbox.put(Edit(key=key, place=place, content=last_word, priority=Priority.NORMAL))
    await say_verdict(services, concluded, report)
    return report


async def say_verdict(services: Services, incident: Incident, report: Report) -> None:
    """The verdict as a message of its own (edits notify nobody), its evidence and pictures, and that it is over."""
    key, place = f"{incident.id}:{incident.run}", thread_of(incident)
    verdict = views.verdict(report, incident_id=incident.id, run=incident.run)
    await services.outbox.put(Post(key=f"{key}:verdict", place=place, content=verdict, priority=Priority.VERDICT))
    if report.verdict.status != "healthy":
        await _attach(services, key, place, report)
    if incident.status == "closed":
        await _post(services, f"{key}:closed", place, saying.closed(incident.run))
    log.info(
        "incident.diagnosed", incident=incident.id, run=incident.run, cluster=incident.cluster,
        namespace=incident.namespace, status=report.verdict.status, cause=report.verdict.cause, took_s=report.took_s,
    )  # fmt: skip


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
    """Say that there is no verdict. An incident of a namespace that does not exist is none."""
    is_nothing = isinstance(error, UnknownNamespaceError)
    failed = await services.desk.fail(incident, str(error), closes=is_nothing)
    content = views.failed(error, failed)
    await services.outbox.put(Edit(key=run_key(incident), place=place, content=content, priority=Priority.NORMAL))
    if not is_nothing:
        key = f"{incident.id}:{incident.run}:failed"
        await services.outbox.put(Post(key=key, place=thread_of(incident), content=content, priority=Priority.VERDICT))
    log.warning("incident.failed", incident=incident.id, run=incident.run, error=type(error).__name__, why=str(error))


async def give_up(services: Services, incident: Incident, content: Content) -> None:
    """A run that failed by a fault of our own: nobody waits for it any more, and its thread says so."""
    await services.desk.fail(incident, "A fault of cnibot's own.")
    place = thread_of(incident) if incident.thread or incident.run > 1 else Place(channel=incident.channel)
    await services.outbox.put(Edit(key=run_key(incident), place=place, content=content, priority=Priority.NORMAL))
    await _post(services, f"{incident.id}:{incident.run}:failed", thread_of(incident), content)


async def _post(services: Services, key: str, place: Place, content: Content) -> None:
    await services.outbox.put(Post(key=key, place=place, content=content))
