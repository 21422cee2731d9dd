"""Nodes, as their kubelets report them."""

# ruff: noqa: D101
# Names and meanings are the Kubernetes API's own; a docstring stands where it would surprise.

from msgspec import field

from bot.cluster.objects.base import Condition, KubeStruct, ObjectMeta


class Taint(KubeStruct, frozen=True, kw_only=True):
    key: str = ""
    value: str = ""
    effect: str = ""


class NodeSpec(KubeStruct, frozen=True, kw_only=True):
    pod_cidr: str = ""
    pod_cidrs: tuple[str, ...] = ()
    taints: tuple[Taint, ...] = ()
    unschedulable: bool = False
    provider_id: str = ""


class NodeAddress(KubeStruct, frozen=True, kw_only=True):
    """`type` is InternalIP, ExternalIP, Hostname, InternalDNS or ExternalDNS."""

    type: str = ""
    address: str = ""


class NodeInfo(KubeStruct, frozen=True, kw_only=True):
    kernel_version: str = ""
    os_image: str = ""
    container_runtime_version: str = ""
    kubelet_version: str = ""
    kube_proxy_version: str = ""
    operating_system: str = ""
    architecture: str = ""
    boot_id: str = field(name="bootID", default="")
    machine_id: str = field(name="machineID", default="")
    system_uuid: str = field(name="systemUUID", default="")


class NodeStatus(KubeStruct, frozen=True, kw_only=True):
    """Quantities stay text, as Kubernetes writes them."""

    addresses: tuple[NodeAddress, ...] = ()
    conditions: tuple[Condition, ...] = ()
    node_info: NodeInfo = NodeInfo()
    capacity: dict[str, str] = field(default_factory=dict[str, str])
    allocatable: dict[str, str] = field(default_factory=dict[str, str])


class Node(KubeStruct, frozen=True, kw_only=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()

    @property
    def is_ready(self) -> bool:
        """Whether its Ready condition is True (False and Unknown both mean that it is not)."""
        return any(condition.type == "Ready" and condition.status == "True" for condition in self.status.conditions)

    @property
    def internal_ip(self) -> str:
        """Its first InternalIP, "" when it has none."""
        return next((each.address for each in self.status.addresses if each.type == "InternalIP"), "")
