"""The daemon's side of a lab host: run steps, make sandboxes, start and kill programs there."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from bot.lab.cluster.linux import inside_netns
from bot.lab.cluster.names import Json
from bot.lab.cluster.supervisor.boot import BootedHost
from bot.lab.cluster.wire import Channel, WireError

_ANSWER_S: Final = 15.0
_STEPS_S: Final = 30.0
_CHUNK_BYTES: Final = 1 << 16


class HostError(Exception):
    """The host refused or failed; the sentence says what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """What a step's program said."""

    code: int
    out: str
    err: str


@dataclass(slots=True, kw_only=True)
class Program:
    """A running program of a host; ``pid`` is the host's own number."""

    pid: int
    exited: asyncio.Future[int] = field(repr=False)

    async def wait(self) -> int:
        """Its exit code, 128 + signal when it was killed."""
        return await asyncio.shield(self.exited)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """A pod's namespaces; ``netns`` stays open until `Host.remove_sandbox`. ``pid`` is the pause process."""

    uid: str
    pid: int
    netns: int
    host_network: bool


class Host:
    """One host. Create it, then keep `serve` running."""

    def __init__(self, booted: BootedHost) -> None:
        self.name = booted.name
        self.netns = os.open(f"/proc/{booted.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._channel = Channel(booted.control)
        self._next_id = 0
        self._closing = False
        self._answers: dict[int, asyncio.Future[tuple[Json, list[int]]]] = {}
        self._programs: dict[int, Program] = {}
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def serve(self) -> None:
        """Take the host's messages until `close`; raises HostError when the host ends before."""
        while (received := await self._channel.receive()) is not None:
            message, fds = received
            if "id" in message:
                self._take_answer(message, fds)
            elif "exited" in message:
                self._note_exit(message["exited"], message["code"])
            elif not self._ready.done():
                self._ready.set_result(None)
        if self._closing:
            return
        error = HostError(f"host {self.name} has ended")
        for waiter in (*self._answers.values(), self._ready):
            if not waiter.done():
                waiter.set_exception(error)
        raise error

    def _take_answer(self, message: Json, fds: list[int]) -> None:
        if "pid" in message:
            # Here, not in `start`: the program's exit may be the very next message.
            message["program"] = self._adopt(message["pid"])
        waiter = self._answers.pop(message["id"], None)
        if waiter is not None and not waiter.done():
            waiter.set_result((message, fds))
            return
        for fd in fds:
            os.close(fd)

    def _adopt(self, pid: int) -> Program:
        program = Program(pid=pid, exited=asyncio.get_running_loop().create_future())
        self._programs[pid] = program
        return program

    def _note_exit(self, pid: int, code: int) -> None:
        program = self._programs.pop(pid, None)
        if program is not None and not program.exited.done():
            program.exited.set_result(code)

    async def ready(self) -> None:
        """Until its file system stands and its process 1 listens."""
        async with asyncio.timeout(_ANSWER_S):
            await asyncio.shield(self._ready)

    async def _ask(self, request: Json, fds: Sequence[int] = ()) -> tuple[Json, list[int]]:
        self._next_id += 1
        number = self._next_id
        waiter: asyncio.Future[tuple[Json, list[int]]] = asyncio.get_running_loop().create_future()
        self._answers[number] = waiter
        try:
            self._channel.send({**request, "id": number}, fds)
            async with asyncio.timeout(_ANSWER_S):
                answer, out_fds = await waiter
        except WireError as error:
            raise HostError(f"host {self.name}: {error}") from error
        except TimeoutError as error:
            raise HostError(f"host {self.name} did not answer within {_ANSWER_S:g} s") from error
        finally:
            self._answers.pop(number, None)
        if "error" in answer:
            raise HostError(answer["error"])
        return answer, out_fds

    async def steps(self, steps: Sequence[Json]) -> list[StepResult]:
        """Do steps (`bot.lab.cluster.node.steps`) in order; raises HostError with the first failure's words."""
        if not steps:
            return []
        read_end, write_end = os.pipe()
        try:
            await self._ask({"op": "steps", "steps": list(steps)}, [write_end])
        except BaseException:
            os.close(read_end)
            raise
        finally:
            os.close(write_end)
        try:
            async with asyncio.timeout(_STEPS_S):
                data = await read_to_end(read_end)
        except TimeoutError as error:
            raise HostError(f"host {self.name}: the worker did not finish within {_STEPS_S:g} s") from error
        if not data:
            raise HostError(f"host {self.name}: the worker died")
        results = [StepResult(code=one["code"], out=one["out"], err=one["err"]) for one in json.loads(data)]
        for step, result in zip(steps, results, strict=False):
            if result.code != 0 and not step.get("may_fail"):
                raise HostError(f"{self.name}: {_name(step)}: {result.err.strip() or f'exit code {result.code}'}")
        return results

    async def missing(self, paths: Sequence[str]) -> list[str]:
        """Those of these files that do not exist on the host."""
        answer, _ = await self._ask({"op": "exists", "paths": list(paths)})
        return answer["missing"]

    async def sandbox(
        self,
        uid: str,
        *,
        hostname: str,
        host_network: bool,
        files: Mapping[str, str],
        mounts: Iterable[tuple[str, str]],
    ) -> Sandbox:
        """A pod's namespaces with loopback up and its files in place; the network is the CNI's business."""
        request: Json = {"op": "sandbox", "uid": uid, "hostname": hostname, "hostNetwork": host_network}
        answer, fds = await self._ask({**request, "files": dict(files), "mounts": [list(pair) for pair in mounts]})
        return Sandbox(uid=uid, pid=answer["pid"], netns=fds[0], host_network=host_network)

    async def remove_sandbox(self, sandbox: Sandbox) -> None:
        """Kill everything in it and forget the pod's files; the kernel removes its network."""
        os.close(sandbox.netns)
        await self._ask({"op": "forget", "uid": sandbox.uid, "pid": sandbox.pid})

    async def start(
        self,
        argv: Sequence[str],
        stdio: Sequence[int],
        *,
        image: str = "",
        sandbox: Sandbox | None = None,
        env: Mapping[str, str] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Program:
        """Start a program; raises HostError when the image lacks it. ``options``: main, tty, cwd."""
        request: Json = {"main": False, **(options or {}), "op": "start", "argv": list(argv), "image": image}
        request |= {"sandbox": sandbox.pid if sandbox else 0, "env": dict(env or {})}
        answer, _ = await self._ask(request, stdio)
        return answer["program"]

    def kill(self, program: Program, number: int = signal.SIGKILL) -> None:
        """Signal a program and everything of its session; nothing when it has ended."""
        if not program.exited.done():
            self._channel.send({"op": "kill", "pid": program.pid, "signal": number, "id": 0})

    def socket(self, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
        """A non-blocking IPv4 socket that lives in this host's network."""
        with inside_netns(self.netns):
            made = socket.socket(socket.AF_INET, kind)
        made.setblocking(False)
        return made

    def close(self) -> None:
        """Hang up: the host's process 1 ends, and the kernel ends everything in it."""
        self._closing = True
        self._channel.close()


async def read_to_end(fd: int) -> bytes:
    """Everything from a pipe until its writers close it; closes ``fd``."""
    loop = asyncio.get_running_loop()
    os.set_blocking(fd, False)
    done: asyncio.Future[None] = loop.create_future()
    chunks: list[bytes] = []

    def readable() -> None:
        try:
            data = os.read(fd, _CHUNK_BYTES)
        except BlockingIOError:
            return
        if data:
            chunks.append(data)
        else:
            loop.remove_reader(fd)
            if not done.done():
                done.set_result(None)

    loop.add_reader(fd, readable)
    try:
        await done
    finally:
        loop.remove_reader(fd)
        os.close(fd)
    return b"".join(chunks)


def _name(step: Json) -> str:
    if "argv" in step:
        return " ".join(step["argv"][:6])
    return ", ".join(key for key in step if key not in {"netns", "may_fail"})
