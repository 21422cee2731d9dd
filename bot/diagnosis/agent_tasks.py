"""What each node agent is asked to look at and to test, computed from the snapshot alone.

The plan grows with nodes, not with pods times probes: every pod of a node has its gateway checked, a bounded number
of *source* pods runs the matrix, and each remote node is represented by at most two pods.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

from bot.agent.report import NODE_KEY, Dial, DnsQuestion, ServicePort, Target, Task, TaskPod
from bot.cluster.objects import Pod, Service
from bot.cluster.objects import ServicePort as KubePort
from bot.domain import facts
from bot.domain.facts import Subject, SubjectKind
from bot.domain.flows import NeededFlow
from bot.playbooks.applications import ApplicationDial
from bot.probes.engine.evidence import Evidence
from bot.probes.engine.once import once_per_evidence
from bot.probes.policy.evaluation import policy_index
from bot.probes.services.backends import backends, endpoint_pod
from bot.probes.services.claims import claim_questions
from bot.probes.services.dialled_names import doubtful_names
from bot.probes.services.dialled_ports import doubtful_ports
from bot.probes.services.kubelet_probes import readiness_ports
from bot.probes.services.needed import clients_of, outside_dials, plain_dials
from bot.probes.shared.dns_zone import SHORT_NAME, dns_zone, forwarded_to

MAX_SOURCES = 8
MAX_HOST_SOURCES = 4
MAX_CLIENTS = 4
MAX_CLIENT_NODES = 5
MAX_LOCAL_TARGETS = 12
MAX_REMOTE_PODS_PER_NODE = 2
MAX_REMOTE_NODES = 20
MAX_SERVICES = 24
MAX_ENDPOINTS_PER_PORT = 5
MAX_DNS_PODS = 3
MAX_DIALS = 16
MAX_ADDRESSES = 8
"""So many other addresses of Services than ClusterIPs are tried, of those that pods asked about are configured with."""
MAX_ASKING = 2
"""So many pods of a node ask an application the same question."""
MAX_CONTRASTS = 2
"""So many other nodes try what a pod with its node's network is configured to dial."""
MAX_PROBED_PORTS = 2
PROBE_TRIES = 5
"""Connections to where kubelet asks a pod that is not ready: no Service leads there any more, so nobody else tries."""
NODE_TRIES = 8
"""Pings from node to node: so many show a network that loses every tenth packet more often than not."""
CALICO_GATEWAY = "169.254.1.1"
"""So that a pod that lost its default route still has its gateway asked."""
OUTSIDE_NAME = "example.com"
"""Asked of the cluster's DNS to see whether it forwards: a name that IANA reserves and everybody's resolver knows."""
_IPV4 = re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])")


def nodes_in_scope(
    evidence: Evidence, *, limit: int, named: Sequence[str] = (), all_nodes: bool = False
) -> tuple[str, ...]:
    """The `named` nodes, those of the pods asked about, of what these depend on (DNS, endpoints) or dial, of clients.

    They come first in this order when there are more nodes than `limit`; the result is in order of name.
    """
    wanted = [name for name in dict.fromkeys(named) if name in evidence.nodes]
    asked = {evidence.node_of(pod) for pod in evidence.scope_pods}
    behind = {evidence.node_of(pod) for pod in _dependencies(evidence)} - asked
    dialled = set(_dialled_nodes(evidence)) - asked - behind
    clients = {evidence.node_of(pod) for pod in _clients(evidence)} - asked - behind - dialled
    ordered = [*wanted, *sorted(asked - {""}), *sorted(behind - {""}), *sorted(dialled - {""})[:MAX_CLIENT_NODES]]
    ordered += sorted(clients - {""})[:MAX_CLIENT_NODES]
    ordered += sorted(evidence.nodes) if all_nodes else []
    return tuple(sorted(islice(dict.fromkeys(ordered), limit)))


def plan_tasks(evidence: Evidence, dials: Sequence[ApplicationDial] = (), *, deadline_s: float) -> dict[str, Task]:
    """One task for each node in scope, by node."""
    services = tuple(islice(_service_ports(evidence, dials), MAX_SERVICES))
    questions = tuple(_questions(evidence))
    outside = tuple(_outside(evidence))
    by_address = tuple(islice(_other_addresses(evidence), MAX_ADDRESSES))
    claims = tuple(claim_questions(evidence))
    tasks: dict[str, Task] = {}
    for turn, name in enumerate(evidence.nodes_in_scope):
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
                *by_address,
                *islice(_own_node_ports(evidence, name), MAX_ADDRESSES),
                *islice(_plain_addresses(evidence, name), MAX_ADDRESSES),
            ),
            questions=questions,
            own_names=(f"{SHORT_NAME}.svc.{dns_zone(evidence)}", OUTSIDE_NAME),
            short_name=SHORT_NAME,
            services=(*(rule for rule, _ in services if rule), *claims),
            mtu_targets=tuple(_mtu_targets(evidence, remote)),
            gateway=CALICO_GATEWAY if evidence.cni.name == "calico" else "",
            with_resolvers=True,
            with_self_tests=True,
            peers=len(evidence.nodes_in_scope),
            turn=turn,
            dials=tuple(_dials(evidence, name)),
        )
    return tasks


