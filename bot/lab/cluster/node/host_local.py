"""The host-local IPAM plugin: one file per address in use, so what leaks on a real node leaks here too.

Source: https://github.com/containernetworking/plugins/tree/main/plugins/ipam/host-local (backend/disk: a file named as
the address holds the container's id and interface, ``last_reserved_ip.0`` the newest address)
"""

from __future__ import annotations

import os
from ipaddress import IPv4Address
from pathlib import Path


class FullError(Exception):
    """Every address of the range has its file; the sentence is the plugin's."""


def allocate(*, directory: str, first: str, last: str, owner: str) -> str:
    """The next free address after the one handed out last; writes its file. Raises FullError."""
    place = Path(directory)
    place.mkdir(parents=True, exist_ok=True)
    low, size = int(IPv4Address(first)), int(IPv4Address(last)) - int(IPv4Address(first)) + 1
    newest = place / "last_reserved_ip.0"
    start = int(IPv4Address(newest.read_text())) - low + 1 if newest.exists() else 0
    for offset in range(size):
        address = str(IPv4Address(low + (start + offset) % size))
        if _reserve(place / address, owner):
            newest.write_text(address)
            return address
    raise FullError(f"no IP addresses available in range set: {first}-{last}")


def _reserve(path: Path, owner: str) -> bool:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        return False
    with os.fdopen(fd, "w") as file:
        file.write(f"{owner}\neth0")
    return True
