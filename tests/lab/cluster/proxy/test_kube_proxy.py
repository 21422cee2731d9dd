"""When a node's kube-proxy counts as stopped."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from bot.lab.cluster.apiserver.store.storage import Storage
from bot.lab.cluster.dataplane.base import Node
from bot.lab.cluster.proxy.kube_proxy import KubeProxies
from bot.lab.cluster.supervisor.host import Host


class Recording:
    """Remembers the steps that it is to do."""

    def __init__(self) -> None:
        self.steps_done: list[Any] = []
        self.was_asked = asyncio.Event()

    async def steps(self, steps: Any) -> list[Any]:
        self.steps_done += steps
        self.was_asked.set()
        return []

    @property
    def forgotten(self) -> list[Any]:
        return [step["forget_udp"] for step in self.steps_done if "forget_udp" in step]


SERVICE: dict[str, Any] = {
    "metadata": {"name": "statsd"},
    "spec": {
        "clusterIP": "10.43.9.9",
        "ports": [
            {"name": "udp", "port": 8125, "protocol": "UDP"},
            {"name": "tcp", "port": 8126, "protocol": "TCP"},
        ],
    },
}
SLICE: dict[str, Any] = {
    "metadata": {"name": "statsd-1", "labels": {"kubernetes.io/service-name": "statsd"}},
    "addressType": "IPv4",
    "ports": [{"name": "udp", "port": 8125, "protocol": "UDP"}, {"name": "tcp", "port": 8126, "protocol": "TCP"}],
    "endpoints": [{"addresses": ["10.42.1.2"], "conditions": {"ready": True}}],
}


async def _synced(*, misses_cleanups: bool) -> list[Any]:
    """What kube-proxy deletes of connection tracking once it knows a Service with an endpoint."""
    storage, host = Storage(), Recording()
    storage.create("namespaces", {"metadata": {"name": "default"}})
    storage.create("services", SERVICE, namespace="default")
    storage.create("endpointslices.discovery.k8s.io", SLICE, namespace="default")
    node = Node(index=1, name="node-1", ip="10.0.0.1", pod_cidr="10.42.1.0/24", host=cast("Host", host))
    proxies = KubeProxies(storage, [node])
    if misses_cleanups:
        proxies.miss_cleanups(node.name)
    proxies.start(node.name)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        running = group.create_task(proxies.run())
        await host.was_asked.wait()
        running.cancel()
    return host.forgotten


async def test_udp_that_leads_to_former_endpoints_is_deleted_and_tcp_is_left_to_its_clients() -> None:
    assert await _synced(misses_cleanups=False) == [[{"ip": "10.43.9.9", "port": 8125, "backends": ["10.42.1.2"]}]]


async def test_a_kube_proxy_that_misses_the_change_deletes_nothing() -> None:
    assert await _synced(misses_cleanups=True) == []


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
