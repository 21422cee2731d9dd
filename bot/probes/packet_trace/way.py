"""The places on a traced flow's way, in order, and where its packets were seen last.

Agents' clocks are not compared: within a namespace time orders the devices, between namespaces the way does.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bot.agent.report import NetnsState
from bot.agent.traced import Leg, NodeTrace, PacketDrop, Sighting, TraceFlow, split_address
from bot.domain import facts
from bot.domain.facts import Subject, SubjectKind
from bot.probes.engine.evidence import Evidence

TUNNEL_KINDS = frozenset({"vxlan", "ipip", "geneve", "wireguard", "sit", "gre"})
SOURCE_POD, SOURCE_NODE, ON_THE_WAY, TARGET_NODE, TARGET_POD = range(5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """Between whom the packets go, as far as that is known."""

    source: Subject
    source_node: str
    target: Subject | None
    """Of several pods behind a Service one that packets came near to, else the first."""
    target_node: str

    @property
    def is_local(self) -> bool:
        """Both on one node."""
        return self.source_node == self.target_node


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One sighting with its place on the way of a request: greater is nearer to the target."""

    node: str
    stage: int
    sighting: Sighting


def ends_of(evidence: Evidence, flow: TraceFlow) -> Ends:
    """Who sends, and who should receive."""
    source = _subject(evidence, flow.node, flow.source)
    candidates = [end for ip in flow.addresses for end in _holders(evidence, ip) if end != source]
    touched = [end for end in candidates if _is_touched(evidence, flow, end)]
    target = next(iter((*touched, *candidates)), None)
    node = "" if target is None else target.name if target.kind is SubjectKind.NODE else evidence.node_of(target)
    return Ends(source=source, source_node=flow.node, target=target, target_node=node)


def seen_on_the_way(evidence: Evidence, flow: TraceFlow, ends: Ends, leg: Leg) -> Sequence[Seen]:
    """Sightings of one leg, in the order of a request's way (a reply's is the other way round)."""
    found = [
        Seen(node=node, stage=_stage(evidence, ends, node, one), sighting=one)
        for node, trace in evidence.traces.items()
        for one in trace.sightings
        if one.flow == flow.number and one.leg == leg and one.dev != "lo"
    ]
    back = -1 if leg == "reply" else 1
    return sorted(found, key=lambda one: (back * one.stage, one.node, one.sighting.first_ms))


def is_arrival(last: Seen, ends: Ends) -> bool:
    """Whether this is a sighting in the target's own namespace."""
    if ends.target is not None and ends.target.kind is SubjectKind.NODE:
        return last.stage == TARGET_NODE and not last.sighting.is_out
    return last.stage == TARGET_POD


def next_place(evidence: Evidence, ends: Ends, last: Seen, *, is_reply: bool) -> str:
    """Where a packet that was seen there should be seen next; "" where nobody listened or nothing more is expected."""
    one, node = last.sighting, last.node
    here, there, target_node = ends.source, ends.target, ends.target_node
    if is_reply:
        here, there, target_node = ends.target or ends.source, ends.source, ends.source_node
    if one.netns != "node":
        link = _host_link(evidence, here) or "the other end of its link"
        return f"{link} of {node}, coming in" if one.is_out else ""
    if node not in evidence.reports:
        return ""
    if one.is_out:
        return _next_outside(evidence, last, there, target_node)
    return _next_inside(evidence, last, there, target_node)


@dataclass(frozen=True, slots=True, kw_only=True)
class Onward:
    """The device where packets should be seen next."""

    node: str
    netns: str
    """A pod's uid, or "node"."""
    dev: str
    """"" where it is not known."""


def device_onward(evidence: Evidence, ends: Ends, last: Seen) -> Onward | None:
    """That behind the place of a sighting; None where it is somebody's whom we do not see."""
    one, is_reply = last.sighting, last.sighting.leg == "reply"
    here, there, target_node = ends.source, ends.target, ends.target_node
    if is_reply:
        here, there, target_node = ends.target or ends.source, ends.source, ends.source_node
    if one.netns != "node":
        return Onward(node=last.node, netns="node", dev=_host_link(evidence, here)) if one.is_out else None
    if last.node not in evidence.reports:
        return None
    root = evidence.reports[last.node].root
    if not one.is_out:
        return Onward(node=last.node, netns="node", dev=_device_inside(evidence, last, there, target_node))
    if last.node == target_node and there is not None and there.kind is SubjectKind.POD:
        return Onward(node=last.node, netns=evidence.pods[there].metadata.uid, dev="eth0")
    other = evidence.reports.get(target_node)
    if last.node == target_node or one.dev == tunnel_of(root) or other is None:
        return None
    return Onward(node=target_node, netns="node", dev=uplink_of(other.root))


def device_beneath(evidence: Evidence, ends: Ends, last: Seen) -> str:
    """By which device of the node packets go on that left by a tunnel's or a bridge's; "" for those of others."""
    one, report = last.sighting, evidence.reports.get(last.node)
    if report is None or one.netns != "node" or one.tunnel or not one.is_out:
        return ""
    if one.dev == tunnel_of(report.root):
        return uplink_of(report.root)
    port = _host_link(evidence, ends.source if one.leg == "reply" else ends.target)
    return port if any((link.name, link.master) == (port, one.dev) for link in report.root.links) else ""


