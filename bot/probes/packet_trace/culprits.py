"""What object took the packets: named as it is written on the node, or not at all.

The kernel says the reason, the hook and the device; the configuration says what stands there. Several that could have
done it are all named as candidates: one of them is no more guilty than another. Where a packet died one hop behind the
mistake (a wrong MAC address, UDP port or network identifier) it is the sender's configuration that is asked.
"""

from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass

from bot.agent.report import CgroupProgram, FdbEntry, Filter, Link, Neighbour, NetnsState, Route
from bot.agent.traced import PacketDrop, TraceFlow, split_address
from bot.domain.facts import SubjectKind
from bot.probes.engine.evidence import Evidence
from bot.probes.filters.naming import rule_in_words
from bot.probes.filters.traced import namespace_of, rules_that_queue, traced_drops
from bot.probes.packet_trace.hooked import programs_at, tracking_table
from bot.probes.packet_trace.sockets import full_buffer
from bot.probes.packet_trace.way import TUNNEL_KINDS, Ends, Seen, tunnel_of, where
from bot.probes.shared.pod_views import conf, strictest, sysctl
from bot.probes.shared.policy_routing import Answer, Packet, Routing, is_within
from bot.probes.shared.programs import author_of_program, program_author
from bot.probes.shared.routing import MAIN, family_of

MAX_CANDIDATES = 3
FDB_ENTRY = "FDB entry"
"""How a culprit begins that is an entry of a bridge or a tunnel."""
MOST_HOPS_INSIDE = 4
"""More hops than this no way inside a cluster takes away."""
IPV6_REFUSALS = frozenset({"ip6_pkt_prohibit", "ip6_pkt_prohibit_out", "dst_discard", "dst_discard_out"})
"""What gives up IPv6 packets by a route of type prohibit or blackhole; those of an unreachable one have no route."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """One drop with what is known of its place, and of the place before it."""

    evidence: Evidence
    flow: TraceFlow
    ends: Ends
    node: str
    drop: PacketDrop
    state: NetnsState
    """Of the namespace where it happened."""
    before: Seen | None
    """Where the packets were seen to leave last, on their way to this place."""

    @property
    def target(self) -> str:
        """The address that the packets go to; of those in a tunnel the tunnel's."""
        return split_address(self.drop.dst)[0]

    @property
    def inner_target(self) -> str:
        """The address that the packets in the tunnel go to."""
        if not self.drop.tunnel:
            return self.target
        seen = self.before.sighting if self.before else None
        return split_address(seen.dst)[0] if seen and not seen.tunnel else self.flow.ip

    @property
    def place(self) -> str:
        """Whose namespace it is."""
        return where(self.evidence, self.node, self.drop.netns, "")

    @property
    def knows_routing(self) -> bool:
        """Whether the routing rules here of the packets' family were read."""
        return Routing(self.state).has_rules_of(family_of(self.target))

    def link(self, name: str = "") -> Link | None:
        """A device of this place: that of the drop, or another."""
        return _link(self.state, name or self.drop.dev)

    def answer(self, dst: str, src: str = "", iif: str = "") -> Answer | None:
        """What routing here does with a packet."""
        return Routing(self.state).answer(Packet(dst=dst, src=src, iif=(iif,) if iif else ()))


def culprit_of(
    evidence: Evidence, flow: TraceFlow, ends: Ends, found: tuple[str, PacketDrop], before: Seen | None
) -> str:
    """The object, "" where it is not known."""
    node, drop = found
    state = namespace_of(evidence, node, drop.netns)
    if state is None:
        return ""
    death = Death(evidence=evidence, flow=flow, ends=ends, node=node, drop=drop, state=state, before=before)
    if is_refused_by_routing(drop):
        return _refusing_route(death)
    by_symbol = _BY_SYMBOL.get(drop.symbol)
    return (by_symbol(death) if by_symbol else "") or _BY_REASON.get(drop.reason, _nothing)(death)


def is_refused_by_routing(drop: PacketDrop) -> bool:
    """Whether a route (or a routing rule) of a refusing type took them, by the kernel's word."""
    if ":" in split_address(drop.dst)[0]:
        return drop.symbol in IPV6_REFUSALS
    return drop.symbol == "ip_error" and drop.reason in {"NOT_SPECIFIED", ""}


