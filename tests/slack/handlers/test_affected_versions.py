"""The CNI's version held against the known issues: told once, as a note."""

from __future__ import annotations

import dataclasses

import msgspec
import pytest

from bot.cluster.objects import DaemonSet
from bot.schedule import Schedule
from bot.slack.router import Router
from tests.slack.handlers.conftest import HERE, Opened, Rig
from tests.slack.handlers.test_watching import Clock

DAY_S = 86_400.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def telling(open_rig: Opened) -> Rig:
    """A bot that tells of known issues in the channel."""
    rig = await open_rig()
    rig.router = Router(dataclasses.replace(rig.services, known_issues_channel=HERE))
    return rig


async def looked(rig: Rig, clock: Clock) -> None:
    """Until the next look at the clusters' versions is over."""
    clock.at += DAY_S
    await Schedule(rig.store, every_s=600, versions_s=DAY_S, clusters=("lab",), now=clock).tick_versions()
    await rig.quiet()


def runs(rig: Rig, version: str) -> None:
    """The cluster runs this version of Calico from now on."""
    recording = rig.recordings["shop"]
    plain = msgspec.to_builtins(recording.snapshot.daemon_sets[0])
    plain["spec"]["template"]["spec"]["containers"][0]["image"] = f"calico/node:{version}"
    sets = (msgspec.convert(plain, DaemonSet),)
    rig.recordings["shop"] = msgspec.structs.replace(
        recording, snapshot=msgspec.structs.replace(recording.snapshot, daemon_sets=sets)
    )


async def test_what_is_new_is_told_once_and_opens_nothing(telling: Rig, clock: Clock) -> None:
    await looked(telling, clock)
    (note,) = telling.roots()
    assert "`lab` runs calico 3.30.2" in note.text
    assert "`calico-11099`" in note.text
    assert "Nothing is known to be wrong" in note.text
    assert "<!" not in note.text
    assert "<@" not in note.text
    assert await telling.store.incidents.open_ones() == ()

    await looked(telling, clock)
    runs(telling, "v3.30.3")  # a patch within the same ranges
    await looked(telling, clock)
    assert len(telling.roots()) == 1


async def test_an_upgrade_into_further_ranges_tells_of_those_alone(telling: Rig, clock: Clock) -> None:
    runs(telling, "v3.28.0")
    await looked(telling, clock)
    runs(telling, "v3.30.2")
    await looked(telling, clock)

    first, second = telling.roots()
    assert "`calico-8025`" in first.text
    assert "`calico-11099`" in second.text
    assert "`calico-8025`" not in second.text


async def test_a_cluster_that_does_not_tell_its_version_changes_nothing(telling: Rig, clock: Clock) -> None:
    await looked(telling, clock)
    before = await telling.store.noted_issues.all()
    runs(telling, "latest")
    await looked(telling, clock)
    telling.unreachable.add("lab")
    await looked(telling, clock)

    assert await telling.store.noted_issues.all() == before
    assert len(telling.roots()) == 1


async def test_a_process_that_died_after_it_told_is_followed_by_one_that_tells_nothing_again(
    telling: Rig, clock: Clock
) -> None:
    await looked(telling, clock)
    async with telling.store.connection.client() as client:
        await client.delete(telling.store.connection.keys.of("noted-issues"))
    await looked(telling, clock)

    assert len(telling.roots()) == 1


async def test_without_a_channel_it_is_counted_and_told_when_there_is_one(open_rig: Opened, clock: Clock) -> None:
    rig = await open_rig()
    await looked(rig, clock)
    noted = (await rig.store.noted_issues.all())["lab"]
    assert "calico-11099" in noted.found
    assert noted.posted == ()
    assert rig.roots() == []

    rig.router = Router(dataclasses.replace(rig.services, known_issues_channel=HERE))
    await looked(rig, clock)
    assert len(rig.roots()) == 1


async def test_a_channel_that_is_shared_with_others_is_told_nothing(telling: Rig, clock: Clock) -> None:
    telling.ws.admin.share("incidents")
    await telling.heard("channel_shared")
    await looked(telling, clock)

    assert telling.roots() == []


async def test_in_one_period_it_is_due_once(telling: Rig, clock: Clock) -> None:
    schedule = Schedule(telling.store, every_s=600, versions_s=DAY_S, clusters=("lab",), now=clock)
    for _ in range(3):
        await schedule.tick_versions()
    await telling.quiet()

    assert len(telling.handled) == 1
