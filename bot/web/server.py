"""The HTTP server: uvicorn inside our own event loop, without its signal handlers."""

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from fastapi import FastAPI

from bot.aio.groups import TaskGroup
from bot.domain.errors import ConfigurationError
from bot.web.connections import MOST_HEADER_BYTES, REQUEST_S, BoundedProtocol


class _Server(uvicorn.Server):
    """The process's signals belong to the bot."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


@asynccontextmanager
async def listening(host: str, port: int, *, setting: str = "HTTP") -> AsyncGenerator[socket.socket]:
    """A socket bound before anything else starts, so that a port in use is said at once.

    Errors: `ConfigurationError`.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((host, port))
            bound.listen(128)
        except OSError as error:
            raise ConfigurationError(
                f"The address {host}:{port} (CNIBOT_{setting}_HOST, CNIBOT_{setting}_PORT)", str(error)
            ) from error
        bound.setblocking(False)
        yield bound
    finally:
        bound.close()


async def run_server(
    api: FastAPI,
    bound: socket.socket,
    stop: asyncio.Event,
    *,
    drain_s: float,
    protocol: type[BoundedProtocol] = BoundedProtocol,
    tls: ssl.SSLContext | None = None,
) -> None:
    """Serve until `stop`; requests that are being answered then get `drain_s` seconds to end. With `tls`: HTTPS."""
    config = uvicorn.Config(
        api,
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        http=protocol,
        h11_max_incomplete_event_size=MOST_HEADER_BYTES,
        ws="none",
        date_header=False,
        timeout_keep_alive=int(REQUEST_S),
        timeout_graceful_shutdown=max(1, int(drain_s)),
        ssl_context_factory=None if tls is None else lambda _config, _default: tls,
    )
    server = _Server(config)
    async with TaskGroup() as group:
        serving = group.create_task(server.serve(sockets=[bound]))
        waiting = group.create_task(stop.wait())
        await asyncio.wait((serving, waiting), return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        server.should_exit = True
