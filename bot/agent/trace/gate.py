"""Starting together: each agent says that it listens, and sends nothing before it knows that all do.

The word is on standard error, the answer comes as the second line of standard input.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress

from bot.agent.traced import READY

WAIT_S = 4.0
"""For the word to begin. Without it the series is sent all the same: half a trace is better than none."""

Gate = Callable[[], Awaitable[bool]]
"""Returns when the series may begin: whether all others were said to listen."""


async def alone() -> bool:
    """Nobody else is waited for."""
    return True


async def by_standard_streams() -> bool:
    """Say so on standard error, and wait for a line on standard input."""
    print(READY, file=sys.stderr, flush=True)
    loop = asyncio.get_running_loop()
    started: asyncio.Future[bool] = loop.create_future()

    def start() -> None:
        line = b""
        with suppress(OSError):
            line = os.read(0, 64)
        if not started.done():
            started.set_result(bool(line.strip()))

    try:
        loop.add_reader(0, start)
    except (OSError, ValueError):
        return False  # standard input is a file
    deadline = asyncio.timeout(WAIT_S)
    try:
        async with deadline:
            return await started
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(0)
