"""The state that the server gives to new objects, and what an update keeps of the version before it."""

from collections.abc import Mapping
from typing import Any

from bot.lab.cluster.apiserver.kinds import Resource
from bot.lab.cluster.apiserver.parts import items_of, sub
from bot.lab.cluster.apiserver.store import services
from bot.lab.cluster.apiserver.store.defaults import TEMPLATE_GENERATION, fill
from bot.lab.cluster.apiserver.store.pod_defaults import qos_class
from bot.lab.cluster.apiserver.store.stored_objects import StoredObjects

Obj = dict[str, Any]

_NODE_INFO = (
    "machineID",
    "systemUUID",
    "bootID",
    "kernelVersion",
    "osImage",
    "containerRuntimeVersion",
    "kubeletVersion",
    "kubeProxyVersion",
    "operatingSystem",
    "architecture",
)
_ZEROS: Mapping[str, tuple[str, ...]] = {
    "DaemonSet": ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady"),
    "ReplicaSet": ("replicas",),
    "ReplicationController": ("replicas",),
    "StatefulSet": ("replicas", "availableReplicas"),
    "Deployment": (),
    "Job": (),
    "CronJob": (),
    "PodDisruptionBudget": ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"),
}
"""Kinds whose status starts with these numbers at 0."""


def begin(storage: StoredObjects, resource: Resource, obj: Obj) -> None:
    """The state in which a new object starts, beyond what a request can say."""
    if resource.custom:
        return
    if resource.kind in _ZEROS:
        obj["status"] = dict.fromkeys(_ZEROS[resource.kind], 0)
    match resource.kind:
        case "Namespace":
            obj.setdefault("spec", {})["finalizers"] = ["kubernetes"]
            obj["status"] = {"phase": "Active"}
        case "Pod":
            obj["status"] = {"phase": "Pending", "qosClass": qos_class(obj["spec"])}
        case "Node":
            status = obj.setdefault("status", {})
            fill(status, daemonEndpoints={"kubeletEndpoint": {"Port": 0}}, nodeInfo={})
            fill(status["nodeInfo"], **dict.fromkeys(_NODE_INFO, ""))
        case "PersistentVolumeClaim":
            obj["status"] = {"phase": "Pending"}
        case "Service":
            services.allocate(storage, obj, None)
            obj["status"] = {"loadBalancer": {}}
        case "CustomResourceDefinition":
            version = next((v["name"] for v in items_of(obj["spec"], "versions") if v.get("storage")), "v1")
            names = {"plural": "", "kind": ""}
            obj["status"] = {"conditions": None, "acceptedNames": names, "storedVersions": [version]}
        case _:
            pass


def on_update(storage: StoredObjects, resource: Resource, obj: Obj, old: Mapping[str, Any]) -> None:
    """What the version before an update decides about the new one."""
    match resource.kind:
        case "DaemonSet":
            before = int(sub(old["metadata"], "annotations").get(TEMPLATE_GENERATION, "1"))
            changed = obj["spec"].get("template") != old["spec"].get("template")
            obj["metadata"]["annotations"][TEMPLATE_GENERATION] = str(before + changed)
        case "Service":
            services.keep_addresses(obj, old)
            services.allocate(storage, obj, old)
        case "Namespace" if "finalizers" not in sub(obj, "spec"):
            obj["spec"] = dict(sub(old, "spec"))
        case _:
            pass
