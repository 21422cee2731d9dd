"""What a node agent is asked: one JSON document, versioned. See `bot.agent.report` for what it answers."""

from dataclasses import dataclass
from typing import Literal

from bot.agent.traced import TraceFlow

TASK_SCHEMA = "cnibot.agent-task/v1"
NODE_KEY = "node"
"""What stands for a node's root namespace where pods stand by their uids."""

Purpose = Literal[
    "own-node",  # pod -> its node's address; node -> nothing
    "node",  # -> another node's InternalIP
    "local-pod",  # -> a pod on the same node
    "remote-pod",  # -> a pod on another node
    "endpoint",  # -> podIP:port of one endpoint behind a Service
    "cluster-ip",  # -> clusterIP:port of a Service
    "dns-service",  # a name asked of the DNS Service's clusterIP
    "dns-pod",  # a name asked of one DNS pod
    "dns-own",  # a name asked of one of the source's own nameservers, as its resolver would
    "outside",  # -> an address outside the cluster
    "dial",  # -> an address and port that somebody else dials: a kubelet's readiness probe
]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPod:
    """A pod of this node. `is_source`: run the whole test matrix from it, not only the gateway's ARP."""

    uid: str
    namespace: str
    name: str
    ip: str = ""
    is_source: bool = False
    is_host_network: bool = False
    """It shares the node's network: only its resolver is its own, so only names are tested from it."""
    names: tuple[str, ...] = ()
    """Asked of its nameservers as its resolver completes them, where it is a source."""


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
    sources: tuple[str, ...] = ()
    """Of pods only these, by uid; empty: from all. With `NODE_KEY` also from a node that has the address itself."""
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


DialKind = Literal["http", "grpc", "dns"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dial:
    """A question in an application's own protocol, asked of a Service from some pods of this node."""

    name: str
    """"namespace/service:port"."""
    ip: str
    port: int
    kind: DialKind
    sources: tuple[str, ...]
    """Pods by uid."""
    host: str = ""
    """The Service by the name that its clients use."""
    path: str = "/"
    """HTTP: the path; gRPC: the service whose health is asked, "" for the server's; DNS: the name."""
    tls: Literal["no", "yes", "either"] = "no"
    contains: str = ""
    """HTTP: a text that the answer should have."""


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
    own_names: tuple[str, ...] = ()
    """Full names that each source asks each nameserver of its resolv.conf for. Of the first also AAAA and by TCP."""
    short_name: str = ""
    """Asked in the same way through the source's search list."""
    services: tuple[ServicePort, ...] = ()
    mtu_targets: tuple[Target, ...] = ()
    """Remote pods or nodes for the path-MTU ladder (from two source pods per node, and from the node)."""
    gateway: str = ""
    """The gateway's address expected in pods if the bot knows it (169.254.1.1); otherwise from each pod's routes."""
    arp_tries: int = 3
    with_resolvers: bool = False
    """Also try the resolvers of the node's own resolv.conf (TCP 53): addresses outside that the node relies on."""
    with_self_tests: bool = False
    """Also connect from each source, inside it, to the ports on which it listens itself."""
    peers: int = 1
    """How many nodes test at the same time: connections to one listener are spaced accordingly."""
    turn: int = 0
    """This node's place among them."""
    dials: tuple[Dial, ...] = ()
    """Asked when all tests are done, so that they disturb none."""
    follow: tuple[TraceFlow, ...] = ()
    """Do nothing but follow these series through the namespaces of `pods` and the node's own."""
