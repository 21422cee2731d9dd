"""Do packets of every size that a pod may send get through to other nodes, and does somebody say so when they do not?

Healthy is that the pod's own kernel refuses what is larger than its device ("too big" at once), and everything below
arrives. A router on the way that answers "fragmentation needed" works too: the sender learns. Silence above a size
is a black hole: handshakes and health checks pass, large answers hang.

What the source itself would not send is not tested, whatever a probe's socket allows: a tunnel's smaller MTU may stand
on the route while the device keeps 1500, as Cilium does it. Its programs also drop fragmented ICMP by design.

A ladder of which not even the smallest packet arrived says nothing about sizes. Nor does one that starts or ends at a
pod whose own link throws packets away: a queue that holds one small packet lets the first one pass. And where another
pod's packets of that size arrive, the path carries them.

Source: https://www.rfc-editor.org/rfc/rfc2923 (black holes)
Source: https://docs.tigera.io/calico/latest/networking/configuring/mtu
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bot.agent.report import Link, MtuStep, NetnsState, NodeReport, PodReport, Test
from bot.domain import facts
from bot.domain.facts import FactBuilder, Subject, SubjectKind
from bot.probes.engine.evidence import Evidence
from bot.probes.path_mtu.facts import MTU_VALUES
from bot.probes.path_mtu.needs import users_of_node_paths
from bot.probes.pod_link.observe import host_end
from bot.probes.shared.encapsulation import encapsulation_of
from bot.probes.shared.pod_views import observable_pods
from bot.probes.shared.reach import target_of
from bot.probes.shared.routing import BY_PROGRAM, RouteTable
from bot.probes.traffic_control.observe import queue_state

TUNNEL_BYTES = 50
"""What VXLAN or Geneve adds over IPv4."""
_RANDOM = 2
"""So many sizes of a pair lost below larger ones that arrived, and its losses are random. One alone may be chance."""
_OF_BRIDGE = ("bridge_name", "bridge_mtu_bytes", "bridge_is_narrow")
_STARVING = frozenset({"drops", "holds", "few"})


@dataclass(frozen=True, slots=True)
class Ladder:
    """What a ladder shows."""

    state: str
    largest_ok: int
    first_lost: int | None
    scattered: int = 0
    """Sizes that were lost though a larger one arrived: by ordinary loss, for no MTU does that."""


def read_ladder(steps: Iterable[MtuStep], limit: float = math.inf) -> Ladder | None:
    """The ladder's meaning; None when nothing got through, or it was not climbed. `limit`: sizes above were not tested.

    A lost size below a larger one that arrived is ordinary loss.
    """
    ordered = sorted((step for step in steps if step.size_bytes <= limit), key=lambda step: step.size_bytes)
    largest = max((step.size_bytes for step in ordered if step.outcome == "ok"), default=None)
    if largest is None:
        return None
    sizes = [step.size_bytes for step in ordered if step.outcome == "timeout"]
    lost, scattered = [size for size in sizes if size > largest], sum(size < largest for size in sizes)
    if lost:
        return Ladder("black-hole", largest, lost[0], scattered)
    reported = any(step.outcome == "frag-needed" for step in ordered)
    return Ladder("frag-needed" if reported else "ok", largest, None, scattered)


def worst(states: Iterable[str]) -> str | None:
    """The worst of several states; None when there is none."""
    return max(states, key=MTU_VALUES.index, default=None)


def observe(evidence: Evidence, into: FactBuilder) -> None:
    """Every ladder by pair of nodes, and the MTUs of each node."""
    from_pods, from_nodes = _ladders(evidence)
    worst_of: dict[str, list[str]] = defaultdict(list)
    mtus = {name: (_uplink_mtu(evidence, report), _pod_mtu(report.pods)) for name, report in evidence.reports.items()}
    looked = sorted(evidence.reports)
    lost = _lost_between_nodes(from_nodes)
    users = users_of_node_paths(evidence, lost)
    for pair, size in lost.items():
        into.set(pair, "node_first_lost_bytes", size)
        into.set(pair, "node_path_users", users.get(pair, ()))
    for source in looked:
        for destination in looked:
            if source != destination:
                pair = facts.pair(source, destination)
                _observe_pair(pair, from_pods.get(pair, ()), from_nodes.get(pair, ()), into)
                into.put(pair, "mtu_differs", _differ(mtus[source], mtus[destination]), "the MTUs were not read")
    for pair, ladders in from_nodes.items():
        worst_of[pair.ends[0].name] += [ladder.state for ladder in ladders if ladder]
    for name in evidence.nodes:
        _observe_node(evidence, name, mtus.get(name), worst(worst_of[name]), into)


def _lost_between_nodes(from_nodes: "_Ladders") -> Mapping[Subject, int]:
    """By pair of nodes from which size on packets are lost silently."""
    holes = {
        pair: [ladder.first_lost for ladder in ladders if ladder and ladder.first_lost]
        for pair, ladders in from_nodes.items()
    }
    return {pair: min(sizes) for pair, sizes in holes.items() if sizes}


_Ladders = Mapping[Subject, Sequence[Ladder | None]]


def _ladders(evidence: Evidence) -> tuple[_Ladders, _Ladders]:
    from_pods: dict[Subject, list[Ladder | None]] = defaultdict(list)
    from_nodes: dict[Subject, list[Ladder | None]] = defaultdict(list)
    pods = evidence.pod_reports
    starved = _starved_pods(evidence)
    for source, node, test in evidence.tests:
        other = _other_node(evidence, test)
        if test.protocol != "mtu" or not other or other == node:
            continue
        if source in starved or target_of(evidence, test) in starved:
            continue
        if source.kind is SubjectKind.POD and test.purpose == "remote-pod":
            state = pods[source].state if source in pods else None
            limit = min(_limit(state, test.ip), _tunnel_limit(evidence, node, test.ip))
            from_pods[facts.pair(node, other)].append(read_ladder(test.mtu_steps, limit))
        elif source.kind is SubjectKind.NODE and test.purpose == "node":
            limit = _limit(evidence.reports[node].root, test.ip)
            from_nodes[facts.pair(node, other)].append(read_ladder(test.mtu_steps, limit))
    return from_pods, from_nodes


def _limit(state: NetnsState | None, ip: str) -> float:
    """The largest packet that goes out from here to an address: what the route allows, and the device below it."""
    route = RouteTable(state.routes).lookup(ip) if state else None
    if state is None or route is None:
        return math.inf
    device = next((link.mtu for link in state.links if link.name == route.dev), 0)
    return min(device or math.inf, route.mtu or math.inf)


def _tunnel_limit(evidence: Evidence, node: str, ip: str) -> float:
    """Above which size Cilium's programs fragment what they encapsulate, and then drop it if it is ICMP."""
    if not evidence.cni.runs_cilium:
        return math.inf
    root = evidence.reports[node].root
    route = RouteTable(root.routes).lookup(ip)
    if route and route.dev in BY_PROGRAM and route.mtu:
        return route.mtu
    uplink_mtu = _uplink_mtu(evidence, evidence.reports[node])
    return uplink_mtu - TUNNEL_BYTES if uplink_mtu and encapsulation_of(evidence) != "none" else math.inf


