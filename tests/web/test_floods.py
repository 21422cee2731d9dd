"""What strangers can do to the HTTP side before anybody knows who they are: little, and not for long."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import pytest

from bot.slack.requests import Requests
from bot.web.api import build_api, build_health_api
from bot.web.connections import MOST_HEADER_BYTES, BoundedProtocol, bounded
from bot.web.health import Health
from bot.web.server import listening, run_server
from tests.slack.bodies import SECRET, encoded, event, signed
from tests.slack.intake import Kept, app_into

BODY = encoded(event())


@asynccontextmanager
async def serving(protocol: type[BoundedProtocol]) -> AsyncGenerator[tuple[int, int]]:
    """The ports of Slack's side and of health."""
    stop = asyncio.Event()
    async with listening("127.0.0.1", 0) as bound, listening("127.0.0.1", 0) as own, asyncio.TaskGroup() as group:
        api = build_api(on_slack=Requests(app_into(Kept()), SECRET))
        group.create_task(run_server(api, bound, stop, drain_s=1, protocol=protocol))
        group.create_task(run_server(build_health_api(Health()), own, stop, drain_s=1, protocol=protocol))
        yield bound.getsockname()[1], own.getsockname()[1]
        stop.set()


async def status(port: int, path: str, body: bytes | None = None) -> int:
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        method = "POST" if body else "GET"
        async with session.request(method, path, data=body, headers=signed(body) if body else {}) as answer:
            return answer.status


@asynccontextmanager
async def connected(port: int) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def ended(reader: asyncio.StreamReader) -> None:
    """Until the other side has closed."""
    try:
        async with asyncio.timeout(10):
            while await reader.read(2**16):
                pass
    except ConnectionError:
        return


async def test_half_open_requests_keep_neither_slack_nor_the_kubelet_out():
    async with serving(bounded(request_s=60, most_connections=16)) as (slack, health), AsyncExitStack() as stack:
        strangers = [await stack.enter_async_context(connected(slack)) for _ in range(200)]
        for _, writer in strangers:
            writer.write(b"POST /slack/events HTTP/1.1\r\nHost: x\r\nContent-Le")

        answers = [await status(slack, "/slack/events", BODY) for _ in range(3)]

        assert answers == [200, 200, 200]
        assert await status(health, "/healthz") == 200
        for reader, _ in strangers[:100]:
            await ended(reader)  # those that waited longest have made room


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"POST /slack/events HTTP/1.1\r\nHost: x\r\n",
        b"POST /slack/events HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
    ],
    ids=["nothing", "headers", "body"],
)
async def test_a_request_that_does_not_come_to_its_end_is_dropped(beginning: bytes):
    async with serving(bounded(request_s=0.05)) as (slack, _), connected(slack) as (reader, writer):
        writer.write(beginning)

        await ended(reader)


async def test_a_second_request_on_a_connection_has_no_more_time():
    async with serving(bounded(request_s=0.2)) as (slack, _), connected(slack) as (reader, writer):
        writer.write(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\nGET /noth")
        assert (await reader.readline()).startswith(b"HTTP/1.1 404")

        await ended(reader)


@pytest.mark.parametrize("piece", [b"a: b\r\n" * 200, b"x" * 1000], ids=["headers", "one value"])
async def test_headers_without_end_are_cut_off(piece: bytes):
    sent = 0
    async with serving(bounded(request_s=60)) as (slack, _), connected(slack) as (reader, writer):
        writer.write(b"POST /slack/events HTTP/1.1\r\nHost: ")
        try:
            while not reader.at_eof() and sent < 64 * 2**20:
                writer.write(piece)
                sent += len(piece)
                await writer.drain()
                await asyncio.sleep(0)
        except ConnectionError:
            pass

        assert sent < 4 * 2**20
        assert MOST_HEADER_BYTES < 2**16


async def test_nobody_is_sent_to_the_host_that_a_caller_names():
    async with serving(BoundedProtocol) as (slack, health):
        for port, path in ((slack, "/slack/events/"), (health, "/healthz/")):
            async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
                asked = session.get(path, headers={"Host": "evil.example"}, allow_redirects=False)
                async with asked as answer:
                    assert answer.status == 404
                    assert "location" not in answer.headers


async def test_a_connection_is_kept_for_the_next_request():
    async with serving(BoundedProtocol) as (slack, _), connected(slack) as (reader, writer):
        for _ in range(3):
            writer.write(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 404")
            await reader.readexactly(len(b'{"detail":"Not Found"}'))
