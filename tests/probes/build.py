"""Evidence in a few lines: a small healthy cluster, of which a test replaces what it is about.

cluster = FakeCluster("calico")
cluster.node("node-1"), cluster.node("node-2")
a = cluster.pod("shop/a", "node-1")
cluster.seen(a, gateway_arp=None)          # what the agent reports about the pod, healthy but for this
cluster.test(a, "node", outcome="timeout", to=facts.node("node-2"))
table = facts_of(cluster.evidence(), pod_arp_table.PROBE)
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from bot.agent.report import (
    Address,
    ArpResult,
    Link,
    Missing,
    Neighbour,
    NetnsState,
    NodeReport,
    Outcome,
    PodReport,
    Purpose,
    Route,
    RouteAnswer,
    Rule,
    Test,
)
from bot.cluster.cni.detect import CniInventory
from bot.cluster.objects import (
    Condition,
    Container,
    ContainerPort,
    EndpointSlice,
    Node,
    NodeAddress,
    NodeSpec,
    NodeStatus,
    ObjectMeta,
    Pod,
    PodIP,
    PodSpec,
    PodStatus,
    Service,
)
from bot.cluster.snapshot.snapshot import Snapshot
from bot.domain import facts
from bot.domain.facts import FactBuilder, FactTable, Known, Rung, Subject
from bot.domain.finding import Finding, Severity
from bot.domain.report import ApiRead, Unobserved
from bot.probes.catalogue import FACTS
from bot.probes.engine.evidence import Evidence
from bot.probes.engine.probe import Probe

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
EE = "ee:ee:ee:ee:ee:ee"
GATEWAY = {"calico": "169.254.1.1", "flannel": "10.42.{n}.1", "cilium": "10.42.{n}.2"}

Kind = Literal["calico", "flannel", "cilium"]


@dataclass
class FakeCluster:
    """A cluster in the making. Everything that is not replaced is healthy."""

    cni: Kind = "calico"
    namespace: str = "shop"
    enforces_policy: bool | None = True
    nodes: dict[str, Node] = field(default_factory=dict[str, Node])
    pods: dict[Subject, Pod] = field(default_factory=dict[Subject, Pod])
    pod_reports: dict[str, dict[str, PodReport]] = field(default_factory=dict[str, dict[str, PodReport]])
    """By node and uid."""
    roots: dict[str, NetnsState] = field(default_factory=dict[str, NetnsState])
    tests: dict[str, list[Test]] = field(default_factory=dict[str, list[Test]])
    node_fields: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    """Further fields of each `NodeReport`."""
    services: list[Service] = field(default_factory=list[Service])
    slices: list[EndpointSlice] = field(default_factory=list[EndpointSlice])
    rungs: dict[str, Rung] = field(default_factory=dict[str, Rung])
    unobserved: list[Unobserved] = field(default_factory=list[Unobserved])
    snapshot_fields: dict[str, Any] = field(default_factory=dict[str, Any])
    """Further fields of the `Snapshot`."""

    def node(self, name: str, *, is_ready: bool = True, reason: str = "", **spec: Any) -> Subject:
        """A node with a report; its address is 172.30.0.(10 + its number)."""
        number = len(self.nodes) + 1
        condition = Condition(type="Ready", status="True" if is_ready else "False", reason=reason or "KubeletReady")
        self.nodes[name] = Node(
            metadata=ObjectMeta(name=name, uid=f"uid-{name}"),
            spec=NodeSpec(pod_cidr=f"10.42.{number}.0/24", **spec),
            status=NodeStatus(
                addresses=(NodeAddress(type="InternalIP", address=f"172.30.0.{10 + number}"),), conditions=(condition,)
            ),
        )
        self.roots[name] = root_state(number)
        self.pod_reports[name] = {}
        self.tests[name] = []
        self.node_fields[name] = {}
        return facts.node(name)

    def pod(
        self,
        name: str,
        node: str,
        *,
        is_reported: bool = True,
        is_ready: bool = True,
        host_network: bool = False,
        labels: dict[str, str] | None = None,
        ports: Sequence[int] = (),
        age: timedelta = timedelta(hours=1),
        ip: str = "",
        **status: Any,
    ) -> Subject:
        """A running pod ("namespace/name"), healthy in its node's report unless `is_reported` is false."""
        namespace, _, short = name.partition("/")
        subject = facts.pod(namespace, short)
        number = list(self.nodes).index(node) + 1
        ip = ip or (self._node_ip(node) if host_network else f"10.42.{number}.{10 + len(self.pod_reports[node])}")
        fields: dict[str, Any] = {
            "phase": "Running",
            "pod_ip": ip,
            "pod_ips": (PodIP(ip=ip),) if ip else (),
            "conditions": (Condition(type="Ready", status="True" if is_ready else "False"),),
        }
        self.pods[subject] = Pod(
            metadata=ObjectMeta(
                namespace=namespace, name=short, uid=f"uid-{short}", labels=labels or {}, creation_timestamp=NOW - age
            ),
            spec=PodSpec(
                node_name=node,
                host_network=host_network,
                containers=(Container(name="main", ports=tuple(ContainerPort(container_port=p) for p in ports)),),
            ),
            status=PodStatus(**(fields | status)),
        )
        if is_reported and not host_network:
            self._report(subject, node, number)
        return subject

    def _node_ip(self, node: str) -> str:
        return self.nodes[node].internal_ip

    def _report(self, subject: Subject, node: str, number: int) -> None:
        pod = self.pods[subject]
        index = len(self.pod_reports[node]) + 1
        gateway = GATEWAY[self.cni].format(n=number)
        prefix = {"calico": "cali", "flannel": "veth", "cilium": "lxc"}[self.cni]
        host_link = f"{prefix}{index}"
        self.pod_reports[node][pod.metadata.uid] = pod_report(
            pod, host_link, gateway, index, bridge=self._bridge(number)
        )
        root = self.roots[node]
        self.roots[node] = with_host_link(root, pod.status.pod_ip, host_link, index, self.cni, gateway)

    def _bridge(self, number: int) -> str:
        return f"0a:00:00:00:00:{number:02x}" if self.cni == "flannel" else ""

    # Replacing

    def report_of(self, subject: Subject) -> PodReport:
        """What the node's agent reports about a pod."""
        pod = self.pods[subject]
        return self.pod_reports[pod.spec.node_name][pod.metadata.uid]

    def seen(self, subject: Subject, **changes: Any) -> None:
        """Replace fields of a pod's report."""
        pod = self.pods[subject]
        self.pod_reports[pod.spec.node_name][pod.metadata.uid] = replace(self.report_of(subject), **changes)

    def inside(self, subject: Subject, **changes: Any) -> None:
        """Replace fields of the state of a pod's own namespace."""
        state = self.report_of(subject).state
        assert state is not None
        self.seen(subject, state=replace(state, **changes))

    def root(self, node: str, **changes: Any) -> None:
        """Replace fields of the state of a node's root namespace."""
        self.roots[node] = replace(self.roots[node], **changes)

    def sysctl(self, node: str, **values: str) -> None:
        """Set sysctls of a node: dots as "__" ("ipv4__ip_forward")."""
        changed = {key.replace("__", "."): value for key, value in values.items()}
        self.root(node, sysctls=self.roots[node].sysctls | changed)

    def host_link(self, subject: Subject, **changes: Any) -> None:
        """Replace fields of the root namespace's end of a pod's eth0."""
        node, name = self.pods[subject].spec.node_name, self.report_of(subject).host_link
        links = self.roots[node].links
        self.root(node, links=tuple(replace(link, **changes) if link.name == name else link for link in links))

    def answers(self, subject: Subject, *answers_ms: float | None, macs: tuple[str, ...] | None = None) -> None:
        """How the gateway answered a pod's ARP requests."""
        arp = self.report_of(subject).gateway_arp
        assert arp is not None
        answered = arp.macs if any(each is not None for each in answers_ms) else ()
        self.seen(subject, gateway_arp=replace(arp, answers_ms=answers_ms, macs=answered if macs is None else macs))

    def node_report(self, node: str, **changes: Any) -> None:
        """Set further fields of a node's report."""
        self.node_fields[node] |= changes

    def unseen(self, node: str, why: str) -> None:
        """Make a node one that was not inspected."""
        del self.roots[node]
        self.unobserved.append(Unobserved(what=f"node {node}", why=why, kind="node", subject=f"node {node}"))

    # Tests

    def test(
        self,
        source: Subject,
        purpose: Purpose,
        *,
        to: Subject | None = None,
        outcome: Outcome = "ok",
        protocol: Literal["icmp", "tcp", "udp", "dns-udp", "dns-tcp", "mtu"] = "icmp",
        **fields: Any,
    ) -> Test:
        """One test from a pod or a node's root namespace."""
        node = source.name if source.kind is facts.SubjectKind.NODE else self.pods[source].spec.node_name
        about: dict[str, Any] = {"ip": "198.51.100.10", "ok": int(outcome == "ok"), "latency_ms": 0.4}
        if to:
            about |= self._about(to)
        made = Test(
            source="node" if source.kind is facts.SubjectKind.NODE else self.pods[source].metadata.uid,
            purpose=purpose,
            protocol=protocol,
            outcome=outcome,
            **(about | fields),
        )
        self.tests[node].append(made)
        return made

    def _about(self, to: Subject) -> dict[str, Any]:
        if to.kind is facts.SubjectKind.NODE:
            return {"ip": self._node_ip(to.name), "name": to.name, "node": to.name}
        pod = self.pods[to]
        return {"ip": pod.status.pod_ip, "name": to.name, "node": pod.spec.node_name}

    # The result

    def evidence(self, **changes: Any) -> Evidence:
        """All of it. `snapshot_fields` and `changes` replace fields of the `Snapshot` and of the `Evidence`."""
        in_namespace = tuple(p for p in self.pods.values() if p.metadata.namespace == self.namespace)
        objects: dict[str, Any] = {
            "cluster": "test",
            "taken_at": NOW,
            "namespace": self.namespace,
            "pods": in_namespace,
            "node_pods": tuple(self.pods.values()),
            "nodes": tuple(self.nodes.values()),
            "services": tuple(self.services),
            "endpoint_slices": tuple(self.slices),
        }
        snapshot = Snapshot(**(objects | self.snapshot_fields))
        reports = {name: self._node_report(name) for name in self.roots}
        fields: dict[str, Any] = {
            "snapshot": snapshot,
            "reports": reports,
            "rungs": {name: self.rungs.get(name, Rung.AGENT) for name in reports},
            "access": max(self.rungs.values(), default=Rung.AGENT, key=list(Rung).index),
            "nodes_in_scope": tuple(self.nodes),
            "unobserved": tuple(self.unobserved),
        }
        evidence = Evidence(**(fields | changes))
        # What detection makes of a snapshot is tested with it; here the CNI is given.
        vars(evidence)["cni"] = CniInventory(name=self.cni, enforces_policy=self.enforces_policy)
        return evidence

    def _node_report(self, name: str) -> NodeReport:
        fields: dict[str, Any] = {
            "node": name,
            "started_at": "2026-01-02T03:04:05Z",
            "took_s": 1.0,
            "root": self.roots[name],
            "pods": tuple(self.pod_reports[name].values()),
            "tests": tuple(self.tests[name]),
        }
        return NodeReport(**(fields | self.node_fields[name]))


