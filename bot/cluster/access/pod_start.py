"""Why a pod does not start, in words."""

from bot.cluster.objects import ContainerStateWaiting, Pod
from bot.domain.errors import bounded

_HOPELESS = {
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImageNeverPull",
    "ErrImagePull",
    "ImageInspectError",
    "ImagePullBackOff",
    "InvalidImageName",
    "RunContainerError",
}
"""Waiting for these takes longer than anybody waits for a diagnosis."""


def admission_remedy(why: str, namespace: str) -> str:
    """What lets an agent pod in that admission refused for this reason, a sentence; "" where it is not known."""
    if "violates PodSecurity" in why:
        label = "pod-security.kubernetes.io/enforce=privileged"
        return f"Agents need that level: kubectl label namespace {namespace} {label} --overwrite"
    if "exceeded quota" in why or "failed quota" in why:
        return f"Raise or remove the ResourceQuota: kubectl describe resourcequota --namespace {namespace}"
    return ""


def trouble_of(pod: Pod) -> str:
    """Why this pod will not start soon; "" while it may."""
    if pod.is_finished:
        why = pod.status.reason or _ended(pod) or pod.status.phase
        return _sentence("its pod ended", why, pod.status.message)
    for condition in pod.status.conditions:
        if condition.type == "PodScheduled" and condition.status == "False" and condition.reason == "Unschedulable":
            return _sentence("its pod cannot be scheduled", condition.reason, condition.message)
    waiting = _waiting(pod)
    if waiting and waiting.reason in _HOPELESS:
        image = pod.spec.containers[0].image if pod.spec.containers else ""
        return _sentence(f"its container with image {image} cannot start", waiting.reason, waiting.message)
    return ""


def progress_of(pod: Pod) -> str:
    """How far it got."""
    waiting = _waiting(pod)
    if waiting and waiting.reason:
        return _sentence("its container waits", waiting.reason, waiting.message)
    if not pod.status.container_statuses and pod.status.start_time is None:
        return "the kubelet has not taken it up: is the node Ready?"
    return f"phase {bounded(pod.status.phase or 'unknown', 40)}"


def _waiting(pod: Pod) -> ContainerStateWaiting | None:
    states = (status.state.waiting for status in pod.status.container_statuses)
    return next((waiting for waiting in states if waiting), None)


def _ended(pod: Pod) -> str:
    ends = (status.state.terminated for status in pod.status.container_statuses)
    return next((f"{end.reason or 'exited'}, exit code {end.exit_code}" for end in ends if end), "")


def _sentence(what: str, reason: str, message: str) -> str:
    return bounded(f"{what} ({reason}): {message}" if message else f"{what} ({reason})", 500)
