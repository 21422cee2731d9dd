"""Revisions of workloads: which one is the newest, when it was rolled out, and where its pods run.

Source: https://kubernetes.io/docs/tasks/manage-daemon/rollback-daemon-set/ (an undo gives an old revision a new number)
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from bot.cluster.objects import ObjectMeta, Pod
from bot.diagnosis.changes.seen import earliest
from bot.domain.foreign import whole_number
from bot.probes.engine.evidence import Evidence

_HASHES = ("controller-revision-hash", "pod-template-hash")
"""Labels of a revision and of its pods: of DaemonSets, and of Deployments."""
_DEPLOYMENT_REVISION = "deployment.kubernetes.io/revision"


@dataclass(frozen=True, slots=True)
class Revision:
    """One version of a DaemonSet or Deployment."""

    number: int
    """0 where it has none."""
    meta: ObjectMeta
    """Of the ControllerRevision or ReplicaSet."""


def revisions(evidence: Evidence) -> Mapping[str, tuple[Revision, ...]]:
    """All versions that are kept, newest first, by the uid of their DaemonSet or Deployment."""
    snapshot = evidence.snapshot
    found: dict[str, list[Revision]] = defaultdict(list)
    for one in snapshot.controller_revisions:
        for owner in one.metadata.owner_references:
            found[owner.uid].append(Revision(one.revision, one.metadata))
    for each in snapshot.replica_sets:
        number = whole_number(each.metadata.annotations.get(_DEPLOYMENT_REVISION)) or 0  # whoever may edit it wrote it
        for owner in each.metadata.owner_references:
            found[owner.uid].append(Revision(number, each.metadata))
    return {uid: tuple(sorted(every, key=_newest_first)) for uid, every in found.items()}


def _newest_first(one: Revision) -> tuple[int, str]:
    return -one.number, one.meta.name


def pods_of(evidence: Evidence, revision: ObjectMeta) -> list[Pod]:
    """The pods that run this version."""
    key, value = next(((key, revision.labels[key]) for key in _HASHES if key in revision.labels), ("", ""))
    owners = {revision.uid, *(owner.uid for owner in revision.owner_references)}
    return [
        pod
        for pod in evidence.pods.values()
        if value
        and pod.metadata.labels.get(key) == value
        and any(owner.uid in owners for owner in pod.metadata.owner_references)
    ]


def rolled_out_at(evidence: Evidence, known: Iterable[Revision]) -> datetime | None:
    """When the newest version was rolled out; None where that is not known.

    An undo takes an old object up again: it is as old as it ever was, and only its pods tell when it came back.
    """
    newest, *others = known
    made_at = newest.meta.creation_timestamp
    later = (one.meta.creation_timestamp for one in others)
    if made_at is None or any(at is not None and at > made_at for at in later):
        return earliest(pod.metadata.creation_timestamp for pod in pods_of(evidence, newest.meta))
    return made_at
