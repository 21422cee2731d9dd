"""Ending on a signal: first in order, then at once."""

import asyncio
import signal
from collections.abc import Generator
from contextlib import contextmanager


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
