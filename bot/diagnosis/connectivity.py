"""Which nodes reach which: every test between pods and nodes, folded into one state for each direction.

Tests between pods decide, for they take the way that applications take; a node's own tests stand in where no pod
tested. (A firewall that takes ICMP between nodes whose pods reach each other hurts nobody.) What policies forbid is
left out.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from statistics import median
from typing import Literal

from bot.domain.facts import FactTable, SubjectKind, Value, pair
from bot.domain.report import Connectivity
from bot.probes.engine.evidence import Evidence
from bot.probes.shared.flows import Tried, tried_flows

MAX_NODES = 100
MAX_NODES_IN_FULL = 32
"""Up to so many nodes a pair that nobody tested is listed as unknown; of more it is left out."""

Pair = tuple[str, str]


def connectivity(evidence: Evidence) -> tuple[Connectivity, ...]:
    """Each ordered pair of nodes, sorted; empty when no node was inspected."""
    if not evidence.reports:
        return ()
    pods: dict[Pair, list[Tried]] = defaultdict(list)
    hosts: dict[Pair, list[Tried]] = defaultdict(list)
    for flow in tried_flows(evidence):
        if flow.is_denied or not flow.source_node or not flow.target_node:
            continue
        is_between_pods = flow.source.kind is SubjectKind.POD and flow.target.kind is SubjectKind.POD
        (pods if is_between_pods else hosts)[flow.source_node, flow.target_node].append(flow)
    names = _names(evidence, {node for ends in (*pods, *hosts) for node in ends})
    pairs = product(names, names)
    if len(names) > MAX_NODES_IN_FULL:
        pairs = (ends for ends in pairs if ends in pods or ends in hosts)
    return tuple(_folded(ends, pods.get(ends) or hosts.get(ends, ())) for ends in pairs)


def with_lost_sizes(ways: Iterable[Connectivity], facts: FactTable) -> tuple[Connectivity, ...]:
    """The same with the size from which packets vanish: the tests that decide a direction are small."""
    return tuple(replace(way, lost_bytes=_lost(facts.of(pair(way.source, way.target)))) for way in ways)


def _lost(known: Mapping[str, Value]) -> int | None:
    lost = known.get("first_lost_bytes")
    return lost if isinstance(lost, int) else None


def _names(evidence: Evidence, tested: set[str]) -> Sequence[str]:
    """The nodes in scope, then others that were tested, as many as there is room for; sorted."""
    scope = set(evidence.nodes_in_scope)
    every = sorted(scope | tested, key=lambda name: (name not in scope, name))
    return sorted(every[:MAX_NODES])


def _folded(ends: Pair, flows: Sequence[Tried]) -> Connectivity:
    failed = sum(flow.reach != "ok" for flow in flows)
    state: Literal["ok", "failed", "partial", "unknown"] = "unknown"
    if flows:
        is_dead = failed == len(flows) and all(flow.reach != "mixed" for flow in flows)
        state = "failed" if is_dead else "partial" if failed else "ok"
    times = [flow.latency_ms for flow in flows if flow.latency_ms is not None]
    return Connectivity(
        source=ends[0],
        target=ends[1],
        state=state,
        tested=len(flows),
        failed=failed,
        latency_ms=round(median(times), 3) if times else None,
    )
