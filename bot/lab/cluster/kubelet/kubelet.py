"""A node's kubelet: registers the Node, follows its pods, keeps its lease."""

from __future__ import annotations

import asyncio
import contextlib
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bot.aio.groups import TaskGroup
from bot.lab.cluster.apiserver.errors import ApiError
from bot.lab.cluster.apiserver.store.storage import Storage
from bot.lab.cluster.dataplane.base import DataPlane, Node
from bot.lab.cluster.kubelet.context import KubeletContext
from bot.lab.cluster.kubelet.pod import NETWORK_NOT_READY, PodWorker
from bot.lab.cluster.kubelet.status import timestamp
from bot.lab.cluster.names import Json, machine_id

_LEASE_S: Final = 10.0
_STATUS_S: Final = 60.0
_LOOK_S: Final = 2.0


class Kubelet:
    """One per node; `run` until cancelled."""

    def __init__(self, context: KubeletContext) -> None:
        self._context = context
        self.workers: dict[str, PodWorker] = {}
        """By pod UID."""

    async def run(self) -> None:
        """Until cancelled."""
        async with TaskGroup() as group:
            group.create_task(self._renew_lease())
            group.create_task(self._renew_status())
            await self._follow(group)

    async def _follow(self, group: TaskGroup) -> None:
        events = self._context.storage.watch("pods", fields=f"spec.nodeName={self._context.node.name}")
        async for event in events:
            self._take(group, event.type, event.object)

    def _take(self, group: TaskGroup, kind: str, pod: Json) -> None:
        uid = pod["metadata"]["uid"]
        worker = self.workers.get(uid)
        if kind == "DELETED":
            if worker is not None:
                worker.stop()
        elif worker is None:
            worker = self.workers[uid] = PodWorker(self._context, pod)
            if pod["metadata"].get("deletionTimestamp"):
                worker.stop()
            group.create_task(self._work(uid, worker))
        elif pod["metadata"].get("deletionTimestamp"):
            worker.stop(pod)

    async def _work(self, uid: str, worker: PodWorker) -> None:
        try:
            await worker.run()
        finally:
            self.workers.pop(uid, None)

    async def _renew_lease(self) -> None:
        name, storage = self._context.node.name, self._context.storage
        while True:
            renewed = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            spec: Json = {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": renewed}
            try:
                storage.patch("leases.coordination.k8s.io", name, "kube-node-lease", {"spec": spec})
            except ApiError:
                lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}}
                storage.create("leases.coordination.k8s.io", {**lease, "spec": spec}, namespace="kube-node-lease")
            await asyncio.sleep(_LEASE_S)

    async def _renew_status(self) -> None:
        """Every minute, and at once when the container runtime's network becomes ready or ceases to be."""
        loop, was_ready, due_at = asyncio.get_running_loop(), True, 0.0
        while True:
            is_ready = bool(await self._context.configuration())
            if was_ready != is_ready or loop.time() >= due_at:
                was_ready, due_at = is_ready, loop.time() + _STATUS_S
                self._write_conditions(is_network_ready=was_ready)
            await asyncio.sleep(_LOOK_S)

    def _write_conditions(self, *, is_network_ready: bool) -> None:
        storage, name = self._context.storage, self._context.node.name
        with contextlib.suppress(ApiError):  # the Node was deleted; a real kubelet does not recreate it either
            node: Json = dict(storage.find("nodes", name) or {"status": {}})
            found = node_conditions(node["status"].get("conditions") or [], is_network_ready=is_network_ready)
            storage.patch("nodes", name, None, {"status": {"conditions": found}}, subresource="status")
        for worker in self.workers.values() if is_network_ready else ():
            worker.report()  # the node controller marks the pods of a node that is not ready


def node_conditions(old: list[Json], *, is_network_ready: bool = True) -> list[Json]:
    """The four conditions that a kubelet reports; a transition time is kept while its status stays."""
    since: dict[tuple[str, str], str] = {(one["type"], one["status"]): one["lastTransitionTime"] for one in old}
    ready = ("Ready", "True", "KubeletReady", "kubelet is posting ready status")
    if not is_network_ready:
        ready = ("Ready", "False", "KubeletNotReady", NETWORK_NOT_READY)
    wanted = (
        ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ready,
    )
    return [
        {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": message,
            "lastHeartbeatTime": timestamp(),
            "lastTransitionTime": since.get((kind, status), timestamp()),
        }
        for kind, status, reason, message in wanted
    ]


def register(storage: Storage, node: Node, plane: DataPlane, version: str, *, control_plane: bool) -> None:
    """Create the Node object with its status."""
    machine = os.uname()
    labels = {
        "kubernetes.io/hostname": node.name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": {"x86_64": "amd64", "aarch64": "arm64"}.get(machine.machine, machine.machine),
        **({"node-role.kubernetes.io/control-plane": ""} if control_plane else {}),
    }
    extra = plane.node_metadata(node)
    metadata: Json = {"name": node.name, "labels": {**labels, **extra.get("labels", {})}}
    metadata["annotations"] = {"node.alpha.kubernetes.io/ttl": "0", **extra.get("annotations", {})}
    spec: Json = {"podCIDR": node.pod_cidr, "podCIDRs": [node.pod_cidr]}
    if "+k3s" in version:
        spec["providerID"] = f"k3s://{node.name}"
    storage.create("nodes", {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": spec})
    size = {"cpu": "4", "memory": "8Gi", "pods": "250", "ephemeral-storage": "50Gi"}
    info = {
        "kernelVersion": machine.release,
        "osImage": "Debian GNU/Linux 12 (bookworm)",
        "operatingSystem": "linux",
        "architecture": labels["kubernetes.io/arch"],
        "containerRuntimeVersion": "containerd://2.1.5" + ("-k3s1" if "+k3s" in version else ""),
        "kubeletVersion": version,
        "kubeProxyVersion": version,
        "machineID": machine_id(node.name),
        "systemUUID": machine_id(node.name),
        "bootID": _boot_id(),
    }
    status: Json = {
        "addresses": [{"type": "InternalIP", "address": node.ip}, {"type": "Hostname", "address": node.name}],
        "capacity": size,
        "allocatable": size,
        "conditions": node_conditions([], is_network_ready=bool(plane.node_files(node.name))),
        "nodeInfo": info,
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
    }
    storage.patch("nodes", node.name, None, {"status": status}, subresource="status")


def _boot_id() -> str:
    """Of the kernel, as a kubelet reads it: nodes that share one are told apart by their machine ids."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
