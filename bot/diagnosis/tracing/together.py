"""All agents of a trace start at once: each waits until every other listens, or is known not to."""

import asyncio
from contextlib import suppress

PATIENCE_S = 3.0
"""From the first that listens: a node that is later is traced without."""


class Together:
    """A meeting of so many."""

    def __init__(self, expected: int) -> None:
        self._expected = expected
        self._all_here = asyncio.Event()

    async def arrive(self) -> None:
        """Returns when all have arrived or left, or patience ends."""
        self.leave()
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                await self._all_here.wait()

    def leave(self) -> None:
        """One less to wait for."""
        self._expected -= 1
        if self._expected <= 0:
            self._all_here.set()
