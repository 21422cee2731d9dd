"""What Cilium has come to on the nodes, from the objects that its operator and the kubelets write."""

import ipaddress
from collections.abc import Sequence

from bot.cluster.writer import Object
from bot.domain.listing import and_more
from bot.domain.plan import value_at
from bot.remediation.status import Holds, is_ready


def blocks_of(cilium_node: Object) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    """The blocks of addresses that Cilium's operator has given to a node."""
    texts: Sequence[str] = value_at(cilium_node, ("spec", "ipam", "podCIDRs")) or ()
    return tuple(ipaddress.ip_network(text) for text in texts)


def cilium_nodes(found: Sequence[Object], nodes: Sequence[str], ranges: Sequence[str]) -> Holds:
    """Whether each node has a block, and of these ranges."""
    blocks = {str(one["metadata"]["name"]): blocks_of(one) for one in found}
    without = [node for node in nodes if not blocks.get(node)]
    if without:
        return Holds(is_so=False, why=f"Cilium has given no block of addresses to {and_more(without, 3)}")
    wanted = [ipaddress.ip_network(text) for text in ranges]
    for node in nodes:
        for block in blocks[node]:
            if not any(block.version == one.version and block.subnet_of(one) for one in wanted):  # pyright: ignore[reportArgumentType] the same version
                return Holds(is_so=False, why=f"{node} has the block {block}, which is not of {', '.join(ranges)}")
    return Holds(is_so=True)


def test_pods(pods: Sequence[Object], ciliums: Sequence[Object], nodes: Sequence[str]) -> Holds:
    """Whether a pod is Ready on each node, with an address of the node's block."""
    blocks = {str(one["metadata"]["name"]): blocks_of(one) for one in ciliums}
    for node in nodes:
        here = [pod for pod in pods if value_at(pod, ("spec", "nodeName")) == node]
        address = str(value_at(here[0], ("status", "podIP")) or "") if here else ""
        if not address:
            return Holds(is_so=False, why=f"the test pod on {node} has no address")
        if not any(ipaddress.ip_address(address) in block for block in blocks.get(node, ())):
            return Holds(is_so=False, why=f"the test pod on {node} has the address {address}, which is not Cilium's")
        if not any(map(is_ready, here)):
            return Holds(is_so=False, why=f"the test pod on {node} is not Ready")
    return Holds(is_so=True)
