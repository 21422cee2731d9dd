"""Rules that change packets so that these die of it further on: named where their effect was seen.

Sightings show an address or the hops left before and behind; the way that packets took shows a mark. Of the rules in
between, the one is named that does just this to just these packets, and whose counter did not stand still. A rule that
changes packets which die of something else is not.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise

from bot.agent.report import FirewallChange, NetnsState
from bot.agent.traced import Leg, NodeTrace, PacketDrop, RuleMove, TraceFlow, split_address
from bot.domain.facts import SubjectKind
from bot.probes.engine.evidence import Evidence
from bot.probes.engine.once import once_per_evidence
from bot.probes.filters.matching import all_of, holds
from bot.probes.filters.naming import change_in_words
from bot.probes.filters.traced import namespace_of, packet_at, rules_that_take, traced_drops
from bot.probes.packet_trace.culprits import is_refused_by_routing, one_of
from bot.probes.packet_trace.way import Ends, owner_of, seen_on_the_way
from bot.probes.shared.policy_routing import Answer, Packet, Routing, in_words
from bot.probes.shared.sentences import plural

FEW_HOPS = 5
"""So many are left only where somebody took the rest, or in a loop."""
OF_THE_SOURCE = frozenset({"IP_RPFILTER", "IP_LOCAL_SOURCE"})
OF_ROUTING = frozenset({"IP_INNOROUTES", "IP_INADDRERRORS", "NEIGH_FAILED", "NEIGH_QUEUEFULL"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Changer:
    """What changed the packets."""

    words: str
    """The rule as it is written, or the candidates."""
    effect: str
    """What it did to them, in a clause."""
    rule: FirewallChange | None
    """The rule itself, where there is one candidate."""
    node: str
    """In whose own namespace it stands; "" in a pod's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rules:
    """Candidates."""

    words: str = ""
    only: FirewallChange | None = None

    def __bool__(self) -> bool:
        return bool(self.words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """How a series ended: by the kernel's drop, else where it was seen last."""

    leg: Leg
    node: str
    drop: PacketDrop | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Point:
    """The packets at one side of one device, or where they were dropped; not what is inside a tunnel."""

    node: str
    netns: str
    dev: str
    is_out: bool
    src: str
    dst: str
    port: str
    hops_left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    evidence: Evidence
    flow: TraceFlow
    ends: Ends
    death: Death
    points: Sequence[_Point]
    """Of the leg on which they died, in order."""
    requests: Sequence[_Point]

    @property
    def start(self) -> _Point:
        """The packets as they were sent."""
        flow, own = self.flow, self.flow.addresses[0]
        return _Point(
            node=flow.node,
            netns=flow.source,
            dev="",
            is_out=True,
            src=own,
            dst=flow.ip,
            port=str(flow.port or ""),
            hops_left=0,
        )


def changer_of(evidence: Evidence, flow: TraceFlow, ends: Ends, death: Death) -> Changer | None:
    """None where nothing seen of the packets is a rule's doing, or it is not known which addresses they left with."""
    if not flow.addresses:
        return None
    requests = _points(evidence, flow, ends, "request", death)
    points = requests if death.leg == "request" else _points(evidence, flow, ends, death.leg, death)
    way = _Way(evidence=evidence, flow=flow, ends=ends, death=death, points=points, requests=requests)
    found = (
        one(way) for one in (_translated, _redirected, _aged, _marked, _untracked, _untracked_reply, _zoned, _renamed)
    )
    return next((one for one in found if one), None)


def _points(evidence: Evidence, flow: TraceFlow, ends: Ends, leg: Leg, death: Death) -> list[_Point]:
    points = [
        _Point(
            node=seen.node,
            netns=one.netns,
            dev=one.dev,
            is_out=one.is_out,
            src=split_address(one.src)[0],
            dst=split_address(one.dst)[0],
            port=split_address(one.dst)[1],
            hops_left=one.hops_left,
        )
        for seen in seen_on_the_way(evidence, flow, ends, leg)
        if not (one := seen.sighting).tunnel
    ]
    drop = death.drop
    if drop and drop.leg == leg and not drop.tunnel:
        dst, port = split_address(drop.dst)
        place = drop.netns or "node"
        points.append(
            _Point(
                node=death.node,
                netns=place,
                dev=drop.dev,
                is_out=False,
                src=drop.src,
                dst=dst,
                port=port,
                hops_left=0,
            )
        )
    return points


# What changes the packets


def _translated(way: _Way) -> Changer | None:
    """Another destination than one that the flow has."""
    for before, point in pairwise([way.start, *way.requests]):
        if point.dst and not _is_meant(way.evidence, way.flow, point):
            state = namespace_of(way.evidence, point.node, point.netns)
            own = {one.ip for one in state.addresses} if state else set[str]()
            rules = _rules(
                way,
                point,
                before,
                "request",
                lambda one, to=point, here=own: _leads_to(one, to, here),
            )
            to = f"{point.dst}:{point.port}" if point.port else point.dst
            return _changer(way, point, rules, f"their destination was changed to {to} on {{}}")
    return None


def _redirected(way: _Way) -> Changer | None:
    """Sent to the machine itself by a device that has no address for it: the kernel gives such packets up."""
    drop = way.death.drop
    if drop is None or drop.leg != "request" or drop.reason != "NETFILTER_DROP" or drop.tunnel:
        return None
    traced = traced_drops(way.evidence).get((way.death.node, drop))
    if drop.hook not in {"prerouting", "output"} or traced is None or traced.takings or len(way.requests) < 2:
        return None
    before = way.requests[-2]
    rules = _rules(way, before, before, "request", lambda one: one.kind == "redirect")
    return _changer(way, before, rules, f"they were redirected to {{}} itself, and {drop.dev} has no address there")


def _aged(way: _Way) -> Changer | None:
    """Their time to live ran out, and they had enough of it before."""
    drop = way.death.drop
    if drop is None or drop.reason != "IP_INHDR":
        return None
    seen = [one for one in way.points if one.hops_left]
    fresh = [one for one in seen if one.hops_left > FEW_HOPS]
    place = fresh[-1] if fresh else way.start
    rules = _rules(way, place, place, way.death.leg, _leaves_few_hops)
    return _changer(way, place, rules, "their time to live (hop limit) was lowered on {}")


def _marked(way: _Way) -> Changer | None:
    """They took the way that routing has for packets with a mark, and not that of the others."""
    came = [one for one in way.points if not one.is_out and one.hops_left]
    last = came[-1] if came else way.start
    state = namespace_of(way.evidence, last.node, last.netns)
    if state is None or state.firewall is None:
        return None
    packet = Packet(dst=last.dst, src=last.src, iif=(last.dev,) if last.dev else ())
    routing = Routing(state)
    plain = routing.answer(packet)
    for change in state.firewall.changes:
        mark = _mark_of(change)
        marked = routing.answer(Packet(dst=packet.dst, src=packet.src, iif=packet.iif, mark=mark)) if mark else None
        if marked is None or (plain and plain.way == marked.way) or not _took(way, last, state, marked):
            continue
        rules = _rules(way, last, last, way.death.leg, lambda one, it=change: one == it)
        if rules:
            effect = "they were marked, and led by another routing table, on {}"
            return _changer(way, last, rules, effect, leads=f"; by that mark ip rule {in_words(marked)}")
    return None


def _untracked(way: _Way) -> Changer | None:
    """Connection tracking left them out, so a Service's address was not translated."""
    left = [one for one in way.requests if one.netns == "node" and one.is_out]
    if way.death.leg != "request" or not left or left[-1].dst != way.flow.ip or not _is_service(way.evidence, way.flow):
        return None
    before = next((one for one in way.requests if one.netns == "node" and not one.is_out), way.start)
    rules = _rules(way, before, before, "request", lambda one: one.kind == "untracked")
    return _changer(way, before, rules, "connection tracking leaves them out on {}, so nothing translates them")


def _untracked_reply(way: _Way) -> Changer | None:
    """Connection tracking leaves the answers out: their address is not changed back, or they count as nobody's."""
    if (found := _unknown_reply(way, "untracked")) is None:
        return None
    place, so = found
    rules = _rules(way, place, place, "reply", lambda one: one.kind == "untracked")
    return _changer(way, place, rules, f"connection tracking leaves the answers out on {{}}, {so}")


def _zoned(way: _Way) -> Changer | None:
    """Packets and their answers are tracked in different zones, so the answers belong to no connection."""
    if (found := _unknown_reply(way, "invalid")) is None:
        return None
    reply, so = found
    state = namespace_of(way.evidence, reply.node, reply.netns)
    if state is None:
        return None
    came = (one for one in way.requests if (one.node, one.netns, one.is_out) == (reply.node, reply.netns, False))
    request = next(came, way.start)

    def parts(change: FirewallChange) -> bool:
        """Whether it takes the ones and surely not the others. What is for packets alone keeps nobody from finding."""
        takes = [_meets(way, state, change, request, "request"), _meets(way, state, change, reply, "reply")]
        return change.kind == "zone" and not change.to.endswith("/original") and takes.count(False) == 1

    rules = _rules(way, request, request, "request", parts) or _rules(way, reply, reply, "reply", parts)
    effect = f"connection tracking looks for the answers on {{}} in another zone than their packets are in, {so}"
    return _changer(way, reply, rules, effect)


def _unknown_reply(way: _Way, ctstate: str) -> tuple[_Point, str] | None:
    """Where answers came in last whose connection nobody knows there, and what comes of it."""
    drop = way.death.drop
    if drop is None or drop.leg != "reply" or drop.tunnel:
        return None
    came = [one for one in way.points if one.netns == "node" and not one.is_out and one.hops_left]
    if not came:
        return None
    if drop.reason == "NETFILTER_DROP":
        place = next((one for one in reversed(came) if one.node == way.death.node), None)
        if place is None or drop.netns not in {"node", ""} or not _is_taken_as(way, drop, ctstate):
            return None
        return place, "so a packet filter knows no connection of theirs"
    if drop.reason == "NO_SOCKET" and drop.netns == way.flow.source and drop.src != way.flow.ip:
        return came[-1], "so their address is not changed back"
    return None


def _renamed(way: _Way) -> Changer | None:
    """They went on under an address to which no answer finds back."""
    drop = way.death.drop
    own = {*way.flow.addresses[:1], *_own_addresses(way.evidence, way.ends)}
    for before, point in pairwise([way.start, *way.requests]):
        if not point.src or point.src in own:
            continue
        state = namespace_of(way.evidence, point.node, point.netns)
        if state is None or not _dies_of_source(way.death, drop, point.src, {one.ip for one in state.addresses}):
            return None
        rules = _rules(way, point, before, "request", lambda one, to=point: _leads_from(one, to.src))
        return _changer(way, point, rules, f"their source was changed to {point.src} on {{}}, where no answer leads to")
    return None


def _dies_of_source(death: Death, drop: PacketDrop | None, source: str, held: set[str]) -> bool:
    if drop is not None and drop.leg == "request":
        return source not in held and drop.reason in OF_THE_SOURCE
    if death.leg != "reply" or (drop is not None and drop.reason == "NETFILTER_DROP"):
        return False
    is_lost_by_routing = drop is not None and (drop.reason in OF_ROUTING or is_refused_by_routing(drop))
    return source not in held or (drop is not None and split_address(drop.dst)[0] == source and is_lost_by_routing)


# Which rules do it


def _rules(way: _Way, place: _Point, before: _Point, leg: Leg, does: Callable[[FirewallChange], bool]) -> _Rules:
    """Those of a place that do it to packets as they were before."""
    state = namespace_of(way.evidence, place.node, place.netns)
    if state is None or state.firewall is None:
        return _Rules()
    trace = way.evidence.traces.get(place.node) if place.netns == "node" else None
    found: dict[str, tuple[FirewallChange, bool]] = {}
    for change in state.firewall.changes:
        if does(change) and (met := _meets(way, state, change, before, leg)) is not False:
            move = _move_of(trace, change)
            if change.packets is None or trace is None or trace.changes is None or move:
                counted = f", {plural(move.packets, 'packet')} meanwhile" if move else ""
                found[f"{change_in_words(change)}{counted}"] = (change, met is True or move is not None)
    likely = [words for words, (_, is_sure) in found.items() if is_sure] or list(found)
    return _Rules(words=one_of(likely), only=found[likely[0]][0] if len(likely) == 1 else None)


def _meets(way: _Way, state: NetnsState, change: FirewallChange, before: _Point, leg: Leg) -> bool | None:
    """Whether the packets meet its conditions; a hook that they do not pass there is none of theirs."""
    is_local = before == way.start and before.dev == ""
    if change.hook == ("prerouting" if is_local else "output"):
        return False
    if change.devices and before.dev and before.dev not in change.devices:
        return False
    families = {"ip6" if ":" in before.dst else "ip", "inet", "netdev", "bridge"}
    if change.family not in families:
        return False
    drop = PacketDrop(
        flow=way.flow.number,
        netns=before.netns,
        dev=before.dev,
        hook=change.hook,
        leg=leg,
        count=way.flow.count,
        src=before.src,
        dst=f"[{before.dst}]:{before.port}" if ":" in before.dst else f"{before.dst}:{before.port}",
    )
    packet = packet_at(state, way.flow, drop)
    if change.hook == "postrouting":
        packet = {**packet, "oif": None, "daddr": None, "dport": None}  # translated by then, perhaps
    return all_of(holds(match, packet) for match in change.matches)


def _move_of(trace: NodeTrace | None, change: FirewallChange) -> RuleMove | None:
    """How much it counted while packets were followed."""
    wanted = (change.family, change.table, change.chain, change.text)
    moves = (trace.changes if trace else None) or ()
    return next((one for one in moves if (one.family, one.table, one.chain, one.text) == wanted), None)


def _leads_to(change: FirewallChange, to: _Point, own: set[str]) -> bool:
    ip, _, port = change.to.rpartition(":")
    if change.kind == "redirect":
        return (to.dst in own or to.dst.startswith("127.")) and port in {"", to.port}
    return change.kind == "destination" and change.to != ":" and _is_in(to.dst, ip) and _is_in(to.port, port)


def _leads_from(change: FirewallChange, source: str) -> bool:
    ip, _, _ = change.to.rpartition(":")
    return change.kind == "source" and ip != "" and _is_in(source, ip)


def _is_in(value: str, wanted: str) -> bool:
    """Whether it is the value, one of a range, or any ("")."""
    low, dash, high = wanted.partition("-")
    return value == wanted or not wanted or (bool(dash) and _order(low) <= _order(value) <= _order(high))


def _order(value: str) -> tuple[int, ...]:
    return tuple(int(part) for part in value.split(".") if part.isdecimal())


def _leaves_few_hops(change: FirewallChange) -> bool:
    number = change.to.lstrip("-")
    return change.kind == "hops" and number.isdecimal() and (change.to.startswith("-") or int(number) <= FEW_HOPS)


def _mark_of(change: FirewallChange) -> int:
    """The mark that it gives to a packet without one; 0 for none and for one that is not known."""
    keep, slash, flip = change.to.partition("/")
    return int(flip, 16) & 0xFFFFFFFF if change.kind == "mark" and keep and slash else 0


# What was seen


def _took(way: _Way, last: _Point, state: NetnsState, by: Answer) -> bool:
    """Whether packets took this way from the last device by which they came in."""
    refusal, via, dev = by.way
    drop = way.death.drop
    if by.route and by.route.type == "local":  # as a proxy's that is gone: they are delivered here, to nobody
        is_here = drop is not None and (way.death.node, drop.netns or "node") == (last.node, last.netns)
        return is_here and drop is not None and drop.reason == "NO_SOCKET" and not drop.tunnel
    if refusal:
        return drop is not None and is_refused_by_routing(drop)
    left = [one for one in way.points if (one.node, one.netns) == (last.node, last.netns) and one.is_out]
    if left or (drop is not None and drop.reason in OF_ROUTING and drop.dev != last.dev):
        return dev in {*(one.dev for one in left[-1:]), drop.dev if drop else ""}
    waiting = way.evidence.traces[last.node].unresolved if last.node in way.evidence.traces else ()
    names = {link.name for link in state.links}
    return dev in names and any(
        one.dev == dev and one.netns == last.netns and one.ip in {via, last.dst} for one in waiting
    )


def _is_taken_as(way: _Way, drop: PacketDrop, ctstate: str) -> bool:
    """Whether packet filters take these answers only because nobody knows their connection."""
    state = namespace_of(way.evidence, way.death.node, drop.netns)
    trace = way.evidence.traces.get(way.death.node)
    if state is None or trace is None:
        return False
    known = [*rules_that_take(trace, state, way.flow, drop, ctstate="established")]
    return not known and any(rules_that_take(trace, state, way.flow, drop, ctstate=ctstate))


def _is_meant(evidence: Evidence, flow: TraceFlow, point: _Point) -> bool:
    """Whether packets of the flow may go there: to what was dialled, or to what stands behind it."""
    if point.dst == flow.ip:
        return not (flow.port and point.port) or point.port == str(flow.port)
    if not _is_service(evidence, flow):
        return False
    is_pod_of_node = flow.ip in evidence.node_by_ip and bool(evidence.pods_by_ip.get(point.dst))
    return point.dst in flow.addresses or point.dst in _endpoints(evidence) or is_pod_of_node


def _is_service(evidence: Evidence, flow: TraceFlow) -> bool:
    """Whether somebody else may stand behind what was dialled."""
    return not evidence.pods_by_ip.get(flow.ip)


@once_per_evidence
def _endpoints(evidence: Evidence) -> frozenset[str]:
    slices = chain.from_iterable(evidence.slices.values())
    return frozenset(ip for one in slices for endpoint in one.endpoints for ip in endpoint.addresses)


def _own_addresses(evidence: Evidence, ends: Ends) -> Iterator[str]:
    if ends.source.kind is SubjectKind.NODE:
        report = evidence.reports.get(ends.source_node)
        yield from (one.ip for one in report.root.addresses) if report else ()
    elif pod := evidence.pods.get(ends.source):
        yield from (pod.status.pod_ip, *(one.ip for one in pod.status.pod_ips))


def _changer(way: _Way, place: _Point, rules: _Rules, effect: str, *, leads: str = "") -> Changer | None:
    if not rules:
        return None
    owner = owner_of(way.evidence, place.node, place.netns)
    node = place.node if place.netns == "node" else ""
    return Changer(words=f"{rules.words}{leads}", effect=effect.format(owner), rule=rules.only, node=node)
