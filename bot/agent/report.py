"""What a node agent is asked and what it answers: two JSON documents, versioned.

Both sides use these classes: the agent builds and prints a `NodeReport`; the bot sends a `Task` and decodes the
report into the same classes. A field that could not be observed is `None` (or missing from a mapping) and the
reason stands in `NodeReport.missing`; an empty tuple means *looked, and there was none*.
"""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from bot.agent.firewall_report import Firewall
from bot.agent.firewall_report import FirewallChain as FirewallChain  # noqa: PLC0414 (handed on)
from bot.agent.firewall_report import FirewallChange as FirewallChange  # noqa: PLC0414
from bot.agent.firewall_report import FirewallMatch as FirewallMatch  # noqa: PLC0414
from bot.agent.firewall_report import FirewallRule as FirewallRule  # noqa: PLC0414
from bot.agent.firewall_report import FirewallStep as FirewallStep  # noqa: PLC0414
from bot.agent.report_attached import CgroupProgram as CgroupProgram  # noqa: PLC0414
from bot.agent.report_attached import Filter as Filter  # noqa: PLC0414
from bot.agent.report_attached import NetfilterProgram as NetfilterProgram  # noqa: PLC0414
from bot.agent.report_attached import Qdisc as Qdisc  # noqa: PLC0414
from bot.agent.report_ebpf import Cilium
from bot.agent.report_pod import ArpResult as ArpResult  # noqa: PLC0414
from bot.agent.report_pod import HostsLine as HostsLine  # noqa: PLC0414
from bot.agent.report_pod import RouteAnswer as RouteAnswer  # noqa: PLC0414
from bot.agent.report_pod import SelfTest as SelfTest  # noqa: PLC0414
from bot.agent.report_services import EgressNat as EgressNat  # noqa: PLC0414
from bot.agent.report_services import ServiceRules as ServiceRules  # noqa: PLC0414
from bot.agent.report_services import TrackedFlow as TrackedFlow  # noqa: PLC0414
from bot.agent.task_schema import NODE_KEY as NODE_KEY  # noqa: PLC0414
from bot.agent.task_schema import TASK_SCHEMA as TASK_SCHEMA  # noqa: PLC0414
from bot.agent.task_schema import Dial as Dial  # noqa: PLC0414
from bot.agent.task_schema import DialKind as DialKind  # noqa: PLC0414
from bot.agent.task_schema import DnsQuestion as DnsQuestion  # noqa: PLC0414
from bot.agent.task_schema import Purpose as Purpose  # noqa: PLC0414
from bot.agent.task_schema import ServicePort as ServicePort  # noqa: PLC0414
from bot.agent.task_schema import Target as Target  # noqa: PLC0414
from bot.agent.task_schema import Task as Task  # noqa: PLC0414
from bot.agent.task_schema import TaskPod as TaskPod  # noqa: PLC0414
from bot.agent.traced import NodeTrace

