"""Garbage collection: objects whose owners are gone follow them; foreground and orphaning deletions are finished."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from bot.lab.cluster.apiserver.errors import ApiError
from bot.lab.cluster.apiserver.kinds import SAME_STORAGE
from bot.lab.cluster.apiserver.parts import items_of
from bot.lab.cluster.apiserver.store.deletion import FOREGROUND, ORPHAN, Options
from bot.lab.cluster.apiserver.store.history import Cursor
from bot.lab.cluster.apiserver.store.storage import Storage

Obj = Mapping[str, Any]
_FINALIZERS = frozenset({FOREGROUND, ORPHAN})


class _Found(NamedTuple):
    resource: str
    obj: Obj


class GarbageCollector:
    """Looks at the whole store, but only after something was deleted or got an owner."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._cursors: dict[str, Cursor] = {}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            changed = self._storage.changed
            if self._anything():
                self.collect()
                await asyncio.sleep(0)
            else:
                await changed.wait()

    def _resources(self) -> Iterator[str]:
        for resource in list(self._storage.resources):
            if "watch" in resource.verbs and resource.name not in SAME_STORAGE:
                yield resource.name

    def _anything(self) -> bool:
        """Whether a change since the last look may have left garbage."""
        found = False
        for name in self._resources():
            cursor = self._cursors.get(name)
            if cursor is None:
                cursor = self._cursors[name] = Cursor(self._storage.collection(name), 0)
            try:
                changes = cursor.take()
            except ApiError:
                self._cursors[name] = Cursor(self._storage.collection(name), self._storage.revision)
                found = True
                continue
            for change in changes:
                metadata = change.record.obj["metadata"]
                is_new_dependent = change.type == "ADDED" and bool(metadata.get("ownerReferences"))
                found = found or change.type == "DELETED" or is_new_dependent or "deletionTimestamp" in metadata
        return found

    def collect(self) -> None:
        """Delete what has lost all owners, and finish deletions that wait for dependents."""
        for found in list(self._all()):
            metadata = found.obj["metadata"]
            finalizers = _FINALIZERS & set(items_of(metadata, "finalizers"))
            if metadata.get("deletionTimestamp") and finalizers:
                self._finish(found, finalizers)
            elif references := metadata.get("ownerReferences"):
                self._check_owners(found, references)

    def _all(self) -> Iterator[_Found]:
        for name in self._resources():
            for obj in self._storage.peek(name):
                metadata = obj["metadata"]
                if metadata.get("ownerReferences") or metadata.get("deletionTimestamp"):
                    yield _Found(name, obj)

    def _owner(self, reference: Obj, namespace: str | None) -> Obj | None:
        for resource in list(self._storage.resources):
            if resource.kind == reference["kind"] and resource.api_version == reference["apiVersion"]:
                found = self._storage.find(resource.name, reference["name"], namespace if resource.namespaced else None)
                return found if found is not None and found["metadata"]["uid"] == reference["uid"] else None
        return None

    def _check_owners(self, found: _Found, references: list[Obj]) -> None:
        metadata = found.obj["metadata"]
        namespace = metadata.get("namespace")
        owners = [self._owner(reference, namespace) for reference in references]
        present = [reference for reference, owner in zip(references, owners, strict=True) if owner is not None]
        ending = [owner for owner in owners if owner is not None and _is_foreground(owner)]
        if not present or (ending and len(ending) == len(present)):
            if not metadata.get("deletionTimestamp"):
                self._delete(found, wait=bool(ending) and bool(self._dependents(metadata["uid"])))
        elif len(present) < len(references):
            self._patch(found, {"ownerReferences": present})

    def _delete(self, found: _Found, *, wait: bool) -> None:
        metadata = found.obj["metadata"]
        options = Options(propagation="Foreground" if wait else None)
        try:
            self._storage.remove(found.resource, metadata["name"], metadata.get("namespace"), options)
        except ApiError as error:
            if error.code != 404:
                raise

    def _patch(self, found: _Found, change: Mapping[str, Any]) -> None:
        metadata = found.obj["metadata"]
        try:
            self._storage.patch(found.resource, metadata["name"], metadata.get("namespace"), {"metadata": change})
        except ApiError as error:
            if error.code != 404:
                raise

    def _dependents(self, uid: str) -> list[_Found]:
        return [
            found
            for found in self._all()
            if any(reference["uid"] == uid for reference in items_of(found.obj["metadata"], "ownerReferences"))
        ]

    def _finish(self, found: _Found, finalizers: frozenset[str]) -> None:
        metadata = found.obj["metadata"]
        dependents = self._dependents(metadata["uid"])
        if ORPHAN in finalizers:
            for each in dependents:
                references = each.obj["metadata"]["ownerReferences"]
                self._patch(each, {"ownerReferences": [ref for ref in references if ref["uid"] != metadata["uid"]]})
        elif any(_blocks(each.obj, metadata["uid"]) for each in dependents):
            return
        left = [each for each in metadata["finalizers"] if each not in finalizers]
        self._patch(found, {"finalizers": left})


def _is_foreground(owner: Obj) -> bool:
    metadata = owner["metadata"]
    return bool(metadata.get("deletionTimestamp")) and FOREGROUND in items_of(metadata, "finalizers")


def _blocks(dependent: Obj, uid: str) -> bool:
    references = items_of(dependent["metadata"], "ownerReferences")
    return any(reference["uid"] == uid and reference.get("blockOwnerDeletion") for reference in references)
