"""Who listens in the namespace that the thread is in, with the length of each accept queue.

Asked of the kernel (`ss` does it so); where that is refused, /proc/net/tcp and its sisters.

Source: https://man7.org/linux/man-pages/man7/sock_diag.7.html
"""

import contextlib
import ipaddress
import socket
import struct
from collections.abc import Iterator
from typing import Literal

from bot.agent.counters import NET
from bot.agent.files import read_text
from bot.agent.netlink import NETLINK_SOCK_DIAG, NetlinkSocket
from bot.agent.report import Listener
from bot.agent.rtnetlink import ip_text

SOCK_DIAG_BY_FAMILY = 20
INET_DIAG_REQUEST = struct.Struct("=BBBxI48x")
"""struct inet_diag_req_v2: family, protocol, extensions, states, an empty socket id."""
INET_DIAG_ANSWER = struct.Struct("=BBBB2s2s16s16s12xIIIII")
"""struct inet_diag_msg: family, state, timer, retrans, ports, addresses, …, expires, queues, uid, inode."""
TCP_LISTEN = 10
TCP_CLOSE = 7
LIMIT = 500

Protocol = Literal["tcp", "udp"]
TABLES: tuple[tuple[Protocol, int, int, str], ...] = (
    ("tcp", socket.IPPROTO_TCP, TCP_LISTEN, "tcp"),
    ("udp", socket.IPPROTO_UDP, TCP_CLOSE, "udp"),
)


def read_listeners() -> tuple[Listener, ...]:
    """Listening TCP and unconnected UDP sockets, at most 500. OSError when neither way works."""
    try:
        with NetlinkSocket(NETLINK_SOCK_DIAG) as netlink:
            found = list(_by_netlink(netlink))
    except OSError:
        found = list(_by_proc())
    return tuple(sorted(found[:LIMIT], key=lambda one: (one.protocol, one.port, one.ip)))


def _by_netlink(netlink: NetlinkSocket) -> Iterator[Listener]:
    for protocol, number, state, _ in TABLES:
        for family, size in ((socket.AF_INET, 4), (socket.AF_INET6, 16)):
            for _, body in netlink.dump(SOCK_DIAG_BY_FAMILY, INET_DIAG_REQUEST.pack(family, number, 0, 1 << state)):
                _, _, _, _, port, _, address, _, _, rqueue, wqueue, _, _ = INET_DIAG_ANSWER.unpack_from(body)
                if protocol == "tcp":
                    yield Listener(
                        protocol=protocol,
                        ip=ip_text(address[:size]),
                        port=int.from_bytes(port, "big"),
                        backlog=wqueue,
                        queued=rqueue,
                    )
                else:
                    yield Listener(protocol=protocol, ip=ip_text(address[:size]), port=int.from_bytes(port, "big"))


def _by_proc() -> Iterator[Listener]:
    for protocol, _, state, name in TABLES:
        yield from parse_proc_table(read_text(f"{NET}/{name}"), protocol, state)
        with contextlib.suppress(OSError):
            yield from parse_proc_table(read_text(f"{NET}/{name}6"), protocol, state)


def parse_proc_table(text: str, protocol: Protocol, state: int) -> Iterator[Listener]:
    """The rows of /proc/net/tcp, tcp6, udp or udp6 in one state. Rows that do not fit are left out."""
    for line in text.splitlines()[1:]:
        cells = line.split()
        with contextlib.suppress(ValueError, IndexError):
            if int(cells[3], 16) != state:
                continue
            address, _, port = cells[1].partition(":")
            queued = int(cells[4].partition(":")[2], 16)
            yield Listener(
                protocol=protocol,
                ip=proc_address(address),
                port=int(port, 16),
                queued=queued if protocol == "tcp" else None,
            )


def proc_address(text: str) -> str:
    """An address of /proc/net. Words of four bytes, each in the processor's order."""
    raw = b"".join(struct.pack("=I", int(text[at : at + 8], 16)) for at in range(0, len(text), 8))
    return str(ipaddress.ip_address(raw))
