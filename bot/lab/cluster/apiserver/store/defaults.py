"""The values that the real server fills in where a request says nothing, kind by kind."""

from collections.abc import Callable, Mapping
from typing import Any

from bot.lab.cluster.apiserver.kinds import Resource
from bot.lab.cluster.apiserver.parts import items_of
from bot.lab.cluster.apiserver.store import services
from bot.lab.cluster.apiserver.store.pod_defaults import pod_spec

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
    for port in items_of(obj, "ports"):
        fill(port, name="", protocol="TCP")
    fill(obj, endpoints=[], ports=[])


def _endpoints(obj: Obj) -> None:
    for subset in items_of(obj, "subsets"):
        for port in items_of(subset, "ports"):
            fill(port, protocol="TCP")


def _network_policy(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    fill(spec, podSelector={})
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]
    for rule in (*items_of(spec, "ingress"), *items_of(spec, "egress")):
        for port in items_of(rule, "ports"):
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
    for subject in items_of(obj, "subjects"):
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
    for hook in items_of(obj, "webhooks"):
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
