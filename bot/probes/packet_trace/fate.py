"""What became of a series of probe packets: last seen, first not seen, why, and by what. A pure function.

The kernel's own drop event comes first: it names the place of death and the reason. Without one the place is where the
sightings end, and the reason what the sender got, an unanswered neighbour, or a counter that moved by just as much.

Place of death is not place of fault: a packet for a wrong MAC address or UDP port dies one hop behind the mistake.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from bot.agent.report import FirewallChange, NetnsState
from bot.agent.traced import Leg, PacketDrop, Sent, Sighting, TraceFlow, split_address
from bot.domain.facts import Subject
from bot.domain.finding import Hop
from bot.probes.engine.evidence import Evidence
from bot.probes.engine.once import once_per_evidence
from bot.probes.filters.naming import is_kube_proxys
from bot.probes.filters.rule_owners import owners_of
from bot.probes.filters.traced import traced_drops
from bot.probes.packet_trace.changers import Death, changer_of
from bot.probes.packet_trace.culprits import FDB_ENTRY, culprit_of, is_refused_by_routing
from bot.probes.packet_trace.hooked import unread_programs
from bot.probes.packet_trace.silence import Silence, never_sent, who_refuses, why_silent
from bot.probes.packet_trace.stealing import Stray, Taker, diverted_to, taker_at_sender, taker_of
from bot.probes.packet_trace.way import (
    SOURCE_NODE,
    SOURCE_POD,
    TARGET_NODE,
    TARGET_POD,
    Ends,
    Seen,
    ends_of,
    is_arrival,
    is_listened,
    is_sent_on,
    next_place,
    place_words,
    seen_on_the_way,
    tunnel_of,
    where,
)
from bot.probes.shared.policy_routing import Packet, Routing

REASONS = {
    "QDISC_DROP": "a queue took no more",
    "TC_INGRESS": "a tc program or filter took them coming in",
    "TC_EGRESS": "a tc program or filter took them going out",
    "IP_RPFILTER": "reverse path filtering refuses their source on that device",
    "IP_INADDRERRORS": "they are for somebody else, and forwarding is off on that device",
    "IP_INNOROUTES": "there is no route for them",
    "IP_LOCAL_SOURCE": "their source is an address of that node itself",
    "NEIGH_FAILED": "the next hop does not answer ARP",
    "NEIGH_QUEUEFULL": "the next hop does not answer ARP",
    "OTHERHOST": "their MAC address is another host's",
    "PKT_TOO_BIG": "they are larger than the next link takes",
    "IP_INHDR": "their time to live ran out, as in a loop",
    "XFRM_POLICY": "an IPsec policy refuses them",
    "VXLAN_VNI_NOT_FOUND": "no tunnel of that node has their VNI",
    "NO_TX_TARGET": "no port or forwarding entry leads to their target",
    "BRIDGE_INGRESS_STP_STATE": "the bridge port does not forward",
    "SOCKET_RCVBUFF": "the receiver's buffer is full",
    "BPF_CGROUP_EGRESS": "a BPF program of a cgroup refuses them",
    "SOCKET_FILTER": "a filter of the socket refuses them",
}
UNANSWERED = frozenset({"NEIGH_FAILED", "NEIGH_QUEUEFULL"})
UNTRANSLATED = "nothing translated the Service's address: they left their node for {} itself, which is nowhere"
SOMEBODY_TAKES = "the kernel tells no drop: they were redirected, stolen, or handed to a program"
VANISHED = "they vanished without a word of the kernel"
XDP_SYMBOLS = frozenset({"do_xdp_generic", "veth_xdp_rcv_skb"})
Segment = Literal["on-sender", "between", "on-receiver"]
LEGS: tuple[Leg, ...] = ("request", "reply")
OF_THE_TUNNEL = frozenset({"NEIGH_FAILED", "NEIGH_QUEUEFULL", "OTHERHOST", "QDISC_DROP", "NO_TX_TARGET"})
"""At a tunnel's device these are the overlay's; packet filters and routing there are the node's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What became of one series."""

    flow: TraceFlow
    ends: Ends
    sent: int
    lost: int
    leg: Leg | Literal[""] = ""
    """The direction in which they were lost; "" where they were not."""
    node: str = ""
    """Where they were lost."""
    last_seen: str = ""
    first_not_seen: str = ""
    reason: str = ""
    culprit: str = ""
    hop: Hop | None = None
    drop: PacketDrop | None = None
    """The kernel's own word."""
    died_at: str = ""
    """The device and whose it is, by the kernel's word."""
    is_service_refusal: bool = False
    """kube-proxy's own rule took them: it refuses for a Service without endpoints, which is a consequence."""
    taken_at: tuple[str, str, str] | None = None
    """Of traffic control or a program alone: node's name or pod's uid, device, and side, where packets ended."""
    changed_by: tuple[str, FirewallChange] | None = None
    """The node, and the one rule there that had changed them, so that they died of it."""
    segment: Segment | None = None
    """On which part of the way between two nodes; None where it is not known, or both ends are on one."""

    @property
    def is_known(self) -> bool:
        """Whether the kernel named the place."""
        return self.drop is not None


