"""Keeps every node's policy table in step with NetworkPolicies, pods and namespaces: Felix's part, or kube-router's."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

import structlog

from bot.aio.groups import TaskGroup
from bot.lab.cluster.apiserver.store.storage import Storage
from bot.lab.cluster.dataplane.admin_match import RESOURCES
from bot.lab.cluster.dataplane.base import DataPlane, Node, nft
from bot.lab.cluster.dataplane.policy_match import Cluster, policy_pod
from bot.lab.cluster.dataplane.policy_rules import NAMINGS, render
from bot.lab.cluster.supervisor.host import HostError

log = structlog.get_logger()
_SETTLE_S: Final = 0.03
_POLICIES: Final = "networkpolicies.networking.k8s.io"
_DEFINITIONS: Final = "customresourcedefinitions.apiextensions.k8s.io"


class PolicyAgents:
    """One follower of the API, one rule writer per node."""

    def __init__(self, storage: Storage, plane: DataPlane, nodes: Sequence[Node]) -> None:
        self._storage = storage
        self._plane = plane
        self._nodes = nodes
        self._written: dict[str, str] = {}
        self._hung: set[str] = set()
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        async with TaskGroup() as group:
            for resource in (_POLICIES, "pods", "namespaces"):
                group.create_task(self._follow(resource))
            for resource in RESOURCES:
                group.create_task(self._follow_custom(resource))
            group.create_task(self._write())

    def rewrite(self, node: str) -> None:
        """The agent of this node has restarted: write even what has not changed."""
        self._written.pop(node, None)
        self._hung.discard(node)
        self._changed.set()

    def hang(self, node: str) -> None:
        """The agent of this node writes nothing any more, until it is restarted."""
        self._hung.add(node)

    async def _follow(self, resource: str) -> None:
        async for _ in self._storage.watch(resource):
            self._changed.set()

    async def _follow_custom(self, resource: str) -> None:
        """Follow it from when it is defined."""
        async for _ in self._storage.watch(_DEFINITIONS, fields=f"metadata.name={resource}"):
            if self._storage.is_served(resource):
                await self._follow(resource)

    async def _write(self) -> None:
        while True:
            await self._changed.wait()
            await asyncio.sleep(_SETTLE_S)
            self._changed.clear()
            for node in self._nodes:
                await self._sync(node)

    def is_settled(self) -> bool:
        """Has every node's table what the API says now, where the agent works?"""
        at_work = (node for node in self._nodes if node.name not in self._hung)
        return all(self._written.get(node.name, "") == self._script(node) for node in at_work)

    def _script(self, node: Node) -> str:
        """Empty when there is no policy and never was one."""
        policies = list(self._storage.peek(_POLICIES))
        admin = [one for each in RESOURCES if self._storage.is_served(each) for one in self._storage.peek(each)]
        if not policies and not admin and node.name not in self._written:
            return ""
        cluster = self._cluster()
        veths = {(one.namespace, one.name): one.veth for one in self._plane.pods[node.name].values()}
        local = {veths[pod.namespace, pod.name]: pod for pod in cluster.pods if (pod.namespace, pod.name) in veths}
        return render(NAMINGS[self._plane.cni], policies, cluster, local, admin)

    def _cluster(self) -> Cluster:
        pods = [policy_pod(pod) for pod in self._storage.peek("pods") if not pod["spec"].get("hostNetwork")]
        labels: dict[str, Mapping[str, str]] = {
            one["metadata"]["name"]: one["metadata"].get("labels") or {} for one in self._storage.peek("namespaces")
        }
        return Cluster(pods=[pod for pod in pods if pod.ip], namespaces=labels)

    async def _sync(self, node: Node) -> None:
        script = self._script(node)
        if node.name in self._hung or self._written.get(node.name, "") == script:
            return
        try:
            await node.host.steps([nft(script)])
        except HostError as error:
            log.warning("policy.sync_failed", node=node.name, error=str(error))
            return
        self._written[node.name] = script
