"""Packets that are too big (taxonomy 5.7)."""

from __future__ import annotations

from bot.lab.faults.registry import fault
from bot.lab.faults.surgery import Surgery


@fault("pod-mtu-too-large", "M1", scope="node")
async def pod_mtu(lab: Surgery) -> None:
    """The pods' MTU is larger than the tunnel's; ICMP still says so."""
    grow = [f"link set {pod.veth} mtu 1500" for pod in lab.local_pods]
    shrink = [f"link set {pod.veth} mtu 1450" for pod in lab.local_pods]
    if lab.plane.cni == "flannel-vxlan":
        grow.append("link set cni0 mtu 1500")
        shrink.append("link set cni0 mtu 1450")
    await lab.ip(grow, shrink)
    for pod in lab.local_pods:
        await lab.ip(["link set eth0 mtu 1500"], ["link set eth0 mtu 1450"], netns=pod.sandbox.pid)


@fault("pmtu-black-hole", "M2", scope="cluster")
async def black_hole(lab: Surgery) -> None:
    """The network between the nodes drops large packets without a word."""
    chain = "chain forward { type filter hook forward priority 0; policy accept; ip length > 1400 drop; }"
    await lab.nft_table("bridge", "provider", chain, host=lab.underlay)


@fault("node-mtu-differs", "M3", scope="node")
async def node_mtu(lab: Surgery) -> None:
    """One node's uplink has a smaller MTU than the others'."""
    await lab.ip(["link set eth0 mtu 1400"], ["link set eth0 mtu 1500"])