def two_nodes(cni: Kind = "calico") -> tuple[FakeCluster, Subject, Subject, Subject]:
    """node-1 with shop/a and shop/b, node-2 with shop/c; all healthy."""
    cluster = FakeCluster(cni)
    cluster.node("node-1")
    cluster.node("node-2")
    return cluster, cluster.pod("shop/a", "node-1"), cluster.pod("shop/b", "node-1"), cluster.pod("shop/c", "node-2")


def root_state(number: int) -> NetnsState:
    """A node's root namespace: uplink eth0, default route, forwarding on, rp_filter loose."""
    return NetnsState(
        links=(
            Link(ifindex=1, name="lo", is_up=True, has_carrier=True, mtu=65536),
            Link(ifindex=2, name="eth0", mac="52:54:00:00:00:01", is_up=True, has_carrier=True, mtu=1500),
        ),
        addresses=(
            Address(dev="lo", ip="127.0.0.1", prefix_len=8),
            Address(dev="eth0", ip=f"172.30.0.{10 + number}", prefix_len=24),
        ),
        routes=(
            Route(dst="default", via="172.30.0.1", dev="eth0"),
            Route(dst="172.30.0.0/24", dev="eth0", scope="link", proto="kernel"),
        ),
        rules=(Rule(priority=0, table=255), Rule(priority=32766, table=254), Rule(priority=32767, table=253)),
        neighbours=(Neighbour(ip="172.30.0.1", dev="eth0", mac="52:54:00:00:00:fe", state="REACHABLE"),),
        sysctls={
            "ipv4.ip_forward": "1",
            "ipv4.conf.all.rp_filter": "0",
            "ipv4.conf.all.proxy_arp": "0",
            "ipv4.conf.all.arp_ignore": "0",
            "ipv4.conf.all.forwarding": "1",
            "ipv4.conf.eth0.rp_filter": "0",
            "ipv4.conf.eth0.forwarding": "1",
        },
    )


