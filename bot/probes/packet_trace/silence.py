"""Why packets were lost where the kernel tells no drop: what the sender got, who waits, what counted, what refuses.

Each answer names the object, where the configuration shows it: a packet that its own kernel refuses to send dies of a
route, a program or an IPsec policy that stands there; one that waits for a neighbour of the entry, the link or the
forwarding entry that leads there.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from bot.agent.report import NetnsState
from bot.agent.traced import Sent, TraceFlow, Unresolved, split_address
from bot.domain.facts import SubjectKind
from bot.domain.finding import Hop
from bot.domain.listing import and_more
from bot.probes.engine.evidence import Evidence
from bot.probes.filters.naming import rule_in_words
from bot.probes.filters.traced import namespace_of, rules_that_refuse
from bot.probes.packet_trace.culprits import (
    blocking_policies,
    forwarding_entry,
    one_of,
    programs_that_refuse,
    refusing_route,
    route_back,
)
from bot.probes.packet_trace.sockets import socket_without_room
from bot.probes.packet_trace.way import Ends, Seen, owner_of, pod_addresses, tunnel_of, where
from bot.probes.shared.policy_routing import Packet, Routing, route_words
from bot.probes.shared.routing import BY_PROGRAM, family_of

REFUSALS = {
    "EACCES": "the sender's own kernel refuses: a prohibit route",
    "EINVAL": "the sender's own kernel refuses: a blackhole route",
    "ENETUNREACH": "the sender's own kernel has no route",
    "EHOSTUNREACH": "the sender's own kernel gave up: an unreachable route, or a gateway that does not answer ARP",
    "EPERM": "the sender's own kernel refuses: a packet filter, a program on a cgroup, or a Service without endpoints",
    "ENOBUFS": "the sender's own queue is full",
    "EMSGSIZE": "the packet is larger than the MTU that the sender knows",
}
BY_ROUTING = frozenset({"EACCES", "EINVAL", "ENETUNREACH", "EHOSTUNREACH"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """Why, and by what; "" where nothing tells."""

    reason: str = ""
    culprit: str = ""
    hop: Hop | None = None
    """Where the culprit is; None: where the packets were seen last decides."""


def never_sent(evidence: Evidence, flow: TraceFlow, ends: Ends, sent: Sent) -> Silence:
    """No sighting at all: the sender's own kernel took them, or nobody could look there."""
    name = next((name for name in sent.outcomes if name != "ok"), "timeout")
    own: Hop = "pod" if ends.source.kind is SubjectKind.POD else "node"
    waiting = [
        one
        for one in evidence.traces[flow.node].unresolved
        if one.netns == flow.source and family_of(one.ip) == family_of(flow.ip)
    ]
    if waiting and name in {"timeout", "EHOSTUNREACH"}:
        found = _waiting(evidence, flow.node, waiting[0])
        hop = found.hop or ("gateway" if own == "pod" else "node")
        return Silence(reason=f"{found.reason} ({name})", culprit=found.culprit, hop=hop)
    reason = REFUSALS.get(name, "they never left the sender, and nothing says why")
    state = namespace_of(evidence, flow.node, flow.source)
    culprit = _refusing(evidence, flow, name, state) if state else ""
    return Silence(reason=f"{reason} ({name})", culprit=culprit, hop=own)


def _refusing(evidence: Evidence, flow: TraceFlow, outcome: str, state: NetnsState) -> str:
    """What stands in the sender's namespace and makes its kernel say so."""
    place = owner_of(evidence, flow.node, flow.source)
    if outcome in BY_ROUTING:
        down = [link.name for link in state.links if link.name != "lo" and not link.is_up]
        found = refusing_route(state, place, Packet(dst=flow.ip))
        is_bare = not any(route.table == 254 and route.dst == "default" for route in state.routes)
        return f"{down[0]} of {place}, which is down" if down and is_bare else found
    # A packet filter refuses with the same word, but the tap would have reported the drop.
    if outcome == "EPERM" and evidence.traces[flow.node].instrument == "bpf":
        return programs_that_refuse(evidence, flow.node, _places_of(flow)) or blocking_policies(
            state, place, {"out"}, flow.ip
        )
    return ""


def _places_of(flow: TraceFlow) -> frozenset[str]:
    """Where a program on a cgroup may refuse the sender, and the kernel tells no drop."""
    family = family_of(flow.ip)
    return frozenset({"socket", f"bind{family}", f"connect{family}", f"sendmsg{family}"})


