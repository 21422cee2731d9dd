"""Addresses and names of the lab cluster, in one place."""

from __future__ import annotations

import ipaddress
import uuid
from typing import Any, Final, Literal, TypeAlias

Json: TypeAlias = dict[str, Any]
"""A Kubernetes object, or any JSON object, as parsed."""

Cni: TypeAlias = Literal["calico-vxlan", "flannel-vxlan", "cilium-tunnel"]
CNIS: Final[tuple[Cni, ...]] = ("calico-vxlan", "flannel-vxlan", "cilium-tunnel")
BARE: Final = "none"
"""A lab without a CNI, for somebody to install Cilium as the first one."""
KUBEADM: Final = "flannel-kubeadm"
"""A lab with flannel in pods of a DaemonSet, for somebody to bring Cilium beside it and migrate node by node."""

POD_CIDR: Final = "10.42.0.0/16"
SERVICE_CIDR: Final = "10.43.0.0/16"
API_SERVICE_IP: Final = "10.43.0.1"
DNS_SERVICE_IP: Final = "10.43.0.10"
CLUSTER_DOMAIN: Final = "cluster.local"

UNDERLAY_ROUTER: Final = "172.30.0.1"
OUTSIDE_ROUTER: Final = "198.51.100.1"
OUTSIDE_HOST: Final = "198.51.100.10"
API_PORT: Final = 6443
MAX_NODES: Final = 200
"""Node addresses are .11 and up in a /24."""


def node_names(count: int) -> list[str]:
    """``node-1`` to ``node-N``."""
    return [f"node-{number}" for number in range(1, count + 1)]


def machine_id(host: str) -> str:
    """What stands in the host's /etc/machine-id."""
    return uuid.uuid5(uuid.NAMESPACE_DNS, host).hex


def node_ip(index: int) -> str:
    """Underlay address of the node with this index, counted from 0: 172.30.0.11 and up."""
    return f"172.30.0.{11 + index}"


def node_pod_cidr(index: int) -> str:
    """The /24 of pod addresses that the controller manager gives to the node with this index."""
    return str(list(ipaddress.ip_network(POD_CIDR).subnets(new_prefix=24))[index])