def _starved_pods(evidence: Evidence) -> frozenset[Subject]:
    """Pods on whose link a queue that somebody wrote dropped packets, or holds them back."""
    found: set[Subject] = set()
    for view in observable_pods(evidence):
        queues = [*((view.state.qdiscs if view.state else None) or ())]
        link = host_end(view)
        if link and view.root:
            queues += [one for one in view.root.state.qdiscs or () if one.dev == link.name]
        if any(one.is_written and queue_state(one) in _STARVING for one in queues):
            found.add(view.subject)
    return frozenset(found)


def _other_node(evidence: Evidence, test: Test) -> str:
    return test.node or evidence.node_by_ip.get(test.ip, "")


def _observe_pair(
    pair: Subject, from_pods: Sequence[Ladder | None], from_nodes: Sequence[Ladder | None], into: FactBuilder
) -> None:
    why = "not even the smallest packet got through" if from_pods else "no ladder of packet sizes was climbed"
    climbed = [ladder for ladder in from_pods if ladder]
    if sum(ladder.scattered for ladder in climbed) >= _RANDOM:
        climbed, why = [], "packets of every size are lost now and then, so a lost one says nothing of its size"
    good, is_uneven = _agreed(climbed)
    into.put(pair, "mtu_uneven", is_uneven if good else None, why)
    state = worst(ladder.state for ladder in good)
    into.put(pair, "mtu", state, why)
    if state is None:
        into.miss_all(pair, ("largest_ok_bytes", "first_lost_bytes"), why)
    else:
        worst_ones = [ladder for ladder in good if ladder.state == state]
        into.set(pair, "largest_ok_bytes", min(ladder.largest_ok for ladder in worst_ones))
        lost = min((ladder.first_lost for ladder in worst_ones if ladder.first_lost), default=None)
        into.put(pair, "first_lost_bytes", lost, "no size was lost")
    why = "not even the smallest packet got through" if from_nodes else "no ladder of packet sizes was climbed"
    into.put(pair, "node_mtu", worst(ladder.state for ladder in from_nodes if ladder), why)


