"""Sweeps of all nodes: what is said, and what is not."""

from __future__ import annotations

import pytest

from bot.schedule import Schedule
from tests.slack.handlers.conftest import HERE, Office, healthy
from tests.slack.handlers.test_firing import only
from tests.slack.handlers.test_watching import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def swept(office: Office, clock: Clock) -> None:
    """Until the next sweep is over."""
    clock.at += 900
    await Schedule(office.store, every_s=600, sweep_s=900, clusters=("lab",), now=clock).tick_sweeps()
    await office.quiet()


async def test_a_sweep_speaks_when_it_finds_a_fault_and_when_it_is_gone(office: Office, clock: Clock) -> None:
    broken = office.recordings["shop"]
    office.recordings["kube-system"] = healthy()
    await swept(office, clock)
    assert office.roots() == []

    office.recordings["kube-system"] = broken
    await swept(office, clock)
    incident = await only(office)
    assert (incident.node, incident.opened_by, incident.status) == ("*", "schedule", "broken")
    assert "all nodes" in office.roots()[0].text

    await swept(office, clock)
    assert (await only(office)).run == 1  # nothing new

    office.recordings["kube-system"] = healthy()
    await swept(office, clock)
    assert await office.store.incidents.open_ones() == ()
    assert len(office.roots()) == 1


async def test_a_watch_of_the_namespace_where_a_sweep_begins_is_another_incident(office: Office, clock: Clock) -> None:
    office.recordings["kube-system"] = office.recordings["shop"]
    await swept(office, clock)
    await office.alice.slash(HERE, "/cni", "diagnose kube-system")
    await office.quiet()

    nodes = {one.node: one for one in await office.store.incidents.open_ones()}
    assert nodes.keys() == {"*", None}
    for one in nodes.values():
        assert await office.services.service.open_one(one) == one


async def test_in_one_period_a_cluster_is_swept_once(office: Office, clock: Clock) -> None:
    office.recordings["kube-system"] = healthy()
    schedule = Schedule(office.store, every_s=600, sweep_s=900, clusters=("lab",), now=clock)
    for _ in range(3):
        await schedule.tick_sweeps()
    await office.quiet()

    assert len(office.handled) == 1


async def test_a_sweep_that_cannot_look_says_nothing(office: Office, clock: Clock) -> None:
    office.unreachable.add("lab")
    await swept(office, clock)

    assert office.roots() == []
