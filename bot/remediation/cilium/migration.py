"""The steps of a migration to Cilium: what is done on one node, and how that is undone.

Pods are evicted before the node's CNI configuration changes, both ways: the container runtime takes a pod's network
away by the configuration that is there at that moment, and what another CNI made stays reserved for ever.

Source: https://docs.cilium.io/en/stable/installation/k8s-install-migration/
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from bot.cluster.client.paths import api_path
from bot.cluster.writer import Object, target_of
from bot.domain.plan import (
    CiliumOn,
    Create,
    Evict,
    Gone,
    JobDone,
    NodeReady,
    Recheck,
    Remove,
    Replace,
    Restart,
    RolledOut,
    Step,
    Target,
    TestPods,
    value_at,
)
from bot.remediation.actions.nodes import UNSCHEDULABLE
from bot.remediation.cilium import pods
from bot.remediation.cilium.values import NAMESPACE, TAKING_OVER

LABEL = "io.cilium.migration/cilium-default"
NODE_CONFIG = "cilium-default"
CILIUM = "cilium.io"
"""The group of its custom resources, which its operator makes."""
_TEST_S, _RESTART_S, _JOB_S = 180.0, 300.0, 180.0
EVICT_S = 900.0
"""Until all pods of a node have gone: PodDisruptionBudgets, and long graces."""
CHECK_S = 300.0
NODES_MIGRATED = "NodesMigrated"


def node_config() -> Step:
    """The step that makes the CiliumNodeConfig: an agent that starts on a node with the label takes the node over."""
    path = api_path("ciliumnodeconfigs", group=CILIUM, version="v2", namespace=NAMESPACE, name=NODE_CONFIG)
    target = Target(
        kind="CiliumNodeConfig", path=path, name=NODE_CONFIG, namespace=NAMESPACE, uid="", resource_version=""
    )
    spec = {"nodeSelector": {"matchLabels": {LABEL: "true"}}, "defaults": {**TAKING_OVER, "cni-chaining-mode": "none"}}
    manifest: dict[str, Any] = {
        "apiVersion": f"{CILIUM}/v2",
        "kind": "CiliumNodeConfig",
        "metadata": {"name": NODE_CONFIG, "namespace": NAMESPACE},
        "spec": spec,
    }
    return Step(title=f"make {target}, which selects no node yet", do=Create(target=target, manifest=manifest))


def check(nodes: tuple[str, ...], title: str, *, after_s: float = 0.0, milestone: str = "") -> Step:
    """The step in which test pods on all nodes have to reach each other and Services, small packets and large ones."""
    do = Recheck(expects="as-before", namespace=pods.TEST_NAMESPACE, nodes=nodes, after_s=after_s)
    return Step(title=title, do=do, within_s=after_s + CHECK_S, undo="not-needed", milestone=milestone)


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """What is the same for every node."""

    agents: Target
    """Cilium's DaemonSet."""
    former: Target
    """The DaemonSet of the CNI that there is."""
    pod_range: str
    nodes: tuple[str, ...]
    """In their order."""
    image: str
    soak_s: float


