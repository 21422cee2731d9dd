"""Who answers ARP for an address, how late, and does that vary?

Requests carry the pod's own MAC and IP, as the pod's kernel would send them: a gateway answers by proxy only for
sources that it would route (a request from 0.0.0.0 stays unanswered), and no neighbour learns anything untrue.
"""

import asyncio
import errno
import random
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from bot.agent.report import ArpResult
from bot.agent.waiting import ready

ETH_P_ARP = 0x0806
ETHERNET_IPV4 = struct.Struct("!HHBBH6s4s6s4s")
"""Hardware and protocol types and lengths, operation, sender's addresses, target's addresses."""
REQUEST, REPLY = 1, 2
BROADCAST = b"\xff" * 6
FRAME_BYTES = 60
SO_TIMESTAMPNS = 35
TIMESPEC = struct.Struct("=qq")
WAIT_S = 1.0
"""For an answer, from its request. Proxy delays are random up to their sysctl (hundredths of a second)."""
GAP_S = (0.12, 0.18)
"""Between two requests when the first is not answered; random, so that a random delay shows as spread."""
GAP_ANSWERED_S = (0.02, 0.05)
MAX_FRAMES = 100
"""Taken at once: a broadcast storm must not hold us."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArpQuestion:
    """Asked on device `dev` by (mac, src) for `ip`."""

    dev: str
    mac: bytes
    src: str
    ip: str


@dataclass(slots=True)
class Tally:
    """Requests' times, and each answering MAC's times. The k-th answer of a MAC belongs to the k-th request: ARP
    carries nothing that tells two requests apart.
    """

    sent_at: list[float] = field(default_factory=list[float])
    answered_at: dict[str, list[float]] = field(default_factory=dict[str, list[float]])

    @property
    def is_silent(self) -> bool:
        """Whether it was asked more than once by now and nobody answered."""
        return len(self.sent_at) > 1 and not self.answered_at

    @property
    def is_complete(self) -> bool:
        """Whether somebody answered every request so far."""
        return any(len(times) >= len(self.sent_at) for times in self.answered_at.values())

    def answers_ms(self, count: int) -> tuple[float | None, ...]:
        """How long each of the first `count` requests waited for its answer; None for no answer."""
        found: list[float | None] = []
        for at in range(count):
            times = [times[at] for times in self.answered_at.values() if at < len(times)]
            has_both = times and at < len(self.sent_at)
            found.append(round(max(0.0, min(times) - self.sent_at[at]) * 1000, 3) if has_both else None)
        return tuple(found)


def open_arp_socket(dev: str) -> socket.socket:
    """A packet socket for ARP on one device; to be made inside the namespace. OSError: ENODEV, EPERM."""
    # Protocol 0 first: a socket that already receives waits for all processors (10 ms) when it is bound.
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        sock.bind((dev, ETH_P_ARP))
    except OSError:
        sock.close()
        raise
    return sock


async def arp_request(
    sock: socket.socket, question: ArpQuestion, tries: int, rng: random.Random, tally: Tally
) -> ArpResult:
    """Ask `tries` times and wait for the answers. `tally` shows how it stands meanwhile.

    The socket stays open: closing it takes 10 ms, see `close_all`.
    """
    error = ""
    for _ in range(tries):
        # Before sending: on a veth the answer is there before send() returns.
        sent_at = time.time()
        try:
            sock.send(encode_request(question))
        except OSError as refused:
            error = errno.errorcode.get(refused.errno or 0, str(refused))
            break
        tally.sent_at.append(sent_at)
        await _hear(sock, question.ip, tally, rng.uniform(*GAP_S))
        if tally.is_complete:
            await _hear(sock, question.ip, tally, rng.uniform(*GAP_ANSWERED_S), is_lasting=True)
    if tally.sent_at and not tally.is_complete:
        await _hear(sock, question.ip, tally, tally.sent_at[-1] + WAIT_S - time.time())
    return ArpResult(
        ip=question.ip,
        dev=question.dev,
        answers_ms=tally.answers_ms(tries),
        macs=tuple(sorted(tally.answered_at)),
        waited_s=WAIT_S,
        error=error,
    )


async def _hear(sock: socket.socket, ip: str, tally: Tally, limit_s: float, *, is_lasting: bool = False) -> None:
    """Collect answers until all requests have one, or time is up (always until then when `is_lasting`).

    Time may be up because nobody ran us: what has arrived by then counts, and the kernel says when it came.
    """
    deadline = asyncio.timeout(max(0.0, limit_s))
    try:
        async with deadline:
            while is_lasting or not tally.is_complete:
                await ready(sock)
                _collect(sock, ip, tally)
    except TimeoutError:
        if not deadline.expired():
            raise
        _collect(sock, ip, tally)


def _collect(sock: socket.socket, ip: str, tally: Tally) -> None:
    """Take what has arrived."""
    for _ in range(MAX_FRAMES):
        try:
            frame, ancillary, _, _ = sock.recvmsg(256, 64)
        except OSError:
            return  # Nothing more; ENETDOWN is reported once when the device goes down, and requests stay unanswered.
        mac = answering_mac(frame, ip)
        if mac:
            tally.answered_at.setdefault(mac, []).append(_arrival(ancillary))


def encode_request(question: ArpQuestion) -> bytes:
    """The Ethernet frame of a request, padded to the least that Ethernet carries."""
    arp = ETHERNET_IPV4.pack(
        1, 0x0800, 6, 4, REQUEST, question.mac, socket.inet_aton(question.src), b"\0" * 6, socket.inet_aton(question.ip)
    )
    return (BROADCAST + question.mac + ETH_P_ARP.to_bytes(2, "big") + arp).ljust(FRAME_BYTES, b"\0")


def answering_mac(frame: bytes, ip: str) -> str:
    """The MAC that a reply names for the address; "" for any other frame."""
    if len(frame) < 14 + ETHERNET_IPV4.size:
        return ""
    *_, operation, mac, sender, _, _ = ETHERNET_IPV4.unpack_from(frame, 14)
    return mac.hex(":") if operation == REPLY and socket.inet_ntoa(sender) == ip else ""


def _arrival(ancillary: list[tuple[int, int, bytes]]) -> float:
    """The kernel's time of arrival: the event loop may have been busy."""
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS and len(data) >= TIMESPEC.size:
            seconds, nanoseconds = TIMESPEC.unpack_from(data)
            return seconds + nanoseconds / 1e9
    return time.time()


async def close_all(sockets: list[socket.socket], run: Callable[[Callable[[], None]], asyncio.Future[None]]) -> None:
    """Close packet sockets side by side in threads.

    The kernel waits for all processors at each (12 ms measured, 2.5 s for 200), but threads wait together.
    """
    for future in [run(sock.close) for sock in sockets]:
        await future
