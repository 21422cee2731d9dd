"""Do nodes reach each other, are they ready, and do their pod ranges exclude one another?

If nodes do not reach each other no overlay can work; if they do and their pods do not, the fault lies in the overlay
or in routes. EHOSTUNREACH after 3 s from pods together with a FAILED entry on the uplink means that the next hop does
not answer ARP.

Source: https://kubernetes.io/docs/reference/node/node-status/#condition
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Network

from bot.cluster.objects import Node
from bot.domain import facts
from bot.domain.facts import FactBuilder, FactSpec, FactTable, Rung, Subject, SubjectKind, Value
from bot.domain.finding import Finding, Severity, Symptom, SymptomKind
from bot.probes.evidence import Evidence
from bot.probes.flows import tried_flows
from bot.probes.needs import LOOK_AT_PODS
from bot.probes.outcomes import REACH_VALUES, aggregate, in_words
from bot.probes.probe import Probe
from bot.probes.routing import address, network, uplink
from bot.probes.sight import Root, miss_all, put, roots
from bot.probes.telling import names, plural

NAME = "node-to-node"

_API = tuple(Rung)
_OUTSIDE = (Rung.CNI_AGENT, Rung.AGENT)
_LOOK_PING = "ping -c 1 <node ip>  # on the source node"
_LOOK_NODE = "kubectl describe node <node>"

FACTS = (
    FactSpec(
        name="pair.node_ping",
        type="str",
        values=REACH_VALUES,
        doc="How the first node reaches the second (ICMP to its InternalIP).",
        look=_LOOK_PING,
    ),
    FactSpec(
        name="pair.same_subnet",
        type="bool",
        doc="Both nodes' addresses are in one subnet, so that no router lies between them.",
        rungs=_OUTSIDE,
        look="ip addr  # on the source node",
    ),
    FactSpec(
        name="node.uplink_neigh_failed",
        type="bool",
        doc="A next hop on the uplink (a gateway or another node) does not answer ARP.",
        rungs=_OUTSIDE,
        look="ip neigh show dev <uplink>  # on <node>",
    ),
    FactSpec(
        name="node.uplink",
        type="str",
        values=("up", "down", "no-carrier"),
        doc="The device by which the node talks to others: switched off, or without a carrier.",
        rungs=_OUTSIDE,
        look="ip link show dev <uplink>  # on <node>",
    ),
    FactSpec(
        name="node.reach_nodes",
        type="str",
        values=REACH_VALUES,
        doc="How the node reaches the other nodes, all together.",
        look=_LOOK_PING,
    ),
    FactSpec(
        name="node.reached_from_nodes",
        type="str",
        values=REACH_VALUES,
        doc="How the other nodes reach the node, all together.",
        look=_LOOK_PING,
    ),
    FactSpec(
        name="node.is_ready",
        type="bool",
        doc="The node's Ready condition is True.",
        rungs=_API,
        look="kubectl get node <node>",
    ),
    FactSpec(
        name="node.not_ready_reason",
        type="str",
        doc="The reason of a Ready condition that is not True, empty when it is.",
        rungs=_API,
        look=_LOOK_NODE,
    ),
    FactSpec(
        name="node.unschedulable",
        type="bool",
        doc="The node is cordoned.",
        rungs=_API,
        look="kubectl get node <node>",
    ),
    FactSpec(
        name="node.cidr_overlap",
        type="bool",
        doc="The node's pod range overlaps that of another node or contains a node's address.",
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
            keys = ("is_ready", "not_ready_reason", "unschedulable", "cidr_overlap")
            miss_all(into, facts.node(name), keys, "the API did not list this node")
    _observe_tests(evidence, into)
    for name, root in roots(evidence).items():
        dev = _uplink(evidence, root)
        failed, why = _next_hop_failed(evidence, root, dev)
        put(into, facts.node(name), "uplink_neigh_failed", failed, why)
        link = root.links.get(dev)
        state = None if link is None else "down" if not link.is_up else "up" if link.has_carrier else "no-carrier"
        put(into, facts.node(name), "uplink", state, "the node's uplink is not known")


def _observe_api(node: Node, overlapping: frozenset[str], into: FactBuilder) -> None:
    subject = facts.node(node.metadata.name)
    ready = next((each for each in node.status.conditions if each.type == "Ready"), None)
    unsaid = "the node has no Ready condition"
    put(into, subject, "is_ready", None if ready is None else ready.status == "True", unsaid)
    reason = None if ready is None else "" if ready.status == "True" else (ready.reason or ready.status)[:80]
    put(into, subject, "not_ready_reason", reason, unsaid)
    into.set(subject, "unschedulable", node.spec.unschedulable)
    overlap = node.metadata.name in overlapping if node.spec.pod_cidr else None
    put(into, subject, "cidr_overlap", overlap, "the node has no podCIDR: its CNI hands out addresses by itself")


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
    for flow in tried_flows(evidence):
        if flow.purpose == "node" and flow.source.kind is SubjectKind.NODE and flow.target.kind is SubjectKind.NODE:
            by_pair[flow.source.name, flow.target.name].append(flow.reach)
    from_node: dict[str, list[str]] = defaultdict(list)
    to_node: dict[str, list[str]] = defaultdict(list)
    for (source, target), reaches in sorted(by_pair.items()):
        reach = aggregate(reaches)
        if reach is not None:
            into.set(facts.pair(source, target), "node_ping", reach)
            from_node[source].append(reach)
            to_node[target].append(reach)
    for name, found in to_node.items():
        put(into, facts.node(name), "reached_from_nodes", aggregate(found), "no other node tried to reach it")
    for name in evidence.reports:
        untested = "no test ran from this node to another"
        put(into, facts.node(name), "reach_nodes", aggregate(from_node[name]), untested)
        tested = {target for source, target in by_pair if source == name}
        for other in sorted((tested | set(evidence.nodes_in_scope)) & evidence.nodes.keys() - {name}):
            _observe_pair(evidence, name, other, into)


def _observe_pair(evidence: Evidence, name: str, other: str, into: FactBuilder) -> None:
    pair = facts.pair(name, other)
    into.miss(pair, "node_ping", f"no test ran from node {name} to node {other}")
    ip = evidence.nodes[name].internal_ip if name in evidence.nodes else ""
    own = next((each for each in evidence.reports[name].root.addresses if ip and each.ip == ip), None)
    subnet = network(f"{own.ip}/{own.prefix_len}") if own else None
    there = address(evidence.nodes[other].internal_ip)
    same = there in subnet if subnet is not None and there is not None else None
    put(into, pair, "same_subnet", same, f"the subnet of node {name} was not read")


def _uplink(evidence: Evidence, root: Root) -> str:
    """The uplink's name, "" when it is not known."""
    state = root.state
    ip = evidence.nodes[root.name].internal_ip if root.name in evidence.nodes else ""
    return uplink(state.routes, root.links, next((each.dev for each in state.addresses if ip and each.ip == ip), ""))