def _agreed(ladders: Sequence[Ladder]) -> tuple[Sequence[Ladder], bool]:
    """The ladders without the holes that another pod's packets do not meet, and whether there were such."""
    holes = [ladder for ladder in ladders if ladder.first_lost]
    others = [ladder for ladder in ladders if not ladder.first_lost]
    most = max((ladder.largest_ok for ladder in others), default=0)
    is_uneven = any(hole.first_lost and hole.first_lost <= most for hole in holes)
    return (others if is_uneven else ladders), is_uneven


def _uplink_mtu(evidence: Evidence, report: NodeReport) -> int | None:
    node = evidence.nodes.get(report.node)
    own = {each.address for each in node.status.addresses} if node else set[str]()
    devices = {each.dev for each in report.root.addresses if each.ip in own}
    links: tuple[Link, ...] = report.root.links
    return next((link.mtu for link in links if link.name in devices and link.mtu), None)


def _pod_mtu(pods: Iterable[PodReport]) -> int | None:
    found = Counter(
        link.mtu for pod in pods if pod.state for link in pod.state.links if link.name == "eth0" and link.mtu
    )
    return found.most_common(1)[0][0] if found else None


_Mtus = tuple[int | None, int | None]


def _differ(source: _Mtus, destination: _Mtus) -> bool | None:
    pairs = [(a, b) for a, b in zip(source, destination, strict=True) if a is not None and b is not None]
    return any(a != b for a, b in pairs) if pairs else None


def _observe_bridge(node: Subject, report: NodeReport, pod_mtu: int | None, into: FactBuilder) -> None:
    """The bridge whose ports the pods' links are, against the pods' own interfaces."""
    links = {link.name: link for link in report.root.links}
    if not links:
        into.miss_all(node, _OF_BRIDGE, "the node's links were not read")
        return
    masters = Counter(links[pod.host_link].master for pod in report.pods if pod.host_link in links)
    masters.pop("", None)
    bridge = links.get(masters.most_common(1)[0][0]) if masters else None
    mtu = bridge.mtu if bridge and bridge.mtu else None
    into.put(node, "bridge_name", bridge.name if bridge else None, "its pods are ports of no bridge")
    into.put(node, "bridge_mtu_bytes", mtu, "its pods are ports of no bridge")
    is_narrow = False if bridge is None else mtu < pod_mtu if mtu and pod_mtu else None
    into.put(node, "bridge_is_narrow", is_narrow, "no pod of this node was inspected from inside")


def _observe_node(evidence: Evidence, name: str, mtus: _Mtus | None, state: str | None, into: FactBuilder) -> None:
    node, report = facts.node(name), evidence.reports.get(name)
    if report is None or mtus is None:
        keys = ("uplink_mtu_bytes", "pod_mtu_bytes", "fragfails_delta", "node_mtu", *_OF_BRIDGE)
        into.miss_all(node, keys, evidence.why_no_report(name))
        return
    into.put(node, "uplink_mtu_bytes", mtus[0], "no device carries the address that the API knows")
    into.put(node, "pod_mtu_bytes", mtus[1], "no pod of this node was inspected from inside")
    _observe_bridge(node, report, mtus[1], into)
    fails = report.root.counters_delta.get("Ip.FragFails", 0) if report.root.counters else None
    into.put(node, "fragfails_delta", fails, "the counters were not read")
    into.put(node, "node_mtu", state, "no ladder of packet sizes from this node got through")
