"""The App Home: open incidents, health, and how to get help, drawn anew each time it is opened."""

from typing import Any

import structlog

from bot.domain.authorization import Action, Scope, allowed_actions, authorize, standing
from bot.slack import views
from bot.slack.caller import inside
from bot.slack.handlers.status import MOST_SHOWN, NO_STATE, permalinks, readable, state_of
from bot.slack.lookups import NOT_ANSWERED, why
from bot.slack.services import Services
from bot.store import Entry

log = structlog.get_logger()


async def home_opened(services: Services, entry: Entry) -> None:
    """Draw the person's Home; for those who may not read, why not."""
    event = inside(entry.body, "event")
    user = str(event.get("user") or "")
    if event.get("tab") not in {None, "home"} or not user:
        return
    client: Any = services.client  # the SDK's methods are not fully annotated
    try:
        await client.views_publish(user_id=user, view=await _home(services, user))
    except NOT_ANSWERED as error:
        log.warning("home.not_drawn", user=user, why=why(error))


async def _home(services: Services, user: str) -> dict[str, Any]:
    principal = await services.people.principal(user)
    decision = standing(principal)
    if decision.allowed:
        decision = authorize(principal, Action.READ, Scope(), services.grants)
    if not decision.allowed:
        return views.home(views.HomeModel(user_id=user, status=NO_STATE, refusal=decision))
    shown = await readable(services, user, "", await services.store.incidents.open_ones())
    return views.home(
        views.HomeModel(
            user_id=user,
            now=services.now(),
            incidents=shown,
            permalinks=await permalinks(services, shown[:MOST_SHOWN]),
            status=await state_of(services, user, ""),
            actions=allowed_actions(principal, Scope(), services.grants),
        )
    )
