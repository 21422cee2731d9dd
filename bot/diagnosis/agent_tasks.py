"""What each node agent is asked to look at and to test, computed from the snapshot alone.

The plan grows with nodes, not with pods times probes: every pod of a node has its gateway checked, a bounded number
of *source* pods runs the matrix, and each remote node is represented by at most two pods.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from bot.agent.report import DnsQuestion, ServicePort, Target, Task, TaskPod
from bot.cluster.objects import EndpointSlice, Pod, Service
from bot.cluster.objects import ServicePort as KubePort
from bot.domain import facts
from bot.domain.facts import Subject
from bot.playbooks.applications import ApplicationDial
from bot.probes.evidence import Evidence

MAX_SOURCES = 8
MAX_LOCAL_TARGETS = 12
MAX_REMOTE_PODS_PER_NODE = 2
MAX_REMOTE_NODES = 20
MAX_SERVICES = 24
MAX_ENDPOINTS_PER_PORT = 5
MAX_DNS_PODS = 3
NODE_TRIES = 8
"""Pings from node to node: so many show a network that loses every tenth packet more often than not."""
CALICO_GATEWAY = "169.254.1.1"
"""So that a pod that lost its default route still has its gateway asked."""
OUTSIDE_NAME = "example.com"
"""Asked of the cluster's DNS to see whether it forwards: a name that IANA reserves and everybody's resolver knows."""


def nodes_in_scope(evidence: Evidence, *, limit: int) -> tuple[str, ...]:
    """The nodes that carry the pods asked about or a pod that these depend on (DNS, endpoints), in order of name.

    Pods asked about come first when there are more nodes than `limit`.
    """
    asked = {evidence.node_of(pod) for pod in evidence.scope_pods}
    behind = {evidence.node_of(pod) for pod in _dependencies(evidence)} - asked
    ordered = [*sorted(asked - {""}), *sorted(behind - {""})]
    return tuple(sorted(islice(ordered, limit)))


def plan_tasks(evidence: Evidence, dials: Sequence[ApplicationDial] = (), *, deadline_s: float) -> dict[str, Task]:
    """One task for each node in scope, by node."""
    services = tuple(islice(_service_ports(evidence, dials), MAX_SERVICES))
    questions = tuple(_questions(evidence))
    outside = tuple(_outside(evidence))
    tasks: dict[str, Task] = {}
    for name in evidence.nodes_in_scope:
        remote = tuple(_remote_targets(evidence, name))
        tasks[name] = Task(
            node=name,
            deadline_s=deadline_s,
            pods=tuple(_task_pods(evidence, name)),
            targets=(
                *_node_targets(evidence, name),
                *_local_targets(evidence, name),
                *remote,
                *(target for _, targets in services for target in targets),
                *outside,
            ),
            questions=questions,
            services=tuple(rule for rule, _ in services),
            mtu_targets=tuple(_mtu_targets(evidence, remote)),
            gateway=CALICO_GATEWAY if evidence.cni.name == "calico" else "",
            with_resolvers=True,
        )
    return tasks


# Pods


def _has_network(pod: Pod) -> bool:
    return bool(pod.status.pod_ip) and not pod.spec.host_network and pod.status.phase == "Running"


def _task_pods(evidence: Evidence, node: str) -> Iterator[TaskPod]:
    sources = set(_sources(evidence, node))
    for subject in evidence.pods_on(node):
        pod = evidence.pods[subject]
        if pod.spec.host_network:
            continue
        meta = pod.metadata
        yield TaskPod(
            uid=meta.uid,
            namespace=meta.namespace,
            name=meta.name,
            ip=pod.status.pod_ip,
            is_source=subject in sources,
        )


def _sources(evidence: Evidence, node: str) -> Iterator[Subject]:
    """Pods asked about (one of each workload before second ones), then the oldest other pod for contrast."""
    asked = set(evidence.scope_pods)
    here = [subject for subject in evidence.pods_on(node) if _has_network(evidence.pods[subject])]
    yield from islice(_one_of_each_workload(evidence, [s for s in here if s in asked]), MAX_SOURCES)
    others = [subject for subject in here if subject not in asked]
    yield from islice(sorted(others, key=lambda s: (not evidence.pods[s].is_ready, _started(evidence.pods[s]), s)), 1)


def _one_of_each_workload(evidence: Evidence, pods: Iterable[Subject]) -> Iterator[Subject]:
    ranked: dict[str, list[Subject]] = {}
    for subject in pods:
        owners = evidence.pods[subject].metadata.owner_references
        ranked.setdefault(owners[0].uid if owners else subject.name, []).append(subject)
    for rank in range(max(map(len, ranked.values()), default=0)):
        yield from (same[rank] for same in ranked.values() if rank < len(same))


def _started(pod: Pod) -> str:
    return pod.status.start_time.isoformat() if pod.status.start_time else "9"


# Nodes and pods as targets


def _node_targets(evidence: Evidence, node: str) -> Iterator[Target]:
    here = evidence.nodes.get(node)
    if here and here.internal_ip:
        yield Target(purpose="own-node", ip=here.internal_ip, name=node, node=node, from_node_too=False)
    others = [name for name in sorted(evidence.nodes) if name != node and evidence.nodes[name].internal_ip]
    in_scope_first = sorted(others, key=lambda name: (name not in evidence.nodes_in_scope, name))
    for name in in_scope_first[:MAX_REMOTE_NODES]:
        yield Target(purpose="node", ip=evidence.nodes[name].internal_ip, name=name, node=name, tries=NODE_TRIES)


def _local_targets(evidence: Evidence, node: str) -> Iterator[Target]:
    for subject in _representatives(evidence, node, MAX_LOCAL_TARGETS):
        yield _pod_target(evidence, subject, "local-pod")


def _remote_targets(evidence: Evidence, node: str) -> Iterator[Target]:
    others = [name for name in evidence.nodes_in_scope if name != node]
    for name in others[:MAX_REMOTE_NODES]:
        for subject in _representatives(evidence, name, MAX_REMOTE_PODS_PER_NODE):
            yield _pod_target(evidence, subject, "remote-pod")


def _representatives(evidence: Evidence, node: str, most: int) -> Sequence[Subject]:
    """Pods that stand for a node: those asked about first, ready before unready, then by name."""
    asked = set(evidence.scope_pods)
    here = (subject for subject in evidence.pods_on(node) if _has_network(evidence.pods[subject]))
    return sorted(here, key=lambda s: (s not in asked, not evidence.pods[s].is_ready, s))[:most]


def _pod_target(evidence: Evidence, subject: Subject, purpose: str) -> Target:
    pod = evidence.pods[subject]
    assert purpose in {"local-pod", "remote-pod"}
    return Target(
        purpose="local-pod" if purpose == "local-pod" else "remote-pod",
        ip=pod.status.pod_ip,
        name=subject.name,
        node=pod.spec.node_name,
    )


def _mtu_targets(evidence: Evidence, remote: Sequence[Target]) -> Iterator[Target]:
    """The first remote pod of each other node, and that node itself."""
    seen: set[str] = set()
    for target in remote:
        if target.node in seen:
            continue
        seen.add(target.node)
        yield target
        other = evidence.nodes.get(target.node)
        if other and other.internal_ip:
            yield Target(purpose="node", ip=other.internal_ip, name=target.node, node=target.node)


# Services


def _dependencies(evidence: Evidence) -> Iterator[Subject]:
    """Pods behind the cluster's DNS and behind the Services of the namespace."""
    namespace = evidence.snapshot.namespace
    for service, pods in evidence.relations.pods_of_service.items():
        if service in evidence.dns_services or service.name.startswith(f"{namespace}/"):
            yield from pods


