"""Does a node hold what belongs to another: its address, the address of a pod or a Service, its MAC address?

Whatever a node sends to an address that it holds itself it gives to itself: its own tunnel, kubelet, API server. So a
VIP daemon, kube-proxy in IPVS mode with a Service whose externalIPs name a node, or a cloned machine cut nodes off,
and every tool blames the network between them. kube-ipvs0 rightly holds addresses of Services, never those of nodes.

Source: https://github.com/kubernetes/kubernetes/issues/75290, issues/127410; https://github.com/kube-vip/kube-vip/issues/1288
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from bot.domain import facts
from bot.domain.facts import FactBuilder, FactTable, Subject, SubjectKind, Value
from bot.domain.finding import Finding, Severity
from bot.probes.engine.evidence import Evidence
from bot.probes.engine.fact_spec import NODE, fact
from bot.probes.engine.needs import LOOK_AT_PODS
from bot.probes.engine.probe import Probe
from bot.probes.services.claims import every_service
from bot.probes.shared.held_addresses import Held, addresses_held
from bot.probes.shared.pod_views import NodeView, node_views
from bot.probes.shared.routing import uplink

NAME = "node-identity"
LISTED = 10
_LOOK = "ip addr; ip route show table local  # on <node>, against: kubectl get nodes,pods,services -A -o wide"
_LOOK_MAC = "ip link  # on each node"
_FOR_SERVICES = ("kube-ipvs0", "nodelocaldns", "kube-dummy-if", "lo")
"""Devices that rightly hold addresses of Services."""
_NO_MAC = frozenset({"", "00:00:00:00:00:00"})

FACTS = (
    fact(
        "node.holds_foreign_address",
        "bool",
        "The node holds an address of another node, a pod or a Service.",
        look=_LOOK,
        rungs=NODE,
    ),
    fact(
        "node.foreign_addresses", "list", "Such addresses: whose they are, and on which device.", look=_LOOK, rungs=NODE
    ),
    fact(
        "node.foreign_addresses_claimed",
        "list",
        "Services that name one of them as an external address (externalIPs, the address of a balancer).",
        look="kubectl get services -A -o wide",
        rungs=NODE,
    ),
    fact(
        "node.foreign_addresses_removal",
        "list",
        "The commands that take them from the node, of those that no Service claims which was read.",
        look=_LOOK,
        rungs=NODE,
    ),
    fact(
        "node.has_shared_mac",
        "bool",
        "The node's uplink or tunnel has the MAC address of another node's.",
        look=_LOOK_MAC,
        rungs=NODE,
    ),
    fact("node.shared_macs", "list", "Such MAC addresses, and whose they are too.", look=_LOOK_MAC, rungs=NODE),
    fact("pair.address_held", "bool", "One of the two nodes holds the other's address itself.", look=_LOOK, rungs=NODE),
)


def observe(evidence: Evidence, into: FactBuilder) -> None:
    """What every node holds against what the API says, and against what its peers hold."""
    by_node = node_views(evidence)
    macs = _macs(evidence, by_node)
    held = {name: addresses_held(root) for name, root in by_node.items()}
    for name, root in by_node.items():
        node = facts.node(name)
        if not root.state.addresses:
            keys = ("holds_foreign_address", *(f"foreign_addresses{which}" for which in ("", "_claimed", "_removal")))
            into.miss_all(node, keys, root.why_missing("root.addresses") or "the node's addresses were not read")
        else:
            found = dict(_foreign(evidence, root, held[name]))
            into.set(node, "holds_foreign_address", bool(found))
            into.set(node, "foreign_addresses", tuple(found.values())[:LISTED])
            claims = {ip: _claimants(evidence, ip) for ip in found}
            by = tuple(sorted({one for each in claims.values() for one in each}))
            is_known = bool(by) or not found or evidence.snapshot.claiming_services is not None
            why = "Services of all namespaces were not read"
            into.put(node, "foreign_addresses_claimed", by if is_known else None, why)
            free = [_removal(root, ip, held[name][ip]) for ip in found if not claims[ip]]
            into.set(node, "foreign_addresses_removal", tuple(free[:LISTED]))
        shared = tuple(_shared(name, macs))
        into.set(node, "has_shared_mac", bool(shared))
        into.set(node, "shared_macs", shared[:LISTED])
        for other in by_node:
            if other != name:
                _observe_pair(evidence, name, other, held, into)


def _observe_pair(
    evidence: Evidence, name: str, other: str, held: Mapping[str, Mapping[str, Held]], into: FactBuilder
) -> None:
    ips = [evidence.nodes[one].internal_ip if one in evidence.nodes else "" for one in (name, other)]
    is_known = all(ips) and held[name] and held[other]
    is_held = ips[1] in held[name] or ips[0] in held[other]
    why = "the addresses of both nodes were not read"
    into.put(facts.pair(name, other), "address_held", is_held if is_known else None, why)


def _foreign(evidence: Evidence, root: NodeView, held: Mapping[str, Held]) -> Iterator[tuple[str, str]]:
    """Each such address, and whose it is and where, in words."""
    nodes = {node.internal_ip: name for name, node in evidence.nodes.items() if node.internal_ip}
    services = {each.spec.cluster_ip: subject.name for subject, each in evidence.services.items()}
    for ip, place in held.items():
        if (owner := nodes.get(ip, root.name)) != root.name:
            yield ip, f"{ip} of {owner} on {place}{_claimed(evidence, ip)}"
        elif pods := evidence.pods_by_ip.get(ip):
            yield ip, f"{ip} of pod {pods[0].name} on {place}"
        elif ip in services and not _is_for_services(root, place):
            yield ip, f"{ip} of Service {services[ip]} on {place}"


def _is_for_services(root: NodeView, place: Held) -> bool:
    link = root.links.get(place.dev)
    return place.dev in _FOR_SERVICES or (link is not None and link.kind == "dummy")


def _claimed(evidence: Evidence, ip: str) -> str:
    names = _claimants(evidence, ip)
    return f" (externalIP of Service {names[0]})" if names else ""


def _claimants(evidence: Evidence, ip: str) -> Sequence[str]:
    """Which Services name it as an external address, of those of all namespaces that were read."""
    return [
        subject.name
        for subject, each in every_service(evidence).items()
        if ip in each.spec.external_ips or any(ip == one.ip for one in each.status.load_balancer.ingress)
    ]


def _removal(root: NodeView, ip: str, place: Held) -> str:
    if place.is_route:
        return f"ip route del local {ip} dev {place.dev or 'lo'} table local"
    length = next((one.prefix_len for one in root.state.addresses if (one.ip, one.dev) == (ip, place.dev)), 32)
    return f"ip addr del {ip}/{length} dev {place.dev}"


_Macs = Mapping[str, Sequence[tuple[str, str]]]
"""MAC address -> (node, device)."""


def _macs(evidence: Evidence, by_node: Mapping[str, NodeView]) -> _Macs:
    """The MAC addresses of uplinks and tunnels: by these, nodes find each other."""
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for name, root in by_node.items():
        own = next((each.dev for each in root.state.addresses if evidence.node_by_ip.get(each.ip) == name), "")
        dev = uplink(root.state.routes, root.links, own)
        for link in root.state.links:
            if (link.name == dev or link.kind in {"vxlan", "geneve"}) and link.mac not in _NO_MAC:
                found[link.mac.lower()].append((name, link.name))
    return found


def _shared(name: str, macs: _Macs) -> Iterator[str]:
    for mac, places in sorted(macs.items()):
        for node, dev in places:
            others = sorted({other for other, _ in places if other != name})
            if node == name and others:
                yield f"{mac} on {dev}, which {', '.join(others)} has too"


def judge(table: FactTable) -> Sequence[Finding]:
    """WARN for each node that holds what is another's; PASS when none does."""
    nodes = list(table.subjects(SubjectKind.NODE))
    found = [finding for node in nodes for finding in _about(node, table.of(node))]
    looked = [node for node in nodes if table.of(node).get("holds_foreign_address") is False]
    if looked and not found:
        sentence = "No node that was inspected holds an address of another node, a pod or a Service."
        found.append(Finding(probe=NAME, subject=facts.CLUSTER, severity=Severity.PASS, sentence=sentence))
    return found


def _about(node: Subject, known: Mapping[str, Value]) -> Iterator[Finding]:
    addresses, macs = known.get("foreign_addresses"), known.get("shared_macs")
    if isinstance(addresses, tuple) and addresses:
        sentence = f"Node {node.name} holds {addresses[0]}: packets it sends there never leave it."
        yield _finding(node, sentence, foreign_addresses=addresses)
    if isinstance(macs, tuple) and macs:
        yield _finding(node, f"Node {node.name} has the MAC address {macs[0]}.", shared_macs=macs)


def _finding(node: Subject, sentence: str, **evidence: Value) -> Finding:
    return Finding(probe=NAME, subject=node, severity=Severity.WARN, sentence=sentence, evidence=evidence)


PROBE = Probe(
    name=NAME,
    question="Does a node hold what belongs to another: its address, a pod's or a Service's, its MAC address?",
    facts=FACTS,
    needs=LOOK_AT_PODS,
    observe=observe,
    judge=judge,
)
