"""Process 1 of a lab host: a small single-threaded zygote that plays container runtime.

It has imported every image's code, so a container is a fork, not a Python start. It speaks `bot.lab.cluster.wire` with
the daemon: requests carry an ``id`` and are answered with it; ``{"exited": PID, "code": N}`` comes unasked.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import NoReturn

from bot.lab.cluster import linux
from bot.lab.cluster.images.registry import all_images
from bot.lab.cluster.names import Json
from bot.lab.cluster.node import containers, rootfs, sandbox, steps
from bot.lab.cluster.wire import BlockingChannel


def run_host(control: socket.socket, name: str, mount_point: Path, files: Mapping[str, str]) -> NoReturn:
    """Be the host's process 1 until the daemon hangs up."""
    try:
        linux.set_process_name("containerd")
        linux.set_command_line(["/usr/bin/containerd"])
        socket.sethostname(name)
        rootfs.build(mount_point, files)
        linux.set_link_up("lo")
        containers.install(all_images())
        gc.freeze()  # keep pages shared with the containers that will be forked
        _Host(control).serve()
    finally:
        os._exit(0)


class _Host:
    def __init__(self, control: socket.socket) -> None:
        self._channel = BlockingChannel(control)
        self._wake, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, _note)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        self._workers: set[int] = set()
        self._sessions: dict[int, int] = {}
        """Running containers and their sandbox."""

    def serve(self) -> None:
        """Answer requests and report ended processes, until the daemon closes the socket."""
        self._channel.send({"ready": True})
        while True:
            if not self._channel.pending():
                readable, _, _ = select.select([self._channel.sock, self._wake], [], [])
                if self._wake in readable:
                    self._reap()
                if self._channel.sock not in readable:
                    continue
            received = self._channel.receive()
            if received is None:
                return
            self._answer(*received)

    def _answer(self, request: Json, fds: list[int]) -> None:
        answer: Json = {"id": request["id"]}
        out_fds: list[int] = []
        try:
            match request["op"]:
                case "sandbox":
                    pid = sandbox.create(request)
                    answer["pid"] = pid
                    out_fds.append(os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC))
                case "start":
                    answer["pid"] = containers.start(request, fds)
                    self._sessions[answer["pid"]] = int(request["sandbox"])
                case "steps":
                    self._workers.add(steps.run_in_child(request["steps"], fds[0]))
                case "exists":
                    answer["missing"] = [path for path in request["paths"] if not Path(path).exists()]
                case "kill":
                    _kill(int(request["pid"]), int(request["signal"]))
                case "forget":
                    self._end_sandbox(int(request["pid"]), request["uid"])
                case _:
                    answer["error"] = "unknown operation"
        except (OSError, containers.NoSuchProgramError) as error:
            answer["error"] = str(error)
        self._channel.send(answer, out_fds)
        for fd in (*fds, *out_fds):
            os.close(fd)

    def _end_sandbox(self, pid: int, uid: str) -> None:
        for session in [one for one, owner in self._sessions.items() if owner == pid]:
            _kill(session, signal.SIGKILL)
        _kill(pid, signal.SIGKILL)
        sandbox.remove(uid)

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake, 4096)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in self._workers:
                self._workers.discard(pid)
                continue
            self._sessions.pop(pid, None)
            self._channel.send({"exited": pid, "code": _exit_code(status)})


def _note(_number: int, _frame: FrameType | None) -> None:
    """The signal's byte in the wake-up pipe is all that matters."""


def _kill(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)  # everything that we start leads a session of its own


def _exit_code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code
