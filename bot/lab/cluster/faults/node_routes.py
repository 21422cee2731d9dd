"""The node's routing (taxonomy 5.3 G2, 5.4)."""

from __future__ import annotations

from bot.lab.cluster.dataplane.base import Node
from bot.lab.cluster.faults.injection import Injection
from bot.lab.cluster.faults.registry import ANY, CALICO, ROUTED, Cni, fault

_BRIDGED_OR_EBPF: tuple[Cni, ...] = ("flannel-vxlan", "cilium-tunnel")


async def _routes_towards(lab: Injection, source: Node, target: Node) -> list[str]:
    """The routes of ``source`` through its tunnel to the pods of ``target``."""
    addresses = {pod.ip for pod in lab.plane.pods[target.name].values()}
    found = await lab.look(["ip", "route", "show"], host=source.host)
    lines = [line.strip() for line in found.splitlines()]
    return [line for line in lines if "via" in line and _holds(line.split()[0], addresses)]


def _holds(cidr: str, addresses: set[str]) -> bool:
    import ipaddress  # noqa: PLC0415 - one caller

    if "/" not in cidr:
        return False
    network = ipaddress.ip_network(cidr)
    return network.prefixlen > 16 and any(ipaddress.ip_address(address) in network for address in addresses)


@fault("node-default-route-missing", "G2", scope="node", cnis=ANY)
async def default_missing(lab: Injection) -> None:
    """The node has no default route."""
    route = await lab.default_route()
    await lab.ip([f"route del {route}"], [f"route replace {route}"])
    await lab.forget_neighbours(lab.local_pods)


@fault("node-routing-rule-missing", "R9", scope="node", cnis=ANY)
async def routing_rule_missing(lab: Injection) -> None:
    """The routing rule for the main table is gone."""
    await lab.ip(["rule del pref 32766"], ["rule add pref 32766 lookup main"])


@fault("pod-route-missing", "R1", scope="pod", cnis=ROUTED)
async def route_missing(lab: Injection) -> None:
    """The node has no route to the pod, rp_filter is off."""
    veth = lab.pod.veth
    route = (await lab.look(["ip", "route", "show", lab.pod.ip])).strip()
    await lab.sysctl({f"net/ipv4/conf/{veth}/rp_filter": 0, "net.ipv4.conf.all.rp_filter": 0})
    await lab.ip([f"route del {route}"], [f"route replace {route}"])


@fault("pod-route-wrong-link", "R2", scope="pod", cnis=ROUTED)
async def route_wrong(lab: Injection) -> None:
    """The node's route to the pod leads to another pod's veth."""
    other = next(pod for pod in lab.local_pods if pod.uid != lab.pod.uid)
    route = (await lab.look(["ip", "route", "show", lab.pod.ip])).strip()
    await lab.sysctl({f"net/ipv4/conf/{lab.pod.veth}/rp_filter": 0, "net.ipv4.conf.all.rp_filter": 0})
    await lab.ip([f"route replace {route.replace(lab.pod.veth, other.veth)}"], [f"route replace {route}"])


@fault("route-to-remote-block-missing", "R3", scope="node")
async def remote_route_missing(lab: Injection) -> None:
    """The node has no routes to the pods of another node."""
    routes = await _routes_towards(lab, lab.node, lab.peer)
    await lab.ip([f"route del {one}" for one in routes], [f"route replace {one}" for one in routes])


@fault(
    "return-route-missing",
    "R4",
    scope="node",
    # Seen from the other end it is the node over there that lacks a route, and that is where it is fixed.
    cause="route-to-remote-block-missing",
    also=("return-route-missing",),
)
async def return_route_missing(lab: Injection) -> None:
    """Another node has no routes back to this node's pods."""
    routes = await _routes_towards(lab, lab.peer, lab.node)
    await lab.ip([f"route del {one}" for one in routes], [f"route replace {one}" for one in routes], host=lab.peer.host)


@fault("node-forwarding-off", "R5", scope="node", cnis=_BRIDGED_OR_EBPF)
async def node_forwarding_off(lab: Injection) -> None:
    """Forwarding (ip_forward) is 0 on the node."""
    await lab.sysctl({"net.ipv4.ip_forward": 0})


@fault("foreign-rule-diverts-pods", "R7", scope="node")
async def foreign_rule(lab: Injection) -> None:
    """A VPN's policy rule takes the traffic to other nodes' pods."""
    targets = [line.split()[0] for line in await _routes_towards(lab, lab.node, lab.peer)]
    rules = [f"to {target} lookup 52 pref {5210 + number}" for number, target in enumerate(targets)]
    await lab.ip(
        [
            "link add tailscale0 type bridge",
            "link set tailscale0 up",
            "route add default dev tailscale0 table 52",
            *(f"rule add {rule}" for rule in rules),
        ],
        [*(f"rule del {rule}" for rule in rules), "link del tailscale0"],
    )


@fault("pod-cidr-overlaps-lan", "R8", scope="node")
async def overlap(lab: Injection) -> None:
    """A local bridge's network overlaps the pods of another node."""
    target = (await _routes_towards(lab, lab.node, lab.peer))[0].split()[0]
    network, _, length = target.partition("/")
    head, _, last = network.rpartition(".")
    address = f"{head}.{int(last) + 1}/{int(length) + 1}"
    await lab.ip(
        ["link add docker0 type bridge", f"addr add {address} dev docker0", "link set docker0 up"], ["link del docker0"]
    )


@fault("node-next-hop-dead", "R10", scope="node")
async def next_hop_dead(lab: Injection) -> None:
    """The other node does not answer ARP."""
    # A request of the other node's would tell its MAC as well as an answer, so these are not heard either.
    for host, what in (
        (lab.peer.host, 'iifname "eth0" arp operation request drop;'),
        (lab.node.host, f"arp operation request arp saddr ip {lab.peer.ip} drop;"),
    ):
        chain = f"chain input {{ type filter hook input priority 0; policy accept; {what} }}"
        await lab.nft_table("arp", "guard", chain, host=host)
    await lab.ip([f"neigh flush to {lab.peer.ip} dev eth0"], [])


@fault("rp-filter-drops-asymmetric", "R6", scope="node", cnis=CALICO)
async def asymmetric(lab: Injection) -> None:
    """Strict rp_filter on the tunnel, whose return route goes elsewhere."""
    routes = await _routes_towards(lab, lab.node, lab.peer)
    device = lab.tunnel.device
    await lab.sysctl({f"net/ipv4/conf/{device}/rp_filter": 1})
    plain = [one.split()[0] + f" via {lab.peer.ip} dev eth0" for one in routes]
    await lab.ip([f"route replace {one}" for one in plain], [f"route replace {one}" for one in routes])
