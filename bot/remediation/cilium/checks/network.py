"""The network as it is: which CNI and how it works, addresses, ports, sizes, and what an earlier try has left.

Source: https://docs.cilium.io/en/stable/installation/k8s-install-migration/ (new CIDR, other port)
Source: https://docs.tigera.io/calico/latest/networking/ipam/ip-autodetection (first-found)
"""

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

from bot.domain.listing import and_more
from bot.domain.plan import value_at
from bot.remediation.cilium.checks.outcome import Outcome, Problem, Unread
from bot.remediation.cilium.seen import Network, Seen, agents, containers, info, moving_pods, name_of, networks, overlap
from bot.remediation.cilium.values import BLOCK, DEFAULT_PORT

Values = Mapping[str, Any]
POOLS = "ipam.operator.clusterPoolIPv4PodCIDRList"
PORT = "tunnelPort"
_MIGRATED = frozenset({"calico", "flannel"})
"""The CNIs that plans know the way from: they use the kernel's routing."""
_PORTS: Mapping[str, int] = {"flannel": 8472, "canal": 8472, "calico": 4789}
_SINGLE = ("kubernetes-internal-ip", "can-reach=", "interface=", "cidr=")
_VXLAN_BYTES = 50
_TAINT = "node.cilium.io/agent-not-ready"
_SOME = 3


def mode(_: Values, seen: Seen) -> Iterator[Outcome]:
    """Whether the present CNI works in a way from which there is a known one to Cilium."""
    if seen.daemon_sets is None:
        yield Unread("DaemonSets could not be read: which CNI there is")
        return
    found = agents(seen)
    names = sorted({name for name, _ in found})
    if "cilium" in names:
        yield Problem("Cilium runs already, chained or alone")
    others = [name for name in names if name not in _MIGRATED | {"cilium"}]
    if others:
        yield Problem(
            f"There is no known way from {', '.join(others)} to Cilium: only from {' and '.join(sorted(_MIGRATED))}"
        )
    if not found:
        yield Problem(
            "No DaemonSet is the agent of a known CNI: where it runs inside another process, nobody can follow it"
        )
    if any("multus" in str(one["metadata"]["name"]) for one in seen.daemon_sets):
        yield Problem("Multus decides which CNI a pod gets")
    for node in seen.nodes or ():
        if info(node, "operatingSystem") == "windows":
            yield Problem(f"Node {name_of(node)} runs Windows: Cilium has no agent for it")
        if any(":" in str(one) for one in value_at(node, ("spec", "podCIDRs")) or ()):
            yield Problem(f"Node {name_of(node)} has an IPv6 range for pods: the way is known for IPv4 alone")
    if "calico" in names:
        yield from _calico(seen)


def _calico(seen: Seen) -> Iterator[Outcome]:
    if seen.felix is None or seen.bgp_peers is None or seen.ip_pools is None:
        yield Unread("Calico's configuration could not be read: eBPF, WireGuard, BGP peers, encapsulation")
    for one in seen.felix or ():
        if value_at(one, ("spec", "bpfEnabled")):
            yield Problem(f"FelixConfiguration {name_of(one)} switches Calico's eBPF data plane on")
        if value_at(one, ("spec", "wireguardEnabled")):
            yield Problem(f"FelixConfiguration {name_of(one)} switches WireGuard on: traffic would go unencrypted")
    if seen.bgp_peers:
        yield Problem(f"{len(seen.bgp_peers)} BGPPeers: routers outside know the pods' present addresses")
    for one in seen.ip_pools or ():
        modes = {str(value_at(one, ("spec", key)) or "Never") for key in ("ipipMode", "vxlanMode")}
        if modes == {"Never"} and not value_at(one, ("spec", "disabled")):
            yield Problem(f"IPPool {name_of(one)} has no encapsulation: its addresses are routed by BGP")


def wanted_ranges(values: Values) -> list[Network]:
    """The ranges that new pods get their addresses from."""
    raw: Any = values.get(POOLS)
    return networks(cast("list[Any]", raw) if isinstance(raw, list) else [raw] if raw else [])


def ranges(values: Values, seen: Seen) -> Iterator[Outcome]:
    """The new pods' addresses must be nobody else's: Cilium hands out its own blocks, whoever lives in them."""
    wanted = wanted_ranges(values)
    if not wanted:
        yield Problem(f"{POOLS} names no range: the default, 10.0.0.0/8, may not be free")
        return
    yield from overlaps(wanted, seen)
    if short := shortage(wanted, seen):
        yield short


def shortage(wanted: Sequence[Network], seen: Seen) -> Problem | None:
    """That there are more nodes than blocks."""
    blocks = sum(2 ** max(0, BLOCK - new.prefixlen) for new in wanted if new.version == 4)
    number = len(seen.nodes or ())
    return Problem(f"Blocks of /{BLOCK} in the range: {blocks}. Nodes: {number}") if blocks < number else None


def overlaps(wanted: Sequence[Network], seen: Seen, *, but: Iterable[str] = ()) -> Iterator[Outcome]:
    """Addresses in use, but for those of some kinds, that lie in the ranges."""
    taken = {what: known for what, known in _taken(seen).items() if what not in but}
    for what, known in taken.items():
        if known is None:
            yield Unread(f"{what} could not be read, so they may overlap")
        elif found := [one for one in known if any(overlap(one, new) for new in wanted)]:
            yield Problem(_overlapping(what, found, wanted, taken))


