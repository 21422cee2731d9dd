"""The daemon's entry, run by `bot.lab.cluster.launch` only: ``-m bot.lab.cluster.supervisor.daemon CONFIG``."""

from __future__ import annotations

import errno
import json
import os
import sys
from pathlib import Path

from bot.lab.cluster.dataplane.planes import make_plane
from bot.lab.cluster.images.registry import all_images
from bot.lab.cluster.kubelet.environment import NODE_RESOLV_CONF
from bot.lab.cluster.names import Json, machine_id, node_names
from bot.lab.cluster.supervisor.boot import OUTSIDE, UNDERLAY, BootedHost, boot_hosts, enter_namespaces


def main() -> None:
    """Namespaces, hosts, and only then the imports that cost half a second."""
    config: Json = json.loads(sys.argv[1])
    report_fd: int = config["report_fd"]
    try:
        booted = _boot(config, report_fd)
    except OSError as error:
        _tell(report_fd, f"refused {_refusal(error)}")
        raise SystemExit(3) from error
    from bot.lab.cluster.supervisor.lab import run  # noqa: PLC0415 - see above

    run(config, booted)


def _boot(config: Json, report_fd: int) -> list[BootedHost]:
    all_images()
    plane = make_plane(config["cni"])
    names = node_names(config["nodes"])
    common = {"/etc/resolv.conf": NODE_RESOLV_CONF}
    files = {name: {**_host_files(name), **common, **plane.node_files(name)} for name in names}
    files |= {name: {**_host_files(name), **common} for name in (UNDERLAY, OUTSIDE)}
    mount_point = Path(config["state"]) / "root"
    mount_point.mkdir()
    enter_namespaces(report_fd)
    return boot_hosts([UNDERLAY, OUTSIDE, *names], mount_point, files)


def _host_files(name: str) -> dict[str, str]:
    return {
        "/etc/hostname": f"{name}\n",
        "/etc/hosts": f"127.0.0.1\tlocalhost\n127.0.1.1\t{name}\n",
        "/etc/machine-id": f"{machine_id(name)}\n",
    }


def _tell(fd: int, line: str) -> None:
    os.write(fd, line.replace("\n", " ").encode() + b"\n")


def _refusal(error: OSError) -> str:
    if error.errno in {errno.EPERM, errno.EACCES, errno.ENOSPC, errno.EINVAL, errno.EUSERS}:
        return (
            f"this machine permits no user namespaces ({error}): run as root, or allow them "
            "(sysctl kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0)"
        )
    return f"the lab's namespaces could not be made: {error}"


if __name__ == "__main__":
    main()
