"""EndpointSlices and legacy Endpoints: where the traffic of a Service goes."""

from collections.abc import Iterable, Mapping
from typing import Any

from bot.lab.cluster.apiserver.names import generate
from bot.lab.cluster.apiserver.parts import items_of, sub
from bot.lab.cluster.apiserver.store.storage import Storage
from bot.lab.cluster.controllers import podsets
from bot.lab.cluster.controllers.loop import Key, Mapper, key_of

Obj = Mapping[str, Any]
SLICES = "endpointslices.discovery.k8s.io"
SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
CONTROLLER = "endpointslice-controller.k8s.io"
_TRIGGER = "endpoints.kubernetes.io/last-change-trigger-time"
_HEADLESS = "service.kubernetes.io/headless"
_MAX_PER_SLICE = 100

Ports = tuple[tuple[tuple[str, Any], ...], ...]
"""The ports of a slice in a form that can be compared; empty without a selector's ports."""


class EndpointSlices:
    """The EndpointSlice controller and the Endpoints controller in one."""

    name = "endpointslice"

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    @property
    def watches(self) -> Mapping[str, Mapper]:
        """Services, pods and the slices themselves."""
        return {"services": self._itself, "pods": self._services_of, SLICES: _service_of_slice}

    @staticmethod
    def _itself(service: Obj) -> Iterable[Key]:
        yield key_of(service)

    def _services_of(self, pod: Obj) -> Iterable[Key]:
        labels = sub(pod["metadata"], "labels")
        for service in self._storage.peek("services", pod["metadata"]["namespace"]):
            selector = service["spec"].get("selector")
            if selector and selector.items() <= labels.items():
                yield key_of(service)

    def reconcile(self, namespace: str, name: str) -> float | None:
        """Bring slices and Endpoints of one Service up to date."""
        service = self._storage.find("services", name, namespace)
        if service is None or not service["spec"].get("selector") or service["metadata"].get("deletionTimestamp"):
            return None  # garbage collection removes the slices of a Service that is gone
        groups = self._wanted(service)
        self._write_slices(service, groups)
        self._write_endpoints(service, groups)
        return None

    def _pods(self, service: Obj) -> list[Obj]:
        selector = service["spec"]["selector"]
        return [
            pod
            for pod in self._storage.peek("pods", service["metadata"]["namespace"])
            if selector.items() <= sub(pod["metadata"], "labels").items()
            and pod["status"].get("podIP")
            and pod["spec"].get("nodeName")
            and pod["status"].get("phase") not in {"Succeeded", "Failed"}
        ]

    def _wanted(self, service: Obj) -> dict[Ports, list[dict[str, Any]]]:
        """Endpoints by the ports that their pods resolve to."""
        groups: dict[Ports, list[dict[str, Any]]] = {}
        for pod in self._pods(service):
            ports = _ports(service, pod)
            if ports or not service["spec"].get("ports"):
                groups.setdefault(ports, []).append(_endpoint(service, pod))
        return groups

    def _write_slices(self, service: Obj, groups: Mapping[Ports, list[dict[str, Any]]]) -> None:
        metadata = service["metadata"]
        present = [each for each in podsets.owned(self._storage, SLICES, service) if _is_ours(each)]
        wanted: list[tuple[Ports, list[dict[str, Any]]]] = [
            (ports, endpoints[at : at + _MAX_PER_SLICE])
            for ports, endpoints in groups.items()
            for at in range(0, len(endpoints), _MAX_PER_SLICE)
        ] or [((), [])]
        for ports, endpoints in wanted:
            best = next((each for each in present if _frozen(each["ports"]) == ports), present[0] if present else None)
            body = {"endpoints": endpoints, "ports": [dict(port) for port in ports]}
            if best is None:
                self._create(service, body)
                continue
            present = [each for each in present if each is not best]
            labels = _labels(service)
            changed = any(best[key] != value for key, value in body.items()) or best["metadata"]["labels"] != labels
            if changed:
                annotations = {_TRIGGER: self._trigger(service)}
                update = {**body, "metadata": {"labels": labels, "annotations": annotations}}
                self._storage.patch(SLICES, best["metadata"]["name"], metadata["namespace"], update)
        for surplus in present:
            self._storage.delete(SLICES, surplus["metadata"]["name"], metadata["namespace"])

    def _create(self, service: Obj, body: Mapping[str, Any]) -> None:
        metadata = service["metadata"]
        prefix = f"{metadata['name']}-"
        slice_ = {
            "metadata": {
                "name": generate(self._storage.rng, prefix),
                "generateName": prefix,
                "labels": _labels(service),
                "annotations": {_TRIGGER: self._trigger(service)},
                "ownerReferences": [podsets.owner_reference(service)],
            },
            "addressType": "IPv4",
            **body,
        }
        self._storage.create(SLICES, slice_, namespace=metadata["namespace"])

    def _trigger(self, service: Obj) -> str:
        """When the newest change that shows here happened."""
        moments = [service["metadata"]["creationTimestamp"]]
        moments += [since for pod in self._pods(service) if (since := podsets.ready_since(pod))]
        return max(moments)

    def _write_endpoints(self, service: Obj, groups: Mapping[Ports, list[dict[str, Any]]]) -> None:
        metadata = service["metadata"]
        subsets = [
            subset for ports, endpoints in sorted(groups.items(), key=repr) if (subset := _subset(ports, endpoints))
        ]
        labels = {"endpoints.kubernetes.io/managed-by": "endpoint-controller"}
        if service["spec"].get("clusterIP") == "None":
            labels[_HEADLESS] = ""
        present = self._storage.find("endpoints", metadata["name"], metadata["namespace"])
        if present is None:
            new: dict[str, Any] = {"metadata": {"name": metadata["name"], "labels": labels}}
            new["metadata"]["annotations"] = {_TRIGGER: self._trigger(service)}
            new["metadata"]["ownerReferences"] = [podsets.owner_reference(service)]
            self._storage.create("endpoints", new | {"subsets": subsets}, namespace=metadata["namespace"])
        elif present.get("subsets") != subsets:
            change = {"subsets": subsets, "metadata": {"annotations": {_TRIGGER: self._trigger(service)}}}
            self._storage.patch("endpoints", metadata["name"], metadata["namespace"], change)


