"""ReplicaSets: as many pods as asked for."""

from collections.abc import Mapping
from typing import Any

from bot.lab.cluster.apiserver.parts import sub
from bot.lab.cluster.apiserver.store.storage import Storage
from bot.lab.cluster.controllers import podsets
from bot.lab.cluster.controllers.loop import Mapper, itself
from bot.lab.cluster.controllers.recorder import Recorder

Obj = Mapping[str, Any]
RESOURCE = "replicasets.apps"


class ReplicaSets:
    """The ReplicaSet controller."""

    name = "replicaset"

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._recorder = Recorder(storage, "replicaset-controller")

    @property
    def watches(self) -> Mapping[str, Mapper]:
        """ReplicaSets and their pods."""
        return {RESOURCE: itself, "pods": podsets.claimed_by(self._storage, "ReplicaSet", RESOURCE)}

    def reconcile(self, namespace: str, name: str) -> float | None:
        """Create missing pods or delete surplus ones, then report."""
        replica_set = self._storage.find(RESOURCE, name, namespace)
        if replica_set is None:
            return None
        podsets.adopt(self._storage, "pods", replica_set)
        pods = podsets.owned(self._storage, "pods", replica_set)
        active = [pod for pod in pods if podsets.is_active(pod)]
        if not replica_set["metadata"].get("deletionTimestamp"):
            self._scale(replica_set, active)
        pods = podsets.owned(self._storage, "pods", replica_set)
        return self._report(replica_set, pods)

    def _scale(self, replica_set: Obj, active: list[Obj]) -> None:
        missing = replica_set["spec"]["replicas"] - len(active)
        namespace = replica_set["metadata"]["namespace"]
        for _ in range(missing):
            pod = podsets.new_pod(replica_set, replica_set["spec"]["template"])
            created = self._storage.create("pods", pod, namespace=namespace)
            self._recorder.event(replica_set, "SuccessfulCreate", f"Created pod: {created['metadata']['name']}")
        for pod in podsets.by_disposability(active)[: max(-missing, 0)]:
            self._storage.delete("pods", pod["metadata"]["name"], namespace)
            self._recorder.event(replica_set, "SuccessfulDelete", f"Deleted pod: {pod['metadata']['name']}")

    def _report(self, replica_set: Obj, pods: list[Obj]) -> float | None:
        active = [pod for pod in pods if podsets.is_active(pod)]
        min_ready_s = replica_set["spec"].get("minReadySeconds", 0)
        labels = {"matchLabels": sub(replica_set["spec"]["template"]["metadata"], "labels")}
        ready = [pod for pod in active if podsets.is_ready(pod)]
        available = [pod for pod in ready if podsets.is_available(self._storage, pod, min_ready_s)]
        numbers = {
            "fullyLabeledReplicas": sum(1 for pod in active if podsets.selects(labels, pod)),
            "readyReplicas": len(ready),
            "availableReplicas": len(available),
        }
        status: dict[str, Any] = {"replicas": len(active)}
        status |= {key: value or None for key, value in numbers.items()}
        status["terminatingReplicas"] = sum(1 for pod in pods if pod["metadata"].get("deletionTimestamp"))
        status["observedGeneration"] = replica_set["metadata"]["generation"]
        metadata = replica_set["metadata"]
        self._storage.patch(RESOURCE, metadata["name"], metadata["namespace"], {"status": status}, subresource="status")
        return float(min_ready_s) if len(available) < len(ready) else None
