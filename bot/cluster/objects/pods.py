"""Pods: what runs, where, with which address, and why not."""

# ruff: noqa: D101
# Names and meanings are the Kubernetes API's own; a docstring stands where it would surprise.

from datetime import datetime

from bot.cluster.objects.base import Condition, KubeStruct, ObjectMeta


class ContainerPort(KubeStruct, frozen=True, kw_only=True):
    container_port: int = 0
    name: str = ""
    protocol: str = "TCP"
    host_port: int = 0


class HttpGetAction(KubeStruct, frozen=True, kw_only=True):
    path: str = ""
    port: int | str = 0
    host: str = ""
    scheme: str = "HTTP"


class TcpSocketAction(KubeStruct, frozen=True, kw_only=True):
    port: int | str = 0
    host: str = ""


class ExecAction(KubeStruct, frozen=True, kw_only=True):
    """A command in the container. It may hold a secret: of it are kept the pod's own addresses that it names."""

    command: tuple[str, ...] = ()


class ProbeSpec(KubeStruct, frozen=True, kw_only=True):
    """A container's readiness or liveness probe; of a command only that it is one."""

    http_get: HttpGetAction | None = None
    tcp_socket: TcpSocketAction | None = None
    exec: ExecAction | None = None
    initial_delay_seconds: int = 0
    period_seconds: int = 10
    timeout_seconds: int = 1


class ObjectFieldSelector(KubeStruct, frozen=True, kw_only=True):
    field_path: str = ""


class EnvVarSource(KubeStruct, frozen=True, kw_only=True):
    """Where a value comes from: only fields of the pod; what Secrets and ConfigMaps hold is not read."""

    field_ref: ObjectFieldSelector | None = None


class EnvVar(KubeStruct, frozen=True, kw_only=True):
    """`value` is "" where it comes from a Secret, a ConfigMap or the pod's own fields."""

    name: str = ""
    value: str = ""
    value_from: EnvVarSource | None = None


class Container(KubeStruct, frozen=True, kw_only=True):
    name: str = ""
    image: str = ""
    ports: tuple[ContainerPort, ...] = ()
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[EnvVar, ...] = ()
    """Of pods only the addresses in it (`bot.cluster.snapshot.dialled`): the rest may be secret."""
    readiness_probe: ProbeSpec | None = None
    liveness_probe: ProbeSpec | None = None


class AgentContainer(Container, frozen=True, kw_only=True):
    """A container of a CNI DaemonSet: its environment configures the data plane."""


class Toleration(KubeStruct, frozen=True, kw_only=True):
    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""


class PodDnsConfigOption(KubeStruct, frozen=True, kw_only=True):
    name: str = ""
    value: str = ""


class PodDnsConfig(KubeStruct, frozen=True, kw_only=True):
    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[PodDnsConfigOption, ...] = ()


class HostAlias(KubeStruct, frozen=True, kw_only=True):
    ip: str = ""
    hostnames: tuple[str, ...] = ()


class PodSpec(KubeStruct, frozen=True, kw_only=True):
    node_name: str = ""
    host_network: bool = False
    host_pid: bool = False
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    dns_policy: str = "ClusterFirst"
    dns_config: PodDnsConfig | None = None
    host_aliases: tuple[HostAlias, ...] = ()
    restart_policy: str = "Always"
    service_account_name: str = ""
    priority_class_name: str = ""


class ContainerStateWaiting(KubeStruct, frozen=True, kw_only=True):
    reason: str = ""
    message: str = ""


class ContainerStateRunning(KubeStruct, frozen=True, kw_only=True):
    started_at: datetime | None = None


class ContainerStateTerminated(KubeStruct, frozen=True, kw_only=True):
    exit_code: int = 0
    signal: int = 0
    reason: str = ""
    message: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None


class ContainerState(KubeStruct, frozen=True, kw_only=True):
    """At most one is set; none means waiting to start."""

    waiting: ContainerStateWaiting | None = None
    running: ContainerStateRunning | None = None
    terminated: ContainerStateTerminated | None = None


class ContainerStatus(KubeStruct, frozen=True, kw_only=True):
    name: str = ""
    ready: bool = False
    restart_count: int = 0
    image: str = ""
    image_id: str = ""
    container_id: str = ""
    started: bool = False
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()


class PodIP(KubeStruct, frozen=True, kw_only=True):
    ip: str = ""


class PodStatus(KubeStruct, frozen=True, kw_only=True):
    phase: str = ""
    pod_ip: str = ""
    pod_ips: tuple[PodIP, ...] = ()
    host_ip: str = ""
    start_time: datetime | None = None
    conditions: tuple[Condition, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()
    init_container_statuses: tuple[ContainerStatus, ...] = ()
    reason: str = ""
    message: str = ""
    qos_class: str = ""


class Pod(KubeStruct, frozen=True, kw_only=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def is_ready(self) -> bool:
        """Whether its Ready condition is True."""
        return any(condition.type == "Ready" and condition.status == "True" for condition in self.status.conditions)

    @property
    def is_finished(self) -> bool:
        """Whether it ran to its end (Succeeded or Failed), so that it has no network any more."""
        return self.status.phase in {"Succeeded", "Failed"}
