"""The button "Plan again" on the card of a plan that was not run: the same, as the cluster stands now."""

import msgspec

from bot.domain.authorization import Action
from bot.domain.plan_life import decided
from bot.remediation.requests import PlanRequest
from bot.slack.caller import ephemeral, is_allowed, is_present, of_interaction
from bot.slack.handlers.plans import pressed_plan, put_forward
from bot.slack.services import Services
from bot.slack.views import notices
from bot.store import Entry


async def plan_again(services: Services, entry: Entry) -> None:
    """Propose what was asked for once more, justified by the incident's newest verdict. Twice makes one plan."""
    caller = of_interaction(entry)
    record = await pressed_plan(services, caller, entry)
    if record is None:
        return
    plan = record.plan
    if not await is_allowed(services, caller, Action.PROPOSE, cluster=plan.cluster, namespace=plan.namespace):
        return
    if not await is_present(services, caller):
        return
    incident = await services.store.incidents.get(plan.incident)
    report = await services.service.report(incident.id, incident.run) if incident and incident.is_open else None
    if incident is None or report is None:
        text = "Its incident is over, or is being diagnosed. A plan needs a verdict that justifies it: *Re-run* first."
        await ephemeral(services, caller, "plan", notices.plainly(text))
        return
    for other in await services.plans.recent():
        if other.is_open and other.asked == record.asked and other.plan.incident == incident.id:
            await ephemeral(services, caller, "plan", notices.plainly(decided(other).sentence))
            return
    asked: PlanRequest = msgspec.convert(record.asked, type=PlanRequest)
    await put_forward(services, caller, incident, report, asked)
