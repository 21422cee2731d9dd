"""The pod's own side: link, routes, neighbours, packet filter (taxonomy 5.2)."""

from __future__ import annotations

from bot.lab.cluster.faults.injection import Injection
from bot.lab.cluster.faults.registry import fault


async def _routes(lab: Injection) -> list[str]:
    """Commands that lay the pod's routes again, link-scope ones first."""
    found = await lab.look(["ip", "route", "show"], netns=lab.pod.sandbox.pid)
    lines = [line.strip() for line in found.splitlines() if line.strip()]
    return [f"route replace {line}" for line in sorted(lines, key=lambda line: "via" in line)]


@fault("pod-eth0-down", "L1", scope="pod")
async def eth0_down(lab: Injection) -> None:
    """The link eth0 is down in the pod."""
    routes = [line for line in await _routes(lab) if "proto kernel" not in line]
    await lab.ip(["link set eth0 down"], ["link set eth0 up", *routes], netns=lab.pod.sandbox.pid)


@fault("host-veth-down", "L2", scope="pod")
async def host_veth_down(lab: Injection) -> None:
    """The node's end of the pod's veth is down."""
    veth = lab.pod.veth
    found = await lab.look(["ip", "route", "show", "dev", veth])
    routes = [f"route replace {line.strip()} dev {veth}" for line in found.splitlines() if line.strip()]
    await lab.ip([f"link set {veth} down"], [f"link set {veth} up", *routes])


@fault("pod-default-route-missing", "L3", scope="pod")
async def no_default(lab: Injection) -> None:
    """The pod has no default route."""
    route = await lab.default_route(netns=lab.pod.sandbox.pid)
    netns = lab.pod.sandbox.pid
    wider = "10.42.0.0/16"
    do, undo = [f"route del {route}"], [f"route replace {route}"]
    if wider in await lab.look(["ip", "route", "show", wider], netns=netns):  # flannel routes the pods' range itself
        do.append(f"route del {wider}")
        undo.append(f"route replace {wider} {route.removeprefix('default ')}")
    await lab.ip(do, undo, netns=netns)


@fault("pod-default-route-other-device", "L4", scope="pod")
async def default_elsewhere(lab: Injection) -> None:
    """The pod's default route leaves through another interface."""
    netns = lab.pod.sandbox.pid
    route = await lab.default_route(netns=netns)
    await lab.ip(
        [
            "link add net1 type veth peer name net1peer",
            "addr add 192.168.77.2/24 dev net1",
            "link set net1peer up",
            "link set net1 up",
            f"route del {route}",
            "route add default via 192.168.77.1 dev net1",
        ],
        ["link del net1", f"route replace {route}"],
        netns=netns,
    )


@fault("pod-default-route-unusable", "L3", scope="pod")
async def default_blackhole(lab: Injection) -> None:
    """The pod's default route is a blackhole."""
    netns = lab.pod.sandbox.pid
    route = await lab.default_route(netns=netns)
    await lab.ip(
        [f"route del {route}", "route add blackhole default"],
        ["route del blackhole default", f"route replace {route}"],
        netns=netns,
    )


@fault("pod-gateway-mac-static", "L5", scope="pod")
async def static_neighbour(lab: Injection) -> None:
    """The pod holds a permanent, wrong MAC for its gateway."""
    gateway = await lab.gateway()
    await lab.ip(
        [f"neigh replace {gateway} lladdr 02:00:5e:10:00:01 dev eth0 nud permanent"],
        [f"neigh del {gateway} dev eth0"],
        netns=lab.pod.sandbox.pid,
    )


@fault("pod-firewall", "L7", scope="pod")
async def pod_firewall(lab: Injection) -> None:
    """A packet filter inside the pod drops what it sends to Services."""
    chain = "chain output { type filter hook output priority 0; policy accept; ip daddr 10.43.0.0/16 counter drop; }"
    await lab.nft_table("inet", "mesh", chain, netns=lab.pod.sandbox.pid)
