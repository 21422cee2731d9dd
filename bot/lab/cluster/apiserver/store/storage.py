"""The cluster's objects: a synchronous in-memory store with resourceVersions and history, for one event loop.

Objects are plain dicts in Kubernetes' JSON form. A `resource` is `plural[.group]`: `pods`, `deployments.apps`,
`ippools.crd.projectcalico.org`. Whatever is returned belongs to the caller.
"""

import asyncio
import random
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from bot.lab.cluster.apiserver.errors import ApiError, already_exists, not_found
from bot.lab.cluster.apiserver.kinds import BUILTIN, SAME_STORAGE, Resource
from bot.lab.cluster.apiserver.parts import sub
from bot.lab.cluster.apiserver.store import custom, deletion, field_labels, lifecycle
from bot.lab.cluster.apiserver.store.history import Cursor, Record, ResourceCollection, key_of
from bot.lab.cluster.apiserver.store.lifecycle import Writer
from bot.lab.cluster.apiserver.store.managed import Applier
from bot.lab.cluster.apiserver.store.merge import merge_patch
from bot.lab.cluster.apiserver.store.selectors import Predicate, parse_labels

__all__ = ["ApiError", "Event", "Storage"]


Objects = list[dict[str, Any]]


@dataclass(frozen=True)
class Event:
    """One step of a watch."""

    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
    object: dict[str, Any]


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _random_uid() -> str:
    return str(uuid.uuid4())


