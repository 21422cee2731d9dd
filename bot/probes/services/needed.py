"""Which flows are needed: what playbooks name, what pods are to dial and are dialling, DNS, the API, kubelets.

Everything else that we try is an instrument: it tells a broken hop from a whole one, but a policy that denies it does
what it is for. Variables that kubelet injects for every Service ("…_SERVICE_HOST") say nothing and stand in no pod's
spec anyhow.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

from bot.agent.report import TrackedFlow
from bot.cluster.objects import Pod, ServicePort
from bot.cluster.snapshot.dialled import Dialled, dialled
from bot.domain import facts
from bot.domain.facts import Subject
from bot.domain.flows import NeededFlow, Protocol
from bot.probes.engine.evidence import Evidence
from bot.probes.engine.once import once_per_evidence
from bot.probes.policy.selectors import address
from bot.probes.services.backends import backends, service_by_ip
from bot.probes.services.kubelet_probes import probed_port
from bot.probes.services.rules import is_loopback
from bot.probes.services.service_names import dialled_service, named_service

MAX_FLOWS = 20_000
UDP_PORTS = frozenset({53, 123, 161, 162, 514, 2055, 4739, 6343, 6831, 6832, 8125})
"""Where names, clocks, logs, flows, traces and metrics are sent over UDP: that nobody takes TCP there says nothing."""


@once_per_evidence
def needed_flows(evidence: Evidence) -> tuple[NeededFlow, ...]:
    """Every flow that is known to be needed, each once for each way in which it is known."""
    found: dict[NeededFlow, None] = {}
    for flow in _Deriving(evidence).flows():
        if len(found) >= MAX_FLOWS:
            break
        found[flow] = None
    return tuple(found)


@once_per_evidence
def clients_of(evidence: Evidence) -> Mapping[tuple[Subject, int], Mapping[Subject, NeededFlow]]:
    """By Service and its port: who needs it, with the first thing that shows it."""
    found: dict[tuple[Subject, int], dict[Subject, NeededFlow]] = defaultdict(dict)
    for flow in needed_flows(evidence):
        if flow.target is not None and flow.target.kind is facts.SubjectKind.SERVICE and not flow.at_port:
            found[flow.target, flow.port].setdefault(flow.source, flow)
    return found


@once_per_evidence
def outside_dials(evidence: Evidence) -> Mapping[Subject, Sequence[NeededFlow]]:
    """By Service who needs it by another address than its ClusterIP: a node port, an externalIP, a balancer's."""
    found: dict[Subject, list[NeededFlow]] = defaultdict(list)
    for flow in needed_flows(evidence):
        if flow.target is not None and flow.at_port:
            found[flow.target].append(flow)
    return found


@once_per_evidence
def plain_dials(evidence: Evidence) -> Mapping[Subject, Sequence[NeededFlow]]:
    """By pod asked about, addresses of nodes, pods and machines outside that it is configured to dial over TCP.

    Of pods that share their node's network also what they dial just now without an answer: nothing else tells of it.
    """
    found: dict[Subject, dict[tuple[str, int], NeededFlow]] = defaultdict(dict)
    for flow in needed_flows(evidence):
        is_plain = flow.target is None or flow.target.kind in {facts.SubjectKind.NODE, facts.SubjectKind.POD}
        is_tcp = flow.family == 4 and flow.port not in UDP_PORTS
        is_plain = is_plain and flow.target != flow.source
        pod = evidence.pods.get(flow.source)
        is_dialled = flow.is_waiting and pod is not None and pod.spec.host_network
        is_dialled = is_dialled or flow.known_by in {"environment", "arguments"}
        if is_dialled and is_plain and is_tcp and not flow.at_port:
            found[flow.source].setdefault((flow.address, flow.port), flow)
    return {pod: tuple(flows.values()) for pod in evidence.scope_pods if (flows := found.get(pod))}


@once_per_evidence
def nameservers_of(evidence: Evidence) -> Mapping[Subject, Sequence[str]]:
    """By pod the nameservers that it asks."""
    found: dict[Subject, list[str]] = defaultdict(list)
    for flow in needed_flows(evidence):
        if flow.known_by == "dns":
            found[flow.source].append(flow.address)
    return found


def needs(evidence: Evidence, source: Subject, service: Subject, port: int) -> bool:
    """Whether this pod is known to need this port of the Service."""
    return source in clients_of(evidence).get((service, port), ())


