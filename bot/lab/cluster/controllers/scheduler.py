"""The scheduler: each new pod gets a node that suits it, the one with the fewest pods of its kind and in all."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from bot.lab.cluster.apiserver.errors import ApiError
from bot.lab.cluster.apiserver.http import subresources
from bot.lab.cluster.apiserver.parts import condition_of
from bot.lab.cluster.apiserver.store.history import Cursor
from bot.lab.cluster.apiserver.store.storage import Storage
from bot.lab.cluster.controllers.loop import Key, Mapper, controller_of, key_of
from bot.lab.cluster.controllers.placement import selects_node, untolerated
from bot.lab.cluster.controllers.recorder import Recorder

Obj = Mapping[str, Any]
_NAME = "default-scheduler"
_MANAGER = "kube-scheduler"
_RETRY_S = 5.0


def _is_waiting(pod: Obj) -> bool:
    return (
        not pod["spec"].get("nodeName")
        and pod["spec"].get("schedulerName") == _NAME
        and not pod["spec"].get("schedulingGates")
        and not pod["metadata"].get("deletionTimestamp")
        and pod["status"].get("phase") == "Pending"
    )


def _owner(pod: Obj) -> str:
    return (controller_of(pod) or pod["metadata"])["uid"]


class _Load:
    """How many pods are on each node, in all and per owner; kept up to date by the history of pods."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._cursor = Cursor(storage.collection("pods"), 0)
        self.total: Counter[str] = Counter()
        self.siblings: Counter[tuple[str, str]] = Counter()

    def refresh(self) -> None:
        """Count what changed since the last call."""
        try:
            changes = self._cursor.take()
        except ApiError:  # too far behind: count anew
            self._cursor = Cursor(self._storage.collection("pods"), self._storage.revision)
            self.total.clear()
            self.siblings.clear()
            for pod in self._storage.peek("pods"):
                self._count(pod, 1)
            return
        for change in changes:
            if change.previous is not None:
                self._count(change.previous.obj, -1)
            if change.type != "DELETED":
                self._count(change.record.obj, 1)

    def _count(self, pod: Obj, step: int) -> None:
        node_name = pod["spec"].get("nodeName")
        if node_name and pod["status"].get("phase") not in {"Succeeded", "Failed"}:
            self.total[node_name] += step
            if not pod["metadata"].get("deletionTimestamp"):  # PodTopologySpread counts no pod that is on its way out
                self.siblings[_owner(pod), node_name] += step


class Scheduler:
    """The default scheduler, without preemption."""

    name = "scheduler"

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._recorder = Recorder(storage, _NAME, _MANAGER)
        self._load = _Load(storage)

    @property
    def watches(self) -> Mapping[str, Mapper]:
        """Waiting pods, and nodes, whose changes may help them."""
        return {"pods": self._waiting, "nodes": self._all_waiting}

    @staticmethod
    def _waiting(pod: Obj) -> Iterable[Key]:
        if _is_waiting(pod):
            yield key_of(pod)

    def _all_waiting(self, _: Obj) -> Iterable[Key]:
        for pod in self._storage.peek("pods"):
            yield from self._waiting(pod)

    def reconcile(self, namespace: str, name: str) -> float | None:
        """Bind one pod, or say why not."""
        pod = self._storage.find("pods", name, namespace)
        if pod is None or not _is_waiting(pod):
            return None
        nodes = list(self._storage.peek("nodes"))
        reasons = {node["metadata"]["name"]: _objection(pod["spec"], node) for node in nodes}
        suitable = [node["metadata"]["name"] for node in nodes if not reasons[node["metadata"]["name"]]]
        if not suitable:
            return self._refuse(pod, list(reasons.values()))
        node_name = self._best(pod, suitable)
        # The event names the version that the scheduler saw.
        subresources.bind(self._storage, name, namespace, {"target": {"name": node_name}})
        self._recorder.action(pod, "Scheduled", f"Successfully assigned {namespace}/{name} to {node_name}", "Binding")
        return None

    def _best(self, pod: Obj, suitable: list[str]) -> str:
        """Least pods of the same owner, then least pods at all, then by name."""
        self._load.refresh()
        owner = _owner(pod)
        return min(suitable, key=lambda name: (self._load.siblings[owner, name], self._load.total[name], name))

    def _refuse(self, pod: Obj, reasons: list[str]) -> float:
        counted = sorted(f"{count} {reason}" for reason, count in Counter(reasons).items())
        why = "no nodes available to schedule pods"
        if reasons:
            why = f"0/{len(reasons)} nodes are available: {', '.join(counted)}."
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "lastProbeTime": None,
            "reason": "Unschedulable",
            "message": why,
        }
        metadata = pod["metadata"]
        if condition_of(pod, "PodScheduled").get("message") != why:
            self._recorder.action(pod, "FailedScheduling", why, "Scheduling", type_="Warning")
            subresources.set_condition(self._storage, metadata["name"], metadata["namespace"], condition, _MANAGER)
        return _RETRY_S


def _objection(spec: Obj, node: Obj) -> str:
    """Why a pod may not run on a node, in the scheduler's words; empty when it may."""
    if node["metadata"].get("deletionTimestamp"):
        return "node(s) were unschedulable"
    if not selects_node(spec, node):
        return "node(s) didn't match Pod's node affinity/selector"
    taint = untolerated(spec, node)
    if taint is None:
        return ""
    if taint["key"] == "node.kubernetes.io/unschedulable":
        return "node(s) were unschedulable"
    return f"node(s) had untolerated taint(s) {{{taint['key']}: {taint.get('value', '')}}}"
