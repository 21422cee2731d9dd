"""The rollback that a verdict calls for: the nodes at fault are exactly those that a new revision has reached."""

import msgspec

from bot.cluster.objects import Pod
from bot.diagnosis.changes.revisions import pods_of, revisions
from bot.domain.cause import Differential
from bot.domain.finding import Hop
from bot.domain.listing import and_more
from bot.domain.report import BlastRadius, NodeCommands, RemediationReport
from bot.probes.engine.evidence import Evidence
from bot.remediation.offers import ROLL_BACK
from bot.remediation.owners import Owner, owner_of

_OF_THE_AGENT: frozenset[Hop] = frozenset({"pod", "gateway", "node", "overlay", "policy", "service"})
"""Hops that the CNI's agent programs on a node."""
_RESTARTED = "kubectl.kubernetes.io/restartedAt"
_MOST_NODES = 5


def roll_back_fix(evidence: Evidence, differential: Differential, radius: BlastRadius) -> RemediationReport | None:
    """The rollback of the CNI's agent; None where its rollout does not divide the nodes as the fault does."""
    if not any(one.hop in _OF_THE_AGENT for one in differential.selected):
        return None
    namespace, _, name = evidence.cni.agent_daemon_set.partition("/")
    found = [
        one for one in evidence.snapshot.daemon_sets if (one.metadata.namespace, one.metadata.name) == (namespace, name)
    ]
    known = revisions(evidence).get(found[0].metadata.uid, ()) if found else ()
    if len(known) < 2:
        return None
    newest, former = known[:2]
    new = pods_of(evidence, newest.meta)
    reached, every = {pod.spec.node_name for pod in new}, {*evidence.cni.agent_pods}
    old = [pod for other in known[1:] for pod in pods_of(evidence, other.meta)]
    if reached != set(radius.fault_nodes) or not every - reached or _is_restart(new, old):
        return None
    owner = owner_of({"metadata": msgspec.to_builtins(found[0].metadata)})
    undo = f"kubectl -n {namespace} rollout undo daemonset/{name} --to-revision="
    commands = () if owner else (f"{undo}{former.number}",)
    return RemediationReport(
        id=ROLL_BACK,
        risk="r3",
        why=(
            f"Roll {name} back to revision {former.number}: revision {newest.number} runs on "
            f"{and_more(sorted(reached), _MOST_NODES)} alone, exactly where the fault is"
        ),
        commands=commands,
        undo=() if owner else (f"{undo}{newest.number}",),
        at=tuple(NodeCommands(node="", commands=commands) for _ in commands),
        undo_at=() if owner else (NodeCommands(node="", commands=(f"{undo}{newest.number}",)),),
        touches="cluster",
        no_command=_by_its_owner(name, owner) if owner else "",
        subjects=(f"DaemonSet {namespace}/{name}",),
    )


def _by_its_owner(name: str, owner: Owner) -> str:
    """What stands there instead of a command."""
    if owner.is_planned_for:
        planned = "A plan rolls that back, where it can (cnibot plan propose roll-back)"
        return f"{name} belongs to {owner.name}. {planned}; by hand: {owner.how}"
    return f"{name} belongs to {owner.name}, which would undo it. {owner.how}"


def _is_restart(new: list[Pod], old: list[Pod]) -> bool:
    """Whether the revision may differ from the others in a restart alone: then the way back changes nothing."""
    restarts = [{pod.metadata.annotations.get(_RESTARTED, "") for pod in pods} for pods in (new, old)]
    images = [{container.image for pod in pods for container in pod.spec.containers} for pods in (new, old)]
    return restarts[0] != restarts[1] and images[0] == images[1]
