"""Nodes: taints that follow their conditions, and pods that are not ready when their node is not."""

from collections.abc import Iterable, Mapping
from typing import Any

from bot.lab.cluster.apiserver.http import subresources
from bot.lab.cluster.apiserver.parts import items_of, sub
from bot.lab.cluster.apiserver.store.admission import NOT_READY, UNREACHABLE
from bot.lab.cluster.apiserver.store.storage import Storage
from bot.lab.cluster.apiserver.timestamps import parse, seconds
from bot.lab.cluster.controllers.loop import Key, Mapper, itself
from bot.lab.cluster.controllers.podsets import is_ready
from bot.lab.cluster.controllers.recorder import Recorder

Obj = Mapping[str, Any]
LEASES = "leases.coordination.k8s.io"
LEASE_NAMESPACE = "kube-node-lease"
GRACE_S = 50.0
"""A node whose kubelet has not renewed its Lease for so long is Unknown. A node without a Lease is left alone."""
_TTL = "node.alpha.kubernetes.io/ttl"
_UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
_OURS = frozenset({NOT_READY, UNREACHABLE, _UNSCHEDULABLE})


class Nodes:
    """The node lifecycle controller."""

    name = "node"

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._recorder = Recorder(storage, "node-controller")

    @property
    def watches(self) -> Mapping[str, Mapper]:
        """Nodes and their Leases."""
        return {"nodes": itself, LEASES: _node_of_lease}

    def reconcile(self, _: str, name: str) -> float | None:
        """Bring one node's taints and its pods' readiness in line with its conditions."""
        node = self._storage.find("nodes", name)
        if node is None or node["metadata"].get("deletionTimestamp"):
            return None
        again_s = self._watch_heartbeat(node)
        node = self._storage.record("nodes", name).obj
        self._taint(node)
        if _ready(node) != "True" and sub(node, "status").get("conditions"):
            self._mark_pods(name)
        return again_s

    def _watch_heartbeat(self, node: Obj) -> float | None:
        lease = self._storage.find(LEASES, node["metadata"]["name"], LEASE_NAMESPACE)
        renewed_at = (lease or {}).get("spec", {}).get("renewTime")
        if not renewed_at:
            return None
        left_s = GRACE_S - (self._storage.now() - parse(renewed_at)).total_seconds()
        if left_s > 0:
            return left_s + 0.1
        if _ready(node) != "Unknown":
            self._lose(node)
        return GRACE_S

    def _lose(self, node: Obj) -> None:
        now = seconds(self._storage.now())
        unknown = {
            "status": "Unknown",
            "reason": "NodeStatusUnknown",
            "message": "Kubelet stopped posting node status.",
        }
        conditions = [{**each, **unknown, "lastTransitionTime": now} for each in items_of(node["status"], "conditions")]
        name = node["metadata"]["name"]
        self._storage.patch(
            "nodes",
            name,
            None,
            {"status": {"conditions": conditions}},
            subresource="status",
            manager="kube-controller-manager",
        )
        self._recorder.event(node, "NodeNotReady", f"Node {name} status is now: NodeNotReady")

    def _taint(self, node: Obj) -> None:
        taints = [each for each in items_of(node["spec"], "taints") if each["key"] not in _OURS]
        ready = _ready(node)
        reported = bool(sub(node, "status").get("conditions"))
        key = {"True": "", "Unknown": UNREACHABLE}.get(ready, NOT_READY) if reported else NOT_READY
        if key:
            taints.append(self._kept(node, key, "NoSchedule"))
            if reported:
                taints.append(self._kept(node, key, "NoExecute"))
        if node["spec"].get("unschedulable"):
            taints.append(self._kept(node, _UNSCHEDULABLE, "NoSchedule"))
        change: dict[str, Any] = {}
        if taints != items_of(node["spec"], "taints"):
            change["spec"] = {"taints": taints or None}
        if _TTL not in sub(node["metadata"], "annotations"):
            change["metadata"] = {"annotations": {_TTL: "0"}}
        if change:
            name = node["metadata"]["name"]
            self._storage.patch("nodes", name, None, change, manager="kube-controller-manager")

    def _kept(self, node: Obj, key: str, effect: str) -> dict[str, Any]:
        """The taint as it is, or a new one."""
        for taint in items_of(node["spec"], "taints"):
            if (taint["key"], taint["effect"]) == (key, effect):
                return dict(taint)
        added = {"key": key, "effect": effect}
        timed = effect == "NoExecute" or key == _UNSCHEDULABLE
        return added | ({"timeAdded": seconds(self._storage.now())} if timed else {})

    def _mark_pods(self, node_name: str) -> None:
        """Pods of a node that is not ready are not ready: Services stop sending traffic there."""
        on_node = [pod for pod in self._storage.peek("pods") if pod["spec"].get("nodeName") == node_name]
        for pod in on_node:
            if is_ready(pod):
                metadata = pod["metadata"]
                condition = {"type": "Ready", "status": "False", "lastProbeTime": None, "reason": "NodeNotReady"}
                subresources.set_condition(
                    self._storage, metadata["name"], metadata["namespace"], condition, "kube-controller-manager"
                )
                self._recorder.event(pod, "NodeNotReady", "Node is not ready", type_="Warning")


def _ready(node: Obj) -> str:
    conditions = items_of(sub(node, "status"), "conditions")
    return next((each["status"] for each in conditions if each["type"] == "Ready"), "Unknown")


def _node_of_lease(lease: Obj) -> Iterable[Key]:
    if lease["metadata"]["namespace"] == LEASE_NAMESPACE:
        yield "", lease["metadata"]["name"]
