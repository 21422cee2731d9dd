"""One try to reach something: ICMP echo, TCP connect, UDP datagram, DNS question. Each states outcome and latency.

A socket comes from `make`, which creates it in the source's namespace. Errors that routers send (ICMP) are taken from
the socket's error queue, with their sender: "host unreachable" from the pod's own address means its own next hop did
not answer ARP; from a node's address, that node's next hop.
"""

import asyncio
import contextlib
import errno
import os
import secrets
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from bot.agent.dns import DnsError, decode_answer, encode_question
from bot.agent.waiting import (
    IP_RECVERR,
    IPV6_RECVERR,
    Attempt,
    Patience,
    Stopwatch,
    failed,
    queued_error,
    ready,
    ready_in_time,
)

ICMP_ECHO_REPLY, ICMP_ECHO = 0, 8
ICMP6_ECHO_REPLY, ICMP6_ECHO = 129, 128
SOL_RAW, ICMP_FILTER = 255, 1
SOL_ICMPV6, ICMP6_FILTER = 58, 1
ONLY_ECHO_REPLIES = struct.pack("=I", 0xFFFFFFFF ^ (1 << ICMP_ECHO_REPLY))
ONLY_ECHO_REPLIES_6 = struct.pack(
    "=8I", *(0xFFFFFFFF ^ (1 << ICMP6_ECHO_REPLY >> 32 * word) & 0xFFFFFFFF for word in range(8))
)
IP_MTU_DISCOVER, IPV6_MTU_DISCOVER = 10, 23
IP_PMTUDISC_INTERFACE = 4
"""Of both families."""
ICMP_HEADER = struct.Struct("!BBHHH")
DNS_PORT = 53
FIRST_WORD_S = 0.04
UDP_PAYLOAD = b"\n"
RECEIVE_BYTES = 65_535
STRANGERS_LIMIT = 20
"""Datagrams that answer somebody else's question before the test gives up."""

make_socket = Callable[[int, int, int], socket.socket]
"""(family, type, protocol) -> a socket in the source's namespace."""


async def icmp_echo(make: make_socket, ip: str, patience: Patience) -> Attempt:
    """Does the address answer an echo request?"""
    watch = Stopwatch()
    echo = Echo(ident=secrets.randbelow(65_535), sequence=1, is_ipv6=":" in ip)
    try:
        sock = open_icmp_socket(make, ip)
    except OSError as error:
        return failed(error, watch)
    with sock:
        return await exchange(sock, (ip, 0), echo.request(56), patience, is_reply=echo.is_reply, is_ours=echo.is_ours)


async def tcp_connect(make: make_socket, ip: str, port: int, patience: Patience) -> Attempt:
    """Does the address accept a connection? It is closed at once, politely."""
    watch = Stopwatch()
    try:
        sock = make(_family(ip), socket.SOCK_STREAM, 0)
    except OSError as error:
        return failed(error, watch)
    with sock:
        attempt = await _connected(sock, ip, port, patience, watch)
        if attempt.outcome != "ok":
            return attempt
        try:
            is_closed = await _first_word(sock) == b""
        except BlockingIOError:
            return attempt
        except OSError as error:
            return failed(error, watch)
        detail = "the other side closed at once" if is_closed else ""
        return Attempt(outcome="ok", latency_ms=attempt.latency_ms, detail=detail)


