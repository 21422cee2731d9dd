"""Work on a lab host's kernel state, as data: the daemon says what, a forked child of the host's process 1 does it.

A step is one of
``{"argv": […], "stdin": "…"}``   run a program,
``{"sysctl": {"net.ipv4.ip_forward": "1"}}``   write kernel settings,
``{"write": {"/path": "content"}}``, ``{"remove": ["/path"]}``, ``{"read": ["/path"]}``   files on the host,
``{"forget_udp": [{"ip": …, "port": …, "backends": […]}]}``   what connection tracking keeps on former endpoints,
``{"allocate": {"directory": …, "first": …, "last": …, "owner": …}}``   an address as the host-local plugin takes it.
Each may carry ``"netns": PID`` (0 or absent: the host's own). ``"may_fail": true`` goes on after a failure.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bot.lab.cluster import linux
from bot.lab.cluster.names import Json
from bot.lab.cluster.node import conntrack, host_local

_TIMEOUT_S = 20.0


def run_in_child(steps: Sequence[Json], result_fd: int) -> int:
    """Fork a worker that does the steps and writes ``[{"code", "out", "err"}, …]`` to ``result_fd``; its pid."""
    pid = os.fork()
    if pid != 0:
        return pid
    try:
        results = _run(steps)
        with os.fdopen(result_fd, "w", encoding="utf-8") as result:
            json.dump(results, result)
    finally:
        os._exit(0)


def _run(steps: Sequence[Json]) -> list[Json]:
    home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    results: list[Json] = []
    for step in steps:
        try:
            _enter(int(step.get("netns", 0)), home)
            result = _do(step)
        except (OSError, subprocess.SubprocessError, host_local.FullError) as error:
            result = {"code": 1, "out": "", "err": str(error)}
        results.append(result)
        if result["code"] != 0 and not step.get("may_fail"):
            break
    return results


def _enter(pid: int, home: int) -> None:
    if pid == 0:
        linux.setns(home, linux.NEWNET)
        return
    fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    linux.setns(fd, linux.NEWNET)
    os.close(fd)


def _do(step: Json) -> Json:
    if "argv" in step:
        done = subprocess.run(
            step["argv"],
            input=step.get("stdin", ""),
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
        )
        return {"code": done.returncode, "out": done.stdout, "err": done.stderr}
    for key, value in step.get("sysctl", {}).items():
        # Interface names may hold dots, so the caller writes slashes where it matters.
        name = key if "/" in key else key.replace(".", "/")
        Path("/proc/sys", name).write_text(str(value))
    for path, content in step.get("write", {}).items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(content)
    for path in step.get("remove", ()):
        Path(path).unlink(missing_ok=True)
    conntrack.forget_udp(step.get("forget_udp", ()))
    if "allocate" in step:
        return {"code": 0, "out": host_local.allocate(**step["allocate"]), "err": ""}
    output = "".join(Path(path).read_text() for path in step.get("read", ()))
    return {"code": 0, "out": output, "err": ""}
