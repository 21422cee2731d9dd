"""The Kubernetes REST API over HTTPS: who asks, may they, and which part of the server answers."""

import asyncio
import socket
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import structlog
from aiohttp import web

from bot.lab.cluster.apiserver import rbac
from bot.lab.cluster.apiserver.errors import ApiError, bad_request, forbidden, method_not_allowed, unauthorized
from bot.lab.cluster.apiserver.http import bodies, documents, logs, rest, reviews, streaming, subresources, watching
from bot.lab.cluster.apiserver.http.answers import Form, accepted, answer, page_not_found, refusal
from bot.lab.cluster.apiserver.http.fault_injection import ApiFaults
from bot.lab.cluster.apiserver.http.paths import Target, parse
from bot.lab.cluster.apiserver.kinds import Resource
from bot.lab.cluster.apiserver.kubelet_api import KubeletApi
from bot.lab.cluster.apiserver.pki import Pki
from bot.lab.cluster.apiserver.store.storage import Storage
from bot.lab.cluster.apiserver.tokens import ANONYMOUS, Tokens, User, impersonated

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_OBJECT_FORMS = ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")
_SHUTDOWN_S = 1.0
_BACKLOG = 256


@dataclass(kw_only=True)
class ApiServer:
    """Answers requests on a store."""

    storage: Storage
    kubelet: KubeletApi
    tokens: Tokens
    address: str = "127.0.0.1:6443"
    api_faults: ApiFaults = field(default_factory=ApiFaults)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """The answer to a request; whatever is refused is a `Status`."""
        try:
            disturbed = await self.api_faults.meet(request)
            return disturbed if disturbed is not None else await self._answer(request)
        except ApiError as error:
            return refusal(error)
        except (ConnectionResetError, asyncio.CancelledError):
            raise  # the client left
        except Exception as error:
            log.exception("apiserver.failed", method=request.method, path=request.path_qs)
            name = type(error).__name__
            return refusal(ApiError(500, "InternalError", f"Internal error occurred: {name}: {error}"))

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        user = self._user(request)
        target = parse(request.method, request.path, request.query)
        if target is None:
            return self._path(request, user)
        self._authorize(user, target)
        resource = self._resource(target)
        if resource is None:
            return page_not_found()
        self._check_verb(resource, target)
        return await self._dispatch(request, user, target, resource)

    def _user(self, request: web.BaseRequest) -> User:
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer":
            return ANONYMOUS
        user = self.tokens.check(token.strip())
        if user is None:
            raise unauthorized()
        return self._impersonated(request, user)

    def _impersonated(self, request: web.BaseRequest, user: User) -> User:
        """The user of `kubectl --as`; raises 403 for those who may not speak for others."""
        name = request.headers.get("Impersonate-User", "")
        if not name:
            return user
        groups = tuple(request.headers.getall("Impersonate-Group", ()))
        for resource, wanted in (("users", name), *(("groups", group) for group in groups)):
            attributes = rbac.Attributes(verb="impersonate", resource=resource, name=wanted)
            if not rbac.authorize(self.storage, user, attributes).allowed:
                raise forbidden(resource, wanted, rbac.refusal(user, attributes))
        return impersonated(name, groups)

    def _authorize(self, user: User, target: Target, verb: str = "") -> None:
        attributes = target.attributes(verb)
        if not rbac.authorize(self.storage, user, attributes).allowed:
            raise forbidden(target.resource, target.name, rbac.refusal(user, attributes))

    def _resource(self, target: Target) -> Resource | None:
        try:
            resource = self.storage.resource(target.resource)
        except ApiError:
            return None
        return resource if resource.version == target.version else None

    @staticmethod
    def _check_verb(resource: Resource, target: Target) -> None:
        if target.subresource:
            sub = resource.subresources.get(target.subresource)
            if sub is None:
                raise ApiError(404, "NotFound", "the server could not find the requested resource")
            verbs = sub.verbs
        else:
            verbs = resource.verbs
        misplaced = (target.verb == "create" and target.name and not target.subresource) or (
            target.verb in {"update", "patch"} and not target.name
        )
        if target.verb not in verbs or misplaced:
            raise method_not_allowed(target.verb, "")

    def _path(self, request: web.BaseRequest, user: User) -> web.Response:
        attributes = rbac.Attributes(verb=request.method.lower(), path=request.path)
        if not rbac.authorize(self.storage, user, attributes).allowed:
            raise ApiError(403, "Forbidden", f"forbidden: {rbac.refusal(user, attributes)}", {})
        return documents.answer_for(request, list(self.storage.resources), self.address)

    async def _dispatch(
        self, request: web.BaseRequest, user: User, target: Target, resource: Resource
    ) -> web.StreamResponse:
        form = accepted(request.headers.get("Accept", ""), _OBJECT_FORMS)
        if target.verb == "watch":
            return await watching.serve(request, self.storage, resource, target.namespace, form)
        call = await self._call(request, target, resource, form)
        if target.subresource == "exec":
            if target.verb == "get":  # since 1.35 a WebSocket needs both verbs
                self._authorize(user, target, "create")
            return await streaming.serve(request, self.kubelet, rest.pod_of(self.storage, call))
        if target.subresource == "log":
            return await logs.serve(request, self.kubelet, rest.pod_of(self.storage, call))
        return self._at_once(call, user)

    def _at_once(self, call: rest.Call, user: User) -> web.Response:
        """Whatever needs no more than the store."""
        target, resource = call.target, call.resource
        match target.verb, target.subresource:
            case "create", "" if reviews.is_review(resource):
                obj, warnings = call.decode()
                review = reviews.answer(
                    self.storage, self.tokens, resource, obj, reviews.Asker(user=user, manager=call.manager)
                )
                return answer(review, status=201, warnings=warnings)
            case "create", subresource if subresource:
                return self._act(call, subresource)
            case "update", "finalize":
                document = bodies.decode(call.raw, call.content_type, resource.kind)
                return answer(subresources.finalize(self.storage, target.name, document))
            case _, ("attach" | "portforward" | "proxy"):
                raise ApiError(501, "NotImplemented", f"the lab does not serve {target.subresource}")
            case _:
                return _VERBS[target.verb](self.storage, call)

    async def _call(self, request: web.BaseRequest, target: Target, resource: Resource, form: Form) -> rest.Call:
        raw = await bodies.read(request.content) if request.can_read_body else b""
        agent = request.headers.get("User-Agent", "unknown").partition("/")[0]
        return rest.Call(
            target=target,
            resource=resource,
            query=request.query,
            raw=raw,
            content_type=request.headers.get("Content-Type", ""),
            manager=(request.query.get("fieldManager") or agent)[:128],
            form=form,
        )

    def _act(self, call: rest.Call, subresource: str) -> web.Response:
        """The subresources that are posted to."""
        name, namespace = call.target.name, call.target.namespace
        sub = call.resource.subresources[subresource]
        document: dict[str, Any] = bodies.decode(call.raw or b"{}", call.content_type, sub.kind)
        match subresource:
            case "token":
                account = self.storage.record("serviceaccounts", name, namespace).obj
                granted = subresources.request_token(self.storage, self.tokens, account, document, call.manager)
                return answer(granted, status=201)
            case "binding":
                return answer(subresources.bind(self.storage, name, namespace, document), status=201)
            case "eviction":
                return answer(subresources.evict(self.storage, name, namespace, document), status=201)
            case _:
                raise bad_request("Upgrade request required")


