"""Policies of cluster admins as packet matches, in the order in which they are asked.

Source: https://github.com/kubernetes-sigs/network-policy-api (v1alpha1; ClusterNetworkPolicy v1alpha2)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bot.lab.cluster.dataplane.policy_match import Cluster, Direction, Obj, PolicyPod, matches

RESOURCES: Final = tuple(
    f"{plural}.policy.networking.k8s.io"
    for plural in ("adminnetworkpolicies", "baselineadminnetworkpolicies", "clusternetworkpolicies")
)
_VERDICTS: Final[Mapping[str, str]] = {"Allow": "allow", "Accept": "allow", "Deny": "deny", "Pass": "pass"}


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminRule:
    """One match of one rule, and what becomes of such packets: allow, deny or pass."""

    match: str
    verdict: str


def name_of(policy: Obj) -> str:
    """How the policy's chain and comments call it."""
    return f"{policy['kind']}/{policy['metadata']['name']}"


def is_baseline(policy: Obj) -> bool:
    """Does it stand behind NetworkPolicies?"""
    return policy["kind"].startswith("Baseline") or policy["spec"].get("tier") == "Baseline"


def in_order(policies: Iterable[Obj], *, baseline: bool) -> Sequence[Obj]:
    """Those of one tier, the first to be asked first."""
    chosen = [one for one in policies if is_baseline(one) is baseline]
    return sorted(chosen, key=lambda one: (one["spec"].get("priority", 0), name_of(one)))


def selects(policy: Obj, pod: PolicyPod, cluster: Cluster) -> bool:
    """Is this pod the policy's subject?"""
    return _is_peer(policy["spec"]["subject"], pod, cluster)


def rules(policy: Obj, direction: Direction, cluster: Cluster) -> Iterator[AdminRule]:
    """The matches of its rules in nftables' words, in their order."""
    side, key = ("saddr", "from") if direction == "ingress" else ("daddr", "to")
    for rule in policy["spec"].get(direction) or ():
        peers: Sequence[Obj] = rule[key]
        chosen = [pod for pod in cluster.pods if any(_is_peer(peer, pod, cluster) for peer in peers)]
        targets = chosen if direction == "egress" else [one for one in cluster.pods if selects(policy, one, cluster)]
        ports: Sequence[Obj] = rule.get("ports") or rule.get("protocols") or ()
        for where in _where(side, peers, chosen):
            for what in _what(ports, targets):
                yield AdminRule(match=f"{where} {what}".strip(), verdict=_VERDICTS[rule["action"]])


def _is_peer(peer: Obj, pod: PolicyPod, cluster: Cluster) -> bool:
    labels = cluster.namespaces.get(pod.namespace, {})
    if "namespaces" in peer:
        return matches(peer["namespaces"], labels)
    if "pods" not in peer:
        return False
    chosen: Obj = peer["pods"]
    return matches(chosen.get("namespaceSelector") or {}, labels) and matches(chosen["podSelector"], pod.labels)


def _where(side: str, peers: Sequence[Obj], chosen: Sequence[PolicyPod]) -> Iterator[str]:
    if addresses := sorted({pod.ip for pod in chosen}):
        yield f"ip {side} {{ {', '.join(addresses)} }}"
    for peer in peers:
        yield from (f"ip {side} {cidr}" for cidr in peer.get("networks") or () if ":" not in cidr)


def _what(ports: Sequence[Obj], targets: Sequence[PolicyPod]) -> Iterator[str]:
    if not ports:
        yield ""
    for port in ports:
        ((kind, wanted),) = port.items()
        match kind:
            case "portNumber":
                yield f"{_protocol(wanted)} dport {wanted['port']}"
            case "portRange":
                yield f"{_protocol(wanted)} dport {wanted['start']}-{wanted['end']}"
            case "namedPort" | "destinationNamedPort":
                numbers = {pod.named_ports[wanted] for pod in targets if wanted in pod.named_ports}
                yield from (f"tcp dport {number}" for number in sorted(numbers))
            case _:
                yield _of_protocol(kind, wanted)


def _of_protocol(protocol: str, wanted: Mapping[str, Any]) -> str:
    destination: Obj = wanted.get("destinationPort") or {}
    if "number" in destination:
        return f"{protocol} dport {destination['number']}"
    if "range" in destination:
        return f"{protocol} dport {destination['range']['start']}-{destination['range']['end']}"
    return f"meta l4proto {protocol}"


def _protocol(wanted: Obj) -> str:
    return str(wanted.get("protocol") or "TCP").lower()