def _nothing(_death: Death) -> str:
    return ""


def one_of(candidates: list[str]) -> str:
    """The candidate, or all of them; "" where they are too many to help."""
    found = list(dict.fromkeys(candidates))
    if len(found) > MAX_CANDIDATES:
        return ""
    return f"one of: {'; '.join(found)}" if len(found) > 1 else next(iter(found), "")


# Packet filters, queues, programs


def programs_that_refuse(evidence: Evidence, node: str, places: frozenset[str]) -> str:
    """Programs on the root cgroup of a node that decide about its processes' sockets at these places."""
    report = evidence.reports.get(node)
    found = [one for one in (report.cgroup_programs if report else None) or () if one.cgroup == "/"]
    return one_of([_cgroup_program(one, node) for one in found if one.place in places])


def _cgroup_program(one: CgroupProgram, node: str) -> str:
    who = author_of_program(one.name)
    name = f"BPF program {one.name or '(name not known)'} id {one.number}"
    return f"{name} on cgroup {one.cgroup} of {node}, {one.place} ({f'of {who}' if who else 'of unknown origin'})"


def _on_cgroup(place: str) -> Callable[[Death], str]:
    return lambda death: programs_that_refuse(death.evidence, death.node, frozenset({place}))


def _packet_filter(death: Death) -> str:
    traced = traced_drops(death.evidence)[death.node, death.drop]
    rules = [rule_in_words(one) for one in traced.takings]
    if traced.is_sure:
        return one_of(rules)
    table = tracking_table(death.evidence, death.node, death.drop)
    if table:
        return one_of([*rules, table])
    moved = [] if rules else _moved_rules(death)
    return one_of(moved or [*rules, *programs_at(death.evidence, death.node, death.drop, death.state)])


def _moved_rules(death: Death) -> list[str]:
    """Rules that are not understood, and whose counters moved by just as many."""
    if death.drop.netns not in {"node", ""}:
        return []
    families = {death.drop.family} if death.drop.family else {"ip", "inet"}
    rules = death.evidence.traces[death.node].rules or ()
    moved = [one for one in rules if one.family in families and one.packets == death.drop.count]
    return [f"{one.family}/{one.table}/{one.chain}: {one.text or 'policy drop'}" for one in moved]


def _queue(death: Death) -> str:
    dev = death.drop.dev
    if (link := death.link()) and not (link.is_up and link.has_carrier):
        return f"{dev} of {death.place}, which is {'without carrier' if link.is_up else 'down'}"
    written = [one for one in death.state.qdiscs or () if one.dev == dev and one.is_written and one.kind != "clsact"]
    return one_of([f"tc qdisc {one.text} on {dev} of {death.place}" for one in written])


def _filter_of(direction: str) -> Callable[[Death], str]:
    def found(death: Death) -> str:
        dev = death.drop.dev
        here = [
            one
            for one in death.state.filters or ()
            if one.dev == dev and one.direction in {direction, "queue"} and one.effect
        ]
        return one_of([filter_in_words(one, death.place) for one in here])

    return found


def filter_in_words(one: Filter, place: str) -> str:
    """As in "tc filter u32 match ip dport 80 action drop on cali1 of node-1, ingress"."""
    who = program_author(one)
    what = one.text if one.kind in {"xdp", "tcx", "netkit"} else f"tc filter {one.text}"
    return f"{what} on {one.dev} of {place}, {one.direction}{f' ({who})' if who else ''}"


def _xdp(death: Death) -> str:
    here = [one for one in death.state.filters or () if one.dev == death.drop.dev and one.kind == "xdp"]
    if here:
        return one_of([filter_in_words(one, death.place) for one in here])
    link = death.link()
    if link is None or link.xdp_program is None:
        return ""
    return f"xdp program id {link.xdp_program} on {link.name} of {death.place}, ingress"


def _ipsec(death: Death) -> str:
    ways = {"fwd"} if death.drop.symbol == "ip_forward" else {"in", "out", "fwd"}
    return blocking_policies(death.state, death.place, ways)


