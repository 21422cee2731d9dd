"""Questions in an application's protocol, against servers on loopback: right ones, strange ones, and silence."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from socket import socket
from typing import Any

import pytest

from bot.agent import dials, grpc
from bot.agent.dials import ask
from bot.agent.report import Dial, DialAnswer
from tests.certificates import Authority

LOOPBACK = "127.0.0.1"
Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence is silence after less."""
    monkeypatch.setattr(dials, "ANSWER_S", 0.5)


@asynccontextmanager
async def served(handle: Handle, tls: ssl.SSLContext | None = None) -> AsyncGenerator[int]:
    """A server's port."""

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handle(reader, writer)
            await writer.drain()
        except (ConnectionError, EOFError):
            pass  # the asker has gone: what it understood is the test's matter
        finally:
            writer.close()

    async with await asyncio.start_server(once, LOOPBACK, 0, ssl=tls) as server:
        yield server.sockets[0].getsockname()[1]


async def asked(handle: Handle, server: ssl.SSLContext | None = None, **question: Any) -> DialAnswer:
    async with served(handle, server) as port:
        dial = Dial(name=f"shop/web:{port}", ip=LOOPBACK, port=port, kind="http", sources=(), host="web.shop")
        return await ask(replace(dial, **question), socket, "uid-1")


def saying(text: bytes, *, to: list[bytes] | None = None) -> Handle:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if to is not None:
            to.append(head)
        writer.write(text)

    return handle


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhealthy"


async def test_http_is_asked_politely_and_answered_by_its_status() -> None:
    heads: list[bytes] = []

    answer = await asked(saying(OK, to=heads), path="/health", contains="healthy")

    assert (answer.outcome, answer.status, answer.has_text) == ("answered", 200, True)
    assert (answer.source, answer.kind) == ("uid-1", "http")
    head = heads[0].decode()
    assert head.startswith("GET /health HTTP/1.1\r\nHost: web.shop:")
    assert "\r\nConnection: close\r\n" in head


@pytest.mark.parametrize(
    ("text", "outcome", "status"),
    [
        (b"HTTP/1.0 503 Service Unavailable\r\n\r\n", "answered", 503),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "answered", 403),
        (b"", "closed", None),
        (b"SSH-2.0-OpenSSH_9.7\r\n", "not-understood", None),
        (b"HTTP/1.1 20", "not-understood", None),
    ],
)
async def test_what_an_answer_says(text: bytes, outcome: str, status: int | None) -> None:
    answer = await asked(saying(text))

    assert (answer.outcome, answer.status) == (outcome, status)


async def test_a_text_that_is_not_there_is_not_found() -> None:
    assert (await asked(saying(OK), contains="broken")).has_text is False
    assert (await asked(saying(OK))).has_text is None


async def test_an_answer_without_an_end_is_read_so_far() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        await writer.drain()
        await reader.read()  # until the asker goes
        await reader.read()

    assert (await asked(handle)).status == 200


async def test_who_accepts_and_says_nothing_is_silent() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del writer
        while await reader.read(1024):
            pass

    for kind in ("http", "grpc"):
        assert (await asked(handle, kind=kind)).outcome == "silent"


async def test_where_nobody_listens_no_question_was_asked() -> None:
    async with served(saying(b"")) as port:
        pass
    dial = Dial(name="shop/web:80", ip=LOOPBACK, port=port, kind="http", sources=())

    answer = await ask(dial, socket)

    assert answer.outcome == "no-connection"
    assert answer.detail == "ECONNREFUSED"


@pytest.fixture
def encrypted(tmp_path: Path) -> ssl.SSLContext:
    """A server's side, with a certificate that nobody knows."""
    pair = Authority(tmp_path, "nobody").client("web")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    return context


@pytest.mark.parametrize("tls", ["yes", "either"])
async def test_https_is_answered_whoever_signed(encrypted: ssl.SSLContext, tls: str) -> None:
    assert (await asked(saying(OK), encrypted, tls=tls)).status == 200


async def test_plain_http_where_https_is_expected_is_not_understood() -> None:
    assert (await asked(saying(OK), tls="yes")).outcome in {"not-understood", "silent", "closed"}
    assert (await asked(saying(OK), tls="either")).status == 200


def calling(*frames: grpc.Frame) -> Handle:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(len(grpc.PREFACE)) == grpc.PREFACE
        kinds = [(await grpc.read_frame(reader)).kind for _ in range(3)]
        assert kinds == [grpc.SETTINGS, grpc.HEADERS, grpc.DATA]
        for frame in frames:
            writer.write(frame.encoded())
        await writer.drain()
        await reader.read(64)

    return handle


SETTINGS = grpc.Frame(grpc.SETTINGS, 0, 0, b"")
TRAILERS = grpc.Frame(grpc.HEADERS, grpc.END_STREAM | grpc.END_HEADERS, 1, b"\x88")


def health(status: int) -> tuple[grpc.Frame, ...]:
    message = b"\x08" + bytes((status,)) if status else b""
    data = b"\0" + len(message).to_bytes(4, "big") + message
    return (
        SETTINGS,
        grpc.Frame(grpc.HEADERS, grpc.END_HEADERS, 1, b"\x88"),
        grpc.Frame(grpc.DATA, 0, 1, data),
        TRAILERS,
    )


@pytest.mark.parametrize(
    ("frames", "outcome", "status"),
    [
        (health(1), "answered", 1),
        (health(2), "answered", 2),
        (health(0), "answered", 0),
        ((SETTINGS, TRAILERS), "answered", None),
        ((SETTINGS, grpc.Frame(grpc.RST_STREAM, 0, 1, b"\0\0\0\1")), "not-understood", None),
        ((SETTINGS, grpc.Frame(grpc.GOAWAY, 0, 0, b"\0" * 8)), "not-understood", None),
        ((TRAILERS,), "not-understood", None),
        ((SETTINGS,), "closed", None),
    ],
)
async def test_what_a_grpc_server_says_of_its_health(
    frames: tuple[grpc.Frame, ...], outcome: str, status: int | None
) -> None:
    answer = await asked(calling(*frames), kind="grpc", path="")

    assert (answer.outcome, answer.status) == (outcome, status)


async def test_http_1_is_no_grpc() -> None:
    assert (await asked(saying(b"HTTP/1.1 400 Bad Request\r\n\r\n"), kind="grpc")).outcome == "not-understood"


def test_a_request_names_its_service() -> None:
    assert b"\x0a\x04shop" in grpc.health_request("web.shop:80", "shop")
    assert grpc.health_request("web.shop:80", "").endswith(b"\0\0\0\0\0")
