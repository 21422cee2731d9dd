"""Pods that get no network at all (taxonomy 5.1): each fault lets a new pod of seldon-mesh try."""

from __future__ import annotations

from ipaddress import ip_network

from bot.lab.cluster.faults.injection import Injection
from bot.lab.cluster.faults.registry import CALICO, FLANNEL, fault
from bot.lab.cluster.names import API_SERVICE_IP, Json

_NAMESPACE = "seldon-mesh"
_CANARY = "income-classifier-canary"
_LEASES = "/var/lib/cni/networks/cbr0"


async def _try(lab: Injection, reason: str) -> None:
    """A new pod on the struck node, until the kubelet says why it gets no sandbox."""
    container: Json = {"name": "mlserver", "image": "docker.io/seldonio/mlserver:1.7.1"}
    pod: Json = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": _CANARY, "labels": {"app": "income-classifier", "track": "canary"}},
        "spec": {"nodeName": lab.node.name, "containers": [container]},
    }
    uid = lab.create("pods", pod, _NAMESPACE)
    await lab.until(lambda: _has_event(lab, uid, reason), f"the event {reason}")


def _has_event(lab: Injection, uid: str, reason: str) -> bool:
    return any(
        one["reason"] == reason and one["involvedObject"].get("uid") == uid
        for one in lab.storage.peek("events", _NAMESPACE)
    )


@fault("cni-not-initialised", "P1", scope="node")
async def not_initialised(lab: Injection) -> None:
    """The node has no CNI configuration."""
    await lab.files(dict.fromkeys(lab.plane.configurations()))
    await _try(lab, "NetworkNotReady")
    await lab.until(lambda: not _is_node_ready(lab), "the node became NotReady")


def _is_node_ready(lab: Injection) -> bool:
    node = lab.storage.get("nodes", lab.node.name)
    return any(one["type"] == "Ready" and one["status"] == "True" for one in node["status"]["conditions"])


@fault("cni-plugin-missing", "P2", scope="node")
async def plugin_missing(lab: Injection) -> None:
    """A plugin that the CNI configuration names is not installed."""
    wanted = lab.plane.requirements(lab.plane.configurations()[0])
    plugin = next(path for path, error in wanted.items() if error.startswith("failed to find plugin"))
    await lab.files({plugin: None})
    await _try(lab, "FailedCreatePodSandBox")


@fault("cni-cannot-reach-api", "P3", scope="node", cnis=CALICO)
async def cannot_reach_api(lab: Injection) -> None:
    """A firewall on the node keeps the CNI plugin from the API server's Service."""
    rule = f"ip daddr {API_SERVICE_IP} tcp dport 443 drop;"
    chain = f"chain output {{ type filter hook output priority -200; policy accept; {rule} }}"
    await lab.nft_table("inet", "hardening", chain)
    await _try(lab, "FailedCreatePodSandBox")


@fault("ipam-leak", "P5", scope="node", cnis=FLANNEL)
async def leak(lab: Injection) -> None:
    """Address files of containers that are long gone fill the node's range."""
    used = {pod.ip for pod in lab.local_pods}
    free = [str(address) for address in ip_network(lab.node.pod_cidr).hosts() if str(address) not in used][1:]
    await lab.files({f"{_LEASES}/{address}": f"dead-{number:04d}\neth0" for number, address in enumerate(free)})
    await _try(lab, "FailedCreatePodSandBox")


@fault("ipam-no-pool", "P7", scope="node", cnis=CALICO)
async def no_pool(lab: Injection) -> None:
    """The IPPool's nodeSelector matches no node."""
    patch: Json = {"spec": {"nodeSelector": "rack == 'r7'"}}
    lab.patch("ippools.crd.projectcalico.org", "default-ipv4-ippool", None, patch)
    await _try(lab, "FailedCreatePodSandBox")


@fault("flannel-subnet-file-missing", "P10", scope="node", cnis=FLANNEL)
async def subnet_file(lab: Injection) -> None:
    """Flannel's subnet.env is missing."""
    await lab.files({"/run/flannel/subnet.env": None})
    await _try(lab, "FailedCreatePodSandBox")


@fault("duplicate-pod-ip", "P12", scope="pod", cnis=FLANNEL)
async def duplicate(lab: Injection) -> None:
    """Another pod of the node has the same address, too."""
    other = next(pod for pod in lab.local_pods if pod.uid != lab.pod.uid)
    address = f"{lab.pod.ip}/24 dev eth0"
    await lab.ip([f"addr add {address}"], [f"addr del {address}"], netns=other.sandbox.pid)
