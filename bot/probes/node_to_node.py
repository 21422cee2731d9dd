"""Do nodes reach each other, are they ready, and do their pod ranges exclude one another?

If nodes do not reach each other no overlay can work; if they do and their pods do not, the fault lies in the overlay
or in routes. EHOSTUNREACH after 3 s from pods together with a FAILED entry on the uplink means that the next hop does
not answer ARP.

Source: https://kubernetes.io/docs/reference/node/node-status/#condition
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Network

from bot.agent.report import Link
from bot.cluster.objects import Node
from bot.domain import facts
from bot.domain.facts import FactBuilder, FactTable, Rung, Subject, SubjectKind, Value
from bot.domain.finding import Finding, Severity, Symptom, SymptomKind
from bot.probes.engine.evidence import Evidence
from bot.probes.engine.fact_spec import fact
from bot.probes.engine.needs import LOOK_AT_PODS
from bot.probes.engine.probe import Probe
from bot.probes.shared.flows import tried_flows
from bot.probes.shared.held_addresses import addresses_held
from bot.probes.shared.pod_views import NodeView, conf, node_views, strictest
from bot.probes.shared.reach import REACH_VALUES, address_of, aggregate, in_words, target_of
from bot.probes.shared.routing import address, network, uplink
from bot.probes.shared.sentences import names, plural

NAME = "node-to-node"

_ANSWERS_NOTHING = 8
_API = tuple(Rung)
_OUTSIDE = (Rung.CNI_AGENT, Rung.AGENT)
_LOOK_PING = "ping -c 1 <other node ip>  # on <node>"
_LOOK_ARP_IGNORE = "sysctl -a | grep 'arp_ignore = 8'  # on <node>"
_LOOK_NODE = "kubectl describe node <node>"

FACTS = (
    fact(
        "pair.node_ping",
        "str",
        "How the first node reaches the second (ICMP to its InternalIP).",
        values=REACH_VALUES,
        look=_LOOK_PING,
    ),
    fact(
        "pair.node_loss",
        "str",
        'How many of these were lost: "2 of 6 pings"; "" for none.',
        look="ping -c 100 <other node ip>  # on <node>",
    ),
    fact(
        "pair.same_subnet",
        "bool",
        "Both nodes' addresses are in one subnet, so that no router lies between them.",
        rungs=_OUTSIDE,
        look="ip addr  # on the source node",
    ),
    fact(
        "pair.static_neighbours_wrong",
        "list",
        "Neighbour entries that somebody set by hand on one node of the pair, with a MAC that the other does not have.",
        rungs=_OUTSIDE,
        look="ip neigh show nud permanent dev <uplink>  # on <node>",
    ),
    fact(
        "node.uplink_neigh_failed",
        "bool",
        "A next hop on the uplink (a gateway or another node) does not answer ARP.",
        rungs=_OUTSIDE,
        look="ip neigh show dev <uplink>  # on <node>",
    ),
    fact(
        "node.uplink_name",
        "str",
        "The device by which the node talks to others.",
        rungs=_OUTSIDE,
        look="ip -o addr show to <node ip>  # on <node>",
    ),
    fact(
        "node.uplink",
        "str",
        "That device: switched off, or without a carrier.",
        values=("up", "down", "no-carrier"),
        rungs=_OUTSIDE,
        look="ip link show dev <uplink>  # on <node>",
    ),
    fact(
        "node.link_without_arp",
        "str",
        "The uplink or a bridge of pods whose NOARP flag is set, empty when there is none.",
        rungs=_OUTSIDE,
        look="ip link show  # on <node>",
    ),
    fact(
        "node.uplink_ignores_arp",
        "bool",
        "arp_ignore has the node answer no ARP request for its own address on the uplink (8).",
        rungs=_OUTSIDE,
        look=_LOOK_ARP_IGNORE,
    ),
    fact(
        "node.bridge_ignores_arp",
        "str",
        "A bridge of pods on which arp_ignore has the node answer no ARP request, empty when there is none.",
        rungs=_OUTSIDE,
        look=_LOOK_ARP_IGNORE,
    ),
    fact(
        "node.arp_answering",
        "list",
        "The commands that have the node answer ARP again where arp_ignore forbids it.",
        rungs=_OUTSIDE,
        look=_LOOK_ARP_IGNORE,
        is_command=True,
    ),
    fact(
        "node.reach_nodes",
        "str",
        "How the node reaches the other nodes, all together.",
        values=REACH_VALUES,
        look=_LOOK_PING,
    ),
    fact(
        "node.reached_from_nodes",
        "str",
        "How the other nodes reach the node, all together.",
        values=REACH_VALUES,
        look=_LOOK_PING,
    ),
    fact("node.is_ready", "bool", "The node's Ready condition is True.", rungs=_API, look="kubectl get node <node>"),
    fact(
        "node.not_ready_reason",
        "str",
        "The reason of a Ready condition that is not True, empty when it is.",
        rungs=_API,
        look=_LOOK_NODE,
    ),
    fact(
        "node.kubelet_reports",
        "bool",
        "The node's kubelet reports (false: its Ready condition is Unknown, because it no longer renews its Lease).",
        rungs=_API,
        look="kubectl get node <node>; kubectl -n kube-node-lease get lease <node>",
    ),
    fact("node.unschedulable", "bool", "The node is cordoned.", rungs=_API, look="kubectl get node <node>"),
    fact(
        "node.cidr_overlap",
        "bool",
        "The node's pod range overlaps that of another node or contains a node's address.",
        rungs=_API,
        look="kubectl get nodes -o custom-columns=NAME:.metadata.name,CIDR:.spec.podCIDR",
    ),
)


def observe(evidence: Evidence, into: FactBuilder) -> None:
    """What the API says about the nodes in scope, and what tests between nodes showed."""
    scope = evidence.nodes_in_scope or tuple(sorted(evidence.nodes))
    overlapping = _overlapping(evidence.snapshot.nodes)
    for name in scope:
        if name in evidence.nodes:
            _observe_api(evidence.nodes[name], overlapping, into)
        else:
            keys = ("is_ready", "kubelet_reports", "not_ready_reason", "unschedulable", "cidr_overlap")
            into.miss_all(facts.node(name), keys, "the API did not list this node")
    _observe_tests(evidence, into)
    _observe_static_neighbours(evidence, into)
    for name, root in node_views(evidence).items():
        dev = _uplink(evidence, root)
        failed, why = _next_hop_failed(evidence, root, dev)
        into.put(facts.node(name), "uplink_neigh_failed", failed, why)
        link = root.links.get(dev)
        state = None if link is None else "down" if not link.is_up else "up" if link.has_carrier else "no-carrier"
        into.put(facts.node(name), "uplink", state, "the node's uplink is not known")
        into.put(facts.node(name), "uplink_name", dev or None, "the node's uplink is not known")
        without_arp = _without_arp(root, dev) if root.links else None
        into.put(facts.node(name), "link_without_arp", without_arp, "the node's devices were not read")
        _observe_arp_ignored(root, dev, into)


def _observe_api(node: Node, overlapping: frozenset[str], into: FactBuilder) -> None:
    subject = facts.node(node.metadata.name)
    ready = next((each for each in node.status.conditions if each.type == "Ready"), None)
    unsaid = "the node has no Ready condition"
    into.put(subject, "is_ready", None if ready is None else ready.status == "True", unsaid)
    into.put(subject, "kubelet_reports", None if ready is None else ready.status != "Unknown", unsaid)
    reason = None if ready is None else "" if ready.status == "True" else (ready.reason or ready.status)[:80]
    into.put(subject, "not_ready_reason", reason, unsaid)
    into.set(subject, "unschedulable", node.spec.unschedulable)
    overlap = node.metadata.name in overlapping if node.spec.pod_cidr else None
    into.put(subject, "cidr_overlap", overlap, "the node has no podCIDR: its CNI hands out addresses by itself")


def _overlapping(nodes: Iterable[Node]) -> frozenset[str]:
    """Names of nodes whose podCIDR overlaps another's, or contains any node's address. Sorted once, then neighbours."""
    ranges = [(net, node) for node in nodes if (net := network(node.spec.pod_cidr)) and node.spec.pod_cidr]
    ranges.sort(key=lambda each: (int(each[0].network_address), -each[0].prefixlen, each[1].metadata.name))
    found: set[str] = set()
    widest: tuple[IPv4Network, str] | None = None
    for net, node in ranges:
        if widest is not None and net.overlaps(widest[0]):
            found |= {widest[1], node.metadata.name}
        if widest is None or int(net.broadcast_address) > int(widest[0].broadcast_address):
            widest = (net, node.metadata.name)
    hosts = sorted(int(ip) for _, node in ranges if (ip := address(node.internal_ip)))
    for net, node in ranges:
        at = bisect_left(hosts, int(net.network_address))
        if at < len(hosts) and hosts[at] <= int(net.broadcast_address):
            found.add(node.metadata.name)
    return frozenset(found)


def _observe_tests(evidence: Evidence, into: FactBuilder) -> None:
    by_pair: dict[tuple[str, str], list[str]] = defaultdict(list)
    held = {name: addresses_held(root) for name, root in node_views(evidence).items()}
    for flow in tried_flows(evidence):
        if address_of(evidence, flow.target) in held.get(flow.source.name, ()):
            continue  # It answered itself.
        if flow.purpose == "node" and flow.source.kind is SubjectKind.NODE and flow.target.kind is SubjectKind.NODE:
            by_pair[flow.source.name, flow.target.name].append(flow.reach)
    losses = _losses(evidence)
    from_node: dict[str, list[str]] = defaultdict(list)
    to_node: dict[str, list[str]] = defaultdict(list)
    for (source, target), reaches in sorted(by_pair.items()):
        reach = aggregate(reaches)
        if reach is not None:
            into.set(facts.pair(source, target), "node_ping", reach)
            into.set(facts.pair(source, target), "node_loss", losses.get((source, target), ""))
            from_node[source].append(reach)
            to_node[target].append(reach)
    for name, found in to_node.items():
        into.put(facts.node(name), "reached_from_nodes", aggregate(found), "no other node tried to reach it")
    for name in evidence.reports:
        untested = "no test ran from this node to another"
        into.put(facts.node(name), "reach_nodes", aggregate(from_node[name]), untested)
        tested = {target for source, target in by_pair if source == name}
        for other in sorted((tested | set(evidence.nodes_in_scope)) & evidence.nodes.keys() - {name}):
            _observe_pair(evidence, name, other, into)


def _losses(evidence: Evidence) -> Mapping[tuple[str, str], str]:
    """By pair of nodes how many pings of all that were sent got no answer."""
    sent, lost = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for source, _, test in evidence.tests:
        target = target_of(evidence, test)
        if test.purpose == "node" and test.protocol == "icmp" and source.kind is SubjectKind.NODE and target:
            sent[source.name, target.name] += test.tries
            lost[source.name, target.name] += test.tries - test.ok
    return {pair: f"{lost[pair]} of {plural(number, 'ping')}" for pair, number in sent.items() if lost[pair]}


def _observe_pair(evidence: Evidence, name: str, other: str, into: FactBuilder) -> None:
    pair = facts.pair(name, other)
    into.miss(pair, "node_ping", f"no test ran from node {name} to node {other}")
    ip = evidence.nodes[name].internal_ip if name in evidence.nodes else ""
    own = next((each for each in evidence.reports[name].root.addresses if ip and each.ip == ip), None)
    subnet = network(f"{own.ip}/{own.prefix_len}") if own else None
    there = address(evidence.nodes[other].internal_ip)
    same = there in subnet if subnet is not None and there is not None else None
    into.put(pair, "same_subnet", same, f"the subnet of node {name} was not read")


def _observe_static_neighbours(evidence: Evidence, into: FactBuilder) -> None:
    """What each node holds of the other. Learnt entries are let be: routers and clouds answer for others."""
    views = node_views(evidence)
    for name, view in views.items():
        for other, there in views.items():
            if other != name:
                wrong = (*_wrong_entries(evidence, view, there), *_wrong_entries(evidence, there, view))
                into.set(facts.pair(name, other), "static_neighbours_wrong", wrong)


def _wrong_entries(evidence: Evidence, view: NodeView, other: NodeView) -> tuple[str, ...]:
    ip = evidence.nodes[other.name].internal_ip if other.name in evidence.nodes else ""
    macs = {link.mac.lower() for link in other.links.values() if link.mac}
    entries = (one for one in view.state.neighbours if ip and one.ip == ip and one.state.upper() == "PERMANENT")
    wrong = (one for one in entries if macs and one.mac and one.mac.lower() not in macs)
    return tuple(f"{one.ip} lladdr {one.mac} dev {one.dev} PERMANENT on {view.name}" for one in wrong)


def _uplink(evidence: Evidence, root: NodeView) -> str:
    """The uplink's name, "" when it is not known."""
    state = root.state
    ip = evidence.nodes[root.name].internal_ip if root.name in evidence.nodes else ""
    return uplink(state.routes, root.links, next((each.dev for each in state.addresses if ip and each.ip == ip), ""))


