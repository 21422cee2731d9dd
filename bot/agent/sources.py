"""Where tests start from: a pod's namespace or the node's, and how long it is worth waiting there."""

import contextlib
import ipaddress
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from bot.agent.arp import Tally
from bot.agent.netlink import NetlinkSocket
from bot.agent.netns import Home
from bot.agent.report import Task
from bot.agent.rtnetlink import ask_mtu, ask_route, read_neighbours
from bot.agent.waiting import Patience

UNRESOLVED = frozenset({"INCOMPLETE", "FAILED"})
FRESH_S = 0.05
"""How long one look at a neighbour table serves all tests that run out of patience together."""


@dataclass(slots=True, kw_only=True)
class Source:
    """One namespace that tests start from. `key` is a pod's uid, or "node"."""

    key: str
    home: Home
    netns_fd: int
    netlink: NetlinkSocket
    ip: str = ""
    mtu: int = 1500
    """Of the device that most packets leave by."""
    mtus: Mapping[int, int] = field(default_factory=dict[int, int])
    """Of each device, by ifindex."""
    ips: frozenset[str] = frozenset()
    nameservers: tuple[str, ...] = ()
    """Of its resolv.conf; likewise the search list and ndots."""
    search: tuple[str, ...] = ()
    ndots: int = 1
    names: tuple[str, ...] = ()
    """To be asked of its nameservers as its resolver completes them."""
    gateway: str = ""
    """The neighbour whose ARP is tested beside the other tests, and how that test stands."""
    gateway_tally: Tally = field(default_factory=Tally)
    _seen_at: float = field(default=float("-inf"), init=False)
    _unresolved: frozenset[str] = field(default=frozenset(), init=False)

    def make_socket(self, family: int, kind: int, protocol: int) -> socket.socket:
        """A socket in this namespace. OSError when it is refused."""
        with self.home.visiting(self.netns_fd):
            return socket.socket(family, kind | socket.SOCK_CLOEXEC, protocol)

    def unresolved(self) -> frozenset[str]:
        """Addresses whose ARP is unanswered just now; empty when the kernel does not say."""
        now = time.monotonic()
        if now - self._seen_at > FRESH_S:
            found: frozenset[str] = frozenset()
            with contextlib.suppress(OSError):
                entries = read_neighbours(self.netlink, {})
                found = frozenset(entry.ip for entry in entries if entry.state in UNRESOLVED)
            self._seen_at, self._unresolved = now, found
        return self._unresolved

    def mtus_to(self, ip: str) -> tuple[int, int | None]:
        """The MTU of the device that packets for an address leave by, and that of the route, if one stands there."""
        ifindex, route_mtu = ask_mtu(self.netlink, ip)
        return self.mtus.get(ifindex, self.mtu), route_mtu

    def next_hop(self, ip: str) -> str:
        """The neighbour that packets for an address go to from here; "" when there is no way."""
        answer = ask_route(self.netlink, {}, ip)
        return "" if answer.errno else answer.via or ip


def patience_for(task: Task, source: Source, node: Source, ip: str, behind: Mapping[str, tuple[str, ...]]) -> Patience:
    """How long a test from `source` to `ip` waits.

    The kernel gives up on an unanswered ARP after 3 s and only then says EHOSTUNREACH. So whoever goes through a next
    hop that is unresolved, in the source or on the node, is given that time, and nobody else; least of all who waits
    for a gateway that the ARP test finds silent: that is known, and costs every test of a pod the same 3 s. `behind`:
    the endpoints of Service addresses.
    """

    def is_unresolved() -> bool:
        pending = source.unresolved()
        if pending and (hop := source.next_hop(ip)) in pending:
            return not (hop == source.gateway and source.gateway_tally.is_silent)
        pending_here = node.unresolved()
        if not pending_here:
            return False
        return any(node.next_hop(one) in pending_here for one in (ip, *behind.get(ip, ())) if is_ipv4(one))

    return Patience(first_s=task.patience_s, more_s=task.patience_arp_s, is_unresolved=is_unresolved)


def is_ipv4(ip: str) -> bool:
    """Whether it is an IPv4 address."""
    try:
        return ipaddress.ip_address(ip).version == 4
    except ValueError:
        return False
