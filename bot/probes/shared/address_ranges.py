"""Which addresses the CNI hands out: pools, ranges and blocks of nodes, as the API tells them.

Source: https://docs.tigera.io/calico/latest/reference/resources/ippool (cidr, disabled)
Source: https://docs.cilium.io/en/stable/network/kubernetes/ciliumnode (spec.ipam.podCIDRs)
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from bot.cluster.objects import CustomObject, Node
from bot.probes.engine.evidence import Evidence
from bot.probes.policy.selectors import is_within, network


def text(values: Mapping[str, Any], *path: str) -> str:
    """The string at a path of a custom object, "" when there is none (or something else)."""
    found: object = values
    for key in path:
        found = cast("Mapping[str, object]", found).get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, str) else ""


def texts(values: Mapping[str, Any], *path: str) -> tuple[str, ...]:
    """The strings of the list at a path of a custom object."""
    found: object = values
    for key in path:
        found = cast("Mapping[str, object]", found).get(key) if isinstance(found, Mapping) else None
    if not isinstance(found, list | tuple):
        return ()
    return tuple(each for each in cast("Iterable[object]", found) if isinstance(each, str))


def pools(evidence: Evidence) -> tuple[str, ...] | None:
    """CIDRs of Calico's enabled IPPools; None where the API serves no such thing (or it was not read)."""
    found = evidence.snapshot.custom_objects.get("ippools")
    if found is None:
        return None
    return tuple(text(each.spec, "cidr") for each in found if each.spec.get("disabled") is not True)


def _custom(evidence: Evidence, plural: str) -> tuple[CustomObject, ...]:
    return evidence.snapshot.custom_objects.get(plural, ())


def node_ranges(node: Node) -> tuple[str, ...]:
    """The ranges that Kubernetes itself gave a node."""
    return tuple(dict.fromkeys(each for each in (node.spec.pod_cidr, *node.spec.pod_cidrs) if each))


def blocks_by_node(evidence: Evidence) -> Mapping[str, tuple[str, ...]]:
    """The networks from which each node hands out addresses: Calico's blocks, Cilium's ranges, else node.spec.podCIDR.

    A node without an entry has none that is known.
    """
    found: dict[str, list[str]] = {}
    for each in _custom(evidence, "blockaffinities"):
        if text(each.spec, "state") in {"", "confirmed"} and text(each.spec, "deleted") != "true":
            found.setdefault(text(each.spec, "node"), []).append(text(each.spec, "cidr"))
    for each in _custom(evidence, "ciliumnodes"):
        found.setdefault(each.metadata.name, []).extend(texts(each.spec, "ipam", "podCIDRs"))
    if not any(found.values()) and "blockaffinities" not in evidence.snapshot.custom_objects:
        found = {name: list(node_ranges(node)) for name, node in evidence.nodes.items() if _is_used(evidence, node)}
    return {name: tuple(c for c in dict.fromkeys(cidrs) if network(c)) for name, cidrs in found.items() if any(cidrs)}


def _is_used(evidence: Evidence, node: Node) -> bool:
    """Whether pods of this node have addresses from the ranges that Kubernetes gave it: many CNIs hand out their own.

    True also where no pod tells.
    """
    here = (evidence.pods[pod] for pod in evidence.pods_on(node.metadata.name))
    addresses = [pod.status.pod_ip for pod in here if pod.status.pod_ip and not pod.spec.host_network]
    return not addresses or any(in_ranges(ip, node_ranges(node)) for ip in addresses)


def in_ranges(ip: str, cidrs: Iterable[str]) -> bool:
    """Whether an address lies in one of these networks."""
    return any(is_within(ip, cidr) for cidr in cidrs)


def ranges_for_pods(evidence: Evidence, blocks: Mapping[str, tuple[str, ...]], node: str) -> tuple[str, ...] | None:
    """Where a pod of this node may have its address; None when nothing says so."""
    from_pools = pools(evidence)
    if from_pools:
        return from_pools
    return blocks.get(node) or None


def cluster_ranges(evidence: Evidence) -> Iterator[str]:
    """All ranges of pods that the API tells."""
    yield from pools(evidence) or ()
    for cidrs in blocks_by_node(evidence).values():
        yield from cidrs
