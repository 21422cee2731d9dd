"""Whom the processes of the thread's namespace have dialled: open connections, and those that still wait for an answer.

Asked of the kernel (`ss` does it so); where that is refused, /proc/net/tcp and tcp6.

Source: https://man7.org/linux/man-pages/man7/sock_diag.7.html
"""

import contextlib
import socket
from collections.abc import Collection, Iterator
from itertools import islice

from bot.agent.counters import NET
from bot.agent.files import read_text
from bot.agent.listeners import INET_DIAG_ANSWER, INET_DIAG_REQUEST, SOCK_DIAG_BY_FAMILY, proc_address
from bot.agent.netlink import NETLINK_SOCK_DIAG, NetlinkSocket
from bot.agent.report import Connection, ConnectionState
from bot.agent.rtnetlink import ip_text

STATES: dict[int, ConnectionState] = {1: "established", 2: "syn-sent"}
LIMIT = 200
READ_LIMIT = 5000
RETRANSMITTING = 1
"""What the timer of a socket is for."""
STALLED = 2
"""So many times the same data was sent again: one lost packet is no stall."""


def read_connections(listening: Collection[int], sockets: Collection[int] | None = None) -> tuple[Connection, ...]:
    """Each address that is dialled, once, at most 200. OSError when neither way works.

    `listening`: the ports that are served here, on which connections were accepted and not made. `sockets`: only these,
    by their inodes.
    """
    try:
        with NetlinkSocket(NETLINK_SOCK_DIAG) as netlink:
            found = list(islice(_by_netlink(netlink, listening, sockets), READ_LIMIT))
    except OSError:
        found = list(islice(_by_proc(listening, sockets), READ_LIMIT))
    once = {(is_loopback(one.ip), one.state, one.ip, one.port): one for one in sorted(found, key=_stalled)}
    return tuple(one for _, one in sorted(once.items())[:LIMIT])


def is_loopback(ip: str) -> bool:
    """Whether a namespace reaches itself by this address."""
    return ip.startswith("127.") or ip == "::1"


def _stalled(connection: Connection) -> bool:
    return connection.is_stalled


def lasting(before: Collection[Connection], after: Collection[Connection]) -> tuple[Connection, ...]:
    """Those that are there in both looks: what somebody else's test dials is gone within a second or two."""
    known = {(one.ip, one.port, one.state) for one in before}
    return tuple(one for one in after if (one.ip, one.port, one.state) in known)


def _by_netlink(
    netlink: NetlinkSocket, listening: Collection[int], sockets: Collection[int] | None
) -> Iterator[Connection]:
    mask = sum(1 << state for state in STATES)
    for family, size in ((socket.AF_INET, 4), (socket.AF_INET6, 16)):
        request = INET_DIAG_REQUEST.pack(family, socket.IPPROTO_TCP, 0, mask)
        for _, body in netlink.dump(SOCK_DIAG_BY_FAMILY, request):
            _, state, timer, again, own, port, _, address, *_, inode = INET_DIAG_ANSWER.unpack_from(body)
            if int.from_bytes(own, "big") not in listening and (sockets is None or inode in sockets):
                yield from _made(state, ip_text(address[:size]), int.from_bytes(port, "big"), timer, again)


def _by_proc(listening: Collection[int], sockets: Collection[int] | None) -> Iterator[Connection]:
    yield from parse_proc_table(read_text(f"{NET}/tcp"), listening, sockets)
    with contextlib.suppress(OSError):
        yield from parse_proc_table(read_text(f"{NET}/tcp6"), listening, sockets)


def parse_proc_table(
    text: str, listening: Collection[int], sockets: Collection[int] | None = None
) -> Iterator[Connection]:
    """The rows of /proc/net/tcp or tcp6 that were dialled from here. Rows that do not fit are left out."""
    for line in text.splitlines()[1:]:
        cells = line.split()
        with contextlib.suppress(ValueError, IndexError):
            is_wanted = sockets is None or int(cells[9]) in sockets
            if is_wanted and int(cells[1].partition(":")[2], 16) not in listening:
                address, _, port = cells[2].partition(":")
                timer, again = int(cells[5].partition(":")[0], 16), int(cells[6], 16)
                yield from _made(int(cells[3], 16), proc_address(address), int(port, 16), timer, again)


def _made(state: int, ip: str, port: int, timer: int, again: int) -> Iterator[Connection]:
    """`timer`: what the socket's timer is for; `again`: how often it has sent the same data again."""
    ip = ip.removeprefix("::ffff:")
    if state not in STATES or not port:
        return
    is_stalled = STATES[state] == "established" and timer == RETRANSMITTING and again >= STALLED
    if not is_loopback(ip) or is_stalled or STATES[state] == "syn-sent":
        yield Connection(ip=ip, port=port, state=STATES[state], is_stalled=is_stalled)
