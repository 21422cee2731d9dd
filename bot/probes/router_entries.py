"""Does a node have a static ARP entry for its router that contradicts what all others learnt?

Frames for a wrong MAC address leave as if all were well, and nobody takes them: no rule, route or counter tells. What a
node learnt by itself may be a virtual router's MAC address, so only static entries are compared, with what was learnt
elsewhere in the same network.

Source: https://man7.org/linux/man-pages/man8/ip-neighbour.8.html (nud permanent)
"""

import shlex
from collections.abc import Iterator, Mapping, Sequence

from bot.agent.report import Neighbour
from bot.domain import facts
from bot.domain.facts import FactBuilder, FactTable, SubjectKind
from bot.domain.finding import Finding, Severity
from bot.probes.engine.evidence import Evidence
from bot.probes.engine.fact_spec import fact
from bot.probes.engine.needs import LOOK_AT_PODS
from bot.probes.engine.probe import Probe
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
)


def observe(evidence: Evidence, into: FactBuilder) -> None:
    """The static entries of each node, against what the others learnt."""
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
    """WARN for each node with such an entry."""
    return [
        Finding(
            probe=NAME,
            subject=node,
            severity=Severity.WARN,
            sentence=f"Node {node.name} has a static ARP entry for its router that is wrong: {wrong[0]}.",
        )
        for node in table.subjects(SubjectKind.NODE)
        if (wrong := strings(table.of(node).get("router_entries_wrong")))
    ]


PROBE = Probe(
    name=NAME,
    question="Does a node have a static ARP entry for its router that contradicts what all others learnt?",
    facts=FACTS,
    needs=LOOK_AT_PODS,
    observe=observe,
    judge=judge,
)
