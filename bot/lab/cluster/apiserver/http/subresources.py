"""Subresources that are not simply a part of the object: scale, eviction, binding, tokens, finalize."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bot.lab.cluster.apiserver.errors import ApiError, Cause, bad_request, conflict, invalid
from bot.lab.cluster.apiserver.kinds import Resource
from bot.lab.cluster.apiserver.parts import items_of, sub
from bot.lab.cluster.apiserver.store import deletion
from bot.lab.cluster.apiserver.store.lifecycle import UNTRACKED
from bot.lab.cluster.apiserver.store.selectors import from_object, labels_text, matches_labels
from bot.lab.cluster.apiserver.timestamps import seconds
from bot.lab.cluster.apiserver.tokens import ISSUER, Tokens

if TYPE_CHECKING:
    from bot.lab.cluster.apiserver.store.storage import Storage

Obj = dict[str, Any]


def scale_of(resource: Resource, obj: Mapping[str, Any]) -> Obj:
    """An object's `Scale`."""
    metadata, spec, status = obj["metadata"], sub(obj, "spec"), sub(obj, "status")
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    selector = spec.get("selector")
    text = labels_text({"matchLabels": selector} if resource.kind == "ReplicationController" else selector)
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: metadata[key] for key in kept if key in metadata},
        "spec": {"replicas": spec.get("replicas", 0)},
        "status": {"replicas": status.get("replicas", 0), "selector": text},
    }


def with_scale(obj: Obj, scale: Mapping[str, Any]) -> Obj:
    """The object with the replicas (and the precondition) of a `Scale`; raises 422 for less than none."""
    replicas = sub(scale, "spec").get("replicas", 0)
    if not isinstance(replicas, int) or replicas < 0:
        shown = f"Invalid value: {replicas}: must be greater than or equal to 0"
        cause = Cause("FieldValueInvalid", shown, "spec.replicas")
        raise invalid("autoscaling", "Scale", obj["metadata"]["name"], [cause])
    obj["spec"] = {**sub(obj, "spec"), "replicas": replicas}
    if version := sub(scale, "metadata").get("resourceVersion"):
        obj["metadata"]["resourceVersion"] = version
    return obj


def request_token(storage: "Storage", tokens: Tokens, account: Mapping[str, Any], body: Obj, manager: str) -> Obj:
    """Answer a `TokenRequest`; raises 409 and 422."""
    metadata, spec = account["metadata"], sub(body, "spec")
    lifetime_s = spec.get("expirationSeconds") or 3600
    if lifetime_s < 600:
        shown = f"Invalid value: {lifetime_s}: may not specify a duration less than 10 minutes"
        cause = Cause("FieldValueInvalid", shown, "spec.expirationSeconds")
        raise invalid("authentication.k8s.io", "TokenRequest", "", [cause])
    bound, pod = spec.get("boundObjectRef"), None
    if bound and bound.get("kind") == "Pod":
        pod = storage.record("pods", bound["name"], metadata["namespace"]).obj
        if bound.get("uid") not in {None, "", pod["metadata"]["uid"]}:
            why = f"the UID in the bound object reference ({bound['uid']}) does not match the UID in record"
            raise conflict("pods", bound["name"], why)
    audiences = tuple(items_of(spec, "audiences")) or (ISSUER,)
    token, ends_at = tokens.issue(
        metadata["namespace"], metadata["name"], lifetime_s=lifetime_s, audiences=audiences, pod=pod
    )
    now = seconds(storage.now())
    owned: Obj = {
        "manager": manager,
        "operation": "Update",
        "apiVersion": "authentication.k8s.io/v1",
        "time": now,
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": {f"f:{key}": {} for key in spec}},
        "subresource": "token",
    }
    return {
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
            "creationTimestamp": now,
            "managedFields": [owned],
        },
        "spec": {"audiences": list(audiences), "expirationSeconds": lifetime_s, "boundObjectRef": bound},
        "status": {"token": token, "expirationTimestamp": seconds(ends_at)},
    }


def bind(storage: "Storage", name: str, namespace: str, body: Obj) -> Obj:
    """Put a pod on a node; raises 409 when it is on one already."""
    node = sub(body, "target").get("name", "")
    if not node:
        cause = Cause("FieldValueRequired", "Required value", "target.name")
        raise invalid("", "Binding", name, [cause])

    def assign(pod: Obj) -> Obj:
        present = pod["spec"].get("nodeName")
        if present:
            raise conflict("pods/binding", name, f'pod {name} is already assigned to node "{present}"')
        pod["spec"]["nodeName"] = node
        condition = {"type": "PodScheduled", "status": "True", "lastProbeTime": None}
        return _with_condition(storage, pod, condition)

    storage.modify("pods", name, namespace, assign, subresource="binding", manager=UNTRACKED)
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


