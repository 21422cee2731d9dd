"""How often the bot may change something, and what it may never do twice: pure, from the plans that there were."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from bot.domain.plan import HelmRollback, Plan, Replace
from bot.domain.plan_life import PlanRecord
from bot.remediation.actions.nodes import UNSCHEDULABLE

HOUR_S = 3600.0
_RAN = frozenset({"running", "verified", "undone", "halted"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Of one cluster."""

    pause_s: float = 900.0
    """Between the begins of two plans."""
    a_day_for_target: int = 3
    """How many plans may change the same object within 24 hours."""


def refusal(plan: Plan, earlier: Iterable[PlanRecord], limits: Limits, now: float) -> str:
    """Why the plan may not begin now, as a sentence; "" when it may."""
    ran = [
        one
        for one in earlier
        if one.plan.cluster == plan.cluster and one.plan.id != plan.id and one.state in _RAN and one.started_at
    ]
    newest = max(ran, key=lambda one: one.started_at, default=None)
    if newest and now - newest.started_at < limits.pause_s:
        left = limits.pause_s - (now - newest.started_at)
        return f"Plan {newest.plan.id} began {now - newest.started_at:.0f} s ago: the next one may in {left:.0f} s."
    today = [one for one in ran if now - one.started_at < 24 * HOUR_S]
    for target in plan.targets:
        number = sum(target.key in _keys(one.plan) for one in today)
        if number >= limits.a_day_for_target:
            return f"{target} was changed by {number} plans within 24 hours: that is no fix. A person must look."
    inverse = next((one for one in ran if _is_inverse(plan, one.plan)), None)
    if inverse:
        return f"It would undo plan {inverse.plan.id}, which did the opposite. A person must decide between the two."
    return ""


def _keys(plan: Plan) -> set[str]:
    return {target.key for target in plan.targets}


def _is_inverse(plan: Plan, earlier: Plan) -> bool:
    """Whether the plan brings back what an earlier one took away, on purpose and not as one of its own steps."""
    kept = _ends(earlier)
    return any(key in kept and kept[key] == (after, before) for key, (before, after) in _ends(plan).items())


def _ends(plan: Plan) -> dict[tuple[str, tuple[str, ...]], tuple[Any, Any]]:
    """What a plan changes for good: before and after, by object and field; of a release by its content."""
    found: dict[tuple[str, tuple[str, ...]], tuple[Any, Any]] = {
        key: (change.before, change.after) for key, change in lasting(plan).items()
    }
    for step in plan.steps:
        if isinstance(step.do, HelmRollback):
            found[str(step.do), ()] = (step.do.present.manifest, step.do.chosen.manifest)
    return found


def lasting(plan: Plan) -> dict[tuple[str, tuple[str, ...]], Replace]:
    """What is changed at the end of the plan: marks and cordons are off again by then."""
    found: dict[tuple[str, tuple[str, ...]], Replace] = {}
    for step in plan.steps:
        if isinstance(step.do, Replace):
            key = (step.do.target.key, step.do.field)
            first = found.get(key)
            before = first.before if first else step.do.before
            if step.do.field == UNSCHEDULABLE:
                continue  # a node is cordoned in order to be uncordoned
            found[key] = msgspec.structs.replace(step.do, before=before)
    return {key: change for key, change in found.items() if change.before != change.after}
