"""Watches: what is said, and what is not."""

from __future__ import annotations

import pytest

from bot.schedule import Schedule
from tests.slack.handlers.conftest import HERE, Office, healthy


class Clock:
    def __init__(self, at: float = 1_000_000.0) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def schedule(office: Office, clock: Clock) -> Schedule:
    return Schedule(office.store, every_s=600, now=clock)


async def pass_time(office: Office, schedule: Schedule, clock: Clock) -> None:
    clock.at += 600
    await schedule.tick()
    await office.quiet()


async def test_a_watch_speaks_when_the_verdict_changes_and_only_then(
    office: Office, schedule: Schedule, clock: Clock
) -> None:
    await office.alice.slash(HERE, "/cni", "watch payments")
    told = await office.said("watches")
    assert "every 15 min, next within 15 min. The first verdict follows" in told.text
    await office.said("HEALTHY")
    await office.quiet()
    await pass_time(office, schedule, clock)
    assert len(office.roots()) == 2  # healthy as ever

    office.recordings["payments"] = office.recordings["shop"]
    await pass_time(office, schedule, clock)
    root = await office.said("BROKEN")
    await office.verdict(root.ts)
    (incident,) = await office.store.incidents.open_ones()
    assert incident.opened_by == "schedule"

    await office.ws.until(lambda: len(office.ws.thread(HERE, root.ts)) == 3)  # root, verdict, evidence

    await pass_time(office, schedule, clock)
    assert len(office.roots()) == 3
    assert len(office.ws.thread(HERE, root.ts)) == 3

    office.recordings["payments"] = healthy()
    await pass_time(office, schedule, clock)
    assert "HEALTHY" in (await office.verdict(root.ts, count=2)).text
    assert await office.store.incidents.open_ones() == ()
    await pass_time(office, schedule, clock)
    assert len(office.roots()) == 3


async def test_several_bots_watch_once(office: Office, schedule: Schedule, clock: Clock) -> None:
    await office.alice.slash(HERE, "/cni", "watch shop")
    await office.said("watches")

    await Schedule(office.store, every_s=600, now=clock).tick()
    await schedule.tick()

    await office.quiet()
    assert sum("watch" in str(entry.body) and entry.kind == "due" for entry in office.handled) == 1


async def test_unwatch_ends_it(office: Office, schedule: Schedule, clock: Clock) -> None:
    await office.alice.slash(HERE, "/cni", "watch payments")
    await office.said("watches")
    await office.quiet()
    office.recordings["payments"] = office.recordings["shop"]
    await office.ws.user("bob").slash(HERE, "/cni", "unwatch payments")
    await office.said("<@U0BOB> stopped the watch")

    await pass_time(office, schedule, clock)

    assert await office.store.incidents.open_ones() == ()


async def test_watching_twice_is_no_news(office: Office) -> None:
    for _ in range(2):
        await office.alice.slash(HERE, "/cni", "watch shop")
    await office.whispered("alice", "already watched in this channel")
    await office.alice.slash(HERE, "/cni", "unwatch payments")
    await office.whispered("alice", "is not watched")

    await office.quiet()
    assert len(office.roots()) == 2


async def test_a_cluster_out_of_reach_is_no_verdict(office: Office, schedule: Schedule, clock: Clock) -> None:
    await office.alice.slash(HERE, "/cni", "watch shop")
    await office.said("watches")
    await office.quiet()
    office.unreachable.add("lab")

    await pass_time(office, schedule, clock)

    assert len(office.roots()) == 2


async def test_a_watch_falls_silent_where_strangers_read(office: Office, schedule: Schedule, clock: Clock) -> None:
    await office.alice.slash(HERE, "/cni", "watch shop")
    await office.said("watches")
    await office.quiet()
    office.ws.admin.share("incidents")
    await office.heard("channel_shared")

    await pass_time(office, schedule, clock)

    assert len(office.roots()) == 2


async def test_an_incident_of_a_person_is_the_watchs_too(office: Office, schedule: Schedule, clock: Clock) -> None:
    ts, _ = await office.diagnosed()
    await office.alice.slash(HERE, "/cni", "watch shop")
    await office.said("watches")
    await pass_time(office, schedule, clock)
    office.recordings["shop"] = healthy()

    await pass_time(office, schedule, clock)

    assert "HEALTHY" in (await office.verdict(ts, count=2)).text
    assert len(office.roots()) == 2


async def test_a_watch_ends_with_its_owners_right_and_the_channel_hears_it(
    office: Office, schedule: Schedule, clock: Clock
) -> None:
    await office.alice.slash(HERE, "/cni", "watch payments")
    await office.said("watches")
    office.recordings["payments"] = office.recordings["shop"]
    object.__setattr__(office.services, "grants", ())

    await pass_time(office, schedule, clock)

    await office.said("has ended")
    assert await office.store.watches.all() == ()
    assert await office.store.incidents.open_ones() == ()
    assert len(office.roots()) == 3  # that it began, how it stood, and that it ended


async def test_a_watch_whose_owner_slack_cannot_tell_is_left_out_and_kept(
    office: Office, schedule: Schedule, clock: Clock
) -> None:
    await office.alice.slash(HERE, "/cni", "watch payments")
    await office.said("watches")
    await office.quiet()
    office.recordings["payments"] = office.recordings["shop"]
    office.ws.faults.rate_limit("users.info", times=50)

    await pass_time(office, schedule, clock)

    assert len(office.roots()) == 2
    assert len(await office.store.watches.all()) == 1