@once_per_evidence
def fates(evidence: Evidence) -> tuple[Fate, ...]:
    """Of each series that was sent."""
    return tuple(_fates(evidence))


def _fates(evidence: Evidence) -> Iterator[Fate]:
    for flow in evidence.traced:
        trace = evidence.traces.get(flow.node)
        sent = next((one for one in trace.sent if one.flow == flow.number), None) if trace else None
        if sent and sent.sent:
            yield _fate(evidence, flow, ends_of(evidence, flow), sent)


def _fate(evidence: Evidence, flow: TraceFlow, ends: Ends, sent: Sent) -> Fate:
    lost = sent.sent - sent.outcomes.get("ok", 0)
    fate = Fate(flow=flow, ends=ends, sent=sent.sent, lost=lost)
    if not lost:
        return fate
    need = sent.sent - lost / 2
    requests = [one for one in seen_on_the_way(evidence, flow, ends, "request") if one.sighting.count > need]
    replies = [one for one in seen_on_the_way(evidence, flow, ends, "reply") if one.sighting.count > need]
    if "ECONNREFUSED" in sent.outcomes and replies and replies[-1].stage == SOURCE_POD:
        refused = _refused(evidence, fate, requests)
        return _changed(evidence, refused, _deadliest(evidence, flow, "request", lost))
    leg: Leg = "reply" if replies or _has_arrived(requests, ends) else "request"
    if found := _deadliest(evidence, flow, leg, lost):
        seen = [one for leg in LEGS for one in seen_on_the_way(evidence, flow, ends, leg)]
        return _changed(evidence, _killed(evidence, fate, found, seen), found)
    last = next(iter((*reversed(replies), *reversed(requests))), None)
    if last is None:
        return _never_sent(evidence, fate, sent)
    if (ways := _ways_on(evidence, flow, ends, last)) and len(ways) > 1 and sum(ways.values()) > need:
        return _spread(evidence, fate, last, len(ways))
    return _changed(evidence, _vanished(evidence, fate, sent, last))


def _changed(evidence: Evidence, fate: Fate, found: tuple[str, PacketDrop] | None = None) -> Fate:
    """The same; where a rule had changed the packets so that they died of it, by that rule."""
    if not fate.leg:
        return fate
    node, drop = found or (fate.node, None)
    death = Death(leg=fate.leg, node=node, drop=drop)
    changer = changer_of(evidence, fate.flow, fate.ends, death)
    if changer is None:
        return fate
    hop: Hop = "node" if changer.node else "pod"
    taken = f", by {fate.culprit}" if fate.culprit else ""
    reason = f"{changer.effect}; then: {fate.reason}{taken}"
    return replace(
        fate,
        reason=reason,
        culprit=changer.words,
        hop=hop,
        taken_at=None,
        is_service_refusal=False,
        changed_by=(changer.node, changer.rule) if changer.node and changer.rule else None,
    )


def _has_arrived(requests: Sequence[Seen], ends: Ends) -> bool:
    """Whether the target's own namespace saw them."""
    return bool(requests) and is_arrival(requests[-1], ends)