def blocking_policies(state: NetnsState, place: str, ways: Container[str], target: str = "") -> str:
    """IPsec policies of these directions that block, or that have no key; `target`: only those that take it."""
    blocking = [one for one in state.ipsec or () if one.action == "block" or one.has_state is False]
    return one_of(
        [
            f"IPsec policy dir {one.direction} src {one.src} dst {one.dst} action {one.action}"
            f"{'' if one.has_state is not False else ' without a state'} of {place}"
            for one in blocking
            if one.direction in ways and (not target or is_within(target, one.dst))
        ]
    )


def _discarded(death: Death) -> str:
    """A destination that routing made to discard: of IPv6 by a route, of both by an IPsec policy without a state."""
    return blocking_policies(death.state, death.place, {"out"}, death.target)


def _receive_buffer(death: Death) -> str:
    """The target's socket; of answers the event tells no port."""
    port = split_address(death.drop.dst)[1]
    return full_buffer(port, death.place) if death.flow.protocol == "udp" and port and not death.drop.tunnel else ""


def _queued(death: Death) -> str:
    return one_of([rule_in_words(one) for one in rules_that_queue(death.state, death.flow, death.drop)])


def _time_to_live(death: Death) -> str:
    """Few hops from the beginning on; else it is a loop, which has no one culprit."""
    sender = death.ends.target if death.drop.leg == "reply" else death.ends.source
    node = death.ends.target_node if death.drop.leg == "reply" else death.ends.source_node
    report = death.evidence.pod_reports.get(sender) if sender and sender.kind is SubjectKind.POD else None
    state = report.state if report else namespace_of(death.evidence, node, "node")
    hops = sysctl(state, "ipv4.ip_default_ttl") if state and ":" not in death.target else None
    if hops is None or hops > MOST_HOPS_INSIDE or sender is None:
        return ""
    return f"sysctl net.ipv4.ip_default_ttl = {hops} of {sender.name}"


# Routing


def _refusing_route(death: Death) -> str:
    iif = (death.drop.dev,) if death.drop.dev else ()
    return refusing_route(death.state, death.place, Packet(dst=death.target, src=death.drop.src, iif=iif))


def refusing_route(state: NetnsState, place: str, packet: Packet) -> str:
    """What makes routing refuse a packet: a rule, a route, one of type throw, or that there is none.

    "" where routing knows a way, or its rules were not read.
    """
    routing = Routing(state)
    if not routing.has_rules_of(family_of(packet.dst)):
        return ""
    answer = routing.answer(packet)
    if answer is None:
        return _no_route(routing, place, packet)
    if not answer.refusal:
        return ""
    rule = answer.rule
    if answer.route is None:
        return f"ip rule {rule.priority}: from {rule.src or 'all'} to {rule.dst or 'all'} {rule.action} of {place}"
    return f"{_route(answer.route, place)}{_by_rule(answer)}"


def _route(route: Route, place: str) -> str:
    table = f" table {route.table}" if route.table != MAIN else ""
    return f"route {route.type} {route.dst}{table} of {place}"


def _by_rule(answer: Answer) -> str:
    rule, route = answer.rule, answer.route
    return (
        f" (ip rule {rule.priority}: from {rule.src or 'all'} lookup {rule.table})"
        if route and route.table != MAIN
        else ""
    )


def _no_route(routing: Routing, place: str, packet: Packet) -> str:
    thrown = routing.table(MAIN, family_of(packet.dst)).throw(packet.dst)
    return _route(thrown, place) if thrown else f"no route to {packet.dst} in the tables of {place}"


def route_back(state: NetnsState, place: str, source: str) -> str:
    """What keeps a namespace from answering an address, by its routing; "" for nothing."""
    return refusing_route(state, place, Packet(dst=source)) if source else ""


def _forwarding(death: Death) -> str:
    if ":" in death.target:  # the devices' own settings do not decide there
        is_off = sysctl(death.state, "ipv6.conf.all.forwarding") == 0
        return f"sysctl net.ipv6.conf.all.forwarding = 0 of {death.place}" if is_off else ""
    dev = death.drop.dev
    value = conf(death.state, dev, "forwarding")
    return f"sysctl net.ipv4.conf.{_conf_name(dev)}.forwarding = 0 of {death.place}" if value == 0 else ""