def with_host_link(root: NetnsState, pod_ip: str, name: str, index: int, cni: Kind, gateway: str) -> NetnsState:
    """The root namespace with one more pod link (and, for a bridge CNI, its bridge), as this CNI would lay it."""
    calico = cni == "calico"
    link = Link(
        ifindex=100 + index,
        name=name,
        kind="veth",
        mac=EE if calico else f"0a:58:00:00:00:{index:02x}",
        mtu=1450,
        is_up=True,
        has_carrier=True,
        master="cni0" if cni == "flannel" else "",
        peer_ifindex=2,
        bridge_port_state=3 if cni == "flannel" else None,
        is_hairpin=True if cni == "flannel" else None,
        is_isolated=False if cni == "flannel" else None,
        rx_otherhost=0,
        rx_otherhost_delta=0,
    )
    links, addresses, routes = [*root.links, link], list(root.addresses), list(root.routes)
    if cni == "flannel" and not any(each.name == "cni0" for each in root.links):
        number = int(gateway.split(".")[2])
        mac = f"0a:00:00:00:00:{number:02x}"
        links.append(Link(ifindex=50, name="cni0", kind="bridge", mac=mac, mtu=1450, is_up=True, has_carrier=True))
        addresses.append(Address(dev="cni0", ip=gateway, prefix_len=24))
        routes.append(Route(dst=f"10.42.{number}.0/24", dev="cni0", scope="link", proto="kernel", src=gateway))
    if cni == "cilium" and not any(each.name == "cilium_host" for each in root.links):
        links.append(
            Link(ifindex=51, name="cilium_host", kind="veth", mac="0a:00:00:00:01:01", is_up=True, has_carrier=True)
        )
        addresses.append(Address(dev="cilium_host", ip=gateway, prefix_len=32))
    if cni != "flannel":
        routes.append(Route(dst=f"{pod_ip}/32", dev=name, scope="link"))
    sysctls = {
        f"ipv4.conf.{name}.proxy_arp": "1" if calico else "0",
        f"ipv4.conf.{name}.forwarding": "1",
        f"ipv4.conf.{name}.rp_filter": "0",
        f"ipv4.conf.{name}.arp_ignore": "0",
        f"ipv4.neigh.{name}.proxy_delay": "0" if calico else "80",
    }
    return replace(
        root,
        links=tuple(links),
        addresses=tuple(addresses),
        routes=tuple(routes),
        sysctls=root.sysctls | sysctls,
        neighbours=(*root.neighbours, Neighbour(ip=pod_ip, dev=name, mac=f"02:00:00:00:00:{index:02x}", state="STALE")),
    )


