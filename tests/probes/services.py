"""Services, their endpoints, and the tests and rules about them, added to a `FakeCluster`."""

from collections.abc import Sequence
from typing import Any

from bot.agent.report import Listener, Outcome, ServiceRules
from bot.cluster.objects import (
    Endpoint,
    EndpointConditions,
    EndpointPort,
    EndpointSlice,
    ObjectMeta,
    ObjectReference,
    Service,
    ServicePort,
    ServiceSpec,
)
from bot.domain import facts
from bot.domain.facts import Subject
from tests.probes.build import FakeCluster

DNS_IP = "10.43.0.10"
API_NAME = "kubernetes.default.svc.cluster.local"
API_IP = "10.43.0.1"


def add_service(
    cluster: FakeCluster,
    name: str,
    ends: Sequence[Subject] = (),
    *,
    ip: str = "10.43.51.131",
    port: int = 9004,
    target: int | str | None = None,
    protocol: str = "TCP",
    selector: dict[str, str] | None = None,
    unready: Sequence[Subject] = (),
    **spec: Any,
) -> Subject:
    """A Service with one port; `ends` are its ready endpoints, `unready` those that are listed but not ready."""
    namespace, _, short = name.partition("/")
    number = target if isinstance(target, int) else port
    made = ServicePort(name="main", protocol=protocol, port=port, target_port=number if target is None else target)
    fields: dict[str, Any] = {"cluster_ip": ip, "selector": {"app": short} if selector is None else selector}
    cluster.services.append(
        Service(
            metadata=ObjectMeta(namespace=namespace, name=short),
            spec=ServiceSpec(ports=(made,), **(fields | spec)),
        )
    )
    listed = [(pod, True) for pod in ends] + [(pod, False) for pod in unready]
    cluster.slices.append(
        EndpointSlice(
            metadata=ObjectMeta(namespace=namespace, name=f"{short}-x", labels={"kubernetes.io/service-name": short}),
            ports=(EndpointPort(name="main", protocol=protocol, port=number),),
            endpoints=tuple(_endpoint(cluster, pod, is_ready=is_ready) for pod, is_ready in listed),
        )
    )
    return facts.service(namespace, short)


def _endpoint(cluster: FakeCluster, subject: Subject, *, is_ready: bool) -> Endpoint:
    pod = cluster.pods[subject]
    return Endpoint(
        addresses=(pod.status.pod_ip,),
        conditions=EndpointConditions(ready=is_ready),
        node_name=pod.spec.node_name,
        target_ref=ObjectReference(kind="Pod", namespace=pod.metadata.namespace, name=pod.metadata.name),
    )


def ask(cluster: FakeCluster, source: Subject, service: Subject, outcome: Outcome = "ok", **fields: Any) -> None:
    """One test of a Service through its ClusterIP."""
    made = next(s for s in cluster.services if f"{s.metadata.namespace}/{s.metadata.name}" == service.name)
    port = made.spec.ports[0]
    name = f"{service.name}:{port.port}"
    kind = "tcp" if port.protocol == "TCP" else "udp"
    about: dict[str, Any] = {
        "ip": made.spec.cluster_ip,
        "port": port.port,
        "name": name,
        "service": name,
        "protocol": kind,
    }
    cluster.test(source, "cluster-ip", outcome=outcome, **(about | fields))


def ask_directly(
    cluster: FakeCluster, source: Subject, service: Subject, pod: Subject, outcome: Outcome = "ok", **fields: Any
) -> None:
    """One test of an endpoint behind a Service."""
    made = next(s for s in cluster.services if f"{s.metadata.namespace}/{s.metadata.name}" == service.name)
    port = made.spec.ports[0]
    target = port.target_port if isinstance(port.target_port, int) else port.port
    about: dict[str, Any] = {"port": target, "service": f"{service.name}:{port.port}", "protocol": "tcp"}
    cluster.test(source, "endpoint", to=pod, outcome=outcome, **(about | fields))


def rules(cluster: FakeCluster, node: str, *found: tuple[Subject, int, tuple[str, ...]]) -> None:
    """What a node's packet filters hold: Service, mentions, backends."""
    entries: list[ServiceRules] = []
    for service, mentions, backends in found:
        made = next(s for s in cluster.services if f"{s.metadata.namespace}/{s.metadata.name}" == service.name)
        port = made.spec.ports[0]
        entries.append(
            ServiceRules(
                name=f"{service.name}:{port.port}",
                ip=made.spec.cluster_ip,
                port=port.port,
                protocol="tcp",
                mentions=mentions,
                backends=backends,
            )
        )
    cluster.node_report(node, service_rules=tuple(entries))


def listening(cluster: FakeCluster, pod: Subject, *sockets: tuple[str, int]) -> None:
    """The TCP sockets that a pod listens on."""
    cluster.inside(pod, listeners=tuple(Listener(protocol="tcp", ip=ip, port=port) for ip, port in sockets))


def add_dns(cluster: FakeCluster, node: str = "node-1", *, ready: bool = True, **pod: Any) -> tuple[Subject, Subject]:
    """kube-dns with one pod on a node, and the API's own Service: the DNS Service and its pod."""
    labels = {"k8s-app": "kube-dns"}
    server = cluster.pod("kube-system/coredns-1", node, labels=labels, is_ready=ready, ports=(53,), **pod)
    service = add_service(
        cluster,
        "kube-system/kube-dns",
        (server,) if ready else (),
        unready=() if ready else (server,),
        ip=DNS_IP,
        port=53,
        protocol="UDP",
        selector=labels,
    )
    add_service(cluster, "default/kubernetes", ip=API_IP, port=443, selector={})
    return service, server


def resolve(
    cluster: FakeCluster,
    source: Subject,
    outcome: Outcome = "ok",
    *,
    name: str = API_NAME,
    rcode: str = "NOERROR",
    answers: tuple[str, ...] = (API_IP,),
    tcp: bool = False,
    server: Subject | None = None,
    **fields: Any,
) -> None:
    """One question to the DNS Service, or to a DNS pod if `server` is given."""
    ip = cluster.pods[server].status.pod_ip if server else DNS_IP
    is_answered = outcome == "ok"
    cluster.test(
        source,
        "dns-pod" if server else "dns-service",
        outcome=outcome,
        protocol="dns-tcp" if tcp else "dns-udp",
        ip=ip,
        port=53,
        name=name,
        rcode=rcode if is_answered else "",
        answers=answers if is_answered and rcode == "NOERROR" else (),
        service=server.name if server else "kube-system/kube-dns",
        **fields,
    )
