"""The verbs on stored objects: get, list, create, update, patch, delete and deletecollection."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import msgspec
from aiohttp import web

from bot.lab.cluster.apiserver.errors import ApiError, about, bad_request, not_found, unsupported_media_type
from bot.lab.cluster.apiserver.http import bodies, subresources
from bot.lab.cluster.apiserver.http.answers import Form, answer, body, success
from bot.lab.cluster.apiserver.http.paths import Target
from bot.lab.cluster.apiserver.kinds import Resource
from bot.lab.cluster.apiserver.kubectl import tables
from bot.lab.cluster.apiserver.parts import items_of, sub
from bot.lab.cluster.apiserver.store import deletion, managed, schema, views
from bot.lab.cluster.apiserver.store.history import Record
from bot.lab.cluster.apiserver.store.merge import json_patch, merge_patch
from bot.lab.cluster.apiserver.store.paging import page
from bot.lab.cluster.apiserver.store.strategic import strategic_merge

if TYPE_CHECKING:
    from bot.lab.cluster.apiserver.store.storage import Storage

Obj = dict[str, Any]
_JSON_PATCH = "application/json-patch+json"
_MERGE = "application/merge-patch+json"
_STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
_RETURNS_OBJECT = frozenset({"pods", "namespaces", "services", "serviceaccounts", "persistentvolumeclaims"})
"""Resources whose deletion answers with the object instead of a Status."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request for one resource."""

    target: Target
    resource: Resource
    query: Mapping[str, str]
    raw: bytes
    content_type: str
    manager: str
    form: Form

    @property
    def namespace(self) -> str | None:
        """The namespace of namespaced resources."""
        return self.target.namespace if self.resource.namespaced else None

    @property
    def dry_run(self) -> bool:
        """Whether nothing is to be stored; raises 422 for an unknown value."""
        values = self.query.get("dryRun", "")
        if values not in {"", "All"}:
            shown = f'Unsupported value: "{values}": supported values: "All"'
            raise ApiError(422, "Invalid", f'CreateOptions.meta.k8s.io "" is invalid: dryRun: {shown}')
        return values == "All"

    def decode(self) -> tuple[Obj, tuple[str, ...]]:
        """The object in the body and the warnings about it."""
        obj = bodies.decode(self.raw, self.content_type, self.resource.kind)
        warnings = bodies.validated(self.resource, obj, self.query.get("fieldValidation", ""))
        return obj, warnings


def read(storage: "Storage", call: Call) -> web.Response:
    """Get one object."""
    record = storage.record(call.resource.name, call.target.name, call.namespace)
    if call.target.subresource == "scale":
        return answer(subresources.scale_of(call.resource, record.obj))
    return _shown(call, record)


def _shown(call: Call, record: Record, *, status: int = 200, warnings: tuple[str, ...] = ()) -> web.Response:
    if call.form.is_table:
        metadata = {"resourceVersion": record.obj["metadata"].get("resourceVersion", "")}
        include = call.query.get("includeObject", "Metadata")
        return answer(tables.table(call.resource, [record], metadata, call.form, include=include))
    if call.form.is_partial:
        return answer(views.partial(record.obj))
    return answer(msgspec.Raw(views.whole(call.resource, record)), status=status, warnings=warnings)


def read_list(storage: "Storage", call: Call) -> web.Response:
    """List objects, a page at a time where a limit is given."""
    found = page(storage, call.resource.name, call.target.namespace, call.query)
    metadata: Obj = {"resourceVersion": str(found.revision)}
    if found.next_token or call.resource.custom:
        metadata["continue"] = found.next_token
    if found.remaining is not None:
        metadata["remainingItemCount"] = found.remaining
    if call.form.is_table:
        include = call.query.get("includeObject", "Metadata")
        return answer(tables.table(call.resource, found.records, metadata, call.form, include=include))
    if call.form.is_partial:
        items = [msgspec.json.encode(views.partial(record.obj)) for record in found.records]
        return body(views.list_document("PartialObjectMetadataList", "meta.k8s.io/v1", metadata, items))
    items = [views.listed(call.resource, record) for record in found.records]
    kind = call.resource.list_kind or f"{call.resource.kind}List"
    return body(views.list_document(kind, call.resource.api_version, metadata, items))