def _deadliest(evidence: Evidence, flow: TraceFlow, leg: Leg, lost: int) -> tuple[str, PacketDrop] | None:
    """(node, drop) that accounts for most of what was lost, on the leg that sightings point at, else on the other."""
    found = [
        (node, drop)
        for node, trace in sorted(evidence.traces.items())
        for drop in trace.drops
        if drop.flow == flow.number and drop.leg != "error" and drop.count * 2 >= min(lost, flow.count)
    ]
    if leg == "request":
        found = [one for one in found if one[1].leg == "request"]
    return max(found, key=lambda one: (one[1].leg == leg, one[1].netns != "", one[1].count), default=None)


def _killed(evidence: Evidence, fate: Fate, found: tuple[str, PacketDrop], seen: Sequence[Seen]) -> Fate:
    flow, ends = fate.flow, fate.ends
    node, drop = found
    before = [one for one in seen if one.sighting.leg == drop.leg]
    at = [one for one in before if (one.node, one.sighting.netns, one.sighting.dev) == (node, drop.netns, drop.dev)]
    last = next(iter((*reversed(at), *reversed(before))), None)
    source, target = drop.src, split_address(drop.dst)[0]
    stray = Stray(node=node, netns=drop.netns or "node", dev=drop.dev, source=source, target=target)
    diverted = None if drop.tunnel else diverted_to(evidence, flow, ends, stray, before)
    taken_at = diverted.side if diverted else _taken_at(node, drop)
    before_it = _before(evidence, before, found)
    culprit = diverted.words if diverted else culprit_of(evidence, flow, ends, found, before_it)
    died_at = where(evidence, node, drop.netns, drop.dev)
    unread = "" if culprit else unread_programs(evidence, node, drop)
    led_astray = f"they were led to {drop.dev}, where nothing leads them by route; " if diverted else ""
    if is_sent_on(flow, drop):
        led_astray = f"{_holder(evidence, source)} asks {target} in its turn, and that dies; "
    return replace(
        fate,
        leg=drop.leg,
        node=node,
        last_seen=place_words(evidence, last) if last else "",
        first_not_seen=next_place(evidence, ends, last, is_reply=drop.leg == "reply") if last else "",
        reason=f"{led_astray}{_why(drop)}: {_kernel_words(drop)} at {died_at}{unread}",
        culprit=culprit,
        hop=_hop_of_fault(evidence, found, before_it, "" if diverted else culprit)
        or _hop_of_drop(evidence, ends, node, drop),
        drop=drop,
        died_at=died_at,
        taken_at=taken_at,
        is_service_refusal=_is_kube_proxys(evidence, found),
        segment=_segment_of_node(ends, node, drop.leg),
    )


def _holder(evidence: Evidence, ip: str) -> str:
    pods = evidence.pods_by_ip.get(ip, ())
    return pods[0].name if pods else ip


def _is_kube_proxys(evidence: Evidence, found: tuple[str, PacketDrop]) -> bool:
    traced = traced_drops(evidence).get(found)
    return traced is not None and bool(traced.takings) and all(map(is_kube_proxys, traced.takings))


def _is_policys(evidence: Evidence, found: tuple[str, PacketDrop]) -> bool:
    """Whether only rules by which the CNI enforces policies took them."""
    traced, owners = traced_drops(evidence).get(found), owners_of(evidence.cni.name)
    return traced is not None and bool(traced.takings) and all(owners.enforce(one.chain) for one in traced.takings)


def _taken_at(node: str, drop: PacketDrop) -> tuple[str, str, str] | None:
    """Where traffic control or an XDP program gave them up."""
    side = (
        "ingress" if drop.symbol in XDP_SYMBOLS else {"TC_INGRESS": "ingress", "TC_EGRESS": "egress"}.get(drop.reason)
    )
    return (node if drop.netns in {"node", ""} else drop.netns, drop.dev, side) if side else None