class _Deriving:
    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._by_ip = service_by_ip(evidence)
        self._services_at: dict[tuple[str, int], list[tuple[Subject, int]]] = defaultdict(list)
        for subject in evidence.services:
            for each in backends(evidence, subject):
                self._services_at[each.ip, each.port].append((subject, each.service_port))

    def flows(self) -> Iterator[NeededFlow]:
        """In the order in which they prove."""
        yield from (flow for flow in self._evidence.dials if self._is_of_this_pod(flow))
        for subject, pod in self._evidence.pods.items():
            yield from self._configured(subject, pod)
            yield from self._dialling(subject)
            yield from self._sending(subject, pod)
            yield from self._resolving(subject, pod)
            yield from self._probed(subject, pod)

    def _is_of_this_pod(self, dial: NeededFlow) -> bool:
        """What a playbook knows of an application holds of a pod that does not say otherwise: by another port."""
        pod = self._evidence.pods.get(dial.source)
        if dial.target not in self._evidence.services:
            return False
        reported = self._configured(dial.source, pod) if pod else ()
        ports = {flow.port for flow in reported if flow.target == dial.target}
        return not ports or dial.port in ports

    # What a pod's environment and arguments name

    def _configured(self, subject: Subject, pod: Pod) -> Iterator[NeededFlow]:
        for container in (*pod.spec.containers, *pod.spec.init_containers):
            for each in dialled(container):
                yield from self._named(subject, pod.metadata.namespace, each)

    def _named(self, subject: Subject, namespace: str, each: Dialled) -> Iterator[NeededFlow]:
        if address(each.host) and each.host not in self._own_ips:
            yield from self._named_outside(subject, each)
            return
        target = dialled_service(self._evidence, each.host, namespace)
        if target is None or subject in self._evidence.relations.pods_of_service.get(target, ()):
            return  # not of this cluster, or the pod's own Service: what it is called, not whom it dials
        spec = self._evidence.services[target].spec
        # An alias resolves by way of another name: nothing is expected of the one that is dialled.
        is_own = named_service(self._evidence, each.host, namespace) == target
        name = each.host if is_own and not address(each.host) else ""
        for port in _meant(spec.ports, each):
            yield _named_flow(subject, target, port, each, at=spec.cluster_ip, name=name)

    def _named_outside(self, subject: Subject, each: Dialled) -> Iterator[NeededFlow]:
        """What is dialled at a node port, an externalIP, or a balancer's address; or at an address of no Service."""
        found = list(self._outside(each))
        for target, port in found:
            yield _named_flow(subject, target, port, each, at=each.host, at_port=each.port or port.port)
        if not found and each.port and each.host not in self._by_ip:
            yield NeededFlow(
                source=subject,
                target=self._machine(each.host),
                address=each.host,
                port=each.port,
                family=6 if ":" in each.host else 4,
                known_by="environment" if each.where else "arguments",
                why=each.named,
            )

    def _machine(self, ip: str) -> Subject | None:
        """The node or the pod that has an address; None for what is not of this cluster."""
        if name := self._evidence.node_by_ip.get(ip):
            return facts.node(name)
        pods = self._evidence.pods_by_ip.get(ip, ())
        return pods[0] if pods else None

    def _outside(self, each: Dialled) -> Iterator[tuple[Subject, ServicePort]]:
        """The Service behind such an address, with each of its ports that is dialled there."""
        if target := self._by_ip.get(each.host):
            yield from ((target, port) for port in _meant(self._evidence.services[target].spec.ports, each))
        elif each.host in self._evidence.node_by_ip and (found := self._node_ports.get(each.port or 0)):
            yield found

    @cached_property
    def _own_ips(self) -> frozenset[str]:
        """The ClusterIPs."""
        specs = (each.spec for each in self._evidence.services.values())
        return frozenset(ip for spec in specs for ip in (spec.cluster_ip, *spec.cluster_ips))

    @cached_property
    def _node_ports(self) -> Mapping[int, tuple[Subject, ServicePort]]:
        services = self._evidence.services.items()
        return {port.node_port: (name, port) for name, each in services for port in each.spec.ports if port.node_port}

    # What a pod dials right now

    def _dialling(self, subject: Subject) -> Iterator[NeededFlow]:
        report = self._evidence.pod_reports.get(subject)
        seen = report.state.connections if report and report.state else self._evidence.host_connections.get(subject)
        for each in seen or ():
            if is_loopback(each.ip) or (report and each.ip == report.ip):
                continue  # to itself: see `itself`
            is_waiting = each.state == "syn-sent"
            words = "dials {} without an answer" if is_waiting else "holds a connection to {}"
            for target, port in self._behind(each.ip, each.port):
                yield NeededFlow(
                    source=subject,
                    target=target,
                    address=each.ip,
                    port=port,
                    family=6 if ":" in each.ip else 4,
                    known_by="socket" if is_waiting else "connection",
                    why=f"it {words.format(f'{each.ip}:{each.port}')}",
                    is_waiting=is_waiting,
                )

    def _sending(self, subject: Subject, pod: Pod) -> Iterator[NeededFlow]:
        """What the node's connection tracking shows of a pod that sends over UDP, which has no connections to list."""
        for flow in self._sent_by.get(pod.status.pod_ip, ()):
            if service := self._by_ip.get(flow.dst):
                yield NeededFlow(
                    source=subject,
                    target=service,
                    address=flow.dst,
                    port=flow.port,
                    protocol="UDP",
                    family=6 if ":" in flow.dst else 4,
                    known_by="tracked",
                    why=f"it keeps sending to {flow.dst}:{flow.port}/UDP",
                )

    @cached_property
    def _sent_by(self) -> Mapping[str, Sequence[TrackedFlow]]:
        """By address what was sent over UDP while we looked, and not by us: our sockets send once."""
        found: dict[str, list[TrackedFlow]] = defaultdict(list)
        for report in self._evidence.reports.values():
            for flow in (report.conntrack.flows if report.conntrack else None) or ():
                if flow.protocol == "udp" and flow.is_sent:
                    found[flow.src].append(flow)
        return found

    def _behind(self, ip: str, port: int) -> Iterator[tuple[Subject | None, int]]:
        """The Service that has this address, or those that the pod at this address stands behind; else what it is."""
        service, pods = self._by_ip.get(ip), self._evidence.pods_by_ip.get(ip, ())
        if service is not None:
            yield service, port
            return
        found = self._services_at.get((ip, port), ())
        yield from found
        if not found:
            yield (pods[0] if pods else None), port

    # Names

    def _resolving(self, subject: Subject, pod: Pod) -> Iterator[NeededFlow]:
        for server in self.nameservers(subject, pod):
            yield NeededFlow(
                source=subject,
                target=self._by_ip.get(server),
                address=server,
                port=53,
                protocol="UDP",
                family=6 if ":" in server else 4,
                known_by="dns",
                why=f"it asks the nameserver {server}",
            )

    def nameservers(self, subject: Subject, pod: Pod) -> Sequence[str]:
        """Those in its resolv.conf, else those that kubelet writes there for its dnsPolicy."""
        report = self._evidence.resolvers.get(subject)
        if report is not None and report.nameservers is not None:
            return report.nameservers
        own = pod.spec.dns_config.nameservers if pod.spec.dns_config else ()
        policy = pod.spec.dns_policy or "ClusterFirst"
        asks_cluster = policy == "ClusterFirstWithHostNet" or (policy == "ClusterFirst" and not pod.spec.host_network)
        cluster = (
            ip
            for each in self._evidence.dns_services
            if (ip := self._evidence.services[each].spec.cluster_ip) not in {"", "None"}
        )
        return (*(cluster if asks_cluster else ()), *own)

    # Kubelets

    def _probed(self, subject: Subject, pod: Pod) -> Iterator[NeededFlow]:
        if pod.spec.host_network or not pod.spec.node_name or not pod.status.pod_ip:
            return
        for container in pod.spec.containers:
            for kind, probe in (("readiness", container.readiness_probe), ("liveness", container.liveness_probe)):
                if number := probed_port(container, probe):
                    yield NeededFlow(
                        source=facts.node(pod.spec.node_name),
                        target=subject,
                        address=pod.status.pod_ip,
                        port=number,
                        family=6 if ":" in pod.status.pod_ip else 4,
                        known_by="probe",
                        why=f"the kubelet's {kind} probe connects to it",
                    )


def _meant(ports: Sequence[ServicePort], each: Dialled) -> Sequence[ServicePort]:
    """Those of a Service's ports that are dialled: of the number that is named, or its only one.

    Where a number stands for TCP and for UDP, TCP is meant, unless it is one that is known for UDP.
    """
    number = each.port or (ports[0].port if len(ports) == 1 else 0)
    found = [port for port in ports if port.port == number]
    by_tcp = [port for port in found if (port.protocol or "TCP") == "TCP"]
    return found if number in UDP_PORTS else by_tcp or found


def _named_flow(
    source: Subject, target: Subject, port: ServicePort, each: Dialled, *, at: str, at_port: int = 0, name: str = ""
) -> NeededFlow:
    """What a pod's environment or arguments say that it dials; `at` is the address."""
    return NeededFlow(
        source=source,
        target=target,
        address=at,
        name=name,
        port=port.port,
        at_port=at_port,
        protocol=_protocol(port.protocol),
        family=6 if ":" in at else 4,
        known_by="environment" if each.where else "arguments",
        why=each.named,
    )


def _protocol(text: str) -> Protocol:
    return "UDP" if text == "UDP" else "SCTP" if text == "SCTP" else "TCP"