_VERBS = {
    "get": rest.read,
    "list": rest.read_list,
    "create": rest.create,
    "update": rest.update,
    "patch": rest.patch,
    "delete": rest.delete,
    "deletecollection": rest.delete_collection,
}


async def serve(
    storage: Storage,
    kubelet_api: KubeletApi,
    sock: socket.socket | Sequence[socket.socket],
    *,
    pki: Pki,
    tokens: Tokens,
    api_faults: ApiFaults | None = None,
) -> None:
    """Serve the API on listening (or bound) sockets until cancelled; the sockets are closed at the end."""
    sockets = [sock] if isinstance(sock, socket.socket) else list(sock)
    host, port = sockets[0].getsockname()[:2]
    api = ApiServer(
        storage=storage,
        kubelet=kubelet_api,
        tokens=tokens,
        address=f"{host}:{port}",
        api_faults=api_faults or ApiFaults(),
    )
    server = web.Server(api.handle, handler_cancellation=True, access_log=None, max_line_size=65_536)
    context = pki.server_context()
    async with AsyncExitStack() as stack:
        for each in sockets:
            stack.callback(each.close)
        runner = web.ServerRunner(server, shutdown_timeout=_SHUTDOWN_S)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        for each in sockets:
            await web.SockSite(runner, each, ssl_context=context, backlog=_BACKLOG).start()
        log.debug("apiserver.listening", address=api.address)
        await asyncio.Event().wait()
