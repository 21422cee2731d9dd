"""Packets that are too big (taxonomy 5.7)."""

from __future__ import annotations

from bot.lab.cluster.faults.injection import Injection
from bot.lab.cluster.faults.registry import CALICO, FLANNEL, fault


@fault("pod-mtu-too-large", "M1", scope="cluster", cnis=(*CALICO, *FLANNEL))
async def pod_mtu(lab: Injection) -> None:
    """The pods' MTU is larger than the tunnel's; ICMP still says so.

    Not on Cilium, which fragments what it encapsulates.
    """
    for node in lab.nodes:
        pods = list(lab.plane.pods[node.name].values())
        bridge = ["cni0"] if lab.plane.cni == "flannel-vxlan" else []
        devices = [*(pod.veth for pod in pods), *bridge]
        await lab.ip(
            [f"link set {device} mtu 1500" for device in devices],
            [f"link set {device} mtu 1450" for device in devices],
            host=node.host,
        )
        for pod in pods:
            await lab.ip(["link set eth0 mtu 1500"], ["link set eth0 mtu 1450"], host=node.host, netns=pod.sandbox.pid)


@fault("pmtu-black-hole", "M2", scope="cluster")
async def black_hole(lab: Injection) -> None:
    """The network between the nodes drops large packets without a word."""
    chain = "chain forward { type filter hook forward priority 0; policy accept; ip length > 1400 drop; }"
    await lab.nft_table("bridge", "provider", chain, host=lab.underlay)


@fault("node-mtu-differs", "M3", scope="node")
async def node_mtu(lab: Injection) -> None:
    """One node's uplink has a smaller MTU than the others'."""
    await lab.ip(["link set eth0 mtu 1400"], ["link set eth0 mtu 1500"])
