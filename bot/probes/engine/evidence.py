"""All that one diagnosis saw, with the indexes by which probes ask for it.

The evidence is what `--record` writes and `replay` reads: the snapshot of API objects, one report per node, and what
could not be observed. Probes turn it into facts; nothing after that looks at a cluster again.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from bot.agent.report import Connection, NodeReport, PodReport, Test
from bot.agent.traced import NodeTrace, TraceFlow
from bot.cluster.cni.detect import CniInventory, detect_cni
from bot.cluster.objects import EndpointSlice, Node, Pod, Service
from bot.cluster.snapshot.asked_pods import asked_pods
from bot.cluster.snapshot.snapshot import Snapshot
from bot.domain import facts
from bot.domain.facts import Relations, Rung, Subject
from bot.domain.flows import ExpectedAnswer, NeededFlow
from bot.domain.report import Unobserved


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What was seen, by whom, and what was not."""

    snapshot: Snapshot
    reports: Mapping[str, NodeReport] = field(default_factory=dict[str, NodeReport])
    """By node; a node without an entry was not inspected (the reason in `unobserved`)."""
    rungs: Mapping[str, Rung] = field(default_factory=dict[str, Rung])
    """The rung by which each node's report was made."""
    access: Rung = Rung.API
    """The highest rung used."""
    pod: str | None = None
    """The one pod of the namespace that was asked about, if one was."""
    nodes_in_scope: tuple[str, ...] = ()
    exec_calls: int = 0
    unobserved: tuple[Unobserved, ...] = ()
    dials: tuple[NeededFlow, ...] = ()
    """The connections that playbooks know of the applications here."""
    expected: tuple[ExpectedAnswer, ...] = ()
    """What they ask of them in their own protocols."""
    traced: tuple[TraceFlow, ...] = ()
    """Series of probe packets that were followed, for flows that fail."""
    traces: Mapping[str, NodeTrace] = field(default_factory=dict[str, NodeTrace])
    """By node, what it saw of them."""
    first: "Evidence | None" = None
    """What was seen a moment before, when that was doubtful enough to look again."""

    @cached_property
    def cni(self) -> CniInventory:
        """Which CNI this cluster runs."""
        return detect_cni(self.snapshot)

    # Pods

    @cached_property
    def pods(self) -> Mapping[Subject, Pod]:
        """Every live pod that the snapshot holds, whichever list it came by."""
        snapshot = self.snapshot
        every = (*snapshot.pods, *snapshot.dependency_pods, *snapshot.node_pods)
        return {pod_subject(pod): pod for pod in every if not pod.is_finished}

    @cached_property
    def scope_pods(self) -> tuple[Subject, ...]:
        """Live pods of the namespace (or those asked about by a name), in order of name."""
        live = [pod for pod in self.snapshot.pods if not pod.is_finished]
        asked = None if self.pod is None else asked_pods(self.snapshot.pods, self.pod)
        return tuple(sorted(pod_subject(pod) for pod in live if asked is None or pod.metadata.name in asked))

    @cached_property
    def pod_by_uid(self) -> Mapping[str, Subject]:
        """Pods by the uid that node agents call them by."""
        return {pod.metadata.uid: subject for subject, pod in self.pods.items()}

    @cached_property
    def pods_by_ip(self) -> Mapping[str, tuple[Subject, ...]]:
        """Pods with their own address (not hostNetwork) by that address: more than one is a duplicate."""
        found: dict[str, list[Subject]] = defaultdict(list)
        for subject, pod in self.pods.items():
            if pod.status.pod_ip and not pod.spec.host_network:
                found[pod.status.pod_ip].append(subject)
        return {ip: tuple(sorted(subjects)) for ip, subjects in found.items()}

    def node_of(self, pod: Subject) -> str:
        """The node a pod runs on, "" when it is not scheduled or not known."""
        known = self.pods.get(pod)
        return known.spec.node_name if known else ""

    def pods_on(self, node: str) -> Iterator[Subject]:
        """Known pods of a node, in order of name."""
        return (subject for subject in sorted(self.pods) if self.pods[subject].spec.node_name == node)

    # Nodes

    @cached_property
    def nodes(self) -> Mapping[str, Node]:
        """The nodes by name."""
        return {node.metadata.name: node for node in self.snapshot.nodes}

    @cached_property
    def node_by_ip(self) -> Mapping[str, str]:
        """Nodes' names by each of their addresses."""
        return {each.address: node.metadata.name for node in self.snapshot.nodes for each in node.status.addresses}

    # Services

    @cached_property
    def services(self) -> Mapping[Subject, Service]:
        """The Services that the snapshot holds."""
        return {facts.service(s.metadata.namespace, s.metadata.name): s for s in self.snapshot.services}

    @cached_property
    def slices(self) -> Mapping[Subject, tuple[EndpointSlice, ...]]:
        """The EndpointSlices of each Service that the snapshot holds; empty where there are none."""
        found: dict[Subject, list[EndpointSlice]] = {service: [] for service in self.services}
        for each in self.snapshot.endpoint_slices:
            found.setdefault(facts.service(each.metadata.namespace, each.service_name), []).append(each)
        return {service: tuple(slices) for service, slices in found.items()}

    @cached_property
    def dns_services(self) -> tuple[Subject, ...]:
        """The cluster's DNS Services: port 53 in kube-system, selected or named as every distribution does."""
        names = {"kube-dns", "coredns", "rke2-coredns-rke2-coredns", "dns-default"}
        return tuple(
            subject
            for subject, service in sorted(self.services.items())
            if any(port.port == 53 for port in service.spec.ports)
            and (
                service.metadata.name in names
                or service.metadata.labels.get("k8s-app") == "kube-dns"
                or service.spec.selector.get("k8s-app") == "kube-dns"
            )
        )

    # Reports

    @cached_property
    def pod_reports(self) -> Mapping[Subject, PodReport]:
        """What the nodes' reports say about each pod whose namespace was found."""
        return {
            facts.pod(report.namespace, report.name): report
            for node in self.reports.values()
            for report in node.pods
            if report.is_found and not report.is_host_network
        }

    @cached_property
    def host_connections(self) -> Mapping[Subject, tuple[Connection, ...]]:
        """What the processes of pods with their node's network dial, of those that were looked at."""
        return {
            facts.pod(report.namespace, report.name): report.connections
            for node in self.reports.values()
            for report in node.pods
            if report.is_host_network and report.connections is not None
        }

    @cached_property
    def resolvers(self) -> Mapping[Subject, PodReport]:
        """Each pod whose resolv.conf was read, those with their node's network included."""
        return {
            facts.pod(report.namespace, report.name): report
            for node in self.reports.values()
            for report in node.pods
            if report.nameservers is not None
        }

    @cached_property
    def tests(self) -> tuple[tuple[Subject, str, Test], ...]:
        """Every test that ran: its source (a pod, or a node for its root namespace), the source's node, the test."""
        found: list[tuple[Subject, str, Test]] = []
        for name, report in sorted(self.reports.items()):
            for test in report.tests:
                if test.outcome == "skipped":
                    continue
                source = facts.node(name) if test.source == "node" else self.pod_by_uid.get(test.source)
                if source:
                    found.append((source, name, test))
        return tuple(found)

    def why_no_report(self, node: str) -> str:
        """Why a node was not inspected from inside."""
        for each in self.unobserved:
            if each.kind == "node" and each.subject == str(facts.node(node)):
                return each.why
        if self.access is Rung.API:
            return "nodes were not inspected (access rung: api)"
        return f"node {node} was not inspected"

    # Relations

    @cached_property
    def relations(self) -> Relations:
        """How the subjects hang together."""
        behind = {
            service: tuple(sorted({pod for each in slices for pod in _pods_in(each, service)}))
            for service, slices in self.slices.items()
        }
        return Relations(
            node_of_pod={s: facts.node(p.spec.node_name) for s, p in self.pods.items() if p.spec.node_name},
            pods_of_service=behind,
            asked=frozenset(self.scope_pods),
            addresses=dict(self._addresses()),
            ports=dict(self._ports()),
        )

    def _addresses(self) -> Iterator[tuple[Subject, str]]:
        yield from ((subject, pod.status.pod_ip) for subject, pod in self.pods.items() if pod.status.pod_ip)
        yield from ((facts.node(name), node.internal_ip) for name, node in self.nodes.items() if node.internal_ip)
        for subject, service in self.services.items():
            if service.spec.cluster_ip not in {"", "None"}:
                yield subject, service.spec.cluster_ip

    def _ports(self) -> Iterator[tuple[Subject, int]]:
        for subject, service in self.services.items():
            if service.spec.ports:
                yield subject, min(service.spec.ports, key=lambda each: each.protocol != "TCP").port
            for each in self.slices.get(subject, ()):
                listed = [port for port in each.ports if port.port]
                if listed:
                    port = min(listed, key=lambda one: one.protocol != "TCP").port or 0
                    yield from ((pod, port) for pod in _pods_in(each, subject))


def _pods_in(listed: EndpointSlice, service: Subject) -> Iterator[Subject]:
    namespace = service.name.partition("/")[0]
    refs = (each.target_ref for each in listed.endpoints if each.target_ref and each.target_ref.kind == "Pod")
    return (facts.pod(ref.namespace or namespace, ref.name) for ref in refs)


def pod_subject(pod: Pod) -> Subject:
    """The subject that stands for this pod."""
    return facts.pod(pod.metadata.namespace, pod.metadata.name)
