"""Connections to one listener start one after another, whichever Service they come by."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import pytest

from bot.agent.again import burst_is_over, settled, silent_so_far, to_repeat, try_again
from bot.agent.matrix import Job
from bot.agent.pacing import Pace, listeners
from bot.agent.report import Target, Task, Test
from bot.agent.waiting import Attempt

VIP, END, OTHER = "10.43.0.1", "10.42.1.5", "10.42.2.5"


def service(name: str, ip: str, *ends: str, port: int = 80, tries: int = 1) -> tuple[Target, ...]:
    full = f"shop/{name}:{port}"
    vip = Target(purpose="cluster-ip", ip=ip, name=full, port=port, protocol="tcp", service=full, tries=tries)
    behind = (
        Target(purpose="endpoint", ip=end, name=f"shop/{end}", port=8080, protocol="tcp", service=full) for end in ends
    )
    return (vip, *behind)


def test_a_service_shares_the_queue_of_its_endpoints_and_of_services_in_front_of_the_same_pods():
    targets = (
        *service("web", VIP, END),
        *service("web-np", "10.43.0.2", END),
        *service("db", "10.43.0.3", OTHER),
    )
    of = listeners(targets)

    assert of[VIP, 80] == of["10.43.0.2", 80] == of[END, 8080]
    assert of["10.43.0.3", 80] == of[OTHER, 8080] != of[VIP, 80]


def test_each_connection_waits_its_gap_after_the_one_before():
    queue = (END, 8080)
    pace = Pace({}, {queue: 100}, Task(node="node-1", peers=3))
    times: list[float] = []

    async def one() -> None:
        await pace.turn(*queue)
        times.append(asyncio.get_running_loop().time())

    async def all_at_once() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(10):
                group.create_task(one())

    asyncio.run(all_at_once())

    assert pace.gap_s(*queue) == pytest.approx(0.3 / 100)
    assert min(later - earlier for earlier, later in pairwise(times)) >= pace.gap_s(*queue)


def test_a_queue_that_few_connect_to_is_spared_for_the_whole_cluster():
    """Three nodes of which each starts every 12 ms make one connection every 4 ms."""
    pace = Pace({}, {(END, 8080): 5}, Task(node="node-1", peers=3))

    assert pace.gap_s(END, 8080) == 3 * 0.004
    assert pace.gap_s(OTHER, 8080) == 0.0


def jobs_of(*outcomes: Attempt, targets: tuple[Target, ...]) -> tuple[list[Job], dict[int, Test]]:
    """One job for each target, whose single tries then end like this."""
    jobs: list[Job] = []
    for target, outcome in zip(targets, outcomes, strict=True):

        async def attempt(outcome: Attempt = outcome) -> Attempt:
            return outcome

        async def run() -> Test:
            raise AssertionError

        test = Test(
            source="pod",
            purpose=target.purpose,
            protocol="tcp",
            ip=target.ip,
            port=target.port,
            service=target.service,
            tries=target.tries,
        )
        jobs.append(Job(test=test, run=run, attempt=attempt))
    return jobs, {at: job.test for at, job in enumerate(jobs)}


def late(test: Test) -> Test:
    return Test(
        source=test.source,
        purpose=test.purpose,
        protocol="tcp",
        ip=test.ip,
        port=test.port,
        service=test.service,
        tries=test.tries,
        outcome="timeout",
    )


def again_of(targets: Sequence[Target], jobs: Sequence[Job], tests: Mapping[int, Test]) -> Mapping[int, Test]:
    """What becomes of all these tests when each is tried again."""
    task = Task(node="node-1", targets=tuple(targets))
    return settled(jobs, tests, asyncio.run(try_again(task, jobs, list(tests))))


OK, SILENT = Attempt(outcome="ok", latency_ms=0.2), Attempt(outcome="timeout", latency_ms=1300.0)


def test_of_services_asked_more_than_once_only_those_that_served_or_overflowed_are_tried_again():
    targets = (*service("web", VIP, END, OTHER, tries=2), *service("db", "10.43.0.3", "10.42.3.5", tries=2))
    targets = tuple(replace(each, tries=2) for each in targets)
    jobs, tests = jobs_of(OK, OK, OK, OK, OK, targets=targets)
    tests = {at: late(test) for at, test in tests.items()}
    task = Task(node="node-1", targets=targets)

    assert to_repeat(task, jobs, tests, overflowing=(), without_gateway={}) == []
    assert to_repeat(task, jobs, tests, overflowing={"10.42.3.5"}, without_gateway={}) == [3, 4]
    served = tests | {1: Test(source="b", purpose="endpoint", protocol="tcp", ip=END, port=8080, ok=1)}
    assert to_repeat(task, jobs, served, overflowing=(), without_gateway={}) == [0, 2]


def test_one_lost_packet_is_no_silence_wherever_it_was_lost():
    """The kernel would send the SYN again after a second: the second try is there before."""
    targets = service("web", VIP, END)
    jobs, tests = jobs_of(OK, OK, targets=targets)
    tests = {at: late(test) for at, test in tests.items()}

    assert to_repeat(Task(node="node-1", targets=targets), jobs, tests, overflowing=(), without_gateway={}) == [0, 1]


def test_what_still_waits_counts_as_silent_until_it_is_answered():
    targets = service("web", VIP, END, tries=2)
    jobs, tests = jobs_of(OK, SILENT, targets=targets)
    answered = replace(tests[1], outcome="ok", ok=1)

    waiting = silent_so_far(jobs, {1: answered})
    assert [waiting[at].outcome for at in (0, 1)] == ["timeout", "ok"]
    task = Task(node="node-1", targets=targets)
    again = asyncio.run(try_again(task, jobs, to_repeat(task, jobs, waiting, overflowing=(), without_gateway={})))

    assert again.keys() == {0}
    assert settled(jobs, {0: replace(tests[0], outcome="ok", ok=2), 1: answered}, again) == {}, "it was only slow"


def test_second_tries_begin_when_every_connection_has_had_its_turn():
    """And not when the last test has begun: its connections may wait for the queue."""
    queue = (END, 8080)
    said: list[str] = []

    async def one(pace: Pace) -> None:
        await pace.turn(*queue)
        said.append("a connection")

    async def all_at_once() -> None:
        pace, started = Pace({}, {queue: 100}, Task(node="node-1", peers=3)), asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for _ in range(60):
                group.create_task(one(pace))
            started.set()
            await burst_is_over(pace, started)
            said.append("over")

    asyncio.run(all_at_once())

    assert said == [*["a connection"] * 60, "over"]


def test_a_pod_without_gateway_that_reached_nothing_is_not_tried_again():
    targets = service("web", VIP, END, OTHER)
    jobs, tests = jobs_of(OK, OK, OK, targets=targets)
    tests = {at: late(test) for at, test in tests.items()}
    tests[2] = Test(source="neighbour", purpose="endpoint", protocol="tcp", ip=OTHER, port=8080, ok=1)
    task = Task(node="node-1", targets=targets)

    assert to_repeat(task, jobs, tests, overflowing=(), without_gateway={}) == [0, 1]
    assert to_repeat(task, jobs, tests, overflowing={END}, without_gateway={tests[0].source: "10.42.9.9"}) == []


def test_nobody_dials_a_pod_without_gateway_again():
    """Its answers go nowhere."""
    targets = service("web", VIP, END, OTHER)
    jobs, tests = jobs_of(OK, OK, OK, targets=targets)
    tests = {at: late(test) for at, test in tests.items()}
    tests[2] = Test(source="neighbour", purpose="endpoint", protocol="tcp", ip=OTHER, port=8080, ok=1)
    question = Test(source="its-uid", purpose="dns-service", protocol="dns-udp", ip=VIP, outcome="timeout")
    task, pod = Task(node="node-1", targets=targets), {"its-uid": END}

    assert to_repeat(task, jobs, tests, overflowing=(), without_gateway=pod) == [0, 1], "what it reaches is not known"
    tests[3] = question
    jobs.append(Job(test=question, run=jobs[0].run))
    assert to_repeat(task, jobs, tests, overflowing=(), without_gateway=pod) == [0]


def test_a_pod_without_gateway_that_reached_something_is_tried_again():
    """Neighbours on one bridge need no gateway, and may have a queue that is full."""
    targets = service("web", VIP, END, OTHER)
    jobs, tests = jobs_of(OK, OK, OK, targets=targets)
    tests = {at: late(test) for at, test in tests.items()}
    reached = Test(source=tests[0].source, purpose="endpoint", protocol="tcp", ip=END, port=8080, ok=1)
    task, pod = Task(node="node-1", targets=targets), {reached.source: "10.42.9.9"}

    assert to_repeat(task, jobs, tests | {1: reached}, overflowing=(), without_gateway=pod) == [0, 2]


def test_what_is_served_by_itself_was_our_own_burst():
    targets = service("web", VIP, END, tries=2)
    jobs, tests = jobs_of(OK, OK, targets=targets)
    tests = {at: late(test) for at, test in tests.items()}

    again = again_of(targets, jobs, tests)

    assert Counter((one.outcome, one.alone) for one in again.values()) == {("ok", "ok"): 2}


def test_a_service_with_a_silent_endpoint_stays_as_it_was():
    """It may have met the good one by chance."""
    targets = service("web", VIP, END, tries=2)
    jobs, tests = jobs_of(OK, SILENT, targets=targets)
    tests = {at: late(test) for at, test in tests.items()}

    again = again_of(targets, jobs, tests)

    assert (again[0].outcome, again[0].alone) == ("timeout", "ok")
    assert (again[1].outcome, again[1].alone) == ("timeout", "timeout")
