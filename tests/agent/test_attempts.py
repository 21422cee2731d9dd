"""Single attempts against servers that misbehave, over loopback."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import cast

import pytest

from bot.agent import attempts
from bot.agent.attempts import dns_question, icmp_echo, tcp_connect, udp_send
from bot.agent.waiting import Attempt, Patience, Stopwatch, failed

LOOPBACK = "127.0.0.1"
LINGER_NOT = struct.pack("ii", 1, 0)
SHORT = Patience(first_s=0.3, more_s=0.3, is_unresolved=lambda: False)
LONG = Patience(first_s=10, more_s=10, is_unresolved=lambda: False)

Handle = Callable[[socket.socket], Awaitable[None]]
QUESTION_BYTES = 2 + 12 + 5 + 4


def make(family: int, kind: int, protocol: int) -> socket.socket:
    return socket.socket(family, kind, protocol)


def refused(family: int, kind: int, protocol: int) -> socket.socket:
    raise PermissionError(1, "no")


async def against(handle: Handle, ask: Callable[[int], Awaitable[Attempt]]) -> Attempt:
    """What comes of asking a server that accepts one connection, handles it so, and closes it."""
    loop = asyncio.get_running_loop()

    async def serve(listener: socket.socket) -> None:
        connection, _ = await loop.sock_accept(listener)
        with connection:
            await handle(connection)

    with socket.create_server((LOOPBACK, 0)) as listener:
        listener.setblocking(False)
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(serve(listener))
            attempt = await ask(listener.getsockname()[1])
            serving.cancel()
    return attempt


async def ask_dns_over_tcp(monkeypatch: pytest.MonkeyPatch, handle: Handle, patience: Patience = LONG) -> Attempt:
    async def ask(port: int) -> Attempt:
        monkeypatch.setattr(attempts, "DNS_PORT", port)
        return await dns_question(make, LOOPBACK, "a.b", "tcp", patience)

    return await against(handle, ask)


def answering(data: bytes, *, is_reset: bool = False) -> Handle:
    async def handle(connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_recv(connection, QUESTION_BYTES)
        if is_reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
        await loop.sock_sendall(connection, data)

    return handle


async def keep_silent(connection: socket.socket) -> None:
    await asyncio.get_running_loop().create_future()


async def test_a_dns_server_that_closes_without_an_answer_is_a_reset(monkeypatch: pytest.MonkeyPatch):
    attempt = await ask_dns_over_tcp(monkeypatch, answering(b"\0"))
    assert (attempt.outcome, attempt.detail) == ("reset", "closed without an answer")


async def test_a_dns_server_that_resets_is_a_reset(monkeypatch: pytest.MonkeyPatch):
    attempt = await ask_dns_over_tcp(monkeypatch, answering(b"", is_reset=True))
    assert (attempt.outcome, attempt.detail) == ("reset", "ECONNRESET")


async def test_a_dns_server_that_connects_and_keeps_silent_is_a_timeout(monkeypatch: pytest.MonkeyPatch):
    attempt = await ask_dns_over_tcp(monkeypatch, keep_silent, SHORT)
    assert (attempt.outcome, attempt.detail) == ("timeout", "connected, then no answer")


async def test_an_answer_that_is_none_is_an_error(monkeypatch: pytest.MonkeyPatch):
    attempt = await ask_dns_over_tcp(monkeypatch, answering(b"\0\x03abc"))
    assert (attempt.outcome, attempt.detail) == ("error", "the answer is cut short")


async def test_nobody_on_the_dns_port_is_a_refusal(monkeypatch: pytest.MonkeyPatch):
    with socket.socket() as unused:
        unused.bind((LOOPBACK, 0))
        monkeypatch.setattr(attempts, "DNS_PORT", unused.getsockname()[1])
        assert (await dns_question(make, LOOPBACK, "a.b", "tcp", LONG)).outcome == "ECONNREFUSED"
        assert (await dns_question(make, LOOPBACK, "a.b", "udp", LONG)).outcome == "ECONNREFUSED"


async def test_udp_answers_to_other_questions_do_not_count(monkeypatch: pytest.MonkeyPatch):
    class Stranger(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = cast("asyncio.DatagramTransport", transport)

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            for _ in range(3):
                self.transport.sendto(bytes([data[0] ^ 1]) + data[1:], addr)

    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Stranger, local_addr=(LOOPBACK, 0))
    monkeypatch.setattr(attempts, "DNS_PORT", transport.get_extra_info("sockname")[1])
    attempt = await dns_question(make, LOOPBACK, "a.b", "udp", SHORT)
    transport.close()
    assert attempt.outcome == "timeout"
    assert attempt.latency_ms >= 290


@pytest.mark.parametrize("linger", [b"", LINGER_NOT], ids=["closes", "resets"])
async def test_a_server_that_ends_the_connection_at_once_still_accepted_it(linger: bytes):
    """Whether its end has come when the connection is inspected is a race of two processors: both are right."""

    async def end(connection: socket.socket) -> None:
        if linger:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    attempt = await against(end, lambda port: tcp_connect(make, LOOPBACK, port, LONG))
    assert attempt.outcome in {"ok", "reset"}


async def test_a_socket_that_is_refused_is_the_outcome_of_each_kind():
    assert (await icmp_echo(refused, LOOPBACK, SHORT)).outcome == "EPERM"
    assert (await tcp_connect(refused, LOOPBACK, 80, SHORT)).outcome == "EPERM"
    assert (await udp_send(refused, LOOPBACK, 80, SHORT)).outcome == "EPERM"
    assert (await dns_question(refused, LOOPBACK, "a.b", "udp", SHORT)).outcome == "EPERM"


def test_an_errno_without_a_name_of_its_own_stands_in_the_detail():
    attempt = failed(OSError(71, "protocol error"), Stopwatch())

    assert (attempt.outcome, attempt.detail) == ("error", "EPROTO")
    assert failed(OSError(110, "timed out"), Stopwatch()).outcome == "timeout"
    assert failed(OSError("strange"), Stopwatch()).detail == "strange"
