"""The scheduler: each new pod gets a node that suits it, the one with the fewest pods of its kind and in all."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from bot.lab.apiserver import subresources
from bot.lab.apiserver.parts import condition_of
from bot.lab.apiserver.storage import Storage
from bot.lab.controllers.loop import Key, Mapper, controller_of, key_of
from bot.lab.controllers.placement import selects_node, untolerated
from bot.lab.controllers.recorder import Recorder

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


class Scheduler:
    """The default scheduler, without preemption."""

    name = "scheduler"

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._recorder = Recorder(storage, _NAME, _MANAGER)

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
        total: Counter[str] = Counter()
        siblings: Counter[str] = Counter()
        owner = (controller_of(pod) or {}).get("uid")
        for other in self._storage.peek("pods"):
            node_name = other["spec"].get("nodeName")
            if not node_name or other["status"].get("phase") in {"Succeeded", "Failed"}:
                continue
            total[node_name] += 1
            if owner and (controller_of(other) or {}).get("uid") == owner:
                siblings[node_name] += 1
        return min(suitable, key=lambda name: (siblings[name], total[name], name))

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
