"""Checks of pods and of the workloads that hold pod templates."""

from collections.abc import Iterator, Mapping
from typing import Any

from bot.lab.cluster.apiserver import names
from bot.lab.cluster.apiserver.errors import Cause
from bot.lab.cluster.apiserver.parts import items_of, sub
from bot.lab.cluster.apiserver.store.selectors import from_object, matches_labels
from bot.lab.cluster.apiserver.validate import faults

Obj = Mapping[str, Any]
_RESTART = ("Always", "OnFailure", "Never")
_PULL = ("Always", "IfNotPresent", "Never")
_DNS = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_MAY_CHANGE = (
    "spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` "
    "(only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was "
    "previously negative)"
)


def pod(obj: Obj, old: Obj | None) -> list[Cause]:
    """A pod; an update may change little of its spec."""
    if old is None:
        return pod_spec(obj["spec"], "spec")
    if _fixed(obj["spec"]) != _fixed(old["spec"]) and not _is_binding(obj["spec"], old["spec"]):
        return [faults.forbidden("spec", f"pod updates may not change fields other than `{_MAY_CHANGE}")]
    return []


def _fixed(spec: Obj) -> dict[str, Any]:
    """The part of a pod's spec that stays as it was created."""
    free = {"activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds", "ephemeralContainers"}
    kept = {key: value for key, value in spec.items() if key not in free}
    for key in ("containers", "initContainers"):
        kept[key] = [
            {part: value for part, value in each.items() if part not in {"image", "resources"}}
            for each in items_of(kept, key)
        ]
    return kept


def _is_binding(spec: Obj, old: Obj) -> bool:
    """Whether the only change is that the pod got its node."""
    return not old.get("nodeName") and _fixed({**old, "nodeName": spec.get("nodeName")}) == _fixed(spec)


def pod_spec(spec: Obj, path: str) -> list[Cause]:
    """A pod spec at a path such as `spec.template.spec`."""
    found: list[Cause] = []
    volumes = {volume.get("name") for volume in items_of(spec, "volumes")}
    found += _volumes(spec, f"{path}.volumes")
    if not spec.get("containers"):
        found.append(faults.required(f"{path}.containers"))
    seen: set[str] = set()
    for kind in ("containers", "initContainers"):
        for index, container in enumerate(items_of(spec, kind)):
            where = f"{path}.{kind}[{index}]"
            found += _container(container, where, volumes, host_network=bool(spec.get("hostNetwork")))
            if container.get("name") in seen:
                found.append(faults.duplicate(f"{where}.name", container["name"]))
            seen.add(container.get("name", ""))
    for key, supported in (("restartPolicy", _RESTART), ("dnsPolicy", _DNS)):
        if spec.get(key) not in supported:
            found.append(faults.unsupported(f"{path}.{key}", spec.get(key), supported))
    found += faults.at_least_zero(f"{path}.terminationGracePeriodSeconds", spec.get("terminationGracePeriodSeconds"))
    for index, toleration in enumerate(items_of(spec, "tolerations")):
        found += _toleration(toleration, f"{path}.tolerations[{index}]")
    return found


def _volumes(spec: Obj, path: str) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, volume in enumerate(items_of(spec, "volumes")):
        name = volume.get("name", "")
        if not name:
            yield faults.required(f"{path}[{index}].name")
        elif fault := names.label_fault(name):
            yield faults.invalid(f"{path}[{index}].name", name, fault)
        elif name in seen:
            yield faults.duplicate(f"{path}[{index}].name", name)
        seen.add(name)


def _container(container: Obj, path: str, volumes: set[str | None], *, host_network: bool) -> Iterator[Cause]:
    name = container.get("name", "")
    if not name:
        yield faults.required(f"{path}.name")
    elif fault := names.label_fault(name):
        yield faults.invalid(f"{path}.name", name, fault)
    if not container.get("image"):
        yield faults.required(f"{path}.image")
    for index, port in enumerate(items_of(container, "ports")):
        yield from _container_port(port, f"{path}.ports[{index}]", host_network=host_network)
    yield from _container_parts(container, path, volumes)