def _next_hop_failed(evidence: Evidence, root: Root, dev: str) -> tuple[bool | None, str]:
    """Whether a gateway of the uplink, or another node on it, is FAILED or INCOMPLETE in the neighbour table."""
    state = root.state
    if not dev:
        return None, "the node's uplink is not known"
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
        source, _, target = pair.name.partition(">")
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
    """A firewall that takes ICMP between nodes hurts nobody: where pods do reach each other, this is a WARN."""
    pods_do = known.get("pod_ping") == "ok" or known.get("pod_ping_tcp") == "ok"
    is_partly = reach == "mixed"
    but = ", yet its pods reach that node's pods: a firewall takes ICMP between nodes" if pods_do else ""
    hop = "node" if reach in {"net-unreachable", "invalid", "denied"} else "underlay"
    return Finding(
        probe=NAME,
        subject=pair,
        severity=Severity.WARN if pods_do or is_partly else Severity.FAIL,
        sentence=f"Node {source} does not reliably reach node {target}: ICMP {in_words(reach)}."
        if is_partly
        else f"Node {source} does not reach node {target}: ICMP {in_words(reach)}{but}.",
        evidence={"node_ping": reach},
        symptom=None if pods_do or is_partly else Symptom(kind=SymptomKind.NODE_UNREACHABLE, subject=pair, hop=hop),
    )


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
        source, _, target = pair.name.partition(">")
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
