"""Work on the newest state: never two at a time, never older than the call."""

import asyncio

import pytest

from bot.aio.latest import Latest


async def test_whoever_comes_before_it_begins_is_served_by_the_same_work() -> None:
    latest, began, release = Latest(), 0, asyncio.Event()

    async def work() -> None:
        nonlocal began
        began += 1
        await release.wait()

    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(latest.run("a", work))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        release.set()

    assert began == 2  # the first, and one for all who came while it ran


async def test_keys_do_not_wait_for_each_other() -> None:
    latest, release = Latest(), asyncio.Event()
    done: list[str] = []

    async def slow() -> None:
        await release.wait()

    async def quick() -> None:
        done.append("b")

    async with asyncio.TaskGroup() as group:
        group.create_task(latest.run("a", slow))
        await asyncio.sleep(0)
        await latest.run("b", quick)
        assert done == ["b"]
        release.set()


async def test_a_failure_is_that_of_all_whom_it_served_and_of_nobody_else() -> None:
    latest, release, calls = Latest(), asyncio.Event(), 0

    async def work() -> None:
        nonlocal calls
        calls += 1
        await release.wait()
        if calls == 2:
            raise OSError("gone")

    tasks = [asyncio.get_running_loop().create_task(latest.run("a", work)) for _ in range(4)]
    await asyncio.sleep(0)
    release.set()
    outcomes = await asyncio.wait(tasks)
    failed = [task.exception() for task in outcomes[0]]

    assert sorted(type(each).__name__ for each in failed) == ["NoneType", "OSError", "OSError", "OSError"]
    await latest.run("a", work)  # the next is not bothered


async def test_who_is_cancelled_leaves_the_work_to_others() -> None:
    latest, release, done = Latest(), asyncio.Event(), 0

    async def work() -> None:
        nonlocal done
        await release.wait()
        done += 1

    loop = asyncio.get_running_loop()
    first = loop.create_task(latest.run("a", work))
    second = loop.create_task(latest.run("a", work))
    third = loop.create_task(latest.run("a", work))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.sleep(0)
    release.set()
    await asyncio.wait([first, third])

    assert done == 2
    with pytest.raises(asyncio.CancelledError):
        await second


async def test_work_that_takes_long_is_done_less_often() -> None:
    latest, clock = Latest(pause_s=0.001, rests=4.0), asyncio.get_running_loop().time
    began: list[float] = []

    async def work() -> None:
        began.append(clock())
        await asyncio.sleep(0.01)

    await latest.run("a", work)
    await latest.run("a", work)

    assert began[1] - began[0] >= 0.04
