"""Kernel counters of the namespace that the thread is in, as numbers with the names that `nstat` uses."""

import contextlib
from collections.abc import Mapping
from functools import lru_cache

from bot.agent.files import read_text
from bot.agent.report import Conntrack, TrackedFlow

NET = "/proc/thread-self/net"
"""/proc/net follows the process, not the thread."""

POD_COUNTERS = (
    "Ip.InReceives",
    "Ip.InAddrErrors",
    "Ip.InDiscards",
    "Ip.OutDiscards",
    "Ip.OutNoRoutes",
    "Ip.FragFails",
    "Icmp.InDestUnreachs",
    "Icmp.InTimeExcds",
    "Icmp.OutDestUnreachs",
    "Tcp.AttemptFails",
    "Tcp.EstabResets",
    "Tcp.CurrEstab",
    "Tcp.RetransSegs",
    "Tcp.OutRsts",
    "Udp.NoPorts",
    "Udp.InErrors",
    "Udp.RcvbufErrors",
    "Udp.InCsumErrors",
    "TcpExt.IPReversePathFilter",
    "TcpExt.ListenOverflows",
    "TcpExt.ListenDrops",
    "TcpExt.TCPTimeouts",
    "TcpExt.TCPSynRetrans",
    "IpExt.InNoRoutes",
)
"""Of a pod only these; of the node all."""


def read_counters(names: tuple[str, ...] | None = None) -> dict[str, int]:
    """Snmp and netstat, all or the named ones. OSError when /proc cannot be read."""
    found = parse_counters(read_text(f"{NET}/snmp"), names)
    with contextlib.suppress(OSError):
        found |= parse_counters(read_text(f"{NET}/netstat"), names)
    return found


def parse_counters(text: str, names: tuple[str, ...] | None = None) -> dict[str, int]:
    """Pairs of lines, names and values: "Ip: Forwarding …" and "Ip: 1 …". What does not fit is left out."""
    found: dict[str, int] = {}
    lines = text.splitlines()
    for header, values in zip(lines[::2], lines[1::2], strict=False):
        columns = _columns(header, names)
        cells = values.split() if columns else []
        if not cells or cells[0] != header.partition(" ")[0]:
            continue
        with contextlib.suppress(ValueError):
            found |= {name: int(cells[at]) for name, at in columns if at < len(cells)}
    return found


@lru_cache(maxsize=64)
def _columns(header: str, names: tuple[str, ...] | None) -> tuple[tuple[str, int], ...]:
    """(full name, column) of what is wanted. All namespaces of a kernel have the same headers."""
    group, _, fields = header.partition(":")
    found = [(f"{group}.{name}", at) for at, name in enumerate(fields.split(), 1)]
    return tuple((name, at) for name, at in found if names is None or name in names)


def growth(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """What grew, and by how much."""
    return {name: value - before[name] for name, value in after.items() if value > before.get(name, value)}


def read_conntrack_stats() -> dict[str, int]:
    """Sums over all processors of /proc/net/stat/nf_conntrack. OSError where there is no connection tracking."""
    return parse_stat_table(read_text(f"{NET}/stat/nf_conntrack"))


def parse_stat_table(text: str) -> dict[str, int]:
    """A header line, then hexadecimal rows, one for each processor; summed."""
    lines = text.splitlines()
    names = lines[0].split() if lines else []
    totals = dict.fromkeys(names, 0)
    for line in lines[1:]:
        for name, number in zip(names, line.split(), strict=False):
            with contextlib.suppress(ValueError):
                totals[name] += int(number, 16)
    return totals


def conntrack(
    sysctls: Mapping[str, str],
    before: Mapping[str, int],
    after: Mapping[str, int],
    flows: tuple[TrackedFlow, ...] | None = None,
) -> Conntrack:
    """The connection tracking table of the node, with what it dropped while the tests ran."""
    return Conntrack(
        count=_number(sysctls.get("netfilter.nf_conntrack_count")),
        max=_number(sysctls.get("netfilter.nf_conntrack_max")),
        drop=after.get("drop"),
        insert_failed=after.get("insert_failed"),
        drop_delta=_delta(before, after, "drop"),
        insert_failed_delta=_delta(before, after, "insert_failed"),
        flows=flows,
    )


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None


def _delta(before: Mapping[str, int], after: Mapping[str, int], name: str) -> int | None:
    return max(0, after[name] - before[name]) if name in before and name in after else None
