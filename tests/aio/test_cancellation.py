"""A cancellation that nobody ordered is a fault; one that somebody ordered is obeyed."""

import asyncio

import pytest

from bot.aio.cancellation import StrayCancellationError, stray_cancellation_as_error


async def test_a_stray_cancellation_is_an_error():
    with pytest.raises(StrayCancellationError), stray_cancellation_as_error():
        raise asyncio.CancelledError


async def test_an_order_to_end_passes():
    begun = asyncio.Event()

    async def work() -> None:
        with stray_cancellation_as_error():
            begun.set()
            await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(work())
        await begun.wait()
        task.cancel()

    assert task.cancelled()


async def test_a_deadline_outside_fires_through_it():
    async def work() -> None:
        async with asyncio.timeout(0.001):
            with stray_cancellation_as_error():
                await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await work()
