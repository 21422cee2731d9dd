"""Which manifests a lab starts with, and how they reach its API."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from importlib import resources
from typing import Final

import yaml

from bot.lab.cluster.apiserver.errors import ApiError
from bot.lab.cluster.apiserver.store.storage import Storage
from bot.lab.cluster.names import BARE, KUBEADM, Json

_SYSTEM: Final = {
    "calico-vxlan": ("dns.yaml", "kube-proxy.yaml", "calico.yaml"),
    "flannel-vxlan": ("dns-k3s.yaml",),
    KUBEADM: ("dns.yaml", "kube-proxy.yaml", "flannel.yaml"),
    "cilium-tunnel": ("dns.yaml", "kube-proxy.yaml", "cilium.yaml"),
    BARE: ("dns.yaml", "kube-proxy.yaml"),
}
_WORKLOADS: Final = ("seldon-mesh.yaml", "mlflow.yaml", "argo.yaml", "monitoring.yaml", "shop.yaml", "distroless.yaml")
_PLURALS: Final = {
    "Namespace": "namespaces",
    "Service": "services",
    "ServiceAccount": "serviceaccounts",
    "ConfigMap": "configmaps",
    "Secret": "secrets",
    "Pod": "pods",
    "Deployment": "deployments.apps",
    "DaemonSet": "daemonsets.apps",
    "NetworkPolicy": "networkpolicies.networking.k8s.io",
    "ClusterRole": "clusterroles.rbac.authorization.k8s.io",
    "ClusterRoleBinding": "clusterrolebindings.rbac.authorization.k8s.io",
    "Role": "roles.rbac.authorization.k8s.io",
    "RoleBinding": "rolebindings.rbac.authorization.k8s.io",
}


def kubelet_version(cni: str) -> str:
    """Flannel means K3s here."""
    return "v1.36.2+k3s1" if cni == "flannel-vxlan" else "v1.36.2"


def has_kube_proxy_pods(cni: str) -> bool:
    """K3s runs kube-proxy inside its own process."""
    return "kube-proxy.yaml" in _SYSTEM[cni]


def stages(cni: str, *, system_only: bool) -> Iterator[list[Json]]:
    """What to create, one stage after the other, each to be awaited: so nothing starts before what it needs.

    First everything that is no pod, and the nodes' agents; then DNS; then the applications.
    """
    files = (*_SYSTEM[cni], *(() if system_only else _WORKLOADS))
    everything = [obj for name in files for obj in manifests(name)]
    rank = {"Namespace": 0, "ServiceAccount": 1}
    passive = sorted(
        (one for one in everything if one["kind"] != "Deployment"), key=lambda one: rank.get(one["kind"], 2)
    )
    deployments = [one for one in everything if one["kind"] == "Deployment"]
    yield passive
    yield [one for one in deployments if one["metadata"]["name"] == "coredns"]
    yield [one for one in deployments if one["metadata"]["name"] != "coredns"]


def objects(cni: str) -> list[Json]:
    """All that a cluster has besides applications, namespaces first."""
    found = [obj for name in _SYSTEM[cni] for obj in manifests(name)]
    return sorted(found, key=lambda one: {"Namespace": 0, "ServiceAccount": 1}.get(one["kind"], 2))


def manifests(name: str) -> Iterator[Json]:
    """The objects of one file."""
    text = resources.files("bot.lab.cluster.workloads").joinpath(name).read_text(encoding="utf-8")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    yield from (one for one in yaml.load_all(text, Loader=loader) if one)


def create(storage: Storage, obj: Json) -> None:
    """Create one object; an existing namesake (a bootstrapped namespace or account) is kept."""
    try:
        storage.create(_PLURALS[obj["kind"]], obj, namespace=obj["metadata"].get("namespace"))
    except ApiError as error:
        if error.reason != "AlreadyExists":
            raise


def apply_filler(storage: Storage, nodes: Sequence[str], per_node: int) -> None:
    """Idle pods, the same number on every node, bound directly: for measuring with many pods."""
    create(storage, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "filler"}})
    create(
        storage, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "filler"}}
    )
    for pod in _filler_pods(nodes, per_node):
        create(storage, pod)


def _filler_pods(nodes: Sequence[str], per_node: int) -> Iterable[Json]:
    for node in nodes:
        for number in range(per_node):
            yield {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": f"idle-{node}-{number}",
                    "namespace": "filler",
                    "labels": {"app": "idle"},
                },
                "spec": {
                    "nodeName": node,
                    "automountServiceAccountToken": False,
                    "containers": [{"name": "idle", "image": "registry.k8s.io/pause:3.10"}],
                },
            }
