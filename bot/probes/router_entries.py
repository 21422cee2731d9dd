"""Does a node have a wrong static ARP entry for its router, or a route with a dead next hop beside others?

Frames for a wrong MAC address leave as if all were well, and nobody takes them: no rule, route or counter tells. What a
node learnt by itself may be a virtual router's MAC address, so only static entries are compared, with what was learnt
elsewhere in the same network.

Source: https://man7.org/linux/man-pages/man8/ip-neighbour.8.html (nud permanent)
"""

import shlex
from collections.abc import Iterator, Mapping, Sequence

from bot.agent.report import Neighbour
from bot.domain import facts
from bot.domain.facts import FactBuilder, FactTable, SubjectKind, Value
from bot.domain.finding import Finding, Severity
from bot.probes.engine.evidence import Evidence
from bot.probes.engine.fact_spec import fact
from bot.probes.engine.needs import LOOK_AT_PODS
from bot.probes.engine.probe import Probe
from bot.probes.route_legs import FACTS as LEG_FACTS
from bot.probes.route_legs import observe_legs
from bot.probes.shared.pod_views import NodeView, node_views
from bot.probes.shared.values import listed, strings

NAME = "router-entries"
LISTED = 10
LEARNT = frozenset({"REACHABLE", "STALE", "DELAY", "PROBE"})

FACTS = (
    fact(
        "node.router_entries_wrong",
        "list",
        "Static ARP entries of the node for next hops of its routes, with another MAC address than all others learnt.",
        look="ip neigh show nud permanent  # on <node>; ip neigh  # on another one",
    ),
    fact(
        "node.router_entry_deletions",
        "list",
        "The commands that delete these entries.",
        look="ip neigh show nud permanent  # on <node>",
        is_command=True,
    ),
    *LEG_FACTS,
)


def observe(evidence: Evidence, into: FactBuilder) -> None:
    """The static entries of each node, against what the others learnt; next hops that are dead beside others."""
    observe_legs(evidence, into)
    views = node_views(evidence)
    for name, root in views.items():
        why = root.why_missing("root.neighbours", "root.routes")
        if why or not root.state.links:
            keys = ("router_entries_wrong", "router_entry_deletions")
            into.miss_all(facts.node(name), keys, why or "the ARP table was not read")
            continue
        found = tuple(_wrong(views, root))[:LISTED]
        into.set(facts.node(name), "router_entries_wrong", tuple(words for _, words in found))
        deletions = tuple(f"ip neigh del {shlex.quote(one.ip)} dev {shlex.quote(one.dev)}" for one, _ in found)
        into.set(facts.node(name), "router_entry_deletions", deletions)


def _wrong(views: Mapping[str, NodeView], root: NodeView) -> Iterator[tuple[Neighbour, str]]:
    next_hops = {route.via for route in root.state.routes if route.via}
    for entry in root.state.neighbours:
        if entry.state != "PERMANENT" or not entry.mac or entry.ip not in next_hops:
            continue
        learnt = _learnt_elsewhere(views, root, entry)
        if learnt and entry.mac.lower() not in learnt:
            who, mac = listed(sorted(learnt.values()), 1), listed(sorted(learnt), 1)
            yield entry, f"{entry.ip} dev {entry.dev} lladdr {entry.mac} PERMANENT, while {who} learnt {mac}"


def _learnt_elsewhere(views: Mapping[str, NodeView], root: NodeView, entry: Neighbour) -> Mapping[str, str]:
    """MAC address to node: what others learnt for the address, and who."""
    return {
        each.mac.lower(): name
        for name, view in views.items()
        if name != root.name
        for each in view.state.neighbours
        if each.ip == entry.ip and each.mac and each.state in LEARNT
    }


def judge(table: FactTable) -> Sequence[Finding]:
    """WARN for each node with such an entry or next hop."""
    return [
        Finding(probe=NAME, subject=node, severity=Severity.WARN, sentence=sentence)
        for node in table.subjects(SubjectKind.NODE)
        for sentence in _sentences(node.name, table.of(node))
    ]


def _sentences(node: str, known: Mapping[str, Value]) -> Iterator[str]:
    if wrong := strings(known.get("router_entries_wrong")):
        yield f"Node {node} has a static ARP entry for its router that is wrong: {wrong[0]}."
    if dead := strings(known.get("route_legs_dead")):
        yield f"A route of node {node} that flows which failed take has a dead next hop: {dead[0]}."
    if idle := strings(known.get("route_legs_idle")):
        yield f"A route of node {node} has a dead next hop, and no flow that was tried is lost by it: {idle[0]}."


PROBE = Probe(
    name=NAME,
    question="Does a node have a wrong static ARP entry for its router, or a route with a dead next hop beside others?",
    facts=FACTS,
    needs=LOOK_AT_PODS,
    observe=observe,
    judge=judge,
)
