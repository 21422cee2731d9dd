"""What admission adds to or refuses of new objects: tolerations and priority of pods, taints of nodes."""

from typing import Any

from bot.lab.cluster.apiserver.errors import forbidden
from bot.lab.cluster.apiserver.kinds import Resource
from bot.lab.cluster.apiserver.parts import items_of
from bot.lab.cluster.apiserver.store.stored_objects import StoredObjects

Obj = dict[str, Any]
NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
_SYSTEM_PRIORITIES = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}


def on_create(storage: StoredObjects, resource: Resource, obj: Obj) -> None:
    """Complete a new object, or refuse it with 403."""
    match resource.kind:
        case "Pod":
            _tolerate(obj["spec"])
            _prioritize(storage, obj)
        case "Node":
            # The node lifecycle controller takes it away once the kubelet reports Ready.
            taints = obj.setdefault("spec", {}).setdefault("taints", [])
            if not any(taint.get("key") == NOT_READY for taint in taints):
                taints.append({"key": NOT_READY, "effect": "NoSchedule"})
        case _:
            pass


def _tolerates(toleration: Obj, key: str) -> bool:
    if toleration.get("effect") not in {None, "", "NoExecute"}:
        return False
    return toleration.get("key") == key or (not toleration.get("key") and toleration.get("operator") == "Exists")


def _tolerate(spec: Obj) -> None:
    """A pod may stay five minutes on a node that is not ready, unless it says something else."""
    tolerations = items_of(spec, "tolerations")
    for key in (NOT_READY, UNREACHABLE):
        if not any(_tolerates(toleration, key) for toleration in tolerations):
            added = {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
            tolerations = [*tolerations, added]
    spec["tolerations"] = tolerations


def _prioritize(storage: StoredObjects, pod: Obj) -> None:
    spec = pod["spec"]
    name = spec.get("priorityClassName", "")
    if not name:
        spec.setdefault("priority", 0)
        spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
        return
    found = storage.find("priorityclasses.scheduling.k8s.io", name)
    if found is None and name not in _SYSTEM_PRIORITIES:
        raise forbidden("pods", pod["metadata"]["name"], f"no PriorityClass with name {name} was found")
    spec["priority"] = found["value"] if found else _SYSTEM_PRIORITIES[name]
    spec["preemptionPolicy"] = (found or {}).get("preemptionPolicy", "PreemptLowerPriority")
