"""The Kubernetes API: requests, paged lists, watches, permissions, errors in our own words."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar
from urllib.parse import urlencode

import msgspec
import structlog

from bot.aio.retry import Backoff, retry
from bot.cluster.client.api_addresses import addresses_in_use
from bot.cluster.client.cluster_access import ClusterAccess
from bot.cluster.client.decoding import Page, decode_object, decode_page
from bot.cluster.client.errors import error_of
from bot.cluster.client.paths import attributes
from bot.cluster.client.wire import Response, WebSocket
from bot.cluster.objects import EndpointSlice
from bot.domain.errors import (
    BotError,
    ExpiredError,
    OverloadedError,
    ServerError,
    UnreachableError,
)

if TYPE_CHECKING:
    from bot.cluster.client.transport import Transport

T = TypeVar("T")

log = structlog.get_logger()

REQUEST_S = 10.0
LEARN_S = 2.0
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

    @property
    def access(self) -> ClusterAccess:
        """How another program finds the same server as the same user."""
        return self._transport.access

    async def get(self, path: str, item_type: type[T], **query: str | int) -> T:
        """One object. Errors: `NotFoundError`, `ForbiddenError`, … (`bot.domain.errors`)."""
        return self._decode(await self._read(path, query), item_type, path)

    async def raw(self, path: str, **query: str | int) -> bytes:
        """The body of an answer that is no object: "/readyz", a log."""
        return await self._read(path, query)

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

    async def patch(self, path: str, operations: Sequence[Mapping[str, Any]], item_type: type[T], **query: str) -> T:
        """The object after a JSON patch. Sent once: whether it happened after an error, only a look tells.

        Errors: `ConflictError` when the patch names a resourceVersion that has passed, `RejectedError`, ….
        """
        url = _url(path, query)
        body = msgspec.json.encode(operations)
        answer = await self._send("PATCH", url, body, content_type="application/json-patch+json")
        return self._decode(answer, item_type, path)

    async def delete(
        self,
        path: str,
        *,
        grace_s: int | None = None,
        uid: str = "",
        is_dry_run: bool = False,
        takes_dependents: bool = False,
    ) -> None:
        """Delete one object, only if it still is the one of this uid. Errors: `NotFoundError`, `ConflictError`.

        `takes_dependents`: what belongs to it goes as well, also where the kind's default is to leave it (Jobs).
        """
        options: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if is_dry_run:
            options["dryRun"] = ["All"]
        if grace_s is not None:
            options["gracePeriodSeconds"] = grace_s
        if uid:
            options["preconditions"] = {"uid": uid}
        if takes_dependents:
            options["propagationPolicy"] = "Background"
        await self._change("DELETE", path, options, {})

    async def evict(self, path: str, *, uid: str, is_dry_run: bool = False) -> None:
        """Ask for a pod's eviction, only if it still is the one of this uid.

        Errors: `OverloadedError` with status 429 while a PodDisruptionBudget does not allow it, `NotFoundError`,
        `ConflictError`.
        """
        *_, namespace, _, name = path.split("/")
        await self._change("POST", f"{path}/eviction", eviction(name, namespace, uid, is_dry_run=is_dry_run), {})

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

    async def who_am_i(self) -> str:
        """The user name that the API server knows us by."""
        path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        answer = await self._change("POST", path, body, {}, is_safe=True)
        return self._decode(answer, _SelfReview, path).status.user_info.username

    @asynccontextmanager
    async def websocket(self, path: str, *, protocols: tuple[str, ...]) -> AsyncGenerator[WebSocket, None]:
        """An open WebSocket. Errors: those of any request, from the server's refusal to upgrade."""
        from bot.cluster.client.transport import RefusedUpgrade  # noqa: PLC0415 - loaded by `connect`, see there

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

    async def _send(self, method: str, url: str, body: bytes = b"", *, content_type: str = "application/json") -> bytes:
        """The body of a successful answer; credentials are renewed once when they are refused."""
        answer = await self._exchange(method, url, body, content_type)
        if answer.status == 401 and await self._transport.renew():
            answer = await self._exchange(method, url, body, content_type)
        if 200 <= answer.status < 300:
            return answer.body
        raise self._error(method, url.partition("?")[0], answer)

    async def _exchange(self, method: str, url: str, body: bytes, content_type: str) -> Response:
        return await self._transport.request(method, url, body=body, content_type=content_type if body else "")

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


class _UserInfo(msgspec.Struct):
    username: str = ""


class _SelfReviewStatus(msgspec.Struct, rename="camel"):
    user_info: _UserInfo = msgspec.field(default_factory=_UserInfo)


class _SelfReview(msgspec.Struct):
    status: _SelfReviewStatus = msgspec.field(default_factory=_SelfReviewStatus)


class _WatchEvent(msgspec.Struct):
    type: str = ""
    object: msgspec.Raw = msgspec.Raw(b"{}")


class _ErrorStatus(msgspec.Struct):
    code: int = 0


def eviction(name: str, namespace: str, uid: str, *, is_dry_run: bool = False) -> Mapping[str, Any]:
    """The object by which a pod's eviction is asked for."""
    options: dict[str, Any] = {"preconditions": {"uid": uid}} | ({"dryRun": ["All"]} if is_dry_run else {})
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata, "deleteOptions": options}


def prepare_to_connect() -> "type[Transport]":
    """Load what the first connection would wait for: a second of imports, which nothing but a connection needs."""
    from bot.cluster.client.transport import Transport  # noqa: PLC0415

    return Transport


@asynccontextmanager
async def _connected(
    kubeconfig: str | None, context: str | None, request_s: float, backoff: Backoff | None
) -> AsyncGenerator[Api, None]:
    transport = await prepare_to_connect().open(kubeconfig, context, request_s=request_s)
    try:
        api = Api(transport, backoff=backoff)
        yield api
        if transport.is_in_cluster:
            await _learn_addresses(api)
    finally:
        await transport.close()


async def _learn_addresses(api: Api) -> None:
    """Where the API servers are, for the day when their Service is broken. Not knowing it spoils nothing today."""
    addresses = addresses_in_use()
    if not addresses.is_stale:
        return
    path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
    try:
        async with asyncio.timeout(LEARN_S):
            found = await api.list_all(path, EndpointSlice, labelSelector="kubernetes.io/service-name=kubernetes")
    except (BotError, TimeoutError) as error:
        log.info("api.addresses_not_learned", why=str(error) or f"no answer within {LEARN_S:g} s")
        return
    addresses.learn(found.items)


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