REPORT_SCHEMA = "cnibot.node-report/v1"

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
    vxlan_external: bool | None = None
    """Whoever sends names the peer and the VNI of each packet (collect metadata); None: not read, or no such device."""
    bridge_port_state: int | None = None
    """0 disabled, 1 listening, 2 learning, 3 forwarding, 4 blocking; None when not a bridge port."""
    is_hairpin: bool | None = None
    is_isolated: bool | None = None
    is_learning: bool | None = None
    """Of a bridge port: the bridge learns by it where MAC addresses are."""
    is_flooded: bool | None = None
    """Of a bridge port: it gets frames whose MAC address the bridge does not know."""
    has_vlan_filtering: bool | None = None
    """Of a bridge: it filters by VLAN; None for other devices."""
    xdp_program: int | None = None
    """Number of the XDP program on it."""
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
    advmss: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A policy routing rule (`ip rule`)."""

    family: Literal[4, 6] = 4
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
    protocol: int = 0
    """Of the IP header; 0: any."""
    sport: tuple[int, ...] = ()
    dport: tuple[int, ...] = ()
    """First and last port; empty: any."""
    is_of_users: bool = False
    """It takes what processes of certain users send."""
    others: str = ""
    """What it asks for beside addresses, devices and marks, in words: "uidrange 0-99", "ipproto 6", "dport 80"."""
    suppress_prefix: int | None = None
    """Routes of the table that are no longer than this do not count (`suppress_prefixlength`)."""


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
    port: int = 0
    """UDP port of the remote end where the entry names another than the device's."""
    vni: int | None = None
    """Network identifier where the entry names another than the device's."""
    vlan: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class IpsecPolicy:
    """An IPsec policy (`ip xfrm policy`) that blocks, or that asks for a tunnel."""

    direction: str
    """in, out or fwd."""
    action: str
    """allow or block."""
    src: str
    dst: str
    has_state: bool | None = None
    """Whether a state (a key) exists for the tunnel that it asks for; None where it asks for none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """A listening TCP socket or bound UDP socket (/proc/net/tcp, tcp6, udp, udp6)."""

    protocol: Literal["tcp", "udp"]
    ip: str
    port: int
    backlog: int | None = None
    queued: int | None = None


ConnectionState = Literal["established", "syn-sent"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """An address that a process of the namespace has dialled over TCP, as it dialled it."""

    ip: str
    port: int
    state: ConnectionState
    is_stalled: bool = False
    """What was sent last is sent again and again, and nobody acknowledges it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetnsState:
    """One network namespace as it stands."""

    links: tuple[Link, ...] = ()
    addresses: tuple[Address, ...] = ()
    routes: tuple[Route, ...] = ()
    """All tables; of the local one (255) only what the kernel did not write by itself."""
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
    counters_quiet: dict[str, int] | None = None
    """Growth before the first of our tests, of the counters of accept queues; None: not read."""
    counters_alone: dict[str, int] | None = None
    """Growth while connections were tried again one at a time; None: none was, or it was not read."""
    listeners: tuple[Listener, ...] | None = None
    qdiscs: tuple[Qdisc, ...] | None = None
    """None: not read, like the next two."""
    filters: tuple[Filter, ...] | None = None
    """With programs that hang on devices by themselves (XDP, tcx, netkit)."""
    has_all_programs: bool = False
    """Whether those programs were requested, and all reported; of XDP netlink tells the numbers anyway."""
    ipsec: tuple[IpsecPolicy, ...] | None = None
    connections: tuple[Connection, ...] | None = None
    """Of pods: those that were there before and after the tests, one for each address and state, at most 200.

    To loopback addresses only those that nobody answers."""
    firewall: Firewall | None = None
    """None: no tool could read it (the reason in `missing`)."""
    shown: tuple[str, ...] = ()
    """By the rungs that run commands: which lists these showed; one of them that is empty holds nothing."""


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
    """It holds one of the node's own addresses: the node's namespace is its own, and most of the rest is empty."""
    connections: tuple[Connection, ...] | None = None
    """Of the node's, those that such a pod's own processes made, at both looks; None: not read."""
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
    resolver_options: tuple[str, ...] = ()
    """Options of resolv.conf as they stand: "timeout:2", "single-request-reopen"."""
    hosts: tuple[HostsLine, ...] | None = None
    """Of /etc/hosts, without loopback and multicast; None: not read."""
    localhost: tuple[str, ...] | None = None
    """The addresses that /etc/hosts gives to the name localhost; None: not read."""
    self_tests: tuple[SelfTest, ...] | None = None
    """Of pods that are sources, if the task asks for them; None: not tried."""


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
    alone: Outcome | Literal[""] = ""
    """What came of it when it was tried again by itself, after it had timed out beside the others; "" when it was not.
    Where this succeeded, `outcome` says so, too."""
    rcode: str = ""
    """DNS: NOERROR, NXDOMAIN, SERVFAIL, …"""
    answers: tuple[str, ...] = ()
    """DNS: addresses of the answer, at most 8."""
    asked: str = ""
    """Of a name that the search list made: the short one that a program would have asked for."""
    record: Literal["A", "AAAA"] = "A"
    mtu_steps: tuple[MtuStep, ...] = ()


