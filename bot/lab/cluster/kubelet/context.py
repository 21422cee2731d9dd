"""What every pod worker of a node shares."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from bot.lab.cluster.apiserver.store.storage import Storage
from bot.lab.cluster.dataplane.base import DataPlane, Node
from bot.lab.cluster.kubelet.events import Recorder
from bot.lab.cluster.names import Json


class NodeAgents(Protocol):
    """Told when a pod's container that is part of the data plane runs on a node, or no longer."""

    async def started(self, node: Node, image: str, env: Mapping[str, str]) -> None:
        """The container runs."""
        ...

    def stopped(self, node: Node, image: str) -> None:
        """It has ended."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeletContext:
    """What every pod worker of a node shares."""

    node: Node
    plane: DataPlane
    storage: Storage
    recorder: Recorder
    agents: NodeAgents
    token: Callable[[Json], Mapping[str, str]]
    """Files of the service account's mount for a pod."""
    turns: asyncio.Semaphore
    """So many sandboxes are made at the same time on the node."""

    async def configuration(self) -> str:
        """The CNI configuration that is in force on the node: the first that is there; "" for none."""
        paths = self.plane.configurations()
        missing = await self.node.host.missing(paths)
        return next((one for one in paths if one not in missing), "")
