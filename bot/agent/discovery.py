"""Which network namespaces there are on this machine, and which pod each belongs to.

A pod's processes carry its uid in their cgroup path (kubepods…pod<uid>…) or, where cgroups are hidden, in a mount of
kubelet's (`…/pods/<uid>/etc-hosts`). Where neither is so, the namespace that is linked to the node's and holds the
pod's address is taken: several clusters on one machine may use the same addresses, so the link is required.
"""

import contextlib
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bot.agent.files import read_text
from bot.agent.netns import Home, open_netns

PIDS_OF_A_NAMESPACE = 8
"""Processes that are asked for a uid. The first may be a guest: a CNI plugin, or somebody with nsenter."""
PINNED_LIMIT = 2000
UID = r"[0-9a-f]{8}[-_]?[0-9a-f]{4}[-_]?[0-9a-f]{4}[-_]?[0-9a-f]{4}[-_]?[0-9a-f]{12}"
CGROUP_UID = re.compile(rf"pod({UID})")
SOCKET = re.compile(r"socket:\[(\d+)\]")
MOUNT_UID = re.compile(rf"/pods/({UID})/")


@dataclass(slots=True, kw_only=True)
class FoundNetns:
    """A namespace other than the node's own, and how to open it."""

    inode: int
    path: str
    pids: list[int] = field(default_factory=list[int])
    uid: str = ""

    def open(self) -> int:
        """A descriptor. OSError when the namespace is gone, or the path leads to another one by now."""
        fd = open_netns(self.path)
        if os.fstat(fd).st_ino != self.inode:
            os.close(fd)
            raise OSError("its process is gone")
        return fd


def find_namespaces(home: Home, wanted_uids: Iterable[str], proc: str = "/proc") -> dict[int, FoundNetns]:
    """Inode -> namespace of every process but those of the node's own namespace; uids where they are known."""
    found: dict[int, FoundNetns] = {}
    for pid in _pids(proc):
        path = f"{proc}/{pid}/ns/net"
        try:
            inode = Path(path).stat().st_ino
        except OSError:
            continue  # It ended meanwhile, or belongs to another user namespace.
        if inode == home.inode:
            continue
        netns = found.setdefault(inode, FoundNetns(inode=inode, path=path))
        if len(netns.pids) < PIDS_OF_A_NAMESPACE:
            netns.pids.append(pid)
    wanted = {_plain(uid): uid for uid in wanted_uids}
    eldest: dict[str, tuple[int, FoundNetns]] = {}
    for netns in found.values():
        uid, pid = _uid_of(netns, wanted, proc)
        # A process may give itself a namespace of its own (a build, a sandbox): the pod's is that of the first process.
        if uid and (uid not in eldest or _started(pid, proc) < eldest[uid][0]):
            eldest[uid] = _started(pid, proc), netns
    for uid, (_, netns) in eldest.items():
        netns.uid = uid
    return found


def find_in_home(home: Home, wanted_uids: Iterable[str], proc: str = "/proc") -> dict[str, list[int]]:
    """Uid -> the processes of each wanted pod that shares the node's own namespace."""
    wanted = {_plain(uid): uid for uid in wanted_uids}
    found: dict[str, list[int]] = {}
    for pid in _pids(proc) if wanted else ():
        try:
            if Path(f"{proc}/{pid}/ns/net").stat().st_ino != home.inode:
                continue
        except OSError:
            continue
        here = FoundNetns(inode=home.inode, path="", pids=[pid])
        if uid := _uid_of(here, wanted, proc)[0]:
            found.setdefault(uid, []).append(pid)
    return found


def sockets_of(pids: Iterable[int], proc: str = "/proc") -> frozenset[int]:
    """The inodes of the sockets that these processes hold; of one that ended, none. OSError where none lets us look."""
    found: set[int] = set()
    refused: OSError | None = None
    is_seen = False
    for pid in pids:
        try:
            held = list(Path(f"{proc}/{pid}/fd").iterdir())
        except OSError as error:
            refused = error
            continue
        is_seen = True
        for each in held:
            with contextlib.suppress(OSError):  # closed meanwhile
                if match := SOCKET.fullmatch(str(each.readlink())):
                    found.add(int(match[1]))
    if refused is not None and not is_seen:
        raise refused
    return frozenset(found)


def find_pinned(host_root: str, known: Mapping[int, FoundNetns]) -> Iterator[FoundNetns]:
    """Namespaces that only a file keeps alive: pods between two starts of their containers."""
    for folder in (f"{host_root}/run/netns", f"{host_root}/var/run/netns"):
        with contextlib.suppress(OSError):
            for path in sorted(map(str, Path(folder).iterdir()))[:PINNED_LIMIT]:
                with contextlib.suppress(OSError):
                    inode = Path(path).stat().st_ino
                    if inode not in known:
                        yield FoundNetns(inode=inode, path=path)
            return


def _pids(proc: str) -> list[int]:
    return sorted(int(path.name) for path in Path(proc).iterdir() if path.name.isdecimal())


def _started(pid: int, proc: str) -> int:
    """In ticks since boot; of a process that ended, or that tells nothing, the latest of all."""
    try:
        # Fields after the command's name, which may hold anything: proc(5), field 22.
        return int(read_text(f"{proc}/{pid}/stat").rpartition(")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return sys.maxsize


def _uid_of(netns: FoundNetns, wanted: Mapping[str, str], proc: str) -> tuple[str, int]:
    """The wanted pod that a process of this namespace belongs to, and the process."""
    if not wanted:
        return "", 0
    for name, pattern in (("cgroup", CGROUP_UID), ("mountinfo", MOUNT_UID)):
        for pid in netns.pids:
            try:
                text = read_text(f"{proc}/{pid}/{name}")
            except OSError:
                continue
            for match in pattern.finditer(text):
                if uid := wanted.get(_plain(match[1])):
                    return uid, pid
    return "", 0


def _plain(uid: str) -> str:
    return uid.replace("-", "").replace("_", "").lower()
