"""What a node agent is asked and what it answers: two JSON documents, versioned.

Both sides use these classes: the agent builds and prints a `NodeReport`; the bot sends a `Task` and decodes the
report into the same classes. A field that could not be observed is `None` (or missing from a mapping) and the
reason stands in `NodeReport.missing`; an empty tuple means *looked, and there was none*.
"""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

TASK_SCHEMA = "cnibot.agent-task/v1"
REPORT_SCHEMA = "cnibot.node-report/v1"

Purpose = Literal[
    "own-node",  # pod -> its node's address; node -> nothing
    "node",  # -> another node's InternalIP
    "local-pod",  # -> a pod on the same node
    "remote-pod",  # -> a pod on another node
    "endpoint",  # -> podIP:port of one endpoint behind a Service
    "cluster-ip",  # -> clusterIP:port of a Service
    "dns-service",  # a name asked of the DNS Service's clusterIP
    "dns-pod",  # a name asked of one DNS pod
    "dns-own",  # a name asked of the pod's own nameservers, where no question names any of them
    "outside",  # -> an address outside the cluster
    "dial",  # -> what an application playbook names
]
Outcome = Literal[
    "ok",
    "timeout",  # nothing came back before the test's own limit
    "ECONNREFUSED",
    "EHOSTUNREACH",
    "ENETUNREACH",
    "EINVAL",
    "EACCES",
    "EPERM",
    "ENOBUFS",
    "EADDRNOTAVAIL",
    "EMSGSIZE",
    "reset",  # connected, then reset
    "error",  # another errno: `detail` names it
    "skipped",  # not run: `detail` says why (deadline, no such namespace)
]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPod:
    """A pod of this node. `is_source`: run the whole test matrix from it, not only the gateway's ARP."""

    uid: str
    namespace: str
    name: str
    ip: str = ""
    is_source: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One thing to reach. `ports` of a pod are TCP ports that it is known to serve; 0 ports: ICMP only."""

    purpose: Purpose
    ip: str
    name: str
    """What people call it: a node's name, "namespace/pod", or "namespace/service:port"."""
    node: str = ""
    port: int = 0
    protocol: Literal["icmp", "tcp", "udp"] = "icmp"
    service: str = ""
    """For an endpoint: the "namespace/service:port" that it stands behind."""
    from_node_too: bool = True
    """Also test from the node's root namespace."""
    tries: int = 1
    """Several at once show a mixture of good and bad backends. Each then waits 0.9 s at most, because a SYN sent again
    after a second may meet another backend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsQuestion:
    """One question for a name's IPv4 addresses."""

    server: str
    name: str
    """The query name, absolute, without the trailing dot."""
    purpose: Literal["dns-service", "dns-pod"]
    protocol: Literal["udp", "tcp"] = "udp"
    server_name: str = ""
    """The Service or pod behind `server`."""
    tries: int = 1
    """Several at once meet several pods behind a Service."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicePort:
    """A Service port whose rules are looked for in the node's packet filters (nft, iptables, ipvs)."""

    name: str
    ip: str
    port: int
    protocol: Literal["tcp", "udp"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What one node agent shall look at and test."""

    schema: str = TASK_SCHEMA
    node: str
    deadline_s: float = 8.0
    """The whole report is printed by then, partial if need be."""
    patience_s: float = 1.3
    """How long a connection may stay unanswered. Extended to `patience_arp_s` where a next hop is unresolved."""
    patience_arp_s: float = 3.4
    pods: tuple[TaskPod, ...] = ()
    targets: tuple[Target, ...] = ()
    """Tested from every source pod (and the root namespace); a target equal to the source itself is skipped."""
    questions: tuple[DnsQuestion, ...] = ()
    services: tuple[ServicePort, ...] = ()
    mtu_targets: tuple[Target, ...] = ()
    """Remote pods or nodes for the path-MTU ladder (from one source pod per node, and from the node)."""
    gateway: str = ""
    """The gateway's address expected in pods if the bot knows it (169.254.1.1); otherwise from each pod's routes."""
    arp_tries: int = 3
    with_resolvers: bool = False
    """Also try the resolvers of the node's own resolv.conf (TCP 53): addresses outside that the node relies on."""
    with_drop_reasons: bool = False
    """Use tracefs (skb/kfree_skb) while the tests are in flight. Off unless asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A network device, with its counters before the tests."""

    ifindex: int
    name: str
    kind: str = ""
    """veth, bridge, vxlan, ipip, …; "" for a plain device."""
    mac: str = ""
    mtu: int = 0
    is_up: bool = False
    """Administratively up (IFF_UP)."""
    has_carrier: bool = False
    """IFF_LOWER_UP."""
    has_arp: bool = True
    """False when NOARP is set."""
    master: str = ""
    peer_ifindex: int = 0
    """IFLA_LINK: for a veth the peer's ifindex in the other namespace."""
    vxlan_id: int | None = None
    vxlan_port: int | None = None
    vxlan_local: str = ""
    bridge_port_state: int | None = None
    """0 disabled, 1 listening, 2 learning, 3 forwarding, 4 blocking; None when not a bridge port."""
    is_hairpin: bool | None = None
    is_isolated: bool | None = None
    rx_packets: int = 0
    tx_packets: int = 0
    rx_dropped: int = 0
    tx_dropped: int = 0
    rx_otherhost: int | None = None
    """Frames for another MAC address (IFLA_STATS_LINK_64 rx_otherhost_dropped)."""
    rx_packets_delta: int = 0
    """Growth while the tests ran; likewise for the other deltas."""
    tx_packets_delta: int = 0
    rx_otherhost_delta: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """An address of a device."""

    dev: str
    ip: str
    prefix_len: int
    family: Literal[4, 6] = 4
    flags: tuple[str, ...] = ()
    """permanent, tentative, dadfailed, …"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A route; one value for each next hop."""

    dst: str
    """CIDR, "default" for 0.0.0.0/0."""
    type: str = "unicast"
    """unicast, blackhole, unreachable, prohibit, throw, local, …"""
    via: str = ""
    dev: str = ""
    scope: str = ""
    proto: str = ""
    metric: int = 0
    table: int = 254
    src: str = ""
    onlink: bool = False
    mtu: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A policy routing rule (`ip rule`)."""

    priority: int
    src: str = ""
    dst: str = ""
    iif: str = ""
    oif: str = ""
    fwmark: str = ""
    table: int = 0
    action: str = "lookup"
    is_inverted: bool = False
    """The rule takes what does *not* match (`ip rule add not …`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """An entry of the ARP or neighbour table."""

    ip: str
    dev: str
    mac: str = ""
    state: str = ""
    """REACHABLE, STALE, DELAY, PROBE, INCOMPLETE, FAILED, PERMANENT, NOARP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FdbEntry:
    """A forwarding entry of a bridge or a VXLAN device."""

    dev: str
    mac: str
    dst: str = ""
    state: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """A listening TCP socket or bound UDP socket (/proc/net/tcp, tcp6, udp, udp6)."""

    protocol: Literal["tcp", "udp"]
    ip: str
    port: int
    backlog: int | None = None
    queued: int | None = None


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


@dataclass(frozen=True, slots=True, kw_only=True)
class NetnsState:
    """One network namespace as it stands."""

    links: tuple[Link, ...] = ()
    addresses: tuple[Address, ...] = ()
    routes: tuple[Route, ...] = ()
    """All tables but local (255)."""
    rules: tuple[Rule, ...] = ()
    neighbours: tuple[Neighbour, ...] = ()
    fdb: tuple[FdbEntry, ...] = ()
    """Root namespace only."""
    sysctls: dict[str, str] = field(default_factory=dict[str, str])
    """Dotted names without the leading "net.": "ipv4.ip_forward", "ipv4.conf.cali1.proxy_arp".

    A device's dots are slashes."""
    counters: dict[str, int] = field(default_factory=dict[str, int])
    """/proc/net/snmp and netstat as "Ip.InAddrErrors", "TcpExt.IPReversePathFilter", "Udp.NoPorts", …"""
    counters_delta: dict[str, int] = field(default_factory=dict[str, int])
    """Growth while the tests ran; only what grew."""
    listeners: tuple[Listener, ...] | None = None
    firewall: Firewall | None = None
    """None: no tool could read it (the reason in `missing`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArpResult:
    """ARP requests for a pod's gateway, sent from the pod's interface."""

    ip: str
    dev: str
    answers_ms: tuple[float | None, ...]
    """One for each request in order, None where no answer came within `waited_s`."""
    macs: tuple[str, ...] = ()
    """The distinct MAC addresses that answered."""
    waited_s: float = 1.0
    error: str = ""
    """Why requests could not be sent: ENETDOWN, ENODEV, …; "" when all were."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteAnswer:
    """What the kernel answers to one route question (RTM_GETROUTE)."""

    question: str
    """As one would type it: "169.254.1.1 from 10.42.0.3 iif cali1"."""
    errno: str = ""
    """"" when a route was found, else ENETUNREACH, EHOSTUNREACH, EINVAL, EACCES, …"""
    type: str = ""
    """unicast, local, blackhole, unreachable, …"""
    via: str = ""
    dev: str = ""
    src: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodReport:
    """One pod, seen from inside its namespace and from the node."""

    uid: str
    namespace: str
    name: str
    ip: str = ""
    is_found: bool = False
    """Whether its network namespace was found; if not, `why_not` says why and the rest is empty."""
    why_not: str = ""
    is_host_network: bool = False
    """It holds one of the node's own addresses: the node's namespace is its own, and the rest is empty."""
    netns: int = 0
    """Inode of the network namespace."""
    state: NetnsState | None = None
    host_link: str = ""
    """The root namespace's end of eth0 ("" when there is none)."""
    gateway_ip: str = ""
    """Next hop of the default route ("" when there is none or it has no `via`)."""
    gateway_arp: ArpResult | None = None
    gateway_oracle: RouteAnswer | None = None
    """The node's answer to "GATEWAY from POD iif HOSTLINK": whether it would forward, hence answer ARP by proxy."""
    route_to_pod: RouteAnswer | None = None
    """The node's answer to "POD"."""
    nameservers: tuple[str, ...] | None = None
    search: tuple[str, ...] = ()
    ndots: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class MtuStep:
    """One size of packet and whether it came through."""

    size_bytes: int
    """Length of the whole IP packet, DF set."""
    outcome: Literal["ok", "timeout", "too-big-local", "frag-needed", "error"]
    mtu_bytes: int | None = None
    """The MTU that "fragmentation needed" or the local error reported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    """One test and what came of it: always outcome *and* latency."""

    __test__: ClassVar[bool] = False
    """Not a class of tests for pytest."""

    source: str
    """A pod's uid, or "node" for the root namespace."""
    purpose: Purpose
    protocol: Literal["icmp", "tcp", "udp", "dns-udp", "dns-tcp", "mtu"]
    ip: str
    port: int = 0
    name: str = ""
    """The target's name; of a DNS question the name that was asked for."""
    node: str = ""
    service: str = ""
    """For an endpoint: the Service that it stands behind; of a DNS question: the Service or pod that was asked."""
    tries: int = 1
    ok: int = 0
    """How many of `tries` succeeded. Of an MTU ladder: how many sizes came through."""
    outcome: Outcome = "ok"
    """Of the last failed try, "ok" when all succeeded.

    DNS: "ok" when an answer came, whatever its rcode. MTU: "timeout" when a size vanished without a word, "EMSGSIZE"
    when a router said that it is too big."""
    outcomes: dict[str, int] = field(default_factory=dict[str, int])
    """Each outcome and how often, when there were several tries."""
    latency_ms: float = 0.0
    """Until the outcome was known (median of the tries with this outcome)."""
    detail: str = ""
    icmp: str = ""
    """The ICMP message behind the outcome: "host-unreachable", "port-unreachable", "admin-prohibited", …"""
    icmp_from: str = ""
    """Who sent it. The source's own address: its own next hop did not answer ARP. Through a Service's DNAT the kernel
    writes the Service's address here."""
    may_be_withheld: bool = False
    """A timeout that may be a refusal: routers send one receiver about six ICMP errors at once, then one a second, and
    this source had received that many."""
    rcode: str = ""
    """DNS: NOERROR, NXDOMAIN, SERVFAIL, …"""
    answers: tuple[str, ...] = ()
    """DNS: addresses of the answer, at most 8."""
    mtu_steps: tuple[MtuStep, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Conntrack:
    """The connection tracking table of the root namespace."""

    count: int | None = None
    max: int | None = None
    drop_delta: int | None = None
    insert_failed_delta: int | None = None
    drop: int | None = None
    insert_failed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CniFile:
    """A file of /etc/cni/net.d (or K3s's place), as the runtime would read it."""

    path: str
    text: str = ""
    """At most 8 KiB, token-like values replaced."""
    plugins: tuple[str, ...] = ()
    """The plugin types that it names."""
    age_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRules:
    """How often a Service port's address stands in the node's packet filters, and the backends behind it."""

    name: str
    ip: str
    port: int
    protocol: Literal["tcp", "udp"]
    mentions: int = 0
    has_reject: bool = False
    backends: tuple[str, ...] = ()
    """"ip:port" DNAT targets reachable from its rules, at most 64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DropReason:
    """A reason for which the kernel dropped packets while the tests ran."""

    reason: str
    function: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """Something that was not observed, and why: never silently absent."""

    what: str
    """Dotted: "firewall.nft", "pods.UID", "tests.deadline", "host.cni", …"""
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeReport:
    """All that one node agent saw."""

    schema: str = REPORT_SCHEMA
    node: str
    started_at: str
    """RFC 3339, UTC."""
    took_s: float
    is_partial: bool = False
    kernel: str = ""
    """`uname -r`."""
    uptime_s: float | None = None
    root: NetnsState
    pods: tuple[PodReport, ...] = ()
    tests: tuple[Test, ...] = ()
    conntrack: Conntrack | None = None
    neighbour_entries: int | None = None
    """Entries of the kernel's ARP table, shared by all namespaces (/proc/net/stat/arp_cache)."""
    neighbour_limit: int | None = None
    """gc_thresh3."""
    cni_files: tuple[CniFile, ...] | None = None
    cni_binaries: tuple[str, ...] | None = None
    sysctl_files: tuple[str, ...] | None = None
    """Lines of /etc/sysctl.d and friends that set a forwarding, rp_filter or proxy_arp value: "path: key = value"."""
    service_rules: tuple[ServiceRules, ...] | None = None
    drop_reasons: tuple[DropReason, ...] | None = None
    missing: tuple[Missing, ...] = ()
