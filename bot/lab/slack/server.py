"""The HTTP side of Slack: the Web API, sockets, uploads, response URLs, webhooks and files."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog
from aiohttp import web

from bot.lab.slack import responding, webhooks
from bot.lab.slack.calls import ApiCall
from bot.lab.slack.errors import SlackError
from bot.lab.slack.model import App
from bot.lab.slack.platform import Platform
from bot.lab.slack.rates import Rates
from bot.lab.slack.web_api import METHODS, Call, Method
from bot.lab.slack.web_api.arguments import Arguments, read
from bot.lab.types import Json

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)
_LARGEST_REQUEST = 64 << 20


class Server:
    """Routes requests; refuses, slows or loses them as the faults say."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._rates = Rates(platform.state)

    def application(self) -> web.Application:
        """The routes."""
        app = web.Application(client_max_size=_LARGEST_REQUEST, middlewares=[self._weather])
        app.router.add_route("*", "/api/{method}", self._api)
        app.router.add_get("/link/", self._platform.sockets.accept)
        app.router.add_post("/upload/v1/{token}", self._upload)
        app.router.add_post("/actions/{rest:.+}", self._respond)
        app.router.add_post("/commands/{rest:.+}", self._respond)
        app.router.add_post("/services/{team}/{bot}/{token}", self._webhook)
        app.router.add_get("/files-pri/{file}/{name}", self._file)
        app.router.add_get("/files-pri/{file}/{name}/download", self._file)
        return app

    @web.middleware
    async def _weather(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Nothing gets through while Slack is down; a fault of ours is a 500, never a crash."""
        if self._platform.faults.is_down:
            return _hang_up(request)
        try:
            return await handler(request)
        except (web.HTTPException, ConnectionError, asyncio.CancelledError):
            raise
        except Exception as error:
            log.exception("slack.failed", path=request.path)
            self._platform.background.failures.append(error)
            return web.json_response({"ok": False, "error": "internal_error"}, status=500)

    # --- Web API

    async def _api(self, request: web.Request) -> web.StreamResponse:
        state = self._platform.state
        begun, name = state.clock(), request.match_info["method"]
        app: App | None = None
        args = Arguments({})
        try:
            args = await read(request)
            app, method = self._authorised(request, name, args)
            answer, headers = await self._answer(app, method, args)
        except SlackError as error:
            answer, headers = error.as_json(), {}
        except _Refused as refused:
            answer, headers = refused.answer, refused.headers
        status = int(headers.pop("status", "200"))
        is_lost = status == 200 and self._platform.faults.loses(name, args.channel)
        self._log(name, args, app, begun, status, answer, is_lost=is_lost)
        if is_lost:
            return _hang_up(request)
        return web.json_response(answer, status=status, headers={**self._scopes(app, name), **headers})

    def _log(
        self, name: str, args: Arguments, app: App | None, begun: float, status: int, answer: Json, *, is_lost: bool
    ) -> None:
        state = self._platform.state
        call = ApiCall(
            method=name,
            args={key: value for key, value in args.values.items() if key != "token"},
            app_id=app.id if app else "",
            at=begun,
            took_s=state.clock() - begun,
            status=status,
            error="" if answer.get("ok") else str(answer.get("error")),
            is_lost=is_lost,
        )
        self._platform.calls.add(call)
        state.changes.note("call", detail=name)

    def _authorised(self, request: web.Request, name: str, args: Arguments) -> tuple[App, Method]:
        method = METHODS.get(name)
        if method is None:
            raise SlackError("unknown_method", req_method=name)
        kind, _, bearer = request.headers.get("Authorization", "").partition(" ")
        token = bearer.strip() if kind.lower() == "bearer" else args.text("token")
        if method.credential == "none":
            return self._platform.state.bot_app(), method
        if not token:
            raise SlackError("not_authed")
        apps = self._platform.state.apps.values()
        found = next((app for app in apps if token in {app.bot_token, app.app_token or app.bot_token}), None)
        if found is None or self._platform.faults.bad_auth:
            raise SlackError("invalid_auth")
        if (token == found.app_token) != (method.credential == "app"):
            raise SlackError("not_allowed_token_type")
        held = found.app_scopes if method.credential == "app" else found.scopes
        if method.scopes and not held.intersection(method.scopes):
            raise SlackError("missing_scope", needed=method.scopes[0], provided=",".join(sorted(held)))
        return found, method

    async def _answer(self, app: App, method: Method, args: Arguments) -> tuple[Json, dict[str, str]]:
        faults, channel = self._platform.faults, args.channel
        await asyncio.sleep(faults.delay_s(method.name, channel))
        status = faults.failing(method.name, channel)
        if status is not None:
            raise _Refused(status, {"ok": False, "error": "internal_error"})
        retry_after = faults.limited(method.name, channel)
        if retry_after is None:
            retry_after = self._rates.exceeded(app, method, channel)
        if retry_after is not None:
            raise _Refused(429, {"ok": False, "error": "ratelimited"}, {"Retry-After": str(retry_after)})
        return method.handler(Call(platform=self._platform, app=app, args=args)), {}

    def _scopes(self, app: App | None, name: str) -> dict[str, str]:
        method = METHODS.get(name)
        if app is None or method is None:
            return {}
        accepted = {"x-accepted-oauth-scopes": ",".join(method.scopes)} if method.scopes else {}
        held = app.app_scopes if method.credential == "app" else app.scopes
        return {"x-oauth-scopes": ",".join(sorted(held)), **accepted}

    # --- the rest

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        content = await _uploaded(request)
        if not self._platform.uploads.take(request.path, content):
            return web.Response(status=404, text="no such upload")
        if self._platform.faults.loses("upload", ""):
            return _hang_up(request)
        return web.Response(text=f"OK - {len(content)}")

    async def _respond(self, request: web.Request) -> web.StreamResponse:
        answer = await responding.respond(self._platform, request)
        return _hang_up(request) if self._platform.faults.loses("response_url", "") else answer

    async def _webhook(self, request: web.Request) -> web.StreamResponse:
        return await webhooks.receive(self._platform, request)

    async def _file(self, request: web.Request) -> web.StreamResponse:
        file = self._platform.state.files.get(request.match_info["file"])
        if file is None or file.content is None:
            return web.Response(status=404)
        tokens = {f"Bearer {app.bot_token}" for app in self._platform.state.apps.values()}
        if request.headers.get("Authorization") not in tokens:
            return web.Response(text="<!DOCTYPE html><title>Slack sign in</title>", content_type="text/html")
        return web.Response(body=file.content, content_type=file.mimetype)


class _Refused(Exception):  # noqa: N818  # an answer, not an error
    """Answered with this status, without executing."""

    def __init__(self, status: int, answer: Json, headers: dict[str, str] | None = None) -> None:
        super().__init__(status)
        self.answer = answer
        self.headers = {**(headers or {}), "status": str(status)}


def _hang_up(request: web.Request) -> web.Response:
    """Reset the connection instead of answering."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _uploaded(request: web.Request) -> bytes:
    """Raw bytes, or the first file of a multipart form."""
    if request.content_type != "multipart/form-data":
        return await request.read()
    for field in (await request.post()).values():
        if isinstance(field, web.FileField):
            return field.file.read()
    return b""
