"""The few Linux calls that Python 3.11 lacks: namespaces, mounts, process settings.

Source: man 2 unshare, setns, mount, pivot_root, prctl; man 7 user_namespaces.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Final

NEWNS: Final = 0x00020000
NEWUTS: Final = 0x04000000
NEWUSER: Final = 0x10000000
NEWPID: Final = 0x20000000
NEWNET: Final = 0x40000000

MS_NOSUID: Final = 2
MS_NODEV: Final = 4
MS_NOEXEC: Final = 8
MS_BIND: Final = 4096
MS_REC: Final = 16384
MS_PRIVATE: Final = 1 << 18
MNT_DETACH: Final = 2

_PR_SET_NAME: Final = 15
_SIOCGIFFLAGS: Final = 0x8913
_SIOCSIFFLAGS: Final = 0x8914
_IFF_UP: Final = 1

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def unshare(flags: int) -> None:
    """Move the calling process into new namespaces; NEWPID takes effect for its next child."""
    _checked(_libc.unshare(flags), "unshare")


def setns(fd: int, kind: int) -> None:
    """Move the calling thread into the namespace behind ``fd``."""
    _checked(_libc.setns(fd, kind), "setns")


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """Mount a file system, as man 2 mount says; raises OSError that names the target."""
    arguments = (source.encode(), target.encode(), kind.encode() or None, ctypes.c_ulong(flags), data.encode() or None)
    _checked(_libc.mount(*arguments), f"mount {target}")


def mount_sysfs(target: str) -> None:
    """Show the kernel's objects, among them this namespace's devices. Some kernels refuse: then nothing is shown."""
    with contextlib.suppress(OSError):
        mount("sysfs", target, "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC)


def bind(source: str, target: str, *, recursive: bool = False) -> None:
    """Show ``source`` at ``target`` too."""
    mount(source, target, flags=MS_BIND | (MS_REC if recursive else 0))


def umount(target: str, flags: int = MNT_DETACH) -> None:
    """Detach a mount."""
    _checked(_libc.umount2(target.encode(), flags), f"umount {target}")


def pivot_root(new_root: str, put_old: str) -> None:
    """Change the root mount: setns(2) into a mount namespace lands on its root mount, so a chroot would not do."""
    _checked(_libc.pivot_root(new_root.encode(), put_old.encode()), "pivot_root")


def set_process_name(name: str) -> None:
    """What ``/proc/PID/comm`` shows; the kernel keeps 15 bytes."""
    _checked(_libc.prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0), "prctl")


def set_command_line(argv: Sequence[str]) -> None:
    """What ``/proc/PID/cmdline`` and ps show, cut to the room that the process was started with."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = int(fields[45]), int(fields[46])  # arg_start and arg_end, fields 48 and 49 of man 5 proc
    text = b"\0".join(word.encode() for word in argv)[: max(0, end - start - 1)]
    if start and text:
        ctypes.memset(start, 0, end - start)
        ctypes.memmove(start, text, len(text))


def map_current_user_to_root(uid: int, gid: int) -> None:
    """After unshare(NEWUSER): this user is uid 0 inside, and nobody else exists there."""
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
    Path("/proc/self/gid_map").write_text(f"0 {gid} 1")


def set_link_up(name: str) -> None:
    """``ip link set NAME up`` in the current network namespace, without a fork."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        request = struct.pack("16sH14x", name.encode(), 0)
        flags = struct.unpack("16sH14x", fcntl.ioctl(probe, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(probe, _SIOCSIFFLAGS, struct.pack("16sH14x", name.encode(), flags | _IFF_UP))


@contextlib.contextmanager
def inside_netns(fd: int) -> Generator[None]:
    """Run the block in another network namespace; there must be no ``await`` in it.

    Sockets made in the block belong to that namespace for good, programs started there inherit it.
    """
    home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        setns(fd, NEWNET)
        try:
            yield
        finally:
            setns(home, NEWNET)
    finally:
        os.close(home)


def start_time_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None when there is no such process.

    Together with the pid it names a process for good: pids are recycled, this pair is not.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()  # the name in parentheses may hold spaces
    return None if fields[0] in {"Z", "X"} else int(fields[19])