def _reverse_path(death: Death) -> str:
    dev = death.drop.dev
    if not death.knows_routing:
        return ""
    value = strictest(death.state, dev, "rp_filter")
    back = death.answer(death.drop.src)
    if back is None or back.refusal:
        return f"no route back to {death.drop.src} in the tables of {death.place}"
    way = (
        f"; the route back to {death.drop.src} leads to {back.route.dev}"
        if back.route and back.route.dev != dev
        else ""
    )
    setting = f" = {value}" if value is not None else ""
    return f"sysctl net.ipv4.conf.{_conf_name(dev)}.rp_filter{setting} of {death.place}{way}"


def _address_here(address: str) -> Callable[[Death], str]:
    def found(death: Death) -> str:
        ip = death.drop.src if address == "src" else death.target
        holder = next((one.dev for one in death.state.addresses if one.ip == ip), "")
        return f"address {ip} on {holder} of {death.place}" if holder else ""

    return found


def _mtu(death: Death) -> str:
    answer = death.answer(death.target, death.drop.src, death.drop.dev)
    route = answer.route if answer else None
    link = death.link(route.dev) if route else None
    if route is None or link is None:
        return ""
    if route.mtu and route.mtu < link.mtu:
        return f"route {route.dst} mtu {route.mtu} of {death.place}"
    return f"mtu {link.mtu} of {link.name} of {death.place}"


# Neighbours, links, bridges


def _neighbour(death: Death) -> str:
    """The entry of the next hop on the device where packets waited for it."""
    dev = death.drop.dev
    next_hop = _next_hop(death.state, death.inner_target, dev)
    state = next((one.state for one in death.state.neighbours if one.ip == next_hop and one.dev == dev), "")
    return f"neighbour {next_hop} on {dev} of {death.place}{f', {state}' if state else ''}" if next_hop else ""


def _senders_neighbour(death: Death) -> str:
    """Who sent the frame has another MAC address for the next hop than this device."""
    own = death.link()
    before = death.before
    state = namespace_of(death.evidence, before.node, before.sighting.netns) if before else None
    if own is None or before is None or state is None:
        return ""
    dev = before.sighting.dev
    next_hop = _next_hop(state, death.inner_target, dev)
    entry = next((one for one in state.neighbours if one.ip == next_hop and one.dev == dev and one.mac), None)
    owner = where(death.evidence, before.node, before.sighting.netns, dev)
    sender = _link(state, dev)
    if sender is not None and not sender.has_arp and sender.kind not in TUNNEL_KINDS:
        return f"{owner}, which asks nobody for a MAC address (NOARP)"
    if entry is None or entry.mac == own.mac:
        return ""
    if astray := _forwarding_astray(death, entry):
        return astray
    return f"neighbour {entry.ip} lladdr {entry.mac} {entry.state} on {owner}, while {own.name} has {own.mac}"


def _forwarding_astray(death: Death, entry: Neighbour) -> str:
    """The frames bear the target's own MAC address, and a bridge forwards that to another port."""
    report = death.evidence.pod_reports.get(death.ends.target) if death.ends.target else None
    root = namespace_of(death.evidence, death.ends.target_node, "node")
    is_targets = report and report.state and entry.mac in {link.mac for link in report.state.links}
    if report is None or root is None or not is_targets:
        return ""
    lines = [one for one in root.fdb if one.mac == entry.mac and not one.dst]
    lines = [one for one in lines if one.dev != report.host_link or one.state == "PERMANENT"]
    words = [f"{FDB_ENTRY} {one.mac} dev {one.dev} of {death.ends.target_node}" for one in lines]
    return one_of([f"{each}, while {report.host_link} leads to its holder" for each in words])


def _next_hop(state: NetnsState, ip: str, dev: str) -> str:
    answer = Routing(state).answer(Packet(dst=ip))
    route = answer.route if answer else None
    return (route.via or ip) if route and route.dev == dev else ""


