"""When a lab is up: every workload has the pods it wants, and each of them is ready."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from bot.lab.cluster.apiserver.store.storage import Storage
from bot.lab.errors import LabError

_LIMIT_S: Final = 50.0
_LOOK_S: Final = 0.05
_PER_POD_S: Final = 0.4
_WORKLOADS: Final = ("deployments.apps", "daemonsets.apps", "statefulsets.apps")


async def wait_until_ready(storage: Storage, *, only: Sequence[str] = (*_WORKLOADS, "pods")) -> None:
    """Raises LabError that names what is not ready in time, which is longer with many pods. `only`: of these kinds."""
    limit_s = _LIMIT_S + _PER_POD_S * sum(1 for _ in storage.peek("pods"))
    try:
        async with asyncio.timeout(limit_s):
            while any(unready(storage, only)):  # noqa: ASYNC110 - about many objects, there is no one event
                await asyncio.sleep(_LOOK_S)
    except TimeoutError as error:
        raise LabError("not ready in time: " + ", ".join(unready(storage, only))) from error


def unready(storage: Storage, only: Sequence[str]) -> Iterator[str]:
    """What is still missing, as ``resource namespace/name``."""
    for resource in (one for one in _WORKLOADS if one in only):
        for one in storage.peek(resource):
            if not _is_complete(resource, one):
                yield f"{resource} {one['metadata']['namespace']}/{one['metadata']['name']}"
    for pod in storage.peek("pods") if "pods" in only else ():
        status: Mapping[str, Any] = pod.get("status") or {}
        conditions: list[Mapping[str, Any]] = status.get("conditions") or []
        if not any(one["type"] == "Ready" and one["status"] == "True" for one in conditions):
            yield f"pod {pod['metadata']['namespace']}/{pod['metadata']['name']}"


def _is_complete(resource: str, workload: Mapping[str, Any]) -> bool:
    status: Mapping[str, Any] = workload.get("status") or {}
    if status.get("observedGeneration") is None:
        return False
    if resource == "daemonsets.apps":
        return status.get("numberReady", 0) == status.get("desiredNumberScheduled", -1)
    return status.get("readyReplicas", 0) == workload["spec"].get("replicas", 1)