# Pods


def _has_network(pod: Pod) -> bool:
    """Whether it is worth a test: what is being deleted may be gone by then."""
    is_leaving = pod.metadata.deletion_timestamp is not None
    return bool(pod.status.pod_ip) and not pod.spec.host_network and pod.status.phase == "Running" and not is_leaving


def _task_pods(evidence: Evidence, node: str) -> Iterator[TaskPod]:
    sources = {*_sources(evidence, node), *_host_sources(evidence, node)}
    names = doubtful_names(evidence)
    for subject in evidence.pods_on(node):
        pod = evidence.pods[subject]
        if pod.spec.host_network and subject not in sources:
            continue
        meta = pod.metadata
        yield TaskPod(
            uid=meta.uid,
            namespace=meta.namespace,
            name=meta.name,
            ip=pod.status.pod_ip,
            is_source=subject in sources,
            is_host_network=pod.spec.host_network,
            names=tuple(each.name for each in names.get(subject, ())) if subject in sources else (),
        )


def _host_sources(evidence: Evidence, node: str) -> Iterator[Subject]:
    """Pods asked about that share the node's network: they reach what the node does, but names they resolve as set."""
    yield from islice(_one_of_each_workload(evidence, _host_pods(evidence, node)), MAX_HOST_SOURCES)


def _host_pods(evidence: Evidence, node: str) -> Sequence[Subject]:
    """All of these that run."""
    asked = set(evidence.scope_pods)
    here = (s for s in evidence.pods_on(node) if s in asked and evidence.pods[s].spec.host_network)
    return [subject for subject in here if evidence.pods[subject].status.phase == "Running"]


def _sources(evidence: Evidence, node: str) -> Iterator[Subject]:
    """Pods asked about, their clients elsewhere, and one other for contrast.

    Of the former, one of each workload before second ones, and those that are known to need something first.

    For contrast the oldest that may send: a policy of its own namespace would bring that one's trouble in here.
    """
    asked = set(evidence.scope_pods)
    here = [subject for subject in evidence.pods_on(node) if _has_network(evidence.pods[subject])]
    needing = {source for sources in clients_of(evidence).values() for source in sources}
    ours = sorted((s for s in here if s in asked), key=lambda s: (s not in needing, s))
    yield from islice(_one_of_each_workload(evidence, ours), MAX_SOURCES)
    others = [subject for subject in here if subject not in asked]
    clients = _clients(evidence)
    yield from islice((subject for subject in others if subject in clients), MAX_CLIENTS)
    index = policy_index(evidence)

    def rank(subject: Subject) -> tuple[bool, bool, str, Subject]:
        pod = evidence.pods[subject]
        return bool(index.isolating(subject, "egress")), not pod.is_ready, _started(pod), subject

    yield from islice(sorted((subject for subject in others if subject not in clients), key=rank), 1)


@once_per_evidence
def _clients(evidence: Evidence) -> frozenset[Subject]:
    """Pods that are known to need a Service of the namespace."""
    namespace = evidence.snapshot.namespace
    return frozenset(
        source
        for (service, _), sources in clients_of(evidence).items()
        if service.name.startswith(f"{namespace}/")
        for source in sources
    )


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
    for subject in evidence.scope_pods:
        pod = evidence.pods[subject]
        if evidence.node_of(subject) == node and _has_network(pod) and not pod.is_ready:
            for port in readiness_ports(pod)[:MAX_PROBED_PORTS]:
                asked = _pod_target(evidence, subject, "local-pod")
                yield replace(asked, port=port, protocol="tcp", tries=PROBE_TRIES)


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
    """The remote pods of each other node, and that node itself."""
    seen: set[str] = set()
    for target in remote:
        yield target
        other = evidence.nodes.get(target.node)
        if other and other.internal_ip and target.node not in seen:
            yield Target(purpose="node", ip=other.internal_ip, name=target.node, node=target.node)
        seen.add(target.node)


# Services


def _dependencies(evidence: Evidence) -> Iterator[Subject]:
    """Pods behind the cluster's DNS and behind the Services of the namespace."""
    namespace = evidence.snapshot.namespace
    for service, pods in evidence.relations.pods_of_service.items():
        if service in evidence.dns_services or service.name.startswith(f"{namespace}/"):
            yield from pods


