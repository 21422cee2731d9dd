"""Checks of the other kinds: configuration, roles, definitions, Leases, events."""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

from bot.lab.cluster.apiserver.errors import Cause, bad_request
from bot.lab.cluster.apiserver.parts import items_of, sub
from bot.lab.cluster.apiserver.validate import faults

Obj = Mapping[str, Any]
_KEY = re.compile(r"[-._a-zA-Z0-9]+")


def _keys(obj: Obj, field: str) -> list[Cause]:
    why = (
        "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or "
        "'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
    )
    return [
        faults.invalid(f"{field}[{key}]", key, why)
        for key in sub(obj, field)
        if not _KEY.fullmatch(key) or len(key) > 253
    ]


def _sealed(obj: Obj, old: Obj | None, fields: tuple[str, ...]) -> list[Cause]:
    """An immutable ConfigMap or Secret stays as it is."""
    if old is None or not old.get("immutable"):
        return []
    if not obj.get("immutable"):
        return [faults.forbidden("immutable", "field is immutable when `immutable` is set")]
    why = "field is immutable when `immutable` is set"
    return [faults.forbidden(field, why) for field in fields if obj.get(field) != old.get(field)]


def config_map(obj: Obj, old: Obj | None) -> list[Cause]:
    """A ConfigMap."""
    return [*_keys(obj, "data"), *_keys(obj, "binaryData"), *_sealed(obj, old, ("data", "binaryData"))]


def secret(obj: Obj, old: Obj | None) -> list[Cause]:
    """A Secret; raises 400 for data that is not base64, as decoding the request does."""
    for value in sub(obj, "data").values():
        try:
            base64.b64decode(value or "", validate=True)
        except (binascii.Error, TypeError, ValueError):
            message = 'Secret in version "v1" cannot be handled as a Secret: illegal base64 data at input byte 0'
            raise bad_request(message) from None
    found = [*_keys(obj, "data"), *_sealed(obj, old, ("data",))]
    if old is not None:
        found += faults.immutable("type", obj.get("type"), old.get("type"))
    return found


def role(obj: Obj, _: Obj | None) -> list[Cause]:
    """A Role or ClusterRole."""
    found: list[Cause] = []
    for index, rule in enumerate(items_of(obj, "rules")):
        path = f"rules[{index}]"
        if not rule.get("verbs"):
            found.append(faults.required(f"{path}.verbs", "verbs must contain at least one value"))
        if rule.get("nonResourceURLs"):
            if obj["kind"] == "Role":
                why = "namespaced rules cannot apply to non-resource URLs"
                found.append(faults.invalid(f"{path}.nonResourceURLs", rule["nonResourceURLs"], why))
            continue
        if not rule.get("apiGroups"):
            found.append(faults.required(f"{path}.apiGroups", "resource rules must supply at least one api group"))
        if not rule.get("resources"):
            found.append(faults.required(f"{path}.resources", "resource rules must supply at least one resource"))
    return found


def role_binding(obj: Obj, old: Obj | None) -> list[Cause]:
    """A RoleBinding or ClusterRoleBinding."""
    reference = sub(obj, "roleRef")
    found: list[Cause] = []
    kinds = ("ClusterRole",) if obj["kind"] == "ClusterRoleBinding" else ("Role", "ClusterRole")
    if reference.get("kind") not in kinds:
        found.append(faults.unsupported("roleRef.kind", reference.get("kind", ""), kinds))
    if not reference.get("name"):
        found.append(faults.required("roleRef.name"))
    for index, subject in enumerate(items_of(obj, "subjects")):
        path = f"subjects[{index}]"
        if not subject.get("name"):
            found.append(faults.required(f"{path}.name"))
        if subject.get("kind") not in {"ServiceAccount", "User", "Group"}:
            supported = ("ServiceAccount", "User", "Group")
            found.append(faults.unsupported(f"{path}.kind", subject.get("kind", ""), supported))
        elif subject["kind"] == "ServiceAccount" and not subject.get("namespace"):
            found.append(faults.required(f"{path}.namespace"))
    if old is not None and reference != old["roleRef"]:
        found.append(faults.invalid("roleRef", reference, "cannot change roleRef"))
    return found


def custom_resource_definition(obj: Obj, old: Obj | None) -> list[Cause]:
    """A CustomResourceDefinition."""
    spec, found = obj["spec"], list[Cause]()
    names = sub(spec, "names")
    wanted = f"{names.get('plural', '')}.{spec.get('group', '')}"
    if obj["metadata"].get("name") != wanted:
        found.append(
            faults.invalid("metadata.name", obj["metadata"].get("name"), 'must be spec.names.plural+"."+spec.group')
        )
    found += [faults.required(f"spec.{key}") for key in ("group", "scope") if not spec.get(key)]
    found += [faults.required(f"spec.names.{key}") for key in ("plural", "kind") if not names.get(key)]
    if spec.get("scope") not in {None, "", "Cluster", "Namespaced"}:
        found.append(faults.unsupported("spec.scope", spec["scope"], ("Cluster", "Namespaced")))
    versions = items_of(spec, "versions")
    if sum(1 for version in versions if version.get("storage")) != 1:
        found.append(
            faults.invalid("spec.versions", versions, "must have exactly one version marked as storage version")
        )
    for index, version in enumerate(versions):
        if not sub(version, "schema").get("openAPIV3Schema"):
            why = "schemas are required"
            found.append(faults.required(f"spec.versions[{index}].schema.openAPIV3Schema", why))
    if old is not None and spec.get("scope") != old["spec"].get("scope"):
        found += faults.immutable("spec.scope", spec.get("scope"), old["spec"].get("scope"))
    return found


def lease(obj: Obj, _: Obj | None) -> list[Cause]:
    """A Lease."""
    spec = sub(obj, "spec")
    found: list[Cause] = []
    duration = spec.get("leaseDurationSeconds")
    if duration is not None and duration <= 0:
        found.append(faults.invalid("spec.leaseDurationSeconds", duration, "must be greater than 0"))
    return found + faults.at_least_zero("spec.leaseTransitions", spec.get("leaseTransitions"))


def event(obj: Obj, _: Obj | None) -> list[Cause]:
    """An event, in its core form."""
    involved = sub(obj, "involvedObject")
    namespace = involved.get("namespace") or "default"
    if namespace != obj["metadata"].get("namespace"):
        return [
            faults.invalid("involvedObject.namespace", involved.get("namespace", ""), "does not match event.namespace")
        ]
    return []


def priority_class(obj: Obj, old: Obj | None) -> list[Cause]:
    """A PriorityClass."""
    if old is not None and obj.get("value") != old.get("value"):
        return [faults.forbidden("value", "may not be changed in an update.")]
    return []
