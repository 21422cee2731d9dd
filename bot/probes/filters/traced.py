"""Which rule took packets that were followed: the kernel names the hook, and each rule there is held against them.

The kernel's drop event carries the packet as the hook saw it, behind whatever NAT came before. So each rule is asked
about that very packet; rules that count and stood still meanwhile are out. What is left is one rule, or a few of which
one did it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from bot.agent.report import Firewall, NetnsState
from bot.agent.traced import NodeTrace, PacketDrop, RuleMove, Sighting, TraceFlow, split_address
from bot.domain import facts
from bot.domain.facts import Subject
from bot.probes.engine.evidence import Evidence
from bot.probes.engine.once import once_per_evidence
from bot.probes.filters.hooked import is_refused_by_tracking, programs_on_hook
from bot.probes.filters.matching import Packet
from bot.probes.filters.walking import Course, Filters, Mark, Taking
from bot.probes.shared import policy_routing
from bot.probes.shared.policy_routing import Routing

HOOK_FAMILIES: Mapping[str, frozenset[str]] = {
    "ingress": frozenset({"netdev", "inet"}),
    "egress": frozenset({"netdev"}),
}
ANY_FAMILY = frozenset({"ip", "ip6", "inet", "bridge"})
"""Of a stack without a function of nftables: iptables-legacy, or a kernel that tells of the drop after the chain."""
TCP_FIRST_BYTES = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedDrop:
    """A drop by a packet filter, and the rules that may have made it."""

    node: str
    place: Subject
    """The node, or the pod whose namespace it is."""
    flow: TraceFlow
    drop: PacketDrop
    takings: tuple[Taking, ...]
    """One: it was this one. Several: one of these. None: it was not seen among the rules that were read."""
    is_sure: bool
    """Whether one of these takes such packets by its words or its counter, and so leaves none for others."""
    is_contested: bool
    """Whether something that is no rule may have made it: a program on the hook, or connection tracking."""

    @property
    def is_of_no_rule(self) -> bool:
        """Whether none of the rules that were read made it, and something else may have."""
        return not self.takings and self.is_contested

    @property
    def rule(self) -> Taking | None:
        """The rule, where there is no doubt."""
        is_alone = len(self.takings) == 1 and (self.is_sure or not self.is_contested)
        return self.takings[0] if is_alone else None


@once_per_evidence
def traced_drops(evidence: Evidence) -> Mapping[tuple[str, PacketDrop], TracedDrop]:
    """By node and drop, each that a packet filter made of packets that were followed."""
    flows = {flow.number: flow for flow in evidence.traced}
    found: dict[tuple[str, PacketDrop], TracedDrop] = {}
    for node, trace in evidence.traces.items():
        for drop in trace.drops:
            state, flow = namespace_of(evidence, node, drop.netns), flows.get(drop.flow)
            if drop.reason != "NETFILTER_DROP" or flow is None:
                continue
            place = evidence.pod_by_uid.get(drop.netns) or facts.node(node)
            takings, is_sure = _takings(trace, state, flow, drop) if state else ((), False)
            found[node, drop] = TracedDrop(
                node=node,
                place=place,
                flow=flow,
                drop=drop,
                takings=takings,
                is_sure=is_sure,
                is_contested=bool(programs_on_hook(evidence, node, drop))
                or is_refused_by_tracking(evidence, node, drop),
            )
    return found


def namespace_of(evidence: Evidence, node: str, netns: str) -> NetnsState | None:
    """The state of a namespace that a trace names; None where it was not read."""
    if netns in {"node", ""}:
        report = evidence.reports.get(node)
        return report.root if report else None
    subject = evidence.pod_by_uid.get(netns)
    found = evidence.pod_reports.get(subject) if subject else None
    return found.state if found else None


def rules_that_steal(state: NetnsState, flow: TraceFlow, seen: Sighting) -> Iterator[Taking]:
    """Rules at the hooks behind a sighting that hand packets to somebody else: to another device, or to a program."""
    yield from (one for one, _ in _behind(state, flow, _at(seen)) if one.kind in {"steal", "queue"})


def rules_that_queue(state: NetnsState, flow: TraceFlow, drop: PacketDrop) -> Iterator[Taking]:
    """Rules that hand packets to a program, where they died because there is none."""
    yield from (one for one, _ in _behind(state, flow, drop) if one.kind == "queue")


def rules_that_refuse(state: NetnsState, flow: TraceFlow, seen: Sighting) -> Iterator[Taking]:
    """Rules at the hooks behind a sighting that answer a packet by a refusal, up to the first that surely does."""
    for one, is_sure in _behind(state, flow, _at(seen)):
        if one.is_reject:
            yield one
        if is_sure and not one.is_rewriting:
            return


def _at(seen: Sighting) -> PacketDrop:
    """Packets that were seen, as if they had died there."""
    return PacketDrop(
        flow=seen.flow,
        netns=seen.netns,
        dev=seen.dev,
        leg=seen.leg,
        tunnel=seen.tunnel,
        count=seen.count,
        src=split_address(seen.src)[0],
        dst=seen.dst,
    )


def _behind(state: NetnsState, flow: TraceFlow, place: PacketDrop) -> Iterator[tuple[Taking, bool | None]]:
    """Each rule at the hooks behind a device that may take such a packet, and whether it surely does."""
    firewall = state.firewall
    if firewall is None or firewall.steps is None:
        return
    filters = Filters(firewall, lambda _table, _chain: True)
    for hook in ("ingress", "prerouting", "forward", "input"):
        packet, course = packet_at(state, flow, replace(place, hook=hook, family="")), Course(Mark(known=0))
        filters.pass_hook(hook, HOOK_FAMILIES.get(hook, ANY_FAMILY), lambda _, one=packet: one, place.dev, course)
        yield from course.taken.items()


def _takings(trace: NodeTrace, state: NetnsState, flow: TraceFlow, drop: PacketDrop) -> tuple[tuple[Taking, ...], bool]:
    """In the kernel's order up to the first that surely takes the packet; of those, any whose counter moved by it."""
    found = _possible(trace, state, flow, drop, "")
    # Off connection tracking, answers are nobody's.
    return found if found[0] else _possible(trace, state, flow, drop, "untracked")