def pod_report(pod: Pod, host_link: str, gateway: str, index: int, *, bridge: str = "") -> PodReport:
    """A healthy pod as the agent reports it; `bridge` is the bridge's MAC address where there is one."""
    ip = pod.status.pod_ip
    gateway_mac = bridge or (EE if host_link.startswith("cali") else f"0a:58:00:00:00:{index:02x}")
    kind = "local" if not host_link.startswith("cali") else "unicast"
    return PodReport(
        uid=pod.metadata.uid,
        namespace=pod.metadata.namespace,
        name=pod.metadata.name,
        ip=ip,
        is_found=True,
        netns=4026532000 + index,
        state=NetnsState(
            links=(
                Link(ifindex=1, name="lo", is_up=True, has_carrier=True, mtu=65536),
                Link(
                    ifindex=2,
                    name="eth0",
                    kind="veth",
                    mac=f"02:00:00:00:00:{index:02x}",
                    mtu=1450,
                    is_up=True,
                    has_carrier=True,
                    peer_ifindex=100 + index,
                ),
            ),
            addresses=(
                Address(dev="lo", ip="127.0.0.1", prefix_len=8),
                Address(dev="eth0", ip=ip, prefix_len=24 if bridge else 32),
            ),
            routes=(Route(dst="default", via=gateway, dev="eth0"), Route(dst=gateway, dev="eth0", scope="link")),
            rules=(Rule(priority=0, table=255), Rule(priority=32766, table=254), Rule(priority=32767, table=253)),
            neighbours=(Neighbour(ip=gateway, dev="eth0", mac=gateway_mac, state="REACHABLE"),),
            listeners=(),
        ),
        host_link=host_link,
        gateway_ip=gateway,
        gateway_arp=ArpResult(ip=gateway, dev="eth0", answers_ms=(0.05, 0.04, 0.04), macs=(gateway_mac,)),
        gateway_oracle=RouteAnswer(
            question=f"{gateway} from {ip} iif {host_link}", type=kind, via="172.30.0.1", dev="eth0"
        ),
        route_to_pod=RouteAnswer(question=ip, type="unicast", dev="cni0" if bridge else host_link),
        nameservers=("10.43.0.10",),
        search=(f"{pod.metadata.namespace}.svc.cluster.local", "svc.cluster.local", "cluster.local"),
        ndots=5,
    )


