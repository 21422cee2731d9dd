"""Routing rules of others on a node that take its pods' packets elsewhere than the main table would, either way."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from bot.agent.report import Route, Rule
from bot.domain import facts
from bot.domain.facts import FactBuilder, Subject
from bot.probes.engine.evidence import Evidence
from bot.probes.gateway_reachability import LINK_LOCAL_GATEWAY
from bot.probes.pod_link.observe import host_end
from bot.probes.shared.pod_views import NodeView, PodView
from bot.probes.shared.policy_routing import LOCAL, Answer, Packet, Routing, in_words, is_choosy, protocol_and_port
from bot.probes.shared.reach import target_of
from bot.probes.shared.routing import MAIN, RouteTable, is_cni_device

LISTED = 10
MOST_TARGETS = 100
_POD_KEYS = ("diverted", "diverted_fails", "diverting_rules")
_AWS_PRIORITIES = frozenset({512, 1024, 1536})
_DEFAULT_TABLE = 253
_OWN_TABLES = {LOCAL: "local", MAIN: "main"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """A packet that a node routes."""

    view: PodView
    """The local pod that it concerns."""
    other: str = ""
    """The node at the other end, "" for none."""
    peer: Subject | None = None
    """The pod at the other end, if it is on the same node: the packet concerns either."""
    packet: Packet
    is_lost: bool = False
    """It is of a test that failed."""

    @property
    def far_ip(self) -> str:
        """The address at the other end."""
        own = self.view.pod.status.pod_ip
        return self.packet.src if self.packet.dst == own else self.packet.dst


@dataclass(frozen=True, slots=True)
class Taking:
    """A rule that takes packets elsewhere."""

    words: str
    is_whole: bool
    """It asks for the destination alone: requests and replies to it go the same way."""


@dataclass(frozen=True, slots=True)
class _Diverted:
    """A packet that a rule takes elsewhere."""

    way: _Way
    by: Taking

    @property
    def rule(self) -> str:
        """The rule in words."""
        return self.by.words


def taken_by_rules(evidence: Evidence, root: NodeView, views: Sequence[PodView]) -> Mapping[str, Sequence[Taking]]:
    """By address, the rules of a node that take single pods of another node, and not all of that node's."""
    asked: dict[str, set[str]] = defaultdict(set)
    taken: dict[Taking, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for way in _packets(evidence, root, views, RouteTable(root.state.routes)):
        asked[way.other].add(way.far_ip)
    for one in _diverted(evidence, root, views):
        taken[one.by][one.way.other].add(one.way.far_ip)
    found: dict[str, list[Taking]] = defaultdict(list)
    for by, by_node in taken.items():
        for other, ips in by_node.items():
            for ip in sorted(ips) if other and len(ips) < len(asked[other]) else ():
                found[ip].append(replace(by, words=f"rule {by.words} on {root.name}"))
    return found


def observe_rules(evidence: Evidence, root: NodeView, views: Sequence[PodView], into: FactBuilder) -> None:
    """The rules by what they take: of the node, of each pair with another node, and of single pods."""
    node = facts.node(root.name)
    into.put(node, "routing_rules_lost", lost_rules(root.state.rules), "the node's routing rules were not read")
    others = [name for name in evidence.nodes_in_scope if name != root.name]
    pairs = {name: facts.pair(root.name, name) for name in others}
    if not Routing(root.state).has_rules_of(4):
        why = "the node's routing rules were not read"
        into.miss_all(node, ("foreign_rule", "foreign_rules", "outside_rules"), why)
        for pair in pairs.values():
            into.miss_all(pair, ("diverted", "diverting_rules"), why)
        for view in views:
            into.miss_all(view.subject, _POD_KEYS, why)
        return
    diverted = list(_diverted(evidence, root, views))
    found = tuple(dict.fromkeys(one.rule for one in diverted))
    into.set(node, "foreign_rule", bool(found))
    into.set(node, "foreign_rules", found[:LISTED])
    into.set(node, "outside_rules", tuple(dict.fromkeys(_rules_to_outside(evidence, root, views)))[:LISTED])
    for name, pair in pairs.items():
        between = tuple(dict.fromkeys(one.rule for one in diverted if one.way.other == name))
        into.set(pair, "diverted", bool(between))
        into.set(pair, "diverting_rules", between[:LISTED])
    lost = {(one.way.view.subject, one.rule) for one in diverted if one.way.is_lost}
    concerned = {words: _concerned([one.way for one in diverted if one.rule == words], views) for words in found}
    for view in views:
        own = tuple(words for words, pods in concerned.items() if view.subject in pods)
        into.set(view.subject, "diverted", bool(own))
        into.set(view.subject, "diverted_fails", any((view.subject, words) in lost for words in own))
        into.set(view.subject, "diverting_rules", own[:LISTED])


def _rules_to_outside(evidence: Evidence, root: NodeView, views: Sequence[PodView]) -> Iterator[str]:
    """Foreign rules that take what the node and its pods send outside elsewhere than the main table would."""
    routing = Routing(root.state)
    for ip in sorted({test.ip for _, _, test in evidence.tests if test.purpose == "outside" and ":" not in test.ip}):
        for packet in (Packet(ip), *(Packet(ip, view.pod.status.pod_ip, _links(view)) for view in views)):
            if answer := _foreign_answer(evidence, routing, packet):
                yield in_words(answer)


def lost_rules(rules: Sequence[Rule]) -> tuple[str, ...] | None:
    """The kernel's own rules of IPv4 that are gone, by what they do; at which priority they stand is all the same.

    A rule for everything that leads to the table is enough: Cilium moves that of local addresses behind its own.
    """
    if not rules:
        return None
    everything = [one for one in rules if one.family == 4 and one.action == "lookup" and not _asks(one)]
    reached = {one.table for one in everything}
    return tuple(f"from all lookup {name}" for table, name in _OWN_TABLES.items() if table not in reached)


def _asks(rule: Rule) -> bool:
    """Whether it takes some packets only, or some routes."""
    conditions = (rule.dst, rule.iif, rule.oif, rule.fwmark, rule.others, rule.sport, rule.dport, rule.protocol)
    return any(conditions) or rule.src not in {"", "all"} or rule.is_inverted or rule.suppress_prefix is not None


def _concerned(ways: Sequence[_Way], views: Sequence[PodView]) -> frozenset[Subject]:
    """The pods that a rule is about, by what it takes: none where it takes packets of all pods of the node.

    Of packets between pods of the node, those count that it always has at one end.
    """
    pods = {way.view.subject for way in ways if way.peer is None}
    if pods:
        return frozenset(pods if len(pods) < max(2, len(views)) else ())
    first, *others = [frozenset({way.view.subject, way.peer or way.view.subject}) for way in ways]
    return first.intersection(*others)


def _diverted(evidence: Evidence, root: NodeView, views: Sequence[PodView]) -> Iterator[_Diverted]:
    """Each packet that a rule takes elsewhere."""
    routing = Routing(root.state)
    if not any(_is_foreign(evidence, rule) for rule in routing.written):
        return
    main = routing.table(MAIN)
    for way in (*_packets(evidence, root, views, main), *_tested(evidence, root, views, main)):
        if answer := _foreign_answer(evidence, routing, way.packet):
            is_whole = bool(answer.rule.dst) and not _asks(replace(answer.rule, dst=""))
            yield _Diverted(way, Taking(in_words(answer), is_whole))


def _packets(evidence: Evidence, root: NodeView, views: Sequence[PodView], main: RouteTable) -> Iterator[_Way]:
    """What each pod sends outside and to pods of other nodes, and what comes back to it from these."""
    remote = [
        (ip, evidence.node_of(owners[0]))
        for ip, owners in sorted(evidence.pods_by_ip.items())
        if evidence.node_of(owners[0]) not in {root.name, ""}
    ]
    every = remote[:: max(1, len(remote) // MOST_TARGETS)]
    for view in views:
        iif, ip = _links(view), view.pod.status.pod_ip
        yield _Way(view=view, packet=Packet(LINK_LOCAL_GATEWAY, ip, iif))
        for other, name in every:
            yield _Way(view=view, other=name, packet=Packet(other, ip, iif))
            by = main.lookup(other)
            yield _Way(view=view, other=name, packet=Packet(ip, other, _came_by(by)))


def _tested(evidence: Evidence, root: NodeView, views: Sequence[PodView], main: RouteTable) -> Iterator[_Way]:
    """The packets of tests between pods, with their protocols and ports, as they leave and as they come in."""
    here = {view.subject: view for view in views}
    for source, _, test in evidence.tests:
        asked, target = protocol_and_port(test), target_of(evidence, test)
        client, server = evidence.pods.get(source), evidence.pods.get(target) if target else None
        if asked is None or client is None or server is None or target is None or not here.keys() & {source, target}:
            continue
        is_local = source in here and target in here
        if is_local and _links(here[source])[1:] == _links(here[target])[1:] != ("",):
            continue  # A bridge passes it on, without routes.
        protocol, port = asked
        ends = (source, client.status.pod_ip), (target, server.status.pod_ip)
        for (sender, src), (receiver, dst), is_reply in ((*ends, False), (*reversed(ends), True)):
            ports = {"sport": port} if is_reply else {"dport": port}
            for end, iif in ((sender, _links(here.get(sender))), (receiver, _came_by(main.lookup(src)))):
                if end in here:
                    other = evidence.node_of(receiver if end == sender else sender)
                    yield _Way(
                        view=here[end],
                        other="" if other == root.name else other,
                        peer=(receiver if end == sender else sender) if is_local else None,
                        packet=Packet(dst, src, iif, protocol, **ports),
                        is_lost=test.outcome != "ok",
                    )


def _links(view: PodView | None) -> tuple[str, ...]:
    link = host_end(view) if view else None
    return (link.name, link.master) if link else ()


def _came_by(route: Route | None) -> tuple[str, ...]:
    """By which device a packet comes in from where this route leads."""
    return () if route is None else (route.dev,)


def _foreign_answer(evidence: Evidence, routing: Routing, packet: Packet) -> Answer | None:
    """What a foreign rule does with a packet, where it takes it elsewhere than the main table would."""
    answer = routing.answer(packet)
    if answer is None or not _is_foreign(evidence, answer.rule):
        return None
    if answer.rule.is_inverted and answer.route and is_cni_device(answer.route.dev):
        return None  # Calico's WireGuard: "not fwmark 0x100000/0x100000 lookup 1".
    return answer if _leads_elsewhere(answer, routing.table(MAIN), packet.dst) else None


def _is_foreign(evidence: Evidence, rule: Rule) -> bool:
    """Neither the kernel's own nor one that CNIs route pods by (AWS: priorities 512, 1024, 1536)."""
    if rule.table in {MAIN, _DEFAULT_TABLE} and rule.action == "lookup":
        return False
    if is_choosy(rule) and not rule.others and not rule.is_inverted:
        return False  # It takes only what somebody marked; "not fwmark" takes all that nobody did.
    return not (evidence.cni.name == "aws-vpc-cni" and rule.priority in _AWS_PRIORITIES)


def _leads_elsewhere(answer: Answer, main: RouteTable, ip: str) -> bool:
    """Whether the packet is refused, or leaves by another device than the main table says."""
    usual = main.lookup(ip)
    if answer.refusal or usual is None or usual.type != "unicast" or answer.route is None:
        return bool(answer.refusal)
    return answer.route.dev != usual.dev
