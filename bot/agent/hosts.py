"""A pod's /etc/hosts: names that never come to a nameserver."""

import ipaddress
from collections.abc import Iterator, Sequence

from bot.agent.files import read_foreign_text
from bot.agent.report import HostsLine

MANAGED = "# Kubernetes-managed hosts file"
"""kubelet's heading. The pause container has the node's own file instead."""
LINES_LIMIT = 64
NAMES_LIMIT = 16
PIDS_LIMIT = 8


def read_hosts_text(pids: Sequence[int]) -> str | None:
    """The file as the pod's processes see it; None where none could be read."""
    texts: list[str] = []
    for pid in pids[:PIDS_LIMIT]:
        try:
            texts.append(read_foreign_text(f"/proc/{pid}/root/etc/hosts"))
        except OSError:
            continue
    return next((text for text in texts if text.startswith(MANAGED)), texts[0] if texts else None)


def parse_hosts(text: str) -> tuple[HostsLine, ...]:
    """Lines that somebody wrote, with addresses of others: no loopback, and none of multicast."""
    return tuple(line for line in _lines(text) if not _is_boilerplate(line.ip))[:LINES_LIMIT]


def localhost_in(text: str) -> tuple[str, ...]:
    """The addresses that the file gives to the name localhost, each once."""
    found = (line.ip for line in _lines(text) if "localhost" in line.names)
    return tuple(dict.fromkeys(found))[:LINES_LIMIT]


def _is_boilerplate(ip: str) -> bool:
    address = ipaddress.ip_address(ip)
    return address.is_loopback or address.is_multicast or ip == "fe00::"


def _lines(text: str) -> Iterator[HostsLine]:
    for line in text.splitlines():
        ip, *names = line.partition("#")[0].split()[: NAMES_LIMIT + 1] or [""]
        try:
            address = ipaddress.ip_address(ip)
        except ValueError:
            continue
        if names:
            yield HostsLine(ip=str(address), names=tuple(name[:255].lower() for name in names))
