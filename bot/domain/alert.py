"""Alerts as Alertmanager knows them, and what in the cluster one speaks of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

AlertStatus = Literal["firing", "resolved"]

ScopeKind = Literal[
    "pod", "node", "node-of-pod", "address", "workload", "service", "api-service", "component", "namespace", "cluster"
]
"""`node-of-pod`: the node that runs the named pod, which itself only reports. `address`: a node's name or address, or
a pod's address; which of them, the cluster knows."""

Component = Literal["cni", "dns", "kube-proxy", "api-server", "kubelet"]
"""A part that every node, or the whole cluster, depends on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert: a set of labels that fires or has ended."""

    fingerprint: str
    """The same for the same labels."""
    status: AlertStatus
    starts_at: str = ""
    """As Alertmanager writes it, RFC 3339."""
    ends_at: str = ""
    """ "" while it fires."""
    labels: Mapping[str, str]
    annotations: Mapping[str, str] = field(default_factory=dict[str, str])
    generator_url: str = ""

    @property
    def name(self) -> str:
        """Its `alertname`."""
        return self.labels.get("alertname", "")

    @property
    def severity(self) -> str:
        """Its `severity`, in lower case."""
        return self.labels.get("severity", "").lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertScope:
    """What an alert speaks of, as far as its labels tell. They narrow where to look, and prove nothing."""

    kind: ScopeKind
    namespace: str = ""
    """Of a pod, workload or Service; "" for a pod whose namespace the alert leaves out."""
    name: str = ""
    """Of a node, pod, workload, Service, APIService, address or `Component`."""
    workload: str = ""
    """Its kind, as labels name it: "daemonset"."""

    def __str__(self) -> str:
        name = f"{self.namespace}/{self.name}" if self.namespace else self.name
        words = {
            "node-of-pod": f"the node of pod {name}",
            "workload": f"{self.workload} {name}",
            "service": f"Service {name}",
            "api-service": f"the Service behind APIService {name}",
            "component": COMPONENT_WORDS.get(self.name, self.name),
            "namespace": f"namespace {self.namespace}",
            "cluster": "the whole cluster",
        }
        return words.get(self.kind, f"{self.kind} {name}")


COMPONENT_WORDS: Mapping[str, str] = {
    "cni": "the CNI",
    "dns": "cluster DNS",
    "kube-proxy": "kube-proxy",
    "api-server": "the API server",
    "kubelet": "the kubelets",
}
