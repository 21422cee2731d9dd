"""Does a node spread packets over several next hops, of which one is dead?

The kernel picks a next hop by the addresses (or the ports) of a flow, and asks nobody whether it answers: some flows
always pass, others never do, and every test between nodes seems to fail by chance. Only a route that flows which failed
do take is to blame.

Source: https://docs.kernel.org/networking/ip-sysctl.html (fib_multipath_hash_policy, fib_multipath_use_neigh)
"""

import shlex
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bot.agent.report import Link, NetnsState, Route
from bot.domain import facts
from bot.domain.facts import FactBuilder
from bot.probes.engine.evidence import Evidence
from bot.probes.engine.fact_spec import fact
from bot.probes.filters.journeys import Journeys
from bot.probes.shared.pod_views import NodeView, node_views
from bot.probes.shared.routing import MAIN, RouteTable

LISTED = 10
KEYS = ("route_legs_dead", "route_leg_repairs", "route_legs_idle")
_SILENT = frozenset({"FAILED", "INCOMPLETE"})
_LOOK = "ip route; ip neigh  # on <node>"

FACTS = (
    fact(
        "node.route_legs_dead",
        "list",
        "Next hops of the node's routes that are dead beside others, where flows that failed take the route.",
        look=_LOOK,
    ),
    fact(
        "node.route_leg_repairs",
        "list",
        "The commands that write these routes again without their dead next hops.",
        look="ip route  # on <node>",
        is_command=True,
    ),
    fact("node.route_legs_idle", "list", "The same of routes that no failed flow takes.", look=_LOOK),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spread:
    """A route with several next hops, some of them dead."""

    legs: tuple[Route, ...]
    dead: Mapping[Route, str]
    """With the reason of each."""

    @property
    def dst(self) -> str:
        return self.legs[0].dst

    def words(self) -> Iterator[str]:
        for leg, why in self.dead.items():
            yield f"{self.dst} nexthop {_hop(leg)} ({why}; of {len(self.legs)} next hops)"

    def repair(self) -> str:
        """The route without them; "" where none is left."""
        left = [leg for leg in self.legs if leg not in self.dead]
        if not left:
            return ""
        first = left[0]
        words = ["ip", "route", "replace", first.dst]
        words += ["proto", first.proto] if first.proto not in {"", "boot"} else []
        words += ["metric", str(first.metric)] if first.metric else []
        words += ["src", first.src] if first.src else []
        if len(left) == 1:
            words += _hop(first).split()
        else:
            words += [word for leg in left for word in ("nexthop", *_hop(leg).split())]
        return shlex.join(words)


def observe_legs(evidence: Evidence, into: FactBuilder) -> None:
    """The routes of each node that spread packets, against the flows that failed."""
    ways = Journeys(evidence)
    for name, root in node_views(evidence).items():
        node = facts.node(name)
        if why := _why_unread(root):
            into.miss_all(node, KEYS, why)
            continue
        spread = list(_spread(root.state))
        table = RouteTable(root.state.routes)
        failed = set(_failed_targets(evidence, ways, name)) if spread else set[str]()
        taken = {route.dst for ip in failed if (route := table.lookup(ip)) is not None}
        used = [one for one in spread if one.dst in taken]
        into.set(node, "route_legs_dead", tuple(words for one in used for words in one.words())[:LISTED])
        into.set(node, "route_leg_repairs", tuple(filter(None, (one.repair() for one in used)))[:LISTED])
        idle = tuple(words for one in spread if one not in used for words in one.words())
        into.set(node, "route_legs_idle", idle[:LISTED])


def _why_unread(root: NodeView) -> str:
    why = root.why_missing("root.neighbours", "root.routes", "root.links")
    return why or ("" if root.state.links else "the routes were not read")


def _spread(state: NetnsState) -> Iterator[_Spread]:
    links = {link.name: link for link in state.links}
    silent = {(one.ip, one.dev): one.state for one in state.neighbours if one.state in _SILENT}
    by_route: dict[tuple[str, int], list[Route]] = defaultdict(list)
    for route in state.routes:
        if route.table == MAIN and route.type == "unicast":
            by_route[route.dst, route.metric].append(route)
    for legs in by_route.values():
        dead = {leg: why for leg in legs if (why := _why_dead(leg, links, silent))} if len(legs) > 1 else {}
        if dead:
            yield _Spread(legs=tuple(legs), dead=dead)


def _why_dead(leg: Route, links: Mapping[str, Link], silent: Mapping[tuple[str, str], str]) -> str:
    link = links.get(leg.dev)
    if link is not None and link.is_up and not link.has_carrier:
        return f"{leg.dev} has no carrier"
    state = silent.get((leg.via, leg.dev)) if leg.via else None
    return f"does not answer ARP, {state}" if state else ""


def _hop(leg: Route) -> str:
    via = f"via {leg.via} " if leg.via else ""
    return f"{via}dev {leg.dev}{' onlink' if leg.onlink else ''}"


def _failed_targets(evidence: Evidence, ways: Journeys, name: str) -> Iterator[str]:
    """Where packets of flows that failed go from this node: requests that it sends on, and answers of its pods."""
    for source, node, test in evidence.tests:
        if test.outcome == "ok" and test.ok in {0, test.tries}:
            continue
        ends = ways.targets(test)
        ends = ends - {test.ip} if len(ends) > 1 else ends
        if node == name:
            yield from ends
        pod = evidence.pods.get(source)
        host = evidence.nodes.get(node)
        client = pod.status.pod_ip if pod and not pod.spec.host_network else host.internal_ip if host else ""
        if client and node != name and any(_is_on(evidence, ip, name) for ip in ends):
            yield client


def _is_on(evidence: Evidence, ip: str, name: str) -> bool:
    pods = evidence.pods_by_ip.get(ip, ())
    return any(evidence.node_of(pod) == name for pod in pods) or evidence.node_by_ip.get(ip) == name
