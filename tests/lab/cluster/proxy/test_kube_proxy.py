"""When a node's kube-proxy counts as stopped."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from bot.lab.cluster.apiserver.store.storage import Storage
from bot.lab.cluster.dataplane.base import Node
from bot.lab.cluster.proxy.kube_proxy import KubeProxies
from bot.lab.cluster.supervisor.host import Host


class SlowHost:
    """Takes rules, and holds them until it is told to go on."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.go_on = asyncio.Event()

    async def steps(self, _: Any) -> list[Any]:
        self.began.set()
        await self.go_on.wait()
        return []


async def test_one_that_still_writes_has_not_stopped() -> None:
    """Whoever removes its rules too early finds them back a moment later."""
    host = SlowHost()
    node = Node(index=1, name="node-1", ip="10.0.0.1", pod_cidr="10.42.1.0/24", host=cast("Host", host))
    proxies = KubeProxies(Storage(), [node])
    proxies.start(node.name)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        running = group.create_task(proxies.run())
        await host.began.wait()
        proxies.stop(node.name)
        was_running = proxies.is_running(node.name)
        host.go_on.set()
        while proxies.is_running(node.name):  # noqa: ASYNC110 - there is no event of it
            await asyncio.sleep(0)
        running.cancel()

    assert was_running
