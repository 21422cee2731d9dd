"""Longest-prefix matches in a report's routes, and which devices belong to whom."""

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address, ip_network
from typing import Literal

from bot.agent.report import Link, Route

MAIN = 254

CNI_DEVICES = (
    "cali",
    "lxc",
    "veth",
    "cni",
    "flannel",
    "vxlan.calico",
    "vxlan-v6.calico",
    "tunl",
    "wireguard.cali",
    "wg-cali",
    "cilium",
    "kube-",
    "nodelocaldns",
    "weave",
    "vethwe",
    "antrea",
    "ovn",
    "ovs",
    "genev_sys",
    "br-int",
    "kube-bridge",
    "dummy",
    "eni",
    "gke",
    "azv",
    "azure",
    "cbr0",
    "bridge",
)
"""How the names of devices begin that CNIs and kube-proxy make: routes to pods by these are theirs."""


BY_PROGRAM = frozenset({"cilium_host", "cilium_net"})
"""Devices behind which Cilium's eBPF programs decide, whatever the kernel's tables say."""


@lru_cache(maxsize=8192)
def network(cidr: str) -> IPv4Network | None:
    """An IPv4 network by its CIDR ("default" is 0.0.0.0/0, a bare address a /32); None for anything else."""
    if cidr == "default":
        cidr = "0.0.0.0/0"
    try:
        found = ip_network(cidr, strict=False)
    except ValueError:
        return None
    return found if isinstance(found, IPv4Network) else None


@lru_cache(maxsize=8192)
def network_of(cidr: str, family: Literal[4, 6]) -> IPv4Network | IPv6Network | None:
    """A network of a family by its CIDR, as `network` reads it; None for anything else."""
    if family == 4:
        return network(cidr)
    try:
        found = ip_network(cidr, strict=False)
    except ValueError:
        return None
    return found if isinstance(found, IPv6Network) else None


def family_of(ip: str) -> Literal[4, 6]:
    """Of an address or a CIDR."""
    return 6 if ":" in ip else 4


def address(ip: str) -> IPv4Address | None:
    """An IPv4 address, None for anything else."""
    try:
        found = ip_address(ip)
    except ValueError:
        return None
    return found if isinstance(found, IPv4Address) else None


class RouteTable:
    """The routes of one table and family, for longest-prefix matches."""

    def __init__(self, routes: Iterable[Route], table: int = MAIN, family: Literal[4, 6] = 4) -> None:
        self._bits = 32 if family == 4 else 128
        self._family: Literal[4, 6] = family
        by_length: dict[int, dict[int, Route]] = {}
        for route in routes:
            net = network_of(route.dst, family) if route.table == table else None
            if net is None:
                continue
            same = by_length.setdefault(net.prefixlen, {})
            first = same.get(int(net.network_address))
            if first is None or route.metric < first.metric:
                same[int(net.network_address)] = route
        self._by_length = tuple(sorted(by_length.items(), reverse=True))

    @property
    def is_empty(self) -> bool:
        """No route at all: most likely they were not read."""
        return not self._by_length

    def lookup(self, ip: str) -> Route | None:
        """The route that the kernel would take by this table alone; None when there is none, or one of type throw.

        That one ends the search of this table, as if it had no route at all: the next rule is asked.
        """
        return _unless_throw(next(self._ways(ip), None))

    def throw(self, ip: str) -> Route | None:
        """The route of type throw that hides whatever else this table has for an address."""
        first = next(self._ways(ip), None)
        return first if first is not None and first.type == "throw" else None

    def without(self, one: Route, ip: str) -> Route | None:
        """The route that would be taken if this one were not there."""
        return _unless_throw(next((route for route in self._ways(ip) if route is not one), None))

    def _ways(self, ip: str) -> Iterator[Route]:
        """The routes that fit, the longest first."""
        net = network_of(ip, self._family)
        for length, routes in self._by_length if net else ():
            route = routes.get(int(net.network_address) >> self._bits - length << self._bits - length) if net else None
            if route is not None:
                yield route

    @property
    def default(self) -> Route | None:
        """The default route with the lowest metric."""
        return dict(self._by_length).get(0, {}).get(0)


def _unless_throw(route: Route | None) -> Route | None:
    return None if route is not None and route.type == "throw" else route


def default_state(routes: Iterable[Route]) -> str:
    """present, missing, mistyped (0.0.0.0/32), unreachable, blackhole or prohibit: the default route of a main table.

    Two halves (0.0.0.0/1 and 128.0.0.0/1), as VPN clients write them, are one.
    """
    table = RouteTable(routes := tuple(routes))
    route = table.default
    if route is not None:
        return route.type if route.type in {"unreachable", "blackhole", "prohibit"} else "present"
    if table.lookup("0.0.0.1") and table.lookup("128.0.0.1") and {"0.0.0.0/1", "128.0.0.0/1"} <= _cidrs(routes):
        return "present"
    return "mistyped" if _cidrs(routes) & {"0.0.0.0/32", "0.0.0.0"} else "missing"


def _cidrs(routes: Iterable[Route]) -> set[str]:
    return {route.dst for route in routes if route.table == MAIN}


def uplink(routes: Iterable[Route], links: Mapping[str, Link], internal_ip_dev: str = "") -> str:
    """The device by which the node talks to others: that of its default route, else the one with its InternalIP."""
    route = RouteTable(routes).default
    if route is not None and route.dev and route.dev in links:
        return route.dev
    return internal_ip_dev


def first_address(block: str) -> str:
    """An address inside a block: its second, or the only one."""
    net = network(block)
    if net is None:
        return ""
    return str(net[1] if net.num_addresses > 1 else net[0])


def is_cni_device(name: str) -> bool:
    """Whether a device's name is one that CNIs or kube-proxy give."""
    return name.startswith(CNI_DEVICES)
