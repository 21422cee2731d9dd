"""HTTP: Slack's requests (where Slack sends any), health, readiness, metrics."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import ClientDisconnect

from bot.web.alertmanager import Webhook, respond
from bot.web.bodies import Bodies, CrowdedOutError
from bot.web.connections import HAS_CERTIFICATE
from bot.web.health import Health
from bot.web.incident_pages import IncidentPages

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


def build_api(
    *,
    on_slack: OnSlack | None = None,
    alertmanager: Webhook | None = None,
    incidents: IncidentPages | None = None,
    max_body_bytes: int = MAX_BODY_BYTES,
    bodies: Bodies | None = None,
) -> FastAPI:
    """For others. Without `on_slack` there is no `/slack/events` (Socket Mode); likewise the others' addresses."""
    api = _bare()
    bodies = bodies or Bodies()
    api.exception_handler(CrowdedOutError)(_crowded_out)
    api.exception_handler(ClientDisconnect)(_gone)
    if on_slack is not None:
        api.post("/slack/events")(_slack(on_slack, bodies, max_body_bytes))
    if alertmanager is not None:
        api.post("/alertmanager")(_alertmanager(alertmanager, bodies))
    if incidents is not None:
        api.get("/incidents/{incident_id}")(incidents.answer)
    return api


def build_health_api(health: Health) -> FastAPI:
    """For the kubelet and Prometheus, on a socket of its own: who floods the other one does not end the bot."""
    api = _bare()

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
    return api


def _bare() -> FastAPI:
    """No documentation, and no redirects: they would lead to whatever host the caller names."""
    return FastAPI(title="cnibot", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)


async def _crowded_out(_: Request, __: Exception) -> Response:
    """Slack and Alertmanager send again what was answered so."""
    return PlainTextResponse("too much at once; send it again\n", status_code=503)


async def _gone(_: Request, __: Exception) -> Response:
    """Nobody hears it: who breaks off a request is no fault of ours to be logged."""
    return Response(status_code=400)


def _alertmanager(webhook: Webhook, bodies: Bodies) -> Callable[[Request], Awaitable[Response]]:
    async def notified(request: Request) -> Response:
        async def read(most: int) -> bytes | None:
            return await _bounded(request, bodies, most)

        headers = {name.lower(): value for name, value in request.headers.items()}
        has_certificate = bool(getattr(request.state, HAS_CERTIFICATE, False))
        status, text = await respond(
            webhook, headers, request.query_params.get("cluster"), read, has_certificate=has_certificate
        )
        return PlainTextResponse(text, status_code=status)

    return notified


def _slack(on_slack: OnSlack, bodies: Bodies, max_body_bytes: int) -> Callable[[Request], Awaitable[Response]]:
    async def slack_events(request: Request) -> Response:
        body = await _bounded(request, bodies, max_body_bytes)
        if body is None:
            return PlainTextResponse("too large\n", status_code=413)
        answer = await on_slack(body, {name.lower(): value for name, value in request.headers.items()})
        return Response(answer.body, status_code=answer.status, headers=dict(answer.headers))

    return slack_events


async def _bounded(request: Request, bodies: Bodies, max_body_bytes: int) -> bytes | None:
    """The body; None when it is too large, of which no more than the bound is read."""
    announced = request.headers.get("content-length", "0")
    if not announced.isdigit() or int(announced) > max_body_bytes:
        return None
    return await bodies.read(request.stream(), max_body_bytes)
