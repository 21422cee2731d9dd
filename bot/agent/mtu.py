"""The path-MTU ladder: which sizes of packet, that nobody may fragment, reach a target?

Healthy is "too big" from the own device above its MTU (or an end at the route's, where a tunnel's smaller MTU stands);
"fragmentation needed" from a router works, for those who listen; silence above a size is a black hole.

The packets are written with their own IP header: DF is set there, while the socket is in the mode in which the kernel
neither consults nor learns path MTUs. So a ladder sees what is on the wire now, not what was learnt ten minutes ago,
and leaves no exception behind in the pod's routes.
"""

import secrets
import socket
import struct
from collections.abc import Iterable
from typing import Literal

from bot.agent.attempts import Echo, exchange, make_socket, open_icmp_socket
from bot.agent.report import MtuStep
from bot.agent.waiting import Attempt, Patience, Stopwatch, failed
from bot.aio.groups import TaskGroup

IP_HDRINCL = 3
IP_HEADER = struct.Struct("!BBHHHBBH4s4s")
DONT_FRAGMENT = 0x4000
TTL = 64
LADDER_BYTES = (576, 1280, 1400, 1410, 1430, 1440, 1450, 1480, 1500)
HEADERS_BYTES = 28
LARGEST_BYTES = 9216

StepOutcome = Literal["ok", "timeout", "too-big-local", "frag-needed", "error"]


def ladder(interface_mtu: int, route_mtu: int | None = None) -> tuple[int, ...]:
    """The sizes to try: common ones, the device's MTU, and one beyond it to see the device refuse.

    Where the route allows less than the device, the ladder ends there: nothing that the sender sends is larger, and
    these sockets would not be refused.
    """
    if route_mtu and HEADERS_BYTES < route_mtu < interface_mtu:
        return tuple(sorted({size for size in LADDER_BYTES if size < route_mtu} | {route_mtu}))
    sizes = {size for size in LADDER_BYTES if size <= max(interface_mtu, 1500)}
    if HEADERS_BYTES < interface_mtu <= LARGEST_BYTES:
        sizes |= {interface_mtu, interface_mtu + 1}
    return tuple(sorted(sizes))


async def climb(make: make_socket, ip: str, sizes: Iterable[int], patience: Patience) -> tuple[MtuStep, ...]:
    """All sizes at once, in order of size."""
    async with TaskGroup() as group:
        # The group owns the tasks: it waits for all of them and cancels them together.
        steps = [group.create_task(_step(make, ip, size, patience)) for size in sizes]
    return tuple(step.result() for step in steps)


async def _step(make: make_socket, ip: str, size: int, patience: Patience) -> MtuStep:
    attempt = await _send(make, ip, size, patience)
    return MtuStep(size_bytes=size, outcome=_outcome(attempt), mtu_bytes=attempt.mtu_bytes)


async def _send(make: make_socket, ip: str, size: int, patience: Patience) -> Attempt:
    watch = Stopwatch()
    echo = Echo(ident=secrets.randbelow(65_535), sequence=size & 0xFFFF)
    try:
        sock = open_icmp_socket(make, ip)
    except OSError as error:
        return failed(error, watch)
    with sock:
        sock.setsockopt(socket.IPPROTO_IP, IP_HDRINCL, 1)
        return await exchange(
            sock,
            (ip, 0),
            packet_of(ip, size, echo),
            patience,
            is_reply=echo.is_reply,
            # With its own header, the socket is shown the quoted packet from the IP header on.
            is_ours=lambda packet: echo.is_ours(packet[IP_HEADER.size :]),
        )


def packet_of(ip: str, size: int, echo: Echo) -> bytes:
    """An echo request of exactly `size` bytes with DF set. The kernel fills in the source, the id and the checksum."""
    source, target = b"\0" * 4, socket.inet_aton(ip)
    header = IP_HEADER.pack(0x45, 0, size, 0, DONT_FRAGMENT, TTL, socket.IPPROTO_ICMP, 0, source, target)
    return header + echo.request(size - HEADERS_BYTES)


def _outcome(attempt: Attempt) -> StepOutcome:
    match attempt.outcome:
        case "ok":
            return "ok"
        case "timeout":
            return "timeout"
        case "EMSGSIZE":
            return "frag-needed" if attempt.icmp else "too-big-local"
        case _:
            return "error"