def set_condition(storage: "Storage", name: str, namespace: str, condition: Obj, manager: str = UNTRACKED) -> None:
    """Set one condition of a pod, with the time of its transition."""

    def put(pod: Obj) -> Obj:
        return _with_condition(storage, pod, condition)

    storage.modify("pods", name, namespace, put, subresource="status", manager=manager)


def _with_condition(storage: "Storage", pod: Obj, condition: Obj) -> Obj:
    conditions: list[Obj] = pod.setdefault("status", {}).setdefault("conditions", [])
    new = condition | {"lastTransitionTime": seconds(storage.now())}
    for index, each in enumerate(conditions):
        if each["type"] == condition["type"]:
            if each["status"] == condition["status"]:
                new["lastTransitionTime"] = each["lastTransitionTime"]
            conditions[index] = new
            return pod
    conditions.append(new)
    return pod


def evict(storage: "Storage", name: str, namespace: str, body: Obj) -> Obj:
    """Delete a pod unless a PodDisruptionBudget forbids it (429)."""
    pod = storage.record("pods", name, namespace).obj
    options = sub(body, "deleteOptions")
    preconditions = sub(options, "preconditions")
    if pod["status"].get("phase") not in {"Succeeded", "Failed"}:
        _check_budgets(storage, pod)
    wanted = deletion.Options(
        grace_period_s=options.get("gracePeriodSeconds"),
        uid=preconditions.get("uid"),
        resource_version=preconditions.get("resourceVersion"),
        dry_run=bool(options.get("dryRun")),
    )
    if not wanted.dry_run and pod["spec"].get("nodeName"):
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "lastProbeTime": None,
            "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting",
        }
        set_condition(storage, name, namespace, condition)
    storage.remove("pods", name, namespace, wanted)
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


def _check_budgets(storage: "Storage", pod: Mapping[str, Any]) -> None:
    metadata = pod["metadata"]
    budgets = [
        budget
        for budget in storage.peek("poddisruptionbudgets.policy", metadata["namespace"])
        if matches_labels(from_object(budget["spec"].get("selector")), metadata.get("labels"))
    ]
    if len(budgets) > 1:
        message = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        raise ApiError(500, "InternalError", message)
    for budget in budgets:
        healthy, wanted = budget_numbers(storage, budget)
        if healthy - 1 < wanted:
            shown = (
                f"The disruption budget {budget['metadata']['name']} needs {wanted} healthy pods and has {healthy} "
                "currently"
            )
            causes = [{"reason": "DisruptionBudget", "message": shown}]
            message = "Cannot evict pod as it would violate the pod's disruption budget."
            raise ApiError(429, "TooManyRequests", message, {"causes": causes})


def budget_numbers(storage: "Storage", budget: Mapping[str, Any]) -> tuple[int, int]:
    """How many healthy pods a budget covers now, and how many it wants."""
    selector = from_object(budget["spec"].get("selector"))
    pods = [
        pod
        for pod in storage.peek("pods", budget["metadata"]["namespace"])
        if matches_labels(selector, pod["metadata"].get("labels"))
    ]
    healthy = sum(1 for pod in pods if is_ready(pod) and not pod["metadata"].get("deletionTimestamp"))
    spec = budget["spec"]
    if "maxUnavailable" in spec:
        return healthy, len(pods) - portion(spec["maxUnavailable"], len(pods), up=True)
    return healthy, portion(spec.get("minAvailable", 1), len(pods), up=True)


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Whether its Ready condition is true."""
    conditions = items_of(sub(pod, "status"), "conditions")
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def portion(value: int | str, total: int, *, up: bool) -> int:
    """A number or a percentage of a total; raises 400 for anything else."""
    if isinstance(value, int):
        return value
    if not value.endswith("%") or not value[:-1].isdigit():
        raise bad_request(f'invalid value for IntOrString: invalid type: string is not a percentage: "{value}"')
    exact = total * int(value[:-1])
    return -(-exact // 100) if up else exact // 100


def finalize(storage: "Storage", name: str, body: Obj) -> Obj:
    """Set the finalizers of a namespace: the last step of its deletion."""

    def replace(namespace: Obj) -> Obj:
        namespace["spec"] = {"finalizers": items_of(sub(body, "spec"), "finalizers")}
        return namespace

    return storage.modify("namespaces", name, None, replace, subresource="finalize")
