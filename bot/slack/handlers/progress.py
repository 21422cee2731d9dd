"""Progress while a diagnosis runs: the newest state of each step, posted at most once a second."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import structlog

from bot.aio.groups import TaskGroup
from bot.diagnosis.request import OnProgress, Progress
from bot.domain.errors import BotError

log = structlog.get_logger()

PAUSE_S = 1.0

Tell = Callable[[Sequence[Progress], float], Awaitable[None]]
"""Called with the steps in the order in which they began, and the seconds since."""


class Steps:
    """The steps so far."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._steps: dict[tuple[str, str], Progress] = {}
        self._news = asyncio.Event()

    def add(self, progress: Progress) -> None:
        """A new state of a step; the queue is over when anything else begins."""
        if progress.stage != "queue":
            self._steps.pop(("queue", ""), None)
        self._steps[progress.stage, progress.subject] = progress
        self._news.set()

    @property
    def all(self) -> tuple[Progress, ...]:
        """In the order in which they began."""
        return tuple(self._steps.values())

    @property
    def elapsed_s(self) -> float:
        """Since the first word."""
        return time.monotonic() - self._began

    async def posted(self, tell: Tell) -> None:
        """Tell each news until cancelled; what happens within a second is posted together."""
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                await tell(self.all, self.elapsed_s)
            except BotError as error:  # a full outbox, a store that is away: the verdict is what counts
                log.warning("progress.not_posted", why=str(error))
            await asyncio.sleep(PAUSE_S)


@asynccontextmanager
async def live(tell: Tell) -> AsyncGenerator[OnProgress]:
    """Steps that are posted while the block runs. A failure of the block is raised as it is, not in a group."""
    steps = Steps()
    failure: BaseException | None = None
    async with TaskGroup() as group:
        telling = group.create_task(steps.posted(tell))
        try:
            yield steps.add
        except Exception as error:  # noqa: BLE001 raised again below, outside the group
            failure = error
        telling.cancel()
    if failure is not None:
        raise failure
