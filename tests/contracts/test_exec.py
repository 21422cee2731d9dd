"""Commands in pods: recorded streams of a real kubelet, and every way in which a stream can end badly."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import WSMsgType, web

from bot.cluster.access.exec import ExecResult, run_in_pod
from bot.cluster.client.api import Api
from bot.domain.errors import (
    BotError,
    DeadlineError,
    ExecError,
    ExecNotFoundError,
    ForbiddenError,
    NotFoundError,
    RejectedError,
    ServerError,
    TooLargeError,
    UnreachableError,
)
from tests.contracts.scripted_server import Handler, closed_port, drop, kubeconfig, serving, status

RECORDINGS = Path(__file__).parents[1] / "cluster" / "recordings"
SUCCESS = b'\x03{"metadata":{},"status":"Success"}'

Talk = Callable[[web.WebSocketResponse, web.Request], Awaitable[None]]


def speaking(talk: Talk, *, protocols: tuple[str, ...] = ("v5.channel.k8s.io", "v4.channel.k8s.io")) -> Handler:
    """A server that upgrades and then talks; it leaves without a close frame unless `talk` closes."""

    async def handler(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=protocols, autoclose=False)
        await socket.prepare(request)
        await talk(socket, request)
        if not socket.closed and request.transport is not None:
            request.transport.close()
        return socket

    return handler


def frames(*sent: bytes) -> Talk:
    async def talk(socket: web.WebSocketResponse, _: web.Request) -> None:
        for frame in sent:
            await socket.send_bytes(frame)

    return talk


@asynccontextmanager
async def api_with(handler: Handler, directory: Path) -> AsyncGenerator[Api, None]:
    async with serving(handler) as server, Api.connect(kubeconfig(directory, server.url)) as api:
        yield api


async def run(api: Api, *, deadline_s: float = 5, stdin: bytes = b"", max_bytes: int = 2**20) -> ExecResult:
    return await run_in_pod(
        api, "shop", "web", "main", ["cat"], stdin=stdin, deadline_s=deadline_s, max_bytes=max_bytes
    )


def recorded(name: str) -> Handler:
    recording: dict[str, Any] = json.loads((RECORDINGS / f"exec-{name}.json").read_text())

    async def talk(socket: web.WebSocketResponse, _: web.Request) -> None:
        for frame in recording["frames"]:
            await socket.send_bytes(bytes([frame["channel"]]) + frame["data"].encode())
        if recording["close_code"] != 1006:
            await socket.close(code=recording["close_code"])

    return speaking(talk, protocols=(recording["protocol"],))


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("v4-stdout", ExecResult(stdout=b"", stderr=b"", exit_code=0)),
        ("v4-exit-3", ExecResult(stdout=b"out\n", stderr=b"err\n", exit_code=3)),
        ("v5-exit-3", ExecResult(stdout=b"", stderr=b"", exit_code=3)),
        ("v5-stdin-half-close", ExecResult(stdout=b"hello\n", stderr=b"", exit_code=0)),
    ],
)
async def test_recorded_streams(name: str, result: ExecResult, tmp_path: Path):
    async with api_with(recorded(name), tmp_path) as api:
        assert await run(api) == result
        assert api.exec_calls == 1


async def test_a_program_that_is_not_there(tmp_path: Path):
    """The kubelet says so in a text where otherwise the exit code stands."""
    async with api_with(recorded("v4-not-found"), tmp_path) as api:
        with pytest.raises(ExecNotFoundError) as raised:
            await run(api)

    assert str(raised.value) == "There is no program 'cat' in container main of shop/web."


async def test_output_in_many_frames(tmp_path: Path):
    chunks = [bytes([1]) + bytes([number % 256]) * 1000 for number in range(300)]
    async with api_with(speaking(frames(b"\x01", *chunks, b"\x02warning", SUCCESS)), tmp_path) as api:
        result = await run(api)

    assert result.stdout == b"".join(chunk[1:] for chunk in chunks)
    assert result.stderr == b"warning"


async def test_what_is_asked_for(tmp_path: Path):
    asked: list[str] = []

    async def talk(socket: web.WebSocketResponse, request: web.Request) -> None:
        asked.append(request.raw_path)
        await socket.send_bytes(SUCCESS)

    async with api_with(speaking(talk), tmp_path) as api:
        await run_in_pod(api, "shop", "web", "main", ["ip", "-j", "neigh show"], deadline_s=5)

    query = "command=ip&command=-j&command=neigh+show&container=main&stdout=true&stderr=true"
    assert asked == [f"/api/v1/namespaces/shop/pods/web/exec?{query}"]


@pytest.mark.parametrize("protocol", ["v5.channel.k8s.io", "v4.channel.k8s.io"])
async def test_stdin_is_sent_in_parts_and_closed_where_the_protocol_can(protocol: str, tmp_path: Path):
    received: list[bytes] = []

    async def talk(socket: web.WebSocketResponse, _: web.Request) -> None:
        while sum(len(frame) - 1 for frame in received if frame[0] == 0) < 100_000:
            message = await socket.receive()
            assert message.type is WSMsgType.BINARY
            received.append(message.data)
        if protocol.startswith("v5"):
            received.append((await socket.receive()).data)
        await socket.send_bytes(SUCCESS)

    async with api_with(speaking(talk, protocols=(protocol,)), tmp_path) as api:
        await run(api, stdin=b"x" * 100_000)

    closing = [b"\xff\x00"] if protocol.startswith("v5") else []
    assert [frame for frame in received if frame[0] != 0] == closing
    assert b"".join(frame[1:] for frame in received if frame[0] == 0) == b"x" * 100_000


async def test_a_stream_that_breaks_before_the_end_is_not_taken_for_success(tmp_path: Path):
    async with api_with(speaking(frames(b"\x01half of the ans")), tmp_path) as api:
        with pytest.raises(ExecError) as raised:
            await run(api)

    assert str(raised.value) == ("Running a command in shop/web failed: the connection broke before the command ended.")


async def test_a_command_that_could_not_be_started(tmp_path: Path):
    failed = b'\x03{"status":"Failure","message":"container not running (abc)","reason":"InternalError","code":500}'
    async with api_with(speaking(frames(failed)), tmp_path) as api:
        with pytest.raises(ExecError) as raised:
            await run(api)

    assert str(raised.value) == "Running a command in shop/web failed: container not running (abc)."


async def test_a_hung_command_ends_at_the_deadline_and_the_socket_is_closed(tmp_path: Path):
    closed = asyncio.Event()

    async def talk(socket: web.WebSocketResponse, _: web.Request) -> None:
        await socket.send_bytes(b"\x01begin")
        message = await socket.receive()
        assert message.type in {WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.CLOSING}
        closed.set()

    async with api_with(speaking(talk), tmp_path) as api:
        with pytest.raises(DeadlineError) as raised:
            await run(api, deadline_s=0.1)
        async with asyncio.timeout(5):
            await closed.wait()

    assert str(raised.value) == "The command cat in shop/web did not end within 0.1 s."


async def test_cancellation_closes_the_socket(tmp_path: Path):
    begun, closed = asyncio.Event(), asyncio.Event()

    async def talk(socket: web.WebSocketResponse, _: web.Request) -> None:
        begun.set()
        await socket.receive()
        closed.set()

    async with api_with(speaking(talk), tmp_path) as api:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(run(api, deadline_s=60))
            await begun.wait()
            task.cancel()
        assert task.cancelled()
        async with asyncio.timeout(5):
            await closed.wait()


async def test_output_beyond_the_bound(tmp_path: Path):
    async with api_with(speaking(frames(*[b"\x01" + b"x" * 2**19] * 5, SUCCESS)), tmp_path) as api:
        with pytest.raises(TooLargeError) as raised:
            await run(api, max_bytes=2**20)

    assert str(raised.value) == "What the command in shop/web printed is larger than 1 MiB and was not read."


REFUSALS: list[tuple[Handler, type[BotError], str]] = [
    (status(403, "Forbidden"), ForbiddenError, "Not allowed to create pods/exec in namespace shop."),
    (status(404, "NotFound", 'pods "web" not found'), NotFoundError, "pods shop/web does not exist."),
    (
        status(400, "BadRequest", "container zz is not valid for pod web"),
        RejectedError,
        "The API server refuses to get pods shop/web (HTTP 400): container zz is not valid for pod web.",
    ),
    (
        status(500, "InternalError", "error dialing backend: dial tcp 172.30.0.12:10250: no route to host"),
        ServerError,
        "The API server SERVER failed (HTTP 500): error dialing backend: dial tcp 172.30.0.12:10250: no route to host.",
    ),
]


@pytest.mark.parametrize(("handler", "error", "said"), REFUSALS)
async def test_refused_handshakes_say_why(handler: Handler, error: type[BotError], said: str, tmp_path: Path):
    """The body of a refused upgrade is the only place where an unreachable kubelet is named."""
    async with api_with(handler, tmp_path) as api:
        with pytest.raises(error) as raised:
            await run(api)
        assert str(raised.value) == said.replace("SERVER", api.server)


async def test_an_api_server_that_drops_the_handshake(tmp_path: Path):
    async with api_with(drop, tmp_path) as api:
        with pytest.raises(UnreachableError) as raised:
            await run(api)

    assert raised.value.kind == "dropped"


async def test_an_api_server_that_is_gone(tmp_path: Path):
    async with Api.connect(kubeconfig(tmp_path, f"http://127.0.0.1:{closed_port()}")) as api:
        with pytest.raises(UnreachableError) as raised:
            await run(api)

    assert raised.value.kind == "refused"


async def test_a_handshake_that_hangs(tmp_path: Path):
    released = asyncio.Event()

    async def handler(_: web.Request) -> web.StreamResponse:
        await released.wait()
        return web.Response()

    async with api_with(handler, tmp_path) as api:
        with pytest.raises(DeadlineError):
            await run(api, deadline_s=0.1)
        released.set()
