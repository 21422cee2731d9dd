"""States that look guilty and are harmless: whoever blames them is wrong."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Final

from bot.lab.cluster.faults.injection import Injection
from bot.lab.cluster.faults.registry import ANY, CALICO, ROUTED, Cni, fault
from bot.lab.cluster.names import Json

_NAMESPACE: Final = "seldon-mesh"
_KEPT_STRICT: Final[tuple[Cni, ...]] = ("calico-vxlan", "flannel-vxlan")
"""Cilium's own devices need rp_filter off: there it would be no decoy."""


@fault("decoy-arp-ignore", "G14", scope="node", cnis=CALICO, cause="")
async def arp_ignore(lab: Injection) -> None:
    """arp_ignore is 1 on cali* interfaces: proxy ARP does not consult it."""
    await lab.sysctl({f"net/ipv4/conf/{pod.veth}/arp_ignore": 1 for pod in lab.local_pods})
    await lab.forget_neighbours(lab.local_pods)


@fault("decoy-proxy-arp-on-all", "G1", scope="node", cnis=CALICO, cause="")
async def proxy_arp_on_all(lab: Injection) -> None:
    """proxy_arp is 0 on one cali* interface, but 1 on all: the kernel takes either."""
    await lab.sysctl({"net.ipv4.conf.all.proxy_arp": 1, f"net/ipv4/conf/{lab.pod.veth}/proxy_arp": 0})
    await lab.forget_neighbours([lab.pod])


@fault("decoy-zeroconf-route", "G4", scope="node", cause="")
async def zeroconf(lab: Injection) -> None:
    """The node has a zeroconf route for 169.254.0.0/16 on its uplink."""
    route = "169.254.0.0/16 dev eth0 scope link metric 1002"
    await lab.ip([f"route add {route}"], [f"route del {route}"])


@fault("decoy-failed-neighbour", "G1", scope="pod", cause="")
async def failed_neighbour(lab: Injection) -> None:
    """The pod's neighbour table holds a FAILED entry for an address that nobody needs."""
    entry = "169.254.169.254 dev eth0"
    await lab.ip([f"neigh replace {entry} nud failed"], [f"neigh del {entry}"], netns=lab.pod.sandbox.pid)


@fault("decoy-unused-service", "S2", scope="cluster", cnis=ANY, cause="")
async def unused_service(lab: Injection) -> None:
    """A Service without endpoints in a namespace that nobody asked about."""
    ports = [{"port": 80, "targetPort": 8080}]
    spec: Json = {"selector": {"app": "retired"}, "ports": ports}
    service: Json = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "retired"}, "spec": spec}
    lab.create("services", service, "default")


@fault("decoy-allowing-policy", "N1", scope="cluster", cause="")
async def allowing_policy(lab: Injection) -> None:
    """A NetworkPolicy that selects every pod and allows everything."""
    spec: Json = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "ingress": [{}], "egress": [{}]}
    policy: Json = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"}
    lab.create(
        "networkpolicies.networking.k8s.io", {**policy, "metadata": {"name": "allow-all"}, "spec": spec}, "seldon-mesh"
    )


@fault("decoy-foreign-table", "N10", scope="node", cause="")
async def foreign_table(lab: Injection) -> None:
    """Another program's packet filter that only counts."""
    chain = "chain forward { type filter hook forward priority 5; policy accept; counter; }"
    await lab.nft_table("inet", "accounting", chain)


@fault("decoy-spare-bridge", "R8", scope="node", cause="")
async def spare_bridge(lab: Injection) -> None:
    """docker0 with its usual 172.17.0.1/16, which overlaps nothing."""
    await lab.ip(
        ["link add docker0 type bridge", "addr add 172.17.0.1/16 dev docker0", "link set docker0 up"],
        ["link del docker0"],
    )


@fault("decoy-leftover-cni", "P11", scope="node", cnis=ROUTED, cause="")
async def leftover_cni(lab: Injection) -> None:
    """Flannel's configuration and devices are still on the node, beside a CNI whose configuration comes first."""
    conflist = '{"name": "cbr0", "cniVersion": "0.3.1", "plugins": [{"type": "flannel"}]}\n'
    await lab.files({"/etc/cni/net.d/10-flannel.conflist": conflist})
    local = lab.node.ip
    await lab.ip(
        [
            "link add cni0 type bridge",
            "addr add 10.244.1.1/24 dev cni0",
            "link set cni0 up",
            f"link add flannel.1 type vxlan id 1 local {local} dev eth0 dstport 8475 nolearning",
            "link set flannel.1 up",
        ],
        ["link del flannel.1", "link del cni0"],
    )


@fault("decoy-leftover-flannel", "P7", scope="node", cnis=ROUTED, cause="")
async def leftover_flannel(lab: Injection) -> None:
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
async def stale_configuration(lab: Injection) -> None:
    """A CNI configuration of a former installation sorts after the one in use."""
    config = {"cniVersion": "0.3.1", "name": "old-net", "plugins": [{"type": "weave-net"}, {"type": "portmap"}]}
    await lab.files({"/etc/cni/net.d/99-weave.conflist": json.dumps(config)})


@fault("decoy-strict-rp-filter", "G7", scope="node", cnis=_KEPT_STRICT, cause="")
async def strict_rp_filter(lab: Injection) -> None:
    """The setting rp_filter is strict everywhere, and every route is where it should be."""
    links = {f"net/ipv4/conf/{pod.veth}/rp_filter": 1 for pod in lab.local_pods}
    await lab.sysctl({"net.ipv4.conf.all.rp_filter": 1, **links})
    await lab.forget_neighbours(lab.local_pods)


@fault("decoy-proxy-delay-of-others", "G12", scope="node", cnis=CALICO, cause="")
async def default_proxy_delay(lab: Injection) -> None:
    """The setting proxy_delay is a second where no pod is: on the uplink and on the tunnel."""
    await lab.sysctl({f"net/ipv4/neigh/{device}/proxy_delay": 100 for device in ("eth0", lab.tunnel.device)})


@fault("decoy-completed-pods", "S2", scope="cluster", cause="")
async def completed_pods(lab: Injection) -> None:
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


def _phase(lab: Injection, name: str) -> str:
    return str(lab.storage.get("pods", name, _NAMESPACE)["status"].get("phase"))


@fault("decoy-old-sandbox-event", "P2", scope="cluster", cause="")
async def old_sandbox_event(lab: Injection) -> None:
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
