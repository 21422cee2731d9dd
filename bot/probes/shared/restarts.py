"""The commands by which a person restarts what runs on a node, or makes a pod anew."""

import re

from bot.cluster.objects import Pod
from bot.probes.engine.evidence import Evidence

_SERVER_ROLES = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/etcd")
_SERVERS = {"k3s": "k3s", "rke2": "rke2-server", "k0s": "k0scontroller"}
_AGENTS = {"k3s": "k3s-agent", "rke2": "rke2-agent", "k0s": "k0sworker"}
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_STATIC = "kubernetes.io/config.mirror"


def unit_of(evidence: Evidence, node: str) -> str:
    """The systemd unit in which a node's kubelet runs.

    Source: https://docs.k3s.io/upgrades/manual (k3s on servers, k3s-agent on agents)
    Source: https://docs.rke2.io/install/quickstart (rke2-server, rke2-agent)
    """
    found = evidence.nodes.get(node)
    is_server = found is not None and any(role in found.metadata.labels for role in _SERVER_ROLES)
    distribution = evidence.cni.distribution
    if distribution == "microk8s":
        return "snap.microk8s.daemon-kubelite"
    return (_SERVERS if is_server else _AGENTS).get(distribution, "kubelet")


def deletion(pod: Pod) -> tuple[str | None, str]:
    """The command after which a pod's controller makes it again; None and why where deleting it does not do that."""
    if _STATIC in pod.metadata.annotations:
        return None, "it is a static pod: kubelet restarts it when its manifest on the node is moved away and back"
    return kubectl(pod.metadata.namespace, "delete", "pod", pod.metadata.name)


def recreation(pod: Pod) -> tuple[str | None, str]:
    """The command that makes a pod anew, also one that no controller would make again."""
    if pod.metadata.owner_references or _STATIC in pod.metadata.annotations:
        return deletion(pod)
    read, why = kubectl(pod.metadata.namespace, "get", "-o", "yaml", "pod", pod.metadata.name)
    return (f"{read} | kubectl replace --force -f -", "") if read else (None, why)


def kubectl(namespace: str, *words: str) -> tuple[str | None, str]:
    """A command in a namespace, its last word a name; None and why where a name is none: a shell would read it."""
    if not all(_NAME.fullmatch(name) for name in (namespace, words[-1])):
        return None, "its name is none that Kubernetes allows"
    return " ".join(("kubectl", "-n", namespace, *words)), ""