def _dialled_nodes(evidence: Evidence) -> Iterator[str]:
    """The nodes behind what pods asked about dial elsewhere: Services of other namespaces, plain addresses."""
    for service, port in sorted(_dialled(evidence)):
        yield from (each.node for each in backends(evidence, service) if each.service_port == port and each.is_ready)
    for flows in plain_dials(evidence).values():
        yield from (_node_at(evidence, flow) for flow in flows)
    asked = set(evidence.scope_pods)
    for flows in outside_dials(evidence).values():
        yield from (evidence.node_by_ip.get(flow.address, "") for flow in flows if flow.source in asked)


def _service_ports(
    evidence: Evidence, dials: Sequence[ApplicationDial]
) -> Iterator[tuple[ServicePort | None, tuple[Target, ...]]]:
    """Service ports to test: those of the namespace, those that playbooks name, and the Kubernetes API's."""
    namespace = evidence.snapshot.namespace
    dialled = {(dial.service, dial.port) for dial in dials} | _dialled(evidence)
    api = facts.service("default", "kubernetes")

    def rank(service: Subject) -> tuple[bool, int, str]:
        is_headless = evidence.services[service].spec.cluster_ip in {"", "None"}
        if any(service == dialled_service for dialled_service, _ in dialled):
            return (is_headless, 0, service.name)
        return (is_headless, 1 if service.name.startswith(f"{namespace}/") else 2, service.name)

    seen: set[tuple[str, int, str]] = set()
    for subject in sorted(evidence.services, key=rank):
        wanted = subject.name.startswith(f"{namespace}/") or subject == api
        service = evidence.services[subject]
        if service.spec.type == "ExternalName":
            continue
        for port in service.spec.ports:
            if (wanted or (subject, port.port) in dialled) and port.protocol in {"TCP", "UDP"}:
                yield _service_port(evidence, subject, service, port, seen)


def _dialled(evidence: Evidence) -> set[tuple[Subject, int]]:
    """What the pods asked about are known to need."""
    asked = set(evidence.scope_pods)
    return {
        dial
        for dial, sources in clients_of(evidence).items()
        if not asked.isdisjoint(sources) and dial[0] not in evidence.dns_services
    }


def _other_addresses(evidence: Evidence) -> Iterator[Target]:
    """Where pods asked about are configured to dial Services by a node port, an externalIP, or a balancer's address."""
    asked = set(evidence.scope_pods)
    found: dict[Target, None] = {}
    for service, flows in sorted(outside_dials(evidence).items()):
        for flow in flows:
            if flow.source in asked and flow.protocol == "TCP" and flow.family == 4:
                name = f"{service.name}:{flow.port}"
                for ip in (flow.address, *_serving_nodes(evidence, service, flow.address)):
                    found[Target(purpose="dial", ip=ip, name=name, port=flow.at_port, protocol="tcp")] = None
    yield from found


def _plain_addresses(evidence: Evidence, node: str) -> Iterator[Target]:
    """Addresses of nodes, pods and machines outside, tried from whoever is configured to dial them, and their node.

    So are ports that a dialled Service does not have: what the API says of them must be seen to be so. Pods that share
    the network of another node have this one try for contrast.
    """
    callers = defaultdict[tuple[str, int], list[str]](list)
    for subject in (*_sources(evidence, node), *_host_pods(evidence, node)):
        pod = evidence.pods[subject]
        for at in _plainly_dialled(evidence, subject):
            callers[at].append(NODE_KEY if pod.spec.host_network else pod.metadata.uid)
    for at in _contrasts(evidence, node):
        callers[at] = callers.get(at) or [NODE_KEY]
    for (ip, port), keys in callers.items():
        sources = tuple(dict.fromkeys(keys))
        yield Target(purpose="dial", ip=ip, name=f"{ip}:{port}", port=port, protocol="tcp", sources=sources)


def _plainly_dialled(evidence: Evidence, subject: Subject) -> Iterator[tuple[str, int]]:
    wanted = ((flow.address, flow.port) for flow in plain_dials(evidence).get(subject, ()))
    doubtful = ((each.ip, each.port) for each in doubtful_ports(evidence).get(subject, ()))
    yield from dict.fromkeys((*doubtful, *wanted))


def _contrasts(evidence: Evidence, node: str) -> Iterator[tuple[str, int]]:
    """What pods with another node's network dial, and this node has to try: the node that is dialled, and a few."""
    others = [name for name in evidence.nodes_in_scope if name != node]
    for subject in (pod for other in others for pod in _host_pods(evidence, other)):
        first = [name for name in evidence.nodes_in_scope if name != evidence.node_of(subject)][:MAX_CONTRASTS]
        for flow in plain_dials(evidence).get(subject, ()):
            if node in first or node == _node_at(evidence, flow):
                yield flow.address, flow.port


