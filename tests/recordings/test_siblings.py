"""Recordings of real clusters, changed as a sibling of the fault would show, and judged."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from bot.agent.report import Link, NodeReport, Route
from bot.agent.report_ebpf import BpfProgram, Cilium, CiliumDrop, CiliumEndpoint, CiliumPeer
from bot.diagnosis.judge import judge
from bot.diagnosis.recording import load
from bot.probes.engine.evidence import Evidence
from tests.recordings.test_recordings import HERE, Right, knowledge, wrong

BROKEN, HEALTHY, OPEN = "broken|degraded", "healthy", "inconclusive"
Change = Callable[[Evidence, NodeReport], NodeReport]
PROGRAMS = (
    BpfProgram(name="cil_from_overlay", place="cilium_vxlan", is_attached=True),
    BpfProgram(name="cil_sock4_connect", place="cgroup", is_attached=True),
)


@dataclass(frozen=True, slots=True)
class Sibling:
    """A recording, what is changed on each node, and what is right then."""

    recording: str
    change: Change
    right: Right


def maps(evidence: Evidence, report: NodeReport) -> Cilium:
    """Healthy maps for this recording."""
    pods = {ip: evidence.node_of(owners[0]) for ip, owners in evidence.pods_by_ip.items()}
    ends = {name: node.internal_ip for name, node in evidence.nodes.items()}
    return Cilium(
        heartbeat_age_s=0.5,
        drops=(),
        peers=tuple(
            CiliumPeer(ip=ip, identity=9, tunnel_end=ends[node]) for ip, node in pods.items() if node != report.node
        ),
        tunnel_ends=(),
        endpoints=tuple(CiliumEndpoint(ip=ip, id=1) for ip, node in pods.items() if node == report.node),
        programs=PROGRAMS,
    )


def healthy_maps(evidence: Evidence, report: NodeReport) -> NodeReport:
    return replace(report, cilium=maps(evidence, report))


def stale_ipcache(evidence: Evidence, report: NodeReport) -> NodeReport:
    """What was done to the cluster of this recording: node-2 tunnels one pod's packets to a host that is not there."""
    found = maps(evidence, report)
    stale = next(pod.status.pod_ip for pod in evidence.pods.values() if pod.metadata.name.endswith("-qh4lt"))
    peers = tuple(replace(each, tunnel_end="10.90.0.99") if each.ip == stale else each for each in found.peers or ())
    return replace(report, cilium=replace(found, peers=peers))


def policy_drops(evidence: Evidence, report: NodeReport) -> NodeReport:
    drops = (CiliumDrop(reason=181, direction="ingress", packets=40),)
    return replace(report, cilium=replace(maps(evidence, report), drops=drops))


def detached_on_second(evidence: Evidence, report: NodeReport) -> NodeReport:
    """node-2 takes nothing out of its tunnel, though it arrives there."""
    found = maps(evidence, report)
    programs = tuple(replace(each, is_attached=each.name != "cil_from_overlay") for each in PROGRAMS)
    links = tuple(
        replace(link, rx_packets_delta=200) if link.name == "cilium_vxlan" else link for link in report.root.links
    )
    found = replace(found, programs=programs) if report.node == "node-2" else found
    return replace(report, cilium=found, root=replace(report.root, links=links))


def with_routes(*routes: Route, only: str = "", without: str = "") -> Change:
    """Further routes on a node (all: ""), without those that begin so."""

    def change(_: Evidence, report: NodeReport) -> NodeReport:
        if only and report.node != only:
            return report
        kept = tuple(route for route in report.root.routes if not without or not route.dst.startswith(without))
        return replace(report, root=replace(report.root, routes=(*kept, *routes)))

    return change


def with_link(link: Link) -> Change:
    def change(_: Evidence, report: NodeReport) -> NodeReport:
        return replace(report, root=replace(report.root, links=(*report.root.links, link)))

    return change


def jumbo(_: Evidence, report: NodeReport) -> NodeReport:
    """Uplinks of 9000 bytes below a tunnel that was told 1450."""
    links = tuple(replace(link, mtu=9000) if link.name == "eth0" else link for link in report.root.links)
    return replace(report, root=replace(report.root, links=links))


_TUNNEL = "overlay-.*|vtep-.*|fdb-.*|vxlan-.*"
_BRIDGE_BLOCK = "10.244.1.0/24"
SIBLINGS = {
    "healthy Cilium with its maps": Sibling("cilium-healthy", healthy_maps, Right(HEALTHY, never=".*")),
    "healthy Cilium, jumbo uplinks": Sibling("cilium-healthy", jumbo, Right(f"{HEALTHY}|{OPEN}", never=".*")),
    "a deny rule by its counters": Sibling(
        "cilium-cnp-deny", policy_drops, Right(BROKEN, ".*polic.*", never="pod-route-missing")
    ),
    "a stale entry of the ipcache": Sibling(
        "cilium-ipcache-stale",
        stale_ipcache,
        Right(BROKEN, "ipcache-entry-stale", never="pmtu-.*|app-.*", impossible="fdb-.*|vtep-.*", says="node-2"),
    ),
    "a program that nobody runs": Sibling(
        "cilium-vxlan-blocked",
        detached_on_second,
        Right(BROKEN, "overlay-program-detached", never="overlay-blocked-.*", says="node-2"),
    ),
    "a next hop that is nobody": Sibling(
        "bridge-cross-route-missing",
        with_routes(Route(dst=_BRIDGE_BLOCK, via="10.90.0.77", dev="eth0"), only="node-1"),
        Right(BROKEN, "route-to-.*", impossible=_TUNNEL, says="next hop"),
    ),
    "a blackhole": Sibling(
        "bridge-cross-route-missing",
        with_routes(Route(dst=_BRIDGE_BLOCK, type="blackhole"), only="node-1"),
        Right(BROKEN, "route-to-.*", impossible=_TUNNEL),
    ),
    "a VPN beside it": Sibling(
        "bridge-cross-route-missing",
        with_link(Link(ifindex=90, name="wg0", kind="wireguard", is_up=True)),
        Right(BROKEN, "route-to-.*", impossible=_TUNNEL),
    ),
    "an idle tunl0 beside it": Sibling(
        "bridge-cross-route-missing",
        with_link(Link(ifindex=90, name="tunl0", kind="ipip")),
        Right(BROKEN, "route-to-.*", impossible=_TUNNEL),
    ),
    "forwarding off beside a VPN": Sibling(
        "bridge-ip-forward-0",
        with_link(Link(ifindex=90, name="tun0", kind="tun", is_up=True)),
        Right(BROKEN, "node-forwarding-off", impossible=_TUNNEL),
    ),
    "a healthy bridge with a leftover vxlan device": Sibling(
        "bridge-healthy-shop",
        with_link(Link(ifindex=90, name="flannel.1", kind="vxlan", is_up=True, vxlan_id=1, vxlan_port=8472)),
        Right(HEALTHY, never=".*"),
    ),
}


@pytest.mark.parametrize("name", SIBLINGS)
def test_judged_as_is_right(name: str):
    sibling = SIBLINGS[name]
    recording = load(HERE / f"{sibling.recording}.json.gz")
    evidence = recording.evidence()
    reports = {node: sibling.change(evidence, report) for node, report in evidence.reports.items()}

    report = judge(replace(evidence, reports=reports), knowledge(), playbook="namespace", started_at="", took_s=1.0)

    assert wrong(report, sibling.right) == []
