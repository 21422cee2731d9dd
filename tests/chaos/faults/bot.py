"""What happens to the bot itself."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from random import Random

from tests.chaos.faults.fault import Fault, Inject, switched
from tests.chaos.system import System


def _killed(times: int, by: signal.Signals = signal.SIGKILL) -> Inject:
    """Killed so often, at drawn instants."""

    @asynccontextmanager
    async def inject(system: System, chance: Random) -> AsyncGenerator[None]:
        for _ in range(times):
            await asyncio.sleep(chance.uniform(0.0, 3.0))
            system.bot.kill(by)
        yield

    return inject


_fault = partial(Fault, family="bot")

FAULTS = (
    _fault(name="killed", inject=_killed(1)),
    _fault(name="killed three times", inject=_killed(3)),
    _fault(name="restarted in order", inject=_killed(1, signal.SIGTERM)),
    _fault(name="its worker is killed", inject=switched(lambda system, _: system.bot.kill_worker())),
    _fault(name="frozen", inject=switched(lambda system, _: system.bot.freeze(), lambda system: system.bot.thaw())),
)
