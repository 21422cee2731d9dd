"""Which pods a person means: by name, by the workload that owns them, or by the beginning of one name."""

from collections.abc import Sequence
from difflib import get_close_matches

from bot.cluster.objects import Pod
from bot.domain.errors import UnknownPodError

_HASH = "pod-template-hash"


def asked_pods(pods: Sequence[Pod], name: str) -> tuple[str, ...]:
    """The names of the pods that `name` means; () where that is none, or more than one workload's.

    A pod of exactly this name; else all pods of the Deployment, StatefulSet, DaemonSet or Job of this name; else those
    whose names begin so, where one workload owns them all ("sklearn-i" is nobody else's).
    """
    names = [pod.metadata.name for pod in pods]
    if name in names:
        return (name,)
    owned = [pod for pod in pods if name in _owners(pod)]
    begun = [pod for pod in pods if pod.metadata.name.startswith(name)]
    if not owned and len({_owners(pod) for pod in begun}) == 1:
        owned = begun
    return tuple(sorted(pod.metadata.name for pod in owned))


def nearest_pods(pods: Sequence[Pod], name: str, most: int = 5) -> tuple[str, ...]:
    """What may have been meant: workloads and pods that begin so, then names that resemble it."""
    known = {each for pod in pods for each in (pod.metadata.name, *_owners(pod)[-1:])}
    begun = sorted((one for one in known if one.startswith(name)), key=lambda one: (len(one), one))
    return tuple(dict.fromkeys((*begun, *get_close_matches(name, sorted(known), n=most, cutoff=0.6))))[:most]


def check_pod(namespace: str, pods: Sequence[Pod], name: str | None) -> None:
    """Errors: `UnknownPodError` where `name` means none of the pods of the namespace."""
    if name is not None and not asked_pods(pods, name):
        raise UnknownPodError(namespace, name, nearest_pods(pods, name))


def _owners(pod: Pod) -> tuple[str, ...]:
    """The names of what owns the pod: its ReplicaSet and that one's Deployment, or another workload; else itself."""
    found: list[str] = []
    for owner in pod.metadata.owner_references:
        found.append(owner.name)
        stamp = f"-{pod.metadata.labels.get(_HASH, '')}"
        if owner.kind == "ReplicaSet" and len(stamp) > 1 and owner.name.endswith(stamp):
            found.append(owner.name.removesuffix(stamp))
    return tuple(found) or (pod.metadata.name,)
