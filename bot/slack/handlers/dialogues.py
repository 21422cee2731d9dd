"""Dialogues: opened at once, filled when their content is known.

Slack's trigger lives three seconds and works once, so the window opens before anything else is asked. It belongs to
one person, and is therefore also where that person reads why not.

Source: https://docs.slack.dev/interactivity/handling-user-interaction/
"""

from collections.abc import Mapping
from typing import Any

import structlog

from bot.slack.caller import Caller, ephemeral
from bot.slack.lookups import NOT_ANSWERED, why
from bot.slack.services import Services
from bot.slack.views import notices

log = structlog.get_logger()


async def open_loading(services: Services, caller: Caller, view: Mapping[str, Any]) -> str | None:
    """The id of the window. None: it could not be opened in time, and the caller is asked to press again."""
    client: Any = services.client  # the SDK's methods are not fully annotated
    try:
        answer = await client.views_open(trigger_id=caller.trigger_id, view=dict(view))
    except NOT_ANSWERED as error:
        log.warning("dialogue.not_opened", why=why(error))
        await ephemeral(services, caller, "too-late", notices.too_late())
        return None
    return str(answer["view"]["id"])


async def fill(services: Services, view_id: str, view: Mapping[str, Any]) -> None:
    """Show the content. A window that was closed meanwhile is nobody's loss."""
    client: Any = services.client
    try:
        await client.views_update(view_id=view_id, view=dict(view))
    except NOT_ANSWERED as error:
        log.warning("dialogue.not_filled", why=why(error))
