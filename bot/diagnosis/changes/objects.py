"""Changes that the API's objects remember: rollouts, Helm charts, policies, restarted agents.

Objects tell when they were made, not when they were edited: an edited NetworkPolicy or ConfigMap leaves no time.
Releases are known by the labels that Helm puts on what it deploys. Helm's own Secrets hold every value of a release, so
nothing here asks for them.

Source: https://kubernetes.io/docs/tasks/manage-daemon/rollback-daemon-set/ (revisions are ControllerRevisions)
Source: https://helm.sh/docs/chart_best_practices/labels/
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime

from bot.cluster.objects import ObjectMeta, Pod
from bot.cluster.snapshot.scope import CONNECTIVITY_NAMESPACES
from bot.diagnosis.changes.revisions import revisions, rolled_out_at
from bot.diagnosis.changes.seen import SETTLING, Seen, latest, settled_at
from bot.probes.engine.evidence import Evidence

_POLICIES = ("networkpolicies", "ciliumnetworkpolicies")
_CLUSTER_POLICIES = (
    "globalnetworkpolicies",
    "ciliumclusterwidenetworkpolicies",
    "adminnetworkpolicies",
    "baselineadminnetworkpolicies",
    "clusternetworkpolicies",
)


def rollouts(evidence: Evidence) -> Iterator[Seen]:
    """New revisions of the connectivity DaemonSets and of the namespace's Deployments, with their Helm chart."""
    snapshot, settled, kept = evidence.snapshot, settled_at(evidence), revisions(evidence)
    for kind, objects in (("DaemonSet", snapshot.daemon_sets), ("Deployment", snapshot.deployments)):
        for meta in (each.metadata for each in objects):
            known = [*kept.get(meta.uid, ())]
            at = rolled_out_at(evidence, known) if known else None
            if at and (len(known) > 1 or not settled or at > settled):
                number = known[0].number
                what = f"got revision {number}" if number > 1 else "was created"
                yield Seen(at=at, what=what + _by_helm(meta), subject=_named(kind, meta))


def _by_helm(meta: ObjectMeta) -> str:
    """The Helm release and chart, "" for what Helm did not deploy."""
    release, chart = meta.annotations.get("meta.helm.sh/release-name", ""), meta.labels.get("helm.sh/chart", "")
    parts = [word for word in (f"release {release}" if release else "", f"chart {chart}" if chart else "") if word]
    return f" (Helm {', '.join(parts)})" if parts else ""


def policies(evidence: Evidence) -> Iterator[Seen]:
    """Policies for the namespace, for the cluster's own namespaces, and for all."""
    snapshot = evidence.snapshot
    here = {snapshot.namespace, *CONNECTIVITY_NAMESPACES}
    for policy in snapshot.network_policies:
        if policy.metadata.namespace in here:
            yield _created("NetworkPolicy", policy.metadata)
    for plural in (*_POLICIES, *_CLUSTER_POLICIES):
        for item in snapshot.custom_objects.get(plural, ()):
            if plural in _CLUSTER_POLICIES or item.metadata.namespace in here:
                yield _created(item.kind or plural, item.metadata)


def agents(evidence: Evidence) -> Iterator[Seen]:
    """Pods of connectivity DaemonSets that restarted, or were replaced by no rollout: one sentence a DaemonSet."""
    snapshot = evidence.snapshot
    every = (each.metadata for each in snapshot.daemon_sets)
    owners = {meta.uid: meta for meta in every if meta.namespace in CONNECTIVITY_NAMESPACES}
    kept = revisions(evidence)
    pods: dict[str, list[Pod]] = defaultdict(list)
    for pod in evidence.pods.values():
        for reference in pod.metadata.owner_references:
            if reference.uid in owners:
                pods[reference.uid].append(pod)
    for uid, meta in owners.items():
        yield from _newest_of("restarted", meta, [(at, pod) for pod in pods[uid] if (at := _restarted_at(pod))])
        known = kept.get(uid, ())
        began = latest((meta.creation_timestamp, rolled_out_at(evidence, known) if known else None))
        replaced = [
            (made, pod)
            for pod in pods[uid]
            if (made := pod.metadata.creation_timestamp) and made > _could_begin(evidence, pod, began or made)
        ]
        yield from _newest_of("was replaced", meta, replaced)


def _restarted_at(pod: Pod) -> datetime | None:
    """When a container of the pod last started again; None when none ever did."""
    running = (each.state.running for each in pod.status.container_statuses if each.restart_count)
    return latest(each.started_at for each in running if each)


def _could_begin(evidence: Evidence, pod: Pod, owner_at: datetime) -> datetime:
    """Until when a pod of a DaemonSet is its first on the node, or made by the rollout."""
    node = evidence.nodes.get(pod.spec.node_name)
    return (latest((owner_at, node.metadata.creation_timestamp if node else None)) or owner_at) + SETTLING


def _newest_of(verb: str, owner: ObjectMeta, pods: Sequence[tuple[datetime, Pod]]) -> Iterator[Seen]:
    if pods:
        at, last = max(pods, key=lambda each: (each[0], each[1].metadata.name))
        also = f", the last of {len(pods)} such pods" if len(pods) > 1 else ""
        name = f"Pod {owner.namespace}/{last.metadata.name}"
        yield Seen(at=at, what=f"{verb} on {last.spec.node_name}{also}", subject=name)


def _named(kind: str, meta: ObjectMeta) -> str:
    return f"{kind} {meta.namespace}/{meta.name}" if meta.namespace else f"{kind} {meta.name}"


def _created(kind: str, meta: ObjectMeta) -> Seen:
    return Seen(at=meta.creation_timestamp, what="was created", subject=_named(kind, meta))
