"""The buttons under a verdict: Details, Re-run, Share report, Not it; and buttons that name a namespace.

A button's value comes back through the client and proves nothing: it names a run, and everything else is read from the
store. A button counts only in the channel of its incident.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, cast

from bot.domain.authorization import Action
from bot.domain.incident import Incident
from bot.domain.outgoing import Attach, Place, Post, Priority
from bot.domain.report import Report
from bot.slack import views
from bot.slack.caller import Caller, decide, ephemeral, inside, is_allowed, is_present, of_interaction
from bot.slack.commands import Diagnose, is_namespace, is_pod
from bot.slack.handlers.diagnose import diagnose, take_up
from bot.slack.handlers.dialogues import fill, open_loading
from bot.slack.handlers.runs import permalink
from bot.slack.services import Services
from bot.slack.views import ids, notices
from bot.store import Entry


def pressed(entry: Entry) -> Mapping[str, Any]:
    """The element that was used; empty where there is none."""
    actions: object = entry.body.get("actions")
    first: object = cast("list[object]", actions)[0] if isinstance(actions, list) and actions else {}
    return cast("Mapping[str, Any]", first) if isinstance(first, Mapping) else {}


def action_of(entry: Entry) -> str:
    """What was pressed, or picked from the menu: an action_id without what keeps ids of one row apart."""
    action_id = str(pressed(entry).get("action_id") or "")
    if action_id == ids.MORE:
        return ids.parse_option(_picked(entry))[0]
    return action_id.partition(":")[0]


def _picked(entry: Entry) -> str:
    """The value of the option that was picked."""
    return str(inside(pressed(entry), "selected_option").get("value") or "")


async def details(services: Services, entry: Entry) -> None:
    """Everything, in a window."""
    caller = of_interaction(entry)
    window = await open_loading(services, caller, views.loading_modal())
    if window is None:
        return
    found = await reported_run(services, entry)
    if found is None:
        await fill(services, window, views.problem_modal(notices.gone().text))
        return
    incident, run, report = found
    decision = await decide(services, caller, Action.READ, cluster=incident.cluster, namespace=incident.namespace)
    if not decision.allowed:
        await fill(services, window, notices.refused_dialogue(decision))
        return
    shown = await asyncio.to_thread(views.details_modal, report, incident_id=incident.id, run=run)
    await fill(services, window, shown)


async def rerun(services: Services, entry: Entry) -> None:
    """Diagnose again, in the incident's thread; a closed one is open again if something is wrong."""
    caller = of_interaction(entry)
    found = await run_of(services, entry)
    if found is None:
        await ephemeral(services, caller, "gone", notices.gone())
        return
    incident, _ = found
    if not await _may(services, caller, Action.DIAGNOSE, incident):
        return
    taken = incident if incident.is_open else await services.service.open_one(incident) or incident
    await take_up(services, caller, taken, is_new=False)


async def share(services: Services, entry: Entry) -> None:
    """The verdict for the whole channel, once, with the report as a file under it."""
    caller = of_interaction(entry)
    found = await reported_run(services, entry)
    if found is None:
        await ephemeral(services, caller, "gone", notices.gone())
        return
    incident, run, report = found
    if await _may(services, caller, Action.SHARE, incident):
        await _share(services, caller, incident, run, report)


async def _share(services: Services, caller: Caller, incident: Incident, run: int, report: Report) -> None:
    key = f"{incident.id}:{run}:shared"
    if caller.attempt == 1 and await services.outbox.ts_of(key) is not None:  # later: it may be what we said ourselves
        await ephemeral(services, caller, "shared", notices.already_shared())
        return
    content = views.shared(report, by=caller.user, permalink=await permalink(services, incident))
    place = Place(channel=incident.channel)
    await services.outbox.put(Post(key=key, place=place, content=content, priority=Priority.VERDICT))
    filename, body = await asyncio.to_thread(views.evidence_file, report)
    await services.outbox.put(
        Attach(
            key=f"{key}:file",
            place=Place(channel=incident.channel, thread_key=key),
            filename=filename,
            title=f"Report on {report.scope.namespace}",
            alt_text="The whole report as Markdown",
            content=body,
        )
    )


async def not_it(services: Services, entry: Entry) -> None:
    """Ask why the verdict is wrong."""
    caller = of_interaction(entry)
    window = await open_loading(services, caller, views.loading_modal())
    if window is None:
        return
    found = await run_of(services, entry)
    if found is None:
        await fill(services, window, views.problem_modal(notices.gone().text))
        return
    incident, run = found
    decision = await decide(services, caller, Action.FEEDBACK, cluster=incident.cluster, namespace=incident.namespace)
    if not decision.allowed:
        await fill(services, window, notices.refused_dialogue(decision))
        return
    report = await services.service.report(incident.id, run)
    await fill(services, window, views.not_it_modal(incident.id, run, report.verdict.cause if report else None))


async def diagnose_namespace(services: Services, entry: Entry) -> None:
    """A name that was offered instead of a misspelt one, or one of an alert."""
    caller = of_interaction(entry)
    named = ids.parse_namespace(str(pressed(entry).get("value") or ""))
    if named is None or not is_namespace(named[1]):
        await ephemeral(services, caller, "old-button", notices.old_button())
        return
    await diagnose(services, caller, Diagnose(namespace=named[1], cluster=named[0]))


async def diagnose_pod(services: Services, entry: Entry) -> None:
    """A pod or workload that was offered instead of a misspelt one."""
    caller = of_interaction(entry)
    named = ids.parse_pod(str(pressed(entry).get("value") or ""))
    if named is None or not is_namespace(named[1]) or not is_pod(named[2]):
        await ephemeral(services, caller, "old-button", notices.old_button())
        return
    await diagnose(services, caller, Diagnose(namespace=named[1], pod=named[2], cluster=named[0]))


async def unknown_button(services: Services, entry: Entry) -> None:
    """A button of another version, or a link: those need no answer, for they open a page."""
    if not pressed(entry).get("url"):
        await ephemeral(services, of_interaction(entry), "old-button", notices.old_button())


async def _may(services: Services, caller: Caller, action: Action, incident: Incident) -> bool:
    """Whether the caller may do this with the incident, in its own channel; else they know why not."""
    if caller.channel != incident.channel:
        await ephemeral(services, caller, "elsewhere", notices.elsewhere())
        return False
    is_so = await is_allowed(services, caller, action, cluster=incident.cluster, namespace=incident.namespace)
    return is_so and await is_present(services, caller)


async def reported_run(services: Services, entry: Entry) -> tuple[Incident, int, Report] | None:
    """The incident and run that the button names, with the run's report while it is kept."""
    found = await run_of(services, entry)
    report = await services.service.report(found[0].id, found[1]) if found else None
    return (*found, report) if found and report else None


async def run_of(services: Services, entry: Entry) -> tuple[Incident, int] | None:
    """The incident and run that the button names, as the store knows them."""
    named = ids.parse_run(str(pressed(entry).get("value") or ids.parse_option(_picked(entry))[1]))
    incident = await services.store.incidents.get(named[0]) if named else None
    return (incident, named[1]) if named and incident else None
