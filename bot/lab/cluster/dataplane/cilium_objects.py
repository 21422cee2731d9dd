"""Cilium's custom resources: one CiliumNode per node, one CiliumEndpoint per pod."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from bot.lab.cluster.dataplane.base import PodNetwork
from bot.lab.cluster.dataplane.calico_objects import definition
from bot.lab.cluster.names import Json

_GROUP = "cilium.io"
_KINDS = {
    "ciliumnodes": ("CiliumNode", "Cluster"),
    "ciliumendpoints": ("CiliumEndpoint", "Namespaced"),
    "ciliumidentities": ("CiliumIdentity", "Cluster"),
    "ciliumnodeconfigs": ("CiliumNodeConfig", "Namespaced"),
    "ciliumnetworkpolicies": ("CiliumNetworkPolicy", "Namespaced"),
    "ciliumclusterwidenetworkpolicies": ("CiliumClusterwideNetworkPolicy", "Cluster"),
}


def definitions() -> Iterable[Json]:
    """The CustomResourceDefinitions."""
    for plural, (kind, scope) in _KINDS.items():
        yield definition(_GROUP, "v2", plural, kind, scope)


def nodes(found: Iterable[tuple[str, str, str, str]]) -> Iterable[tuple[str, Json]]:
    """CiliumNodes of (name, address, pod CIDR, router address)."""
    for name, address, pod_cidr, router in found:
        addresses = [{"type": "InternalIP", "ip": address}, {"type": "CiliumInternalIP", "ip": router}]
        spec: Json = {"addresses": addresses, "ipam": {"podCIDRs": [pod_cidr]}, "encryption": {}}
        body: Json = {"apiVersion": f"{_GROUP}/v2", "kind": "CiliumNode", "metadata": {"name": name}}
        yield f"ciliumnodes.{_GROUP}", {**body, "spec": spec}


def endpoints(node_ip: str, pods: Iterable[PodNetwork]) -> Iterable[tuple[str, Json]]:
    """CiliumEndpoints of one node's pods."""
    for pod in pods:
        number = int(sha256(pod.uid.encode()).hexdigest()[:4], 16) % 4000 + 1
        identity = int(sha256(repr((pod.namespace, sorted(pod.labels.items()))).encode()).hexdigest()[:4], 16) + 1024
        labels = [f"k8s:{key}={value}" for key, value in sorted(pod.labels.items())]
        labels.append(f"k8s:io.kubernetes.pod.namespace={pod.namespace}")
        status: Json = {
            "id": number,
            "identity": {"id": identity, "labels": labels},
            "networking": {"addressing": [{"ipv4": pod.ip}], "node": node_ip},
            "state": "ready",
        }
        metadata = {"name": pod.name, "namespace": pod.namespace}
        body: Json = {"apiVersion": f"{_GROUP}/v2", "kind": "CiliumEndpoint", "metadata": metadata}
        yield f"ciliumendpoints.{_GROUP}", {**body, "status": status}
