"""Looking again for a while."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
LOOK_S = 0.1


async def soon(look: Callable[[], Awaitable[T | None]], within_s: float) -> T | None:
    """What it finds now, or within some seconds."""
    now = asyncio.get_running_loop().time
    ends_at = now() + within_s
    while (found := await look()) is None and now() < ends_at:  # noqa: ASYNC110 another process may bring it
        await asyncio.sleep(LOOK_S)
    return found
