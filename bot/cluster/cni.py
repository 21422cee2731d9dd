"""Which CNI a cluster runs, how it was installed, and what its data plane looks like, from the API alone."""

from dataclasses import dataclass, field
from typing import Literal

from bot.cluster.snapshot import Snapshot

CniName = Literal[
    "calico",
    "canal",  # Calico's policy over Flannel's network
    "flannel",
    "cilium",
    "kube-router",
    "weave",
    "antrea",
    "aws-vpc-cni",
    "azure-cni",
    "gke-dataplane-v2",
    "ovn-kubernetes",
    "kube-ovn",
    "kindnet",
    "multus",
    "unknown",
]
InstalledBy = Literal["manifest", "operator", "helm", "k3s", "rke2", "cloud", "unknown"]
Distribution = Literal["k3s", "rke2", "kubeadm", "kind", "eks", "gke", "aks", "openshift", "microk8s", "k0s", "unknown"]
Encapsulation = Literal["vxlan", "ipip", "geneve", "wireguard", "none", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CniInventory:
    """What is known about the cluster's network; "unknown" and None are honest answers."""

    name: CniName = "unknown"
    version: str = ""
    """Without "v": "3.29.1"; "" when not known."""
    installed_by: InstalledBy = "unknown"
    distribution: Distribution = "unknown"
    encapsulation: Encapsulation = "unknown"
    has_kube_proxy: bool | None = None
    """False: the CNI (or K3s) handles Services itself, or kube-proxy runs inside another process."""
    kube_proxy_mode: str = ""
    """"iptables", "ipvs", "nftables", "ebpf", "" when not known."""
    enforces_policy: bool | None = None
    """Whether it enforces NetworkPolicies."""
    pod_cidrs: tuple[str, ...] = ()
    agent_daemon_set: str = ""
    """"namespace/name" of its DaemonSet; "" where it runs inside the distribution's own process (K3s)."""
    agent_pods: dict[str, tuple[str, str, str]] = field(default_factory=dict[str, tuple[str, str, str]])
    """By node: namespace, pod and container of the CNI's agent."""
    others: tuple[CniName, ...] = ()
    """Further CNIs of which agents run here too: a leftover or a migration."""
    evidence: tuple[str, ...] = ()
    """Sentences: what each of these was concluded from."""


def detect_cni(snapshot: Snapshot) -> CniInventory:
    """The inventory; pure, so that recordings are judged alike."""
    raise NotImplementedError