def _without_arp(root: NodeView, dev: str) -> str:
    """A link that needs ARP and has none. Tunnels and their kind, which have no MAC address, need none."""
    needing = (link for link in (root.links.get(dev), *_bridges(root)) if link and link.mac)
    return next((link.name for link in needing if not link.has_arp), "")


def _bridges(root: NodeView) -> list[Link]:
    masters = {link.master for link in root.links.values()}
    return [link for link in root.links.values() if link.kind == "bridge" and link.name in masters]


def _observe_arp_ignored(root: NodeView, dev: str, into: FactBuilder) -> None:
    """Where arp_ignore has the node answer nobody who asks for its own address. By proxy it answers nevertheless.

    Source: net/ipv4/arp.c, arp_ignore(): 8 answers nothing; lower values answer for the addresses of that device
    """
    node, unread = facts.node(root.name), "the sysctls of the uplink were not read"
    of_uplink = strictest(root.state, dev, "arp_ignore") if dev else None
    into.put(node, "uplink_ignores_arp", None if of_uplink is None else of_uplink == _ANSWERS_NOTHING, unread)
    of_bridges = {link.name: strictest(root.state, link.name, "arp_ignore") for link in _bridges(root)}
    silent = next((name for name, value in of_bridges.items() if value == _ANSWERS_NOTHING), "")
    known = silent if silent or None not in of_bridges.values() else None
    into.put(node, "bridge_ignores_arp", known, "the sysctls of the bridge were not read")
    places = list(dict.fromkeys(one for one in ("all", dev, *of_bridges) if one))
    values = {place: conf(root.state, place, "arp_ignore") for place in places}
    # By slashes, since a device's name may have a dot.
    held = tuple(f"sysctl -w net/ipv4/conf/{one}/arp_ignore=0" for one in values if values[one] == _ANSWERS_NOTHING)
    into.put(node, "arp_answering", None if None in values.values() else held, "not all of these sysctls were read")


