"""Of a trace: the series that are followed, and what a node saw of them. Part of the contract of `bot.agent.report`."""

from dataclasses import dataclass, field
from typing import Literal

READY = "cnibot-agent: ready"
"""Said on standard error by an agent that listens; a line on standard input then lets it begin."""

Leg = Literal["request", "reply", "error"]
"""Of a series of probe packets: the packets themselves, what answers them, ICMP errors about them."""
Tunnel = Literal["", "vxlan", "geneve", "ipip"]
"""What a probe packet was wrapped in where it was seen; "" for nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceFlow:
    """A series of probe packets to follow, distinguished from all other packets by its source ports or its length."""

    number: int
    node: str
    """The node whose agent sends it."""
    source: str
    """A pod's uid, or "node" for that node's root namespace."""
    ip: str
    port: int = 0
    protocol: Literal["icmp", "tcp", "udp"]
    addresses: tuple[str, ...]
    """Whoever may stand in the packets' headers: the source, `ip`, and the endpoints behind it."""
    count: int
    first_port: int
    """Source ports from here on, one for each packet; of ICMP the identifier of all."""
    length: int = 0
    """Of the whole IP packet; 0 for TCP, whose first packet has the length that the kernel gives it."""
    question: str = ""
    """A name to ask for: the packets are DNS questions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """Probe packets of one series seen at one side of one device."""

    flow: int
    netns: str
    """A pod's uid, or "node"."""
    dev: str
    is_out: bool
    """Leaving by the device; else coming in."""
    leg: Leg
    tunnel: Tunnel = ""
    count: int
    """Different packets of the series: sent again counts once."""
    first_ms: float
    """Since this agent began to listen."""
    src: str
    """"ip", "ip:port" or "[ip]:port", as the first one carried it by then."""
    dst: str
    hops_left: int = 0
    """Time to live (hop limit) of the first one, inside a tunnel the packet's own; 0: not told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PacketDrop:
    """Probe packets of one series that the kernel gave up, by its own word."""

    flow: int
    netns: str
    """A pod's uid, or "node"; "" when neither device nor socket shows it."""
    dev: str = ""
    reason: str = ""
    """As skb_drop_reason has it: NETFILTER_DROP, IP_RPFILTER, …; "" before Linux 5.17."""
    symbol: str = ""
    """The kernel function that gave them up."""
    hook: str = ""
    """Netfilter's, from the stack: prerouting, input, forward, output, postrouting, ingress, egress."""
    family: str = ""
    """Of the nft chain, from the stack: ip, inet, bridge, netdev, arp; "" when it is none."""
    stack: tuple[str, ...] = ()
    """Innermost first, at most 8."""
    leg: Leg = "request"
    tunnel: Tunnel = ""
    count: int
    src: str = ""
    dst: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterMove:
    """A counter that moved by exactly the length of one series."""

    flow: int
    netns: str
    name: str
    """"Ip.InAddrErrors", "link.eth0.tx_dropped", "conntrack.drop"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusals:
    """How much a counter grew meanwhile that tells by itself what takes no more; others' packets are among it."""

    netns: str
    name: str
    """"TcpExt.ListenOverflows", "Udp.RcvbufErrors", "conntrack.drop"."""
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleMove:
    """A rule of the node's packet filters whose counter moved meanwhile."""

    family: str
    table: str
    chain: str
    text: str = ""
    """As `FirewallRule` has it; "" for a chain's policy."""
    packets: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What the sender of a series got."""

    flow: int
    sent: int
    outcomes: dict[str, int] = field(default_factory=dict[str, int])
    """As of tests: "ok", "timeout" for silence, ECONNREFUSED, …, and how often."""
    icmp: str = ""
    icmp_from: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unresolved:
    """A neighbour that did not answer (ARP, neighbour discovery) when the series ended: packets for it wait and die."""

    netns: str
    ip: str
    dev: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeTrace:
    """What one node saw of the series that were followed."""

    instrument: Literal["bpf", "tracefs", "none"]
    """What reported drops: the kernel's event with the packets' own bytes, a trace of it, or nothing."""
    why_not_better: str = ""
    is_together: bool = True
    """Whether it listened before the first packet was sent, as far as it reported it."""
    namespaces: tuple[str, ...] = ()
    """Where it listened: pods' uids, "node"."""
    sent: tuple[Sent, ...] = ()
    sightings: tuple[Sighting, ...] = ()
    drops: tuple[PacketDrop, ...] = ()
    counters: tuple[CounterMove, ...] = ()
    refusals: tuple[Refusals, ...] | None = None
    """None: not counted (or by an older agent)."""
    rules: tuple[RuleMove, ...] | None = None
    """Of the node's own namespace, those that drop or reject; None: they were not read, or not in time."""
    changes: tuple[RuleMove, ...] | None = None
    """Of the same, those that change packets."""
    unresolved: tuple[Unresolved, ...] = ()


def split_address(endpoint: str) -> tuple[str, str]:
    """("10.0.0.1", "80") of "10.0.0.1:80", ("fd00::1", "80") of "[fd00::1]:80"; the port "" where there is none."""
    if endpoint.startswith("["):
        ip, _, port = endpoint[1:].partition("]")
        return ip, port.removeprefix(":")
    if endpoint.count(":") > 1:
        return endpoint, ""
    ip, _, port = endpoint.partition(":")
    return ip, port
