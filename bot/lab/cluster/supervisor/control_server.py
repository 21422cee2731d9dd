"""The daemon's control socket: status, exec, faults, end. One request per connection."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import structlog

from bot.aio.groups import TaskGroup
from bot.lab.cluster.names import Json
from bot.lab.cluster.supervisor.host import Host, HostError, Program, Sandbox
from bot.lab.cluster.wire import Channel, WireError
from bot.lab.errors import LabError, LabUsageError

log = structlog.get_logger()
_REQUEST_S: Final = 5.0

Handler = Callable[[Json], Awaitable[Json]]
Resolver = Callable[[str], tuple[Host, Sandbox | None]]


class ControlServer:
    """Answers clients of the state directory's socket."""

    def __init__(self, listener: socket.socket, handlers: Mapping[str, Handler], resolve: Resolver) -> None:
        listener.setblocking(False)
        self._listener = listener
        self._handlers = handlers
        self._resolve = resolve

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        async with TaskGroup() as group:
            while True:
                connection, _ = await loop.sock_accept(self._listener)
                group.create_task(self._serve(connection))

    async def _serve(self, connection: socket.socket) -> None:
        channel = Channel(connection)
        try:
            async with asyncio.timeout(_REQUEST_S):
                received = await channel.receive()
            if received is None:
                return
            request, fds = received
            try:
                channel.send(await self._answer(channel, request, fds))
            finally:
                for fd in fds:
                    os.close(fd)
            await channel.receive()  # until the client hangs up: closing at once could cut off the answer
        except (TimeoutError, WireError):
            log.info("control.client_gone")
        finally:
            channel.close()

    async def _answer(self, channel: Channel, request: Json, fds: list[int]) -> Json:
        handler = self._handlers.get(str(request.get("op")))
        try:
            if handler is not None:
                return await handler(request)
            return {"code": await self._exec(channel, request, fds)}
        except (LabError, HostError) as error:
            return {"error": str(error), "exit_code": getattr(error, "exit_code", 1)}
        except Exception as error:
            log.exception("control.failed", op=request.get("op"))  # one request's failure must not end the lab
            return {"error": f"the lab failed: {type(error).__name__}: {error}"}

    async def _exec(self, channel: Channel, request: Json, fds: list[int]) -> int:
        if request.get("op") != "exec" or len(fds) != 3:
            raise LabUsageError("unknown request")
        host, sandbox = self._resolve(request["target"])
        program = await host.start(request["argv"], fds, sandbox=sandbox, env=request.get("env") or {})
        async with TaskGroup() as group:
            watcher = group.create_task(self._kill_when_gone(channel, host, program))
            code = await program.wait()
            watcher.cancel()
        return code

    async def _kill_when_gone(self, channel: Channel, host: Host, program: Program) -> None:
        """A client that hangs up, or sends ``signal``, wants its program to end."""
        while (received := await channel.receive()) is not None:
            with contextlib.suppress(KeyError, ValueError):
                host.kill(program, int(received[0]["signal"]))
        host.kill(program, signal.SIGKILL)
