"""The devices of a node that carry the packets of all its pods."""

from bot.probes.engine.evidence import Evidence
from bot.probes.shared.pod_views import NodeView
from bot.probes.shared.routing import uplink

_TUNNELS = frozenset({"vxlan", "ipip", "geneve", "gre", "wireguard", "sit"})


def shared_devices(evidence: Evidence, root: NodeView) -> set[str]:
    """The bridge of its pods, its tunnels, the devices of its CNI, and its uplink."""
    own = next((each.dev for each in root.state.addresses if evidence.node_by_ip.get(each.ip) == root.name), "")
    links = {pod.host_link for pod in root.report.pods if pod.host_link}
    bridges = {root.links[name].master for name in links if name in root.links}
    tunnels = {link.name for link in root.state.links if link.kind in _TUNNELS or link.name.startswith("cilium_")}
    return (bridges | tunnels | {uplink(root.state.routes, root.links, own)}) - {""}
