"""Cordon, uncordon and drain a node. A drain asks the Eviction API, so PodDisruptionBudgets have the last word.

Source: https://kubernetes.io/docs/tasks/administer-cluster/safely-drain-node/ (DaemonSets and mirror pods stay)
"""

from collections.abc import Mapping, Sequence
from typing import Any

from bot.cluster.client.paths import api_path
from bot.cluster.writer import Object, controller_of, target_of
from bot.domain.listing import and_more
from bot.domain.plan import Delete, Gone, Replace, Step, Target, value_at
from bot.remediation.actions.draft import Draft, NotPlannedError, mark_on

UNSCHEDULABLE = ("spec", "unschedulable")
MOST_EVICTED = 110
"""As many pods as a kubelet runs unless configured otherwise."""
_GRACE_S = 60.0
_MIRROR = "kubernetes.io/config.mirror"


def cordon(node: Object) -> Draft:
    """No new pod is scheduled on the node. Errors: `NotPlannedError`."""
    if value_at(node, UNSCHEDULABLE):
        raise NotPlannedError(f"{_target(node)} is cordoned already.")
    return _draft(node, "cordon", (_cordoning(node),), disruption="New pods are scheduled elsewhere; none is stopped.")


def uncordon(node: Object) -> Draft:
    """Pods may be scheduled on the node again. Errors: `NotPlannedError`."""
    if not value_at(node, UNSCHEDULABLE):
        raise NotPlannedError(f"{_target(node)} is not cordoned.")
    do = Replace(target=_target(node), field=UNSCHEDULABLE, before=True, after=None)
    step = Step(title=f"uncordon {do.target.name}", do=do)
    return _draft(node, "uncordon", (step,), disruption="New pods may start on the node.")


def drain(node: Object, pods: Sequence[Object]) -> Draft:
    """The node is cordoned, and its pods are evicted one by one; they are made again elsewhere.

    Errors: `NotPlannedError`.
    """
    name = node["metadata"]["name"]
    moved = [pod for pod in pods if value_at(pod, ("spec", "nodeName")) == name and _moves(pod)]
    bare = [_named(pod) for pod in moved if controller_of(pod) is None]
    if bare:
        raise NotPlannedError(f"Nobody would make these pods again: {and_more(bare, 3)}.", "Move them by hand first.")
    if len(moved) > MOST_EVICTED:
        raise NotPlannedError(
            f"{len(moved)} pods are more than one plan evicts ({MOST_EVICTED}).", "Use kubectl drain."
        )
    local = [_named(pod) for pod in moved if _has_local_data(pod)]
    steps = () if value_at(node, UNSCHEDULABLE) else (_cordoning(node),)
    return _draft(
        node,
        "drain",
        (*steps, *map(_evicting, moved)),
        disruption=f"{len(moved)} pods of {name} are evicted, as their PodDisruptionBudgets allow; it stays cordoned.",
        warnings=(f"Their emptyDir volumes are lost: {and_more(local, 5)}.",) if local else (),
        affected=tuple(map(_named, moved)),
    )


def _moves(pod: Object) -> bool:
    """Whether a drain is about it: not a DaemonSet's pod, a static one, or one that has ended."""
    owner = controller_of(pod) or {}
    is_static = value_at(pod, ("metadata", "annotations", _MIRROR)) is not None
    is_over = value_at(pod, ("status", "phase")) in {"Succeeded", "Failed"}
    return not (owner.get("kind") == "DaemonSet" or is_static or is_over)


def _has_local_data(pod: Object) -> bool:
    volumes: Sequence[Mapping[str, Any]] = value_at(pod, ("spec", "volumes")) or ()
    return any(volume.get("emptyDir") is not None for volume in volumes)


def _named(pod: Object) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"


def _target(node: Object) -> Target:
    return target_of(node, "Node", api_path("nodes", name=node["metadata"]["name"]))


def _cordoning(node: Object) -> Step:
    do = Replace(target=_target(node), field=UNSCHEDULABLE, before=value_at(node, UNSCHEDULABLE), after=True)
    return Step(title=f"cordon {do.target.name}", do=do)


def _evicting(pod: Object) -> Step:
    namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
    target = target_of(pod, "Pod", api_path("pods", namespace=namespace, name=name))
    grace_s = value_at(pod, ("spec", "terminationGracePeriodSeconds"))
    return Step(
        title=f"evict {namespace}/{name}",
        do=Delete(target=target, is_eviction=True),
        verify=(Gone(target=target),),
        within_s=_GRACE_S + (grace_s if isinstance(grace_s, int) else 30),
        undo="not-needed",
    )


def _draft(
    node: Object,
    action: str,
    steps: tuple[Step, ...],
    *,
    disruption: str,
    warnings: tuple[str, ...] = (),
    affected: tuple[str, ...] = (),
) -> Draft:
    target = _target(node)
    return Draft(
        action=action,
        title=f"{action} {target.name}",
        risk="r2",
        main=target,
        former_mark=mark_on(node),
        steps=steps,
        expected_s=5.0 + 15.0 * len(affected),
        disruption=disruption,
        warnings=warnings,
        affected=(f"node {target.name}", *affected),
        expects="not-worse",
    )