async def _first_word(sock: socket.socket) -> bytes:
    """What the other side says (b"": it closed) within a moment. BlockingIOError when nothing, OSError for a reset.

    Who accepts and resets does so after the handshake: without that moment it would count as served now and then.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(FIRST_WORD_S):
            await ready(sock)
    return sock.recv(1, socket.MSG_PEEK)


async def udp_send(make: make_socket, ip: str, port: int, patience: Patience) -> Attempt:
    """Does anything come back for one small datagram? Silence is no proof of failure: many servers never answer."""
    watch = Stopwatch()
    try:
        sock = make(_family(ip), socket.SOCK_DGRAM, 0)
    except OSError as error:
        return failed(error, watch)
    with sock:
        return await exchange(sock, (ip, port), UDP_PAYLOAD, patience, is_reply=lambda _: True)


async def dns_question(
    make: make_socket,
    server: str,
    name: str,
    protocol: Literal["udp", "tcp"],
    patience: Patience,
    record: Literal["A", "AAAA"] = "A",
) -> Attempt:
    """Does the server answer? An answer is "ok" whatever its rcode, which stands beside it."""
    watch = Stopwatch()
    ident = secrets.randbelow(65_536)
    try:
        question = encode_question(ident, name, record)
        sock = make(_family(server), socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM, 0)
    except DnsError as error:
        return Attempt(outcome="error", latency_ms=watch.ms, detail=str(error))
    except OSError as error:
        return failed(error, watch)
    with sock:
        if protocol == "tcp":
            return await _dns_over_tcp(sock, server, question, ident, patience, watch)
        replies: list[bytes] = []

        def is_reply(data: bytes) -> bool:
            replies[:] = [data]
            return data[:2] == question[:2]

        attempt = await exchange(sock, (server, DNS_PORT), question, patience, is_reply=is_reply)
        return _with_answer(attempt, replies[0], ident) if attempt.outcome == "ok" else attempt


async def exchange(
    sock: socket.socket,
    address: tuple[str, int],
    payload: bytes,
    patience: Patience,
    *,
    is_reply: Callable[[bytes], bool],
    is_ours: Callable[[bytes], bool] = lambda _: True,
) -> Attempt:
    """Send one datagram on a socket and wait for its reply or an ICMP error about it.

    `is_reply` looks at a datagram. `is_ours` looks at the packet that an ICMP error is about: raw sockets get the
    errors about each other's packets to the same address.
    """
    watch = Stopwatch()
    try:
        _hear_errors(sock)
        sock.connect(address)
        sock.send(payload)
    except OSError as error:
        return failed(error, watch, queued_error(sock))
    for _ in range(STRANGERS_LIMIT):
        if not await ready_in_time(sock, patience, watch):
            break
        try:
            if queued := queued_error(sock):
                if is_ours(queued.about):
                    return failed(OSError(queued.code, os.strerror(queued.code)), watch, queued)
                continue
            if is_reply(sock.recv(RECEIVE_BYTES)):
                return Attempt(outcome="ok", latency_ms=watch.ms)
        except BlockingIOError:
            continue
        except OSError as error:
            return failed(error, watch)
    return Attempt(outcome="timeout", latency_ms=watch.ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Echo:
    """One ICMP echo request, distinguished from others by its numbers."""

    ident: int
    sequence: int
    is_ipv6: bool = False

    def request(self, payload_bytes: int) -> bytes:
        """The message with its checksum, which the kernel writes into those of IPv6."""
        payload = bytes(at & 0xFF for at in range(payload_bytes))
        if self.is_ipv6:
            return ICMP_HEADER.pack(ICMP6_ECHO, 0, 0, self.ident, self.sequence) + payload
        header = ICMP_HEADER.pack(ICMP_ECHO, 0, 0, self.ident, self.sequence)
        return ICMP_HEADER.pack(ICMP_ECHO, 0, checksum(header + payload), self.ident, self.sequence) + payload

    def is_reply(self, packet: bytes) -> bool:
        """Whether what a raw socket receives is its reply: an IPv4 packet, or a message of ICMPv6."""
        if self.is_ipv6:
            return self._is(packet, ICMP6_ECHO_REPLY)
        return self._is(packet[(packet[0] & 0xF) * 4 :] if packet else b"", ICMP_ECHO_REPLY)

    def is_ours(self, message: bytes) -> bool:
        """Whether an ICMP message is this request, as a router quotes it."""
        return self._is(message, ICMP6_ECHO if self.is_ipv6 else ICMP_ECHO)

    def _is(self, message: bytes, wanted: int) -> bool:
        if len(message) < ICMP_HEADER.size:
            return False
        kind, _, _, ident, sequence = ICMP_HEADER.unpack_from(message)
        return (kind, ident, sequence) == (wanted, self.ident, self.sequence)


def open_icmp_socket(make: make_socket, ip: str) -> socket.socket:
    """A raw socket of this address's family: it receives echo replies only and learns no path MTU.

    OSError when it is refused.
    Every raw socket to an address gets the "fragmentation needed" about any other's packet, and in the usual mode
    would enter it into the pod's routes.
    """
    if _family(ip) == socket.AF_INET6:
        sock = make(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        sock.setsockopt(SOL_ICMPV6, ICMP6_FILTER, ONLY_ECHO_REPLIES_6)
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, IP_PMTUDISC_INTERFACE)
        return sock
    sock = make(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    sock.setsockopt(SOL_RAW, ICMP_FILTER, ONLY_ECHO_REPLIES)
    sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_INTERFACE)
    return sock


def checksum(data: bytes) -> int:
    """The internet checksum (RFC 1071)."""
    padded = data + b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


async def _connected(sock: socket.socket, ip: str, port: int, patience: Patience, watch: Stopwatch) -> Attempt:
    try:
        _hear_errors(sock)
        code = sock.connect_ex((ip, port))
    except OSError as error:
        return failed(error, watch)
    if code == errno.EINPROGRESS:
        if not await ready_in_time(sock, patience, watch, for_writing=True):
            return Attempt(outcome="timeout", latency_ms=watch.ms)
        # SO_ERROR first: reading the queue clears it.
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        return failed(OSError(code, os.strerror(code)), watch, queued_error(sock))
    return Attempt(outcome="ok", latency_ms=watch.ms)


async def _dns_over_tcp(
    sock: socket.socket, server: str, question: bytes, ident: int, patience: Patience, watch: Stopwatch
) -> Attempt:
    attempt = await _connected(sock, server, DNS_PORT, patience, watch)
    if attempt.outcome != "ok":
        return attempt
    loop = asyncio.get_running_loop()
    deadline = asyncio.timeout(patience.first_s)
    try:
        async with deadline:
            await loop.sock_sendall(sock, len(question).to_bytes(2, "big") + question)
            length = int.from_bytes(await _receive_exactly(sock, 2), "big")
            answer = await _receive_exactly(sock, length)
    except TimeoutError:
        return Attempt(outcome="timeout", latency_ms=watch.ms, detail="connected, then no answer")
    except EOFError:
        return Attempt(outcome="reset", latency_ms=watch.ms, detail="closed without an answer")
    except OSError as error:
        return failed(error, watch)
    return _with_answer(Attempt(outcome="ok", latency_ms=watch.ms), answer, ident)


async def _receive_exactly(sock: socket.socket, length: int) -> bytes:
    loop = asyncio.get_running_loop()
    data = b""
    while len(data) < length:
        part = await loop.sock_recv(sock, length - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def _with_answer(attempt: Attempt, data: bytes, ident: int) -> Attempt:
    try:
        answer = decode_answer(data, ident)
    except DnsError as error:
        return Attempt(outcome="error", latency_ms=attempt.latency_ms, detail=str(error))
    return Attempt(
        outcome="ok",
        latency_ms=attempt.latency_ms,
        rcode=answer.rcode,
        answers=answer.addresses,
        detail="truncated" if answer.is_truncated else "",
    )


def _hear_errors(sock: socket.socket) -> None:
    sock.setblocking(False)
    hear_errors(sock)


def hear_errors(sock: socket.socket) -> None:
    """Have the kernel queue the ICMP errors about what this socket sends."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)


def _family(ip: str) -> int:
    return socket.AF_INET6 if ":" in ip else socket.AF_INET
