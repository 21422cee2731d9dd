"""Incidents, held against a model, and their reports; watches and feedback."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule, run_state_machine_as_test

from bot.domain.errors import TooLargeError
from bot.domain.incident import FeedbackEntry, Incident, IncidentStatus, Watch
from bot.store import Store, UnknownIncidentError, open_store
from bot.store.incidents import ATTACH_S, KEPT_RUNS, Incidents
from tests.redis import RedisServer


def asked(**changes: Any) -> dict[str, Any]:
    """Arguments of `open`."""
    return {
        "cluster": "prod", "namespace": "shop", "pod": None, "channel": "C1", "thread": None, "opened_by": "U1",
        "now": 1000.0, "dedup": "Ev1",
    } | changes  # fmt: skip


async def test_a_new_incident(store: Store) -> None:
    incident, is_new = await store.incidents.open(**asked(pod="web-1", thread="17.5"))

    assert is_new
    assert len(incident.id) == 12
    assert incident == Incident(
        id=incident.id, cluster="prod", namespace="shop", pod="web-1", channel="C1", thread="17.5",
        root_key=f"{incident.id}:root", opened_at=1000.0, opened_by="U1", status="diagnosing", updated_at=1000.0,
    )  # fmt: skip
    assert await store.incidents.get(incident.id) == incident


@pytest.mark.parametrize("other", [{"cluster": "test"}, {"namespace": "web"}, {"pod": "a"}, {"channel": "C2"}], ids=str)
async def test_another_scope_or_channel_is_another_incident(store: Store, other: dict[str, str]) -> None:
    first, _ = await store.incidents.open(**asked())
    second, is_new = await store.incidents.open(**asked(dedup="Ev2", **other))

    assert is_new
    assert second.id != first.id


async def test_who_asks_again_joins(store: Store) -> None:
    first, _ = await store.incidents.open(**asked())
    assert await store.incidents.open(**asked(dedup="Ev2", opened_by="U2", now=2000.0)) == (first, False)
    assert await store.incidents.open(**asked()) == (first, True), "the same request gets the same answer"


async def test_a_closed_incident_takes_nobody_up(store: Store) -> None:
    first, _ = await store.incidents.open(**asked())
    assert await store.incidents.save(replace(first, status="closed"))
    second, is_new = await store.incidents.open(**asked(dedup="Ev2"))

    assert is_new
    assert second.id != first.id
    assert await store.incidents.open_ones() == (second,)


async def test_a_stale_incident_is_closed_and_followed_by_a_new_one(store: Store) -> None:
    first, _ = await store.incidents.open(**asked())
    second, is_new = await store.incidents.open(**asked(dedup="Ev2", now=1001.0 + ATTACH_S))

    assert is_new
    assert await store.incidents.get(first.id) == replace(first, status="closed")
    assert await store.incidents.open_ones() == (second,)


async def test_the_same_request_at_the_same_time_opens_one(store: Store) -> None:
    async with asyncio.TaskGroup() as group:
        answers = [group.create_task(store.incidents.open(**asked(dedup=f"Ev{n % 4}"))) for n in range(20)]

    assert len({answer.result()[0].id for answer in answers}) == 1
    assert sum(answer.result()[1] for answer in answers) == 5, "one request is the opener, each time it comes"


async def test_an_id_that_is_taken_is_not_given_again(store: Store) -> None:
    ids = iter(["inc-00000001", "inc-00000001", "inc-00000002"])
    incidents = Incidents(store.connection, new_id=lambda: next(ids))
    await incidents.open(**asked())
    second, _ = await incidents.open(**asked(dedup="Ev2", namespace="web"))

    assert second.id == "inc-00000002"


async def test_runs_count_up_and_a_repeated_request_gets_its_run_again(store: Store) -> None:
    incident, _ = await store.incidents.open(**asked())
    runs = [await store.incidents.begin_run(incident.id, dedup, now=1.0) for dedup in ("a", "b", "a", "c", "b")]

    assert runs == [1, 2, 1, 3, 2]
    stands = await store.incidents.get(incident.id)
    assert stands
    assert stands.run == 3


async def test_an_older_run_does_not_overwrite_a_newer_one(store: Store) -> None:
    incident, _ = await store.incidents.open(**asked())
    await store.incidents.begin_run(incident.id, "a", now=1.0)
    await store.incidents.begin_run(incident.id, "b", now=1.0)
    assert await store.incidents.save(replace(incident, run=2, status="broken", summary="new"))
    assert not await store.incidents.save(replace(incident, run=1, status="healthy", summary="old"))

    stands = await store.incidents.get(incident.id)
    assert stands
    assert (stands.status, stands.summary, stands.run) == ("broken", "new", 2)


async def test_an_unknown_incident(store: Store) -> None:
    assert await store.incidents.get("inc-00000000") is None
    assert await store.incidents.report("inc-00000000", 1) is None
    with pytest.raises(UnknownIncidentError, match=r"There is no incident inc-00000000, or it is no longer kept"):
        await store.incidents.begin_run("inc-00000000", "a", now=1.0)
    incident, _ = await store.incidents.open(**asked())
    assert not await store.incidents.save(replace(incident, id="inc-00000000"))


async def test_open_ones_by_cluster_latest_first(store: Store) -> None:
    for number, cluster in enumerate(("prod", "test", "prod")):
        await store.incidents.open(
            **asked(dedup=str(number), cluster=cluster, namespace=str(number), now=float(number))
        )

    assert [one.namespace for one in await store.incidents.open_ones()] == ["2", "1", "0"]
    assert [one.namespace for one in await store.incidents.open_ones("prod")] == ["2", "0"]


async def test_what_has_expired_or_cannot_be_read_is_no_incident(store: Store) -> None:
    gone, _ = await store.incidents.open(**asked(namespace="gone"))
    garbled, _ = await store.incidents.open(**asked(namespace="garbled", dedup="Ev2"))
    async with store.connection.client() as client:
        await client.delete(f"cnibot:incident:{gone.id}")
        await client.hset(f"cnibot:incident:{garbled.id}", "data", b"\x80\x04.")

    assert await store.incidents.open_ones() == ()
    for incident, dedup in ((gone, "Ev1"), (garbled, "Ev3")):
        again, is_new = await store.incidents.open(**asked(namespace=incident.namespace, dedup=dedup))
        assert (again.id != incident.id, is_new) == (True, True)


async def test_reports_come_back_as_they_were(store: Store) -> None:
    report = b'{"schema": "cnibot.report/v1", "x": "' + b"\xc3\xa9" * 100_000 + b'"}'
    await store.incidents.put_report("inc-1", 1, report)
    assert await store.incidents.report("inc-1", 1) == report
    assert await store.incidents.report("inc-1", 2) is None
    for run in range(2, KEPT_RUNS + 2):
        await store.incidents.put_report("inc-1", run, b"{}")
    assert await store.incidents.report("inc-1", 1) is None
    assert await store.incidents.report("inc-1", 2) == b"{}"


async def test_a_report_has_a_bound(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.store.incidents.MOST_REPORT_BYTES", 2**20)
    with pytest.raises(TooLargeError, match="The report is larger than 1 MiB"):
        await store.incidents.put_report("inc-1", 1, b"x" * (2**20 + 1))


async def test_a_report_that_would_burst_is_none(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    await store.incidents.put_report("inc-1", 1, b"0" * 2**21)
    monkeypatch.setattr("bot.store.incidents.MOST_REPORT_BYTES", 2**20)
    assert await store.incidents.report("inc-1", 1) is None
    async with store.connection.client() as client:
        await client.set("cnibot:report:inc-1:1", b"not packed")
    assert await store.incidents.report("inc-1", 1) is None


async def test_everything_that_is_about_an_incident_expires(store: Store) -> None:
    incident, _ = await store.incidents.open(**asked())
    await store.incidents.begin_run(incident.id, "a", now=1.0)
    await store.incidents.put_report(incident.id, 1, b"{}")
    await store.incidents.save(replace(incident, run=1, status="broken"))
    async with store.connection.client() as client:
        keys = cast("list[bytes]", await client.keys("cnibot:*"))  # pyright: ignore[reportUnknownMemberType]
        lives = {key.decode(): await client.ttl(key) for key in keys}

    for_ever = {key for key, ttl in lives.items() if ttl < 0}
    assert for_ever == {"cnibot:scopes", "cnibot:open"}
    assert len(lives) == 6


async def test_watches(store: Store) -> None:
    one = Watch(cluster="prod", namespace="shop", channel="C1", by="U1", since=1.0)
    two = Watch(cluster="prod", namespace="shop", channel="C2", by="U2", since=2.0)
    assert await store.watches.add(two)
    assert await store.watches.add(one)
    assert not await store.watches.add(replace(one, by="U9"))
    assert await store.watches.all() == (one, two)
    told = replace(one, wrong_answers=("service shop/web",))
    assert await store.watches.replace(told)
    assert await store.watches.all() == (told, two)
    assert await store.watches.remove("prod", "shop", "C1")
    assert not await store.watches.replace(told)
    assert not await store.watches.remove("prod", "shop", "C1")
    assert await store.watches.all() == (two,)


async def test_what_is_no_watch_is_left_out(store: Store) -> None:
    async with store.connection.client() as client:
        await client.hset("cnibot:watches", "x", b"\x80\x04.")
    assert await store.watches.all() == ()


async def test_feedback(store: Store) -> None:
    said = FeedbackEntry(incident="inc-1", run=1, user="U1", text="no: <!channel> é", at=2.0)
    earlier = FeedbackEntry(incident="inc-1", run=1, user="U2", text="", at=1.0)
    assert await store.feedback.add(said)
    assert not await store.feedback.add(said)
    assert await store.feedback.add(earlier)
    assert not await store.feedback.add(replace(said, text="yes"))
    assert await store.feedback.all() == (earlier, replace(said, text="yes"))


STATUSES: list[IncidentStatus] = ["diagnosing", "healthy", "broken", "closed"]


class Life(RuleBasedStateMachine):
    """Incidents beside a model of them; a step is a request, and every request may come again."""

    server: ClassVar[RedisServer]
    known = Bundle("known")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.Runner()
        self.entered = open_store(self.server.url, Path("/nowhere"))
        self.store = self.loop.run(self.entered.__aenter__())
        self.loop.run(self.empty())
        self.incidents: dict[str, Incident] = {}
        self.answers: dict[str, tuple[str, bool]] = {}
        self.runs: dict[tuple[str, str], int] = {}
        self.now = 0.0

    async def empty(self) -> None:
        async with self.store.connection.client() as client:
            await client.execute_command("FLUSHALL")  # pyright: ignore[reportUnknownMemberType] untyped arguments

    @rule(
        target=known,
        namespace=st.sampled_from(["a", "b:c", "é\n"]),
        pod=st.sampled_from([None, "p"]),
        dedup=st.text(max_size=2),
        later=st.sampled_from([1.0, ATTACH_S + 1.0]),
    )
    def open(self, namespace: str, pod: str | None, dedup: str, later: float) -> str:
        self.now += later
        arguments = asked(namespace=namespace, pod=pod, dedup=dedup, now=self.now)
        found, is_new = self.loop.run(self.store.incidents.open(**arguments))
        if dedup in self.answers:
            assert (found.id, is_new) == self.answers[dedup]
            return found.id
        self.answers[dedup] = found.id, is_new
        scope = [one for one in self.incidents.values() if one.is_open and (one.namespace, one.pod) == (namespace, pod)]
        fresh = [one for one in scope if self.now - one.updated_at <= ATTACH_S]
        assert is_new == (not fresh)
        if is_new:
            for one in scope:
                self.incidents[one.id] = replace(one, status="closed")
            assert found.id not in self.incidents
            self.incidents[found.id] = found
        else:
            assert found.id == fresh[0].id
        return found.id

    @rule(incident=known, dedup=st.sampled_from(["x", "y", "z"]))
    def begin_run(self, incident: str, dedup: str) -> None:
        run = self.loop.run(self.store.incidents.begin_run(incident, dedup, now=self.now))
        if (incident, dedup) not in self.runs:
            stands = self.incidents[incident]
            begun = replace(stands, run=stands.run + 1)
            self.incidents[incident] = (
                replace(begun, status="diagnosing", updated_at=self.now) if stands.is_open else begun
            )
            self.runs[incident, dedup] = stands.run + 1
        assert run == self.runs[incident, dedup]

    @rule(incident=known, status=st.sampled_from(STATUSES[:3]), behind=st.sampled_from([0, 0, 1]))
    def save(self, incident: str, status: IncidentStatus, behind: int) -> None:
        stands = self.incidents[incident]
        if not stands.is_open:
            return  # opening again is nobody's wish
        wanted = replace(stands, status=status, run=stands.run - behind, updated_at=self.now)
        assert self.loop.run(self.store.incidents.save(wanted)) == (not behind)
        if not behind:
            self.incidents[incident] = wanted

    @rule(incident=consumes(known))
    def close(self, incident: str) -> None:
        wanted = replace(self.incidents[incident], status="closed", updated_at=self.now)
        assert self.loop.run(self.store.incidents.save(wanted))
        self.incidents[incident] = wanted

    @invariant()
    def the_store_says_the_same(self) -> None:
        found = self.loop.run(self.store.incidents.open_ones())
        assert {one.id: one for one in found} == {name: one for name, one in self.incidents.items() if one.is_open}

    def teardown(self) -> None:
        self.loop.run(self.entered.__aexit__(None, None, None))
        self.loop.close()


def test_any_life_of_incidents(redis_server: RedisServer) -> None:
    """Whatever is asked in whatever order, and however often."""
    Life.server = redis_server
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
        ),
    )