def _next_hop_failed(evidence: Evidence, root: NodeView, dev: str) -> tuple[bool | None, str]:
    """Whether a gateway of the uplink, or another node on it, is FAILED or INCOMPLETE in the neighbour table."""
    state = root.state
    if not dev:
        return None, "the node's uplink is not known"
    if dev in root.links and not root.links[dev].has_arp:
        return None, "the node's uplink carries the NOARP flag"
    if not state.neighbours and not root.is_ours:
        return None, "the node's neighbour table was not read"
    hops = {route.via for route in state.routes if route.dev == dev and route.via} | evidence.node_by_ip.keys()
    bad = (each for each in state.neighbours if each.dev == dev and each.state.upper() in {"FAILED", "INCOMPLETE"})
    return any(each.ip in hops for each in bad), ""


# Judgement


def judge(table: FactTable) -> Sequence[Finding]:
    """FAIL for nodes that are not ready and for pairs that do not reach each other; PASS by node."""
    found: list[Finding] = []
    for node in table.subjects(SubjectKind.NODE):
        found += _about_node(node, table.of(node))
    reached: dict[str, list[Subject]] = defaultdict(list)
    for pair in table.subjects(SubjectKind.PAIR):
        source, target = (end.name for end in pair.ends)
        reach = table.of(pair).get("node_ping")
        if reach == "ok":
            reached[source].append(facts.node(target))
        elif isinstance(reach, str):
            found.append(_unreached(pair, source, target, reach, table.of(pair)))
    found += (_pass(source, targets) for source, targets in sorted(reached.items()))
    found += _untested(table)
    return found


