"""Who owns which field: `metadata.managedFields`, and server-side apply, which decides by it.

Source: sigs.k8s.io/structured-merge-diff (merge/update.go), k8s.io/apimachinery/pkg/util/managedfields
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from bot.lab.cluster.apiserver.errors import ApiError, bad_request
from bot.lab.cluster.apiserver.kinds import Resource
from bot.lab.cluster.apiserver.parts import items_of, sub
from bot.lab.cluster.apiserver.store import fieldpaths, schema, views
from bot.lab.cluster.apiserver.store.fieldpaths import Paths
from bot.lab.cluster.apiserver.timestamps import seconds

Obj = Mapping[str, Any]
Entries = list[dict[str, Any]]

_SYSTEM = frozenset(
    {
        ("f:apiVersion",),
        ("f:kind",),
        ("f:metadata",),
        *(
            ("f:metadata", f"f:{name}")
            for name in (
                "name",
                "namespace",
                "creationTimestamp",
                "selfLink",
                "uid",
                "generation",
                "managedFields",
                "resourceVersion",
                "deletionTimestamp",
                "deletionGracePeriodSeconds",
            )
        ),
    }
)
"""What nobody owns."""


@dataclass(frozen=True, kw_only=True)
class _Owner:
    """One entry of managedFields."""

    manager: str
    operation: Literal["Update", "Apply"]
    api_version: str
    subresource: str
    paths: frozenset[tuple[str, ...]]
    time: str

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """Entries with the same identity are one."""
        return self.manager, self.operation, self.api_version, self.subresource

    def entry(self) -> dict[str, Any]:
        """As the object shows it."""
        shown: dict[str, Any] = {
            "manager": self.manager,
            "operation": self.operation,
            "apiVersion": self.api_version,
            "time": self.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": fieldpaths.to_fields(self.paths),
        }
        return shown | ({"subresource": self.subresource} if self.subresource else {})


def _owners(entries: Sequence[Mapping[str, Any]]) -> list[_Owner]:
    return [
        _Owner(
            manager=entry.get("manager", ""),
            operation="Apply" if entry.get("operation") == "Apply" else "Update",
            api_version=entry.get("apiVersion", ""),
            subresource=entry.get("subresource", ""),
            paths=frozenset(fieldpaths.from_fields(sub(entry, "fieldsV1"))),
            time=entry.get("time", ""),
        )
        for entry in entries
        if entry
    ]


def _entries(owners: Sequence[_Owner]) -> Entries:
    left = [owner for owner in owners if owner.paths]
    left.sort(key=lambda owner: (owner.operation, owner.time, owner.manager, owner.api_version, owner.subresource))
    return [owner.entry() for owner in left]


def shape_of(resource: Resource) -> schema.Shape:
    """The shape of a resource's objects."""
    return schema.DEDUCED if resource.custom else schema.of_kind(resource.api_version, resource.kind)


def _reset(resource: Resource, paths: Paths, subresource: str) -> Paths:
    """Without what nobody owns and what this endpoint cannot write."""
    has_status = "status" in resource.subresources
    kept: Paths = set()
    for path in paths:
        if path in _SYSTEM or not path:
            continue
        if subresource == "status" and path[0] not in {"f:status", "f:metadata"}:
            continue
        if subresource != "status" and has_status and path[0] == "f:status":
            continue
        kept.add(path)
    return kept


def created(resource: Resource, obj: Obj, manager: str, now: datetime) -> Entries:
    """The entries of an object that somebody creates."""
    shape, api_version, shown = shape_of(resource), resource.api_version, obj
    if resource.name == "events" and obj.get("eventTime"):  # written through events.k8s.io
        shown, api_version = views.to_new_event(obj), "events.k8s.io/v1"
        shape = schema.of_kind(api_version, "Event")
    changes = fieldpaths.difference({}, shown, shape)
    paths = changes.added | changes.modified
    owner = _Owner(
        manager=manager,
        operation="Update",
        api_version=api_version,
        subresource="",
        paths=frozenset(_reset(resource, paths, "")),
        time=seconds(now),
    )
    return _entries([owner])


def updated(
    resource: Resource,
    obj: Obj,
    old: Obj,
    base: Sequence[Mapping[str, Any]],
    writer: tuple[str, str],
    now: datetime,
) -> Entries:
    """The entries after an update by `writer` (manager and subresource): it owns whatever it changed."""
    manager, subresource = writer
    changes = fieldpaths.difference(_plain(old), _plain(obj), shape_of(resource))
    taken = _reset(resource, changes.added | changes.modified, subresource)
    gone = changes.removed
    owners = [replace(owner, paths=owner.paths - taken - gone) for owner in _owners(base)]
    if taken:
        mine = _Owner(
            manager=manager,
            operation="Update",
            api_version=resource.api_version,
            subresource=subresource,
            paths=frozenset(taken),
            time=seconds(now),
        )
        before = next((owner for owner in owners if owner.identity == mine.identity), None)
        if before is not None:
            owners.remove(before)
            mine = replace(mine, paths=mine.paths | before.paths)
        owners.append(mine)
    return _entries(owners)


