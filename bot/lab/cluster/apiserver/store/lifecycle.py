"""What happens to an object on its way into the store: system fields, defaults, allocation, checks, ownership."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot.lab.cluster.apiserver import names
from bot.lab.cluster.apiserver.errors import ApiError, about, bad_request, conflict, forbidden, invalid, not_found
from bot.lab.cluster.apiserver.kinds import Resource
from bot.lab.cluster.apiserver.parts import sub
from bot.lab.cluster.apiserver.store import admission, defaults, initial_state, managed
from bot.lab.cluster.apiserver.store.stored_objects import StoredObjects
from bot.lab.cluster.apiserver.timestamps import seconds
from bot.lab.cluster.apiserver.validate import validation

_GENERATION = frozenset(
    {
        "Pod",
        "DaemonSet",
        "Deployment",
        "ReplicaSet",
        "StatefulSet",
        "Job",
        "CronJob",
        "CustomResourceDefinition",
        "NetworkPolicy",
        "Ingress",
        "IngressClass",
        "PodDisruptionBudget",
        "EndpointSlice",
        "ReplicationController",
        "PriorityClass",
        "ValidatingWebhookConfiguration",
        "MutatingWebhookConfiguration",
    }
)
"""Kinds whose objects count their changes in `metadata.generation`; custom resources do too."""

_SYSTEM = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")
_STATUS_FREE = frozenset({"Node", "Pod", "CustomResourceDefinition", "Namespace", "Service"})
"""Kinds that keep a status given at creation (Node) or get one from their defaults."""


UNTRACKED = "(nobody)"
"""The manager of writes that the real server does itself, without noting an owner (binding, eviction)."""


@dataclass(frozen=True, kw_only=True)
class Writer:
    """Who writes, and by which endpoint."""

    manager: str
    subresource: str = ""
    applies: bool = False
    """Server-side apply, which has worked out the managedFields already."""
    entries: Sequence[dict[str, Any]] = ()
    """The managedFields of an object that an apply creates."""


def counts_generation(resource: Resource) -> bool:
    """Whether objects of this resource carry `metadata.generation`."""
    return resource.custom or resource.kind in _GENERATION


def prepare_create(
    storage: StoredObjects, resource: Resource, obj: dict[str, Any], namespace: str | None, writer: Writer
) -> dict[str, Any]:
    """The object as it will be stored (still without resourceVersion)."""
    _identify(resource, obj, namespace)
    metadata = obj["metadata"]
    if metadata.get("resourceVersion"):
        raise bad_request("resourceVersion should not be set on objects to be created")
    if not metadata.get("name") and metadata.get("generateName"):
        metadata["name"] = names.generate(storage.rng, metadata["generateName"])
    _require_namespace(storage, resource, metadata)
    for key in (*_SYSTEM, "managedFields", "selfLink"):
        metadata.pop(key, None)
    defaults.apply(resource, obj)
    owned = writer.entries or managed.created(resource, obj, writer.manager, storage.now())
    admission.on_create(storage, resource, obj)
    _begin(storage, resource, obj)
    metadata["uid"] = storage.new_uid()
    metadata["creationTimestamp"] = seconds(storage.now())
    if counts_generation(resource):
        metadata["generation"] = 1
    if owned:
        metadata["managedFields"] = list(owned)
    _check(resource, obj, None)
    return obj


def prepare_update(
    storage: StoredObjects,
    resource: Resource,
    obj: dict[str, Any],
    old: Mapping[str, Any],
    writer: Writer,
) -> dict[str, Any]:
    """The new version as it will be stored; equal to `old` when nothing changes."""
    before = old["metadata"]
    obj.setdefault("metadata", {})
    _identify(resource, obj, before.get("namespace"), before["name"])
    _check_version(resource, obj["metadata"], before)
    wanted_managed = obj["metadata"].get("managedFields")
    _keep_system_fields(obj, before)
    _keep_other_half(resource, obj, old, writer.subresource)
    if writer.subresource != "status":  # which shares the rest with the stored object
        defaults.apply(resource, obj)
    owned = before.get("managedFields") if wanted_managed is None else wanted_managed
    if not writer.applies and writer.manager != UNTRACKED:
        who = writer.manager, writer.subresource
        owned = managed.updated(resource, obj, old, owned or [], who, storage.now())
    if writer.subresource != "status":
        initial_state.on_update(storage, resource, obj, old)
    if owned:
        obj["metadata"]["managedFields"] = owned
    else:
        obj["metadata"].pop("managedFields", None)
    if counts_generation(resource) and writer.subresource != "binding" and _spec_changed(resource, obj, old):
        obj["metadata"]["generation"] = before.get("generation", 0) + 1
    _check(resource, obj, old)
    return obj


def _identify(resource: Resource, obj: dict[str, Any], namespace: str | None, name: str | None = None) -> None:
    """Fill in or check what the path already says: kind, name, namespace."""
    if not isinstance(obj.get("metadata", {}), dict):
        raise bad_request("metadata must be an object")
    metadata = obj["metadata"] = sub(obj, "metadata")
    kind, version = obj.get("kind") or resource.kind, obj.get("apiVersion") or resource.api_version
    if (kind, version) != (resource.kind, resource.api_version) and resource.kind != "Event":
        raise bad_request(
            f'{kind} in version "{version}" cannot be handled as a {resource.kind}: '
            f'no kind "{kind}" is registered for version "{version}"'
        )
    obj["kind"], obj["apiVersion"] = resource.kind, resource.api_version
    if name is not None and metadata.setdefault("name", name) != name:
        message = f"the name of the object ({metadata['name']}) does not match the name on the URL ({name})"
        raise bad_request(message)
    if not resource.namespaced:
        metadata.pop("namespace", None)
        return
    namespace = namespace or metadata.get("namespace") or "default"
    if (metadata.get("namespace") or namespace) != namespace:
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
    metadata["namespace"] = namespace


def _require_namespace(storage: StoredObjects, resource: Resource, metadata: Mapping[str, Any]) -> None:
    if not resource.namespaced:
        return
    name = metadata["namespace"]
    namespace = storage.find("namespaces", name)
    if namespace is None:
        raise not_found("namespaces", name)
    if namespace["metadata"].get("deletionTimestamp"):
        why = f"unable to create new content in namespace {name} because it is being terminated"
        error = forbidden(resource.name, metadata.get("name", ""), why)
        cause = {"reason": "NamespaceTerminating", "message": f"namespace {name} is being terminated"}
        details = about(resource.name, metadata.get("name", "")) | {"causes": [cause | {"field": "metadata.namespace"}]}
        raise ApiError(403, "Forbidden", error.message, details)


def _begin(storage: StoredObjects, resource: Resource, obj: dict[str, Any]) -> None:
    """The state that a new object starts with, whatever the request says."""
    if "status" in resource.subresources and resource.kind not in _STATUS_FREE:
        obj.pop("status", None)
    initial_state.begin(storage, resource, obj)


def _check_version(resource: Resource, metadata: Mapping[str, Any], before: Mapping[str, Any]) -> None:
    version = metadata.get("resourceVersion")
    if version and version != before["resourceVersion"]:
        raise conflict(resource.name, before["name"])
    uid = metadata.get("uid")
    if uid and uid != before["uid"]:
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {before['uid']}"
        raise conflict(resource.name, before["name"], why)


def _keep_system_fields(obj: dict[str, Any], before: Mapping[str, Any]) -> None:
    metadata = obj["metadata"]
    metadata.pop("managedFields", None)
    for key in (*_SYSTEM, "resourceVersion", "generateName"):
        metadata.pop(key, None)
        if key in before:
            metadata[key] = before[key]
    for key in ("labels", "annotations", "ownerReferences", "finalizers"):
        if key in metadata and not metadata[key]:
            del metadata[key]


def _keep_other_half(resource: Resource, obj: dict[str, Any], old: Mapping[str, Any], subresource: str) -> None:
    """A write to `status` keeps everything else, any other write keeps `status`."""
    if subresource == "status":
        for key in [key for key in obj if key not in {"kind", "apiVersion", "metadata", "status"}]:
            del obj[key]
        obj.update({key: value for key, value in old.items() if key not in {"metadata", "status"}})
        for key in ("ownerReferences", "finalizers"):
            obj["metadata"].pop(key, None)
            if key in old["metadata"]:
                obj["metadata"][key] = old["metadata"][key]
    elif "status" in resource.subresources and subresource != "binding":
        obj.pop("status", None)
        if "status" in old:
            obj["status"] = old["status"]


def _spec_changed(resource: Resource, obj: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    skip = {"metadata", "kind", "apiVersion"}
    if "status" in resource.subresources or not resource.custom:
        skip.add("status")
    if resource.kind == "EndpointSlice" and obj["metadata"].get("labels") != old["metadata"].get("labels"):
        return True
    return any(obj.get(key) != old.get(key) for key in {*obj, *old} - skip)


def _check(resource: Resource, obj: Mapping[str, Any], old: Mapping[str, Any] | None) -> None:
    causes = validation.faults(resource, obj, old)
    if causes:
        metadata = obj["metadata"]
        title = metadata.get("name") or metadata.get("generateName", "")
        raise invalid(resource.group, resource.kind, title, causes)
