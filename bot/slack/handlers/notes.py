"""`@cni note …` and `@cni assign …` in an incident's thread: what people know beside the evidence, and who is at it.

Only what is said to the bot is kept: what people write to each other is none of ours.
"""

from bot.domain.authorization import Action
from bot.domain.incident import Incident, TimelineEvent
from bot.domain.outgoing import Place, React
from bot.slack.caller import Caller, is_allowed, notice
from bot.slack.commands import Assign, Note
from bot.slack.handlers.runs import show_root
from bot.slack.services import Services
from bot.slack.views import notices


async def keep_with_incident(services: Services, caller: Caller, command: Note | Assign) -> None:
    """Do what the command says with the incident of the thread in which it was said."""
    incident = await _here(services, caller)
    if incident is None:
        return
    timeline = services.store.timeline
    if isinstance(command, Note):
        event = TimelineEvent(at=caller.at, kind="note", text=command.text, by=caller.user)
        await timeline.add(incident.id, f"note {caller.key}", event)
    else:
        user = caller.user if command.user is None else command.user
        await services.store.incidents.assign(incident.id, user)
        event = TimelineEvent(at=caller.at, kind="assigned", text=user or "nobody", by=caller.user)
        await timeline.add(incident.id, f"assigned {caller.key}", event)
        await show_root(services, incident.id)
    await _kept(services, caller)


async def _here(services: Services, caller: Caller) -> Incident | None:
    """The open incident of the thread in which it was said; None, with a word to the caller, where there is none."""
    for incident in await services.store.incidents.open_ones() if caller.within else ():
        if incident.channel != caller.channel:
            continue
        if caller.within == (incident.thread or await services.outbox.ts_of(incident.root_key)):
            is_theirs = await is_allowed(
                services, caller, Action.FEEDBACK, cluster=incident.cluster, namespace=incident.namespace
            )
            return incident if is_theirs else None
    if await is_allowed(services, caller, Action.FEEDBACK):
        await notice(services, caller, "no-incident", notices.not_in_a_thread())
    return None


async def _kept(services: Services, caller: Caller) -> None:
    """A sign on the message that was understood: another message would say no more."""
    place = Place(channel=caller.channel)
    await services.outbox.put(
        React(key=f"{caller.key}:kept", place=place, name="white_check_mark", message_ts=caller.message)
    )
