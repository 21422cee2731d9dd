"""What the server refuses with 422: names, labels, and what each kind needs, wants in range or may not change."""

from collections.abc import Callable, Mapping
from typing import Any

from bot.lab.apiserver import names, validate_network, validate_objects, validate_pods
from bot.lab.apiserver.errors import Cause
from bot.lab.apiserver.faults import invalid, required
from bot.lab.apiserver.kinds import Resource

Obj = Mapping[str, Any]
Check = Callable[[Obj, Obj | None], list[Cause]]

_LABEL_NAMES = frozenset({"Service", "Namespace"})
_PATH_NAMES = frozenset({"Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"})
_CHECKS: Mapping[str, Check] = {
    "Pod": validate_pods.pod,
    "Deployment": validate_pods.workload,
    "ReplicaSet": validate_pods.workload,
    "StatefulSet": validate_pods.workload,
    "DaemonSet": validate_pods.daemon_set,
    "Job": validate_pods.job,
    "Service": validate_network.service,
    "EndpointSlice": validate_network.endpoint_slice,
    "NetworkPolicy": validate_network.network_policy,
    "ConfigMap": validate_objects.config_map,
    "Secret": validate_objects.secret,
    "Role": validate_objects.role,
    "ClusterRole": validate_objects.role,
    "RoleBinding": validate_objects.role_binding,
    "ClusterRoleBinding": validate_objects.role_binding,
    "CustomResourceDefinition": validate_objects.custom_resource_definition,
    "Lease": validate_objects.lease,
    "Event": validate_objects.event,
    "PriorityClass": validate_objects.priority_class,
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
    for key, value in (metadata.get("labels") or {}).items():
        if fault := names.qualified_fault(key):
            found.append(invalid("metadata.labels", key, fault))
        if not isinstance(value, str):
            found.append(invalid("metadata.labels", value, "must be a string"))
        elif fault := names.label_value_fault(value):
            found.append(invalid("metadata.labels", value, fault))
    for key in metadata.get("annotations") or {}:
        if fault := names.qualified_fault(key.lower()):
            found.append(invalid("metadata.annotations", key, fault))
    for index, owner in enumerate(metadata.get("ownerReferences") or ()):
        for part in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(part):
                found.append(invalid(f"metadata.ownerReferences[{index}].{part}", "", f"{part} must not be empty"))
    return found