def create(storage: "Storage", call: Call) -> web.Response:
    """Create an object."""
    obj, warnings = call.decode()
    if views.is_new_event(call.resource):
        obj = views.to_core_event(obj)
    stored = storage.create(
        _stored_name(call.resource), obj, namespace=call.namespace, manager=call.manager, dry_run=call.dry_run
    )
    return _shown(call, Record(stored), status=201, warnings=warnings)


def _stored_name(resource: Resource) -> str:
    return "events" if views.is_new_event(resource) else resource.name


def update(storage: "Storage", call: Call) -> web.Response:
    """Replace an object or one of its parts."""
    if call.target.subresource == "scale":
        return _scale(storage, call, lambda _: bodies.decode(call.raw, call.content_type, "Scale"))
    obj, warnings = call.decode()
    if views.is_new_event(call.resource):
        obj = views.to_core_event(obj)
    return _changed(storage, call, _part(call.target.subresource, lambda _: obj), lambda: warnings)


def _changed(
    storage: "Storage", call: Call, change: Callable[[Obj], Obj], warnings: Callable[[], tuple[str, ...]]
) -> web.Response:
    stored = storage.modify(
        _stored_name(call.resource),
        call.target.name,
        call.namespace,
        change,
        subresource=call.target.subresource,
        manager=call.manager,
        dry_run=call.dry_run,
    )
    return _shown(call, Record(stored), warnings=warnings())


def _part(subresource: str, change: Callable[[Obj], Obj]) -> Callable[[Obj], Obj]:
    """A change that may only touch what the subresource governs (`status` is the store's own business)."""
    if subresource != "ephemeralcontainers":
        return change

    def only_ephemeral(live: Obj) -> Obj:
        wanted = sub(change(_copy(live)), "spec")
        return live | {"spec": live["spec"] | {"ephemeralContainers": items_of(wanted, "ephemeralContainers")}}

    return only_ephemeral


def _copy(obj: Obj) -> Obj:
    return msgspec.json.decode(msgspec.json.encode(obj))


def _scale(storage: "Storage", call: Call, change: Callable[[Obj], Obj]) -> web.Response:
    def replace(live: Obj) -> Obj:
        scale = change(subresources.scale_of(call.resource, live))
        return subresources.with_scale(live, scale)

    stored = storage.modify(
        call.resource.name,
        call.target.name,
        call.namespace,
        replace,
        subresource="scale",
        manager=call.manager,
        dry_run=call.dry_run,
    )
    return answer(subresources.scale_of(call.resource, stored))


def patch(storage: "Storage", call: Call) -> web.Response:
    """Patch an object in any of the four ways; server-side apply may create it."""
    media = call.content_type.partition(";")[0].strip()
    if media == APPLY:
        return _apply(storage, call)
    change = _patcher(call, media)
    if call.target.subresource == "scale":
        return _scale(storage, call, change)
    warnings: list[str] = []

    def checked(live: Obj) -> Obj:
        known = set(bodies.unknown_fields(call.resource, live))
        changed = change(live)
        if set(bodies.unknown_fields(call.resource, changed)) - known:
            warnings.extend(bodies.validated(call.resource, changed, call.query.get("fieldValidation", "")))
        return changed

    return _changed(storage, call, _part(call.target.subresource, checked), lambda: tuple(warnings))