def _node_at(evidence: Evidence, flow: NeededFlow) -> str:
    """The node that is dialled, or on which the pod is."""
    target = flow.target
    if target is None:
        return ""
    return target.name if target.kind is SubjectKind.NODE else evidence.node_of(target)


def _own_node_ports(evidence: Evidence, node: str) -> Iterator[Target]:
    """Services' ports at this node's own addresses that pods with its network dial: nobody else asks a node itself."""
    here = frozenset(_host_pods(evidence, node))
    for service, flows in sorted(outside_dials(evidence).items()):
        for flow in flows:
            if flow.source in here and flow.protocol == "TCP" and evidence.node_by_ip.get(flow.address) == node:
                yield Target(
                    purpose="dial",
                    ip=flow.address,
                    name=f"{service.name}:{flow.port}",
                    port=flow.at_port,
                    protocol="tcp",
                    sources=(NODE_KEY,),
                )


def _serving_nodes(evidence: Evidence, service: Subject, address: str) -> Iterator[str]:
    """For contrast with a node whose port is dialled: the address of one that has an endpoint of the Service."""
    ready = sorted({each.node for each in backends(evidence, service) if each.is_ready and each.node in evidence.nodes})
    if address in evidence.node_by_ip:
        yield from (ip for name in ready[:1] if (ip := evidence.nodes[name].internal_ip))


def _service_port(
    evidence: Evidence, subject: Subject, service: Service, port: KubePort, seen: set[tuple[str, int, str]]
) -> tuple[ServicePort | None, tuple[Target, ...]]:
    """The Service's own address, and each endpoint behind it.

    A headless Service has no address: clients dial its endpoints themselves, and so do we, those that stand behind no
    other Service (`seen`).
    """
    name = f"{subject.name}:{port.port}"
    kind = "tcp" if port.protocol == "TCP" else "udp"
    ends = tuple(islice(_endpoints(evidence, subject, port), MAX_ENDPOINTS_PER_PORT))
    behind = tuple(
        Target(purpose="endpoint", ip=ip, name=who or ip, node=node, port=number, protocol=kind, service=name)
        for ip, number, who, node in ends
    )
    if service.spec.cluster_ip in {"", "None"}:
        return None, tuple(each for each in behind if (each.ip, each.port, kind) not in seen)
    seen.update((each.ip, each.port, kind) for each in behind)
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
    return rule, (vip, *behind)


def _endpoints(evidence: Evidence, service: Subject, port: KubePort) -> Iterator[tuple[str, int, str, str]]:
    """Ready endpoints of one Service port: address, port, "namespace/pod" ("" without a pod), node.

    publishNotReadyAddresses lists pods that are not ready as if they were: these are not expected to serve.
    """
    for each in evidence.slices.get(service, ()):
        if each.address_type != "IPv4":
            continue
        number = next((p.port for p in each.ports if p.name == port.name and p.protocol == port.protocol), None)
        if not number:
            continue
        for endpoint in each.endpoints:
            if endpoint.is_ready and endpoint.addresses:
                pod = endpoint_pod(each, endpoint)
                known = evidence.pods.get(pod) if pod else None
                if known and not known.is_ready:
                    continue
                ref = endpoint.target_ref
                who = f"{ref.namespace or each.metadata.namespace}/{ref.name}" if ref and ref.kind == "Pod" else ""
                yield endpoint.addresses[0], number, who, endpoint.node_name


def _dials(evidence: Evidence, node: str) -> Iterator[Dial]:
    """The questions that playbooks know, from pods of this node that are tested from anyway and need the answer.

    A pod behind the Service would ask itself; where there are no others, their neighbours in the namespace ask.
    """
    sources, scope = list(_sources(evidence, node)), set(evidence.scope_pods)
    for expected in evidence.expected[:MAX_DIALS]:
        behind = set(evidence.relations.pods_of_service.get(expected.service, ()))
        clients = set(expected.sources) - behind or scope - behind
        asking = [pod for pod in sources if pod in clients][:MAX_ASKING]
        service = evidence.services.get(expected.service)
        if asking and service and service.spec.cluster_ip not in {"", "None"}:
            namespace, _, name = expected.service.name.partition("/")
            yield Dial(
                name=expected.name,
                ip=service.spec.cluster_ip,
                port=expected.port,
                kind=expected.kind,
                sources=tuple(evidence.pods[pod].metadata.uid for pod in asking),
                host=f"{name}.{namespace}",
                path=expected.path,
                tls=expected.tls,
                contains=expected.contains,
            )


# DNS and the outside


def _questions(evidence: Evidence) -> Iterator[DnsQuestion]:
    inside = f"{SHORT_NAME}.svc.{dns_zone(evidence)}"
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
    addresses = _IPV4.findall(" ".join(forwarded_to(evidence)))
    for address in addresses[:2]:
        yield Target(purpose="outside", ip=address, name=f"upstream resolver {address}", port=53, protocol="tcp")
