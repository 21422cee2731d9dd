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
from collections.abc import Iterable, Mapping, Sequence

from bot.cluster.objects import Container, EndpointSlice, Pod, Service
from bot.domain.access import Need
from bot.domain.facts import FactBuilder, FactTable, Subject
from bot.domain.finding import Finding
from bot.probes.declaring import API, fact
from bot.probes.evidence import Evidence
from bot.probes.needs import LOOK_AT_PODS
from bot.probes.probe import Probe
from bot.probes.service_endpoints_told import NAME, findings
from bot.probes.service_view import endpoint_key, is_taken, namespace_of
from bot.probes.sight import put
from bot.probes.unread import why_unread

_LOOK = "kubectl get service <service> -o yaml"
_SLICES = "kubectl get endpointslices -l kubernetes.io/service-name=<service> -o yaml"
_PODS = "kubectl get pods --show-labels"
ZONE = "topology.kubernetes.io/zone"

FACTS = (
    fact("service.in_scope", "bool", "The Service is one of the namespace asked about.", look=_LOOK, rungs=API),
    fact("service.is_dns", "bool", "The Service is the cluster's DNS.", look=_LOOK, rungs=API),
    fact("service.has_selector", "bool", "The Service selects pods by label.", look=_LOOK, rungs=API),
    fact("service.is_headless", "bool", "The Service has no address of its own.", look=_LOOK, rungs=API),
    fact("service.selected_pods", "int", "Live pods that the selector takes.", look=_PODS, rungs=API),
    fact(
        "service.unready_selected", "int", "Pods that the selector takes and that are not ready.", look=_PODS, rungs=API
    ),
    fact(
        "service.similar_pods", "int", "Pods that the selector nearly takes, when it takes none.", look=_PODS, rungs=API
    ),
    fact("service.endpoints", "int", "Endpoints listed, ready or not.", look=_SLICES, rungs=API),
    fact("service.ready_endpoints", "int", "Endpoints that are ready.", look=_SLICES, rungs=API),
    fact(
        "service.scaled_to_zero",
        "bool",
        "A Deployment or ReplicaSet whose pods the selector would take is scaled to zero, and none other is not.",
        look="kubectl get deployments,replicasets",
        rungs=API,
    ),
    fact(
        "service.port_name_ok",
        "bool",
        "Every targetPort that is a name is the name of a port of a container behind the Service.",
        look=_LOOK,
        rungs=API,
    ),
    fact(
        "service.target_port_declared",
        "bool",
        "Every targetPort that is a number is among the ports that the containers declare.",
        look=_LOOK,
        rungs=API,
    ),
    fact("service.local_policy", "bool", "internalTrafficPolicy is Local.", look=_LOOK, rungs=API),
    fact(
        "service.nodes_without_local",
        "list",
        "With internalTrafficPolicy Local: nodes that carry pods asked about but no ready endpoint.",
        look=_SLICES,
        rungs=API,
    ),
    fact(
        "service.hints_empty_zone",
        "bool",
        "All endpoints carry zone hints, and a zone with pods asked about has none for it.",
        look=_SLICES,
        rungs=API,
    ),
)

NEEDS = (
    *LOOK_AT_PODS,
    Need(verb="list", resource="services", why="to know what is dialled, and what stands behind it"),
    Need(verb="list", resource="endpointslices", group="discovery.k8s.io", why="to know which endpoints are ready"),
    Need(
        verb="list",
        resource="deployments",
        group="apps",
        is_optional=True,
        why="to tell a Service that was scaled to zero from a broken one",
    ),
)


def observe(evidence: Evidence, into: FactBuilder) -> None:
    """What the API says of every Service that the snapshot holds. ExternalName Services have no endpoints."""
    pods = _Pods(evidence)
    dns = set(evidence.dns_services)
    for subject, service in evidence.services.items():
        if service.spec.type == "ExternalName":
            continue
        into.set(subject, "in_scope", namespace_of(subject) == evidence.snapshot.namespace)
        into.set(subject, "is_dns", subject in dns)
        into.set(subject, "has_selector", bool(service.spec.selector))
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
        for key in ("selected_pods", "unready_selected", "similar_pods", "scaled_to_zero"):
            into.miss(subject, key, why)
        return None
    namespace = namespace_of(subject)
    taken = pods.taken_by(namespace, selector)
    into.set(subject, "selected_pods", len(taken))
    into.set(subject, "unready_selected", sum(not pod.is_ready for pod in taken))
    others = () if taken else pods.of_namespace.get(namespace, ())
    into.set(subject, "similar_pods", sum(_is_similar(selector, pod) for pod in others))
    why_workloads = why_unread(evidence.snapshot, "deployments", group="apps", namespace=namespace)
    is_zero = None if why_workloads and not taken else not taken and _is_scaled_to_zero(evidence, subject, selector)
    put(into, subject, "scaled_to_zero", is_zero, why_workloads)
    return taken


def _is_similar(selector: Mapping[str, str], pod: Pod) -> bool:
    """All keys are there with some other value, or all pairs but one match."""
    labels = pod.metadata.labels
    if all(key in labels for key in selector):
        return True
    wrong = sum(labels.get(key) != value for key, value in selector.items())
    return len(selector) > 1 and wrong == 1


def _is_scaled_to_zero(evidence: Evidence, subject: Subject, selector: Mapping[str, str]) -> bool:
    workloads = [
        each.spec.replicas
        for each in (*evidence.snapshot.deployments, *evidence.snapshot.replica_sets)
        if each.metadata.namespace == namespace_of(subject)
        and selector.items() <= each.spec.template.metadata.labels.items()
    ]
    return bool(workloads) and not any(workloads)


# Ports


def _observe_ports(subject: Subject, service: Service, taken: Sequence[Pod] | None, into: FactBuilder) -> None:
    names = {p.target_port for p in service.spec.ports if isinstance(p.target_port, str) and p.target_port}
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
    put(into, subject, "target_port_declared", is_declared, "the containers declare no ports")


def _declared_names(containers: Iterable[Container]) -> set[str]:
    return {port.name for container in containers for port in container.ports if port.name}


# EndpointSlices


def _observe_slices(evidence: Evidence, subject: Subject, service: Service, into: FactBuilder) -> None:
    namespace = namespace_of(subject)
    why = why_unread(evidence.snapshot, "endpointslices", group="discovery.k8s.io", namespace=namespace)
    if why:
        for key in ("endpoints", "ready_endpoints", "nodes_without_local", "hints_empty_zone"):
            into.miss(subject, key, why)
        return
    slices = evidence.slices.get(subject, ())
    listed = {endpoint_key(each, e): e.is_ready for each in slices for e in each.endpoints}
    into.set(subject, "endpoints", len(listed))
    into.set(subject, "ready_endpoints", sum(listed.values()))
    into.set(subject, "nodes_without_local", _nodes_without_local(evidence, service, slices))
    into.set(subject, "hints_empty_zone", _has_empty_zone(evidence, slices))


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


def judge(table: FactTable) -> Sequence[Finding]:
    """See `bot.probes.service_endpoints_told`."""
    return findings(table)


PROBE = Probe(
    name=NAME,
    question="Does every Service with a selector have at least one ready endpoint, and do the endpoints' ports exist?",
    facts=FACTS,
    needs=NEEDS,
    observe=observe,
    judge=judge,
)
