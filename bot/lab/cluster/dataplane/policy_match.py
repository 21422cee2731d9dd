"""NetworkPolicies as packet matches: which pods a policy selects, and which packets its rules allow.

Source: https://kubernetes.io/docs/concepts/services-networking/network-policies/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Direction = Literal["ingress", "egress"]
Obj = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyPod:
    """What policies look at in a pod."""

    namespace: str
    name: str
    ip: str
    labels: Mapping[str, str]
    named_ports: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Everything that a policy's meaning depends on."""

    pods: Sequence[PolicyPod]
    namespaces: Mapping[str, Mapping[str, str]]
    """Labels by namespace."""


def policy_pod(pod: Obj) -> PolicyPod:
    """From a Pod object that has an address."""
    ports = {
        port["name"]: int(port["containerPort"])
        for container in pod["spec"]["containers"]
        for port in container.get("ports") or ()
        if port.get("name")
    }
    metadata = pod["metadata"]
    labels: Mapping[str, str] = metadata.get("labels") or {}
    status: Obj = pod.get("status") or {}
    return PolicyPod(
        namespace=metadata["namespace"],
        name=metadata["name"],
        ip=status.get("podIP", ""),
        labels=labels,
        named_ports=ports,
    )


def matches(selector: Obj, labels: Mapping[str, str]) -> bool:
    """A LabelSelector; an empty one matches everything."""
    wanted: Mapping[str, str] = selector.get("matchLabels") or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    return all(_expression(one, labels) for one in selector.get("matchExpressions") or ())


def _expression(expression: Obj, labels: Mapping[str, str]) -> bool:
    value = labels.get(expression["key"])
    match expression["operator"]:
        case "In":
            return value in expression["values"]
        case "NotIn":
            return value not in expression["values"]
        case "Exists":
            return value is not None
        case _:
            return value is None


def directions(policy: Obj) -> set[Direction]:
    """Which directions the policy isolates; ``policyTypes`` defaults as the API server defaults it."""
    types: Sequence[str] | None = policy["spec"].get("policyTypes")
    if types is None:
        types = ["Ingress", *(["Egress"] if policy["spec"].get("egress") else [])]
    found: set[Direction] = set()
    if "Ingress" in types:
        found.add("ingress")
    if "Egress" in types:
        found.add("egress")
    return found


def selects(policy: Obj, pod: PolicyPod) -> bool:
    """Is this pod isolated by the policy?"""
    selector: Obj = policy["spec"].get("podSelector") or {}
    return pod.namespace == policy["metadata"]["namespace"] and matches(selector, pod.labels)


def rule_matches(policy: Obj, direction: Direction, cluster: Cluster) -> Iterable[str]:
    """Matches in nftables' words, one for each kind of packet that the policy allows in this direction."""
    side = "saddr" if direction == "ingress" else "daddr"
    peers_key = "from" if direction == "ingress" else "to"
    for rule in policy["spec"].get(direction) or ():
        peers: Sequence[Obj] = rule.get(peers_key) or ()
        ports: Sequence[Obj] = rule.get("ports") or ()
        chosen = [pod for pod in cluster.pods if any(_is_peer(one, pod, policy, cluster) for one in peers)]
        for where in _where(side, peers, chosen):
            if direction == "egress":
                targets = chosen if peers else cluster.pods
            else:
                targets = [pod for pod in cluster.pods if selects(policy, pod)]
            for what in _what(ports, targets):
                yield f"{where} {what}".strip()


def _where(side: str, peers: Sequence[Obj], chosen: Sequence[PolicyPod]) -> Iterable[str]:
    if not peers:
        yield ""
        return
    addresses = sorted({pod.ip for pod in chosen if pod.ip})
    if addresses:
        yield f"ip {side} {{ {', '.join(addresses)} }}"
    for peer in peers:
        block: Obj | None = peer.get("ipBlock")
        if block:
            excluded = ", ".join(block.get("except") or ())
            yield f"ip {side} {block['cidr']}" + (f" ip {side} != {{ {excluded} }}" if excluded else "")


def _what(ports: Sequence[Obj], targets: Sequence[PolicyPod]) -> Iterable[str]:
    if not ports:
        yield ""
        return
    for port in ports:
        protocol = str(port.get("protocol") or "TCP").lower()
        number = port.get("port")
        if number is None:
            yield f"meta l4proto {protocol}"
        elif isinstance(number, int):
            yield f"{protocol} dport {number}" + (f"-{port['endPort']}" if port.get("endPort") else "")
        else:
            for one in sorted({pod.named_ports[number] for pod in targets if number in pod.named_ports}):
                yield f"{protocol} dport {one}"


def _is_peer(peer: Obj, pod: PolicyPod, policy: Obj, cluster: Cluster) -> bool:
    if peer.get("ipBlock"):
        return False
    namespaces: Obj | None = peer.get("namespaceSelector")
    if namespaces is None:
        if pod.namespace != policy["metadata"]["namespace"]:
            return False
    elif not matches(namespaces, cluster.namespaces.get(pod.namespace, {})):
        return False
    return matches(peer.get("podSelector") or {}, pod.labels)