def _before(evidence: Evidence, seen: Sequence[Seen], found: tuple[str, PacketDrop]) -> Seen | None:
    """Where they left last before they came to the place of the drop: a bridge that passed them on is left out."""
    node, drop = found
    left = [
        one
        for one in seen
        if one.sighting.is_out
        and one.sighting.tunnel == drop.tunnel
        and (one.node, one.sighting.netns) != (node, drop.netns)
    ]
    return next((one for one in reversed(left) if not _is_bridged_on(evidence, seen, one)), None)


def _is_bridged_on(evidence: Evidence, seen: Sequence[Seen], last: Seen) -> bool:
    """Whether they came in by another port of the same bridge, which so sent them on as they were."""
    report = evidence.reports.get(last.node)
    if report is None or last.sighting.netns != "node":
        return False
    masters = {link.name: link.master for link in report.root.links if link.bridge_port_state is not None}
    bridge = masters.get(last.sighting.dev)
    here = [one.sighting for one in seen if (one.node, one.sighting.netns) == (last.node, "node")]
    is_routed = any(one.is_out and one.dev == bridge for one in here)
    return (
        bridge is not None and not is_routed and any(not one.is_out and masters.get(one.dev) == bridge for one in here)
    )


def _why(drop: PacketDrop) -> str:
    if drop.reason == "NETFILTER_DROP":
        family = f"{drop.family} " if drop.family else ""
        return f"a packet filter took them (hook {family}{drop.hook})" if drop.hook else "a packet filter took them"
    if drop.reason == "NO_SOCKET":
        return "nobody takes that tunnel's packets" if drop.tunnel else "nobody listens there"
    if is_refused_by_routing(drop):
        return "routing refuses them (blackhole, unreachable or prohibit)"
    if drop.reason in UNANSWERED and is_ipv6(split_address(drop.dst)[0]):
        return "the next hop does not answer neighbour discovery"
    if drop.reason == "IP_INNOROUTES" and is_ipv6(split_address(drop.dst)[0]):
        return "there is no route for them, or one that says unreachable"
    return REASONS.get(drop.reason, "the kernel dropped them")


def _kernel_words(drop: PacketDrop) -> str:
    return f"{drop.count} dropped by the kernel, {drop.reason or 'no reason given'} in {drop.symbol or '?'}"


def _hop_of_fault(evidence: Evidence, found: tuple[str, PacketDrop], before: Seen | None, culprit: str) -> Hop | None:
    """Where the fault is, if it is not where the packets died: at who sent the frame, or at the other end of a veth."""
    if _is_policys(evidence, found):
        return "policy"
    drop = found[1]
    if not culprit or drop.tunnel:
        return None
    if drop.reason == "OTHERHOST" and culprit.startswith(FDB_ENTRY):
        return "node"
    if drop.reason == "OTHERHOST" and before is not None:
        report = evidence.reports.get(before.node)
        is_tunnel = report is not None and before.sighting.dev == tunnel_of(report.root)
        return "overlay" if is_tunnel else "node" if before.sighting.netns == "node" else "pod"
    if drop.symbol == "__dev_forward_skb2":
        return "pod" if drop.netns in {"node", ""} else "node"
    return None


def _hop_of_drop(evidence: Evidence, ends: Ends, node: str, drop: PacketDrop) -> Hop:
    if drop.netns not in {"node", ""}:
        return "application" if evidence.pod_by_uid.get(drop.netns) == ends.target else "pod"
    root = evidence.reports[node].root if node in evidence.reports else None
    is_at_tunnel = root is not None and drop.dev != "" and drop.dev == tunnel_of(root)
    if drop.tunnel or drop.symbol.startswith("vxlan_") or (is_at_tunnel and drop.reason in OF_THE_TUNNEL):
        return "overlay"
    return "node"


