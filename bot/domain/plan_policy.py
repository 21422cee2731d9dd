"""What an approval needs, and when plans rest: as the settings say it."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from bot.domain.plan import Person, Plan
from bot.domain.report import Risk


@dataclass(frozen=True, slots=True, kw_only=True)
class QuietHours:
    """A time of the week in which nobody changes anything."""

    days: frozenset[int]
    """On which it begins; Monday is 0."""
    begins: dt.time
    ends: dt.time
    """Not after `begins`: on the next day."""
    zone: dt.tzinfo
    risks: frozenset[Risk]
    clusters: tuple[str, ...] = ("*",)
    """Names, with * and ? as in a shell."""

    def until(self, plan: Plan, now: float) -> dt.datetime | None:
        """When they end, where `now` is within them for this plan; else None."""
        if plan.risk not in self.risks or not any(fnmatchcase(plan.cluster, one) for one in self.clusters):
            return None
        moment = dt.datetime.fromtimestamp(now, self.zone)
        for day in (moment.date(), moment.date() - dt.timedelta(days=1)):
            begin = dt.datetime.combine(day, self.begins, self.zone)
            last = day if self.begins < self.ends else day + dt.timedelta(days=1)
            end = dt.datetime.combine(last, self.ends, self.zone)
            if day.weekday() in self.days and begin <= moment < end:
                return end
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRule:
    """How many people must approve plans of some places."""

    people: int
    risks: frozenset[Risk] = frozenset({"r1", "r2", "r3"})
    clusters: tuple[str, ...] = ("*",)
    """Names, with * and ? as in a shell."""
    namespaces: tuple[str, ...] = ("*",)
    """Likewise: of the objects that are changed, and the one whose diagnosis justifies the plan."""

    def applies(self, plan: Plan) -> bool:
        """Whether it holds for this plan."""
        places = {plan.namespace, *(target.namespace for target in plan.targets)}
        is_there = any(fnmatchcase(place, one) for place in places for one in self.namespaces)
        is_in = any(fnmatchcase(plan.cluster, one) for one in self.clusters)
        return plan.risk in self.risks and is_in and is_there


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What an approval needs."""

    approvals: Mapping[Risk, int] = field(default_factory=lambda: dict[Risk, int]({"r3": 2}))
    """How many people besides the proposer, by risk; one where nothing is said."""
    approval_rules: tuple[ApprovalRule, ...] = ()
    """Of these and `approvals` the largest number that holds for a plan counts."""
    not_from_slack: frozenset[Risk] = frozenset()
    """Risks that cannot be approved in Slack: a Slack session has no second factor."""
    typed_cluster: frozenset[Risk] = frozenset()
    """Risks for which the cluster's name has to be typed."""
    reason_required: frozenset[Risk] = frozenset()
    """Risks for which whoever approves says why."""
    quiet_hours: tuple[QuietHours, ...] = ()
    break_glass: frozenset[str] = frozenset()
    """Who may break the glass: names that the API server knows. One of them alone approves, also what they proposed,
    and in quiet hours. Never in Slack."""

    def needed(self, plan: Plan) -> int:
        """How many approvals; never none."""
        ruled = (rule.people for rule in self.approval_rules if rule.applies(plan))
        return max(1, self.approvals.get(plan.risk, 1), *ruled)

    def may_break_glass(self, person: Person) -> bool:
        """Whether the person was named for that, and is known by more than a session in Slack."""
        return person.realm == "kubernetes" and person.name in self.break_glass

    def quiet(self, plan: Plan, now: float) -> str:
        """Why the plan rests now, as a sentence; "" when it need not."""
        ends = max((end for one in self.quiet_hours if (end := one.until(plan, now))), default=None)
        if ends is None:
            return ""
        return f"Quiet hours for plans of risk {plan.risk} end at {ends:%H:%M} ({ends.tzname()})."
