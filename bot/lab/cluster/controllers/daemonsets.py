"""DaemonSets: one pod on every node that suits it, replaced node by node when the template changes."""

from collections.abc import Iterable, Mapping
from typing import Any

from bot.lab.cluster.apiserver.http.subresources import portion
from bot.lab.cluster.apiserver.parts import items_of, sub
from bot.lab.cluster.apiserver.store.defaults import TEMPLATE_GENERATION
from bot.lab.cluster.apiserver.store.storage import Storage
from bot.lab.cluster.controllers import podsets, revisions
from bot.lab.cluster.controllers.loop import Key, Mapper, itself, key_of, owned_by
from bot.lab.cluster.controllers.placement import selects_node, untolerated
from bot.lab.cluster.controllers.recorder import Recorder

Obj = Mapping[str, Any]
RESOURCE = "daemonsets.apps"
_GENERATION_LABEL = "pod-template-generation"
_TOLERATED = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)
_HOST_TOLERATED = (("node.kubernetes.io/network-unavailable", "NoSchedule"),)


def _tolerations(spec: Obj) -> list[dict[str, Any]]:
    """What every daemon pod tolerates, after its own tolerations."""
    wanted = (*_TOLERATED, *(_HOST_TOLERATED if spec.get("hostNetwork") else ()))
    added = [{"key": key, "operator": "Exists", "effect": effect} for key, effect in wanted]
    own = list(items_of(spec, "tolerations"))
    return [*own, *(each for each in added if each not in own)]


def _pinned(spec: Obj, node_name: str) -> dict[str, Any]:
    """The pod spec for one node: the scheduler is left no choice."""
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node_name]}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    affinity = {**sub(spec, "affinity"), "nodeAffinity": required}
    return {**spec, "affinity": affinity, "tolerations": _tolerations(spec)}


def node_of(pod: Obj) -> str:
    """The node that a daemon pod is on or meant for."""
    if name := pod["spec"].get("nodeName"):
        return name
    affinity = sub(sub(sub(pod["spec"], "affinity"), "nodeAffinity"), "requiredDuringSchedulingIgnoredDuringExecution")
    for term in items_of(affinity, "nodeSelectorTerms"):
        for field in items_of(term, "matchFields"):
            return field["values"][0]
    return ""