def _bridge(death: Death) -> str:
    """A port that does not forward: the one that they came by, or that of the target."""
    report = death.evidence.pod_reports.get(death.ends.target) if death.ends.target else None
    names = dict.fromkeys((death.drop.dev, report.host_link if report and death.node == death.ends.target_node else ""))
    links = [link for name in names if name and (link := death.link(name)) and link.bridge_port_state is not None]
    closed = [one for one in links if one.bridge_port_state != 3]
    if closed:
        return f"bridge port {closed[0].name} of {death.place} does not forward (state {closed[0].bridge_port_state})"
    if len(links) > 1 and all(one.is_isolated for one in links):
        return f"bridge ports {links[0].name} and {links[1].name} of {death.place} are isolated"
    unknown = [one.name for one in links if one.is_flooded is False and one.is_learning is False]
    if death.drop.reason == "NO_TX_TARGET" and unknown:
        return f"bridge port {unknown[-1]} of {death.place} neither learns MAC addresses nor is flooded"
    return ""


def _port_mtu(death: Death) -> str:
    """A bridge's port that takes less than the packet: bridges drop such without a word to the sender."""
    link = death.link()
    is_small = link is not None and death.flow.length > link.mtu > 0
    return f"mtu {link.mtu} of {link.name} of {death.place}" if link and is_small else ""


def _other_end(death: Death) -> str:
    """The device behind a veth: it is down, or takes less than the packet."""
    own = death.link()
    for link, owner in _behind_veth(death):
        if not link.is_up:
            return f"{link.name} of {owner}, which is down"
        if own and link.mtu < own.mtu:
            return f"mtu {link.mtu} of {link.name} of {owner}, against {own.mtu} of {own.name}"
    return ""


def _behind_veth(death: Death) -> Iterator[tuple[Link, str]]:
    """A device that may be the other end of the one where they died, and whose it is."""
    evidence = death.evidence
    if death.drop.netns not in {"node", ""}:
        own = evidence.pod_by_uid.get(death.drop.netns)
        report = evidence.pod_reports.get(own) if own else None
        node = evidence.reports.get(death.node)
        link = _link(node.root, report.host_link) if node and report and report.host_link else None
        if link:
            yield link, death.node
        return
    pod = death.ends.target if death.drop.leg != "reply" else death.ends.source
    report = evidence.pod_reports.get(pod) if pod else None
    if pod and report and report.state and report.host_link == death.drop.dev:
        yield from ((link, pod.name) for link in report.state.links if link.name != "lo")


# Tunnels


def _tunnel(death: Death) -> str:
    """What the sender's forwarding entry or device says, against what the tunnel here takes."""
    if not death.drop.tunnel:
        return _address_here("dst")(death) if death.drop.netns in {"node", ""} else ""
    if death.drop.tunnel == "geneve":
        return _geneve_port(death)
    taking = [link for link in death.state.links if link.vxlan_port and link.is_up]
    return next(_senders_entry(death, taking), "") or _tunnel_port(death, taking)


def forwarding_entry(entry: FdbEntry, node: str) -> str:
    """A tunnel's, in words: where it leads, and by which port and network if these are its own."""
    port = f" port {entry.port}" if entry.port else ""
    vni = f" vni {entry.vni}" if entry.vni is not None else ""
    return f"{FDB_ENTRY} {entry.mac} dst {entry.dst}{port}{vni} on {entry.dev} of {node}"


def _senders_entry(death: Death, taking: list[Link]) -> Iterator[str]:
    """FDB entries of the sender that lead here, and say what the tunnel here does not take."""
    node = death.ends.target_node if death.drop.leg == "reply" else death.ends.source_node
    report = death.evidence.reports.get(node)
    for entry in report.root.fdb if report else ():
        if not entry.dst or entry.dst != death.target:
            continue
        is_other_port = entry.port and entry.port not in {link.vxlan_port for link in taking}
        is_other_network = entry.vni is not None and entry.vni not in {link.vxlan_id for link in taking}
        is_elsewhere = death.node not in {death.ends.target_node, death.ends.source_node}
        if is_other_port or is_other_network or is_elsewhere:
            yield forwarding_entry(entry, node)


