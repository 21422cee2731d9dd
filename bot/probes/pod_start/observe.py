"""Is every pod given to a node, and does that node get its images?

A pod without a node has no log, no network and no restart that would help: the scheduler says what keeps it, in the
condition PodScheduled and in its events. A pod whose image is not there has a network and never runs. Both make
Services and DNS fail that are in order themselves.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/
Source: https://kubernetes.io/docs/concepts/containers/images/#imagepullbackoff
"""

from collections.abc import Mapping, Sequence

from bot.cluster.objects import Event, Node, Pod
from bot.domain.errors import bounded
from bot.domain.facts import CLUSTER, FactBuilder
from bot.probes.engine.evidence import Evidence
from bot.probes.pod_start.refusals import Refusal, image_error, refusal_of, taint_kind
from bot.probes.shared.dns_pods import dns_pods
from bot.probes.shared.restarts import recreation
from bot.probes.shared.unread_resources import why_unread

MAX_MESSAGE = 400
UNSCHEDULED_S = 30.0
"""A scheduler that runs says something about a pod within this time."""
_WAITING_FOR_IMAGE = frozenset(
    {"ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"}
)
_DNS_KEYS = (
    *("dns_unscheduled", "dns_unscheduled_message", "dns_untolerated_kind"),
    *("dns_waiting", "dns_image_error", "dns_image_message"),
)
_Events = Mapping[str, Event]


def observe(evidence: Evidence, into: FactBuilder) -> None:
    """Every known pod, and what all DNS pods have in common."""
    refused, failed = _last(evidence, "FailedScheduling"), _last(evidence, "Failed", "Failed to pull image")
    for subject, pod in evidence.pods.items():
        message, refusal = _refusal(evidence, pod, refused)
        into.set(subject, "unscheduled", refusal.reason)
        into.set(subject, "unscheduled_message", message)
        into.set(subject, "untolerated_taints", refusal.taints)
        into.set(subject, "untolerated_kind", _kind(refusal))
        into.put(subject, "recreate", *recreation(pod))
        words = _image_words(pod, failed)
        into.set(subject, "image_error", image_error(words) if words else "none")
        into.set(subject, "image_message", bounded(words, MAX_MESSAGE))
    _observe_dns(evidence, refused, failed, into)


def _observe_dns(evidence: Evidence, refused: _Events, failed: _Events, into: FactBuilder) -> None:
    pods = dns_pods(evidence)
    if not pods:
        why = why_unread(evidence.snapshot, "pods", namespace="kube-system") or "no DNS pods are known"
        into.miss_all(CLUSTER, _DNS_KEYS, why)
        return
    refusals = [_refusal(evidence, pod, refused) for pod in pods]
    none_has_a_node = all(refusal.reason != "no" for _, refusal in refusals)
    message, refusal = refusals[0] if none_has_a_node else ("", Refusal("no"))
    into.set(CLUSTER, "dns_unscheduled", refusal.reason)
    into.set(CLUSTER, "dns_unscheduled_message", message)
    into.set(CLUSTER, "dns_untolerated_kind", _kind(refusal))
    into.set(CLUSTER, "dns_waiting", _waiting(pods))
    words = [_image_words(pod, failed) for pod in pods if not pod.is_ready]
    found = next(filter(None, words), "") if all(words) else ""
    into.set(CLUSTER, "dns_image_error", image_error(found) if found else "none")
    into.set(CLUSTER, "dns_image_message", bounded(found, MAX_MESSAGE))


def _kind(refusal: Refusal) -> str:
    return taint_kind(refusal.taints) if refusal.reason == "taints" else "none"


def _refusal(evidence: Evidence, pod: Pod, events: _Events) -> tuple[str, Refusal]:
    """The scheduler's words about a pod, and what they mean."""
    if pod.spec.node_name or pod.metadata.deletion_timestamp is not None:
        return "", Refusal("no")
    condition = next((each for each in pod.status.conditions if each.type == "PodScheduled"), None)
    if condition is not None and condition.reason == "SchedulingGated":
        return bounded(condition.message or "the pod has scheduling gates", MAX_MESSAGE), Refusal("gated")
    event = events.get(pod.metadata.uid)
    words = (condition.message if condition else "") or (event.message if event else "")
    if words:
        return bounded(words, MAX_MESSAGE), _with_nodes_taints(evidence, refusal_of(words))
    made = pod.metadata.creation_timestamp
    is_new = made is None or (evidence.snapshot.taken_at - made).total_seconds() < UNSCHEDULED_S
    return "", Refusal("other" if condition else "no" if is_new else "no-scheduler")


def _with_nodes_taints(evidence: Evidence, refusal: Refusal) -> Refusal:
    """Newer schedulers name no taint any more: then those that every node carries are meant."""
    if refusal.reason != "taints" or refusal.taints:
        return refusal
    every = [_keys(node) for node in evidence.nodes.values()]
    common = every[0].intersection(*every) if every else frozenset[str]()
    return Refusal(refusal.reason, tuple(sorted(common)))


def _keys(node: Node) -> frozenset[str]:
    return frozenset(taint.key for taint in node.spec.taints if taint.effect in {"NoSchedule", "NoExecute"})


def _waiting(pods: Sequence[Pod]) -> str:
    reasons = {_first_waiting(pod) for pod in pods if not pod.is_ready}
    pulls = reasons & _WAITING_FOR_IMAGE
    if pulls and pulls == reasons:
        return min(pulls, key=lambda each: (each != "ImagePullBackOff", each))
    return bounded(next(iter(reasons)), 60) if len(reasons) == 1 else ""


def _first_waiting(pod: Pod) -> str:
    statuses = (*pod.status.init_container_statuses, *pod.status.container_statuses)
    found = (each.state.waiting.reason for each in statuses if each.state.waiting)
    return next((each for each in found if each not in {"", "PodInitializing"}), "")


def _image_words(pod: Pod, failed: _Events) -> str:
    """What is said about an image of the pod that is not there; "" when all are."""
    statuses = (*pod.status.init_container_statuses, *pod.status.container_statuses)
    waiting = next((w for s in statuses if (w := s.state.waiting) and w.reason in _WAITING_FOR_IMAGE), None)
    if waiting is None:
        return ""
    event = failed.get(pod.metadata.uid)
    is_plain = not waiting.message or (waiting.message.startswith("Back-off") and "Err" not in waiting.message)
    return event.message if event and is_plain else waiting.message or waiting.reason


def _last(evidence: Evidence, reason: str, opening: str = "") -> _Events:
    """The last event of a kind about each pod, by the pod's uid; the snapshot has them in order."""
    return {
        event.involved_object.uid: event
        for event in evidence.snapshot.events
        if event.reason == reason and event.involved_object.kind == "Pod" and event.message.startswith(opening)
    }
