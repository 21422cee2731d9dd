"""The door to the Kubernetes API: requests, paged lists, watches, permissions, errors in our own words."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar
from urllib.parse import urlencode

import msgspec

from bot.aio.retry import Backoff, retry
from bot.cluster.answers import error_of
from bot.cluster.decoding import Page, decode_object, decode_page
from bot.cluster.lean import without_package_code
from bot.cluster.paths import attributes
from bot.cluster.wire import Response, WebSocket
from bot.domain.errors import (
    ExpiredError,
    OverloadedError,
    ServerError,
    UnreachableError,
)

if TYPE_CHECKING:
    from bot.cluster.transport import Transport

T = TypeVar("T")

REQUEST_S = 10.0
PAGE_SIZE = 500
MAX_RESTARTS = 3
MAX_ITEMS = 200_000

EventType = Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed(Generic[T]):
    """A whole list."""

    items: tuple[T, ...]
    resource_version: str = ""
    skipped: int = 0
    """Objects that could not be decoded."""
    is_cut: bool = False
    """There are more than were asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change(Generic[T]):
    """One change that a watch reports."""

    type: EventType
    object: T


class Api:
    """One cluster as one user. `async with Api.connect(kubeconfig, context) as api:`."""

    def __init__(self, transport: "Transport", *, backoff: Backoff | None = None) -> None:
        self._transport = transport
        self._backoff = backoff or Backoff()
        self.exec_calls = 0
        """How many commands were run in pods."""

    @classmethod
    def connect(
        cls,
        kubeconfig: str | Path | None = None,
        context: str | None = None,
        *,
        request_s: float = REQUEST_S,
        backoff: Backoff | None = None,
    ) -> AbstractAsyncContextManager["Api"]:
        """The API of a kubeconfig's context, or the one this pod runs in.

        Nothing is sent yet. Errors: `ConfigurationError`, `UnreachableError` (a credential plugin that fails).
        """
        return _connected(str(kubeconfig) if kubeconfig else None, context, request_s, backoff)

    @property
    def server(self) -> str:
        """Base URL of the API server."""
        return self._transport.server

    @property
    def context(self) -> str:
        """Name of the kubeconfig's context, or "in-cluster"."""
        return self._transport.context

    async def get(self, path: str, item_type: type[T], **query: str | int) -> T:
        """One object. Errors: `NotFoundError`, `ForbiddenError`, … (`bot.domain.errors`)."""
        return self._decode(await self._read(path, query), item_type, path)

    async def list_all(
        self, path: str, item_type: type[T], *, max_items: int = MAX_ITEMS, **query: str | int
    ) -> Listed[T]:
        """All objects, each once, read in pages, at most about `max_items`. `query`: labelSelector, fieldSelector.

        Begins again when the list expires while it is read (410); the third time `ExpiredError` is raised.
        """
        for _ in range(MAX_RESTARTS - 1):
            try:
                return await self._list_once(path, item_type, query, max_items)
            except ExpiredError:
                continue
        return await self._list_once(path, item_type, query, max_items)

    async def _list_once(
        self, path: str, item_type: type[T], query: Mapping[str, str | int], max_items: int
    ) -> Listed[T]:
        items: list[T] = []
        skipped = 0
        token = ""
        while True:
            ask = {**query, "limit": PAGE_SIZE, **({"continue": token} if token else {})}
            page = self._decode_page(await self._read(path, ask), item_type, path)
            items += page.items
            skipped += page.skipped
            before, token = token, page.metadata.continue_
            if not token or len(items) >= max_items:
                return Listed(
                    items=tuple(items),
                    resource_version=page.metadata.resource_version,
                    skipped=skipped,
                    is_cut=bool(token),
                )
            if token == before:
                raise ServerError(f"The API server repeats a page of {path}.", status=200)

    async def create(self, path: str, body: object, item_type: type[T], **query: str | int) -> T:
        """The object as it was created. Errors: `ConflictError` when it exists, `ForbiddenError`, `RejectedError`."""
        return self._decode(await self._change("POST", path, body, query), item_type, path)

    async def delete(self, path: str, *, grace_s: int | None = None, uid: str = "") -> None:
        """Delete one object, only if it still is the one of this uid. Errors: `NotFoundError`, `ConflictError`."""
        options: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if grace_s is not None:
            options["gracePeriodSeconds"] = grace_s
        if uid:
            options["preconditions"] = {"uid": uid}
        await self._change("DELETE", path, options, {})

    async def watch(
        self, path: str, item_type: type[T], *, timeout_s: float, **query: str | int
    ) -> AsyncGenerator[Change[T], None]:
        """Changes since `resourceVersion` (in `query`), until the server ends the watch or `timeout_s` passed.

        Errors: `ExpiredError` when that version is too old: list again. Objects that do not decode are passed over.
        """
        ask = {**query, "watch": 1, "allowWatchBookmarks": "true", "timeoutSeconds": max(1, int(timeout_s))}
        async with self._transport.stream(_url(path, ask), timeout_s=timeout_s) as stream:
            if stream.status != 200:
                raise self._error("GET", path, await stream.response(), is_watch=True)
            async for line in stream.lines():
                change = self._change_of(line, item_type, path)
                if change is not None:
                    yield change

    async def can_i(
        self, verb: str, resource: str, *, namespace: str = "", group: str = "", subresource: str = "", name: str = ""
    ) -> bool:
        """Whether these credentials are allowed to. `resource` may carry its subresource ("pods/exec")."""
        resource, _, sub = resource.partition("/")
        asked = {
            "verb": verb,
            "resource": resource,
            "subresource": subresource or sub,
            "namespace": namespace,
            "group": group,
            "name": name,
        }
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {key: value for key, value in asked.items() if value}},
        }
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        answer = await self._change("POST", path, review, {}, is_safe=True)
        return self._decode(answer, _Review, path).status.allowed

    @asynccontextmanager
    async def websocket(self, path: str, *, protocols: tuple[str, ...]) -> AsyncGenerator[WebSocket, None]:
        """An open WebSocket. Errors: those of any request, from the server's refusal to upgrade."""
        from bot.cluster.transport import RefusedUpgrade  # noqa: PLC0415 - loaded by `connect`, see there

        try:
            async with self._transport.websocket(path, protocols=protocols) as socket:
                yield socket
        except RefusedUpgrade as refusal:
            raise self._error("GET", path.partition("?")[0], refusal.response) from refusal

    async def _read(self, path: str, query: Mapping[str, str | int]) -> bytes:
        """A GET's body, tried again when the server is overloaded or drops the connection."""
        url = _url(path, query)
        return await retry(
            lambda: self._send("GET", url),
            is_transient=_is_transient,
            asked_s=_asked_s,
            backoff=self._backoff,
        )

    async def _change(
        self, method: str, path: str, body: object, query: Mapping[str, str | int], *, is_safe: bool = False
    ) -> bytes:
        """Tried again only where the server said that it did nothing (429), or where doing it twice does no harm."""
        url, data = _url(path, query), msgspec.json.encode(body)
        return await retry(
            lambda: self._send(method, url, data),
            is_transient=_is_transient if is_safe else _is_turned_away,
            asked_s=_asked_s,
            backoff=self._backoff,
        )

    async def _send(self, method: str, url: str, body: bytes = b"") -> bytes:
        """The body of a successful answer; credentials are renewed once when they are refused."""
        answer = await self._exchange(method, url, body)
        if answer.status == 401 and await self._transport.renew():
            answer = await self._exchange(method, url, body)
        if 200 <= answer.status < 300:
            return answer.body
        raise self._error(method, url.partition("?")[0], answer)

    async def _exchange(self, method: str, url: str, body: bytes) -> Response:
        return await self._transport.request(method, url, body=body, content_type="application/json" if body else "")

    def _error(self, method: str, path: str, answer: Response, *, is_watch: bool = False) -> Exception:
        return error_of(answer, attributes(method, path, is_watch=is_watch), server=self.server)

    def _decode(self, body: bytes, item_type: type[T], path: str) -> T:
        try:
            return decode_object(body, item_type)
        except ValueError as error:
            raise self._nonsense(path, error) from error

    def _decode_page(self, body: bytes, item_type: type[T], path: str) -> Page[T]:
        try:
            return decode_page(body, item_type)
        except ValueError as error:
            raise self._nonsense(path, error) from error

    def _nonsense(self, path: str, error: ValueError) -> ServerError:
        return ServerError(f"{self.server} does not answer {path} as a Kubernetes API server ({error}).", status=200)

    def _change_of(self, line: bytes, item_type: type[T], path: str) -> Change[T] | None:
        event = self._decode(line, _WatchEvent, path)
        if event.type == "ERROR":
            status = self._decode(event.object, _ErrorStatus, path)
            raise self._error("GET", path, Response(status=status.code or 500, body=bytes(event.object)), is_watch=True)
        if event.type not in ("ADDED", "MODIFIED", "DELETED", "BOOKMARK"):
            return None
        try:
            return Change(type=event.type, object=decode_object(event.object, item_type))
        except ValueError:
            return None


