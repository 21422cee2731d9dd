"""The network below the nodes: a bridge, a router, and a host outside the cluster."""

from __future__ import annotations

from collections.abc import Sequence

from bot.lab.cluster.dataplane.base import Node, ip_batch, sysctl
from bot.lab.cluster.names import OUTSIDE_HOST, OUTSIDE_ROUTER, UNDERLAY_ROUTER
from bot.lab.cluster.supervisor.host import Host

BRIDGE = "fabric"


async def build(underlay: Host, outside: Host, nodes: Sequence[Node], pids: dict[str, int]) -> None:
    """Wire the nodes to the bridge, route between them and the outside. ``pids``: hosts' processes 1."""
    lines = [
        f"link add {BRIDGE} type bridge",
        f"addr add {UNDERLAY_ROUTER}/24 dev {BRIDGE}",
        f"link set {BRIDGE} up",
        f"link add outside type veth peer name eth0 netns {pids[outside.name]}",
        f"addr add {OUTSIDE_ROUTER}/24 dev outside",
        "link set outside up",
        # As routers on the way to the internet do: private addresses that nobody announced vanish without an answer.
        "route add blackhole 10.0.0.0/8",
    ]
    for node in nodes:
        lines += [
            f"link add {node.name} type veth peer name eth0 netns {pids[node.name]}",
            f"link set {node.name} master {BRIDGE} up",
        ]
    await underlay.steps([sysctl({"net.ipv4.ip_forward": 1}), ip_batch(lines)])
    await outside.steps([ip_batch(_uplink(f"{OUTSIDE_HOST}/24", OUTSIDE_ROUTER))])
    for node in nodes:
        await node.host.steps([ip_batch(_uplink(f"{node.ip}/24", UNDERLAY_ROUTER))])


def _uplink(address: str, router: str) -> list[str]:
    return [f"addr add {address} dev eth0", "link set eth0 up", f"route add default via {router} dev eth0"]
