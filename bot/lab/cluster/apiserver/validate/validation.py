"""What the server refuses with 422: names, labels, and what each kind needs, wants in range or may not change."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from bot.lab.cluster.apiserver import names
from bot.lab.cluster.apiserver.errors import Cause
from bot.lab.cluster.apiserver.kinds import Resource
from bot.lab.cluster.apiserver.parts import items_of, sub
from bot.lab.cluster.apiserver.validate import network, objects, pods
from bot.lab.cluster.apiserver.validate.faults import invalid, required

Obj = Mapping[str, Any]
Check = Callable[[Obj, Obj | None], list[Cause]]

_LABEL_NAMES = frozenset({"Service", "Namespace"})
_PATH_NAMES = frozenset({"Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"})
_CHECKS: Mapping[str, Check] = {
    "Pod": pods.pod,
    "Deployment": pods.workload,
    "ReplicaSet": pods.workload,
    "StatefulSet": pods.workload,
    "DaemonSet": pods.daemon_set,
    "Job": pods.job,
    "Service": network.service,
    "EndpointSlice": network.endpoint_slice,
    "NetworkPolicy": network.network_policy,
    "ConfigMap": objects.config_map,
    "Secret": objects.secret,
    "Role": objects.role,
    "ClusterRole": objects.role,
    "RoleBinding": objects.role_binding,
    "ClusterRoleBinding": objects.role_binding,
    "CustomResourceDefinition": objects.custom_resource_definition,
    "Lease": objects.lease,
    "Event": objects.event,
    "PriorityClass": objects.priority_class,
}


def faults(resource: Resource, obj: Obj, old: Obj | None) -> list[Cause]:
    """Everything that is wrong with an object, in the order in which the real server names it."""
    found = [*_metadata(resource, obj["metadata"])]
    if not resource.custom and (check := _CHECKS.get(resource.kind)):
        found += check(obj, old)
    return found


def _name_fault(resource: Resource, name: str) -> str:
    if resource.kind in _PATH_NAMES:
        return names.path_segment_fault(name)
    if resource.kind in _LABEL_NAMES:
        return names.label_fault(name)
    return names.subdomain_fault(name)


def _metadata(resource: Resource, metadata: Obj) -> list[Cause]:
    found: list[Cause] = []
    name = metadata.get("name", "")
    if not name:
        found.append(required("metadata.name", "name or generateName is required"))
    elif fault := _name_fault(resource, name):
        found.append(invalid("metadata.name", name, fault))
    found += _labels(sub(metadata, "labels"))
    for key in sub(metadata, "annotations"):
        if fault := names.qualified_fault(key.lower()):
            found.append(invalid("metadata.annotations", key, fault))
    for index, owner in enumerate(items_of(metadata, "ownerReferences")):
        path = f"metadata.ownerReferences[{index}]"
        missing = [part for part in ("apiVersion", "kind", "name", "uid") if not owner.get(part)]
        found += [invalid(f"{path}.{part}", "", f"{part} must not be empty") for part in missing]
    return found


def _labels(labels: Mapping[str, Any]) -> Iterator[Cause]:
    for key, value in labels.items():
        if fault := names.qualified_fault(key):
            yield invalid("metadata.labels", key, fault)
        if not isinstance(value, str):
            yield invalid("metadata.labels", value, "must be a string")
        elif fault := names.label_value_fault(value):
            yield invalid("metadata.labels", value, fault)
