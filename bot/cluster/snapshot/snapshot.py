"""A namespace and what it depends on, as it stood in the Kubernetes API at one time."""

from datetime import datetime

from msgspec import Struct, field

from bot.cluster.objects import (
    ConfigMap,
    ControllerRevision,
    CustomObject,
    DaemonSet,
    Deployment,
    EndpointSlice,
    Event,
    Namespace,
    NetworkPolicy,
    Node,
    Pod,
    ReplicaSet,
    Service,
)
from bot.domain.report import Unobserved


class AgentLog(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the log of a CNI's agent or of kube-proxy tells of trouble."""

    namespace: str
    pod: str
    node: str
    container: str
    lines: tuple[str, ...] = ()
    """Oldest first, without secrets."""
    is_previous: bool = False
    """Of its last run, which has ended."""


class Snapshot(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What stood in the API at one time. Encodable by msgspec, for recordings."""

    cluster: str
    """The kubeconfig's context, or "in-cluster"."""
    server_version: str = ""
    """"v1.36.2+k3s1"."""
    taken_at: datetime
    namespace: str
    namespaces: tuple[Namespace, ...] = ()
    """All of them with their labels; only the diagnosed one when listing is not allowed."""
    pods: tuple[Pod, ...] = ()
    """Of the namespace (all of them, also when a pod was named)."""
    dependency_pods: tuple[Pod, ...] = ()
    """Pods of other namespaces that the namespace depends on: DNS, CNI agents, kube-proxy."""
    node_pods: tuple[Pod, ...] = ()
    """All pods of the nodes in scope, those of the namespace included; of all nodes in clusters of up to 50 nodes."""
    nodes: tuple[Node, ...] = ()
    services: tuple[Service, ...] = ()
    """Of the namespace and of those it depends on: kube-dns, kubernetes, those that its pods name."""
    claiming_services: tuple[Service, ...] | None = None
    """Of all namespaces those that may have somebody else's address: with externalIPs, with addresses of a balancer, or
    with a ClusterIP that two have. None: Services of all namespaces were not read."""
    endpoint_slices: tuple[EndpointSlice, ...] = ()
    """Behind `services`."""
    network_policies: tuple[NetworkPolicy, ...] = ()
    """Of all namespaces where allowed, else of the namespace only."""
    daemon_sets: tuple[DaemonSet, ...] = ()
    deployments: tuple[Deployment, ...] = ()
    """Of the namespace and of the CNI and DNS."""
    replica_sets: tuple[ReplicaSet, ...] = ()
    controller_revisions: tuple[ControllerRevision, ...] = ()
    """Of the CNI's and kube-proxy's DaemonSets."""
    config_maps: tuple[ConfigMap, ...] = ()
    """Only those named in `bot.cluster.snapshot.scope.CONFIG_MAPS`."""
    custom_objects: dict[str, tuple[CustomObject, ...]] = field(default_factory=dict[str, tuple[CustomObject, ...]])
    """By plural ("ippools"); a plural that the API does not serve has no key."""
    events: tuple[Event, ...] = ()
    """Of the namespace, of nodes, and of the CNI's namespaces; newest last."""
    agent_logs: tuple[AgentLog, ...] | None = None
    """Of the nodes where something fails and its cause is not certain; None: nothing called for them."""
    unobserved: tuple[Unobserved, ...] = ()
    """What could not be read; `remedy` is the permission that would help ("list nodes"), "" when none would."""
