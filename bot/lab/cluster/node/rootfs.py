"""The file system that a lab host sees: this machine's programs, its own /etc/cni, /var/lib, /run and /proc.

It is a tmpfs. System directories are bound read-only in spirit (nobody writes there), the others hold symbolic
links to this machine's files with the host's own files beside them. Overlayfs would be simpler, but is missing
on some kernels and refused to user namespaces on others.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from bot.lab.cluster import linux

BASE = ".base"
"""Where this machine's own root is seen."""
_MERGED = ("etc", "var", "var/lib", "opt", "run")
"""Directories that get an own copy with links to this machine's entries."""
_OWN = {
    "etc": {"cni", "hosts", "hostname", "machine-id", "resolv.conf", "rancher"},
    "var": {"lib", "run"},
    "var/lib": {"cni", "kubelet", "rancher", "calico"},
    "opt": {"cni"},
    "run": {"flannel", "netns", "secrets", "images", "k3s", "containerd", "cilium"},
}
_DIRECTORIES = (
    "etc/cni/net.d",
    "opt/cni/bin",
    "run/netns",
    "run/images",
    "run/secrets/kubernetes.io/serviceaccount",
    "var/lib/cni/networks",
    "var/lib/kubelet/pods",
)


def build(mount_point: Path, files: Mapping[str, str]) -> None:
    """Make the root at ``mount_point`` and move the calling process into it.

    The process must be alone in new mount and PID namespaces. ``files`` maps absolute paths to contents.
    """
    linux.mount("none", "/", flags=linux.MS_REC | linux.MS_PRIVATE)
    linux.mount("tmpfs", str(mount_point), "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "mode=0755")
    base = mount_point / BASE
    base.mkdir()
    linux.bind("/", str(base), recursive=True)
    _bind_system(mount_point)
    for directory in _MERGED:
        _merge(mount_point, directory)
    for directory in _DIRECTORIES:
        (mount_point / directory).mkdir(parents=True, exist_ok=True)
    (mount_point / "var/run").symlink_to("/run")
    _mount_kernel(mount_point)
    for path, content in files.items():
        _write(mount_point / path.lstrip("/"), content)
    _enter(mount_point)


def _bind_system(root: Path) -> None:
    special = {"proc", "sys", BASE, *(name for name in _MERGED if "/" not in name)}
    for entry in os.scandir("/"):
        if entry.name in special or entry.name == "lost+found":
            continue
        target = root / entry.name
        if entry.is_symlink():
            target.symlink_to(Path(entry.path).readlink())
        elif entry.is_dir():
            target.mkdir()
            linux.bind(entry.path, str(target), recursive=True)


def _merge(root: Path, directory: str) -> None:
    (root / directory).mkdir(exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        for entry in os.scandir(f"/{directory}"):
            if entry.name not in _OWN[directory]:
                (root / directory / entry.name).symlink_to(f"/{BASE}/{directory}/{entry.name}")


def _mount_kernel(root: Path) -> None:
    safe = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC
    (root / "proc").mkdir()
    linux.mount("proc", str(root / "proc"), "proc", safe)
    (root / "sys").mkdir()
    linux.mount_sysfs(str(root / "sys"))


def _write(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def _enter(root: Path) -> None:
    old = root / ".old"
    old.mkdir()
    os.chdir(root)
    linux.pivot_root(".", ".old")
    os.chdir("/")
    linux.umount("/.old")
    Path("/.old").rmdir()