def _refused(evidence: Evidence, fate: Fate, seen: Sequence[Seen]) -> Fate:
    """Answered by RST: by the target, or in its name by somebody whom it never passed."""
    ends = fate.ends
    last = seen[-1] if seen else None
    by_target = _has_arrived(seen, ends)
    reason = "the target itself refuses (RST): nobody listens on that port"
    if not by_target:
        reason = "somebody on the way refuses in the target's name (RST), as reject rules do"
    return replace(
        fate,
        leg="request",
        node=last.node if last else ends.source_node,
        last_seen=place_words(evidence, last) if last else "",
        first_not_seen=next_place(evidence, ends, last, is_reply=False) if last and not by_target else "",
        reason=reason,
        culprit=who_refuses(evidence, fate.flow, last) if last and not by_target else "",
        hop="application" if by_target else _hop_of(evidence, ends, last, has_arrived=False) if last else None,
    )


def _never_sent(evidence: Evidence, fate: Fate, sent: Sent) -> Fate:
    """No sighting at all: the sender's own kernel took them, or nobody could look there."""
    ends = fate.ends
    found = never_sent(evidence, fate.flow, ends, sent)
    is_silent = not found.culprit and sent.outcomes.keys() <= {"timeout"}
    taker = taker_at_sender(evidence, fate.flow) if is_silent else None
    return replace(
        fate,
        leg="request",
        node=ends.source_node,
        first_not_seen=f"any device of {ends.source.name}",
        reason=SOMEBODY_TAKES if taker else found.reason,
        culprit=taker.words if taker else found.culprit,
        hop=found.hop,
        taken_at=taker.side if taker else None,
    )


def _ways_on(evidence: Evidence, flow: TraceFlow, ends: Ends, last: Seen) -> Mapping[str, int]:
    """By endpoint of a Service how many went on to it from the last place where all were seen."""
    ways: dict[str, int] = {}
    if last.sighting.leg == "reply":
        return ways
    for one in seen_on_the_way(evidence, flow, ends, "request"):
        target = split_address(one.sighting.dst)[0]
        if one.stage > last.stage or (one.node == last.node and one.sighting.is_out and one.sighting.netns == "node"):
            ways[target] = max(ways.get(target, 0), one.sighting.count)
    return {ip: count for ip, count in ways.items() if ip in flow.addresses and ip != flow.ip}


def _spread(evidence: Evidence, fate: Fate, last: Seen, number: int) -> Fate:
    """A part of them was lost on one of several ways: which, a series of another flow must tell."""
    return replace(
        fate,
        leg="request",
        node=last.node,
        last_seen=place_words(evidence, last),
        reason=f"they went on to {number} endpoints, and a part of them was lost behind that",
    )


def _vanished(evidence: Evidence, fate: Fate, sent: Sent, last: Seen) -> Fate:
    """Seen, and no drop event: what waits, what was refused, what was counted, or nothing known."""
    flow, ends = fate.flow, fate.ends
    if _is_untranslated(evidence, flow, last):
        return replace(
            fate,
            leg="request",
            node=last.node,
            last_seen=place_words(evidence, last),
            reason=UNTRANSLATED.format(flow.ip),
            hop="service",
            segment=_segment_of_node(ends, last.node, "request"),
        )
    is_reply = last.sighting.leg == "reply"
    has_arrived = not is_reply and _has_arrived([last], ends)
    taker = _astray(evidence, flow, ends, last)
    last = taker.after if taker and taker.after else last
    expected = "" if has_arrived else next_place(evidence, ends, last, is_reply=is_reply)
    silence = Silence(reason=SOMEBODY_TAKES) if taker else why_silent(evidence, flow, ends, sent, last)
    if not silence.reason and (taker := taker_of(evidence, flow, ends, last)):
        silence = Silence(reason=SOMEBODY_TAKES)
    return replace(
        fate,
        leg="reply" if is_reply or has_arrived else "request",
        node=last.node,
        last_seen=place_words(evidence, last),
        first_not_seen=expected,
        reason=silence.reason or ("they arrived, and nothing answered" if has_arrived else VANISHED),
        culprit=taker.words if taker else silence.culprit,
        taken_at=taker.side if taker else None,
        hop="node" if taker and taker.side else silence.hop or _hop_of(evidence, ends, last, has_arrived=has_arrived),
        segment=_segment_of(evidence, ends, last, "reply" if is_reply or has_arrived else "request"),
    )


def is_ipv6(ip: str) -> bool:
    """Of which family an address is."""
    return ":" in ip


