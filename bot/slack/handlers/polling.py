"""An Alertmanager's turn to be asked has come."""

import structlog

from bot.domain.errors import BotError
from bot.slack.services import Services
from bot.store import Entry, StoreUnavailableError

log = structlog.get_logger()


async def poll_due(services: Services, entry: Entry) -> None:
    """Take in what notifications left out. One that does not answer is asked again the next time."""
    name = str(entry.body.get("name") or "")
    if services.reconciler is None:
        return
    try:
        found = await services.reconciler.poll(name, now=services.now())
    except StoreUnavailableError:
        raise
    except BotError as error:
        log.warning("alertmanager.poll_failed", name=name, why=str(error))
        return
    if found.new:
        log.info("alertmanager.polled", name=name, new=found.new, known=found.known)