def _about_node(node: Subject, known: Mapping[str, Value]) -> Iterator[Finding]:
    if known.get("is_ready") is False:
        yield Finding(
            probe=NAME,
            subject=node,
            severity=Severity.FAIL,
            sentence=f"Node {node.name} is not ready ({known.get('not_ready_reason') or 'no reason given'}).",
            evidence={key: known[key] for key in ("is_ready", "not_ready_reason") if key in known},
            symptom=Symptom(kind=SymptomKind.NODE_NOT_READY, subject=node, hop="node"),
        )
    if known.get("cidr_overlap"):
        sentence = f"The pod range of node {node.name} overlaps that of another node, or contains a node's address."
        yield Finding(probe=NAME, subject=node, severity=Severity.WARN, sentence=sentence)


def _unreached(pair: Subject, source: str, target: str, reach: str, known: Mapping[str, Value]) -> Finding:
    """A firewall that takes ICMP between nodes hurts nobody: where pods do reach each other, this is worth a note."""
    pods_do = known.get("pod_ping") == "ok" or known.get("pod_ping_tcp") == "ok"
    is_partly = reach == "mixed"
    but = ", yet its pods reach that node's pods: a firewall takes ICMP between nodes" if pods_do else ""
    hop = "node" if reach in {"net-unreachable", "invalid", "denied"} else "underlay"
    return Finding(
        probe=NAME,
        subject=pair,
        severity=Severity.WARN if is_partly else Severity.INFO if pods_do else Severity.FAIL,
        sentence=f"Node {source} does not reliably reach node {target}: {_lost(known)}."
        if is_partly
        else f"Node {source} does not reach node {target}: ICMP {in_words(reach)}{but}.",
        evidence={"node_ping": reach},
        symptom=None if pods_do or is_partly else Symptom(kind=SymptomKind.NODE_UNREACHABLE, subject=pair, hop=hop),
    )


