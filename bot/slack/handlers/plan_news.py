"""News of plans for the whole channel, and not only for the thread: what nobody may overlook."""

from bot.domain.incident import Incident
from bot.domain.outgoing import Content, Place, Post, Priority
from bot.domain.plan_life import PlanRecord
from bot.slack.handlers.runs import permalink
from bot.slack.services import Services
from bot.slack.views import plans

_LOUD_S = 3_600.0
"""How old a broken glass may be and still be news to a bot that was down."""


async def announce_glass(services: Services, record: PlanRecord) -> None:
    """Somebody went past the policy."""
    glass = record.glass_broken_by
    if glass is not None and services.now() - glass.at <= _LOUD_S:
        content = plans.glass_news(record, glass)
        await _tell(services, await _incident(services, record), f"{record.plan.id}:glass", content)


async def announce_half_done(services: Services, record: PlanRecord) -> None:
    """A plan stopped half done: a person must look."""
    if record.state != "halted":
        return
    incident = await _incident(services, record)
    link = await permalink(services, incident) if incident else ""
    await _tell(services, incident, f"{record.plan.id}:half-done", plans.plan_half_done(record, link_to=link))


async def _incident(services: Services, record: PlanRecord) -> Incident | None:
    return await services.store.incidents.get(record.plan.incident) if record.plan.incident else None


async def _tell(services: Services, incident: Incident | None, key: str, content: Content) -> None:
    """Once for a key, in the incident's channel, else in that of alerts."""
    if channel := incident.channel if incident else services.alert_channel:
        place = Place(channel=channel)
        await services.outbox.put(Post(key=key, place=place, content=content, priority=Priority.VERDICT))
