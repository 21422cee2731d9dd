"""A Service as probes ask about it: its ports, the endpoints behind each, and the pods that its selector takes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bot.cluster.objects import Endpoint, EndpointSlice, Pod, Service
from bot.cluster.objects import ServicePort as KubePort
from bot.domain import facts
from bot.domain.facts import Subject
from bot.probes.engine.evidence import Evidence
from bot.probes.engine.once import once_per_evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """One address and port behind a Service's port."""

    service_port: int
    protocol: str
    """TCP, UDP or SCTP."""
    ip: str
    port: int
    pod: Subject | None
    """None for an address that no pod stands for."""
    node: str
    is_ready: bool


def namespace_of(service: Subject) -> str:
    """The namespace of a Service or pod."""
    return service.name.partition("/")[0]


def backends(evidence: Evidence, subject: Subject) -> Iterator[Backend]:
    """Every address behind a Service's ports, ready or not."""
    service = evidence.services.get(subject)
    if service is None:
        return
    for each in evidence.slices.get(subject, ()):
        numbers = tuple(_ports(service, each))
        for endpoint in each.endpoints:
            for ip in endpoint.addresses[:1]:
                for port, number in numbers:
                    yield Backend(
                        service_port=port.port,
                        protocol=port.protocol or "TCP",
                        ip=ip,
                        port=number,
                        pod=endpoint_pod(each, endpoint),
                        node=endpoint.node_name,
                        is_ready=endpoint.is_ready,
                    )


def _ports(service: Service, each: EndpointSlice) -> Iterator[tuple[KubePort, int]]:
    for port in service.spec.ports:
        for behind in each.ports:
            if behind.name == port.name and (behind.protocol or "TCP") == (port.protocol or "TCP") and behind.port:
                yield port, behind.port
                break


def endpoint_pod(each: EndpointSlice, endpoint: Endpoint) -> Subject | None:
    """The pod that an endpoint stands for."""
    ref = endpoint.target_ref
    if ref is None or ref.kind != "Pod":
        return None
    return facts.pod(ref.namespace or each.metadata.namespace, ref.name)


def endpoint_key(each: EndpointSlice, endpoint: Endpoint) -> str:
    """What tells endpoints apart across slices and address families: the pod, else the address."""
    pod = endpoint_pod(each, endpoint)
    return pod.name if pod else next(iter(endpoint.addresses), "")


def is_taken(selector: Mapping[str, str], pod: Pod) -> bool:
    """Whether a Service's selector takes a pod; an empty selector takes none."""
    return bool(selector) and selector.items() <= pod.metadata.labels.items()


def has_cluster_ip(service: Service) -> bool:
    """Whether the Service has an address of its own."""
    return service.spec.cluster_ip not in {"", "None"} and service.spec.type != "ExternalName"


@once_per_evidence
def service_by_ip(evidence: Evidence) -> Mapping[str, Subject]:
    """Service by each address of its own: of both families, its externalIPs, and those of its load balancer."""
    return {ip: subject for subject, service in evidence.services.items() for ip in addresses_of(service)}


def addresses_of(service: Service) -> Iterator[str]:
    """Every address under which the Service may be dialled, its node ports apart."""
    balancer = service.status.load_balancer.ingress
    own = (service.spec.cluster_ip, *service.spec.cluster_ips, *service.spec.external_ips)
    yield from dict.fromkeys(ip for ip in (*own, *(each.ip for each in balancer)) if ip not in {"", "None"})


def service_of(name: str) -> tuple[Subject, int] | None:
    """Service and port of "namespace/service:port", None for anything else."""
    full, _, port = name.rpartition(":")
    namespace, _, short = full.partition("/")
    if not namespace or not short or not port.isascii() or not port.isdecimal():
        return None
    return facts.service(namespace, short), int(port)