def _plain(obj: Obj) -> dict[str, Any]:
    """The object without its managedFields."""
    metadata = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
    return {**obj, "metadata": metadata}


def check_configuration(resource: Resource, config: Mapping[str, Any]) -> None:
    """Refuse with 400 what cannot be applied."""
    if config.get("kind") != resource.kind or config.get("apiVersion") != resource.api_version:
        message = f"apply requires apiVersion {resource.api_version} and kind {resource.kind}"
        raise bad_request(f"PatchOptions: {message}")
    if sub(config, "metadata").get("managedFields"):
        raise bad_request("metadata.managedFields must be nil")


@dataclass(frozen=True, kw_only=True)
class Applier:
    """A server-side apply of one configuration."""

    resource: Resource
    config: Mapping[str, Any]
    manager: str
    subresource: str
    force: bool
    now: Callable[[], datetime]

    def _mine(self, shape: schema.Shape) -> _Owner:
        paths = _reset(self.resource, fieldpaths.paths_of(self.config, shape), self.subresource)
        return _Owner(
            manager=self.manager,
            operation="Apply",
            api_version=self.resource.api_version,
            subresource=self.subresource,
            paths=frozenset(paths),
            time=seconds(self.now()),
        )

    def first(self) -> Entries:
        """The entries of an object that the apply creates."""
        return _entries([self._mine(shape_of(self.resource))])

    def merged(self, live: dict[str, Any]) -> dict[str, Any]:
        """The live object with the configuration in it and with its new managedFields.

        Fields that this manager applied before, leaves out now and nobody else owns are removed. Raises 409 where
        another manager owns a field with another value.
        """
        shape = shape_of(self.resource)
        mine = self._mine(shape)
        entries = items_of(live["metadata"], "managedFields")
        owners = _owners(entries)
        before = next((owner for owner in owners if owner.identity == mine.identity), None)
        others = [owner for owner in owners if owner.identity != mine.identity]
        plain = _plain(live)
        merged = fieldpaths.merge(plain, self.config, shape)
        merged = self._pruned(merged, shape, before, [mine, *others])
        changes = fieldpaths.difference(plain, merged, shape)
        others = self._take(others, changes.added | changes.modified)
        others = [replace(owner, paths=owner.paths - changes.removed) for owner in others]
        if before is not None and merged == plain and before.paths == mine.paths:
            mine = before
        merged["metadata"] = {**merged["metadata"], "managedFields": _entries([mine, *others])}
        return merged

    @staticmethod
    def _pruned(merged: Any, shape: schema.Shape, before: _Owner | None, owners: Sequence[_Owner]) -> Any:
        if before is None:
            return merged
        owned = {path for owner in owners for path in fieldpaths.with_named(set(owner.paths), shape)}
        gone = fieldpaths.with_named(set(before.paths), shape) - owned
        kept = fieldpaths.paths_of(merged, shape) - gone
        needed = {path[:depth] for path in kept for depth in range(1, len(path))}
        return fieldpaths.without(merged, shape, gone - needed)

    def _take(self, others: Sequence[_Owner], changed: Paths) -> list[_Owner]:
        """The others without what changes hands; raises 409 unless forced."""
        conflicts = [(owner, sorted(owner.paths & changed)) for owner in others if owner.paths & changed]
        if conflicts and not self.force:
            raise _conflict(conflicts)
        return [replace(owner, paths=owner.paths - changed) for owner in others]


def _conflict(conflicts: Sequence[tuple[_Owner, list[tuple[str, ...]]]]) -> ApiError:
    causes: list[dict[str, str]] = []
    sentences: list[str] = []
    count = sum(len(paths) for _, paths in conflicts)
    for owner, paths in sorted(conflicts, key=lambda conflict: conflict[0].manager):
        who = f'"{owner.manager}"'
        if owner.subresource:
            who += f' with subresource "{owner.subresource}"'
        if owner.operation == "Update":
            who += f" using {owner.api_version}"
        fields = [fieldpaths.dotted(path) for path in paths]
        message = f"conflict with {who}"
        causes += [{"reason": "FieldManagerConflict", "message": message, "field": field} for field in fields]
        sentences.append(f"conflicts with {who}:")
        sentences += [f"- {field}" for field in fields]
    if count == 1:
        sentences = [f"{causes[0]['message']}: {causes[0]['field']}"]
    plural = "" if count == 1 else "s"
    return ApiError(
        409, "Conflict", f"Apply failed with {count} conflict{plural}: " + "\n".join(sentences), {"causes": causes}
    )
