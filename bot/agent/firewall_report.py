"""The part of a node's report that is about packet filters; `bot.agent.report` hands it on."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class FirewallChain:
    """A base chain: what happens to a packet that no rule takes."""

    backend: Literal["nft", "iptables-legacy", "iptables-nft"]
    family: str
    """ip, ip6, inet, arp, bridge, netdev."""
    table: str
    chain: str
    hook: str = ""
    priority: int = 0
    policy: str = ""
    rules: int = 0
    devices: tuple[str, ...] = ()
    """Of hooks that hang on devices (ingress, egress): which ones."""
    packets: int | None = None
    """Packets that the policy took (iptables counts them)."""
    packets_delta: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FirewallRule:
    """A rule that drops or rejects, with the number of packets it took (None: no counter)."""

    backend: Literal["nft", "iptables-legacy", "iptables-nft"]
    family: str
    table: str
    chain: str
    verdict: str
    """drop, reject, "reject with icmp port-unreachable", …"""
    text: str
    """The rule as its tool prints it, at most 300 characters."""
    handle: int = 0
    """Of nft's rules: by which it is deleted until the rules are loaded anew; 0: not known."""
    packets: int | None = None
    packets_delta: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FirewallMatch:
    """One condition of a rule: that the fields, taken together, have one of the values (or none of them)."""

    fields: tuple[str, ...]
    """saddr, daddr, sport, dport, proto, iif, oif, ctstate, mark, length, skuid, …; anything else is "unknown".

    "limit": what is beyond so many connections, or packets a second; inverted, what is not."""
    values: tuple[str, ...] = ()
    """Each as a CIDR, a word, "low-high", or "value/mask"; of several fields, joined with " . "."""
    is_inverted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FirewallStep:
    """A rule on the way to one that drops or rewrites: what it takes, and what becomes of that."""

    backend: Literal["nft", "iptables-legacy", "iptables-nft"]
    family: str
    table: str
    chain: str
    matches: tuple[FirewallMatch, ...] = ()
    verdict: str
    """drop, "reject with …", accept, return, queue, steal, "jump X", "goto X", "mark AND/XOR" (hexadecimal masks).

    Of rules that rewrite: "dnat IP[:PORT]", "redirect[ :PORT]", "snat IP", notrack, "ttl N"; without what is not fixed.
    """
    text: str = ""
    """As in `FirewallRule`, like the next: of a rule that takes packets away, rewrites them, or takes kube-proxy's mark
    off them."""
    handle: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FirewallChange:
    """A rule that changes packets and lets them go on."""

    backend: Literal["nft", "iptables-legacy", "iptables-nft"]
    family: str
    table: str
    chain: str
    kind: str
    """destination, redirect (to the machine itself), source, untracked, zone (of connection tracking), hops, mark."""
    to: str = ""
    """"ip:port" with either left out, ranges with a dash; the hops ("1", "-60"); "KEEP/FLIP" of a mark; "ZONE"
    or "ZONE/DIRECTION"; "": unknown."""
    matches: tuple[FirewallMatch, ...] = ()
    text: str
    """As in `FirewallRule`."""
    hook: str = ""
    """That of the base chain from which packets come to it, with its priority and devices."""
    priority: int = 0
    devices: tuple[str, ...] = ()
    packets: int | None = None
    packets_delta: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Firewall:
    """The packet filters of one namespace, all backends together."""

    chains: tuple[FirewallChain, ...] = ()
    drops: tuple[FirewallRule, ...] = ()
    """At most 200; `drops_total` counts all."""
    drops_total: int = 0
    foreign_chains: tuple[str, ...] = ()
    """Names of chains of a known writer: cali-…, FLANNEL-…, KUBE-…, KUBE-ROUTER…, CILIUM_…, ufw…, DOCKER…"""
    steps: tuple[FirewallStep, ...] | None = None
    """The rules of all chains that lead to a drop or to strangers' rewriting, in their order.

    None when they were not read, or too many.
    """
    changes: tuple[FirewallChange, ...] = ()
    """At most 200; without those in chains of single Services and pods."""
    marks_elsewhere: int = 0
    """Bits of the packet mark that rules of other chains may set."""
