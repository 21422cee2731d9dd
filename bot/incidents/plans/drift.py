"""Whether the cluster is still as a plan has left it."""

from collections.abc import Set as AbstractSet

from bot.cluster.writer import Writer
from bot.domain.plan import NewTemplate, Plan
from bot.incidents.plans import limits
from bot.remediation.conditions import holds


async def drift(plan: Plan, writer: Writer, taken_over: AbstractSet[str], now: float) -> str:
    """What the plan has changed and is otherwise by now, as a sentence; "" where all is as it left it.

    `taken_over`: keys of objects that later plans have changed. Workloads that their owners have changed are compared
    themselves: what Helm keeps, in Secrets, is not read for this. Errors: `BotError`: it could not be read.
    """
    for kept in (one for step in plan.steps for one in step.verify if isinstance(one, NewTemplate)):
        held = await holds(kept, writer, now=now)
        if not held.is_so and kept.target.key not in taken_over:
            return f"{held.why} before plan {plan.id}."
    for change in limits.lasting(plan).values():
        found = await writer.look(change)
        if found.standing != "after" and change.target.key not in taken_over:
            return found.why or f"{'.'.join(change.field)} of {change.target} is what it was before plan {plan.id}."
    return ""
