"""What else is wrong with the objects of a plan: open incidents, and alerts that Alertmanager's API lists."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from bot.alerts.api_answer import ListedAlert
from bot.domain.alert import Alert
from bot.domain.incident import Incident
from bot.domain.plan_life import PlanRecord
from bot.domain.report import BlastRadius
from bot.incidents.alerting.alertmanager_api import AlertmanagerApi, AlertmanagerError, Listing
from bot.incidents.plans import PlanService
from bot.incidents.plans.surroundings import Surroundings
from bot.remediation.actions.draft import NotPlannedError
from bot.remediation.requests import TargetPort
from bot.remediation.verification import baseline_of
from bot.store import Store
from bot.store.alerts import IncidentAlert
from tests.incidents.planning import PlanRig, plan_rig, report
from tests.remediation.build import BOB, NOW, plan, step

FIX = TargetPort(namespace="shop", service="web", to="8080")
WEB = {"alertname": "WebDown", "namespace": "shop", "service": "web"}


def firing(labels: dict[str, str], fingerprint: str = "00000000000000aa", *, is_active: bool = True) -> ListedAlert:
    return ListedAlert(alert=Alert(fingerprint=fingerprint, status="firing", labels=labels), is_active=is_active)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FixedAlertmanager(AlertmanagerApi):
    """An Alertmanager that lists what it was given."""

    listed: Sequence[ListedAlert] | None = ()
    """None: it does not answer."""

    async def alerts(self, *, receiver: str = "") -> Listing:
        if self.listed is None:
            raise AlertmanagerError(self.name, "refused")
        return Listing(alerts=tuple(self.listed), is_whole=True)


def alertmanager(*listed: ListedAlert, cluster: str = "lab") -> FixedAlertmanager:
    return FixedAlertmanager(name="am", urls=(), cluster=cluster, listed=listed)


@pytest.fixture
async def at(tmp_path: Path, store: Store) -> AsyncIterator[PlanRig]:
    async with plan_rig(tmp_path, store) as made:
        made.web()
        yield made


async def keys(store: Store, *apis: AlertmanagerApi, **changes: Any) -> list[str]:
    found = await Surroundings(store, apis).troubles(plan(step(), **changes))
    return [one.key for one in found]


async def test_an_alert_about_an_object_of_the_plan_is_trouble_and_no_other(store: Store) -> None:
    about = {"alertname": "Down", "namespace": "shop", "service": "web-1"}
    other = firing(about | {"service": "web-9"}, "00000000000000bb")
    silenced = firing(about, "00000000000000cc", is_active=False)

    assert await keys(store, alertmanager(firing(about), other, silenced)) == ["00000000000000aa"]
    assert await keys(store, alertmanager(firing(about), cluster="eu")) == []
    assert await keys(store, alertmanager(firing(about | {"cluster": "eu"}), cluster="")) == []


async def test_the_alert_of_the_plans_own_incident_is_what_it_is_for(store: Store) -> None:
    about = {"alertname": "Down", "namespace": "shop", "service": "web-1"}
    known = IncidentAlert(fingerprint="00000000000000aa", name="Down", status="firing", since=1.0, first_at=1.0)
    await store.alerts.put("lab", "inc-0000000a", known)

    assert await keys(store, alertmanager(firing(about)), incident="inc-0000000a") == []
    assert await keys(store, alertmanager(firing(about)), incident="inc-0000000b") == ["00000000000000aa"]


async def test_an_alertmanager_that_is_silent_is_not_one_without_alerts(store: Store) -> None:
    (found,) = await Surroundings(store, [dataclasses.replace(alertmanager(), listed=None)]).troubles(plan(step()))

    assert found.key == ""
    assert "is not known" in found.sentence


async def open_incident(store: Store, **changes: Any) -> Incident:
    """A broken Service shop/web-1, for another cause than that of the plan."""
    where: dict[str, Any] = {"cluster": "lab", "namespace": "shop", "pod": None, "channel": "C1", "thread": None}
    made, _ = await store.incidents.open(**where, opened_by="U0ALICE", now=NOW, dedup=str(changes))
    found = {"status": "broken", "cause": "other", "place": "Service shop/web", "headline": "No endpoints"}
    saved = dataclasses.replace(made, **(found | changes))
    await store.incidents.save(saved)
    return saved


async def test_an_open_incident_of_another_cause_there_is_in_the_way(at: PlanRig) -> None:
    other = await open_incident(at.store)

    with pytest.raises(NotPlannedError, match="Another incident is open there: No endpoints"):
        await at.propose(FIX)
    assert await keys(at.store, incident=other.id) == []


@pytest.mark.parametrize("found", [{"cause": "x"}, {"status": "healthy"}, {"status": "closed"}])
async def test_one_of_the_same_cause_or_that_is_over_is_not(at: PlanRig, found: dict[str, str]) -> None:
    await open_incident(at.store, **found)

    assert (await at.propose(FIX)).state == "waiting"


def service(at: PlanRig, *apis: AlertmanagerApi) -> PlanService:
    return at.service(surroundings=Surroundings(at.store, apis))


async def test_what_fires_already_is_told_to_the_approvers_and_what_comes_later_stops_the_plan(at: PlanRig) -> None:
    first, later = firing(WEB), firing(WEB | {"alertname": "Later"}, "00000000000000bb")
    made = await at.propose(FIX, service=service(at, alertmanager(first)))
    assert made.plan.warnings[-1] == "WebDown fires for Service shop/web."

    at_work = service(at, alertmanager(first, later))
    approved = await at_work.approve(made.plan.id, BOB, digest=made.plan.digest)
    assert isinstance(approved, PlanRecord)
    done = await at_work.execute(made.plan.id, who="replica-a")
    assert isinstance(done, PlanRecord)
    assert done.state == "stale"
    assert "Later fires" in done.sentence


async def test_what_the_approvers_knew_of_stops_nothing(at: PlanRig) -> None:
    at_work = service(at, alertmanager(firing(WEB)))
    made = await at.propose(FIX, service=at_work)
    await at_work.approve(made.plan.id, BOB, digest=made.plan.digest)

    done = await at_work.execute(made.plan.id, who="replica-a")
    assert isinstance(done, PlanRecord)
    assert done.state == "verified", done.sentence


async def test_a_node_that_died_for_another_reason_stops_a_plan(at: PlanRig) -> None:
    dead = {"conditions": [{"type": "Ready", "status": "False"}]}
    at.cluster.storage.patch("nodes", "node-3", None, {"status": dead}, subresource="status")

    with pytest.raises(NotPlannedError, match="node-3 is not Ready, which the incident does not explain"):
        await at.propose(FIX)

    known = dataclasses.replace(report("broken"), blast_radius=BlastRadius(fault_nodes=("node-3",)))
    assert (await at.propose(FIX, baseline=baseline_of(known))).state == "waiting"
