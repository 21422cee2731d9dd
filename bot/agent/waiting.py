"""Waiting for sockets, and for how long."""

import asyncio
import errno
import select
import socket
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import get_args

from bot.agent.report import Outcome

IP_RECVERR = 11
IPV6_RECVERR = 25
EXTENDED_ERROR = struct.Struct("=IBBBxII")
"""struct sock_extended_err: errno, origin, type, code, info, data; a sockaddr of the offender follows."""
ERROR_QUEUE_BYTES = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class _Icmp:
    """How one family's ICMP stands in an extended error."""

    family: socket.AddressFamily
    origin: int
    """SO_EE_ORIGIN_*."""
    unreachable: int
    """The type of "destination unreachable"."""
    codes: tuple[str, ...]
    """Its codes."""
    others: Mapping[tuple[int, int], str]
    """Names of further types, with their codes."""
    address_at: int
    """Where the offender's address begins in its sockaddr."""
    address_bytes: int


_ICMP = _Icmp(
    family=socket.AF_INET,
    origin=2,
    unreachable=3,
    codes=(
        "net-unreachable",
        "host-unreachable",
        "protocol-unreachable",
        "port-unreachable",
        "frag-needed",
        "source-route-failed",
        "net-unknown",
        "host-unknown",
        "host-isolated",
        "net-prohibited",
        "host-prohibited",
        "net-unreachable-for-tos",
        "host-unreachable-for-tos",
        "admin-prohibited",
        "host-precedence-violation",
        "precedence-cutoff",
    ),
    others={(11, 0): "ttl-exceeded"},
    address_at=4,
    address_bytes=4,
)
_ICMP6 = _Icmp(
    family=socket.AF_INET6,
    origin=3,
    unreachable=1,
    codes=(
        "net-unreachable",
        "admin-prohibited",
        "scope-mismatch",
        "host-unreachable",
        "port-unreachable",
        "source-policy-failed",
        "net-prohibited",
    ),
    others={(2, 0): "packet-too-big", (3, 0): "hop-limit-exceeded"},
    address_at=8,
    address_bytes=16,
)
OUTCOMES = frozenset(get_args(Outcome))


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long one test waits: `first_s`, and to `more_s` when by then a next hop on the way is unresolved."""

    first_s: float
    more_s: float
    is_unresolved: Callable[[], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try and what came of it."""

    outcome: Outcome
    latency_ms: float
    detail: str = ""
    icmp: str = ""
    icmp_from: str = ""
    mtu_bytes: int | None = None
    rcode: str = ""
    answers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedError:
    """What the kernel queued with IP_RECVERR: the errno, and the ICMP message behind it if there was one."""

    code: int
    icmp: str = ""
    icmp_from: str = ""
    info: int = 0
    """The MTU of "fragmentation needed"."""
    about: bytes = b""
    """The start of the packet that the error is about."""


class Stopwatch:
    """Milliseconds since it was made."""

    def __init__(self) -> None:
        self._began = time.perf_counter()

    @property
    def ms(self) -> float:
        """Milliseconds so far."""
        return round((time.perf_counter() - self._began) * 1000, 3)


async def ready(sock: socket.socket, *, for_writing: bool = False) -> None:
    """Returns when the socket can be read (written), or holds an error."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    add, remove = (loop.add_writer, loop.remove_writer) if for_writing else (loop.add_reader, loop.remove_reader)
    fd = sock.fileno()
    add(fd, _resolve, future)
    try:
        await future
    finally:
        remove(fd)


async def ready_in_time(
    sock: socket.socket, patience: Patience, watch: Stopwatch, *, for_writing: bool = False
) -> bool:
    """Whether it became ready before patience ended, counted by the test's watch."""
    began = asyncio.get_running_loop().time() - watch.ms / 1000
    if await _ready_by(sock, began + patience.first_s, for_writing=for_writing):
        return True
    if patience.more_s <= patience.first_s or not patience.is_unresolved():
        return False
    return await _ready_by(sock, began + patience.more_s, for_writing=for_writing)


async def _ready_by(sock: socket.socket, when: float, *, for_writing: bool) -> bool:
    deadline = asyncio.timeout_at(when)
    try:
        async with deadline:
            await ready(sock, for_writing=for_writing)
    except TimeoutError:
        if not deadline.expired():
            raise
        return _is_ready(sock, for_writing=for_writing)
    return True


def _is_ready(sock: socket.socket, *, for_writing: bool) -> bool:
    """Whether it is ready now: what arrived in time counts even if the event loop was too busy to notice."""
    poll = select.poll()
    poll.register(sock, select.POLLOUT if for_writing else select.POLLIN)
    return bool(poll.poll(0))


def failed(error: OSError, watch: Stopwatch, queued: QueuedError | None = None) -> Attempt:
    """The attempt that an errno ended."""
    name = errno.errorcode.get(error.errno or 0, str(error))
    special: dict[str, Outcome] = {"ECONNRESET": "reset", "ETIMEDOUT": "timeout"}
    outcome: Outcome = special.get(name) or (name if name in OUTCOMES else "error")  # pyright: ignore[reportAssignmentType]
    return Attempt(
        outcome=outcome,
        latency_ms=watch.ms,
        detail="" if outcome == name else name,
        icmp=queued.icmp if queued else "",
        icmp_from=queued.icmp_from if queued else "",
        mtu_bytes=queued.info if queued and queued.code == errno.EMSGSIZE and queued.info else None,
    )


def queued_error(sock: socket.socket) -> QueuedError | None:
    """The oldest error of the socket's queue; None when there is none (IP_RECVERR off, or an error without ICMP)."""
    try:
        about, ancillary, _, _ = sock.recvmsg(ERROR_QUEUE_BYTES, ERROR_QUEUE_BYTES, socket.MSG_ERRQUEUE)
    except OSError:
        return None
    for level, kind, data in ancillary:
        if len(data) < EXTENDED_ERROR.size:
            continue
        if level == socket.IPPROTO_IP and kind == IP_RECVERR:
            return _extended_error(data, about, _ICMP)
        if level == socket.IPPROTO_IPV6 and kind == IPV6_RECVERR:
            return _extended_error(data, about, _ICMP6)
    return None


def _extended_error(data: bytes, about: bytes, icmp: _Icmp) -> QueuedError:
    numbers: tuple[int, int, int, int, int, int] = EXTENDED_ERROR.unpack_from(data)
    code, origin, kind, icmp_code, info, _ = numbers
    if origin != icmp.origin:
        return QueuedError(code=code, info=info, about=about)
    is_known = kind == icmp.unreachable and icmp_code < len(icmp.codes)
    offender = data[EXTENDED_ERROR.size + icmp.address_at :][: icmp.address_bytes]
    return QueuedError(
        code=code,
        icmp=icmp.codes[icmp_code] if is_known else icmp.others.get((kind, icmp_code), f"{kind}/{icmp_code}"),
        icmp_from=socket.inet_ntop(icmp.family, offender) if len(offender) == icmp.address_bytes else "",
        info=info,
        about=about,
    )


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
