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


def read_hosts(pids: Sequence[int]) -> tuple[HostsLine, ...] | None:
    """The lines that somebody wrote, as the pod's processes see them; None where no file could be read."""
    texts: list[str] = []
    for pid in pids[:PIDS_LIMIT]:
        try:
            texts.append(read_foreign_text(f"/proc/{pid}/root/etc/hosts"))
        except OSError:
            continue
    best = next((text for text in texts if text.startswith(MANAGED)), texts[0] if texts else None)
    return None if best is None else parse_hosts(best)


def parse_hosts(text: str) -> tuple[HostsLine, ...]:
    """Lines with addresses of others: no loopback, and none of multicast."""
    return tuple(_lines(text))[:LINES_LIMIT]


def _lines(text: str) -> Iterator[HostsLine]:
    for line in text.splitlines():
        ip, *names = line.partition("#")[0].split()[: NAMES_LIMIT + 1] or [""]
        try:
            address = ipaddress.ip_address(ip)
        except ValueError:
            continue
        is_boilerplate = address.is_loopback or address.is_multicast or ip in {"fe00::", "fe00::0"}
        if names and not is_boilerplate:
            yield HostsLine(ip=str(address), names=tuple(name[:255].lower() for name in names))
