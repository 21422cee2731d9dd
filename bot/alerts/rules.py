"""What an alert speaks of, when nothing but its labels is known: nine rules in order, the first that fits decides.

`namespace` and `pod` of an alert are often those of the exporter that was scraped, not of what is in trouble: the
Prometheus Operator adds them to every target, and what a metric does not set itself keeps the exporter's. So they are
struck first where that is so.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from bot.alerts.components import (
    component_of,
    component_of_alert,
    component_of_object,
    is_cni_namespace,
    is_node_agent,
)
from bot.domain.alert import Alert, AlertScope, Component

Labels = Mapping[str, str]
Find = Callable[[Labels], AlertScope | None]

SILENT_NAMES = frozenset({"watchdog", "infoinhibitor"})
"""Alerts that always fire, or only serve inhibition."""
WORKLOADS: tuple[tuple[str, str], ...] = (
    ("daemonset", "daemonset"),
    ("deployment", "deployment"),
    ("statefulset", "statefulset"),
    ("job_name", "job"),
)
"""Label and kind. `job` by itself is Prometheus's scrape job."""
_EXPORTER_CONTAINERS = frozenset({"kube-state-metrics", "kube-rbac-proxy-main"})
_HOST_NETWORK: frozenset[Component] = frozenset({"api-server", "kubelet", "kube-proxy"})
"""Components whose `instance` is an address of the node that they run on."""
_API_SERVICE = re.compile(r"v[1-9][0-9]*(?:(?:alpha|beta)[1-9][0-9]*)?\.[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?")
_HOST = re.compile(r"(?:https?://)?(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[^\[\]:/\s]+))(?::[0-9]+)?(?:/.*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The labels that remain, and what was struck or replaced, as sentences."""

    labels: Labels
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One of the nine."""

    number: int
    says: str
    find: Find = field(repr=False)


def is_silent(alert: Alert) -> bool:
    """Rule 1: alerts that ask nothing of anybody."""
    return alert.name.lower() in SILENT_NAMES or alert.severity == "none"


def read_labels(labels: Labels) -> Reading:
    """Rule 2: the labels of what is in trouble; the exporter's own are struck."""
    found, notes = _exported(dict(labels))
    if not _is_of_kube_state_metrics(labels):
        return Reading(labels=found, notes=tuple(notes))
    is_raw = "instance" in labels  # an aggregated alert keeps no label of the exporter's
    has_owner = "node" in found or any(label in found for label, _ in WORKLOADS)
    struck = [name for name in ("instance", "container", "service", "endpoint") if name in found]
    if "pod" in found and ((is_raw and "kube-state-metrics" in found["pod"]) or has_owner):
        struck.append("pod")
    keeps_pod = "pod" in found and "pod" not in struck
    if "namespace" in found and "node" in found and not keeps_pod and not any(name in found for name, _ in WORKLOADS):
        struck.append("namespace")
    if struck:
        notes.append(f"kube-state-metrics' own labels were left out: {', '.join(struck)}")
    kept = {name: value for name, value in found.items() if name not in struck}
    return Reading(labels=kept, notes=tuple(notes))


def _exported(labels: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """Where a scrape does not honour labels, the metric's own are called `exported_…`."""
    renamed = {name.removeprefix("exported_"): value for name, value in labels.items() if name.startswith("exported_")}
    plain = {name: value for name, value in labels.items() if not name.startswith("exported_")}
    names = ", ".join(f"exported_{name}" for name in sorted(renamed))
    return {**plain, **renamed}, [f"taken instead of the exporter's: {names}"] if renamed else []


def _is_of_kube_state_metrics(labels: Labels) -> bool:
    return labels.get("job", "").endswith("kube-state-metrics") or labels.get("container") in _EXPORTER_CONTAINERS


def _node(labels: Labels) -> AlertScope | None:
    return AlertScope(kind="node", name=labels["node"]) if labels.get("node") else None


def _workload(labels: Labels) -> AlertScope | None:
    namespace = labels.get("namespace", "")
    for label, kind in WORKLOADS:
        name = labels.get(label, "")
        if name and namespace:
            component = component_of_object(name, namespace)
            if component:
                return AlertScope(kind="component", name=component)
            return AlertScope(kind="workload", namespace=namespace, name=name, workload=kind)
    return None


def _pod(labels: Labels) -> AlertScope | None:
    pod, namespace = labels.get("pod", ""), labels.get("namespace", "")
    if not pod:
        return None
    if is_node_agent(pod, namespace):
        return AlertScope(kind="node-of-pod", namespace=namespace, name=pod)
    component = component_of_object(pod, namespace)
    if component:
        return AlertScope(kind="component", name=component)
    return AlertScope(kind="pod", namespace=namespace, name=pod)


def _component(labels: Labels) -> AlertScope | None:
    if "goldpinger_instance" in labels:  # one node's view of all others
        return AlertScope(kind="component", name="cni")
    if component_of_alert(labels.get("alertname", "")) == "dns":  # one of its pods stands for all: clients ask any
        return AlertScope(kind="component", name="dns")
    for label in ("job", "k8s_app"):
        component = component_of(labels.get(label, "").rpartition("/")[2])
        if component is None or (component in _HOST_NETWORK and _host_of(labels)):
            continue
        return AlertScope(kind="component", name=component)
    if labels.get("service") and labels.get("namespace") and not _host_of(labels):
        return AlertScope(kind="service", namespace=labels["namespace"], name=labels["service"])
    return None


def _address(labels: Labels) -> AlertScope | None:
    host = _host_of(labels)
    return AlertScope(kind="address", name=host) if host else None


def _host_of(labels: Labels) -> str:
    """The host in `instance`; "" where there is none."""
    found = _HOST.fullmatch(labels.get("instance", "").strip())
    return (found["v6"] or found["host"]) if found else ""


def _api_service(labels: Labels) -> AlertScope | None:
    name = labels.get("name", "")
    return AlertScope(kind="api-service", name=name) if _API_SERVICE.fullmatch(name) else None


def _rest(labels: Labels) -> AlertScope:
    namespace = labels.get("namespace", "")
    if namespace and not is_cni_namespace(namespace) and not _api_servers_own(labels):
        return AlertScope(kind="namespace", namespace=namespace)
    component = component_of_alert(labels.get("alertname", "")) or ("cni" if is_cni_namespace(namespace) else None)
    return AlertScope(kind="component", name=component) if component else AlertScope(kind="cluster")


def _api_servers_own(labels: Labels) -> bool:
    """The API server's metrics carry the namespace of its Service."""
    return labels.get("namespace") == "default" and component_of_alert(labels.get("alertname", "")) == "api-server"


RULES: tuple[Rule, ...] = (
    Rule(number=3, says="it names a node", find=_node),
    Rule(number=4, says="it names a workload", find=_workload),
    Rule(number=5, says="it names a pod", find=_pod),
    # An API server that reports a broken APIService puts its own address beside it: the name goes first.
    Rule(number=8, says="it names an APIService", find=_api_service),
    Rule(number=6, says="it names a component by its job, or a Service", find=_component),
    Rule(number=7, says="it names an address", find=_address),
    Rule(number=9, says="its labels name nothing more exact", find=_rest),
)
"""After rules 1 (`is_silent`) and 2 (`read_labels`), which find nothing. The last one always does."""