def why_silent(evidence: Evidence, flow: TraceFlow, ends: Ends, sent: Sent, last: Seen) -> Silence:
    """What else than a drop event tells why packets went no further than where they were seen last."""
    if about := next(_awaited(evidence, flow, last), None):
        return _waiting(evidence, last.node, about)
    if sent.icmp:
        return Silence(reason=f"{sent.icmp_from or 'a router'} answered {sent.icmp}")
    if found := _for_another_node(evidence, ends, last) or _by_default_route(evidence, flow, ends, last):
        return found
    if found := _counted(evidence, flow, ends, sent, last):
        return found
    if last.sighting.is_out and ends.target_node not in evidence.traces and ends.target_node != last.node:
        return Silence(reason="they left the node, and nobody listened further on")
    return _with_the_way_back(evidence, last, "")


def _counted(evidence: Evidence, flow: TraceFlow, ends: Ends, sent: Sent, last: Seen) -> Silence | None:
    """A socket that has no room, or counters that moved by just as many."""
    lost = sent.sent - sent.outcomes.get("ok", 0)
    if culprit := socket_without_room(evidence, flow, ends, lost, last):
        return Silence(reason="they came, and found no room", culprit=culprit)
    moved = [one for one in evidence.traces[last.node].counters if one.flow == flow.number]
    if not moved:
        return None
    owner = owner_of(evidence, last.node, moved[0].netns)
    names = [one.name for one in moved if one.netns == moved[0].netns]
    return _with_the_way_back(evidence, last, f"{and_more(names, 3)} of {owner} moved by just as many")


def _with_the_way_back(evidence: Evidence, last: Seen, reason: str) -> Silence:
    """Packets that came to the target's own namespace, which has no way to answer."""
    one = last.sighting
    state = namespace_of(evidence, last.node, one.netns)
    if one.is_out or one.netns == "node" or one.leg != "request" or state is None:
        return Silence(reason=reason)
    culprit = route_back(state, owner_of(evidence, last.node, one.netns), split_address(one.src)[0])
    if not culprit:
        return Silence(reason=reason)
    said = "they arrived, and the target has no way to answer"
    return Silence(reason=f"{said} ({reason})" if reason else said, culprit=culprit, hop="pod")


def _awaited(evidence: Evidence, flow: TraceFlow, last: Seen) -> Iterator[Unresolved]:
    """Neighbours for which packets wait behind the place where they were seen last.

    What left by a device of the underlay waits for nobody there any more; what left by a tunnel's may, outside.
    """
    one = last.sighting
    state = namespace_of(evidence, last.node, one.netns)
    waits = [
        each
        for each in evidence.traces[last.node].unresolved
        if each.netns == one.netns
        and family_of(each.ip) == family_of(flow.ip)
        and not (one.is_out and (one.tunnel or each.dev == one.dev))
    ]
    wanted = {split_address(one.dst)[0], *flow.addresses, *(_onward(state, one.dst, one.dev) if state else ())}
    yield from (each for each in waits if each.ip in wanted)
    # Programs of the CNI choose next hops that no table shows.
    if len(waits) == 1 and state and any(link.name in BY_PROGRAM for link in state.links):
        yield waits[0]


def _onward(state: NetnsState, dst: str, dev: str) -> Iterator[str]:
    """Next hops to an address: by the routes, and of a tunnel by its forwarding entries, too."""
    target = split_address(dst)[0]
    answer = Routing(state).answer(Packet(dst=target))
    if answer is None or answer.route is None:
        return
    next_hop = answer.route.via or target
    yield next_hop
    mac = next((one.mac for one in state.neighbours if one.ip == next_hop and one.dev == answer.route.dev), "")
    for entry in state.fdb:
        if mac and entry.mac == mac and entry.dst and entry.dev in {dev, answer.route.dev}:
            outside = Routing(state).answer(Packet(dst=entry.dst))
            yield (outside.route.via if outside and outside.route else "") or entry.dst


