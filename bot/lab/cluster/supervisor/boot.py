"""How the daemon comes to be: namespaces first, then one small process per host, and only then the heavy imports."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bot.lab.cluster import linux
from bot.lab.cluster.node.process import run_host

UNDERLAY = "underlay"
OUTSIDE = "outside"


@dataclass(frozen=True, slots=True, kw_only=True)
class BootedHost:
    """A host's process 1: its pid as the daemon sees it, and the socket to talk to it."""

    name: str
    pid: int
    control: socket.socket


def enter_namespaces(report_fd: int) -> None:
    """Return in a new process that is PID 1 of the lab's namespaces; the caller's process ends here.

    Writes the daemon's pid, as the caller's system knows it, to ``report_fd``. Raises OSError where the kernel
    permits no namespaces.
    """
    uid, gid = os.getuid(), os.getgid()
    if uid != 0:
        linux.unshare(linux.NEWUSER)
        linux.map_current_user_to_root(uid, gid)
    linux.unshare(linux.NEWPID | linux.NEWNS | linux.NEWNET | linux.NEWUTS)
    pid = os.fork()
    if pid != 0:
        os.write(report_fd, f"pid {pid}\n".encode())
        os._exit(0)
    os.setsid()
    linux.mount("none", "/", flags=linux.MS_REC | linux.MS_PRIVATE)
    linux.mount("proc", "/proc", "proc", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC)
    linux.set_link_up("lo")


def boot_hosts(names: Sequence[str], mount_point: Path, files: Mapping[str, Mapping[str, str]]) -> list[BootedHost]:
    """Fork every host's process 1: the underlay (in the daemon's own network), the outside host, the nodes."""
    return [_boot(name, mount_point, files.get(name, {}), isolated=name != UNDERLAY) for name in names]


def _boot(name: str, mount_point: Path, files: Mapping[str, str], *, isolated: bool) -> BootedHost:
    ours, theirs = socket.socketpair()
    read_end, write_end = os.pipe()
    middle = os.fork()
    if middle == 0:
        try:
            ours.close()
            # The underlay must see every host's process 1 to hand it the other end of its cable.
            linux.unshare(linux.NEWNS | linux.NEWUTS | (linux.NEWNET | linux.NEWPID if isolated else 0))
            child = os.fork()
            if child == 0:
                os.close(write_end)
                run_host(theirs, name, mount_point, files)
            os.write(write_end, str(child).encode())
        finally:
            os._exit(0)
    theirs.close()
    os.close(write_end)
    with os.fdopen(read_end, "rb") as answers:
        pid = int(answers.read() or b"0")
    os.waitpid(middle, 0)
    if pid == 0:
        raise OSError(f"host {name} could not be started")
    return BootedHost(name=name, pid=pid, control=ours)
