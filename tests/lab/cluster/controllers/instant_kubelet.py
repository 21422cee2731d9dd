"""Kubelets that start and stop everything at once, without running anything."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from bot.lab.cluster.apiserver.store.storage import Storage

Obj = dict[str, Any]


def run(storage: Storage, pod: Obj, *, ready: bool = True) -> None:
    """Report a scheduled pod as running."""
    number = int(pod["metadata"]["resourceVersion"])
    address = f"10.42.{number // 250 % 250}.{number % 250}"
    moment = pod["metadata"]["creationTimestamp"]
    conditions = [
        {"type": kind, "status": str(ready), "lastProbeTime": None, "lastTransitionTime": moment}
        for kind in ("ContainersReady", "Ready")
    ]
    containers = [
        {
            "name": container["name"],
            "image": container["image"],
            "ready": ready,
            "restartCount": 0,
            "state": {"running": {"startedAt": moment}},
        }
        for container in pod["spec"]["containers"]
    ]
    status = {
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "conditions": [*pod["status"].get("conditions", ()), *conditions],
        "containerStatuses": containers,
    }
    metadata = pod["metadata"]
    storage.patch("pods", metadata["name"], metadata["namespace"], {"status": status}, subresource="status")


def finish(storage: Storage, pod: Obj, phase: str = "Succeeded") -> None:
    """Report a pod as over."""
    metadata = pod["metadata"]
    storage.patch("pods", metadata["name"], metadata["namespace"], {"status": {"phase": phase}}, subresource="status")


def step(storage: Storage, pod: Obj) -> None:
    """What a kubelet does about one pod."""
    metadata = pod["metadata"]
    if metadata.get("deletionTimestamp"):
        storage.delete("pods", metadata["name"], metadata["namespace"], grace_period_s=0)
    elif pod["spec"].get("nodeName") and pod["status"]["phase"] == "Pending":
        run(storage, pod)


async def _follow(storage: Storage) -> None:
    async for event in storage.watch("pods"):
        metadata = event.object["metadata"]
        live = storage.find("pods", metadata["name"], metadata["namespace"])
        if event.type != "DELETED" and live is not None:
            step(storage, storage.get("pods", metadata["name"], metadata["namespace"]))


@asynccontextmanager
async def instant_kubelet(storage: Storage) -> AsyncGenerator[None]:
    """Kubelets for all nodes."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(_follow(storage))
        yield
        task.cancel()
