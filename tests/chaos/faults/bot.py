"""What happens to the bot itself."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from random import Random

from tests.chaos.faults.fault import Fault, Strike, switched
from tests.chaos.stage import Stage


def _killed(times: int, by: signal.Signals = signal.SIGKILL) -> Strike:
    """Killed so often, at drawn instants."""

    @asynccontextmanager
    async def strike(stage: Stage, chance: Random) -> AsyncGenerator[None]:
        for _ in range(times):
            await asyncio.sleep(chance.uniform(0.0, 3.0))
            stage.bot.kill(by)
        yield

    return strike


_fault = partial(Fault, family="bot")

FAULTS = (
    _fault(name="killed", strike=_killed(1)),
    _fault(name="killed three times", strike=_killed(3)),
    _fault(name="restarted in order", strike=_killed(1, signal.SIGTERM)),
    _fault(name="its worker is killed", strike=switched(lambda stage, _: stage.bot.kill_worker())),
    _fault(name="frozen", strike=switched(lambda stage, _: stage.bot.freeze(), lambda stage: stage.bot.thaw())),
)
