"""BPF programs on cgroups: they decide about sockets of all processes below, and no packet filter shows them.

Source: include/uapi/linux/bpf.h (enum bpf_attach_type); https://docs.ebpf.io/linux/program-type/BPF_PROG_TYPE_CGROUP_SOCK_ADDR/
"""

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from bot.agent.bpf import attached_programs, program_name
from bot.agent.report import CgroupProgram

MOUNTS = ("sys/fs/cgroup", "sys/fs/cgroup/unified")
OF_VERSION_2 = "cgroup.controllers"
PLACES = {
    0: "ingress",
    1: "egress",
    2: "socket",
    8: "bind4",
    9: "bind6",
    10: "connect4",
    11: "connect6",
    14: "sendmsg4",
    15: "sendmsg6",
}
"""Those that can refuse what goes over the network."""
LIMIT = 200
FOLDERS_LIMIT = 2000
CLASSES = frozenset({"burstable", "besteffort"})
DEEPEST = 3
"""kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod….slice."""


def read_cgroup_programs(root: str, uids: Iterable[str]) -> tuple[CgroupProgram, ...]:
    """On the root cgroup below this file system's root, and on those of pods. OSError where bpf(2) is refused."""
    mount = next((Path(root, name) for name in MOUNTS if Path(root, name, OF_VERSION_2).exists()), None)
    if mount is None:
        return ()
    folders = [(mount, ""), *islice(_of_pods(mount, frozenset(uids)), LIMIT)]
    return tuple(islice((one for folder, uid in folders for one in _programs(mount, folder, uid)), LIMIT))


def _of_pods(mount: Path, uids: frozenset[str]) -> Iterator[tuple[Path, str]]:
    """Folders of pods and of those above them, as kubelet and systemd name them; "" as uid for the latter."""
    by_name = {name: uid for uid in uids for name in (uid, uid.replace("-", "_"))}
    waiting = [(mount, 0)]
    for _ in range(FOLDERS_LIMIT):
        if not waiting:
            return
        folder, depth = waiting.pop(0)
        for inner in _folders(folder) if depth < DEEPEST else ():
            if uid := by_name.get(inner.name.rpartition("pod")[2].removesuffix(".slice")):
                yield inner, uid
            elif inner.name in CLASSES or (inner.name.startswith("kubepods") and "-pod" not in inner.name):
                yield inner, ""
                waiting.append((inner, depth + 1))


def _folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as found:
            return sorted(Path(one.path) for one in islice(found, FOLDERS_LIMIT) if one.is_dir(follow_symlinks=False))
    except OSError:
        return []


def _programs(mount: Path, folder: Path, uid: str) -> Iterator[CgroupProgram]:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for number, place in PLACES.items():
            for program in attached_programs(fd, number):
                path = "/" + str(folder.relative_to(mount)).removeprefix(".")
                yield CgroupProgram(cgroup=path, pod=uid, place=place, number=program, name=_name(program))
    finally:
        os.close(fd)


def _name(number: int) -> str:
    try:
        return program_name(number)
    except OSError:
        return ""
