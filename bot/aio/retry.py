"""Trying again, politely."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """How often and how long to wait. The n-th wait is `first_s` times 2**n, less up to half of it by chance."""

    attempts: int = 3
    first_s: float = 0.2
    max_s: float = 5.0
    """No wait is longer; an error that asks for more is not waited for but raised."""

    def wait_s(self, attempt: int, asked_s: float | None) -> float | None:
        """How long to wait after the `attempt`-th failure (from 0); None: give up."""
        if attempt + 1 >= self.attempts or (asked_s or 0) > self.max_s:
            return None
        wait_s = min(self.first_s * 2**attempt, self.max_s)
        return max(wait_s * random.uniform(0.5, 1), asked_s or 0)


async def retry(
    work: Callable[[], Awaitable[Result]],
    *,
    is_transient: Callable[[Exception], bool],
    asked_s: Callable[[Exception], float | None] = lambda _: None,
    backoff: Backoff | None = None,
) -> Result:
    """What `work` gives, tried again after errors that are transient.

    `asked_s` is how long the error asks to wait (an HTTP Retry-After). The last error is raised as it is. The caller's
    deadline bounds it all: cancellation ends the waiting.
    """
    backoff = backoff or Backoff()
    attempt = 0
    while True:
        try:
            return await work()
        except Exception as error:
            wait_s = backoff.wait_s(attempt, asked_s(error)) if is_transient(error) else None
            if wait_s is None:
                raise
        await asyncio.sleep(wait_s)
        attempt += 1
