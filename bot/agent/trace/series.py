"""Sends a series of probe packets, each from a source port of its own, and says what the sender got.

Everything is over before a second: TCP would send its first packets again, and each counter would count twice.
"""

import asyncio
import errno
import os
import random
import select
import socket
from collections import Counter
from dataclasses import dataclass

from bot.agent.attempts import Echo, hear_errors, make_socket, open_icmp_socket
from bot.agent.dns import DnsError, encode_question
from bot.agent.trace.packets import offered_mss
from bot.agent.traced import Sent, TraceFlow
from bot.agent.waiting import Attempt, Stopwatch, failed, queued_error

GAP_S = (0.006, 0.014)
"""Random: a beat of somebody else's must not look like ours."""
HEADERS_BYTES = 28
IPV6_MORE_BYTES = 20
RECEIVE_BYTES = 2048
RECEIVED_LIMIT = 200
PENDING = frozenset({errno.EINPROGRESS, errno.EAGAIN})


@dataclass(slots=True)
class _Probe:
    """One packet's socket, and the error that sending it met."""

    sock: socket.socket | None = None
    error: OSError | None = None


class Series:
    """One series from one namespace: `send`, wait as long as you like, `result`, `close`."""

    def __init__(self, flow: TraceFlow, make: make_socket) -> None:
        self._flow = flow
        self._is_ipv6 = ":" in flow.ip
        self._make = make
        self._probes: list[_Probe] = []

    async def send(self, rng: random.Random) -> None:
        """Send all, one after the other."""
        for at in range(self._flow.count):
            probe = _Probe()
            self._probes.append(probe)
            try:
                self._send_one(probe, at)
            except OSError as error:
                probe.error = error
            await asyncio.sleep(rng.uniform(*GAP_S))

    def result(self) -> Sent:
        """What came back by now."""
        attempts = self._answers() if self._flow.protocol == "icmp" else [self._attempt(one) for one in self._probes]
        answer = next((one for one in attempts if one.icmp), None)
        return Sent(
            flow=self._flow.number,
            sent=len(self._probes),
            outcomes=dict(Counter(one.detail or one.outcome for one in attempts)),
            icmp=answer.icmp if answer else "",
            icmp_from=answer.icmp_from if answer else "",
        )

    def close(self) -> None:
        """Close its sockets."""
        for probe in self._probes:
            if probe.sock:
                probe.sock.close()

    def _send_one(self, probe: _Probe, at: int) -> None:
        flow = self._flow
        if flow.protocol == "icmp":
            self._send_echo(probe, at)
            return
        kind = socket.SOCK_STREAM if flow.protocol == "tcp" else socket.SOCK_DGRAM
        probe.sock = sock = self._make(socket.AF_INET6 if self._is_ipv6 else socket.AF_INET, kind, 0)
        sock.setblocking(False)
        hear_errors(sock)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # the port of a trace a minute ago
        if flow.protocol == "tcp":
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, offered_mss(flow.first_port + at))
        sock.bind(("", flow.first_port + at))
        code = sock.connect_ex((flow.ip, flow.port))
        if code and code not in PENDING:
            raise OSError(code, os.strerror(code))
        if flow.protocol == "udp":
            sock.send(_payload(flow, at))

    def _send_echo(self, probe: _Probe, at: int) -> None:
        flow = self._flow
        probe.sock = self._probes[0].sock
        if probe.sock is None:
            probe.sock = open_icmp_socket(self._make, flow.ip)
            probe.sock.setblocking(False)
            hear_errors(probe.sock)
            probe.sock.connect((flow.ip, 0))
        probe.sock.send(self._echo(at).request(max(0, flow.length - _headers_bytes(flow))))

    def _echo(self, at: int) -> Echo:
        return Echo(ident=self._flow.first_port, sequence=at, is_ipv6=self._is_ipv6)

    def _attempt(self, probe: _Probe) -> Attempt:
        watch = Stopwatch()
        if probe.error or probe.sock is None:
            return failed(probe.error or OSError("not sent"), watch)
        if self._flow.protocol == "udp":
            return _datagram_attempt(probe.sock, watch)
        poll = select.poll()
        poll.register(probe.sock, select.POLLOUT)
        if not poll.poll(0):
            return Attempt(outcome="timeout", latency_ms=0)
        code = probe.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            return failed(OSError(code, os.strerror(code)), watch, queued_error(probe.sock))
        return Attempt(outcome="ok", latency_ms=0)

    def _answers(self) -> list[Attempt]:
        """Of echo requests, which share a socket: replies by their number, errors as they come."""
        watch = Stopwatch()
        found: dict[int, Attempt] = {
            at: failed(probe.error, watch) for at, probe in enumerate(self._probes) if probe.error
        }
        sock = self._probes[0].sock if self._probes else None
        echoes = {at: self._echo(at) for at in range(len(self._probes))}
        for _ in range(RECEIVED_LIMIT if sock else 0):
            assert sock
            if queued := queued_error(sock):
                at = next((at for at, echo in echoes.items() if echo.is_ours(queued.about)), None)
                if at is not None:
                    found[at] = failed(OSError(queued.code, os.strerror(queued.code)), watch, queued)
                continue
            try:
                data = sock.recv(RECEIVE_BYTES)
            except BlockingIOError:
                break
            except OSError:
                continue
            at = next((at for at, echo in echoes.items() if echo.is_reply(data)), None)
            if at is not None:
                found[at] = Attempt(outcome="ok", latency_ms=0)
        return [found.get(at, Attempt(outcome="timeout", latency_ms=0)) for at in echoes]


def _datagram_attempt(sock: socket.socket, watch: Stopwatch) -> Attempt:
    if queued := queued_error(sock):
        return failed(OSError(queued.code, os.strerror(queued.code)), watch, queued)
    try:
        sock.recv(RECEIVE_BYTES)
    except BlockingIOError:
        return Attempt(outcome="timeout", latency_ms=0)
    except OSError as error:
        return failed(error, watch)
    return Attempt(outcome="ok", latency_ms=0)


def _payload(flow: TraceFlow, at: int) -> bytes:
    """Of the length that tells the series; a DNS question stands first in it, as servers ignore what follows."""
    begins = b""
    if flow.question:
        try:
            begins = encode_question(flow.first_port + at, flow.question)
        except DnsError:
            begins = b""
    return begins.ljust(max(0, flow.length - _headers_bytes(flow)), b"\0")


def _headers_bytes(flow: TraceFlow) -> int:
    """Of UDP or an echo, with IP's."""
    return HEADERS_BYTES + (IPV6_MORE_BYTES if ":" in flow.ip else 0)
