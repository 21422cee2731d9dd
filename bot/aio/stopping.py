"""Ending on a signal: first in order, then at once."""

import asyncio
import signal
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")


class TerminatedError(Exception):
    """SIGTERM came, and what was running has cleaned up after itself."""


async def until_terminated(work: Coroutine[Any, Any, T]) -> T:
    """What the work returns. SIGTERM cancels it as Ctrl-C does; it cleans up, and then `TerminatedError` is raised."""
    loop = asyncio.get_running_loop()
    task = loop.create_task(work)
    has_come = False

    def end() -> None:
        nonlocal has_come
        if not has_come:  # a second signal must not cut the cleaning up short
            has_come = True
            task.cancel()

    loop.add_signal_handler(signal.SIGTERM, end)
    try:
        return await task
    except asyncio.CancelledError:
        current = asyncio.current_task()
        if not has_come or (current and current.cancelling()):
            raise
        raise TerminatedError from None
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


class Stop:
    """Whether we are asked to end. Setting `asked` by hand is as good as a signal."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        """The first signal came."""
        self.hurried = asyncio.Event()
        """A second one came: finish nothing more."""

    @contextmanager
    def on_signals(self, *numbers: signal.Signals) -> Generator[None]:
        """Take these signals (SIGTERM and SIGINT, where none are named) while the block runs."""
        loop = asyncio.get_running_loop()
        taken = numbers or (signal.SIGTERM, signal.SIGINT)
        for number in taken:
            loop.add_signal_handler(number, self._signalled)
        try:
            yield
        finally:
            for number in taken:
                loop.remove_signal_handler(number)

    def _signalled(self) -> None:
        (self.hurried if self.asked.is_set() else self.asked).set()
