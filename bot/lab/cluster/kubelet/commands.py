"""A command running in a container or on a node, with its streams: what `kubectl exec` talks to."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Sequence
from typing import Any

from bot.lab.cluster.apiserver.kubelet_api import ExecError
from bot.lab.cluster.kubelet.streams import PipeReader, PipeWriter
from bot.lab.cluster.supervisor.host import Host, HostError, Program, Sandbox


class Command:
    """See `bot.lab.cluster.apiserver.kubelet_api.ExecProcess`."""

    def __init__(
        self, host: Host, program: Program, stdin: PipeWriter, out: PipeReader, err: PipeReader | None
    ) -> None:
        self._host = host
        self._program = program
        self._stdin = stdin
        self._out = out
        self._err = err

    @property
    def stdout(self) -> AsyncIterator[bytes]:
        """What it writes."""
        return self._out

    @property
    def stderr(self) -> AsyncIterator[bytes]:
        """What it complains; empty on a terminal."""
        return self._err if self._err is not None else _nothing()

    async def write_stdin(self, data: bytes) -> None:
        """Feed it."""
        await self._stdin.write(data)

    async def close_stdin(self) -> None:
        """End of its input."""
        self._stdin.close()

    async def wait(self) -> int:
        """Its exit code."""
        return await self._program.wait()

    def kill(self) -> None:
        """End it and close its streams."""
        self._host.kill(self._program, signal.SIGKILL)
        self._stdin.close()
        self._out.close()
        if self._err is not None:
            self._err.close()


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""  # makes this an asynchronous generator


async def start_command(
    host: Host,
    argv: Sequence[str],
    *,
    image: str = "",
    sandbox: Sandbox | None = None,
    env: dict[str, str] | None = None,
    stdin: bool = False,
    tty: bool = False,
) -> Command:
    """Start ``argv``; raises ExecError in runc's words when the program does not exist."""
    if tty:
        return await _start_on_terminal(host, argv, image=image, sandbox=sandbox, env=env)
    in_read, in_write = os.pipe()
    out_read, out_write = os.pipe()
    err_read, err_write = os.pipe()
    try:
        program = await _start(host, argv, (in_read, out_write, err_write), image, sandbox, env, {})
    except BaseException:
        for fd in (in_write, out_read, err_read):
            os.close(fd)
        raise
    finally:
        for fd in (in_read, out_write, err_write):
            os.close(fd)
    command = Command(host, program, PipeWriter(in_write), PipeReader(out_read), PipeReader(err_read))
    if not stdin:
        await command.close_stdin()
    return command


async def _start_on_terminal(
    host: Host, argv: Sequence[str], *, image: str, sandbox: Sandbox | None, env: dict[str, str] | None
) -> Command:
    ours, theirs = os.openpty()
    try:
        environment = {"TERM": "xterm", **(env or {})}
        program = await _start(host, argv, (theirs, theirs, theirs), image, sandbox, environment, {"tty": True})
    except BaseException:
        os.close(ours)
        raise
    finally:
        os.close(theirs)
    return Command(host, program, PipeWriter(os.dup(ours)), PipeReader(ours), None)


async def _start(
    host: Host,
    argv: Sequence[str],
    stdio: Sequence[int],
    image: str,
    sandbox: Sandbox | None,
    env: dict[str, str] | None,
    options: dict[str, Any],
) -> Program:
    try:
        return await host.start(argv, stdio, image=image, sandbox=sandbox, env=env, options=options)
    except HostError as error:
        raise ExecError(str(error)) from error
