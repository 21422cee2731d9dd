"""Who has which pod address: Calico's affine /26 blocks, and host-local's one range per node."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator


class ExhaustedError(Exception):
    """No address is free."""


class Range:
    """Addresses of one network, handed out in order, the released ones last (as host-local does)."""

    def __init__(self, cidr: str, *, reserved: int) -> None:
        self.cidr = cidr
        network = ipaddress.ip_network(cidr)
        last = network.num_addresses - (1 if network.prefixlen < 26 else 0)  # a /24 on a bridge keeps its broadcast
        self._order = [str(network[number]) for number in range(reserved, last)]
        self._next = 0
        self.used: set[str] = set()

    def take(self) -> str:
        """Raises ExhaustedError."""
        for offset in range(len(self._order)):
            address = self._order[(self._next + offset) % len(self._order)]
            if address not in self.used:
                self._next = (self._next + offset + 1) % len(self._order)
                self.used.add(address)
                return address
        raise ExhaustedError(f"no IP addresses available in range set: {self._order[0]}-{self._order[-1]}")

    def give_back(self, address: str) -> None:
        """The address is free again."""
        self.used.discard(address)


class Blocks:
    """Calico's IPAM: /26 blocks of one pool, each affine to a node, more of them when one is full."""

    def __init__(self, pool: str) -> None:
        self._free = _spread(list(ipaddress.ip_network(pool).subnets(new_prefix=26)))
        self._by_node: dict[str, list[Range]] = {}

    def of(self, node: str) -> list[str]:
        """The node's blocks, oldest first."""
        return [block.cidr for block in self._by_node.get(node, [])]

    def take(self, node: str) -> tuple[str, bool]:
        """An address for this node, and whether a new block had to be claimed for it."""
        blocks = self._by_node.setdefault(node, [])
        for block in blocks:
            try:
                return block.take(), False
            except ExhaustedError:
                continue
        cidr = next(self._free, None)
        if cidr is None:
            raise ExhaustedError("no free blocks in the configured IP pools")
        blocks.append(Range(cidr, reserved=0))
        return blocks[-1].take(), True

    def give_back(self, node: str, address: str) -> None:
        """The address is free again."""
        for block in self._by_node.get(node, []):
            block.give_back(address)


def _spread(subnets: list[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> Iterator[str]:
    """Blocks in an order that looks like Calico's (a hash of the host), but is the same every time."""
    for number in range(len(subnets)):
        yield str(subnets[(number * 389 + 210) % len(subnets)])
