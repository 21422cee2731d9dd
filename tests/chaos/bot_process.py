"""The bot under a supervisor that starts it again whenever it ends, as Kubernetes does."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from tests.chaos.processes import children, descendants, descriptors
from tests.chaos.timeline import Timeline
from tests.programs import ending_with_us

PAUSE_S = 0.5
"""Before it is started again."""
END_S = 60.0


@dataclass
class BotProcess:
    """`cnibot serve`. `health` is the address of its health port."""

    env: Mapping[str, str]
    log: Path
    health: str
    timeline: Timeline
    process: Process | None = field(default=None, init=False)
    ended_by_itself: list[int] = field(default_factory=list[int], init=False)
    """Exit codes of those that nobody killed."""
    _killed: set[int] = field(default_factory=set[int], init=False)
    _may_start: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    async def keep_running(self) -> None:
        """Until cancelled."""
        while True:
            with self.log.open("ab") as log:
                command = ending_with_us(sys.executable, "-m", "bot", "serve")
                self.process = await asyncio.create_subprocess_exec(
                    *command, env=dict(self.env), stdin=DEVNULL, stdout=log, stderr=log
                )
            self.timeline.note(f"bot {self.process.pid} begins")
            code = await self.process.wait()
            self.timeline.note(f"bot {self.process.pid} ended with {code}")
            if self.process.pid not in self._killed:
                self.ended_by_itself.append(code)
            await asyncio.sleep(PAUSE_S)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send the process a signal that ends it."""
        if self.process and self.process.returncode is None:
            self._killed.add(self.process.pid)
            self.process.send_signal(number)

    def freeze(self) -> None:
        """It gets no time any more, as on a node that swaps."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """The end of `freeze`."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self.process and self.process.returncode is None:
            self.process.send_signal(number)

    def kill_worker(self) -> None:
        """Kill the processes that it has begun."""
        for pid in children(self.process.pid) if self.process else ():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    async def is_ready(self, session: aiohttp.ClientSession) -> bool:
        """Whether it says so."""
        try:
            async with session.get(f"{self.health}/readyz", timeout=aiohttp.ClientTimeout(total=2)) as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False

    async def stop(self) -> int:
        """As Kubernetes does; its exit code. Nobody may keep it running."""
        assert self.process
        self.kill(signal.SIGTERM)
        async with asyncio.timeout(END_S):
            return await self.process.wait()

    def pids(self) -> set[int]:
        """Of it and all that it has begun."""
        return {self.process.pid, *descendants(self.process.pid)} if self.process else set()

    def descriptors(self) -> int:
        """How many files and sockets it has open."""
        return descriptors(self.process.pid) if self.process else 0
