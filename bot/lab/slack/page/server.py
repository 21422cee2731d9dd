"""Serves the page, in the same event loop as the workspace."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager
from importlib import resources
from typing import Final

import uvicorn
from fastapi import FastAPI, Request, Response
from nicegui import ui
from starlette.middleware.trustedhost import TrustedHostMiddleware

from bot.aio.groups import TaskGroup
from bot.lab.slack.page.files import served
from bot.lab.slack.page.page_context import PageContext
from bot.lab.slack.page.session import Session, looking_at

_HERE: Final = ("127.0.0.1", "localhost", "[::1]")
"""A name of somebody else's that resolves to this machine is refused."""
_CSP: Final = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self' ws: wss:; object-src 'none'; frame-ancestors 'none'"
)
"""Vue compiles its templates in the browser, hence eval. Nothing is ever fetched from elsewhere."""
_HEAD: Final = '<base target="_blank"><style>{style}</style><script>{script}</script>'
_SHUTDOWN_S: Final = 1
_RECONNECT_S: Final = 60
"""How long a window may be out of touch before its page is loaded anew: a busy machine is silent for seconds."""


@asynccontextmanager
async def page(context: PageContext, port: int = 0) -> AsyncGenerator[str]:
    """The page's address; it is served until the block ends. Once in a process: NiceGUI has one app."""
    app = FastAPI(openapi_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(_HERE))
    app.middleware("http")(_with_policy)

    @app.get("/files/{file_id}")
    async def file(file_id: str) -> Response:
        return served(context.workspace.state, file_id)

    ui.add_head_html(_HEAD.format(style=_resource("style.css"), script=_resource("page.js")), shared=True)

    @ui.page("/", title=f"{context.workspace.state.bot_app().name} lab")
    def index(user: str = "", channel: str = "") -> None:
        Session(context, looking_at(context, user, channel)).arrived()

    ui.run_with(  # pyright: ignore[reportUnknownMemberType] NiceGUI leaves out some of its types
        app,
        dark=None,
        tailwind=False,
        show_welcome_message=False,
        favicon="🧪",
        language="en-US",
        reconnect_timeout=_RECONNECT_S,
    )
    failure: Exception | None = None
    with socket.create_server(("127.0.0.1", port)) as listening:
        server = _Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=_SHUTDOWN_S))
        async with TaskGroup() as tasks:
            tasks.create_task(server.serve([listening]))
            await server.ready.wait()
            try:
                yield f"http://127.0.0.1:{listening.getsockname()[1]}"
            except Exception as error:  # noqa: BLE001 raised again below, as itself and not as a group
                failure = error
            finally:
                server.should_exit = True
    if failure is not None:
        raise failure


class _Server(uvicorn.Server):
    """Leaves signals to the program that it is part of."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


async def _with_policy(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await call_next(request)
    response.headers.setdefault("Content-Security-Policy", _CSP)
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "no-referrer")
    return response


def _resource(name: str) -> str:
    return (resources.files("bot.lab.slack.page") / name).read_text(encoding="utf-8")
