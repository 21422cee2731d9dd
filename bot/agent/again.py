"""Connections that get no answer beside all the others are tried once more, each by itself.

Our own burst may have filled the queue in which they waited: only what fails alone, too, has failed. The second try
begins as soon as the burst is over, while the first ones still wait, and so takes no longer than they do. It also
stands for the SYN that the kernel would send again after a second.
"""

import asyncio
from collections import Counter
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from bot.agent.matrix import Job, in_turn, tried
from bot.agent.pacing import Pace, listeners
from bot.agent.report import Task, Test
from bot.aio.groups import TaskGroup

SETTLE_S = 0.1
"""From the last connection of the burst: what is answered at all is usually answered by then."""
GAP_S = 0.015
"""Between two connections to one listener."""
SPREAD_S = 0.36
"""All connections to one listener begin within this time, however many."""
MOST = 60
"""So many connections to one listener are tried again."""
TIMES = 3
"""A Service that was asked more than once is asked so many times as often: it may have met a good backend by chance."""


async def burst_is_over(pace: Pace, started: asyncio.Event) -> None:
    """Return when all tests have begun, each connection has had its turn, and a moment to be answered."""
    await started.wait()
    await asyncio.sleep(SETTLE_S)
    while pace.is_busy:
        await pace.idle()
        await asyncio.sleep(SETTLE_S)


def silent_so_far(jobs: Sequence[Job], tests: Mapping[int, Test]) -> Mapping[int, Test]:
    """The tests, those that still wait as if they had timed out."""
    return {at: tests.get(at) or replace(job.test, outcome="timeout") for at, job in enumerate(jobs)}


def to_repeat(
    task: Task,
    jobs: Sequence[Job],
    tests: Mapping[int, Test],
    overflowing: Collection[str],
    without_gateway: Mapping[str, str],
) -> list[int]:
    """Connections to Services and endpoints that timed out, if others were served, a queue overflowed, or a lost
    packet may be all there was to it.

    `overflowing` are addresses of pods whose accept queue overflowed meanwhile. `without_gateway` are pods whose
    gateway answers no ARP, by uid their addresses: of one that reached nothing and that nobody reached nothing is tried
    again, for no queue is to blame.
    """
    tried_from = {one.source for one in tests.values()}
    reached = {end for one in tests.values() if one.ok for end in (one.source, one.ip)}
    cut_off = {
        end for pod in without_gateway.items() if pod[0] in tried_from and reached.isdisjoint(pod) for end in pod
    }
    of = listeners(task.targets)
    served = {of.get((one.ip, one.port)) for one in tests.values() if one.protocol == "tcp" and one.ok}
    served |= {queue for (ip, _), queue in of.items() if ip in overflowing}
    left: Counter[Hashable] = Counter()
    found: list[int] = []
    for at, one in sorted(tests.items()):
        queue = of.get((one.ip, one.port))
        can_help = (queue in served or one.tries == 1) and cut_off.isdisjoint((one.source, one.ip))
        if jobs[at].attempt and _timed_out(one) and can_help:
            left[queue] += _times(one)
            if left[queue] <= MOST:
                found.append(at)
    return found


def _times(test: Test) -> int:
    return 1 if test.tries == 1 else test.tries * TIMES


def _timed_out(test: Test) -> bool:
    return test.outcome == "timeout" or test.outcomes.get("timeout", 0) > 0


async def try_again(task: Task, jobs: Sequence[Job], which: Collection[int]) -> Mapping[int, Test]:
    """What comes of these tests when the queue that they wait in is left alone between two of them."""
    of = listeners(task.targets)
    count = Counter(
        of.get((jobs[at].test.ip, jobs[at].test.port)) for at in which for _ in range(_times(jobs[at].test))
    )
    gap_s = min(GAP_S, SPREAD_S / max(count.values(), default=1))
    pace = Pace(of, {}, task, gap_s=gap_s)
    async with TaskGroup() as group:
        running = {at: group.create_task(_again(jobs[at], pace)) for at in which}
    return {at: one.result() for at, one in running.items()}


async def _again(job: Job, pace: Pace) -> Test:
    assert job.attempt
    test = replace(job.test, tries=_times(job.test))
    return await tried(test, partial(in_turn, pace, test.ip, test.port, job.attempt))


def settled(jobs: Sequence[Job], tests: Mapping[int, Test], again: Mapping[int, Test]) -> Mapping[int, Test]:
    """Those of the tests that were tried again and had not been answered by themselves, with what came of both.

    A Service counts as served only if each of its endpoints serves the same source.
    """
    found = {at: one for at, one in again.items() if _timed_out(tests[at])}
    now = {**tests, **{at: one for at, one in found.items() if jobs[at].test.purpose == "endpoint"}}
    dead = {(one.source, one.service) for one in now.values() if one.purpose == "endpoint" and one.outcome != "ok"}
    return {
        at: replace(tests[at], alone=one.outcome)
        if one.outcome != "ok" or (one.purpose == "cluster-ip" and (one.source, one.service) in dead)
        else replace(one, alone="ok", detail="timed out beside other connections, was served by itself")
        for at, one in found.items()
    }
