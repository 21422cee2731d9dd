"""A cluster without a server: the store, all controllers, and kubelets that do as they are told."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from bot.lab.cluster.apiserver.store.storage import Storage
from bot.lab.cluster.controllers import run_controllers
from tests.lab.cluster.apiserver import build
from tests.lab.cluster.controllers import instant_kubelet

Obj = dict[str, Any]
DEADLINE_S = 30.0


class Cluster:
    """What tests of controllers need."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    async def settle(self) -> None:
        """Until the controllers have nothing left to do now."""
        quiet = 0
        while quiet < 20:
            revision = self.storage.revision
            await asyncio.sleep(0)
            quiet = quiet + 1 if self.storage.revision == revision else 0

    async def run_all(self) -> None:
        """Let kubelets start and stop pods until nothing changes any more."""
        revision = -1
        while revision != self.storage.revision:
            revision = self.storage.revision
            await self.settle()
            for pod in self.storage.list("pods"):
                instant_kubelet.step(self.storage, pod)
            await self.settle()

    def pods(self, namespace: str = "shop") -> list[Obj]:
        return self.storage.list("pods", namespace)

    def reasons(self, name: str, namespace: str = "shop") -> list[str]:
        """The reasons of an object's events, in the order of their recording."""
        found = self.storage.list("events", namespace, fields=f"involvedObject.name={name}")
        return [event["reason"] for event in sorted(found, key=lambda event: int(event["metadata"]["resourceVersion"]))]


@asynccontextmanager
async def cluster(nodes: int = 3, storage: Storage | None = None) -> AsyncGenerator[Cluster]:
    """Ready nodes and the namespaces shop, kube-system and kube-node-lease; controllers run."""
    storage = storage or Storage()
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
        task = group.create_task(run_controllers(storage, ca_pem="-----CA-----"))
        for name in ("shop", "kube-system", "kube-node-lease"):
            build.namespace(storage, name)
        for number in range(1, nodes + 1):
            build.node(storage, f"node-{number}")
        found = Cluster(storage)
        await found.settle()
        yield found
        task.cancel()
