"""An HTTP server that misbehaves as told, and the kubeconfig that leads to it."""

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import yaml
from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ScriptedServer:
    """Answers every request with `handler`, and remembers what it was asked."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.asked: list[str] = []
        self.authorizations: list[str] = []
        self.url = ""
        self.released = asyncio.Event()

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.raw_path}")
        self.authorizations.append(request.headers.get("Authorization", ""))
        return await self.handler(cast("web.Request", request))


@asynccontextmanager
async def serving(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncGenerator[ScriptedServer, None]:
    server = ScriptedServer(handler)
    runner = web.ServerRunner(web.Server(server.answer), shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    host, port = runner.addresses[0]
    server.url = f"{'https' if tls else 'http'}://{host}:{port}"
    try:
        yield server
    finally:
        server.released.set()
        await runner.cleanup()


def status(code: int, reason: str = "", message: str = "", **headers: str) -> Handler:
    """Answers with a Kubernetes Status."""

    async def handler(_: web.Request) -> web.StreamResponse:
        body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": reason}
        return web.json_response({**body, "code": code}, status=code, headers=headers)

    return handler


def hang(server_of: Callable[[], ScriptedServer]) -> Handler:
    """Never answers, until the server ends."""

    async def handler(_: web.Request) -> web.StreamResponse:
        await server_of().released.wait()
        return web.Response()

    return handler


async def drop(request: web.Request) -> web.StreamResponse:
    """Closes the connection instead of an answer."""
    assert request.transport is not None
    request.transport.close()
    return web.Response()


async def drop_midway(request: web.Request) -> web.StreamResponse:
    """Closes the connection in the middle of the body."""
    answer = web.StreamResponse(headers={"Content-Length": "1000", "Content-Type": "application/json"})
    await answer.prepare(request)
    await answer.write(b'{"items": [')
    assert request.transport is not None
    request.transport.close()
    return answer


def closed_port() -> int:
    """A port of 127.0.0.1 on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def kubeconfig(directory: Path, server: str, *, cluster: dict[str, Any] | None = None, **user: Any) -> str:
    """The path of a kubeconfig with one context, "lab"."""
    path = directory / "kubeconfig"
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "lab",
                "contexts": [{"name": "lab", "context": {"cluster": "c", "user": "u", "namespace": "shop"}}],
                "clusters": [{"name": "c", "cluster": {"server": server, **(cluster or {})}}],
                "users": [{"name": "u", "user": user or {"token": "secret-token"}}],
            }
        )
    )
    return str(path)
