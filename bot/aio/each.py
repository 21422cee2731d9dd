"""Fan-out with a bound."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from bot.aio.failures import first_failure
from bot.aio.groups import TaskGroup

Item = TypeVar("Item")
Result = TypeVar("Result")


async def each(items: Iterable[Item], work: Callable[[Item], Awaitable[Result]], *, limit: int = 16) -> list[Result]:
    """The result of `work` for each item, in the items' order; at most `limit` at the same time.

    The first failure cancels the rest and is raised itself, not wrapped in a group.
    """
    gate = asyncio.Semaphore(limit)

    async def one(item: Item) -> Result:
        async with gate:
            return await work(item)

    try:
        async with TaskGroup() as group:
            tasks = [group.create_task(one(item)) for item in items]
    except BaseExceptionGroup as failures:
        raise first_failure(failures) from failures
    return [task.result() for task in tasks]