def _service_ports(
    evidence: Evidence, dials: Sequence[ApplicationDial]
) -> Iterator[tuple[ServicePort, tuple[Target, ...]]]:
    """Service ports to test: those of the namespace, those that playbooks name, and the Kubernetes API's."""
    namespace = evidence.snapshot.namespace
    dialled = {(dial.service, dial.port) for dial in dials}
    api = facts.service("default", "kubernetes")

    def rank(service: Subject) -> tuple[int, str]:
        if any(service == dialled_service for dialled_service, _ in dialled):
            return (0, service.name)
        return (1 if service.name.startswith(f"{namespace}/") else 2, service.name)

    for subject in sorted(evidence.services, key=rank):
        wanted = subject.name.startswith(f"{namespace}/") or subject == api
        service = evidence.services[subject]
        if service.spec.cluster_ip in {"", "None"} or service.spec.type == "ExternalName":
            continue
        for port in service.spec.ports:
            if (wanted or (subject, port.port) in dialled) and port.protocol in {"TCP", "UDP"}:
                yield _service_port(evidence, subject, service, port)


def _service_port(
    evidence: Evidence, subject: Subject, service: Service, port: KubePort
) -> tuple[ServicePort, tuple[Target, ...]]:
    name = f"{subject.name}:{port.port}"
    kind = "tcp" if port.protocol == "TCP" else "udp"
    ends = tuple(islice(_endpoints(evidence.slices.get(subject, ()), port), MAX_ENDPOINTS_PER_PORT))
    rule = ServicePort(name=name, ip=service.spec.cluster_ip, port=port.port, protocol=kind)
    tries = 1 if len(ends) < 2 else min(4, 2 * len(ends))
    vip = Target(
        purpose="cluster-ip",
        ip=service.spec.cluster_ip,
        name=name,
        port=port.port,
        protocol=kind,
        service=name,
        tries=tries,
    )
    behind = (
        Target(purpose="endpoint", ip=ip, name=who or ip, node=node, port=number, protocol=kind, service=name)
        for ip, number, who, node in ends
    )
    return rule, (vip, *behind)


