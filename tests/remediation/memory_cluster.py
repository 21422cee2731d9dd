"""A cluster in memory with an API server's promises, and its bad days: a request is cut before or after it worked."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, cast

from bot.cluster.client.api import Api, Listed
from bot.cluster.writer import Writer
from bot.domain.errors import ConflictError, NotFoundError, ServerError
from bot.domain.plan_journal import JournalEntry
from bot.remediation.progress import End

Obj = dict[str, Any]
_MOST_TRIES = 30


class Killed(BaseException):
    """kill -9."""


class MemoryCluster:
    """Objects by path; every write that landed is in `landed`."""

    def __init__(self, *objects: tuple[str, Obj]) -> None:
        self.objects = {path: copy.deepcopy(obj) for path, obj in objects}
        self.version = 100
        self.landed: list[tuple[str, str]] = []
        self.trouble: Callable[[str], str] = lambda _: ""
        """Asked at each write: "" for none, "before" or "after" (an error before or after it landed), "conflict"
        (nothing landed, for somebody changed the object's status meanwhile), "killed"."""

    @property
    def writer(self) -> Writer:
        return Writer(cast("Api", self))

    async def get(self, path: str, _: type[Any]) -> Obj:
        if path not in self.objects:
            raise NotFoundError(path)
        return copy.deepcopy(self.objects[path])

    async def list_all(self, path: str, _: type[Any]) -> Listed[Obj]:
        found = [copy.deepcopy(obj) for each, obj in self.objects.items() if each.startswith(path + "/")]
        return Listed(items=tuple(found))

    async def raw(self, _: str) -> bytes:
        return b"ok"

    async def patch(self, path: str, operations: Sequence[Mapping[str, Any]], _: type[Any], **query: str) -> Obj:
        obj = await self.get(path, dict)
        for operation in operations:
            _apply(obj, operation)
        is_dry = "dryRun" in query
        self._meet("conflict before", is_dry=is_dry, path=path)
        if obj["metadata"]["resourceVersion"] != self.objects[path]["metadata"]["resourceVersion"]:
            raise ConflictError(path, reason="Conflict", message="the object has been modified")
        if not is_dry:
            self.store(path, obj)
            self.landed.append(("patch", path))
            self._meet("after", is_dry=False, path=path)
        return obj

    async def create(self, path: str, body: Obj, _: type[Any], **query: str) -> Obj:
        whole = f"{path}/{body['metadata']['name']}"
        is_dry = "dryRun" in query
        self._meet("before", is_dry=is_dry, path=whole)
        if whole in self.objects:
            raise ConflictError(whole, reason="AlreadyExists", message="it exists")
        if not is_dry:
            self.version += 1
            obj = copy.deepcopy(body)
            obj["metadata"]["uid"] = f"uid-{self.version}"
            self.store(whole, obj)
            self.landed.append(("create", whole))
            self._meet("after", is_dry=False, path=whole)
        return body

    async def delete(self, path: str, *, uid: str = "", is_dry_run: bool = False, **_: Any) -> None:
        found = await self.get(path, dict)
        self._meet("before", is_dry=is_dry_run, path=path)
        if uid and uid != found["metadata"]["uid"]:
            raise ConflictError(path, reason="Conflict", message="Precondition failed: UID")
        if not is_dry_run:
            del self.objects[path]
            self.landed.append(("delete", path))
            self._meet("after", is_dry=False, path=path)

    def store(self, path: str, obj: Obj) -> None:
        self.version += 1
        obj["metadata"]["resourceVersion"] = str(self.version)
        self.objects[path] = obj

    def touch(self, path: str) -> None:
        """A change that has nothing to do with the plan: a status, a heartbeat."""
        self.store(path, self.objects[path] | {"status": {"seen": self.version}})

    def _meet(self, when: str, *, is_dry: bool, path: str) -> None:
        if is_dry:
            return
        kind = self.trouble(when)
        if kind == "conflict" and "conflict" in when:
            self.touch(path)
        elif kind == "killed":
            raise Killed
        elif kind and kind in when:
            raise ServerError("The API server failed (HTTP 500): etcdserver: request timed out.", status=500)


def _apply(obj: Obj, operation: Mapping[str, Any]) -> None:
    *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
    at = obj
    for part in parents:
        at = at[part]
    if operation["op"] == "remove":
        del at[last]
    else:
        at[last] = copy.deepcopy(operation["value"])


class MemoryJournal:
    """A journal that outlives executors; `trouble` as the cluster's: "killed" before or after a line is kept."""

    def __init__(self) -> None:
        self.lines: list[JournalEntry] = []
        self.trouble: Callable[[str], str] = lambda _: ""
        self.fence = 1

    async def read(self) -> tuple[JournalEntry, ...]:
        return tuple(self.lines)

    async def write(self, place: int, line: JournalEntry) -> None:
        assert place == len(self.lines)
        if self.trouble("before") == "killed":
            raise Killed
        self.lines.append(line)
        if self.trouble("after") == "killed":
            raise Killed


async def to_the_end(attempt: Callable[[], Awaitable[End]], journal: MemoryJournal) -> End:
    """What becomes of a plan that is tried again after each kill, by a process with a lease of its own."""
    for _ in range(_MOST_TRIES):
        try:
            return await attempt()
        except Killed:
            journal.fence += 1
    raise AssertionError("it does not end")