def _patcher(call: Call, media: str) -> Callable[[Obj], Obj]:
    if media == _JSON_PATCH:
        operations = _decoded(call.raw)
        if not isinstance(operations, list):
            raise bad_request("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
        return lambda live: json_patch(live, cast("list[Obj]", operations))
    if media not in {_MERGE, _STRATEGIC}:
        raise ApiError(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})
    if media == _STRATEGIC and call.resource.custom:
        raise unsupported_media_type([_JSON_PATCH, _MERGE, APPLY])
    changes = _decoded(call.raw)
    if not isinstance(changes, dict):
        raise bad_request("the patch must be an object")
    wanted = cast("Obj", changes)
    if media == _MERGE:
        return lambda live: merge_patch(live, wanted)
    if call.target.subresource == "scale":
        shape = schema.of_kind("autoscaling/v1", "Scale")
    else:
        shape = schema.of_kind(call.resource.api_version, call.resource.kind)
    return lambda live: strategic_merge(live, wanted, shape)


def _decoded(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise bad_request(f"error decoding patch: {bodies.go_error(raw)}") from None


def _apply(storage: "Storage", call: Call) -> web.Response:
    if not call.query.get("fieldManager"):
        message = 'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch'
        cause = {
            "reason": "FieldValueRequired",
            "message": "Required value: is required for apply patch",
            "field": "fieldManager",
        }
        details = {"group": "meta.k8s.io", "kind": "PatchOptions", "causes": [cause]}
        raise ApiError(422, "Invalid", message, details)
    config, warnings = call.decode()
    managed.check_configuration(call.resource, config)
    applier = managed.Applier(
        resource=call.resource,
        config=config,
        manager=call.query["fieldManager"],
        subresource=call.target.subresource,
        force=call.query.get("force", "").lower() in {"1", "true"},
        now=storage.now,
    )
    stored, is_new = storage.apply(applier, call.target.name, call.namespace, dry_run=call.dry_run)
    return _shown(call, Record(stored), status=201 if is_new else 200, warnings=warnings)


def _delete_options(call: Call) -> deletion.Options:
    options: Obj = bodies.decode(call.raw, call.content_type, "DeleteOptions") if call.raw.strip() else {}
    preconditions = sub(options, "preconditions")
    grace = call.query.get("gracePeriodSeconds", options.get("gracePeriodSeconds"))
    orphan = options.get("orphanDependents")
    propagation = call.query.get("propagationPolicy", options.get("propagationPolicy"))
    return deletion.Options(
        grace_period_s=None if grace is None else int(grace),
        uid=preconditions.get("uid"),
        resource_version=preconditions.get("resourceVersion"),
        propagation="Orphan" if orphan else propagation,
        dry_run=call.dry_run or bool(options.get("dryRun")),
    )


def delete(storage: "Storage", call: Call) -> web.Response:
    """Delete an object."""
    options = _delete_options(call)
    obj, gone = storage.remove(call.resource.name, call.target.name, call.namespace, options)
    if not gone or call.resource.name in _RETURNS_OBJECT:
        return _shown(call, Record(obj))
    details = about(call.resource.name, call.target.name) | {"uid": obj["metadata"]["uid"]}
    return answer(success(details))


def delete_collection(storage: "Storage", call: Call) -> web.Response:
    """Delete everything that the selectors accept, and answer with the list of it."""
    options = _delete_options(call)
    found = page(storage, call.resource.name, call.target.namespace, call.query)
    items: list[bytes] = []
    for record in found.records:
        metadata = record.obj["metadata"]
        try:
            obj, _ = storage.remove(call.resource.name, metadata["name"], metadata.get("namespace"), options)
        except ApiError as error:
            if error.code != 404:
                raise
            continue
        items.append(views.listed(call.resource, Record(obj)))
    kind = call.resource.list_kind or f"{call.resource.kind}List"
    head = {"resourceVersion": str(storage.revision)}
    return body(views.list_document(kind, call.resource.api_version, head, items))


def pod_of(storage: "Storage", call: Call) -> Obj:
    """The pod that exec and log are about; raises 404."""
    found = storage.find("pods", call.target.name, call.namespace)
    if found is None:
        raise not_found("pods", call.target.name)
    return storage.get("pods", call.target.name, call.namespace)
