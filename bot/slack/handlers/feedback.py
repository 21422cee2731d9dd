"""A submitted "Not it": recorded, and said in the thread, so that nobody acts on a verdict that is doubted."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bot.domain.authorization import Action
from bot.domain.incident import FeedbackEntry
from bot.domain.outgoing import Edit, Post, Priority
from bot.slack import views
from bot.slack.caller import Caller, decide, inside, notice, of_interaction
from bot.slack.handlers.runs import show_root, thread_of, verdict_of
from bot.slack.services import Services
from bot.slack.views import ids, notices
from bot.store import Entry

MAX_TEXT = 2_000


async def not_it_submitted(services: Services, entry: Entry) -> None:
    """Record what the person says about the run that the dialogue names."""
    view = inside(entry.body, "view")
    named = ids.parse_run(str(view.get("private_metadata") or ""))
    incident = await services.store.incidents.get(named[0]) if named else None
    if named is None or incident is None:
        return
    run = named[1]
    caller = _in_channel(of_interaction(entry), incident.channel)
    decision = await decide(services, caller, Action.FEEDBACK, cluster=incident.cluster, namespace=incident.namespace)
    if not decision.allowed:
        await notice(services, caller, "refused", views.refused(decision))
        return
    text = _text(view)
    await services.store.feedback.add(
        FeedbackEntry(incident=incident.id, run=run, user=caller.user, text=text, at=services.now())
    )
    report = await services.service.report(incident.id, run)
    content = notices.doubted(caller.user, text, run, report.verdict.cause if report else None)
    await services.outbox.put(Post(key=f"{caller.key}:doubt", place=thread_of(incident), content=content))
    if report is not None:  # on the verdict itself, too: nobody shall act on it unwarned
        older = await services.service.same_fault(incident)
        marked = await verdict_of(services, replace(incident, run=run), report, older)
        edit = Edit(
            key=f"{incident.id}:{run}:verdict", place=thread_of(incident), content=marked, priority=Priority.NORMAL
        )
        await services.outbox.put(edit)
    await show_root(services, incident.id)


def _in_channel(caller: Caller, channel: str) -> Caller:
    """A dialogue has no channel of its own."""
    return Caller(key=caller.key, attempt=caller.attempt, user=caller.user, channel=channel)


def _text(view: Mapping[str, Any]) -> str:
    values = inside(inside(view, "state"), "values")
    field = inside(inside(values, ids.NOT_IT_BLOCK), ids.NOT_IT_INPUT)
    return str(field.get("value") or "")[:MAX_TEXT].strip()
