"""How packets travel between nodes: as the CNI's configuration says, else as the nodes' devices and routes show."""

from collections import Counter
from collections.abc import Iterator

from bot.agent.report import Route
from bot.probes.engine.evidence import Evidence
from bot.probes.engine.once import once_per_evidence
from bot.probes.shared.address_ranges import blocks_by_node
from bot.probes.shared.pod_views import NodeView, node_views
from bot.probes.shared.routing import RouteTable, first_address

TUNNELS = frozenset({"vxlan", "ipip", "geneve", "wireguard"})
"""Kinds of devices that are the encapsulation of the same name."""
_OTHER_TUNNELS = frozenset({"tun", "gre", "gretap", "ip6gre", "ip6gretap", "ip6tnl", "sit", "vti", "xfrm"})
_OF_THE_KERNEL = frozenset({"tunl0", "sit0", "gre0", "gretap0", "erspan0", "ip6tnl0", "ip6gre0", "ip_vti0"})
"""Devices that come with a module and carry nothing while they are down."""
_GUESSED = frozenset({"kube-router"})
"""CNIs of which the configuration tells only what they do between subnets."""


@once_per_evidence
def encapsulation_of(evidence: Evidence) -> str:
    """vxlan, ipip, geneve, wireguard, none, or unknown."""
    declared = evidence.cni.encapsulation
    if declared != "unknown" and evidence.cni.name not in _GUESSED:
        return declared
    return _seen(evidence) or declared


def _seen(evidence: Evidence) -> str | None:
    """What carries pods' packets by the routes to them; without such routes, "none" where no node has a tunnel."""
    views = [view for view in node_views(evidence).values() if view.links]
    kinds: Counter[str] = Counter()
    for view in views:
        for route in _ways_to_peers(evidence, view):
            link = view.links.get(route.dev)
            kinds[link.kind if link and link.kind in TUNNELS | _OTHER_TUNNELS else "none"] += 1
    if kinds and kinds.keys() != {"none"}:
        most = max(kinds.keys() - {"none"}, key=lambda kind: kinds[kind])
        return most if most in TUNNELS else None
    if kinds:
        return "none"
    return "none" if views and not any(_has_tunnel(view) for view in views) else None


def _ways_to_peers(evidence: Evidence, view: NodeView) -> Iterator[Route]:
    """Routes to other nodes' pods by the address of such a node, or by a tunnel."""
    table = RouteTable(view.state.routes)
    peers = {ip for ip, name in evidence.node_by_ip.items() if name != view.name}
    for name, blocks in blocks_by_node(evidence).items():
        for block in blocks if name != view.name else ():
            route = table.lookup(first_address(block))
            link = view.links.get(route.dev) if route else None
            if route and (route.via in peers or (link and link.kind in TUNNELS | _OTHER_TUNNELS)):
                yield route


def _has_tunnel(view: NodeView) -> bool:
    tunnels = (link for link in view.links.values() if link.kind in TUNNELS | _OTHER_TUNNELS)
    return any(link.is_up or link.name not in _OF_THE_KERNEL for link in tunnels)
