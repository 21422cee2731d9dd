"""DaemonSets, Deployments and their revisions: what changed, and when."""

# ruff: noqa: D101
# Names and meanings are the Kubernetes API's own; a docstring stands where it would surprise.

from bot.cluster.objects.base import Condition, KubeStruct, LabelSelector, ObjectMeta
from bot.cluster.objects.pods import AgentContainer, PodSpec


class AgentPodSpec(PodSpec, frozen=True, kw_only=True):
    containers: tuple[AgentContainer, ...] = ()
    init_containers: tuple[AgentContainer, ...] = ()


class AgentPodTemplate(KubeStruct, frozen=True, kw_only=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: AgentPodSpec = AgentPodSpec()


class DaemonSetUpdateStrategy(KubeStruct, frozen=True, kw_only=True):
    type: str = "RollingUpdate"


class DaemonSetSpec(KubeStruct, frozen=True, kw_only=True):
    selector: LabelSelector = LabelSelector()
    template: AgentPodTemplate = AgentPodTemplate()
    update_strategy: DaemonSetUpdateStrategy = DaemonSetUpdateStrategy()


class DaemonSetStatus(KubeStruct, frozen=True, kw_only=True):
    current_number_scheduled: int = 0
    desired_number_scheduled: int = 0
    number_ready: int = 0
    number_available: int = 0
    number_unavailable: int = 0
    number_misscheduled: int = 0
    updated_number_scheduled: int = 0
    observed_generation: int = 0


class DaemonSet(KubeStruct, frozen=True, kw_only=True):
    """`env` is kept for the DaemonSets of CNIs only (`bot.cluster.snapshot`): elsewhere it may hold secrets."""

    metadata: ObjectMeta = ObjectMeta()
    spec: DaemonSetSpec = DaemonSetSpec()
    status: DaemonSetStatus = DaemonSetStatus()


class PodTemplate(KubeStruct, frozen=True, kw_only=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: PodSpec = PodSpec()


class DeploymentSpec(KubeStruct, frozen=True, kw_only=True):
    replicas: int = 1
    selector: LabelSelector = LabelSelector()
    template: PodTemplate = PodTemplate()
    paused: bool = False


class DeploymentStatus(KubeStruct, frozen=True, kw_only=True):
    replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    updated_replicas: int = 0
    unavailable_replicas: int = 0
    observed_generation: int = 0
    conditions: tuple[Condition, ...] = ()


class Deployment(KubeStruct, frozen=True, kw_only=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: DeploymentSpec = DeploymentSpec()
    status: DeploymentStatus = DeploymentStatus()


class ControllerRevision(KubeStruct, frozen=True, kw_only=True):
    """`revision` is renumbered when an undo reuses an old one, so the highest is always the current one."""

    metadata: ObjectMeta = ObjectMeta()
    revision: int = 0


class ReplicaSetSpec(KubeStruct, frozen=True, kw_only=True):
    replicas: int = 1
    selector: LabelSelector = LabelSelector()
    template: PodTemplate = PodTemplate()


class ReplicaSet(KubeStruct, frozen=True, kw_only=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: ReplicaSetSpec = ReplicaSetSpec()
