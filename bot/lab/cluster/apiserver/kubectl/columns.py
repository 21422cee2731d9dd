"""The columns of the kinds that people look at most."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bot.lab.cluster.apiserver.kubectl.durations import UNKNOWN, age
from bot.lab.cluster.apiserver.kubectl.pod_status import NONE, pod_ready, pod_restarts, pod_state
from bot.lab.cluster.apiserver.parts import items_of, sub
from bot.lab.cluster.apiserver.store.selectors import labels_text

Obj = Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """One column; with priority 1 only `-o wide` shows it."""

    name: str
    cell: Callable[[Obj], Any]
    type: str = "string"
    format: str = ""
    priority: int = 0

    def definition(self) -> dict[str, Any]:
        """How the table describes it."""
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": "",
            "priority": self.priority,
        }


def _age(obj: Obj) -> str:
    return age(obj["metadata"].get("creationTimestamp"), datetime.now(UTC))


def _spec(obj: Obj) -> Obj:
    return sub(obj, "spec")


def _status(obj: Obj) -> Obj:
    return sub(obj, "status")


def _templates(obj: Obj, key: str) -> str:
    containers = items_of(sub(sub(_spec(obj), "template"), "spec"), "containers")
    return ",".join(container.get(key, "") for container in containers)


def _wide(name: str, cell: Callable[[Obj], Any]) -> Column:
    return Column(name, cell, priority=1)


_NAME = Column("Name", lambda obj: obj["metadata"]["name"], format="name")
_AGE = Column("Age", _age)
_WORKLOAD_WIDE = (
    _wide("Containers", lambda obj: _templates(obj, "name")),
    _wide("Images", lambda obj: _templates(obj, "image")),
    _wide("Selector", lambda obj: labels_text(_spec(obj).get("selector"))),
)


def _integer(name: str, cell: Callable[[Obj], Any]) -> Column:
    return Column(name, cell, type="integer")


def _in_status(key: str) -> Callable[[Obj], Any]:
    return lambda obj: _status(obj).get(key, 0)


_POD = (
    _NAME,
    Column("Ready", pod_ready),
    Column("Status", pod_state),
    Column("Restarts", pod_restarts),
    _AGE,
    _wide("IP", lambda obj: _status(obj).get("podIP") or NONE),
    _wide("Node", lambda obj: _spec(obj).get("nodeName") or NONE),
    _wide("Nominated Node", lambda obj: _status(obj).get("nominatedNodeName") or NONE),
    _wide("Readiness Gates", lambda _: NONE),
)


def _node_state(obj: Obj) -> str:
    ready = next((c for c in items_of(_status(obj), "conditions") if c["type"] == "Ready"), None)
    state = "Unknown" if ready is None else "Ready" if ready["status"] == "True" else "NotReady"
    return f"{state},SchedulingDisabled" if _spec(obj).get("unschedulable") else state


def _node_roles(obj: Obj) -> str:
    prefix = "node-role.kubernetes.io/"
    labels = sub(obj["metadata"], "labels")
    return ",".join(sorted(label.removeprefix(prefix) for label in labels if label.startswith(prefix))) or NONE


def _node_address(kind: str) -> Callable[[Obj], str]:
    return lambda obj: next((a["address"] for a in items_of(_status(obj), "addresses") if a["type"] == kind), NONE)


def _node_info(key: str) -> Callable[[Obj], str]:
    return lambda obj: sub(_status(obj), "nodeInfo").get(key) or UNKNOWN


_NODE = (
    _NAME,
    Column("Status", _node_state),
    Column("Roles", _node_roles),
    _AGE,
    Column("Version", lambda obj: sub(_status(obj), "nodeInfo").get("kubeletVersion", "")),
    _wide("Internal-IP", _node_address("InternalIP")),
    _wide("External-IP", _node_address("ExternalIP")),
    _wide("OS-Image", _node_info("osImage")),
    _wide("Kernel-Version", _node_info("kernelVersion")),
    _wide("Container-Runtime", _node_info("containerRuntimeVersion")),
)


def _service_ports(obj: Obj) -> str:
    ports = items_of(_spec(obj), "ports")
    shown = [f"{p['port']}{':' + str(p['nodePort']) if p.get('nodePort') else ''}/{p['protocol']}" for p in ports]
    return ",".join(shown) or NONE


def _external(obj: Obj) -> str:
    spec = _spec(obj)
    balancer = sub(_status(obj), "loadBalancer")
    given = [entry.get("ip") or entry.get("hostname") or "" for entry in items_of(balancer, "ingress")]
    addresses = [*items_of(spec, "externalIPs"), *given]
    if spec.get("type") == "ExternalName":
        return spec.get("externalName", "")
    return ",".join(addresses) or ("<pending>" if spec.get("type") == "LoadBalancer" else NONE)


def _pairs(labels: Mapping[str, str] | None) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items())) or NONE


_SERVICE = (
    _NAME,
    Column("Type", lambda obj: _spec(obj).get("type", "")),
    Column("Cluster-IP", lambda obj: _spec(obj).get("clusterIP") or NONE),
    Column("External-IP", _external),
    Column("Port(s)", _service_ports),
    _AGE,
    _wide("Selector", lambda obj: _pairs(_spec(obj).get("selector"))),
)
_DEPLOYMENT = (
    _NAME,
    Column("Ready", lambda obj: f"{_status(obj).get('readyReplicas', 0)}/{_spec(obj).get('replicas', 0)}"),
    _integer("Up-to-date", _in_status("updatedReplicas")),
    _integer("Available", _in_status("availableReplicas")),
    _AGE,
    *_WORKLOAD_WIDE,
)
_REPLICA_SET = (
    _NAME,
    _integer("Desired", lambda obj: _spec(obj).get("replicas", 0)),
    _integer("Current", _in_status("replicas")),
    _integer("Ready", _in_status("readyReplicas")),
    _AGE,
    *_WORKLOAD_WIDE,
)


def _node_selector(obj: Obj) -> str:
    return _pairs(sub(sub(_spec(obj), "template"), "spec").get("nodeSelector"))


_DAEMON_SET = (
    _NAME,
    _integer("Desired", _in_status("desiredNumberScheduled")),
    _integer("Current", _in_status("currentNumberScheduled")),
    _integer("Ready", _in_status("numberReady")),
    _integer("Up-to-date", _in_status("updatedNumberScheduled")),
    _integer("Available", _in_status("numberAvailable")),
    Column("Node Selector", _node_selector),
    _AGE,
    *_WORKLOAD_WIDE,
)
_STATEFUL_SET = (_NAME, _DEPLOYMENT[1], _AGE, *_WORKLOAD_WIDE[:2])
_JOB = (
    _NAME,
    Column("Status", lambda obj: next((c["type"] for c in items_of(_status(obj), "conditions")), "Running")),
    Column("Completions", lambda obj: f"{_status(obj).get('succeeded', 0)}/{_spec(obj).get('completions', 1)}"),
    Column("Duration", lambda obj: age(_status(obj).get("startTime"), datetime.now(UTC))),
    _AGE,
    *_WORKLOAD_WIDE,
)


def _owner(obj: Obj) -> str:
    owner = next((ref for ref in items_of(obj["metadata"], "ownerReferences") if ref.get("controller")), None)
    if owner is None:
        return NONE
    group = owner["apiVersion"].rpartition("/")[0]
    return f"{owner['kind'].lower()}{'.' + group if group else ''}/{owner['name']}"


def _slice_addresses(obj: Obj) -> str:
    addresses = [address for endpoint in items_of(obj, "endpoints") for address in endpoint["addresses"]]
    return _few(addresses) or "<unset>"


def _few(items: list[str]) -> str:
    more = f" + {len(items) - 3} more..." if len(items) > 3 else ""
    return ",".join(items[:3]) + more


def _subsets(obj: Obj) -> str:
    pairs = [
        f"{address['ip']}:{port['port']}"
        for subset in items_of(obj, "subsets")
        for port in items_of(subset, "ports")
        for address in items_of(subset, "addresses")
    ]
    return _few(pairs) or NONE


def _last_seen(obj: Obj) -> str:
    series = sub(obj, "series")
    moment = series.get("lastObservedTime") or obj.get("lastTimestamp") or obj.get("eventTime")
    return age(moment, datetime.now(UTC))


_EVENT = (
    Column("Last Seen", _last_seen),
    Column("Type", lambda obj: obj.get("type", "")),
    Column("Reason", lambda obj: obj.get("reason", "")),
    Column(
        "Object", lambda obj: f"{obj['involvedObject'].get('kind', '').lower()}/{obj['involvedObject'].get('name')}"
    ),
    _wide("Subobject", lambda obj: obj["involvedObject"].get("fieldPath", "")),
    _wide("Source", lambda obj: sub(obj, "source").get("component") or obj.get("reportingComponent", "")),
    Column("Message", lambda obj: (obj.get("message") or "").strip()),
    _wide("Count", lambda obj: sub(obj, "series").get("count") or obj.get("count", 1)),
    Column("Name", lambda obj: obj["metadata"]["name"], format="name", priority=1),
)


def _role_reference(obj: Obj) -> str:
    return f"{obj['roleRef']['kind']}/{obj['roleRef']['name']}"


_BINDING = (_NAME, Column("Role", _role_reference), _AGE)
_CREATED = Column("Created At", lambda obj: obj["metadata"]["creationTimestamp"], type="date")
_DATA = _integer("Data", lambda obj: len(items_of(obj, "data")) + len(items_of(obj, "binaryData")))

COLUMNS: Mapping[str, tuple[Column, ...]] = {
    "Pod": _POD,
    "Node": _NODE,
    "Service": _SERVICE,
    "Deployment": _DEPLOYMENT,
    "ReplicaSet": _REPLICA_SET,
    "ReplicationController": _REPLICA_SET,
    "DaemonSet": _DAEMON_SET,
    "StatefulSet": _STATEFUL_SET,
    "Job": _JOB,
    "Namespace": (_NAME, Column("Status", lambda obj: _status(obj).get("phase", "")), _AGE),
    "ConfigMap": (_NAME, _DATA, _AGE),
    "Secret": (_NAME, Column("Type", lambda obj: obj.get("type", "")), _DATA, _AGE),
    "ServiceAccount": (_NAME, _integer("Secrets", lambda obj: len(items_of(obj, "secrets"))), _AGE),
    "Endpoints": (_NAME, Column("Endpoints", _subsets), _AGE),
    "EndpointSlice": (
        _NAME,
        Column("AddressType", lambda obj: obj.get("addressType", "")),
        Column("Ports", lambda obj: ",".join(str(p.get("port")) for p in items_of(obj, "ports")) or "<unset>"),
        Column("Endpoints", _slice_addresses),
        _AGE,
    ),
    "Event": _EVENT,
    "ControllerRevision": (
        _NAME,
        Column("Controller", _owner),
        _integer("Revision", lambda obj: obj.get("revision", 0)),
        _AGE,
    ),
    "NetworkPolicy": (_NAME, Column("Pod-Selector", lambda obj: labels_text(_spec(obj).get("podSelector"))), _AGE),
    "ClusterRole": (_NAME, _CREATED),
    "Role": (_NAME, _CREATED),
    "ClusterRoleBinding": _BINDING,
    "RoleBinding": _BINDING,
    "Lease": (_NAME, Column("Holder", lambda obj: _spec(obj).get("holderIdentity", "")), _AGE),
    "PriorityClass": (
        _NAME,
        _integer("Value", lambda obj: obj.get("value", 0)),
        Column("Global-Default", lambda obj: bool(obj.get("globalDefault")), type="boolean"),
        _AGE,
    ),
    "CustomResourceDefinition": (_NAME, _CREATED),
}
"""By kind; others show name and creation time."""
