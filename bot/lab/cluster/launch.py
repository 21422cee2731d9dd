"""Start and end a lab from the outside."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from bot.lab.cluster.names import BARE, CNIS, KUBEADM, MAX_NODES
from bot.lab.cluster.state import StateDirectory
from bot.lab.errors import LabError, LabUsageError, NotPermittedError

_START_S: Final = 60.0
_START_PER_POD_S: Final = 0.5
_STOP_S: Final = 10.0
_TOOLS: Final = ("ip", "bridge", "nft", "sleep")


@dataclass(frozen=True, slots=True, kw_only=True)
class LabOptions:
    """What kind of lab. ``pods``: additional idle pods on every node."""

    cni: str = "calico-vxlan"
    nodes: int = 3
    workloads: bool = True
    pods: int = 0

    def check(self) -> None:
        """Raises LabUsageError for what cannot be."""
        known = (*CNIS, KUBEADM, BARE)
        if self.cni not in known:
            raise LabUsageError(f"there is no CNI {self.cni!r} in the lab; there are: {', '.join(known)}")
        if not 1 <= self.nodes <= MAX_NODES:
            raise LabUsageError(f"a lab has 1 to {MAX_NODES} nodes, not {self.nodes}")
        if not 0 <= self.pods <= 240:
            raise LabUsageError(f"a node takes 0 to 240 additional pods, not {self.pods}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningLab:
    """A lab that is up: pods ready, API server answering."""

    state: StateDirectory
    pid: int
    lifeline: int | None
    """When attached: the lab ends when this descriptor is closed, so also when this process dies."""

    def stop(self) -> None:
        """End the lab and remove its state directory."""
        if self.lifeline is not None:
            os.close(self.lifeline)
        stop(self.state)


def start(directory: Path, options: LabOptions, *, attached: bool) -> RunningLab:
    """Bring a lab up and return when it is ready. Raises LabError."""
    options.check()
    _need_tools()
    state = StateDirectory(directory.absolute())
    with state.locked():
        if state.daemon_pid() is not None:
            raise LabError(f"a lab is already running in {state.path} (end it with: cnibot lab down)")
        state.clear()
        return _spawn(state, options, attached=attached)


def _need_tools() -> None:
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = [name for name in _TOOLS if shutil.which(name, path=path) is None]
    if missing:
        raise NotPermittedError(f"the lab needs {', '.join(missing)}: install the packages iproute2 and nftables")


def _spawn(state: StateDirectory, options: LabOptions, *, attached: bool) -> RunningLab:
    # Before the namespaces exist: so the API server answers on this machine's loopback, rootless too.
    api = socket.create_server(("127.0.0.1", 0), backlog=256)
    control = state.listen()
    report_read, report_write = os.pipe()
    lifeline_read, lifeline_write = os.pipe()
    fds = {"api_fd": api.fileno(), "control_fd": control.fileno(), "report_fd": report_write}
    if attached:
        fds["lifeline_fd"] = lifeline_read
    config = json.dumps({**asdict(options), **fds, "state": str(state.path)})
    environment = {**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}
    with state.log.open("ab") as log, api, control:
        process = subprocess.Popen(
            [sys.executable, "-m", "bot.lab.cluster.supervisor.daemon", config],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=tuple(fds.values()),
            start_new_session=True,
            env=environment,
        )
    os.close(report_write)
    os.close(lifeline_read)
    lifeline: int | None = lifeline_write
    if not attached:
        os.close(lifeline_write)
        lifeline = None
    try:
        pid = _await_ready(state, report_read, _START_S + _START_PER_POD_S * options.nodes * options.pods)
    except BaseException:
        if lifeline is not None:
            os.close(lifeline)
        _kill(state)
        raise
    finally:
        os.close(report_read)
        process.wait()  # it ends as soon as the lab's process 1 is born
    return RunningLab(state=state, pid=pid, lifeline=lifeline)


def _await_ready(state: StateDirectory, report: int, limit_s: float) -> int:
    """Follow the daemon's reports: its pid, then ``ready`` or ``error SENTENCE``."""
    buffer, pid, deadline = b"", 0, time.monotonic() + limit_s
    while True:
        readable, _, _ = select.select([report], [], [], max(0.0, deadline - time.monotonic()))
        if not readable:
            raise LabError(f"the lab was not ready within {limit_s:g} s; see {state.log}")
        data = os.read(report, 4096)
        if not data:
            raise LabError(f"the lab's daemon ended while starting: {_last_line(state.log)}")
        *lines, buffer = (buffer + data).split(b"\n")
        for line in lines:
            word, _, rest = line.decode().partition(" ")
            match word:
                case "pid":
                    pid = int(rest)
                    state.write_daemon(pid)
                case "refused":
                    raise NotPermittedError(rest)
                case "ready":
                    return pid
                case _:
                    raise LabError(rest)


def _last_line(log: Path) -> str:
    """The line of the log that names an exception, without a traceback's drawing."""
    lines = [line.strip(" |+-") for line in log.read_text(errors="replace").splitlines()]
    named = [line for line in lines if "Error" in line and not line.startswith("ExceptionGroup")]
    return (named or [line for line in lines if line] or ["its log is empty"])[-1]


def stop(state: StateDirectory) -> bool:
    """End the lab of this directory and remove the directory; False when there was none."""
    if not state.path.is_dir():
        return False
    was_running = _kill(state)
    state.remove()
    return was_running


def _kill(state: StateDirectory) -> bool:
    """SIGTERM, and SIGKILL when that does not help. The kernel removes every process and namespace with it."""
    pid = state.daemon_pid()
    if pid is None:
        return False
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        if state.daemon_pid() != pid:  # asked again now that the pidfd pins the process
            return True
        for number in (signal.SIGTERM, signal.SIGKILL):
            signal.pidfd_send_signal(process, number)
            if select.select([process], [], [], _STOP_S)[0]:
                return True
    except ProcessLookupError:
        return True
    finally:
        os.close(process)
    raise LabError(f"the lab's process {pid} does not end")
