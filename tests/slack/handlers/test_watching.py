"""Watches: what is said, and what is not."""

from __future__ import annotations

import pytest

from bot.schedule import Schedule
from tests.slack.handlers.conftest import HERE, Rig, answering, healthy


class Clock:
    def __init__(self, at: float = 1_000_000.0) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def schedule(rig: Rig, clock: Clock) -> Schedule:
    return Schedule(rig.store, every_s=600, now=clock)


async def pass_time(rig: Rig, schedule: Schedule, clock: Clock) -> None:
    clock.at += 600
    await schedule.tick()
    await rig.quiet()


async def test_a_watch_speaks_when_the_verdict_changes_and_only_then(
    rig: Rig, schedule: Schedule, clock: Clock
) -> None:
    await rig.alice.slash(HERE, "/cni", "watch payments")
    reported = await rig.said("watches")
    assert "every 15 min, next within 15 min. The first verdict follows" in reported.text
    await rig.said("HEALTHY")
    await rig.quiet()
    await pass_time(rig, schedule, clock)
    assert len(rig.roots()) == 2  # healthy as ever

    rig.recordings["payments"] = rig.recordings["shop"]
    await pass_time(rig, schedule, clock)
    root = await rig.said("BROKEN")
    await rig.verdict(root.ts)
    (incident,) = await rig.store.incidents.open_ones()
    assert incident.opened_by == "schedule"

    await rig.ws.until(lambda: len(rig.ws.thread(HERE, root.ts)) == 3)  # root, verdict, evidence

    await pass_time(rig, schedule, clock)
    assert len(rig.roots()) == 3
    assert len(rig.ws.thread(HERE, root.ts)) == 3

    rig.recordings["payments"] = healthy()
    await pass_time(rig, schedule, clock)
    assert "HEALTHY" in (await rig.verdict(root.ts, count=2)).text
    assert await rig.store.incidents.open_ones() == ()
    await pass_time(rig, schedule, clock)
    assert len(rig.roots()) == 3


async def test_several_bots_watch_once(rig: Rig, schedule: Schedule, clock: Clock) -> None:
    await rig.alice.slash(HERE, "/cni", "watch shop")
    await rig.said("watches")

    await Schedule(rig.store, every_s=600, now=clock).tick()
    await schedule.tick()

    await rig.quiet()
    assert sum("watch" in str(entry.body) and entry.kind == "due" for entry in rig.handled) == 1


async def test_unwatch_ends_it(rig: Rig, schedule: Schedule, clock: Clock) -> None:
    await rig.alice.slash(HERE, "/cni", "watch payments")
    await rig.said("watches")
    await rig.quiet()
    rig.recordings["payments"] = rig.recordings["shop"]
    await rig.ws.user("bob").slash(HERE, "/cni", "unwatch payments")
    await rig.said("<@U0BOB> stopped the watch")

    await pass_time(rig, schedule, clock)

    assert await rig.store.incidents.open_ones() == ()


async def test_watching_twice_is_no_news(rig: Rig) -> None:
    for _ in range(2):
        await rig.alice.slash(HERE, "/cni", "watch shop")
    await rig.shown_only_to("alice", "already watched in this channel")
    await rig.alice.slash(HERE, "/cni", "unwatch payments")
    await rig.shown_only_to("alice", "is not watched")

    await rig.quiet()
    assert len(rig.roots()) == 2


async def test_a_cluster_out_of_reach_is_no_verdict(rig: Rig, schedule: Schedule, clock: Clock) -> None:
    await rig.alice.slash(HERE, "/cni", "watch shop")
    await rig.said("watches")
    await rig.quiet()
    rig.unreachable.add("lab")

    await pass_time(rig, schedule, clock)

    assert len(rig.roots()) == 2


async def test_a_watch_falls_silent_where_strangers_read(rig: Rig, schedule: Schedule, clock: Clock) -> None:
    await rig.alice.slash(HERE, "/cni", "watch shop")
    await rig.said("watches")
    await rig.quiet()
    rig.ws.admin.share("incidents")
    await rig.heard("channel_shared")

    await pass_time(rig, schedule, clock)

    assert len(rig.roots()) == 2


async def test_an_incident_of_a_person_is_the_watchs_too(rig: Rig, schedule: Schedule, clock: Clock) -> None:
    ts, _ = await rig.diagnosed()
    await rig.alice.slash(HERE, "/cni", "watch shop")
    await rig.said("watches")
    await pass_time(rig, schedule, clock)
    rig.recordings["shop"] = healthy()

    await pass_time(rig, schedule, clock)

    assert "HEALTHY" in (await rig.verdict(ts, count=2)).text
    assert len(rig.roots()) == 2


async def test_a_watch_ends_with_its_owners_right_and_the_channel_hears_it(
    rig: Rig, schedule: Schedule, clock: Clock
) -> None:
    await rig.alice.slash(HERE, "/cni", "watch payments")
    await rig.said("watches")
    rig.recordings["payments"] = rig.recordings["shop"]
    object.__setattr__(rig.services, "grants", ())

    await pass_time(rig, schedule, clock)

    await rig.said("has ended")
    assert await rig.store.watches.all() == ()
    assert await rig.store.incidents.open_ones() == ()
    assert len(rig.roots()) == 3  # that it began, how it stood, and that it ended


async def test_a_watch_whose_owner_slack_cannot_tell_is_left_out_and_kept(
    rig: Rig, schedule: Schedule, clock: Clock
) -> None:
    await rig.alice.slash(HERE, "/cni", "watch payments")
    await rig.said("watches")
    await rig.quiet()
    rig.recordings["payments"] = rig.recordings["shop"]
    rig.ws.faults.rate_limit("users.info", times=50)

    await pass_time(rig, schedule, clock)

    assert len(rig.roots()) == 2
    assert len(await rig.store.watches.all()) == 1


async def test_a_watch_tells_once_that_an_application_answers_wrongly_and_once_that_it_does_no_more(
    rig: Rig, schedule: Schedule, clock: Clock
) -> None:
    await rig.alice.slash(HERE, "/cni", "watch payments")
    await rig.said("HEALTHY")
    await rig.quiet()

    rig.recordings["payments"] = answering(503)
    await pass_time(rig, schedule, clock)
    told = await rig.said("does not answer as it should")
    assert "GET /health on port 5000" in told.text
    assert "HTTP 503" in told.text
    await pass_time(rig, schedule, clock)
    rig.recordings["payments"] = healthy()  # nobody asked: not known
    await pass_time(rig, schedule, clock)
    assert len(rig.roots()) == 3

    rig.recordings["payments"] = answering(200)
    await pass_time(rig, schedule, clock)
    assert "shop/mlflow answers as it should again" in (await rig.said("answers as it should again")).text
    await pass_time(rig, schedule, clock)
    assert len(rig.roots()) == 4
    assert await rig.store.incidents.open_ones() == ()
