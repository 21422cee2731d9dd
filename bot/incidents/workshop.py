"""The workshop: a thread with an event loop of its own, in which diagnoses are made.

Reading a large cluster and weighing causes are seconds of computing. Slack wants its acknowledgements within three
seconds and people their first word within one, so the loop that answers them does none of it: it only waits. Python
runs one thread at a time, but changes between them every few milliseconds.
"""

import asyncio
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from bot.incidents.request import OnProgress, Progress

Result = TypeVar("Result")

SWITCH_S = 0.001
"""How long a thread computes before another that wants to gets its turn. Python's own 5 ms add up in a loop that waits
several times for each answer: with 1 ms its lag halves.
"""
CLOSE_S = 15.0
"""How long work that is cancelled may clean up: node agents are removed."""


class Workshop:
    """Runs coroutines in its own thread, which begins with the first of them. Close it."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._is_ready = threading.Event()
        self._judges = ThreadPoolExecutor(1, "judge")  # one: computing in a second thread only delays everybody's

    async def do(self, work: Coroutine[Any, Any, Result]) -> Result:
        """What the coroutine returns or raises; cancelling this cancels it, and does not wait until it has ended."""
        if self._thread is None:
            sys.setswitchinterval(SWITCH_S)
            self._thread = threading.Thread(target=self._run, name="workshop", daemon=True)
            self._thread.start()
            self._is_ready.wait()
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def compute(self, work: Callable[[], Result]) -> Result:
        """What the function returns, while the workshop's other coroutines go on. Called from within the workshop."""
        return await asyncio.get_running_loop().run_in_executor(self._judges, work)

    async def close(self) -> None:
        """Cancel what runs, let it clean up, and end the thread."""
        self._judges.shutdown(wait=False, cancel_futures=True)
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            await asyncio.to_thread(self._thread.join, CLOSE_S)
            self._thread = None

    def _run(self) -> None:
        with asyncio.Runner() as runner:  # at its end it cancels what runs, and waits for it
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._is_ready.set()
        await self._stop.wait()


def told_here(on_progress: OnProgress) -> OnProgress:
    """The callback for use in another thread: it is called in the loop that runs now."""
    loop = asyncio.get_running_loop()

    def tell(progress: Progress) -> None:
        loop.call_soon_threadsafe(on_progress, progress)

    return tell