def _container_parts(container: Obj, path: str, volumes: set[str | None]) -> Iterator[Cause]:
    for index, variable in enumerate(items_of(container, "env")):
        if not variable.get("name"):
            yield faults.required(f"{path}.env[{index}].name")
    for index, mount in enumerate(items_of(container, "volumeMounts")):
        if not mount.get("mountPath"):
            yield faults.required(f"{path}.volumeMounts[{index}].mountPath")
        if mount.get("name") not in volumes:
            yield faults.not_there(f"{path}.volumeMounts[{index}].name", mount.get("name", ""))
    if container.get("imagePullPolicy") not in _PULL:
        yield faults.unsupported(f"{path}.imagePullPolicy", container.get("imagePullPolicy"), _PULL)


def _container_port(port: Obj, path: str, *, host_network: bool) -> Iterator[Cause]:
    yield from faults.port(f"{path}.containerPort", port.get("containerPort", 0))
    if port.get("protocol") not in _PROTOCOLS:
        yield faults.unsupported(f"{path}.protocol", port.get("protocol"), _PROTOCOLS)
    if host_network and port.get("hostPort") != port.get("containerPort"):
        yield faults.invalid(
            f"{path}.hostPort", port.get("hostPort"), "must match `containerPort` when `hostNetwork` is true"
        )


def _toleration(toleration: Obj, path: str) -> Iterator[Cause]:
    operator = toleration.get("operator") or "Equal"
    if operator not in {"Equal", "Exists"}:
        yield faults.unsupported(f"{path}.operator", operator, ("Equal", "Exists"))
    if not toleration.get("key") and operator != "Exists":
        why = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
        yield faults.invalid(f"{path}.operator", operator, why)
    if operator == "Exists" and toleration.get("value"):
        yield faults.invalid(f"{path}.operator", toleration, "value must be empty when `operator` is 'Exists'")


def workload(obj: Obj, old: Obj | None) -> list[Cause]:
    """A Deployment, ReplicaSet or StatefulSet."""
    spec = obj["spec"]
    found = faults.at_least_zero("spec.replicas", spec.get("replicas"))
    found += _selector(spec, old)
    if "template" in spec:
        found += pod_spec(spec["template"]["spec"], "spec.template.spec")
        found += _always_restarts(spec)
    return found


def daemon_set(obj: Obj, old: Obj | None) -> list[Cause]:
    """A DaemonSet."""
    spec = obj["spec"]
    strategy = spec["updateStrategy"]["type"]
    found = _selector(spec, old)
    found += pod_spec(spec["template"]["spec"], "spec.template.spec")
    found += _always_restarts(spec)
    if strategy not in {"RollingUpdate", "OnDelete"}:
        found.append(faults.unsupported("spec.updateStrategy.type", strategy, ("RollingUpdate", "OnDelete")))
    return found


def job(obj: Obj, old: Obj | None) -> list[Cause]:
    """A Job."""
    spec = obj["spec"]
    found: list[Cause] = []
    for key in ("parallelism", "completions", "backoffLimit", "ttlSecondsAfterFinished", "activeDeadlineSeconds"):
        found += faults.at_least_zero(f"spec.{key}", spec.get(key))
    found += pod_spec(spec["template"]["spec"], "spec.template.spec")
    if spec["template"]["spec"].get("restartPolicy") == "Always":
        why = 'Required value: valid values: "OnFailure", "Never"'
        found.append(Cause("FieldValueRequired", why, "spec.template.spec.restartPolicy"))
    if old is not None and old["spec"].get("selector"):
        found += faults.immutable("spec.selector", spec.get("selector"), old["spec"]["selector"])
    return found


def _always_restarts(spec: Obj) -> list[Cause]:
    policy = spec["template"]["spec"].get("restartPolicy")
    if policy not in {"OnFailure", "Never"}:
        return []
    return [faults.unsupported("spec.template.spec.restartPolicy", policy, ("Always",))]


def _selector(spec: Obj, old: Obj | None) -> list[Cause]:
    selector = spec.get("selector")
    if selector is None:
        return [faults.required("spec.selector")]
    if old is not None and (found := faults.immutable("spec.selector", selector, old["spec"].get("selector"))):
        return found
    if not from_object(selector):
        return [faults.invalid("spec.selector", selector, "empty selector is invalid for deployment")]
    labels = sub(sub(sub(spec, "template"), "metadata"), "labels")
    if not matches_labels(from_object(selector), labels):
        why = "`selector` does not match template `labels`"
        return [faults.invalid("spec.template.metadata.labels", labels, why)]
    return []
