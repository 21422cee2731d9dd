"""What kube-proxy does to connection tracking: UDP entries that lead to former endpoints of a Service are deleted.

Source: https://github.com/kubernetes/kubernetes/blob/master/pkg/proxy/conntrack/cleanup.go
Source: https://github.com/torvalds/linux/blob/master/include/uapi/linux/netfilter/nfnetlink_conntrack.h
"""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from bot.lab.cluster.names import Json

_TABLE: Final = Path("/proc/thread-self/net/nf_conntrack")
_ROW: Final = re.compile(
    r"ipv4 +2 udp +17 \d+ src=([\d.]+) dst=([\d.]+) sport=(\d+) dport=(\d+) .*?src=([\d.]+) ", re.ASCII
)
_NETLINK_NETFILTER: Final = 12
_DELETE: Final = 1 << 8 | 2
_REQUEST_ACK: Final = 0x1 | 0x4
_NESTED: Final = 0x8000
_TUPLE_ORIG, _TUPLE_IP, _TUPLE_PROTO = 1, 1, 2
_GONE: Final = 2
"""ENOENT: it ended meanwhile."""


def forget_udp(services: Iterable[Json]) -> None:
    """Delete each UDP entry to one of these ("ip", "port") that leads to none of its "backends"."""
    backends = {(one["ip"], int(one["port"])): frozenset(one["backends"]) for one in services}
    if not backends or not _TABLE.exists():
        return
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as netlink:
        netlink.settimeout(2)
        for line in _TABLE.read_text().splitlines():
            if row := _ROW.match(line):
                src, dst, sport, dport, to = row.groups()
                known = backends.get((dst, int(dport)))
                if known is not None and to != dst and to not in known:
                    _delete(netlink, src, dst, int(sport), int(dport))


def _delete(netlink: socket.socket, src: str, dst: str, sport: int, dport: int) -> None:
    ends = _attribute(1, socket.inet_aton(src)) + _attribute(2, socket.inet_aton(dst))
    ports = _attribute(1, bytes([socket.IPPROTO_UDP]))
    ports += _attribute(2, struct.pack(">H", sport)) + _attribute(3, struct.pack(">H", dport))
    flow = _attribute(_TUPLE_IP | _NESTED, ends) + _attribute(_TUPLE_PROTO | _NESTED, ports)
    body = struct.pack("=BBH", socket.AF_INET, 0, 0) + _attribute(_TUPLE_ORIG | _NESTED, flow)
    netlink.send(struct.pack("=IHHII", 16 + len(body), _DELETE, _REQUEST_ACK, 1, 0) + body)
    code = -struct.unpack_from("=i", netlink.recv(4096), 16)[0]
    if code not in {0, _GONE}:
        raise OSError(code, "the kernel did not delete a connection tracking entry")


def _attribute(kind: int, value: bytes) -> bytes:
    length = 4 + len(value)
    return struct.pack("=HH", length, kind) + value + b"\0" * (-length % 4)
