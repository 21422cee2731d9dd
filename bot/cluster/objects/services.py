"""Services and the EndpointSlices behind them."""

# ruff: noqa: D101, D102
# Names and meanings are the Kubernetes API's own; a docstring stands where it would surprise.

from msgspec import field

from bot.cluster.objects.base import KubeStruct, ObjectMeta, ObjectReference


class ServicePort(KubeStruct, frozen=True, kw_only=True):
    """`target_port` is a number, or the name of a container's port; 0 means the same as `port`."""

    name: str = ""
    protocol: str = "TCP"
    port: int = 0
    target_port: int | str = 0
    node_port: int = 0
    app_protocol: str = ""


class ServiceSpec(KubeStruct, frozen=True, kw_only=True):
    """A headless Service has `cluster_ip` "None"; one of type ExternalName has none at all."""

    type: str = "ClusterIP"
    cluster_ip: str = ""
    cluster_ips: tuple[str, ...] = ()
    selector: dict[str, str] = field(default_factory=dict[str, str])
    ports: tuple[ServicePort, ...] = ()
    external_name: str = ""
    external_ips: tuple[str, ...] = ()
    session_affinity: str = "None"
    internal_traffic_policy: str = "Cluster"
    external_traffic_policy: str = "Cluster"
    load_balancer_source_ranges: tuple[str, ...] = ()
    publish_not_ready_addresses: bool = False
    ip_families: tuple[str, ...] = ()


class LoadBalancerIngress(KubeStruct, frozen=True, kw_only=True):
    """`ip_mode` "Proxy": the balancer itself takes the packets, nodes do not."""

    ip: str = ""
    hostname: str = ""
    ip_mode: str = ""


class LoadBalancerStatus(KubeStruct, frozen=True, kw_only=True):
    ingress: tuple[LoadBalancerIngress, ...] = ()


class ServiceStatus(KubeStruct, frozen=True, kw_only=True):
    load_balancer: LoadBalancerStatus = LoadBalancerStatus()


class Service(KubeStruct, frozen=True, kw_only=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: ServiceSpec = ServiceSpec()
    status: ServiceStatus = ServiceStatus()


class EndpointConditions(KubeStruct, frozen=True, kw_only=True):
    """None means unknown: consumers treat `ready` None as ready (the API's own rule)."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class ForZone(KubeStruct, frozen=True, kw_only=True):
    name: str = ""


class EndpointHints(KubeStruct, frozen=True, kw_only=True):
    for_zones: tuple[ForZone, ...] = ()
    for_nodes: tuple[ForZone, ...] = ()


class Endpoint(KubeStruct, frozen=True, kw_only=True):
    addresses: tuple[str, ...] = ()
    conditions: EndpointConditions = EndpointConditions()
    node_name: str = ""
    target_ref: ObjectReference | None = None
    hints: EndpointHints | None = None
    zone: str = ""

    @property
    def is_ready(self) -> bool:
        """Whether traffic may go there: `ready` is true or not said."""
        return self.conditions.ready is not False


class EndpointPort(KubeStruct, frozen=True, kw_only=True):
    """`port` None means all ports."""

    name: str = ""
    protocol: str = "TCP"
    port: int | None = None


class EndpointSlice(KubeStruct, frozen=True, kw_only=True):
    """Belongs to the Service named by its label `kubernetes.io/service-name` in the same namespace."""

    metadata: ObjectMeta = ObjectMeta()
    address_type: str = "IPv4"
    endpoints: tuple[Endpoint, ...] = ()
    ports: tuple[EndpointPort, ...] = ()

    @property
    def service_name(self) -> str:
        return self.metadata.labels.get("kubernetes.io/service-name", "")
