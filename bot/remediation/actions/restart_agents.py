"""Restart the CNI's agent on some nodes, one after the other, each cordoned meanwhile: no pod starts without a network.

The DaemonSet makes the pod again; the pods of the node keep their links. Never two at once: in a BGP mesh simultaneous
restarts take routes away. A pod of an older revision is a matter of a rollout, not of a restart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bot.cluster.client.paths import api_path
from bot.cluster.writer import Object, target_of
from bot.domain.plan import Delete, NodeReady, OthersReady, Replace, Replaced, Step, Target, value_at
from bot.remediation.actions.draft import Draft, NotPlannedError, mark_on
from bot.remediation.conditions import owned
from bot.remediation.status import is_true

MOST_NODES = 3
READY_S = 180.0
HASH = "controller-revision-hash"
_CORDONED = ("spec", "unschedulable")


@dataclass(frozen=True, slots=True, kw_only=True)
class Agents:
    """A CNI's DaemonSet, with what surrounds it."""

    daemon_set: Object
    pods: Sequence[Object]
    """Of its namespace."""
    nodes: Mapping[str, Object]
    current_hash: str
    """Of its present revision; "" where that is not known."""


def restart_agents(agents: Agents, names: Sequence[str]) -> Draft:
    """The draft. Errors: `NotPlannedError`."""
    main = daemon_set_target(agents.daemon_set)
    if not names:
        raise NotPlannedError("No node is named.")
    most = max(MOST_NODES, len(agents.nodes) // 10)
    if len(names) > most:
        raise NotPlannedError(
            f"{len(names)} nodes are more than are restarted by one plan ({most}).",
            "Name fewer, and look whether it helped before the next.",
        )
    steps = [step for name in dict.fromkeys(names) for step in _on_node(agents, main, name)]
    listed = ", ".join(dict.fromkeys(names))
    return Draft(
        action="restart-agents",
        title=f"restart {main.name} on {listed}",
        risk="r2",
        main=main,
        former_mark=mark_on(agents.daemon_set),
        steps=tuple(steps),
        expected_s=30.0 * len(names),
        disruption=(
            f"Deletes {len(names)} pod{'s' if len(names) > 1 else ''} of {main}, one at a time; the DaemonSet makes "
            "them again. Existing pods keep their network; no new pod is scheduled on the node meanwhile."
        ),
        affected=tuple(f"node {name}" for name in dict.fromkeys(names)),
    )


def _on_node(agents: Agents, main: Target, name: str) -> Sequence[Step]:
    node = agents.nodes.get(name)
    if node is None:
        raise NotPlannedError(f"There is no node {name}.")
    if not is_true(node, "Ready"):
        raise NotPlannedError(
            f"Node {name} is not Ready: its kubelet would not restart anything.", "Look at the kubelet first."
        )
    pod = _pod_on(agents, main, name)
    restart = Step(
        title=f"delete {pod}, which runs on {name}",
        do=Delete(target=pod),
        guards=(NodeReady(node=name), OthersReady(owner=main, node=name)),
        verify=(Replaced(owner=main, uid=pod.uid, node=name),),
        within_s=READY_S,
        undo="person-unless-verified",  # a node whose agent does not come back stays cordoned
    )
    if value_at(node, _CORDONED):
        return (restart,)  # whoever cordoned it decides when pods come back
    target = target_of(node, "Node", api_path("nodes", name=name))
    off = Replace(target=target, field=_CORDONED, before=value_at(node, _CORDONED), after=True)
    cordon = Step(title=f"cordon {name}", do=off)
    return cordon, restart, Step(title=f"uncordon {name}", do=off.reversed(), undo="not-needed")


def _pod_on(agents: Agents, main: Target, node: str) -> Target:
    here = [pod for pod in owned(agents.pods, main.uid) if value_at(pod, ("spec", "nodeName")) == node]
    if len(here) != 1:
        raise NotPlannedError(
            f"{len(here)} pods of {main} are on {node}: one is expected.", "Look at the DaemonSet's events first."
        )
    (pod,) = here
    carried = value_at(pod, ("metadata", "labels", HASH))
    if not agents.current_hash or carried != agents.current_hash:
        raise NotPlannedError(
            f"The pod of {main} on {node} is not of the present revision, or that is not known.",
            "A rollout is under way or stuck: a restart is not what it needs. Roll back, or finish the rollout.",
        )
    namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
    return target_of(pod, "Pod", api_path("pods", namespace=namespace, name=name))


def daemon_set_target(obj: Object) -> Target:
    """A DaemonSet as a plan names it."""
    namespace, name = obj["metadata"]["namespace"], obj["metadata"]["name"]
    return target_of(obj, "DaemonSet", api_path("daemonsets", group="apps", namespace=namespace, name=name))