def _lost(known: Mapping[str, Value]) -> str:
    loss = known.get("node_loss")
    return f"{loss} got no answer" if loss else f"ICMP {in_words('mixed')}"


def _pass(source: str, targets: Sequence[Subject]) -> Finding:
    return Finding(
        probe=NAME,
        subject=facts.node(source),
        severity=Severity.PASS,
        sentence=f"Node {source} reaches {plural(len(targets), 'other node')} ({names(targets)}) by ICMP.",
    )


def _untested(table: FactTable) -> Iterator[Finding]:
    """INCONCLUSIVE for pairs of which nobody tested either direction."""
    by_source: dict[str, list[Subject]] = defaultdict(list)
    for pair in table.subjects(SubjectKind.PAIR):
        source, target = (end.name for end in pair.ends)
        if "node_ping" not in table.of(pair) and table.why_unobserved(pair, "node_ping"):
            by_source[source].append(facts.node(target))
    for source, targets in sorted(by_source.items()):
        yield Finding(
            probe=NAME,
            subject=facts.node(source),
            severity=Severity.INCONCLUSIVE,
            sentence=f"Whether node {source} reaches {names(targets)} was not tested.",
        )


PROBE = Probe(
    name=NAME,
    question="Do nodes reach each other, are they ready, and do their pod ranges exclude one another?",
    facts=FACTS,
    needs=LOOK_AT_PODS,
    observe=observe,
    judge=judge,
)
