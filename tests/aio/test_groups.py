"""Task groups under deadlines: the deadline fires, and only who was told to end ends, on every Python."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from bot.aio.groups import TaskGroup


async def fails() -> None:
    raise LookupError


async def failed_group() -> None:
    """A child fails while the parent waits for it at the end of the block."""
    with pytest.raises(ExceptionGroup):
        async with TaskGroup() as group:
            group.create_task(fails())


async def test_a_failure_that_was_handled_leaves_nothing_behind():
    await failed_group()

    task = asyncio.current_task()
    assert task
    assert task.cancelling() == 0
    await asyncio.sleep(0)


async def failed_in_the_block() -> None:
    try:
        async with TaskGroup() as group:
            group.create_task(fails())
            await asyncio.Event().wait()
    except* LookupError:
        pass


async def failed_below() -> None:
    async with TaskGroup() as group:
        group.create_task(failed_group())
        group.create_task(asyncio.Event().wait())


@pytest.mark.parametrize("failing", [failed_group, failed_in_the_block, failed_below])
async def test_a_deadline_fires_after_a_failure_that_was_handled(failing: Callable[[], Awaitable[None]]):
    async def work() -> None:
        async with asyncio.timeout(0.01):
            await failing()
            await failing()
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await work()


async def test_a_deadline_whose_group_fails_on_its_way_out_cancels_nothing_afterwards():
    async def fails_when_cancelled() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise LookupError

    with pytest.raises(ExceptionGroup):
        async with asyncio.timeout(0.01), TaskGroup() as group:
            group.create_task(fails_when_cancelled())

    task = asyncio.current_task()
    assert task
    assert task.cancelling() == 0
    await asyncio.sleep(0)
    await asyncio.sleep(0)


@pytest.mark.parametrize("waits", [False, True], ids=["at the end", "in the block"])
async def test_an_order_to_end_that_meets_a_failure_is_obeyed(*, waits: bool):
    begun = asyncio.Event()

    async def fails_when_cancelled() -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            raise LookupError

    async def work() -> None:
        try:
            async with TaskGroup() as group:
                group.create_task(fails_when_cancelled())
                if waits:
                    await asyncio.Event().wait()
        except* LookupError:
            pass
        await asyncio.Event().wait()

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        task = group.create_task(work())
        await begun.wait()
        task.cancel()

    assert task.cancelled()
