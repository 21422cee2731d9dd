"""Decoys: what earlier installations and earlier troubles leave behind, and settings that only look too strict."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Final

from bot.lab.faults.registry import CALICO, ROUTED, Cni, fault
from bot.lab.faults.surgery import Surgery
from bot.lab.names import Json

_NAMESPACE: Final = "seldon-mesh"
_KEPT_STRICT: Final[tuple[Cni, ...]] = ("calico-vxlan", "flannel-vxlan")
"""Cilium's own devices need rp_filter off: there it would be no decoy."""


@fault("decoy-leftover-flannel", "P7", scope="node", cnis=ROUTED, cause="")
async def leftover_flannel(lab: Surgery) -> None:
    """The bridge cni0 and the device flannel.1 of a former Flannel are still there."""
    await lab.ip(
        [
            "link add cni0 type bridge",
            "addr add 10.244.1.1/24 dev cni0",
            "link set cni0 up",
            f"link add flannel.1 type vxlan id 1 local {lab.node.ip} dev eth0 dstport 8472 nolearning",
            "addr add 10.244.1.0/32 dev flannel.1",
            "link set flannel.1 up",
        ],
        ["link del flannel.1", "link del cni0"],
    )


@fault("decoy-stale-configuration", "P7", scope="node", cause="")
async def stale_configuration(lab: Surgery) -> None:
    """A CNI configuration of a former installation sorts after the one in use."""
    config = {"cniVersion": "0.3.1", "name": "old-net", "plugins": [{"type": "weave-net"}, {"type": "portmap"}]}
    await lab.files({"/etc/cni/net.d/99-weave.conflist": json.dumps(config)})


@fault("decoy-strict-rp-filter", "G7", scope="node", cnis=_KEPT_STRICT, cause="")
async def strict_rp_filter(lab: Surgery) -> None:
    """The setting rp_filter is strict everywhere, and every route is where it should be."""
    links = {f"net/ipv4/conf/{pod.veth}/rp_filter": 1 for pod in lab.local_pods}
    await lab.sysctl({"net.ipv4.conf.all.rp_filter": 1, **links})
    await lab.forget_neighbours(lab.local_pods)


@fault("decoy-proxy-delay-of-others", "G12", scope="node", cnis=CALICO, cause="")
async def default_proxy_delay(lab: Surgery) -> None:
    """The setting proxy_delay is a second where no pod is: on the uplink and on the tunnel."""
    await lab.sysctl({f"net/ipv4/neigh/{device}/proxy_delay": 100 for device in ("eth0", lab.tunnel.device)})


@fault("decoy-completed-pods", "S2", scope="cluster", cause="")
async def completed_pods(lab: Surgery) -> None:
    """A pod that has done its work, and one that failed, are still listed."""
    for name, program, phase in (("train-28910", "true", "Succeeded"), ("train-28909", "false", "Failed")):
        container: Json = {"name": "train", "image": "docker.io/library/busybox:1.37", "command": [program]}
        pod: Json = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": {"app": "train"}},
            "spec": {"restartPolicy": "Never", "nodeName": lab.node.name, "containers": [container]},
        }
        lab.create("pods", pod, _NAMESPACE)
        await lab.until(lambda name=name, phase=phase: _phase(lab, name) == phase, f"{name} ended")


def _phase(lab: Surgery, name: str) -> str:
    return str(lab.storage.get("pods", name, _NAMESPACE)["status"].get("phase"))


@fault("decoy-old-sandbox-event", "P2", scope="cluster", cause="")
async def old_sandbox_event(lab: Surgery) -> None:
    """An event says that a pod, which works, once waited for its sandbox."""
    about = lab.storage.get("pods", lab.pod.name, lab.pod.namespace)
    then = (datetime.now(UTC) - timedelta(minutes=25)).strftime("%Y-%m-%dT%H:%M:%SZ")
    event: Json = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{lab.pod.name}.17f3a1b2c3d4e5f6"},
        "involvedObject": {
            "kind": "Pod",
            "apiVersion": "v1",
            "name": lab.pod.name,
            "namespace": lab.pod.namespace,
            "uid": about["metadata"]["uid"],
        },
        "reason": "FailedCreatePodSandBox",
        "message": "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network for pod: "
        'plugin type="calico" failed (add): error getting ClusterInformation: connection is unauthorized: Unauthorized',
        "type": "Warning",
        "source": {"component": "kubelet", "host": lab.node.name},
        "firstTimestamp": then,
        "lastTimestamp": then,
        "count": 3,
    }
    lab.create("events", event, lab.pod.namespace)