class NodeMigration:
    """One node's steps there, and the way back from wherever they stop."""

    def __init__(self, shared: Migration, node: Object, number: int) -> None:
        self._shared = shared
        self._number = number
        self.name = str(node["metadata"]["name"])
        self.milestone = f"{NODES_MIGRATED} {self.name}"
        target = target_of(node, "Node", api_path("nodes", name=self.name))
        off = Replace(target=target, field=UNSCHEDULABLE, before=value_at(node, UNSCHEDULABLE), after=True)
        label = ("metadata", "labels", LABEL)
        chosen = Replace(target=target, field=label, before=value_at(node, label), after="true")
        self._test = pods.test_pod(number, self.name, shared.image)
        self._node = target
        self._cordon = Step(title=f"cordon {self.name}", do=off)
        self._uncordon = Step(title=f"uncordon {self.name}", do=off.reversed(), undo="not-needed")
        self._select = Step(title=f"select {self.name} for Cilium", do=chosen)
        self._deselect = Step(title=f"select {self.name} no longer", do=chosen.reversed(), undo="not-needed")

    def there(self) -> Iterator[Step]:
        """Cordon, evict, hand the node over, recreate what is left, check, uncordon, soak, check."""
        healthy = (
            NodeReady(node=self.name),
            RolledOut(target=self._shared.former),
            RolledOut(target=self._shared.agents),
        )
        yield replace(self._cordon, guards=healthy)
        yield self._without_test_pod()
        yield self._evicting("moving", "evict all pods but those of DaemonSets")
        yield self._select
        taken = CiliumOn(node=self.name, manages=True, configures=True)
        yield self._restarting(taken, "let Cilium take {} over: restart its agent")
        yield self.with_test_pod(is_cilium=True)
        yield self._evicting("old", "recreate what still has an address of the old CNI")
        yield check(self._shared.nodes, f"let every test pod reach every other one, with {self.name} migrated")
        yield self._uncordon
        title = f"the same again, {self._shared.soak_s:.0f} s later"
        yield check(self._shared.nodes, title, after_s=self._shared.soak_s, milestone=self.milestone)

    def back(self, first: int) -> Iterator[Step]:
        """The way back, where the draft's step `first` is the first of `there`."""
        cordoned, test_gone, _, selected, _, _, _, _, uncordoned, _ = range(first, first + 10)
        yield self._reverting(replace(self._cordon, milestone=self.milestone), uncordoned)
        yield self._reverting(self._without_test_pod(), test_gone)
        yield self._reverting(self._evicting("moving", "evict all pods but those of DaemonSets"), selected)
        yield self._reverting(self._deselect, selected)
        left = CiliumOn(node=self.name, manages=False)
        yield self._reverting(self._restarting(left, "let Cilium leave {} alone: restart its agent"), selected)
        job = pods.restoring_job(self._number, self.name, self._shared.image)
        restored = CiliumOn(node=self.name, manages=False, configures=False)
        restoring = Step(
            title=f"put the old CNI's configuration back on {self.name}",
            do=job,
            verify=(JobDone(target=job.target), restored),
            within_s=_JOB_S,
        )
        yield self._reverting(restoring, selected)
        yield self._reverting(_removed(job.target), selected)
        yield self._reverting(self.with_test_pod(is_cilium=False), test_gone)
        yield self._reverting(self._evicting("new", "recreate what still has an address of Cilium's"), selected)
        yield self._reverting(self._uncordon, cordoned)

    def with_test_pod(self, *, is_cilium: bool) -> Step:
        """The step that starts the node's test pod."""
        tested = TestPods(namespace=pods.TEST_NAMESPACE, nodes=(self.name,), is_cilium=is_cilium)
        return replace(self._test, verify=(tested,), within_s=_TEST_S)

    def _without_test_pod(self) -> Step:
        assert isinstance(self._test.do, Create)
        return _removed(self._test.do.target)

    def _evicting(self, which: Any, title: str) -> Step:
        do = Evict(target=self._node, which=which, pod_range=self._shared.pod_range)
        return Step(title=f"{self.name}: {title}", do=do, within_s=EVICT_S, undo="not-needed")

    def _restarting(self, brings: CiliumOn, title: str) -> Step:
        do = Restart(target=self._shared.agents, node=self.name)
        agents = RolledOut(target=self._shared.agents)
        return Step(
            title=title.format(self.name), do=do, verify=(brings, agents), within_s=_RESTART_S, undo="not-needed"
        )

    def restarting(self, title: str) -> Step:
        """The step that restarts the agent of a node that stays Cilium's."""
        return self._restarting(CiliumOn(node=self.name, manages=True, configures=True), title)

    def _reverting(self, step: Step, number: int) -> Step:
        return replace(step, undo="not-needed", reverts=number)


def _removed(target: Target) -> Step:
    do = Remove(target=target, made_by="")
    return Step(title=f"remove {target}", do=do, verify=(Gone(target=target),), within_s=_JOB_S, undo="not-needed")


def in_order(nodes: Sequence[Object], moving: Mapping[str, int]) -> list[Object]:
    """Workers first, of these the one with the fewest pods to move; nodes of the control plane last."""

    def rank(node: Object) -> tuple[bool, int, str]:
        name = str(node["metadata"]["name"])
        labels: Mapping[str, str] = value_at(node, ("metadata", "labels")) or {}
        return "node-role.kubernetes.io/control-plane" in labels, moving.get(name, 0), name

    return sorted(nodes, key=rank)
