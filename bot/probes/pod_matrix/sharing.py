"""What failing flows share: one pod's trouble looks like a fault between nodes from wherever it is tested.

A pod is what they share if, between the same nodes, every flow with it fails and a flow without it passes. Such flows
are the pod's own; nodes and their overlay are judged by what is left.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bot.domain.facts import Subject
from bot.probes.shared.flows import Tried

_Ends = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Role:
    """A pod as the source, or as the target, of flows of one protocol."""

    pod: Subject
    is_source: bool
    protocol: str


def own_failures(flows: Iterable[Tried]) -> Mapping[Subject, Sequence[Tried]]:
    """The failing flows between nodes that each pod has to itself, by pod; the pod with most of them first."""
    tried = [flow for flow in flows if not flow.is_denied and flow.source_node != flow.target_node]
    left = {id(flow) for flow in tried if flow.reach != "ok"}
    roles = _by_role(tried)
    found: dict[Subject, list[Tried]] = defaultdict(list)
    while left:
        counts = {role: sum(id(flow) in left for flow in own) for role, own in roles.items()}
        suspects = [role for role, own in roles.items() if counts[role] and _is_shared_by(role, own, tried)]
        if not suspects:
            break
        # Of a single failing flow both ends may be what fails: the target is taken, as its address is what is routed.
        worst = min(suspects, key=lambda role: (-counts[role], role.is_source, role.pod))
        mine = [flow for flow in roles[worst] if id(flow) in left]
        found[worst.pod] += mine
        left -= {id(flow) for flow in mine}
    return found


def _by_role(flows: Iterable[Tried]) -> Mapping[_Role, Sequence[Tried]]:
    found: dict[_Role, list[Tried]] = defaultdict(list)
    for flow in flows:
        found[_Role(flow.source, is_source=True, protocol=flow.protocol)].append(flow)
        found[_Role(flow.target, is_source=False, protocol=flow.protocol)].append(flow)
    return found


def _is_shared_by(role: _Role, own: Sequence[Tried], tried: Iterable[Tried]) -> bool:
    """Whether between each two nodes where flows of this pod fail, all do, and one of another pod passes."""
    failing = {_ends(flow) for flow in own if flow.reach != "ok"}
    if any(flow.reach == "ok" for flow in own if _ends(flow) in failing):
        return False
    passing = {
        _ends(flow)
        for flow in tried
        if flow.reach == "ok" and flow.protocol == role.protocol and role.pod not in (flow.source, flow.target)
    }
    return failing <= passing


def _ends(flow: Tried) -> _Ends:
    return flow.source_node, flow.target_node
