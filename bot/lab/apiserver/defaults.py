"""The values that the real server fills in where a request says nothing, kind by kind."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from bot.lab.apiserver import services
from bot.lab.apiserver.kinds import Resource
from bot.lab.apiserver.pod_defaults import pod_spec, qos_class

if TYPE_CHECKING:
    from bot.lab.apiserver.storage import Storage

Obj = dict[str, Any]
TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"


def fill(target: Obj, **values: Any) -> None:
    """Set what is missing."""
    for key, value in values.items():
        if target.get(key) is None:
            target[key] = value


def _pod(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    fill(spec, enableServiceLinks=True)
    pod_spec(spec)


def _template(holder: Obj) -> None:
    template = holder.setdefault("template", {})
    pod_spec(template.setdefault("spec", {}))
    template.setdefault("metadata", {}).pop("creationTimestamp", None)


def _daemon_set(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    _template(spec)
    strategy = spec.setdefault("updateStrategy", {})
    fill(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        fill(strategy, rollingUpdate={})
        fill(strategy["rollingUpdate"], maxUnavailable=1, maxSurge=0)
    fill(spec, revisionHistoryLimit=10)
    annotations = obj["metadata"].setdefault("annotations", {})
    annotations.setdefault(TEMPLATE_GENERATION, "1")


def _deployment(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    _template(spec)
    fill(spec, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600, strategy={})
    fill(spec["strategy"], type="RollingUpdate")
    if spec["strategy"]["type"] == "RollingUpdate":
        fill(spec["strategy"], rollingUpdate={})
        fill(spec["strategy"]["rollingUpdate"], maxUnavailable="25%", maxSurge="25%")


def _replica_set(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    if "template" in spec:
        _template(spec)
    fill(spec, replicas=1)


def _stateful_set(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    _template(spec)
    fill(spec, replicas=1, revisionHistoryLimit=10, podManagementPolicy="OrderedReady", updateStrategy={})
    fill(spec, persistentVolumeClaimRetentionPolicy={"whenDeleted": "Retain", "whenScaled": "Retain"})
    fill(spec["updateStrategy"], type="RollingUpdate")
    if spec["updateStrategy"]["type"] == "RollingUpdate":
        fill(spec["updateStrategy"], rollingUpdate={"partition": 0})


def _job(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    _template(spec)
    if spec.get("completions") is None and spec.get("parallelism") is None:
        fill(spec, completions=1)
    fill(spec, parallelism=1, backoffLimit=6, completionMode="NonIndexed", suspend=False)
    fill(spec, podReplacementPolicy="TerminatingOrFailed", manualSelector=False)


def _cron_job(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    fill(spec, concurrencyPolicy="Allow", suspend=False, successfulJobsHistoryLimit=3, failedJobsHistoryLimit=1)


def _namespace(obj: Obj) -> None:
    metadata = obj["metadata"]
    if metadata.get("name"):
        metadata.setdefault("labels", {}).setdefault("kubernetes.io/metadata.name", metadata["name"])


def _endpoint_slice(obj: Obj) -> None:
    for port in obj.get("ports") or ():
        fill(port, name="", protocol="TCP")
    fill(obj, endpoints=[], ports=[])


def _endpoints(obj: Obj) -> None:
    for subset in obj.get("subsets") or ():
        for port in subset.get("ports") or ():
            fill(port, protocol="TCP")


def _network_policy(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    fill(spec, podSelector={})
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]
    for rule in (*(spec.get("ingress") or ()), *(spec.get("egress") or ())):
        for port in rule.get("ports") or ():
            fill(port, protocol="TCP")


def _secret(obj: Obj) -> None:
    fill(obj, type="Opaque")
    # stringData is write-only: it is stored as data.
    if plain := obj.pop("stringData", None):
        import base64  # noqa: PLC0415

        data = obj.setdefault("data", {})
        data.update({key: base64.b64encode(value.encode()).decode() for key, value in plain.items()})


def _role_binding(obj: Obj) -> None:
    fill(obj.setdefault("roleRef", {}), apiGroup="rbac.authorization.k8s.io")
    for subject in obj.get("subjects") or ():
        if subject.get("kind") in {"User", "Group"}:
            fill(subject, apiGroup="rbac.authorization.k8s.io")


def _custom_resource_definition(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    names = spec.setdefault("names", {})
    if names.get("kind"):
        fill(names, singular=names["kind"].lower(), listKind=names["kind"] + "List")
    fill(spec, conversion={"strategy": "None"})


def _priority_class(obj: Obj) -> None:
    fill(obj, preemptionPolicy="PreemptLowerPriority")


def _pod_disruption_budget(obj: Obj) -> None:
    obj.setdefault("spec", {})


def _webhooks(obj: Obj) -> None:
    for hook in obj.get("webhooks") or ():
        fill(hook, failurePolicy="Fail", matchPolicy="Equivalent", timeoutSeconds=10)
        fill(hook, namespaceSelector={}, objectSelector={})


def _persistent_volume_claim(obj: Obj) -> None:
    fill(obj.setdefault("spec", {}), volumeMode="Filesystem")


def _storage_class(obj: Obj) -> None:
    fill(obj, reclaimPolicy="Delete", volumeBindingMode="Immediate")


_BY_KIND: Mapping[str, Callable[[Obj], None]] = {
    "Pod": _pod,
    "DaemonSet": _daemon_set,
    "Deployment": _deployment,
    "ReplicaSet": _replica_set,
    "ReplicationController": _replica_set,
    "StatefulSet": _stateful_set,
    "Job": _job,
    "CronJob": _cron_job,
    "Namespace": _namespace,
    "Service": services.defaults,
    "EndpointSlice": _endpoint_slice,
    "Endpoints": _endpoints,
    "NetworkPolicy": _network_policy,
    "Secret": _secret,
    "RoleBinding": _role_binding,
    "ClusterRoleBinding": _role_binding,
    "CustomResourceDefinition": _custom_resource_definition,
    "PriorityClass": _priority_class,
    "PodDisruptionBudget": _pod_disruption_budget,
    "ValidatingWebhookConfiguration": _webhooks,
    "MutatingWebhookConfiguration": _webhooks,
    "PersistentVolumeClaim": _persistent_volume_claim,
    "StorageClass": _storage_class,
}


def apply(resource: Resource, obj: Obj) -> None:
    """Fill in what decoding a request fills in; changes `obj`, a second time changes nothing."""
    if not resource.custom and (default := _BY_KIND.get(resource.kind)):
        default(obj)


_ZERO_NODE_INFO = (
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


def begin(storage: "Storage", resource: Resource, obj: Obj) -> None:
    """The state in which a new object starts, beyond what a request can say."""
    match resource.kind:
        case "Namespace":
            obj.setdefault("spec", {})["finalizers"] = ["kubernetes"]
            obj["status"] = {"phase": "Active"}
        case "Pod":
            obj["status"] = {"phase": "Pending", "qosClass": qos_class(obj["spec"])}
        case "Node":
            status = obj.setdefault("status", {})
            fill(status, daemonEndpoints={"kubeletEndpoint": {"Port": 0}}, nodeInfo={})
            fill(status["nodeInfo"], **dict.fromkeys(_ZERO_NODE_INFO, ""))
            obj.setdefault("spec", {})
        case "DaemonSet":
            numbers = ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady")
            obj["status"] = dict.fromkeys(numbers, 0)
        case "ReplicaSet" | "ReplicationController":
            obj["status"] = {"replicas": 0}
        case "StatefulSet":
            obj["status"] = {"replicas": 0, "availableReplicas": 0}
        case "Deployment" | "Job" | "CronJob":
            obj["status"] = {}
        case "PersistentVolumeClaim":
            obj["status"] = {"phase": "Pending"}
        case "PodDisruptionBudget":
            zero = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")
            obj["status"] = dict.fromkeys(zero, 0)
        case "Service":
            services.allocate(storage, obj, None)
            obj["status"] = {"loadBalancer": {}}
        case "CustomResourceDefinition":
            version = next((v["name"] for v in obj["spec"].get("versions") or () if v.get("storage")), "v1")
            names = {"plural": "", "kind": ""}
            obj["status"] = {"conditions": None, "acceptedNames": names, "storedVersions": [version]}
        case _:
            pass


def on_update(resource: Resource, obj: Obj, old: Mapping[str, Any]) -> None:
    """What an update fills in from the version before it."""
    match resource.kind:
        case "DaemonSet":
            before = int(old["metadata"].get("annotations", {}).get(TEMPLATE_GENERATION, "1"))
            changed = obj["spec"].get("template") != old["spec"].get("template")
            obj["metadata"]["annotations"][TEMPLATE_GENERATION] = str(before + changed)
        case "Service":
            services.keep_addresses(obj, old)
        case "Namespace" if "finalizers" not in obj.get("spec", {}):
            obj["spec"] = dict(old.get("spec", {}))
        case _:
            pass
