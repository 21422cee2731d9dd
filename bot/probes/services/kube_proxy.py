"""What programs Services on a node: a kube-proxy pod, another process, or the CNI in its place.

K3s runs kube-proxy inside its own process, RKE2 and GKE as a static pod, kubeadm as a DaemonSet; Cilium can replace
it, and then there is none anywhere.

Source: https://docs.k3s.io/networking/basic-network-options
Source: https://docs.cilium.io/en/stable/network/kubernetes/kubeproxy-free/
"""

from bot.cluster.objects import Pod
from bot.probes.engine.evidence import Evidence
from bot.probes.shared.restarts import deletion, unit_of


def is_kube_proxy(pod: Pod) -> bool:
    """Whether a pod is kube-proxy, however it was installed."""
    labels = pod.metadata.labels
    return pod.metadata.namespace == "kube-system" and (
        "kube-proxy" in {labels.get("k8s-app"), labels.get("component"), labels.get("app.kubernetes.io/name")}
        or pod.metadata.name.startswith("kube-proxy-")
    )


def kube_proxy_of(evidence: Evidence, node: str) -> tuple[str | None, str]:
    """The state of kube-proxy on a node; None and why where that is not known."""
    everywhere = [pod for pod in evidence.pods.values() if is_kube_proxy(pod)]
    here = [pod for pod in everywhere if pod.spec.node_name == node]
    if here:
        return ("running" if any(pod.is_ready for pod in here) else "not-ready"), ""
    if everywhere:
        return "missing", ""
    if evidence.cni.kube_proxy_mode == "ebpf":
        return "replaced", ""
    if evidence.cni.distribution in {"k3s", "microk8s"}:
        return "in-process", ""
    return None, "no kube-proxy pod is known in this cluster, and nothing says what replaces it"


def restart_of_kube_proxy(evidence: Evidence, node: str) -> tuple[str | None, str]:
    """The command that restarts kube-proxy for a node; None and why where there is none."""
    state, why = kube_proxy_of(evidence, node)
    if state == "in-process":
        return f"systemctl restart {unit_of(evidence, node)}", ""
    here = [pod for each in evidence.pods_on(node) if is_kube_proxy(pod := evidence.pods[each])]
    if not here:
        return None, why or "no kube-proxy runs there"
    return deletion(here[0])
