"""Which distribution of Kubernetes a cluster is, from its nodes."""

from typing import Literal

from bot.cluster.objects import Node
from bot.cluster.snapshot.snapshot import Snapshot

Distribution = Literal["k3s", "rke2", "kubeadm", "kind", "eks", "gke", "aks", "openshift", "microk8s", "k0s", "unknown"]

_KUBELETS: tuple[tuple[str, Distribution], ...] = (
    ("+k3s", "k3s"),
    ("+rke2", "rke2"),
    ("+k0s", "k0s"),
    ("-eks-", "eks"),
    ("-gke.", "gke"),
)
_LABELS: tuple[tuple[str, Distribution], ...] = (
    ("node.openshift.io/os_id", "openshift"),
    ("kubernetes.azure.com/cluster", "aks"),
    ("eks.amazonaws.com/nodegroup", "eks"),
    ("cloud.google.com/gke-nodepool", "gke"),
    ("microk8s.io/cluster", "microk8s"),
)
_ANNOTATIONS: tuple[tuple[str, Distribution], ...] = (
    ("rke2.io/node-args", "rke2"),
    ("k3s.io/node-args", "k3s"),
    ("kubeadm.alpha.kubernetes.io/cri-socket", "kubeadm"),
)


def distribution_of(snapshot: Snapshot) -> tuple[Distribution, str]:
    """The distribution, and a sentence why; ("unknown", "") where nothing tells."""
    for node in snapshot.nodes:
        found = _of_node(node)
        if found:
            return found
    if any(config_map.metadata.name == "kubeadm-config" for config_map in snapshot.config_maps):
        return "kubeadm", "There is a ConfigMap kubeadm-config."
    return "unknown", ""


def _of_node(node: Node) -> tuple[Distribution, str] | None:
    name, version = node.metadata.name, node.status.node_info.kubelet_version
    if node.spec.provider_id.startswith("kind://"):
        return "kind", f"Node {name} has the provider ID {node.spec.provider_id}."
    for part, distribution in _KUBELETS:
        if part in version:
            return distribution, f"The kubelet of node {name} is version {version}."
    for label, distribution in _LABELS:
        if label in node.metadata.labels:
            return distribution, f"Node {name} has the label {label}."
    for annotation, distribution in _ANNOTATIONS:
        if annotation in node.metadata.annotations:
            return distribution, f"Node {name} has the annotation {annotation}."
    return None


def server_arguments(snapshot: Snapshot) -> str:
    """The arguments with which K3s or RKE2 servers were started, as their nodes' annotations hold them."""
    keys = ("k3s.io/node-args", "rke2.io/node-args")
    return " ".join(node.metadata.annotations.get(key, "") for node in snapshot.nodes for key in keys)
