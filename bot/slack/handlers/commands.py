"""What people type: `/cni …`, and `@cni …` in channels and threads."""

from bot.domain.authorization import Scope, allowed_actions, standing
from bot.slack import views
from bot.slack.caller import Caller, inside, notice, of_command, of_event
from bot.slack.commands import (
    Assign,
    Command,
    Diagnose,
    Help,
    KnownIssues,
    ListIncidents,
    ListPlaybooks,
    Mistake,
    Note,
    StartWatch,
    Status,
    StopWatch,
    parse,
    without_mention,
)
from bot.slack.handlers.diagnose import diagnose
from bot.slack.handlers.knowledge import known_issues, playbooks
from bot.slack.handlers.notes import keep_with_incident
from bot.slack.handlers.plans import obey_plans
from bot.slack.handlers.status import incidents, status
from bot.slack.handlers.watching import start_watch, stop_watch
from bot.slack.plan_commands import ListPlans, PlanCommand, ResumePlans, StopPlans
from bot.slack.services import Services
from bot.slack.views import notices
from bot.store import Entry


async def slash_command(services: Services, entry: Entry) -> None:
    """`/cni …`."""
    prefix = str(entry.body.get("command") or "/cni")
    await _read(services, of_command(entry), str(entry.body.get("text") or ""), prefix)


async def mention(services: Services, entry: Entry) -> None:
    """`@cni …`; what bots say is not listened to, or two of them could talk for ever."""
    event = inside(entry.body, "event")
    if event.get("bot_id") or event.get("edited") or not event.get("user"):
        return
    identity = await services.who_am_i()
    text = without_mention(str(event.get("text") or ""), identity.user_id)
    await _read(services, of_event(entry), text, "@cni")


async def _read(services: Services, caller: Caller, text: str, prefix: str) -> None:
    command = parse(text)
    if not isinstance(command, Mistake):
        await obey(services, caller, command)
        return
    decision = standing(await services.people.principal(caller.user))
    content = notices.mistaken(command, prefix) if decision.allowed else views.refused(decision)
    await notice(services, caller, "mistake", content)


async def obey(services: Services, caller: Caller, command: Command) -> None:  # noqa: C901 one a kind of command
    """Do what the command says."""
    match command:
        case Diagnose():
            await diagnose(services, caller, command)
        case Status():
            await status(services, caller)
        case ListIncidents():
            await incidents(services, caller)
        case StartWatch():
            await start_watch(services, caller, command)
        case StopWatch():
            await stop_watch(services, caller, command)
        case Note() | Assign():
            await keep_with_incident(services, caller, command)
        case ListPlaybooks():
            await playbooks(services, caller)
        case KnownIssues():
            await known_issues(services, caller, command)
        case PlanCommand() | ListPlans() | StopPlans() | ResumePlans():
            await obey_plans(services, caller, command)
        case Help():
            await show_help(services, caller)


async def show_help(services: Services, caller: Caller) -> None:
    """What can be typed, and what of it the caller may do."""
    principal = await services.people.principal(caller.user)
    decision = standing(principal)
    if not decision.allowed:
        await notice(services, caller, "refused", views.refused(decision))
        return
    actions = allowed_actions(principal, Scope(channel=caller.channel), services.grants)
    await notice(services, caller, "help", views.help_(actions))
