"""Who has ordered a cancellation."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager


class StrayCancellationError(Exception):
    """Something was cancelled although nobody had asked this task to end: a fault like any other."""


@contextmanager
def stray_cancellation_as_error() -> Generator[None]:
    """Let a cancellation pass only where this task was asked to end; any other is a `StrayCancellationError`.

    What takes every `CancelledError` for an order leaves those who wait without a last word.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    try:
        yield
    except asyncio.CancelledError as error:
        if task and task.cancelling() > before:
            raise
        raise StrayCancellationError("it was cancelled without a request") from error
