"""Trouble on request: a place where tests make the API server behave as real ones do on bad days.

Nothing in the lab uses it; a test gives a `ApiFaults` to `serve` and adds what it needs.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from aiohttp import web

from bot.lab.cluster.apiserver.errors import ApiError, expired, unauthorized
from bot.lab.cluster.apiserver.http.answers import refusal, text

Refusal = Literal["unauthorized", "forbidden", "too-many-requests", "internal-error", "expired"]
Kind = Literal[Refusal, "hang", "slow", "drop", "cut"]


@dataclass(kw_only=True)
class ApiFault:
    """One kind of trouble for the requests that `matches` accepts (method and path with query)."""

    kind: Kind
    matches: Callable[[str, str], bool] = lambda _method, _path: True
    times: int | None = None
    """How many requests it hits; None: all."""
    delay_s: float = 0.0
    """For `slow`: how long each answer waits."""
    retry_after_s: int = 1
    """For `too-many-requests`."""
    hits: int = 0


@dataclass
class ApiFaults:
    """All present trouble, in order: the first that matches acts."""

    active: list[ApiFault] = field(default_factory=list[ApiFault])

    def add(self, fault: ApiFault) -> ApiFault:
        """Start it; the returned object counts its hits."""
        self.active.append(fault)
        return fault

    def clear(self) -> None:
        """End all trouble."""
        self.active.clear()

    async def meet(self, request: web.BaseRequest) -> web.StreamResponse | None:
        """The answer that replaces the real one, or None after a delay or without trouble."""
        for each in self.active:
            if each.times is not None and each.hits >= each.times:
                continue
            if each.matches(request.method, request.path_qs):
                each.hits += 1
                return await _act(each, request)
        return None


async def _act(fault: ApiFault, request: web.BaseRequest) -> web.StreamResponse | None:
    match fault.kind:
        case "slow":
            await asyncio.sleep(fault.delay_s)
        case "hang":
            await asyncio.Event().wait()
        case "drop":
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        case "cut":
            return await _cut(request)
        case kind:
            return _answer(kind, fault.retry_after_s)
    return None


async def _cut(request: web.BaseRequest) -> web.StreamResponse:
    """A body that breaks off."""
    answer = web.StreamResponse(headers={"Content-Length": "100000", "Content-Type": "application/json"})
    await answer.prepare(request)
    await answer.write(b'{"kind": "List", "apiVersion": "v1", "items": [')
    if request.transport is not None:
        request.transport.close()
    return answer


def _answer(kind: Refusal, retry_after_s: int) -> web.Response:
    match kind:
        case "unauthorized":
            return refusal(unauthorized())
        case "forbidden":
            return refusal(ApiError(403, "Forbidden", "forbidden: disturbed by the test", {}))
        case "expired":
            return refusal(expired("too old resource version"))
        case "internal-error":
            return text("Internal Server Error: etcdserver: request timed out\n", status=500)
        case "too-many-requests":
            message = "the server has received too many requests and has asked us to try again later"
            error = ApiError(429, "TooManyRequests", message, {"retryAfterSeconds": retry_after_s})
            response = refusal(error)
            response.headers["Retry-After"] = str(retry_after_s)
            return response