def _device_inside(evidence: Evidence, last: Seen, there: Subject | None, target_node: str) -> str:
    """By which device packets go on that came into a node; "" for its own sockets."""
    root = evidence.reports[last.node].root
    if last.sighting.tunnel:
        return tunnel_of(root)
    if last.node == target_node:
        return _host_link(evidence, there)
    is_tunnelled = bool(tunnel_of(root)) and there is not None and there.kind is SubjectKind.POD
    return tunnel_of(root) if is_tunnelled else uplink_of(root)


def _next_outside(evidence: Evidence, last: Seen, there: Subject | None, target_node: str) -> str:
    """After a device that they left by."""
    root = evidence.reports[last.node].root
    if last.node == target_node:
        return f"eth0 of {there.name}, coming in" if there and there.kind is SubjectKind.POD else ""
    if last.sighting.dev == tunnel_of(root):
        return f"{uplink_of(root)} of {last.node}, going out in the tunnel"
    return f"{target_node}, coming in" if is_listened(evidence.traces.get(target_node)) else ""


def _next_inside(evidence: Evidence, last: Seen, there: Subject | None, target_node: str) -> str:
    """After a device that they came in by."""
    dev, node = _device_inside(evidence, last, there, target_node), last.node
    if last.sighting.tunnel:
        return f"{dev or 'the tunnel'} of {node}, coming in"
    return f"{dev} of {node}, going out" if dev else f"a socket of {node}"


def tunnel_of(root: NetnsState) -> str:
    """The overlay's device, "" where there is none."""
    return next((link.name for link in root.links if link.kind in TUNNEL_KINDS and link.is_up), "")


def uplink_of(root: NetnsState) -> str:
    """The device that leads out."""
    return next((route.dev for route in root.routes if route.dst == "default" and route.table == 254), "the uplink")


def place_words(evidence: Evidence, seen: Seen) -> str:
    """As in "eth0 of shop/a, going out" or "flannel.1 of node-1, coming in"."""
    return f"{where(evidence, seen.node, seen.sighting.netns, seen.sighting.dev)}, {_way(seen.sighting)}"


def where(evidence: Evidence, node: str, netns: str, dev: str) -> str:
    """A device and whose it is."""
    owner = owner_of(evidence, node, netns)
    return f"{dev} of {owner}" if dev else owner


def owner_of(evidence: Evidence, node: str, netns: str) -> str:
    """Whose namespace it is: the node's name or the pod's."""
    return node if netns in {"node", ""} else _subject(evidence, node, netns).name


def is_listened(trace: NodeTrace | None) -> bool:
    """Whether what this node did not see was not there."""
    return trace is not None and trace.is_together and "node" in trace.namespaces


def _way(one: Sighting) -> str:
    return ("going out" if one.is_out else "coming in") + (" in the tunnel" if one.tunnel else "")


def _stage(evidence: Evidence, ends: Ends, node: str, one: Sighting) -> int:
    if one.netns == "node":
        if node == ends.source_node:
            return SOURCE_NODE
        return TARGET_NODE if node == ends.target_node else ON_THE_WAY
    return SOURCE_POD if _subject(evidence, node, one.netns) == ends.source else TARGET_POD


def _subject(evidence: Evidence, node: str, netns: str) -> Subject:
    return evidence.pod_by_uid.get(netns) or facts.node(node)


def _holders(evidence: Evidence, ip: str) -> Iterator[Subject]:
    yield from evidence.pods_by_ip.get(ip, ())
    if ":" in ip:
        yield from (pod for pod in evidence.pods if ip in pod_addresses(evidence, pod))
    if name := evidence.node_by_ip.get(ip):
        yield facts.node(name)


def pod_addresses(evidence: Evidence, pod: Subject) -> frozenset[str]:
    """A pod's own addresses, of both families."""
    known = evidence.pods[pod]
    if known.spec.host_network:
        return frozenset()
    return frozenset({known.status.pod_ip, *(one.ip for one in known.status.pod_ips)} - {""})


def is_sent_on(flow: TraceFlow, drop: PacketDrop) -> bool:
    """Whether a target sent it in its own name: a DNS server that asks another one carries the question on."""
    return drop.leg == "request" and not drop.tunnel and drop.src in flow.addresses[1:]


def _is_touched(evidence: Evidence, flow: TraceFlow, end: Subject) -> bool:
    """Whether some packet of the series was on its way to this pod."""
    if end.kind is SubjectKind.NODE:
        return False
    ips = pod_addresses(evidence, end)
    return any(
        one.flow == flow.number and one.leg == "request" and split_address(one.dst)[0] in ips
        for trace in evidence.traces.values()
        for one in (*trace.sightings, *trace.drops)
    )


def _host_link(evidence: Evidence, subject: Subject | None) -> str:
    report = evidence.pod_reports.get(subject) if subject else None
    return report.host_link if report else ""
