"""Which network namespaces there are on this machine, and which pod each belongs to.

A pod's processes carry its uid in their cgroup path (kubepods…pod<uid>…) or, where cgroups are hidden, in a mount of
kubelet's (`…/pods/<uid>/etc-hosts`). Where neither is so, the namespace that is linked to the node's and holds the
pod's address is taken: several clusters on one machine may use the same addresses, so the link is required.
"""

import contextlib
import os
import re
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
    for netns in found.values():
        netns.uid = _uid_of(netns, wanted, proc)
    return found


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


def _uid_of(netns: FoundNetns, wanted: Mapping[str, str], proc: str) -> str:
    if not wanted:
        return ""
    for name, pattern in (("cgroup", CGROUP_UID), ("mountinfo", MOUNT_UID)):
        for pid in netns.pids:
            try:
                text = read_text(f"{proc}/{pid}/{name}")
            except OSError:
                continue
            for match in pattern.finditer(text):
                if uid := wanted.get(_plain(match[1])):
                    return uid
    return ""


def _plain(uid: str) -> str:
    return uid.replace("-", "").replace("_", "").lower()
