"""Does every Service with a selector have at least one ready endpoint, and do the endpoints' ports exist?

Without one, DNS still resolves the Service. In iptables and nftables mode kube-proxy answers its ClusterIP with ICMP
port unreachable, so clients see "connection refused" at once, not a timeout; other data planes may drop instead. Why
there is none is API arithmetic: the selector takes no pod (and perhaps nearly takes some), or takes pods of which none
is ready, or a targetPort is a name that no container has.

Source: https://kubernetes.io/docs/tasks/debug/debug-application/debug-service/
Source: https://kubernetes.io/docs/concepts/services-networking/topology-aware-routing/ (hints)
Source: https://github.com/projectcalico/calico/issues/3901 (the reject rule, and a bypass)
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from itertools import islice

from bot.cluster.objects import Container, EndpointSlice, Pod, Service
from bot.cluster.snapshot.dialled import dialled
from bot.domain import facts
from bot.domain.facts import FactBuilder, Subject
from bot.probes.engine.evidence import Evidence, pod_subject
from bot.probes.services.backends import backends, endpoint_key, endpoint_pod, is_taken, namespace_of
from bot.probes.services.needed import clients_of
from bot.probes.services.service_names import service_labels
from bot.probes.services.unready import together, unready
from bot.probes.shared.unread_resources import why_unread

LISTED = 10
ZONE = "topology.kubernetes.io/zone"
_NAMES = frozenset({"app", "name", "component", "k8s-app", "app.kubernetes.io/name", "app.kubernetes.io/component"})
"""Labels that say which workload a pod is of; others tell versions and installations apart."""
_RESEMBLES = 0.8
"""Of two values, the share of letters that they have in common, in order."""


def observe(evidence: Evidence, into: FactBuilder) -> None:
    """What the API says of every Service that the snapshot holds. ExternalName Services have no endpoints."""
    pods = _Pods(evidence)
    dns = set(evidence.dns_services)
    used = {service for service, _ in clients_of(evidence)}
    for subject, service in evidence.services.items():
        if service.spec.type == "ExternalName":
            continue
        into.set(subject, "in_scope", namespace_of(subject) == evidence.snapshot.namespace)
        into.set(subject, "is_dns", subject in dns)
        into.set(subject, "is_used", subject in used)
        into.set(subject, "has_selector", bool(service.spec.selector))
        selector = ",".join(f"{key}={value}" for key, value in sorted(service.spec.selector.items()))
        into.put(subject, "selector", selector or None, "the Service has no selector")
        into.set(subject, "is_headless", service.spec.cluster_ip == "None")
        into.set(subject, "local_policy", service.spec.internal_traffic_policy == "Local")
        taken = _observe_pods(evidence, subject, service, pods, into)
        _observe_ports(subject, service, taken, into)
        _observe_slices(evidence, subject, service, into)


class _Pods:
    """Pods by namespace, and by each of their labels, so that a selector need not be held against all."""

    def __init__(self, evidence: Evidence) -> None:
        self.of_namespace: dict[str, list[Pod]] = defaultdict(list)
        self._labelled: dict[tuple[str, str, str], list[Pod]] = defaultdict(list)
        for pod in evidence.pods.values():
            namespace = pod.metadata.namespace
            self.of_namespace[namespace].append(pod)
            for key, value in pod.metadata.labels.items():
                self._labelled[namespace, key, value].append(pod)

    def taken_by(self, namespace: str, selector: Mapping[str, str]) -> list[Pod]:
        """The pods that a selector takes, beginning with the rarest of its labels."""
        found = [self._labelled.get((namespace, key, value), ()) for key, value in selector.items()]
        return [pod for pod in min(found, key=len, default=()) if is_taken(selector, pod)]


def _why_pods_unknown(evidence: Evidence, subject: Subject) -> str:
    """Why the pods that a selector takes are not all known; "" when they are."""
    namespace = namespace_of(subject)
    if namespace == evidence.snapshot.namespace:
        return why_unread(evidence.snapshot, "pods", namespace=namespace)
    if subject in evidence.dns_services:
        return why_unread(evidence.snapshot, "pods", namespace=namespace)
    return f"not all pods of namespace {namespace} were read"


def _observe_pods(
    evidence: Evidence,
    subject: Subject,
    service: Service,
    pods: _Pods,
    into: FactBuilder,
) -> Sequence[Pod] | None:
    """Fill who is selected; return these pods, None when that is not known."""
    selector = service.spec.selector
    why = _why_pods_unknown(evidence, subject) if selector else "the Service has no selector"
    if why:
        keys = ("selected_pods", "unready_selected", "terminating_selected", "similar_pods", "scaled_to_zero")
        into.miss_all(
            subject,
            (
                *keys,
                "scaled_deployment",
                "unready_why",
                "unready_lacks",
                "family_served",
                "publishes_unready",
                "awaits_itself",
            ),
            why,
        )
        return None
    namespace = namespace_of(subject)
    taken = pods.taken_by(namespace, selector)
    into.set(subject, "selected_pods", len(taken))
    into.set(subject, "unready_selected", sum(not pod.is_ready for pod in taken))
    into.set(subject, "terminating_selected", sum(pod.metadata.deletion_timestamp is not None for pod in taken))
    _observe_unready(evidence, subject, service, taken, into)
    others = () if taken else pods.of_namespace.get(namespace, ())
    into.set(subject, "similar_pods", sum(_is_similar(selector, pod) for pod in others))
    why_workloads = why_unread(evidence.snapshot, "deployments", group="apps", namespace=namespace)
    staying = [pod for pod in taken if pod.metadata.deletion_timestamp is None]
    is_zero = None if why_workloads and not staying else not staying and _is_scaled_to_zero(evidence, subject, selector)
    into.put(subject, "scaled_to_zero", is_zero, why_workloads)
    into.set(subject, "scaled_deployment", _scaled_deployment(evidence, subject, selector) if is_zero else "")
    return taken


def _observe_unready(
    evidence: Evidence, subject: Subject, service: Service, taken: Sequence[Pod], into: FactBuilder
) -> None:
    late = [pod for pod in taken if not pod.is_ready or pod.metadata.deletion_timestamp is not None]
    found, why = together([unready(evidence, pod_subject(pod), pod) for pod in late])
    into.put(subject, "unready_why", found.why if found else None, why)
    into.put(subject, "unready_lacks", found.lacks if found else None, why)
    families = service.spec.ip_families or (("IPv6",) if ":" in service.spec.cluster_ip else ("IPv4",))
    wanted = {family == "IPv6" for family in families}
    held = {":" in each.ip for pod in taken for each in pod.status.pod_ips}
    into.put(subject, "family_served", bool(wanted & held) if held else None, "no pod that it selects has an address")
    listed = service.spec.publish_not_ready_addresses
    into.set(subject, "awaits_itself", () if listed else tuple(_looking_for(subject, service, late))[:LISTED])
    into.set(subject, "publishes_unready", tuple(pod_subject(pod).name for pod in late) if listed else ())


def _looking_for(subject: Subject, service: Service, pods: Sequence[Pod]) -> Iterator[str]:
    """Pods of a headless Service that are configured to dial it by its name: their peers, or what they are called."""
    namespace, _, short = subject.name.partition("/")
    if service.spec.cluster_ip != "None":
        return
    for pod in pods:
        for container in (*pod.spec.containers, *pod.spec.init_containers):
            for each in dialled(container):
                labels = service_labels(each.host)
                if each.port and labels and labels[0] == short and labels[1:2] in ([], [namespace]):
                    yield f"{pod.metadata.name}: {each.named}"


def _is_similar(selector: Mapping[str, str], pod: Pod) -> bool:
    """All pairs but one match, and that one looks like a slip.

    That a pod carries the same key proves nothing: nearly all have an "app", and all of a chart share an instance.
    """
    labels = pod.metadata.labels
    wrong = {key for key, value in selector.items() if labels.get(key) != value}
    if len(wrong) != 1:
        return False
    key = wrong.pop()
    named = _NAMES & (selector.keys() - {key})
    if key not in labels:
        return bool(named) or selector[key] in labels.values()
    return _resemble(selector[key], labels[key]) or (key not in _NAMES and bool(named))


def _resemble(wanted: str, held: str) -> bool:
    """A typo, another ending, or other capitals and hyphens."""
    a, b = ("".join(each for each in value.lower() if each.isalnum()) for value in (wanted, held))
    shorter, longer = sorted((a, b), key=len)
    if shorter and (longer.startswith(shorter) or sorted(a) == sorted(b)):
        return True
    return SequenceMatcher(None, a, b).ratio() >= _RESEMBLES


def _is_scaled_to_zero(evidence: Evidence, subject: Subject, selector: Mapping[str, str]) -> bool:
    workloads = [
        each.spec.replicas
        for each in (*evidence.snapshot.deployments, *evidence.snapshot.replica_sets)
        if each.metadata.namespace == namespace_of(subject)
        and selector.items() <= each.spec.template.metadata.labels.items()
    ]
    return bool(workloads) and not any(workloads)


def _scaled_deployment(evidence: Evidence, subject: Subject, selector: Mapping[str, str]) -> str:
    """A Deployment with such pods that is scaled to zero; "" where none is."""
    for each in evidence.snapshot.deployments:
        is_of_it = selector.items() <= each.spec.template.metadata.labels.items()
        if each.metadata.namespace == namespace_of(subject) and is_of_it and each.spec.replicas == 0:
            return each.metadata.name
    return ""


# Ports


def _observe_ports(subject: Subject, service: Service, taken: Sequence[Pod] | None, into: FactBuilder) -> None:
    names = {
        (p.target_port, p.protocol) for p in service.spec.ports if isinstance(p.target_port, str) and p.target_port
    }
    numbers = {p.target_port or p.port for p in service.spec.ports if not isinstance(p.target_port, str)}
    if not taken:
        why = "no pod is known to be selected" if service.spec.selector else "the Service has no selector"
        into.miss(subject, "port_name_ok", why)
        into.miss(subject, "target_port_declared", why)
        return
    containers = [c for pod in taken for c in (*pod.spec.containers, *pod.spec.init_containers)]
    into.set(subject, "port_name_ok", names <= _declared_names(containers))
    declared = {port.container_port for container in containers for port in container.ports}
    is_declared = numbers <= declared if declared else None
    into.put(subject, "target_port_declared", is_declared, "the containers declare no ports")


def _declared_names(containers: Iterable[Container]) -> set[tuple[str, str]]:
    """Names of ports with their protocol: kube-controller-manager wants both to fit."""
    return {(port.name, port.protocol) for container in containers for port in container.ports if port.name}


# EndpointSlices


def _observe_slices(evidence: Evidence, subject: Subject, service: Service, into: FactBuilder) -> None:
    namespace = namespace_of(subject)
    why = why_unread(evidence.snapshot, "endpointslices", group="discovery.k8s.io", namespace=namespace)
    if why:
        keys = ("endpoints", "ready_endpoints", "nodes_without_local", "hints_empty_zone")
        into.miss_all(subject, (*keys, "ports_unserved", "ports_misnamed", "endpoints_outdated", "slices_astray"), why)
        return
    slices = evidence.slices.get(subject, ())
    listed = {endpoint_key(each, e): e.is_ready for each in slices for e in each.endpoints}
    into.set(subject, "endpoints", len(listed))
    into.set(subject, "ready_endpoints", sum(listed.values()))
    into.set(subject, "nodes_without_local", _nodes_without_local(evidence, service, slices))
    into.set(subject, "hints_empty_zone", _has_empty_zone(evidence, slices))
    into.set(subject, "ports_unserved", tuple(_unserved(evidence, subject, service)) if listed else ())
    into.set(subject, "ports_misnamed", tuple(_misnamed(service, slices))[:LISTED])
    astray = () if service.spec.selector or any(listed.values()) else _astray(evidence, service, namespace)
    into.set(subject, "slices_astray", tuple(islice(astray, LISTED)))
    named = any(endpoint.is_ready and endpoint_pod(each, endpoint) for each in slices for endpoint in each.endpoints)
    why = _why_pods_unknown(evidence, subject) if named else ""
    outdated = tuple(dict.fromkeys(_outdated(evidence, slices)))[:LISTED]
    into.put(subject, "endpoints_outdated", None if why else outdated, why)


def _unserved(evidence: Evidence, subject: Subject, service: Service) -> Iterator[str]:
    """Ports of which no slice says where they lead, though there are endpoints: a targetPort that no pod knows."""
    served = {(each.service_port, each.protocol) for each in backends(evidence, subject)}
    for port in service.spec.ports:
        protocol = port.protocol or "TCP"
        if (port.port, protocol) not in served:
            yield f"{port.port}/{protocol} (targetPort {port.target_port or port.port})"


def _misnamed(service: Service, slices: Sequence[EndpointSlice]) -> Iterator[str]:
    """Ports of a Service without selector that hand-made slices list by another name: the name alone joins the two."""
    if service.spec.selector:
        return
    listed = [(each.metadata.name, port) for each in slices for port in each.ports]
    for port in service.spec.ports:
        same = [(one, each) for one, each in listed if each.protocol == (port.protocol or "TCP")]
        if not any(each.name == port.name for _, each in same):
            at = f"{port.port}/{port.protocol or 'TCP'}"
            yield from (
                f'{at} is named "{port.name}", and "{each.name}" in EndpointSlice {name}' for name, each in same[:1]
            )


def _astray(evidence: Evidence, service: Service, namespace: str) -> Iterator[str]:
    """EndpointSlices of the namespace that belong to no Service, though they would fit one of this one's ports.

    The label alone says whose a slice is; where Endpoints are mirrored, it is the name of the Endpoints.
    """
    protocols = {port.protocol or "TCP" for port in service.spec.ports}
    for each in evidence.snapshot.endpoint_slices:
        owner = each.service_name
        is_fitting = any((port.protocol or "TCP") in protocols for port in each.ports)
        if each.metadata.namespace != namespace or not is_fitting:
            continue
        if not owner:
            yield f"EndpointSlice {each.metadata.name} has no label kubernetes.io/service-name"
        elif facts.service(namespace, owner) not in evidence.services:
            yield f"EndpointSlice {each.metadata.name} belongs to a Service {owner}, which does not exist"


def _outdated(evidence: Evidence, slices: Sequence[EndpointSlice]) -> Iterator[str]:
    """Endpoints that speak of a pod which does not exist, or which has another address."""
    for each in slices:
        for endpoint in each.endpoints:
            pod = endpoint_pod(each, endpoint)
            if pod is None or not endpoint.is_ready:
                continue
            known = evidence.pods.get(pod)
            for ip in endpoint.addresses:
                if known is not None and ip in {known.status.pod_ip, *(one.ip for one in known.status.pod_ips)}:
                    continue
                holder = next((one.name for one in evidence.pods_by_ip.get(ip, ())), "")
                now = f", and the address is {holder}'s now" if holder else ""
                lack = "does not exist" if known is None else "has another address"
                yield f"{ip} in EndpointSlice {each.metadata.name} is of {pod.name}, which {lack}{now}"


def _asking_nodes(evidence: Evidence) -> set[str]:
    return {evidence.node_of(pod) for pod in evidence.scope_pods} - {""}


def _nodes_without_local(evidence: Evidence, service: Service, slices: Sequence[EndpointSlice]) -> tuple[str, ...]:
    if service.spec.internal_traffic_policy != "Local":
        return ()
    served = {endpoint.node_name for each in slices for endpoint in each.endpoints if endpoint.is_ready}
    return tuple(sorted(_asking_nodes(evidence) - served))


def _has_empty_zone(evidence: Evidence, slices: Sequence[EndpointSlice]) -> bool:
    """Hints count only where every ready endpoint carries one (kube-proxy's own rule)."""
    ready = [endpoint for each in slices for endpoint in each.endpoints if endpoint.is_ready]
    if not ready or not all(endpoint.hints and endpoint.hints.for_zones for endpoint in ready):
        return False
    served = Counter(zone.name for endpoint in ready if endpoint.hints for zone in endpoint.hints.for_zones)
    nodes = (evidence.nodes.get(name) for name in _asking_nodes(evidence))
    zones = {node.metadata.labels.get(ZONE, "") for node in nodes if node} - {""}
    return any(not served[zone] for zone in zones)
