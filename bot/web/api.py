"""HTTP: Slack's requests (where Slack sends any), health, readiness, metrics."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from bot.web.health import Health

MAX_BODY_BYTES = 2**20
"""Slack's requests stay far below; what is larger is refused before it is read."""


class Answer(Protocol):
    """An HTTP answer of somebody who knows nothing of this framework."""

    @property
    def status(self) -> int: ...  # noqa: D102
    @property
    def body(self) -> str: ...  # noqa: D102
    @property
    def headers(self) -> Mapping[str, str]: ...  # noqa: D102


OnSlack = Callable[[bytes, Mapping[str, str]], Awaitable[Answer]]
"""Takes the body and the headers, names in lower case."""


def build_api(health: Health, *, on_slack: OnSlack | None = None, max_body_bytes: int = MAX_BODY_BYTES) -> FastAPI:
    """The application. Without `on_slack` there is no `/slack/events` (Socket Mode)."""
    api = FastAPI(title="cnibot", docs_url=None, redoc_url=None, openapi_url=None)

    async def healthz() -> Response:
        """The event loop turns."""
        return PlainTextResponse("ok\n")

    async def readyz() -> Response:
        missing = health.not_ready()
        return JSONResponse({"ready": not missing, "not_ready": missing}, status_code=503 if missing else 200)

    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    for path, answer in (("/healthz", healthz), ("/readyz", readyz), ("/metrics", metrics)):
        api.get(path)(answer)
    if on_slack is not None:
        api.post("/slack/events")(_slack(on_slack, max_body_bytes))
    return api


def _slack(on_slack: OnSlack, max_body_bytes: int) -> Callable[[Request], Awaitable[Response]]:
    async def slack_events(request: Request) -> Response:
        body = await _bounded(request, max_body_bytes)
        if body is None:
            return PlainTextResponse("too large\n", status_code=413)
        answer = await on_slack(body, {name.lower(): value for name, value in request.headers.items()})
        return Response(answer.body, status_code=answer.status, headers=dict(answer.headers))

    return slack_events


async def _bounded(request: Request, max_body_bytes: int) -> bytes | None:
    """The body; None when it is too large, of which no more than the bound is read."""
    announced = request.headers.get("content-length", "0")
    if not announced.isdigit() or int(announced) > max_body_bytes:
        return None
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_body_bytes:
            return None
    return bytes(body)