def rules_that_take(
    trace: NodeTrace, state: NetnsState, flow: TraceFlow, drop: PacketDrop, *, ctstate: str = ""
) -> tuple[Taking, ...]:
    """Of the rules at the hook of a drop those that may have made it. `ctstate`: another than such packets have."""
    return _possible(trace, state, flow, drop, ctstate)[0]


def _possible(
    trace: NodeTrace, state: NetnsState, flow: TraceFlow, drop: PacketDrop, ctstate: str
) -> tuple[tuple[Taking, ...], bool]:
    """The same, and whether one of them surely did."""
    firewall = state.firewall
    if firewall is None or firewall.steps is None or not drop.hook:
        return (), False
    families = frozenset({drop.family}) if drop.family else HOOK_FAMILIES.get(drop.hook, ANY_FAMILY)
    # What hooks before this one did to the mark is not known.
    course = Course(Mark(known=0))
    packet = packet_at(state, flow, drop)
    if ctstate:
        packet = {**packet, "ctstate": frozenset({ctstate})}
    Filters(firewall, lambda _table, _chain: True).pass_hook(drop.hook, families, lambda _: packet, drop.dev, course)
    moved = trace.rules if drop.netns in {"node", ""} else None
    possible: list[Taking] = []
    is_sure = False
    for taking, takes_surely in course.taken.items():
        if not taking.is_rewriting and not _stood_still(firewall, taking, moved):
            possible.append(taking)
            is_sure = takes_surely is True
            if is_sure:
                break
    counted = [one for one in possible if any(_is_of(move, one) and move.packets >= drop.count for move in moved or ())]
    if len(counted) == 1:
        return tuple(counted), True
    return tuple(possible), is_sure


def _stood_still(firewall: Firewall, taking: Taking, moved: tuple[RuleMove, ...] | None) -> bool:
    """Whether the rule counts, and took nothing while packets were followed."""
    return moved is not None and _counts(firewall, taking) and not any(_is_of(move, taking) for move in moved)


def _counts(firewall: Firewall, taking: Taking) -> bool:
    step = taking.step
    if step is None:
        return taking.hook.packets is not None
    return any(
        (rule.family, rule.table, rule.chain, rule.text) == (step.family, step.table, step.chain, step.text)
        and rule.packets is not None
        for rule in firewall.drops
    )


def _is_of(move: RuleMove, taking: Taking) -> bool:
    text = taking.step.text if taking.step else ""
    return (move.family, move.table, move.chain, move.text) == (
        taking.hook.family,
        taking.table,
        taking.chain,
        text,
    )


def packet_at(state: NetnsState, flow: TraceFlow, drop: PacketDrop) -> Packet:
    """The packet as the hook had it; a field that the event does not tell is unknown."""
    nothing = frozenset[str]()
    target, port = split_address(drop.dst)
    is_reply = drop.leg == "reply"
    protocol = "ipencap" if drop.tunnel == "ipip" else "udp" if drop.tunnel else flow.protocol
    is_tcp, has_ports = protocol == "tcp", protocol in {"tcp", "udp"}
    own_ports = frozenset(str(flow.first_port + at) for at in range(flow.count))
    source_ports, target_ports = (None, own_ports) if is_reply else (own_ports, frozenset({port}) if port else None)
    if drop.tunnel:
        source_ports, target_ports = None, frozenset({port}) if port else None
    came, leaves = _devices(state, drop, target)
    icmp_type = "echo-reply" if is_reply else "echo-request"
    return {
        "ethertype": frozenset({"ip6" if ":" in target else "ip"}),
        "saddr": frozenset({drop.src}) if drop.src else None,
        "daddr": frozenset({target}) if target else None,
        "proto": frozenset({"icmpv6" if protocol == "icmp" and ":" in target else protocol}),
        "sport": source_ports if has_ports else nothing,
        "dport": target_ports if has_ports else nothing,
        "icmptype": frozenset({icmp_type}) if protocol == "icmp" else nothing,
        "tcpflags": frozenset({"syn,ack" if is_reply else "syn"}) if is_tcp else nothing,
        "ctstate": frozenset({"established" if is_reply and not drop.tunnel else "new"}),
        "ctdirection": frozenset({"reply" if is_reply and not drop.tunnel else "original"}),
        "length": None if drop.tunnel or is_reply else frozenset({str(flow.length or TCP_FIRST_BYTES)}),
        "daddrtype": frozenset({"local"}) if drop.hook == "input" else None,
        "iif": came,
        "oif": leaves,
        "arpop": nothing,
    }


def _devices(state: NetnsState, drop: PacketDrop, target: str) -> tuple[frozenset[str] | None, frozenset[str] | None]:
    """By which device the packet came, and by which it leaves; empty where there is none yet or was none."""
    own, none = (frozenset({drop.dev}) if drop.dev else None), frozenset({""})
    match drop.hook:
        case "ingress" | "prerouting" | "input":
            return own, none
        case "forward" if drop.family != "bridge":
            answer = Routing(state).answer(policy_routing.Packet(dst=target, src=drop.src, iif=(drop.dev,)))
            dev = answer.route.dev if answer and answer.route else ""
            return own, frozenset({dev}) if dev else None
        case "output":
            return none, own
        case "egress" | "postrouting":
            return None, own
        case _:
            return None, None
