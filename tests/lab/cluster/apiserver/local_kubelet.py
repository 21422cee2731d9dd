"""A kubelet for tests: commands run as local processes, logs are what a test wrote."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Sequence
from typing import Any, Self

from bot.lab.cluster.apiserver.kubelet_api import ExecError

CHUNK_BYTES = 65_536
DEADLINE_S = 10.0


class LocalProcess:
    """A local process as a kubelet would run it in a container."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @property
    def stdout(self) -> AsyncIterator[bytes]:
        return _chunks(self._process.stdout)

    @property
    def stderr(self) -> AsyncIterator[bytes]:
        return _chunks(self._process.stderr)

    async def write_stdin(self, data: bytes) -> None:
        if self._process.stdin is not None and not self._process.stdin.is_closing():
            self._process.stdin.write(data)
            await self._process.stdin.drain()

    async def close_stdin(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()

    async def wait(self) -> int:
        code = await self._process.wait()
        return code if code >= 0 else 128 - code

    def kill(self) -> None:
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):  # it ended, and the loop has not heard of it yet
                os.killpg(self._process.pid, signal.SIGKILL)

    async def end(self) -> None:
        """Kill it, and wait until asyncio has noticed: its transport would else outlive the loop."""
        self.kill()
        await self._process.communicate()


async def _chunks(stream: asyncio.StreamReader | None) -> AsyncIterator[bytes]:
    while stream is not None and (data := await stream.read(CHUNK_BYTES)):
        yield data


class LocalKubelet:
    """Runs commands locally and serves the logs in `lines`; as a context it leaves no process behind."""

    def __init__(self) -> None:
        self.lines: dict[tuple[str, str], list[bytes]] = {}
        self.started: list[LocalProcess] = []

    async def exec(
        self, pod: dict[str, Any], container: str, argv: Sequence[str], *, stdin: bool, tty: bool
    ) -> LocalProcess:
        pipe = asyncio.subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(
                *argv, stdin=pipe if stdin else asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe, process_group=0
            )
        except FileNotFoundError:
            raise ExecError(f'exec: "{argv[0]}": executable file not found in $PATH') from None
        self.started.append(LocalProcess(process))
        return self.started[-1]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        async with asyncio.timeout(DEADLINE_S):
            for process in self.started:
                await process.end()

    async def logs(
        self,
        pod: dict[str, Any],
        container: str,
        *,
        follow: bool,
        tail_lines: int | None,
        previous: bool = False,
        limit_bytes: int | None = None,
    ) -> AsyncIterator[bytes]:
        lines = self.lines.get((pod["metadata"]["name"], container), [])
        for line in lines if tail_lines is None else lines[-tail_lines:]:
            yield line
