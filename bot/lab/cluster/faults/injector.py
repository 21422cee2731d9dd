"""Inject and heal: chooses the victim, keeps the operations, undoes them newest first."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Final

import structlog

from bot.lab.cluster.apiserver.errors import ApiError
from bot.lab.cluster.dataplane.base import Node, PodNetwork
from bot.lab.cluster.faults.injection import FaultTarget, Injection, serves_seldon
from bot.lab.cluster.faults.registry import all_faults, find
from bot.lab.cluster.names import Json
from bot.lab.cluster.supervisor.host import HostError
from bot.lab.cluster.supervisor.ready import wait_until_ready
from bot.lab.errors import LabError, LabUsageError

log = structlog.get_logger()
_SETTLE_S: Final = 5.0
_LOOK_S: Final = 0.03
_QUIET_LOOKS: Final = 12
_FAVOURITES: Final = ("seldon-mesh", "shop", "default")
"""Namespaces in which a victim is looked for first."""


class FaultInjector:
    """Keeps what was injected into one lab."""

    def __init__(self, target: FaultTarget) -> None:
        self._target = target
        self._nodes: Mapping[str, Node] = {node.name: node for node in target.nodes}
        self._plane = target.plane
        self._done: list[tuple[str, Injection]] = []

    @property
    def injected(self) -> list[str]:
        """Ids of the faults that are in now, oldest first."""
        return [name for name, _ in self._done]

    def faults(self) -> list[Json]:
        """Those that this lab's CNI can have."""
        return [one.as_json() for one in all_faults().values() if self._plane.cni in one.cnis]

    async def inject(self, name: str, node: str = "", pod: str = "") -> Json:
        """Break it; raises LabUsageError for an unknown fault, node or pod."""
        fault = find(name, self._plane.cni)
        victim = self._victim(node, pod)
        injection = Injection(self._target, *victim)
        try:
            await fault.inject(injection)
            await self._settle(quiet_looks=1)
        except (HostError, ApiError) as error:
            await self._undo(injection)
            raise LabError(f"{name}: {error}") from error
        self._done.append((name, injection))
        where = f"{victim[1].namespace}/{victim[1].name}"
        return {"fault": name, "node": victim[0].name, "pod": where, "changes": injection.changes}

    async def change(self, changes: Sequence[Json]) -> Json:
        """Create or patch objects (verb, resource, namespace, name, body) as one injection that `heal` takes back."""
        injection = Injection(self._target, *self._victim("", ""))
        try:
            for one in changes:
                _apply(injection, one)
            await self._settle(quiet_looks=_QUIET_LOOKS)
        except (HostError, ApiError, KeyError) as error:
            await self._undo(injection)
            raise LabError(f"the change of objects: {error}") from error
        self._done.append(("objects", injection))
        return {"changes": injection.changes}

    async def restore(self, nodes: Sequence[str]) -> list[str]:
        """Heal, let the agents of these nodes program them anew, and wait until everything is ready."""
        healed = await self.heal()
        for name in nodes:
            await self._plane.resync(self._nodes[name])
        await wait_until_ready(self._target.storage)
        await self._settle(quiet_looks=_QUIET_LOOKS)
        return healed

    async def heal(self) -> list[str]:
        """Undo everything and wait until the workloads are ready again; the ids, newest first."""
        healed: list[str] = []
        while self._done:
            name, injection = self._done.pop()
            await self._undo(injection)
            healed.append(name)
        if healed:
            await wait_until_ready(self._target.storage)
            await self._settle(quiet_looks=_QUIET_LOOKS)
        return healed

    async def _settle(self, *, quiet_looks: int) -> None:
        """Until the nodes' rules say what the API says, so many looks in a row.

        A fault that is an object is in force only then, and endpoints follow their pods with a delay.
        """
        quiet = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SETTLE_S):
                while quiet < quiet_looks:
                    quiet = quiet + 1 if self._is_settled() else 0
                    await asyncio.sleep(_LOOK_S)

    def _is_settled(self) -> bool:
        return self._target.proxies.is_settled() and self._target.policies.is_settled()

    async def _undo(self, injection: Injection) -> None:
        for undo in reversed(injection.undo):
            try:
                await undo()
            except (HostError, ApiError) as error:  # its object has gone meanwhile: nothing left to restore
                log.warning("fault.undo_failed", error=str(error))

    def _victim(self, node: str, pod: str) -> tuple[Node, PodNetwork]:
        if node and node not in self._nodes:
            raise LabUsageError(f"there is no node {node!r}; there are: {', '.join(self._nodes)}")
        candidates = [
            (self._nodes[where], one)
            for where, pods in self._plane.pods.items()
            for one in pods.values()
            if (not node or where == node) and (not pod or pod == f"{one.namespace}/{one.name}")
        ]
        if not candidates:
            wanted = f"pod {pod!r}" if pod else "pod with an own network"
            raise LabUsageError(f"there is no {wanted}" + (f" on {node}" if node else ""))
        return min(candidates, key=lambda one: self._preference(*one))

    def _preference(self, node: Node, pod: PodNetwork) -> tuple[int, bool, bool, str]:
        """A model server of seldon-mesh, best on another node than the scheduler that it dials."""
        rank = _FAVOURITES.index(pod.namespace) if pod.namespace in _FAVOURITES else len(_FAVOURITES)
        beside = any(serves_seldon(one) for one in self._plane.pods[node.name].values())
        return rank, serves_seldon(pod), beside, pod.name


def _apply(injection: Injection, change: Json) -> None:
    resource, namespace = str(change["resource"]), change.get("namespace") or None
    if change["verb"] == "create":
        injection.create(resource, change["body"], namespace)
    elif change["verb"] == "patch":
        injection.patch(resource, str(change["name"]), namespace, change["body"])
    else:
        raise LabUsageError(f"an object is created or patched, not {change['verb']}")
