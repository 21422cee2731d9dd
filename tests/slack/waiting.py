"""Waiting for what nobody tells about."""

import asyncio
from collections.abc import Callable


async def until(predicate: Callable[[], object], within_s: float = 5.0) -> None:
    """Look again and again, until it holds. Errors: `TimeoutError`."""
    async with asyncio.timeout(within_s):
        while not predicate():  # noqa: ASYNC110 nobody sets an event for it
            await asyncio.sleep(0.002)
