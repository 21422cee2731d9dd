"""Fan-out: ordered, bounded, and honest about failures."""

import asyncio

import pytest

from bot.aio.each import each


async def test_results_come_in_the_items_order():
    gates = [asyncio.Event() for _ in range(3)]

    async def work(number: int) -> int:
        if number:
            await gates[number - 1].wait()
        for gate in gates[: number + 1]:
            gate.set()
        gates[number].set()
        return number * 10

    assert await each(range(3), work) == [0, 10, 20]


async def test_nothing_to_do():
    async def work(_: int) -> int:
        raise AssertionError

    assert await each([], work) == []


async def test_no_more_than_the_limit_at_once():
    running, most = 0, 0

    async def work(_: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    await each(range(20), work, limit=3)

    assert most == 3


async def test_the_first_failure_is_raised_as_it_is_and_cancels_the_rest():
    cancelled = asyncio.Event()

    async def work(number: int) -> None:
        if number == 1:
            raise LookupError("one")
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    with pytest.raises(LookupError, match="one"):
        await each(range(3), work)

    assert cancelled.is_set()


async def test_a_failure_of_a_nested_fan_out_is_not_wrapped_either():
    async def inner(number: int) -> None:
        raise LookupError(str(number))

    async def outer(number: int) -> None:
        await each([number], inner)

    with pytest.raises(LookupError):
        await each(range(2), outer)
