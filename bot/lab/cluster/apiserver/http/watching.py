"""Watches over HTTP: a stream of JSON lines, with bookmarks and, on request, the present objects first."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from bot.lab.cluster.apiserver.errors import ApiError, invalid_query
from bot.lab.cluster.apiserver.http.answers import Form
from bot.lab.cluster.apiserver.kinds import Resource
from bot.lab.cluster.apiserver.kubectl import tables
from bot.lab.cluster.apiserver.store import views
from bot.lab.cluster.apiserver.store.history import Change, Cursor, Record
from bot.lab.cluster.apiserver.store.selectors import Predicate

if TYPE_CHECKING:
    from bot.lab.cluster.apiserver.store.storage import Storage

_DEFAULT_TIMEOUT_S = 1800.0
_BOOKMARK_EVERY_S = 60.0
_BOOKMARK_BEFORE_END_S = 2.0
INITIAL_EVENTS_END = "k8s.io/initial-events-end"


class _Stream:
    """Turns changes into the lines that one client gets."""

    def __init__(self, resource: Resource, namespace: str, accepts: Predicate, form: Form) -> None:
        self._resource = resource
        self._prefix = f"{namespace}/" if namespace else ""
        self._accepts = accepts
        self._form = form
        self._headed = False

    def line(self, change: Change) -> bytes:
        """The event of one change, or nothing: an object that starts or stops to match is added or deleted."""
        if not change.key.startswith(self._prefix):
            return b""
        before = change.previous is not None and self._accepts(change.previous.obj)
        after = change.type != "DELETED" and self._accepts(change.record.obj)
        match before, after:
            case True, True:
                return self.event("MODIFIED", change.record)
            case False, True:
                return self.event("ADDED", change.record)
            case True, False:
                return self.event("DELETED", change.record)
            case _:
                return b""

    def event(self, kind: str, record: Record) -> bytes:
        """One line."""
        return b'{"type":"%b","object":%b}\n' % (kind.encode(), self._object(record))

    def _object(self, record: Record) -> bytes:
        if self._form.is_partial:
            return msgspec.json.encode(views.partial(record.obj))
        if self._form.is_table:
            table = tables.table(self._resource, [record], {}, self._form, headers=not self._headed)
            self._headed = True
            return msgspec.json.encode(table)
        return views.whole(self._resource, record)

    def bookmark(self, revision: int, *, initial: bool = False) -> bytes:
        """A line that only says how far the client has come."""
        metadata: dict[str, Any] = {"resourceVersion": str(revision)}
        if initial:
            metadata["annotations"] = {INITIAL_EVENTS_END: "true"}
        obj: dict[str, Any] = {
            "kind": self._resource.kind,
            "apiVersion": self._resource.api_version,
            "metadata": metadata,
        }
        if self._form.is_partial:
            obj = views.partial(obj)
        elif self._form.is_table:
            obj = tables.table(self._resource, [], metadata, self._form, headers=False)
        return msgspec.json.encode({"type": "BOOKMARK", "object": obj}) + b"\n"


async def serve(
    request: web.BaseRequest, storage: "Storage", resource: Resource, namespace: str, form: Form
) -> web.StreamResponse:
    """Answer a watch request until its timeout, the client's end or the loss of history."""
    query = request.query
    accepts = storage.predicate(
        resource.name, labels=query.get("labelSelector", ""), fields=query.get("fieldSelector", "")
    )
    start, present = _start(query)
    stream = _Stream(resource, namespace, accepts, form)
    headers = {"Cache-Control": "no-cache, private", "Content-Type": "application/json"}
    response = web.StreamResponse(headers=headers)
    response.enable_chunked_encoding()
    cursor = Cursor(storage.collection(resource.name), storage.revision if start is None else start)
    await response.prepare(request)
    lines: list[bytes] = []
    if present:
        records = storage.collection(resource.name).select(namespace)
        lines += [stream.event("ADDED", record) for _, record in records if accepts(record.obj)]
        cursor.revision = storage.revision
    bookmarks = query.get("allowWatchBookmarks", "").lower() in {"1", "true"}
    if query.get("sendInitialEvents", "").lower() == "true":
        lines.append(stream.bookmark(storage.revision, initial=True))
    await response.write(b"".join(lines))
    timeout_s = float(query.get("timeoutSeconds") or 0) or _DEFAULT_TIMEOUT_S
    await _follow(response, storage, stream, cursor, timeout_s=timeout_s, bookmarks=bookmarks)
    await response.write_eof()
    return response


def _start(query: Mapping[str, str]) -> tuple[int | None, bool]:
    """After which revision to begin, and whether the present objects come first."""
    text, initial = query.get("resourceVersion", ""), query.get("sendInitialEvents", "")
    if text and not text.isdigit():
        raise invalid_query("resourceVersion", text)
    if initial and query.get("resourceVersionMatch") != "NotOlderThan":
        message = "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        raise invalid_query("resourceVersionMatch", "", message)
    if initial == "true":
        return None, True
    if initial == "false":
        return int(text) if text else None, False
    return (int(text), False) if text not in {"", "0"} else (None, True)


async def _follow(
    response: web.StreamResponse,
    storage: "Storage",
    stream: _Stream,
    cursor: Cursor,
    *,
    timeout_s: float,
    bookmarks: bool,
) -> None:
    clock = asyncio.get_running_loop().time
    end = clock() + timeout_s
    before_end = timeout_s - _BOOKMARK_BEFORE_END_S
    next_bookmark = clock() + (min(_BOOKMARK_EVERY_S, before_end) if before_end > 0 else _BOOKMARK_EVERY_S)
    while clock() < end:
        reached = storage.revision
        try:
            changes = cursor.take()
        except ApiError as error:
            await response.write(msgspec.json.encode({"type": "ERROR", "object": error.to_status()}) + b"\n")
            return
        if data := b"".join(stream.line(change) for change in changes):
            await response.write(data)
        if bookmarks and clock() >= next_bookmark:
            await response.write(stream.bookmark(reached))
            next_bookmark = clock() + _BOOKMARK_EVERY_S
        wake_at = min(end, next_bookmark) if bookmarks else end
        try:
            async with asyncio.timeout_at(wake_at):
                await cursor.wait()
        except TimeoutError:
            continue
