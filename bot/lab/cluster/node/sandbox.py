"""A pod's sandbox: its network, mount and UTS namespaces, held open by a pause process.

The files that a kubelet binds into containers (``/etc/hosts``, the service account's token, volumes) lie under
``/var/lib/kubelet/pods/UID`` as on a real node, so ``/proc/PID/mountinfo`` tells whose process it is.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import sys
from collections.abc import Mapping
from pathlib import Path

from bot.lab.cluster import linux
from bot.lab.cluster.names import Json
from bot.lab.cluster.node.rootfs import BASE

PODS = Path("/var/lib/kubelet/pods")


def create(request: Json) -> int:
    """The pause process's pid. Raises OSError with the reason when the sandbox could not be made.

    ``request``: uid, hostname, hostNetwork, files (path below the pod's directory to content), mounts (pairs of
    source below the pod's directory, or absolute on the node, and target in the pod).
    """
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(read_end)
            _prepare(request)
            os.write(write_end, b"ok")
            os.close(write_end)
            _pause()
        except BaseException as error:  # noqa: BLE001 - a forked child must never return into its parent's code
            os.write(write_end, f"failed: {error}".encode())
        os._exit(1)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as answers:
        answer = answers.read().decode()
    if answer != "ok":
        os.waitpid(pid, 0)
        raise OSError(answer or "the sandbox process died")
    return pid


def remove(uid: str) -> None:
    """Forget the pod's files; its processes must be gone."""
    shutil.rmtree(PODS / uid, ignore_errors=True)


def write_files(uid: str, files: Mapping[str, str]) -> None:
    """Put contents below the pod's directory, making the directories on the way."""
    for name, content in files.items():
        path = PODS / uid / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def _prepare(request: Json) -> None:
    uid: str = request["uid"]
    write_files(uid, request["files"])
    linux.unshare(linux.NEWNS if request["hostNetwork"] else linux.NEWNS | linux.NEWNET | linux.NEWUTS)
    if not request["hostNetwork"]:
        socket.sethostname(request["hostname"])
        linux.set_link_up("lo")
        linux.mount_sysfs("/sys")  # as runtimes do: the devices of this network, not of the node's
    for source, target in request["mounts"]:
        _bind_into(Path(source) if source.startswith("/") else PODS / uid / source, Path(target))


def _bind_into(source: Path, target: Path) -> None:
    if not source.exists():
        source.mkdir(parents=True)  # an emptyDir, or a hostPath of type DirectoryOrCreate
    if not target.exists():
        _cover(next(each for each in target.parents if each.exists()))
        if source.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.touch()
    linux.bind(str(source), str(target), recursive=True)


def _cover(directory: Path) -> None:
    """Where a directory is this machine's, the pod gets its own, with links: no mount point is made on the machine."""
    machines = Path(f"/{BASE}{directory}")
    if directory.resolve() != directory or not machines.exists() or not machines.samefile(directory):
        return  # the lab host's own
    names = [each.name for each in directory.iterdir()]
    mode = f"mode={stat.S_IMODE(directory.stat().st_mode):o}"
    linux.mount("tmpfs", str(directory), "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, mode)
    for name in names:
        (directory / name).symlink_to(machines / name)


def _pause() -> None:
    """Become a small program that waits for ever: forked Python would cost megabytes for each pod."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    os.closerange(0, 1024)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    os.dup2(null, 2)
    sleep = shutil.which("sleep")
    if sleep is not None:
        os.execv(sleep, ["/pause", "infinity"])  # noqa: S606 - no shell is meant
    sys.exit("sleep(1) is not installed")
