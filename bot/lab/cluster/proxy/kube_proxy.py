"""One kube-proxy per node: it writes rules when Services or their endpoints change, and only then."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

import structlog

from bot.aio.groups import TaskGroup
from bot.lab.cluster.apiserver.store.storage import Storage
from bot.lab.cluster.dataplane.base import Node, nft
from bot.lab.cluster.names import Json
from bot.lab.cluster.proxy.ruleset import ServicePort, render, service_ports
from bot.lab.cluster.supervisor.host import HostError

log = structlog.get_logger()
_SETTLE_S: Final = 0.03
"""Changes that come together are written together."""
_WRITE_S: Final = 10.0
_RESOURCES: Final = ("services", "endpointslices.discovery.k8s.io")


class KubeProxies:
    """All nodes' proxies: one follower of the API, one rule writer per node."""

    def __init__(self, storage: Storage, nodes: Iterable[Node]) -> None:
        self._storage = storage
        self._nodes = {node.name: node for node in nodes}
        self._running: set[str] = set()
        self._writing: set[str] = set()
        self._written: dict[str, str] = {}
        self._missing_cleanups: set[str] = set()
        self._changed = asyncio.Event()

    def start(self, node: str) -> None:
        """Begin to follow; the first sync rewrites everything, as after a restart."""
        self._running.add(node)
        self._written.pop(node, None)
        self._changed.set()

    async def restart(self, node: str) -> None:
        """Start anew and return when the rules are written; raises TimeoutError."""
        self.start(node)
        async with asyncio.timeout(_WRITE_S):
            while node not in self._written:  # noqa: ASYNC110 - only faults wait for this
                await asyncio.sleep(_SETTLE_S)

    def stop(self, node: str) -> None:
        """The rules go stale; what is being written is still written (`is_running`)."""
        self._running.discard(node)

    def is_running(self, node: str) -> bool:
        """Does the node's proxy follow changes, or still write the last ones?"""
        return node in self._running or node in self._writing

    async def run(self) -> None:
        """Until cancelled."""
        async with TaskGroup() as group:
            for resource in _RESOURCES:
                group.create_task(self._follow(resource))
            group.create_task(self._write())

    def miss_cleanups(self, node: str) -> None:
        """From now on what connection tracking keeps on former endpoints stays, as with an entry that is missed."""
        self._missing_cleanups.add(node)

    def make_cleanups(self, node: str) -> None:
        """The way back."""
        self._missing_cleanups.discard(node)

    def _cleanup(self, node: str, ports: Sequence[ServicePort]) -> list[Json]:
        """The step that deletes UDP entries of Services that lead to none of their endpoints."""
        if node in self._missing_cleanups:
            return []
        found = [
            {
                "ip": ip,
                "port": port.port,
                "backends": sorted({one.ip for one in (*port.endpoints, *port.all_endpoints)}),
            }
            for port in ports
            if port.protocol == "udp"
            for ip in (port.cluster_ip, *port.external_ips)
        ]
        return [{"forget_udp": found}] if found else []

    async def _follow(self, resource: str) -> None:
        async for _ in self._storage.watch(resource):
            self._changed.set()

    async def _write(self) -> None:
        while True:
            await self._changed.wait()
            await asyncio.sleep(_SETTLE_S)
            self._changed.clear()
            async with TaskGroup() as group:
                for name in sorted(self._running):
                    group.create_task(self._sync(self._nodes[name]))

    def is_settled(self) -> bool:
        """Has every running proxy written what the API says now?"""
        return all(self._written.get(name) == self._script(name) for name in self._running)

    def _ports(self, node: str) -> list[ServicePort]:
        services, slices = (list(self._storage.peek(resource)) for resource in _RESOURCES)
        return service_ports(services, slices, node)

    def _script(self, node: str) -> str:
        return render(self._ports(node))

    async def _sync(self, node: Node) -> None:
        ports = self._ports(node.name)
        script = render(ports)
        if self._written.get(node.name) == script:
            return
        self._writing.add(node.name)
        try:
            await node.host.steps([nft(script), *self._cleanup(node.name, ports)])
        except HostError as error:
            log.warning("kube_proxy.sync_failed", node=node.name, error=str(error))
            return
        finally:
            self._writing.discard(node.name)
        self._written[node.name] = script
