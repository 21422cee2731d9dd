"""A running lab from the outside: status, exec, faults, end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bot.lab.cluster.names import Json
from bot.lab.cluster.state import StateDirectory
from bot.lab.cluster.wire import BlockingChannel, Channel
from bot.lab.errors import LabError, LabUsageError

_ANSWER_S: Final = 60.0
_RESTORE_S: Final = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecResult:
    """What a program in the lab printed, and its exit code."""

    code: int
    out: str
    err: str


class LabClient:
    """Talks to the lab whose state is in ``directory``; every method raises LabError when it cannot."""

    def __init__(self, directory: Path) -> None:
        self.state = StateDirectory(directory.absolute())

    @property
    def kubeconfig(self) -> Path:
        """Where the cluster's kubeconfig lies."""
        return self.state.kubeconfig

    async def status(self) -> Json:
        """cni, kubeconfig, nodes (name, ip, pods), networks (namespace, name, ip, node, veth of each pod), services
        (namespace, name, ip), injected.
        """
        return await self._ask({"op": "status"})

    async def faults(self) -> list[Json]:
        """Every fault this lab's CNI can have: id, title, letter, scope, cause."""
        return (await self._ask({"op": "faults"}))["faults"]

    async def break_(self, fault: str, *, node: str = "", pod: str = "") -> Json:
        """Inject; the answer says where: fault, node, pod, changes."""
        return await self._ask({"op": "break", "fault": fault, "node": node, "pod": pod})

    async def heal(self) -> list[str]:
        """Undo everything injected, newest first; the faults' ids."""
        return (await self._ask({"op": "heal"}))["healed"]

    async def change(self, changes: Sequence[Json]) -> list[str]:
        """Create or patch objects (verb, resource, namespace, name, body) until the next `heal`; what was done."""
        return (await self._ask({"op": "change", "changes": list(changes)}))["changes"]

    async def restore(self, nodes: Sequence[str]) -> None:
        """Heal, have the agents of these nodes program them anew, wait until every pod is ready."""
        await self._ask({"op": "restore", "nodes": list(nodes)}, timeout_s=_RESTORE_S)

    async def exec(self, target: str, argv: Sequence[str], *, stdin: str = "", timeout_s: float = 30.0) -> ExecResult:
        """Run a program of this machine in a node's or pod's (``NAMESPACE/POD``) namespaces."""
        with _memory(stdin.encode()) as given, _memory() as out, _memory() as err:
            request = {"op": "exec", "target": target, "argv": list(argv)}
            answer = await self._ask(request, (given, out, err), timeout_s)
            return ExecResult(code=answer["code"], out=_text(out), err=_text(err))

    def exec_here(self, target: str, argv: Sequence[str]) -> int:
        """The same on this process's own terminal; blocks. Ctrl-C goes to the program."""
        channel = BlockingChannel(self.state.connect())
        with channel.sock, _forwarding(channel):
            environment = {"TERM": os.environ.get("TERM", "dumb")}
            channel.send({"op": "exec", "target": target, "argv": list(argv), "env": environment}, (0, 1, 2))
            received = channel.receive()
        return int(_checked(received[0] if received else None)["code"])

    async def _ask(self, request: Json, fds: Sequence[int] = (), timeout_s: float = _ANSWER_S) -> Json:
        channel = Channel(self.state.connect())
        try:
            channel.send(request, fds)
            async with asyncio.timeout(timeout_s):
                received = await channel.receive()
        except TimeoutError:
            raise LabError(f"the lab did not answer within {timeout_s:g} s; it may still do what was asked") from None
        finally:
            channel.close()
        return _checked(received[0] if received else None)


def _checked(answer: Json | None) -> Json:
    if answer is None:
        raise LabError("the lab ended before it answered")
    if "error" in answer:
        raise (LabUsageError if answer.get("exit_code") == 2 else LabError)(answer["error"])
    return answer


@contextlib.contextmanager
def _memory(content: bytes = b"") -> Generator[int]:
    """An anonymous file: unlike a pipe it takes any amount of output without a reader."""
    fd = os.memfd_create("lab-exec")
    try:
        os.pwrite(fd, content, 0)
        yield fd
    finally:
        os.close(fd)


def _text(fd: int) -> str:
    return os.pread(fd, os.fstat(fd).st_size, 0).decode(errors="replace")


@contextlib.contextmanager
def _forwarding(channel: BlockingChannel) -> Generator[None]:
    def forward(number: int, _: object) -> None:
        with contextlib.suppress(OSError):
            channel.send({"signal": number})

    old = signal.signal(signal.SIGINT, forward)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, old)