def _waiting(evidence: Evidence, node: str, about: Unresolved) -> Silence:
    """That packets wait for a neighbour, and what leads them to it."""
    asked = "neighbour discovery" if family_of(about.ip) == 6 else "ARP"
    reason = f"they wait for {about.ip} on {about.dev}, which does not answer {asked}"
    state = namespace_of(evidence, node, about.netns)
    is_at_tunnel = about.netns == "node" and state is not None and about.dev == tunnel_of(state)
    by_entry = [one for one in state.fdb if one.dst == about.ip] if state and not is_at_tunnel else []
    place = where(evidence, node, about.netns, about.dev)
    if by_entry:
        words = [forwarding_entry(one, node) for one in by_entry]
        return Silence(reason=reason, culprit=one_of(words), hop="overlay")
    for culprit, hop in (*_askers_held_twice(evidence, node, about), *_holders_that_are_down(evidence, about.ip)):
        return Silence(reason=reason, culprit=culprit, hop=hop)
    return Silence(
        reason=reason,
        culprit=f"neighbour {about.ip} on {place}, unanswered",
        hop="overlay" if is_at_tunnel else None,
    )


def _askers_held_twice(evidence: Evidence, node: str, about: Unresolved) -> Iterator[tuple[str, Hop]]:
    """Addresses of the pod that asks which its node holds, too: it answers no question that comes from itself."""
    pod, report = evidence.pod_by_uid.get(about.netns), evidence.reports.get(node)
    ips = pod_addresses(evidence, pod) if pod else frozenset[str]()
    for held in report.root.addresses if report else ():
        if held.ip in ips:
            yield f"address {held.ip} on {held.dev} of {node}", "node"


def _holders_that_are_down(evidence: Evidence, ip: str) -> Iterator[tuple[str, Hop]]:
    """Links of the pod whose address it is, of either end, that cannot answer."""
    for pod in evidence.pods_by_ip.get(ip, ()):
        report, node = evidence.pod_reports.get(pod), evidence.node_of(pod)
        root = evidence.reports[node].root if node in evidence.reports else None
        for link in report.state.links if report and report.state else ():
            if link.name != "lo" and not link.is_up:
                yield f"{link.name} of {pod.name}, which is down", "pod"
        for link in root.links if root and report else ():
            if report and link.name == report.host_link and not link.is_up:
                yield f"{link.name} of {node}, which is down", "node"


def _for_another_node(evidence: Evidence, ends: Ends, last: Seen) -> Silence | None:
    """Wrapped for a machine that is not the other node: by the tunnel's forwarding entry."""
    one = last.sighting
    report = evidence.reports.get(last.node)
    there = ends.source_node if one.leg == "reply" else ends.target_node
    outer, other = split_address(one.dst)[0], evidence.reports.get(there)
    if report is None or other is None or not one.tunnel or not one.is_out or last.node == there:
        return None
    if outer in {each.ip for each in other.root.addresses} or evidence.node_by_ip.get(outer) == there:
        return None
    words = [forwarding_entry(each, last.node) for each in report.root.fdb if each.dst == outer]
    return Silence(reason=f"they leave for {outer}, which is not {there}", culprit=one_of(words), hop="overlay")


def _by_default_route(evidence: Evidence, flow: TraceFlow, ends: Ends, last: Seen) -> Silence | None:
    """Answers to packets that came by the tunnel, and which leave beside it: the route to the sender is missing."""
    one = last.sighting
    report = evidence.reports.get(last.node)
    if report is None or ends.is_local or not one.is_out or one.netns != "node" or one.tunnel:
        return None
    tunnel = tunnel_of(report.root)
    came_wrapped = any(
        each.tunnel and each.leg != one.leg and each.flow == flow.number and not each.is_out
        for each in evidence.traces[last.node].sightings
    )
    target = split_address(one.dst)[0]
    answer = Routing(report.root).answer(Packet(dst=target))
    if not tunnel or not came_wrapped or one.dev == tunnel or answer is None or answer.route is None:
        return None
    return Silence(
        reason=f"they leave by {one.dev}, not by the tunnel that they came by",
        culprit=f"no route to {target} by {tunnel} of {last.node}, but {route_words(answer.route)}",
        hop="node",
    )


def who_refuses(evidence: Evidence, flow: TraceFlow, last: Seen) -> str:
    """Rules behind the last sighting that answer in the target's name, as reject rules do."""
    state = None if last.sighting.is_out else namespace_of(evidence, last.node, last.sighting.netns)
    takings = list(rules_that_refuse(state, flow, last.sighting)) if state else []
    return one_of([rule_in_words(one) for one in takings])
