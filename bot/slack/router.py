"""Where everything that Slack sends is handed on: one table for each kind, one handler for each row.

A handler may run twice for one entry (a process can die between two words), so whatever it does carries a key made of
the entry's id, or of an incident and its run, and happens once.
"""

from collections.abc import Awaitable, Callable, Mapping

import structlog

from bot.incidents.affected_versions import VERSIONS_DUE
from bot.incidents.alerting.quiet import ALERTS_QUIET
from bot.incidents.alerting.reconciling import POLL_DUE
from bot.incidents.sweeps import SWEEP_DUE
from bot.incidents.watches import WATCH_DUE
from bot.slack.caller import Caller, ephemeral, inside, of_command, of_event, of_interaction
from bot.slack.handlers import buttons, plans
from bot.slack.handlers.affected_versions import versions_due
from bot.slack.handlers.alert_messages import alert_message
from bot.slack.handlers.alerts import diagnose_message
from bot.slack.handlers.commands import mention, slash_command
from bot.slack.handlers.feedback import not_it_submitted
from bot.slack.handlers.firing import alert_received, alerts_quiet
from bot.slack.handlers.home import home_opened
from bot.slack.handlers.plan_again import plan_again
from bot.slack.handlers.polling import poll_due
from bot.slack.handlers.runs import give_up
from bot.slack.handlers.sweeping import sweep_due
from bot.slack.handlers.watching import watch_due
from bot.slack.handlers.workspace import channel_changed, channel_renumbered, disconnected, group_changed
from bot.slack.incoming import event_name
from bot.slack.services import Services
from bot.slack.views import ids, notices
from bot.slack.views import plans as plan_views
from bot.store import Entry

log = structlog.get_logger()

Handler = Callable[[Services, Entry], Awaitable[None]]

EVENTS: Mapping[str, Handler] = {
    "app_mention": mention,
    "app_home_opened": home_opened,
    "subteam_members_changed": group_changed,
    "channel_shared": channel_changed,
    "channel_unshared": channel_changed,
    "channel_id_changed": channel_renumbered,
    "message.channels": alert_message,
    "message.groups": alert_message,
    "app_uninstalled": disconnected,
    "tokens_revoked": disconnected,
}
"""The events that Slack must send us, by type."""

DUE: Mapping[str, Handler] = {
    WATCH_DUE: watch_due,
    SWEEP_DUE: sweep_due,
    ALERTS_QUIET: alerts_quiet,
    POLL_DUE: poll_due,
    VERSIONS_DUE: versions_due,
}
"""What the clock puts into the inbox, by type."""

BUTTONS: Mapping[str, Handler] = {
    ids.DETAILS: buttons.details,
    ids.RERUN: buttons.rerun,
    ids.SHARE: buttons.share,
    ids.NOT_IT: buttons.not_it,
    ids.PROPOSE_FIX: plans.propose_fix,
    ids.DIAGNOSE_NAMESPACE: buttons.diagnose_namespace,
    plan_views.APPROVE: plans.approve,
    plan_views.REFUSE: plans.refuse,
    plan_views.STOP: plans.stop,
    plan_views.SHOW: plans.show,
    plan_views.AGAIN: plan_again,
    ids.DIAGNOSE_POD: buttons.diagnose_pod,
}
"""By action_id, up to a colon: what follows it only keeps ids of one row apart."""

SUBMISSIONS: Mapping[str, Handler] = {
    ids.NOT_IT_VIEW: not_it_submitted,
    plan_views.APPROVE_VIEW: plans.approved,
    plan_views.REFUSE_VIEW: plans.refused,
}
"""By the dialogue's callback_id."""

SHORTCUTS: Mapping[str, Handler] = {ids.DIAGNOSE_MESSAGE: diagnose_message}
"""By callback_id."""


class Router:
    """Hands entries of the inbox to their handlers."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def handle(self, entry: Entry) -> None:
        """Do what the entry asks for. Errors: the inbox hands it out again."""
        handler = handler_of(entry)
        if handler is None:
            return
        with structlog.contextvars.bound_contextvars(entry=entry.id, kind=entry.kind):
            await handler(self._services, entry)

    async def on_dead(self, entry: Entry, error: str) -> None:
        """Tell whoever asked that it was given up: by a fault of ours, not of theirs."""
        log.error("entry.given_up", entry=entry.id, kind=entry.kind, error=error)
        services, content = self._services, notices.failed_inside(entry.id)
        caller = caller_of(entry)
        if caller is not None and handler_of(entry) is not None:
            await ephemeral(services, caller, "given-up", content)
        for incident in await services.store.incidents.open_ones():
            if incident.status == "diagnosing" and await services.service.has_begun(incident, dedup=entry.id):
                await give_up(services, incident, content)


def handler_of(entry: Entry) -> Handler | None:
    """The handler; None for what concerns nobody here. A button is never without an answer."""
    match entry.kind:
        case "command" | "alert":
            return slash_command if entry.kind == "command" else alert_received
        case "event" | "due":
            is_due = entry.kind == "due"
            return DUE.get(str(entry.body.get("type") or "")) if is_due else EVENTS.get(_type(entry))
        case "action":
            return BUTTONS.get(buttons.action_of(entry), buttons.unknown_button)
        case "view_submission":
            return SUBMISSIONS.get(str(inside(entry.body, "view").get("callback_id") or ""))
        case "shortcut":
            return SHORTCUTS.get(str(entry.body.get("callback_id") or ""))
        case "view_closed":
            return None


def _type(entry: Entry) -> str:
    return event_name(inside(entry.body, "event"))


def caller_of(entry: Entry) -> Caller | None:
    """Who is behind the entry; None where nobody waits for an answer."""
    match entry.kind:
        case "command":
            return of_command(entry)
        case "event":
            return of_event(entry)
        case "action" | "shortcut":
            return of_interaction(entry)
        case "view_submission" | "view_closed" | "alert" | "due":
            return None
