"""Bodies of requests are received whole before anybody knows who sends them: what all of them may take is bounded."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import pytest

from bot.incidents.alerting.intake import Accepted
from bot.web.alertmanager import Webhook
from bot.web.api import build_api
from bot.web.bodies import MOST_TOGETHER, Bodies, CrowdedOutError
from bot.web.connections import MOST_CONNECTIONS
from bot.web.server import listening, run_server

TOKEN = "alertmanagers-token"
PIECE = b"x" * 2**16


async def said(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def begun(bodies: Bodies, group: asyncio.TaskGroup, first: bytes) -> tuple[asyncio.Task[object], asyncio.Event]:
    """A body whose first bytes are there, and what lets the rest come."""
    rest, is_read = asyncio.Event(), asyncio.Event()

    async def chunks() -> AsyncIterator[bytes]:
        yield first
        is_read.set()
        await rest.wait()
        yield b"end"

    async def read() -> object:
        try:
            return await bodies.read(chunks(), 100)
        except CrowdedOutError as error:
            return error

    task = group.create_task(read())
    await is_read.wait()
    return task, rest


async def test_the_one_that_was_begun_first_makes_room():
    bodies = Bodies(100)
    async with asyncio.TaskGroup() as group:
        old, old_rest = await begun(bodies, group, b"o" * 60)
        young, young_rest = await begun(bodies, group, b"y" * 60)
        old_rest.set()
        young_rest.set()

    assert isinstance(old.result(), CrowdedOutError)
    assert young.result() == b"y" * 60 + b"end"


async def test_what_is_over_takes_no_room():
    bodies = Bodies(100)
    for _ in range(10):
        assert await bodies.read(said(b"x" * 90), 90) == b"x" * 90
        assert await bodies.read(said(b"x" * 90, b"x"), 90) is None

    async with asyncio.TaskGroup() as group:
        task, rest = await begun(bodies, group, b"x" * 90)
        rest.set()

    assert task.result() == b"x" * 90 + b"end"


@asynccontextmanager
async def serving(bodies: Bodies) -> AsyncGenerator[int]:
    """The port of a webhook that knows senders by the token, or by a signature of the whole body."""

    async def take(body: bytes, cluster: str | None) -> Accepted:
        assert cluster is None
        return Accepted(new=len(json.loads(body)["alerts"]), known=0)

    stop = asyncio.Event()
    async with listening("127.0.0.1", 0) as bound, asyncio.TaskGroup() as group:
        api = build_api(alertmanager=Webhook(take=take, token=TOKEN, hmac_secret="secret"), bodies=bodies)
        group.create_task(run_server(api, bound, stop, drain_s=1))
        yield bound.getsockname()[1]
        stop.set()


def abort(writer: asyncio.StreamWriter) -> None:
    """Break a connection off. Until then its writer has to be held: else it closes itself, with a warning."""
    writer.transport.abort()


async def test_strangers_with_large_bodies_keep_nobody_out():
    """Each announces a signature, so that its body has to be read."""
    most = 2**20
    bodies = Bodies(most)
    async with serving(bodies) as port, AsyncExitStack() as stack:
        for _ in range(20):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            stack.callback(abort, writer)
            writer.write(
                b"POST /alertmanager HTTP/1.1\r\nHost: x\r\nX-Cnibot-Signature: 0\r\nContent-Length: 7000000\r\n\r\n"
            )
            for _ in range(8):
                writer.write(PIECE)
            await writer.drain()

        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers=headers) as session:
            for _ in range(3):
                async with session.post("/alertmanager", json={"alerts": [{"padding": "x" * 2**17}]}) as answer:
                    assert (answer.status, await answer.text()) == (200, "1 new, 0 known.\n")

        assert bodies.held_bytes <= most


@pytest.mark.filterwarnings("error")
async def test_who_breaks_off_is_no_fault_of_ours(caplog: pytest.LogCaptureFixture):
    async with serving(Bodies()) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /alertmanager HTTP/1.1\r\nHost: x\r\nX-Cnibot-Signature: 0\r\nContent-Length: 9\r\n\r\nx")
        await writer.drain()
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            async with session.get("/nothing"):
                pass
            writer.transport.abort()
            async with session.get("/nothing"):
                pass

    assert caplog.records == []


def test_the_bound_is_far_below_what_all_connections_could_bring():
    assert MOST_TOGETHER < MOST_CONNECTIONS * 2**20