def _service_of_slice(slice_: Obj) -> Iterable[Key]:
    name = sub(slice_["metadata"], "labels").get(SERVICE_NAME)
    if name and _is_ours(slice_):
        yield slice_["metadata"]["namespace"], name


def _is_ours(slice_: Obj) -> bool:
    return sub(slice_["metadata"], "labels").get(MANAGED_BY) == CONTROLLER


def _labels(service: Obj) -> dict[str, str]:
    name = service["metadata"]["name"]
    labels = {**sub(service["metadata"], "labels"), MANAGED_BY: CONTROLLER, SERVICE_NAME: name}
    if service["spec"].get("clusterIP") == "None":
        labels[_HEADLESS] = ""
    return labels


def _frozen(ports: Iterable[Mapping[str, Any]] | None) -> Ports:
    return tuple(tuple(sorted(port.items())) for port in ports or ())


def _ports(service: Obj, pod: Obj) -> Ports:
    """The Service's ports as this pod serves them; a named port that the pod does not have is left out."""
    found: list[dict[str, Any]] = []
    for port in items_of(service["spec"], "ports"):
        number = _number(port, pod)
        if number is None:
            continue
        entry = {"name": port.get("name", ""), "protocol": port["protocol"], "port": number}
        if "appProtocol" in port:
            entry["appProtocol"] = port["appProtocol"]
        found.append(entry)
    return _frozen(found)


def _number(port: Obj, pod: Obj) -> int | None:
    target = port.get("targetPort", port["port"])
    if isinstance(target, int):
        return target
    for container in pod["spec"]["containers"]:
        for each in items_of(container, "ports"):
            if each.get("name") == target and each.get("protocol", "TCP") == port["protocol"]:
                return each["containerPort"]
    return None


def _endpoint(service: Obj, pod: Obj) -> dict[str, Any]:
    metadata = pod["metadata"]
    serving = podsets.is_ready(pod) or bool(service["spec"].get("publishNotReadyAddresses"))
    terminating = bool(metadata.get("deletionTimestamp"))
    published = bool(service["spec"].get("publishNotReadyAddresses"))
    endpoint: dict[str, Any] = {
        "addresses": [pod["status"]["podIP"]],
        "conditions": {
            "ready": published or (serving and not terminating),
            "serving": serving,
            "terminating": terminating,
        },
        "targetRef": {
            "kind": "Pod",
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
        },
        "nodeName": pod["spec"]["nodeName"],
    }
    hostname, subdomain = pod["spec"].get("hostname"), pod["spec"].get("subdomain")
    if hostname and subdomain == service["metadata"]["name"]:
        endpoint["hostname"] = hostname
    return endpoint


def _subset(ports: Ports, endpoints: list[dict[str, Any]]) -> dict[str, Any]:
    """The same endpoints in the legacy form, which leaves terminating ones out."""
    subset: dict[str, Any] = {}
    for endpoint in endpoints:
        conditions = endpoint["conditions"]
        if conditions["terminating"] and not conditions["ready"]:
            continue
        key = "addresses" if conditions["ready"] else "notReadyAddresses"
        address = {"ip": endpoint["addresses"][0], "nodeName": endpoint["nodeName"], "targetRef": endpoint["targetRef"]}
        if "hostname" in endpoint:
            address["hostname"] = endpoint["hostname"]
        subset.setdefault(key, []).append(address)
    if subset and ports:
        subset["ports"] = [{key: value for key, value in port if value != ""} for port in ports]
    return subset