class _ReviewStatus(msgspec.Struct):
    allowed: bool = False


class _Review(msgspec.Struct):
    status: _ReviewStatus = msgspec.field(default_factory=_ReviewStatus)


class _WatchEvent(msgspec.Struct):
    type: str = ""
    object: msgspec.Raw = msgspec.Raw(b"{}")


class _ErrorStatus(msgspec.Struct):
    code: int = 0


@asynccontextmanager
async def _connected(
    kubeconfig: str | None, context: str | None, request_s: float, backoff: Backoff | None
) -> AsyncGenerator[Api, None]:
    with without_package_code():
        from bot.cluster.transport import Transport  # noqa: PLC0415 - 0.4 s of imports that only a connection needs

    transport = await Transport.open(kubeconfig, context, request_s=request_s)
    try:
        yield Api(transport, backoff=backoff)
    finally:
        await transport.close()


def _url(path: str, query: Mapping[str, str | int]) -> str:
    return f"{path}?{urlencode(query)}" if query else path


def _is_transient(error: Exception) -> bool:
    """Whether a read may be tried again: overloaded, failed inside, or a connection that broke."""
    if isinstance(error, UnreachableError):
        return error.kind == "dropped"
    return isinstance(error, OverloadedError) or (isinstance(error, ServerError) and error.status >= 500)


def _is_turned_away(error: Exception) -> bool:
    """Whether the server refused before doing anything."""
    return isinstance(error, OverloadedError) and error.status == 429


def _asked_s(error: Exception) -> float | None:
    return error.retry_after_s if isinstance(error, OverloadedError) else None