DialOutcome = Literal[
    "answered",  # in the protocol that was spoken
    "no-connection",  # `detail` says why
    "silent",  # connected, or sent, and nothing came back
    "closed",  # connected, and closed without an answer
    "not-understood",  # an answer of another protocol, or a TLS handshake that failed
]


@dataclass(frozen=True, slots=True, kw_only=True)
class DialAnswer:
    """What came of one question in an application's own protocol."""

    source: str
    """A pod's uid."""
    name: str
    """"namespace/service:port"."""
    kind: DialKind
    outcome: DialOutcome = "silent"
    status: int | None = None
    """HTTP: the status code; gRPC: the health (1: serving, 2: not serving), None where none is given."""
    has_text: bool | None = None
    """HTTP: whether the text that was looked for is there; None: none was."""
    rcode: str = ""
    addresses: tuple[str, ...] = ()
    """DNS."""
    latency_ms: float = 0.0
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conntrack:
    """The connection tracking table of the root namespace."""

    count: int | None = None
    max: int | None = None
    drop_delta: int | None = None
    insert_failed_delta: int | None = None
    drop: int | None = None
    insert_failed: int | None = None
    flows: tuple[TrackedFlow, ...] | None = None
    """UDP flows in use, and TCP connections that wait for an acknowledgement; None: the table was not read."""


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
class Missing:
    """Something that was not observed, and why: never silently absent."""

    what: str
    """Where it belongs, dotted: "root.firewall.nft", "pods.UID", "tests.deadline", "host.cni", …"""
    why: str

    @property
    def pod(self) -> str:
        """The UID of the pod that it belongs to, "" for none."""
        kind, _, rest = self.what.partition(".")
        return rest.partition(".")[0] if kind == "pods" else ""

    @property
    def of_pod(self) -> str:
        """What of the pod it is, dotted; "" for all of it, and for what is of no pod."""
        return ".".join(self.what.split(".")[2:]) if self.pod else ""

    def is_in(self, place: str) -> bool:
        """Whether it is this place or lies in it: "root.firewall.nft" does in "root.firewall"."""
        return self.what == place or self.what.startswith(f"{place}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What tells a machine from others, and its kubelet reports in the Node's status, too; "" where it was not read."""

    boot_id: str = ""
    """Another one at each start of the kernel; nodes that are containers of one machine share it."""
    machine_id: str = ""
    system_uuid: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeReport:
    """All that one node agent saw."""

    schema: str = REPORT_SCHEMA
    node: str
    machine: Machine = Machine()
    """Where it was made."""
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
    dials: tuple[DialAnswer, ...] | None = None
    """None: nothing of the kind was asked (or by an older agent)."""
    conntrack: Conntrack | None = None
    neighbour_entries: int | None = None
    """Entries of the kernel's ARP table, shared by all namespaces (/proc/net/stat/arp_cache)."""
    neighbour_limit: int | None = None
    """gc_thresh3."""
    neighbour_refusals_delta: int | None = None
    """How often meanwhile there was no room for an entry, even after unused ones were thrown out (table_fulls)."""
    cni_files: tuple[CniFile, ...] | None = None
    cni_binaries: tuple[str, ...] | None = None
    sysctl_files: tuple[str, ...] | None = None
    """Lines of /etc/sysctl.d and friends that set a forwarding, rp_filter or proxy_arp value: "path: key = value"."""
    service_rules: tuple[ServiceRules, ...] | None = None
    egress_nat: tuple[EgressNat, ...] | None = None
    cilium: Cilium | None = None
    """None: no maps of Cilium's are pinned on this node (or an older agent looked)."""
    cgroup_programs: tuple[CgroupProgram, ...] | None = None
    """None: not read. Those of the root cgroup decide for every process of the node."""
    netfilter_programs: tuple[NetfilterProgram, ...] | None = None
    """None: not read. Of all network namespaces of the machine: the kernel does not tell whose each is."""
    trace: NodeTrace | None = None
    """Of a task with series to follow; nothing else is in such a report."""
    missing: tuple[Missing, ...] = ()

    def why_missing(self, *places: str) -> str:
        """Why something of these places was not observed; "" where nothing says so."""
        return next((each.why for each in self.missing if any(map(each.is_in, places))), "")
