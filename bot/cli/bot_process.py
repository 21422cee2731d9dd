"""`cnibot serve` as a child of the demo: asked to end, killed on request, started again as Kubernetes would."""

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Self, TypeVar

from bot.aio.groups import TaskGroup
from bot.domain.errors import bounded

GRANTS = [
    {"actions": ["diagnose", "watch", "read", "share", "feedback", "propose", "approve"], "groups": ["S0SRE"]},
    {"actions": ["read"], "users": ["*"]},
]
"""Alice and Bob (the group sre) may do everything, other members may read."""
Result = TypeVar("Result")
_FOREIGN = re.compile(r"(?i)(CNIBOT_|SLACK_)|.*_proxy$")
"""Settings of another bot, and proxies: all that the demo's bot speaks to is on this machine."""
_END_S = 25.0
_PAUSE_S = 0.5


class BotProcess:
    """A bot that is there while the block runs."""

    class DiedError(Exception):
        """The bot ended before it was ready; says why."""

    def __init__(self, kubeconfig: Path, directory: Path, api_url: str, tokens: tuple[str, str]) -> None:
        self._log = directory / "bot.log"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not _FOREIGN.match(name)},
            "CNIBOT_STATE_DIR": str(directory / "bot"),
            "CNIBOT_CLUSTERS": json.dumps({"lab": {"kubeconfig": str(kubeconfig)}}),
            "CNIBOT_GRANTS": json.dumps(GRANTS),
            "CNIBOT_SLACK_API_URL": api_url,
            "CNIBOT_SLACK_BOT_TOKEN": tokens[0],
            "CNIBOT_SLACK_APP_TOKEN": tokens[1],
            "CNIBOT_HTTP_PORT": "0",
            "CNIBOT_HEALTH_PORT": "0",
            "CNIBOT_ALERT_CHANNELS": json.dumps(["C0ALERTS"]),  # "Fire an alert": its thread is answered by itself
            "CNIBOT_REMEDIATION": "execute",  # a cluster to break, and two people who may repair it
            "CNIBOT_APPROVALS": json.dumps({"r3": 1}),
            "CNIBOT_WATCH_EVERY_S": "30",
        }
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        await self._start()
        return self

    async def __aexit__(self, *_: object) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(_END_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    @property
    def pid(self) -> int | None:
        """Of the bot that runs now."""
        return self._process.pid if self._process and self._process.returncode is None else None

    def kill(self) -> None:
        """`kill -9`, in the middle of whatever it does."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def ready(self, stop: asyncio.Event, within_s: float | None = None) -> str:
        """What the bot says when it is ready; empty when `stop` came first. Errors: `DiedError`, `TimeoutError`."""
        async with asyncio.timeout(within_s):
            said = await _unless(stop, self._hear())
        if not said and not stop.is_set():
            raise self.DiedError(f"the bot ended before it was ready: {self._last_words()}")
        return said or ""

    async def watch(self, stop: asyncio.Event) -> None:
        """Start the bot again whenever it dies, until `stop`. Errors: `DiedError` when that does not help."""
        while self._process is not None and await _unless(stop, self._process.wait()) is not None:
            await asyncio.sleep(_PAUSE_S)
            await self._start()
            await self.ready(stop)

    async def _start(self) -> None:
        guard = shutil.which("setpriv")  # so that it ends with us, even when we are killed
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *([guard, "--pdeathsig", "TERM", "--"] if guard else []),
                sys.executable,
                *("-m", "bot", "serve"),
                env=self.environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C reaches us alone, and we tell it in order
            )

    async def _hear(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        return (await self._process.stdout.readline()).decode(errors="replace").strip()

    def _last_words(self) -> str:
        lines = [line.strip() for line in self._log.read_text(errors="replace").splitlines() if line.strip()]
        return bounded(lines[-1] if lines else "it said nothing")


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, Result]) -> Result | None:
    """What `work` gives, or None when `stop` comes first."""
    async with TaskGroup() as tasks:
        working, stopping = tasks.create_task(work), tasks.create_task(stop.wait())
        await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
        working.cancel()
        stopping.cancel()
    return None if working.cancelled() else working.result()
