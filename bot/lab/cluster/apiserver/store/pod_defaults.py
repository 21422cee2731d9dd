"""Defaults of pod specs, wherever they stand: in pods and in the templates of workloads."""

from collections.abc import Iterable, Mapping
from typing import Any

from bot.lab.cluster.apiserver.parts import items_of, sub

Obj = dict[str, Any]

_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")


def _fill(target: Obj, **values: Any) -> None:
    for key, value in values.items():
        if target.get(key) is None:
            target[key] = value


def pull_policy(image: str) -> str:
    """`Always` for the tag latest (also when it is not written), else `IfNotPresent`."""
    name = image.rpartition("/")[2]
    if "@" in name:
        return "IfNotPresent"
    tag = name.partition(":")[2] or "latest"
    return "Always" if tag == "latest" else "IfNotPresent"


def pod_spec(spec: Obj) -> None:
    """Fill in a pod spec."""
    host_network = bool(spec.get("hostNetwork"))
    for container in (*items_of(spec, "initContainers"), *items_of(spec, "containers")):
        _container(container, host_network=host_network)
    for container in items_of(spec, "ephemeralContainers"):
        _container(container, host_network=False)
    for volume in items_of(spec, "volumes"):
        _volume(volume)
    _fill(
        spec,
        restartPolicy="Always",
        terminationGracePeriodSeconds=30,
        dnsPolicy="ClusterFirst",
        securityContext={},
        schedulerName="default-scheduler",
    )
    if account := spec.get("serviceAccountName") or spec.get("serviceAccount"):
        spec["serviceAccountName"] = spec["serviceAccount"] = account


def _container(container: Obj, *, host_network: bool) -> None:
    _fill(
        container,
        resources={},
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
        imagePullPolicy=pull_policy(container.get("image") or ""),
    )
    _requests(container["resources"])
    for port in items_of(container, "ports"):
        _fill(port, protocol="TCP")
        if host_network:
            _fill(port, hostPort=port.get("containerPort"))
    for probe in (container[key] for key in _PROBES if container.get(key)):
        _fill(probe, timeoutSeconds=1, periodSeconds=10, successThreshold=1, failureThreshold=3)
        if http := probe.get("httpGet"):
            _fill(http, path="/", scheme="HTTP")
        if "grpc" in probe:
            _fill(probe["grpc"], service="")
    for variable in items_of(container, "env"):
        if field := sub(variable, "valueFrom").get("fieldRef"):
            _fill(field, apiVersion="v1")


def _requests(resources: Obj) -> None:
    """Requests that are not given equal the limits."""
    if limits := resources.get("limits"):
        resources["requests"] = {**limits, **sub(resources, "requests")}


def _volume(volume: Obj) -> None:
    for kind, mode in (("configMap", 0o644), ("secret", 0o644), ("projected", 0o644), ("downwardAPI", 0o644)):
        if volume.get(kind) is not None:
            _fill(volume[kind], defaultMode=mode)
    if volume.get("hostPath") is not None:
        _fill(volume["hostPath"], type="")
    for source in items_of(sub(volume, "projected"), "sources"):
        if source.get("serviceAccountToken") is not None:
            _fill(source["serviceAccountToken"], expirationSeconds=3600)


def containers_of(spec: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    """Init containers, containers and ephemeral containers, in this order."""
    for key in ("initContainers", "containers", "ephemeralContainers"):
        yield from items_of(spec, key)


def qos_class(spec: Mapping[str, Any]) -> str:
    """`BestEffort`, `Burstable` or `Guaranteed`, from the resources of its containers."""
    seen = False
    guaranteed = True
    for container in (*items_of(spec, "initContainers"), *items_of(spec, "containers")):
        resources = sub(container, "resources")
        limits, requests = sub(resources, "limits"), sub(resources, "requests")
        seen = seen or bool(limits or requests)
        if not {"cpu", "memory"} <= set(limits) or any(requests.get(key) != limits[key] for key in ("cpu", "memory")):
            guaranteed = False
    if not seen:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"