def unread(plural: str, why: str, *, group: str = "", namespace: str = "", remedy: str = "") -> Unobserved:
    """A list of the API that the snapshot lacks."""
    read = ApiRead(plural=plural, group=group, namespace=namespace)
    return Unobserved(what=plural, why=why, remedy=remedy, kind="api", reads=(read,))


def missing(what: str, why: str) -> Missing:
    """An entry of `NodeReport.missing`."""
    return Missing(what=what, why=why)


def facts_of(evidence: Evidence, *probes: Probe) -> FactTable:
    """The facts that these probes see."""
    builder = FactBuilder(FACTS.values())
    for probe in probes:
        probe.observe(evidence, builder)
    return builder.build(evidence.relations)


def table(**values: Any) -> FactTable:
    """Facts written by hand: `table(pod={"shop/a": {"gateway_arp": "silent"}}, relations=…)`."""
    relations = values.pop("relations", facts.Relations())
    flows = values.pop("flows", {})
    found: dict[Subject, Known] = {}
    for kind, subjects in values.items():
        for name, keys in subjects.items():
            of_kind = facts.SubjectKind(kind)
            found[Subject(of_kind, name)] = Known(of_kind, FACTS.keys(), keys)
    return FactTable(values=found, relations=relations, flows=flows, declared=FACTS.keys())


def sentences(findings: Sequence[Finding], *severities: Severity) -> list[str]:
    """The sentences of the findings of these severities (all, if none is named)."""
    return [each.sentence for each in findings if not severities or each.severity in severities]
