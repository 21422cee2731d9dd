"""Sweeps of all nodes: what is said, and what is not."""

from __future__ import annotations

import pytest

from bot.schedule import Schedule
from tests.slack.handlers.conftest import HERE, Rig, healthy
from tests.slack.handlers.test_firing import only
from tests.slack.handlers.test_watching import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def swept(rig: Rig, clock: Clock) -> None:
    """Until the next sweep is over."""
    clock.at += 900
    await Schedule(rig.store, every_s=600, sweep_s=900, clusters=("lab",), now=clock).tick_sweeps()
    await rig.quiet()


async def test_a_sweep_speaks_when_it_finds_a_fault_and_when_it_is_gone(rig: Rig, clock: Clock) -> None:
    broken = rig.recordings["shop"]
    rig.recordings["kube-system"] = healthy()
    await swept(rig, clock)
    assert rig.roots() == []

    rig.recordings["kube-system"] = broken
    await swept(rig, clock)
    incident = await only(rig)
    assert (incident.node, incident.opened_by, incident.status) == ("*", "schedule", "broken")
    assert "all nodes" in rig.roots()[0].text

    await swept(rig, clock)
    assert (await only(rig)).run == 1  # nothing new

    rig.recordings["kube-system"] = healthy()
    await swept(rig, clock)
    assert await rig.store.incidents.open_ones() == ()
    assert len(rig.roots()) == 1


async def test_a_watch_of_the_namespace_where_a_sweep_begins_is_another_incident(rig: Rig, clock: Clock) -> None:
    rig.recordings["kube-system"] = rig.recordings["shop"]
    await swept(rig, clock)
    await rig.alice.slash(HERE, "/cni", "diagnose kube-system")
    await rig.quiet()

    nodes = {one.node: one for one in await rig.store.incidents.open_ones()}
    assert nodes.keys() == {"*", None}
    for one in nodes.values():
        assert await rig.services.service.open_one(one) == one


async def test_in_one_period_a_cluster_is_swept_once(rig: Rig, clock: Clock) -> None:
    rig.recordings["kube-system"] = healthy()
    schedule = Schedule(rig.store, every_s=600, sweep_s=900, clusters=("lab",), now=clock)
    for _ in range(3):
        await schedule.tick_sweeps()
    await rig.quiet()

    assert len(rig.handled) == 1


async def test_a_sweep_that_cannot_look_says_nothing(rig: Rig, clock: Clock) -> None:
    rig.unreachable.add("lab")
    await swept(rig, clock)

    assert rig.roots() == []
