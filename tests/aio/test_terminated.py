"""SIGTERM ends work as Ctrl-C does: it cleans up first."""

import asyncio
import os
import signal

import pytest

from bot.aio.stopping import TerminatedError, until_terminated


async def test_what_the_work_returns_is_returned():
    async def work() -> int:
        await asyncio.sleep(0)
        return 7

    assert await until_terminated(work()) == 7


async def test_an_error_of_the_work_is_raised():
    async def work() -> None:
        raise ValueError("its own")

    with pytest.raises(ValueError, match="its own"):
        await until_terminated(work())


@pytest.mark.parametrize("signals", [1, 3], ids=["once", "impatient"])
async def test_at_sigterm_the_work_cleans_up(signals: int):
    cleaned: list[str] = []

    async def work() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.Event().wait()
        finally:
            for _ in range(signals - 1):
                os.kill(os.getpid(), signal.SIGTERM)
                await asyncio.sleep(0.01)
            cleaned.append("agents")

    with pytest.raises(TerminatedError):
        await until_terminated(work())

    assert cleaned == ["agents"]


async def test_a_cancelled_caller_is_cancelled_not_terminated():
    cleaned = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    async with asyncio.TaskGroup() as group:
        caller = group.create_task(until_terminated(work()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        caller.cancel()

    assert caller.cancelled()
    assert cleaned.is_set()
