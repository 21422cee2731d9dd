"""Bridge CNIs: cni0 and its ports (taxonomy 5.5)."""

from __future__ import annotations

from bot.lab.cluster.faults.injection import Injection
from bot.lab.cluster.faults.registry import FLANNEL, fault


@fault("cni0-down", "B1", scope="node", cnis=FLANNEL)
async def cni0_down(lab: Injection) -> None:
    """The bridge cni0 is down."""
    await lab.ip(["link set cni0 down"], ["link set cni0 up"])
    await lab.forget_neighbours(lab.local_pods)


@fault("veth-not-on-bridge", "B2", scope="pod", cnis=FLANNEL)
async def not_enslaved(lab: Injection) -> None:
    """The pod's veth is not a port of cni0."""
    veth = lab.pod.veth
    await lab.ip([f"link set {veth} nomaster"], [f"link set {veth} master cni0"])
    await lab.bridge([], [f"link set dev {veth} hairpin on"])
    await lab.forget_neighbours([lab.pod])


@fault("bridge-port-disabled", "B3", scope="pod", cnis=FLANNEL)
async def port_disabled(lab: Injection) -> None:
    """The pod's bridge port is disabled."""
    await lab.bridge([f"link set dev {lab.pod.veth} state 0"], [f"link set dev {lab.pod.veth} state 3"])
    await lab.forget_neighbours([lab.pod])


@fault("bridge-port-isolated", "B4", scope="node", cnis=FLANNEL)
async def isolated(lab: Injection) -> None:
    """The node's bridge ports are isolated from each other."""
    veths = [pod.veth for pod in lab.local_pods]
    await lab.bridge(
        [f"link set dev {veth} isolated on" for veth in veths], [f"link set dev {veth} isolated off" for veth in veths]
    )


@fault("service-hairpin-off", "B5", scope="cluster", cnis=FLANNEL)
async def hairpin_off(lab: Injection) -> None:
    """Hairpin mode is off on the ports of every node: a pod cannot reach itself by its Service."""
    for node in lab.nodes:
        veths = [pod.veth for pod in lab.plane.pods[node.name].values()]
        await lab.bridge(
            [f"link set dev {veth} hairpin off" for veth in veths],
            [f"link set dev {veth} hairpin on" for veth in veths],
            host=node.host,
        )


@fault("bridge-netfilter-off", "B6", scope="cluster", cnis=FLANNEL)
async def no_bridge_netfilter(lab: Injection) -> None:
    """`bridge-nf-call-iptables` is 0 on every node."""
    for node in lab.nodes:
        await lab.sysctl({"net.bridge.bridge-nf-call-iptables": 0}, host=node.host)


@fault("cni0-wrong-subnet", "P9", scope="node", cnis=FLANNEL)
async def wrong_subnet(lab: Injection) -> None:
    """The bridge cni0 carries an address of another subnet."""
    right = lab.node.pod_cidr.rsplit(".", 1)[0] + ".1/24"
    await lab.ip(
        [f"addr del {right} dev cni0", "addr add 10.42.99.1/24 dev cni0"],
        ["addr del 10.42.99.1/24 dev cni0", f"addr add {right} brd + dev cni0"],
    )
    await lab.forget_neighbours(lab.local_pods)