def _tunnel_port(death: Death, taking: list[Link]) -> str:
    port = split_address(death.drop.dst)[1]
    takes = [str(link.vxlan_port) for link in taking]
    if takes and port not in takes:
        return f"tunnel packets come to UDP port {port}, the tunnel of {death.place} takes {', '.join(takes)}"
    down = [link.name for link in death.state.links if link.vxlan_port and not link.is_up]
    return f"{down[0]} of {death.place}, which is down" if down else f"no tunnel of {death.place} takes UDP port {port}"


def _geneve_port(death: Death) -> str:
    """Its port and network are not read: only whether there is a device of that kind that is up."""
    kinds = [link for link in death.state.links if link.kind == "geneve"]
    if any(link.is_up for link in kinds):
        return ""
    return f"{kinds[0].name} of {death.place}, which is down" if kinds else f"no Geneve device on {death.place}"


def _network_identifier(death: Death) -> str:
    taking = [link for link in death.state.links if link.vxlan_id is not None]
    if found := next(_senders_entry(death, taking), ""):
        return found
    node = death.ends.target_node if death.drop.leg == "reply" else death.ends.source_node
    report = death.evidence.reports.get(node)
    sender = _link(report.root, tunnel_of(report.root)) if report else None
    if sender is None or sender.vxlan_id is None or not taking or sender.vxlan_id == taking[0].vxlan_id:
        return ""
    return f"{sender.name} of {node} has VNI {sender.vxlan_id}, {taking[0].name} of {death.place} {taking[0].vxlan_id}"


def _forwarding_entry(death: Death) -> str:
    """A tunnel's device that has no entry for the MAC address of the next hop."""
    dev = death.drop.dev
    if death.drop.symbol != "vxlan_xmit":
        return _bridge(death)
    next_hop = _next_hop(death.state, death.inner_target, dev)
    mac = next((one.mac for one in death.state.neighbours if one.ip == next_hop and one.dev == dev), "")
    if not mac or any(one.dev == dev and one.mac == mac for one in death.state.fdb):
        return ""
    return f"no FDB entry of {mac} (neighbour {next_hop}) on {dev} of {death.place}"


def _conf_name(dev: str) -> str:
    return dev.replace(".", "/")


def _link(state: NetnsState, name: str) -> Link | None:
    return next((link for link in state.links if link.name == name), None)


_BY_SYMBOL: Mapping[str, Callable[[Death], str]] = {
    "do_xdp_generic": _xdp,
    "veth_xdp_rcv_skb": _xdp,
    "__dev_forward_skb2": _other_end,
    "br_handle_frame_finish": _bridge,
    "br_handle_frame": _bridge,
    "br_dev_queue_push_xmit": _port_mtu,
    "br_nf_dev_queue_xmit": _port_mtu,
    "dst_discard_out": _discarded,
    "nf_queue": _queued,
}
"""Functions that give packets up without a reason of their own."""
_BY_REASON: Mapping[str, Callable[[Death], str]] = {
    "NETFILTER_DROP": _packet_filter,
    "QDISC_DROP": _queue,
    "TC_INGRESS": _filter_of("ingress"),
    "TC_EGRESS": _filter_of("egress"),
    "XFRM_POLICY": _ipsec,
    "BPF_CGROUP_EGRESS": _on_cgroup("egress"),
    "SOCKET_FILTER": _on_cgroup("ingress"),
    "SOCKET_RCVBUFF": _receive_buffer,
    "IP_RPFILTER": _reverse_path,
    "IP_INADDRERRORS": _forwarding,
    "IP_INNOROUTES": _refusing_route,  # of IPv6 an unreachable route, too
    "IP_INHDR": _time_to_live,
    "IP_LOCAL_SOURCE": _address_here("src"),
    "NEIGH_FAILED": _neighbour,
    "NEIGH_QUEUEFULL": _neighbour,
    "OTHERHOST": _senders_neighbour,
    "PKT_TOO_BIG": _mtu,
    "NO_SOCKET": _tunnel,
    "VXLAN_VNI_NOT_FOUND": _network_identifier,
    "NO_TX_TARGET": _forwarding_entry,
}
