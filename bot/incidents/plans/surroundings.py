"""What else is wrong with the objects of a plan: open incidents with another cause, alerts that fire.

A change in the middle of somebody else's trouble hides both. The alerts of the plan's own incident are what it is for.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from bot.alerts.routing import by_rules
from bot.domain.alert import Alert, AlertScope
from bot.domain.errors import BotError, bounded
from bot.domain.incident import Incident
from bot.domain.plan import Plan, Target
from bot.incidents.alerting.alertmanager_api import AlertmanagerApi
from bot.incidents.alerting.intake import CLUSTER_LABELS
from bot.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Something that is wrong, or may be, and is not what the plan is for."""

    key: str
    """The same for the same trouble; "" where nothing is known of it."""
    sentence: str
    is_incident: bool = False


class Surroundings:
    """The store's incidents, and the Alertmanagers of the settings."""

    def __init__(self, store: Store, alertmanagers: Sequence[AlertmanagerApi] = ()) -> None:
        self._store = store
        self._alertmanagers = alertmanagers

    async def troubles(self, plan: Plan) -> tuple[Trouble, ...]:
        """All of them. An Alertmanager that does not answer is one of its own: what it knows is not known."""
        incidents = [
            Trouble(
                key=one.id,
                sentence=f"Another incident is open there: {bounded(one.headline or one.summary)}",
                is_incident=True,
            )
            for one in await self._store.incidents.open_ones(plan.cluster)
            if _is_in_the_way(one, plan)
        ]
        return (*incidents, *[found async for found in self._alerts(plan)])

    async def _alerts(self, plan: Plan) -> AsyncIterator[Trouble]:
        for api in self._alertmanagers:
            if api.cluster not in {"", plan.cluster}:
                continue
            try:
                listed = await api.alerts()
            except BotError as error:
                yield Trouble(key="", sentence=f"Which alerts fire is not known. {error}")
                continue
            if not listed.is_whole:
                yield Trouble(key="", sentence=f"A peer of the Alertmanager {api.name} did not answer.")
            for one in listed.alerts:
                if one.is_active and _is_of(one.alert, api.cluster, plan) and not await self._is_ours(one.alert, plan):
                    sentence = f"{bounded(one.alert.name)} fires for {by_rules(one.alert).scope}"
                    yield Trouble(key=one.alert.fingerprint, sentence=sentence)

    async def _is_ours(self, alert: Alert, plan: Plan) -> bool:
        known = await self._store.alerts.incident_of(plan.cluster, alert.fingerprint)
        return bool(plan.incident) and known == plan.incident


def _is_in_the_way(incident: Incident, plan: Plan) -> bool:
    """Whether it is open for another cause, about an object of the plan, or its node or namespace."""
    if incident.id == plan.incident or incident.status not in {"broken", "degraded"}:
        return False
    if incident.cause and incident.cause == plan.cause:
        return False
    nodes = {target.name for target in plan.targets if target.kind == "Node"}
    named = {str(target) for target in plan.targets} | nodes
    namespaces = {target.namespace for target in plan.targets} - {""}
    is_there = incident.node in nodes or incident.place in named
    return is_there or (not incident.node and incident.namespace in namespaces)


def _is_of(alert: Alert, cluster: str, plan: Plan) -> bool:
    """Whether the alert is about an object of the plan. Of which cluster, its labels may leave open."""
    named = cluster or next((alert.labels[label] for label in CLUSTER_LABELS if label in alert.labels), "")
    scope = by_rules(alert).scope
    if scope is None or named.lower() not in {"", plan.cluster.lower()}:
        return False
    return any(_is_about(scope, target) for target in plan.targets)


def _is_about(scope: AlertScope, target: Target) -> bool:
    match scope.kind:
        case "node":
            return target.kind == "Node" and scope.name == target.name
        case "pod":
            return target.kind == "Pod" and (scope.namespace, scope.name) == (target.namespace, target.name)
        case "workload":
            same = (scope.namespace, scope.name) == (target.namespace, target.name)
            return same and scope.workload.lower() in {"", target.kind.lower()}
        case "service":
            return target.kind == "Service" and (scope.namespace, scope.name) == (target.namespace, target.name)
        case _:
            return False