def _overlapping(what: str, found: Sequence[Network], wanted: Sequence[Network], taken: Mapping[str, Any]) -> str:
    candidates = (ipaddress.ip_network(f"10.{each}.0.0/16") for each in (245, *range(200, 245), *range(100, 200)))
    every = [one for known in taken.values() for one in known or ()]
    free = next((str(one) for one in candidates if not any(overlap(one, other) for other in every)), "")
    use = f" Use a free range, such as {free}" if free else ""
    return (
        f"{what} lie in {', '.join(map(str, wanted))}: {len(found)}, such as {found[0]}. Cilium hands out its own "
        "blocks of that range, even where addresses are in use: two pods may share one until the last old pod is "
        f"gone.{use}"
    )


def _taken(seen: Seen) -> dict[str, list[Network] | None]:
    def fields(objects: Sequence[Mapping[str, Any]] | None, *path: str) -> list[Network] | None:
        return None if objects is None else networks(value for obj in objects if (value := value_at(obj, path)))

    live = None if seen.pods is None else [pod for pod in moving_pods(seen) if value_at(pod, ("status", "podIP"))]
    own = None if seen.nodes is None else networks(
        one.get("address") for node in seen.nodes for one in value_at(node, ("status", "addresses")) or ()
    )  # fmt: skip
    known = {
        "Addresses of running pods": fields(live, "status", "podIP"),
        "Pod ranges of nodes": fields(seen.nodes, "spec", "podCIDR"),
        "Calico's IP pools": fields(seen.ip_pools, "spec", "cidr"),
        "Addresses of nodes": own,
        "ClusterIPs of Services": fields(seen.services, "spec", "clusterIP"),
    }
    if seen.hosts:
        known["Routes of nodes"] = networks(route for host in seen.hosts.values() for route in host.routes)
    return known


def tunnel(values: Values, seen: Seen) -> Iterator[Outcome]:
    """Whether the tunnel's port is free: on one that another device has, agents are Ready and their tunnel is down."""
    port: Any = values.get(PORT, DEFAULT_PORT)
    if not isinstance(port, int):
        yield Problem(f"{PORT} is {port!r}: since 1.16 the chart takes a number only")
        return
    for name, _ in agents(seen):
        if _PORTS.get(name) == port:
            yield Problem(f"{PORT} {port} is {name}'s. Take another one, such as 8473, and open it in the firewall")
    for node, host in sorted(seen.hosts.items()):
        for device, used in host.tunnels:
            if used is None:
                yield Unread(f"The port of {device} on {node} could not be read")
            elif used == port and not device.startswith("cilium"):
                yield Problem(f"{PORT} {port} belongs to {device} on {node}")
    if seen.uninspected:
        yield Unread(f"Not inspected: {and_more(seen.uninspected, _SOME)}. Which VXLAN devices they have is not known")
    yield Problem(f"Nobody tried whether UDP {port}, TCP 4240 and ICMP pass between all nodes", "accept")


def autodetection(_: Values, seen: Seen) -> Iterator[Outcome]:
    """Whether calico-node could take cilium_host's address for the node's, and lose its peers."""
    for name, agent in agents(seen):
        if name != "calico":
            continue
        variables: dict[str, str] = {
            str(one.get("name")): str(one.get("value", ""))
            for container in containers(agent, ("spec", "template", "spec"))
            for one in container.get("env") or ()
        }
        method = variables.get("IP_AUTODETECTION_METHOD", "") or "first-found"
        skips = method.startswith("skip-interface=") and "cilium" in method
        if variables.get("IP", "autodetect") == "autodetect" and not method.startswith(_SINGLE) and not skips:
            yield Problem(f"calico-node finds the node's address by {method}, and may find cilium_host's")


def sizes(_: Values, seen: Seen) -> Iterator[Outcome]:
    """Whether packets of the present size pass through Cilium's tunnel."""
    if seen.uninspected:
        yield Unread(f"Not inspected: {and_more(seen.uninspected, _SOME)}. Their MTUs are not known")
    uplinks = [host.mtu for host in seen.hosts.values() if host.mtu]
    pods = [host.pod_mtu for host in seen.hosts.values() if host.pod_mtu]
    if uplinks and pods and min(uplinks) - _VXLAN_BYTES < max(pods):
        yield Problem(
            f"Pods' devices have an MTU of {max(pods)}, and Cilium's will have {min(uplinks) - _VXLAN_BYTES}: old pods "
            "send packets that are too large for new ones, unless path MTU discovery works"
        )


def traces(_: Values, seen: Seen) -> Iterator[Outcome]:
    """What an earlier try has left: a CiliumNode keeps its block, and a new range is ignored."""
    if seen.cilium_nodes is None:
        yield Unread("CiliumNodes could not be read: what an earlier try left")
    elif seen.cilium_nodes:
        yield Problem(f"{len(seen.cilium_nodes)} CiliumNodes exist: they keep their ranges, and a new one is ignored")
    if seen.nodes is None:
        yield Unread("Nodes could not be read: taints of an earlier try")
    for node in seen.nodes or ():
        if any(one.get("key") == _TAINT for one in value_at(node, ("spec", "taints")) or ()):
            yield Problem(f"Node {name_of(node)} has the taint {_TAINT} of an earlier try: nothing is scheduled there")


def devices(values: Values, seen: Seen) -> Iterator[Outcome]:
    """The same, with what is left on the nodes themselves."""
    yield from traces(values, seen)
    if seen.uninspected:
        yield Unread(f"Not inspected: {and_more(seen.uninspected, _SOME)}. Whether devices of an earlier try are there")
    for node, host in sorted(seen.hosts.items()):
        left = [one for one in host.links if one.startswith("cilium_")]
        left += [one for one in host.cni_files or () if "cilium" in one]
        if left:
            yield Problem(f"{and_more(left, _SOME)} on {node} are of an earlier Cilium")