class DaemonSets:
    """The DaemonSet controller."""

    name = "daemonset"

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._recorder = Recorder(storage, "daemonset-controller")

    @property
    def watches(self) -> Mapping[str, Mapper]:
        """DaemonSets, their pods and revisions, and nodes."""
        pods = podsets.claimed_by(self._storage, "DaemonSet", RESOURCE)
        return {RESOURCE: itself, "pods": pods, revisions.RESOURCE: owned_by("DaemonSet"), "nodes": self._all}

    def _all(self, _: Obj) -> Iterable[Key]:
        for daemon_set in self._storage.peek(RESOURCE):
            yield key_of(daemon_set)

    def reconcile(self, namespace: str, name: str) -> float | None:
        """Create, delete or replace pods, then report."""
        daemon_set = self._storage.find(RESOURCE, name, namespace)
        if daemon_set is None:
            return None
        podsets.adopt(self._storage, "pods", daemon_set)
        if daemon_set["metadata"].get("deletionTimestamp"):
            return self._report(daemon_set, "")
        past = revisions.history(self._storage, daemon_set)
        digest = past.current["metadata"]["labels"][revisions.HASH]
        self._place(daemon_set, digest)
        if daemon_set["spec"]["updateStrategy"]["type"] == "RollingUpdate":
            self._roll(daemon_set, digest)
        pods = podsets.owned(self._storage, "pods", daemon_set)
        in_use = {sub(pod["metadata"], "labels").get(revisions.HASH, "") for pod in pods}
        revisions.clean_up(self._storage, daemon_set, past.old, in_use)
        return self._report(daemon_set, digest)

    def _suits(self, daemon_set: Obj, node: Obj, *, running: bool) -> bool:
        """Whether a pod belongs on a node; one that runs stays through a NoSchedule taint."""
        template = daemon_set["spec"]["template"]["spec"]
        spec = {**template, "tolerations": _tolerations(template)}
        effects = ("NoExecute",) if running else ("NoSchedule", "NoExecute")
        return selects_node(spec, node) and untolerated(spec, node, effects) is None

    def _by_node(self, daemon_set: Obj) -> dict[str, list[Obj]]:
        pods: dict[str, list[Obj]] = {}
        for pod in podsets.owned(self._storage, "pods", daemon_set):
            pods.setdefault(node_of(pod), []).append(pod)
        return pods

    def _place(self, daemon_set: Obj, digest: str) -> None:
        by_node = self._by_node(daemon_set)
        for node in list(self._storage.peek("nodes")):
            pods = by_node.pop(node["metadata"]["name"], [])
            ended = [pod for pod in pods if pod["status"].get("phase") in {"Succeeded", "Failed"}]
            for pod in ended:
                self._delete(daemon_set, pod)
            left = [pod for pod in pods if pod not in ended]
            if not self._suits(daemon_set, node, running=bool(left)):
                for pod in left:
                    self._delete(daemon_set, pod)
            elif not left:
                self._create(daemon_set, node["metadata"]["name"], digest)
            else:
                active = sorted(
                    (pod for pod in left if podsets.is_active(pod)),
                    key=lambda pod: (not pod["spec"].get("nodeName"), int(pod["metadata"]["resourceVersion"])),
                )
                for pod in active[1:]:
                    self._delete(daemon_set, pod)
        for pods in by_node.values():  # of nodes that are gone
            for pod in pods:
                self._delete(daemon_set, pod)

    def _create(self, daemon_set: Obj, node_name: str, digest: str) -> None:
        template = daemon_set["spec"]["template"]
        generation = daemon_set["metadata"]["annotations"][TEMPLATE_GENERATION]
        pod = podsets.new_pod(daemon_set, template, {revisions.HASH: digest, _GENERATION_LABEL: generation})
        pod["spec"] = _pinned(pod["spec"], node_name)
        created = self._storage.create("pods", pod, namespace=daemon_set["metadata"]["namespace"])
        self._recorder.event(daemon_set, "SuccessfulCreate", f"Created pod: {created['metadata']['name']}")

    def _delete(self, daemon_set: Obj, pod: Obj) -> None:
        metadata = pod["metadata"]
        if metadata.get("deletionTimestamp"):
            return
        self._storage.delete("pods", metadata["name"], metadata["namespace"])
        self._recorder.event(daemon_set, "SuccessfulDelete", f"Deleted pod: {metadata['name']}")

    def _roll(self, daemon_set: Obj, digest: str) -> None:
        """Replace pods of former templates, no more at a time than may be unavailable."""
        by_node = self._by_node(daemon_set)
        min_ready_s = daemon_set["spec"].get("minReadySeconds", 0)
        rolling = daemon_set["spec"]["updateStrategy"]["rollingUpdate"]
        limit = max(1, portion(rolling["maxUnavailable"], len(by_node), up=True))
        unavailable = 0
        candidates: list[Obj] = []
        for pods in by_node.values():
            active = [pod for pod in pods if podsets.is_active(pod)]
            if not any(podsets.is_available(self._storage, pod, min_ready_s) for pod in active):
                unavailable += 1
            old = [pod for pod in active if pod["metadata"]["labels"].get(revisions.HASH) != digest]
            for pod in old:
                if podsets.is_available(self._storage, pod, min_ready_s):
                    candidates.append(pod)
                else:
                    self._delete(daemon_set, pod)
        for pod in candidates[: max(0, limit - unavailable)]:
            self._delete(daemon_set, pod)

    def _report(self, daemon_set: Obj, digest: str) -> float | None:
        by_node = self._by_node(daemon_set)
        min_ready_s = daemon_set["spec"].get("minReadySeconds", 0)
        numbers = dict.fromkeys(("desired", "current", "misscheduled", "ready", "available", "updated"), 0)
        for node in self._storage.peek("nodes"):
            pods = by_node.get(node["metadata"]["name"], [])
            if not self._suits(daemon_set, node, running=bool(pods)):
                numbers["misscheduled"] += bool(pods)
                continue
            numbers["desired"] += 1
            if pods:
                # The oldest one counts, also while it terminates.
                oldest = min(pods, key=lambda pod: (pod["metadata"]["creationTimestamp"], not podsets.is_ready(pod)))
                numbers["current"] += 1
                numbers["ready"] += podsets.is_ready(oldest)
                numbers["available"] += podsets.is_available(self._storage, oldest, min_ready_s)
                numbers["updated"] += oldest["metadata"]["labels"].get(revisions.HASH) == digest
        status: dict[str, Any] = {
            "currentNumberScheduled": numbers["current"],
            "numberMisscheduled": numbers["misscheduled"],
            "desiredNumberScheduled": numbers["desired"],
            "numberReady": numbers["ready"],
            "observedGeneration": daemon_set["metadata"]["generation"],
            "updatedNumberScheduled": numbers["updated"] or None,
            "numberAvailable": numbers["available"] or None,
            "numberUnavailable": numbers["desired"] - numbers["available"] or None,
        }
        metadata = daemon_set["metadata"]
        self._storage.patch(RESOURCE, metadata["name"], metadata["namespace"], {"status": status}, subresource="status")
        return float(min_ready_s) if numbers["available"] < numbers["ready"] else None