class Storage:
    """All objects of the cluster. Every write is checked, defaulted and numbered as the real server does it."""

    def __init__(
        self,
        *,
        now: Callable[[], datetime] = _utc_now,
        new_uid: Callable[[], str] = _random_uid,
        rng: random.Random | None = None,
        history_limit: int = 10_000,
    ) -> None:
        self.now = now
        self.new_uid = new_uid
        self.rng = rng or random.Random()
        self.revision = 1
        """The newest resourceVersion in the whole store."""
        self.changed = asyncio.Event()
        """Set at the next change of anything, then replaced."""
        self._history_limit = history_limit
        self._custom: dict[str, Resource] = {}
        self._collections: dict[str, ResourceCollection] = {}

    # Kinds

    @property
    def resources(self) -> Iterator[Resource]:
        """Every resource that is served now, custom ones last."""
        yield from BUILTIN.values()
        yield from self._custom.values()

    def resource(self, name: str) -> Resource:
        """The resource of this name; raises 404 as for an unknown path."""
        found = BUILTIN.get(name) or self._custom.get(name)
        if found is None:
            raise ApiError(404, "NotFound", "the server could not find the requested resource")
        return found

    def is_served(self, name: str) -> bool:
        """Is there such a resource now? Custom ones come and go with their definitions."""
        return name in BUILTIN or name in self._custom

    def collection(self, name: str) -> ResourceCollection:
        """Where a resource's objects are kept; for the server's lists and watches."""
        name = SAME_STORAGE.get(name, name)
        if name not in self._collections:
            self.resource(name)
            self._collections[name] = ResourceCollection(self._history_limit)
        return self._collections[name]

    # Reading

    def get(self, resource: str, name: str, namespace: str | None = None) -> dict[str, Any]:
        """One object; raises 404."""
        return self.record(resource, name, namespace).copy()

    def record(self, resource: str, name: str, namespace: str | None = None) -> Record:
        """The stored version itself, to be read only."""
        found = self.collection(resource).items.get(key_of(namespace, name))
        if found is None:
            raise not_found(resource, name)
        return found

    def find(self, resource: str, name: str, namespace: str | None = None) -> Mapping[str, Any] | None:
        """One object to be read only, or None; for controllers, which look at many."""
        found = self.collection(resource).items.get(key_of(namespace, name))
        return found.obj if found else None

    def list(self, resource: str, namespace: str | None = None, *, labels: str = "", fields: str = "") -> Objects:
        """The objects that both selectors accept, sorted by namespace and name."""
        accepts = self.predicate(resource, labels=labels, fields=fields)
        return [record.copy() for _, record in self.collection(resource).select(namespace) if accepts(record.obj)]

    def peek(self, resource: str, namespace: str | None = None) -> Iterator[Mapping[str, Any]]:
        """The objects of a namespace (or all), to be read only; for controllers."""
        for _, record in self.collection(resource).select(namespace):
            yield record.obj

    def predicate(self, resource: str, *, labels: str = "", fields: str = "") -> Predicate:
        """What a pair of selectors accepts; raises 400 for a selector that is wrong."""
        return field_labels.predicate(self.resource(resource), parse_labels(labels), fields)

    # Writing

    def create(
        self,
        resource: str,
        obj: dict[str, Any],
        *,
        namespace: str | None = None,
        manager: str | None = None,
        dry_run: bool = False,
    ) -> dict[str, Any]:
        """Store a new object, defaulted and checked; raises 400, 403, 404 (namespace), 409 or 422."""
        writer = Writer(manager=manager or _manager(resource, ""))
        return self._create(resource, obj, namespace, writer, dry_run=dry_run)

    def _create(
        self, resource: str, obj: Mapping[str, Any], namespace: str | None, writer: Writer, *, dry_run: bool
    ) -> dict[str, Any]:
        kind = self.resource(resource)
        new = lifecycle.prepare_create(self, kind, _own(obj), namespace, writer)
        metadata = new["metadata"]
        key = key_of(metadata.get("namespace"), metadata["name"])
        if key in self.collection(resource).items:
            raise already_exists(resource, metadata["name"])
        if dry_run:
            return _own(new)
        return self._commit(kind, key, new).copy()

    def update(
        self,
        resource: str,
        obj: dict[str, Any],
        *,
        subresource: str = "",
        manager: str | None = None,
        dry_run: bool = False,
    ) -> dict[str, Any]:
        """Replace an object, or with a subresource the part that it governs.

        Without `metadata.resourceVersion` the write is unconditional. Raises 404, 409, 422.
        """
        metadata = sub(obj, "metadata")
        name, namespace = metadata.get("name", ""), metadata.get("namespace")

        def replace(_: dict[str, Any]) -> dict[str, Any]:
            return _own(obj)

        return self.modify(
            resource, name, namespace, replace, subresource=subresource, manager=manager, dry_run=dry_run
        )

    def patch(
        self,
        resource: str,
        name: str,
        namespace: str | None,
        patch: dict[str, Any],
        *,
        subresource: str = "",
        manager: str | None = None,
    ) -> dict[str, Any]:
        """Change an object by a JSON merge patch (RFC 7396); raises 404, 409 (a stale resourceVersion), 422."""

        def merge(live: dict[str, Any]) -> dict[str, Any]:
            return merge_patch(live, patch)

        return self.modify(resource, name, namespace, merge, subresource=subresource, manager=manager)

    def modify(
        self,
        resource: str,
        name: str,
        namespace: str | None,
        change: Callable[[dict[str, Any]], dict[str, Any]],
        *,
        subresource: str = "",
        manager: str | None = None,
        dry_run: bool = False,
    ) -> dict[str, Any]:
        """Store what `change` makes of the present object; nothing is stored when it changes nothing."""
        writer = Writer(manager=manager or _manager(resource, subresource), subresource=subresource)
        return self._modify(resource, name, namespace, change, writer, dry_run=dry_run)

    def apply(
        self, applier: Applier, name: str, namespace: str | None, *, dry_run: bool = False
    ) -> tuple[dict[str, Any], bool]:
        """Server-side apply: the object as it is then, and whether it is new; raises 409 for fields of others."""
        resource = applier.resource.name
        writer = Writer(manager=applier.manager, subresource=applier.subresource, applies=True)
        if key_of(namespace, name) in self.collection(resource).items:
            return self._modify(resource, name, namespace, applier.merged, writer, dry_run=dry_run), False
        if applier.subresource:
            raise not_found(resource, name)
        config = _own(applier.config)
        config["metadata"] = {**sub(config, "metadata"), "name": name}
        writer = Writer(manager=applier.manager, applies=True, entries=applier.first())
        return self._create(resource, config, namespace, writer, dry_run=dry_run), True

    def _modify(
        self,
        resource: str,
        name: str,
        namespace: str | None,
        change: Callable[[dict[str, Any]], dict[str, Any]],
        writer: Writer,
        *,
        dry_run: bool,
    ) -> dict[str, Any]:
        kind = self.resource(resource)
        live = self.record(resource, name, namespace)
        new = lifecycle.prepare_update(self, kind, change(live.copy()), live.obj, writer)
        if dry_run:
            return _own(new)
        if new == live.obj:
            return live.copy()
        key = key_of(namespace, name)
        if deletion.is_over(new):
            return self._drop(kind, key, new).copy()
        return self._commit(kind, key, new).copy()

    def delete(
        self, resource: str, name: str, namespace: str | None = None, *, grace_period_s: int | None = None
    ) -> None:
        """Delete an object. A scheduled pod first becomes Terminating, until its kubelet deletes it with grace 0;
        an object with finalizers stays until they are gone. Raises 404.
        """
        self.remove(resource, name, namespace, deletion.Options(grace_period_s=grace_period_s))

    def remove(
        self, resource: str, name: str, namespace: str | None, options: deletion.Options
    ) -> tuple[dict[str, Any], bool]:
        """Delete with all of the API's options: the object as it is now, and whether it is gone."""
        kind = self.resource(resource)
        live = self.record(resource, name, namespace)
        step = deletion.decide(kind, live.copy(), options, self.now())
        key = key_of(namespace, name)
        if options.dry_run or step.obj == live.obj:
            if step.gone and not options.dry_run:
                return self._drop(kind, key, step.obj).copy(), True
            return step.obj, step.gone
        if step.gone:
            return self._drop(kind, key, step.obj).copy(), True
        return self._commit(kind, key, step.obj).copy(), False

    def _commit(self, kind: Resource, key: str, obj: dict[str, Any]) -> Record:
        self.revision += 1
        obj["metadata"]["resourceVersion"] = str(self.revision)
        record = self.collection(kind.name).put(key, obj, self.revision)
        if kind.kind == "CustomResourceDefinition":
            self._custom[obj["metadata"]["name"]] = custom.resource_of(obj)
        self._announce()
        return record

    def _drop(self, kind: Resource, key: str, obj: dict[str, Any]) -> Record:
        self.revision += 1
        obj["metadata"]["resourceVersion"] = str(self.revision)
        record = self.collection(kind.name).drop(key, obj, self.revision)
        if kind.kind == "CustomResourceDefinition":
            self._custom.pop(obj["metadata"]["name"], None)
            self._collections.pop(obj["metadata"]["name"], None)
        self._announce()
        return record

    def _announce(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()

    # Watching

    async def watch(self, resource: str, *, namespace: str | None = None, fields: str = "") -> AsyncIterator[Event]:
        """ADDED for every present object, then each change as it happens; never ends by itself.

        A watcher that falls too far behind is not told: it gets what it missed as if it had just happened.
        """
        accepts = self.predicate(resource, fields=fields)
        collection = self.collection(resource)
        seen: dict[str, Record] = {}
        cursor = Cursor(collection, self.revision)
        for event in _relist(seen, dict(collection.select(namespace)), accepts):
            yield event
        while True:
            try:
                changes = cursor.take()
            except ApiError:
                cursor = Cursor(collection, self.revision)
                for event in _relist(seen, dict(collection.select(namespace)), accepts):
                    yield event
                continue
            for change in changes:
                if not namespace or change.key.startswith(f"{namespace}/"):
                    accepted = change.type != "DELETED" and accepts(change.record.obj)
                    event = _step(seen, change.key, change.record, accepted=accepted)
                    if event:
                        yield event
            await cursor.wait()


def _step(seen: dict[str, Record], key: str, record: Record, *, accepted: bool) -> Event | None:
    """What a watcher that has `seen` these objects learns of one change."""
    known = seen.pop(key, None)
    if accepted:
        seen[key] = record
        return Event("MODIFIED" if known else "ADDED", record.copy())
    return Event("DELETED", record.copy()) if known else None


def _relist(seen: dict[str, Record], present: Mapping[str, Record], accepts: Predicate) -> Iterator[Event]:
    """The events that lead from `seen` (which is brought up to date) to the accepted ones of `present`."""
    for key in [key for key in seen if key not in present or not accepts(present[key].obj)]:
        yield Event("DELETED", seen.pop(key).copy())
    for key, record in present.items():
        if seen.get(key) is not record and accepts(record.obj):
            event = _step(seen, key, record, accepted=True)
            if event:
                yield event


def _own(obj: Mapping[str, Any]) -> dict[str, Any]:
    """A copy that shares nothing with the caller's object, and is certainly JSON."""
    return msgspec.json.decode(msgspec.json.encode(obj))


def _manager(resource: str, subresource: str) -> str:
    """Who writes in-process without saying so: the lab's kubelets and controllers stand for the real ones."""
    if resource == "nodes" or (resource == "pods" and subresource == "status"):
        return "kubelet"
    return "kube-controller-manager"