def _is_untranslated(evidence: Evidence, flow: TraceFlow, last: Seen) -> bool:
    """Whether they left a node still for a ClusterIP: no machine has it, rules must turn it into an endpoint's."""
    one = last.sighting
    is_cluster_ip = any(
        flow.ip in {each.spec.cluster_ip, *each.spec.cluster_ips} for each in evidence.services.values()
    )
    has_left = one.leg == "request" and one.is_out and one.netns == "node" and not one.tunnel
    return has_left and is_cluster_ip and split_address(one.dst)[0] == flow.ip


def _astray(evidence: Evidence, flow: TraceFlow, ends: Ends, last: Seen) -> Taker | None:
    """What led packets to the device by which they left for nowhere."""
    one = last.sighting
    if not one.is_out or one.tunnel:
        return None
    source, target = split_address(one.src)[0], split_address(one.dst)[0]
    stray = Stray(node=last.node, netns=one.netns, dev=one.dev, source=source, target=target)
    return diverted_to(evidence, flow, ends, stray, seen_on_the_way(evidence, flow, ends, one.leg))


def _segment_of_node(ends: Ends, node: str, leg: Leg) -> Segment | None:
    """Of packets that died on a node."""
    if ends.is_local or not ends.target_node:
        return None
    sender, receiver = (ends.target_node, ends.source_node) if leg == "reply" else (ends.source_node, ends.target_node)
    if node == sender:
        return "on-sender"
    return "on-receiver" if node == receiver else None


def _segment_of(evidence: Evidence, ends: Ends, last: Seen, leg: Leg) -> Segment | None:
    """Of packets that vanished: between two nodes only if both listened, and nothing there takes them unheard."""
    here = _segment_of_node(ends, last.node, leg)
    one = last.sighting
    report = evidence.reports.get(last.node)
    if here != "on-sender" or not one.is_out or one.netns != "node" or report is None:
        return here
    if one.dev == tunnel_of(report.root):
        return here
    other = ends.source_node if leg == "reply" else ends.target_node
    there = evidence.reports.get(other)
    if not is_listened(evidence.traces.get(other)) or there is None or any(one.xdp_program for one in there.root.links):
        return None  # XDP programs take packets before anybody sees them
    return "between" if _leaves_for(report.root, one, there.root) else "on-sender"


def _leaves_for(here: NetnsState, one: Sighting, there: NetnsState) -> bool:
    """Whether what left by a device was meant for that node: its address on the wire, its MAC on the link."""
    wanted = split_address(one.dst)[0]
    held = {each.ip for each in there.addresses}
    if one.tunnel and wanted not in held:
        return False
    answer = Routing(here).answer(Packet(dst=wanted))
    next_hop = (answer.route.via or wanted) if answer and answer.route else wanted
    entry = next((each for each in here.neighbours if each.ip == next_hop and each.dev == one.dev and each.mac), None)
    if entry is None or next_hop not in held:
        return True
    return entry.mac in {link.mac for link in there.links}


def _hop_of(evidence: Evidence, ends: Ends, last: Seen, *, has_arrived: bool) -> Hop:
    if has_arrived:
        return "application"
    one = last.sighting
    root = evidence.reports[last.node].root if last.node in evidence.reports else None
    if last.stage == SOURCE_POD or (last.stage == TARGET_POD and one.leg == "reply"):
        return "gateway"
    if one.tunnel and not one.is_out:
        return "overlay"
    if one.is_out and one.netns == "node" and not ends.is_local:
        is_tunnel = root is not None and one.dev == tunnel_of(root)
        there = ends.source_node if one.leg == "reply" else ends.target_node
        if is_tunnel:
            return "overlay"
        sender = TARGET_NODE if one.leg == "reply" else SOURCE_NODE
        if last.stage == sender and is_listened(evidence.traces.get(there)):
            return "underlay"
    return "node"


def subjects_of(fate: Fate) -> frozenset[Subject]:
    """Whom it is about."""
    return frozenset(one for one in (fate.ends.source, fate.ends.target) if one)
