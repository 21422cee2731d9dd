"""A small OpenAPI v3: enough for kubectl and Helm to learn that the server checks fields and merges patches itself."""

from collections.abc import Iterable, Mapping
from typing import Any

from bot.lab.cluster.apiserver.http import discovery
from bot.lab.cluster.apiserver.kinds import Resource
from bot.lab.cluster.apiserver.store import schema

_PATCHES = (
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)
_SCALARS: Mapping[str, Any] = {
    "string": {"type": "string"},
    "integer": {"type": "integer", "format": "int32"},
    "number": {"type": "number", "format": "double"},
    "boolean": {"type": "boolean"},
    "quantity": {"oneOf": [{"type": "string"}, {"type": "number"}]},
    "intorstring": {"type": "string", "format": "int-or-string"},
    "any": {"type": "object"},
}


def index(resources: Iterable[Resource]) -> dict[str, Any]:
    """`/openapi/v3`: where the document of each group is."""
    paths: dict[str, Any] = {}
    for group, members in discovery.groups(resources).items():
        path = f"apis/{group}/{members[0].version}" if group else "api/v1"
        names = ",".join(resource.plural for resource in members)
        paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={abs(hash(names)):X}"}
    return {"paths": paths}


def document(resources: Iterable[Resource]) -> dict[str, Any]:
    """The document of one group: its paths, and the schemas of its kinds."""
    paths: dict[str, Any] = {}
    components: dict[str, Any] = {}
    for resource in resources:
        base = f"/apis/{resource.group}/{resource.version}" if resource.group else "/api/v1"
        scope = "/namespaces/{namespace}" if resource.namespaced else ""
        collection = f"{base}{scope}/{resource.plural}"
        paths[collection] = _operations(resource, {"post": "create", "get": "list"})
        paths[collection + "/{name}"] = _operations(
            resource, {"get": "get", "put": "update", "patch": "patch", "delete": "delete"}
        )
        _component(resource, components)
    info = {"title": "Kubernetes", "version": discovery.VERSION["gitVersion"]}
    return {"openapi": "3.0.0", "info": info, "paths": paths, "components": {"schemas": components}}


def _kind(resource: Resource) -> dict[str, str]:
    return {"group": resource.group, "version": resource.version, "kind": resource.kind}


def _operations(resource: Resource, methods: Mapping[str, str]) -> dict[str, Any]:
    return {method: _operation(resource, verb) for method, verb in methods.items() if verb in resource.verbs}


def _operation(resource: Resource, verb: str) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "x-kubernetes-action": {"create": "post", "update": "put"}.get(verb, verb),
        "x-kubernetes-group-version-kind": _kind(resource),
        "responses": {"200": {"description": "OK"}},
    }
    if verb in {"create", "update", "patch"}:
        names = ("dryRun", "fieldManager", "fieldValidation")
        operation["parameters"] = [{"name": name, "in": "query", "schema": {"type": "string"}} for name in names]
    if verb == "patch":
        kinds = [kind for kind in _PATCHES if "strategic" not in kind or not resource.custom]
        operation["requestBody"] = {"content": {kind: {"schema": {"type": "object"}} for kind in kinds}}
    return operation


def _component(resource: Resource, components: dict[str, Any]) -> None:
    name = schema.kinds().get(f"{resource.api_version}/{resource.kind}")
    if name is None:
        key = f"{'.'.join(reversed(resource.group.split('.')))}.{resource.version}.{resource.kind}"
        components[key] = {"type": "object"}
    else:
        key = _full(name)
        _collect(name, components)
    components[key] = components[key] | {"x-kubernetes-group-version-kind": [_kind(resource)]}


def _full(name: str) -> str:
    if name.startswith("meta.v1."):
        return f"io.k8s.apimachinery.pkg.apis.{name}"
    if name.startswith("apiextensions.v1."):
        return f"io.k8s.apiextensions-apiserver.pkg.apis.{name}"
    return f"io.k8s.api.{name}"


def _collect(name: str, components: dict[str, Any]) -> None:
    if (key := _full(name)) in components:
        return
    components[key] = {}
    fields = schema.types()[name]["fields"]
    properties = {field: _property(shape, components) for field, shape in fields.items()}
    components[key] = {"type": "object", "properties": properties}


def _property(shape: schema.Shape, components: dict[str, Any]) -> dict[str, Any]:
    if isinstance(shape, str):
        if shape in _SCALARS:
            return dict(_SCALARS[shape])
        _collect(shape, components)
        return {"allOf": [{"$ref": f"#/components/schemas/{_full(shape)}"}], "default": {}}
    if "items" in shape:
        found: dict[str, Any] = {"type": "array", "items": _property(shape["items"], components)}
        if "keys" in shape:
            found |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": shape["keys"]}
        elif shape.get("set"):
            found["x-kubernetes-list-type"] = "set"
        else:
            found["x-kubernetes-list-type"] = "atomic"
    elif "values" in shape:
        found = {"type": "object", "additionalProperties": _property(shape["values"], components)}
    else:
        found = _property(shape["type"], components)
    if "patch" in shape:
        found["x-kubernetes-patch-strategy"] = shape["patch"]
    if "merge_key" in shape:
        found["x-kubernetes-patch-merge-key"] = shape["merge_key"]
    if shape.get("atomic"):
        found["x-kubernetes-map-type"] = "atomic"
    return found
