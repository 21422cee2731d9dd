"""Where everything that Slack sends is handed on: one table for each kind, one handler for each row.

A handler may run twice for one entry (a process can die between two words), so whatever it does carries a key made of
the entry's id, or of an incident and its run, and happens once.
"""

from collections.abc import Awaitable, Callable, Mapping

import structlog

from bot.incidents.watching import WATCH_DUE
from bot.slack import saying
from bot.slack.caller import Caller, inside, of_command, of_event, of_interaction, whisper
from bot.slack.handlers import buttons
from bot.slack.handlers.alerts import diagnose_message
from bot.slack.handlers.doubting import not_it_submitted
from bot.slack.handlers.home import home_opened
from bot.slack.handlers.running import give_up
from bot.slack.handlers.typed import mention, slash_command
from bot.slack.handlers.watching import watch_due
from bot.slack.handlers.workspace import channel_changed, channel_renumbered, disconnected, group_changed
from bot.slack.services import Services
from bot.slack.views import ids
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
    "app_uninstalled": disconnected,
    "tokens_revoked": disconnected,
}
"""The events that Slack must send us, by type."""

BUTTONS: Mapping[str, Handler] = {
    ids.DETAILS: buttons.details,
    ids.RERUN: buttons.rerun,
    ids.SHARE: buttons.share,
    ids.NOT_IT: buttons.not_it,
    ids.DIAGNOSE_NAMESPACE: buttons.diagnose_namespace,
}
"""By action_id, up to a colon: what follows it only keeps ids of one row apart."""

SUBMISSIONS: Mapping[str, Handler] = {ids.NOT_IT_VIEW: not_it_submitted}
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
        services, content = self._services, saying.failed_inside(entry.id)
        caller = caller_of(entry)
        if caller is not None and handler_of(entry) is not None:
            await whisper(services, caller, "given-up", content)
        for incident in await services.store.incidents.open_ones():
            if incident.status == "diagnosing" and await services.desk.has_begun(incident, dedup=entry.id):
                await give_up(services, incident, content)


def handler_of(entry: Entry) -> Handler | None:
    """The handler; None for what concerns nobody here. A button is never without an answer."""
    match entry.kind:
        case "command":
            return slash_command
        case "event":
            kind = str(inside(entry.body, "event").get("type") or "")
            return watch_due if kind == WATCH_DUE else EVENTS.get(kind)
        case "action":
            action_id = str(buttons.pressed(entry).get("action_id") or "")
            return BUTTONS.get(action_id.partition(":")[0], buttons.unknown_button)
        case "view_submission":
            return SUBMISSIONS.get(str(inside(entry.body, "view").get("callback_id") or ""))
        case "shortcut":
            return SHORTCUTS.get(str(entry.body.get("callback_id") or ""))
        case "view_closed":
            return None


def caller_of(entry: Entry) -> Caller | None:
    """Who is behind the entry; None where nobody waits for an answer."""
    match entry.kind:
        case "command":
            return of_command(entry)
        case "event":
            return of_event(entry)
        case "action" | "shortcut":
            return of_interaction(entry)
        case "view_submission" | "view_closed":
            return None