def _endpoints(slices: Iterable[EndpointSlice], port: KubePort) -> Iterator[tuple[str, int, str, str]]:
    """Ready endpoints of one Service port: address, port, "namespace/pod" ("" without a pod), node."""
    for each in slices:
        if each.address_type != "IPv4":
            continue
        number = next((p.port for p in each.ports if p.name == port.name and p.protocol == port.protocol), None)
        if not number:
            continue
        for endpoint in each.endpoints:
            if endpoint.is_ready and endpoint.addresses:
                ref = endpoint.target_ref
                who = f"{ref.namespace or each.metadata.namespace}/{ref.name}" if ref and ref.kind == "Pod" else ""
                yield endpoint.addresses[0], number, who, endpoint.node_name


# DNS and the outside


def cluster_domain(evidence: Evidence) -> str:
    """The cluster's DNS domain as its CoreDNS is configured, else "cluster.local"."""
    found = re.search(r"^\s*kubernetes\s+([a-z0-9.-]+)", _corefile(evidence), re.MULTILINE)
    return found.group(1).rstrip(".") if found else "cluster.local"


def _corefile(evidence: Evidence) -> str:
    for each in evidence.snapshot.config_maps:
        if "Corefile" in each.data:
            return each.data["Corefile"]
    return ""


def _questions(evidence: Evidence) -> Iterator[DnsQuestion]:
    inside = f"kubernetes.default.svc.{cluster_domain(evidence)}"
    for service in evidence.dns_services:
        ip = evidence.services[service].spec.cluster_ip
        behind = len(evidence.relations.pods_of_service.get(service, ()))
        if ip not in {"", "None"}:
            for name, protocol in ((inside, "udp"), (inside, "tcp"), (OUTSIDE_NAME, "udp")):
                yield DnsQuestion(
                    server=ip,
                    name=name,
                    purpose="dns-service",
                    protocol="tcp" if protocol == "tcp" else "udp",
                    server_name=service.name,
                    tries=1 if behind < 2 else min(4, 2 * behind),
                )
        for pod in evidence.relations.pods_of_service.get(service, ())[:MAX_DNS_PODS]:
            known = evidence.pods.get(pod)
            if known and known.status.pod_ip:
                for name in (inside, OUTSIDE_NAME):
                    yield DnsQuestion(server=known.status.pod_ip, name=name, purpose="dns-pod", server_name=pod.name)


def _outside(evidence: Evidence) -> Iterator[Target]:
    """The resolvers that CoreDNS forwards to: addresses outside that the cluster itself relies on."""
    for line in re.findall(r"^\s*forward\s+\.\s+(.+)$", _corefile(evidence), re.MULTILINE)[:1]:
        addresses = re.findall(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])", line)
        for address in addresses[:2]:
            yield Target(purpose="outside", ip=address, name=f"upstream resolver {address}", port=53, protocol="tcp")
