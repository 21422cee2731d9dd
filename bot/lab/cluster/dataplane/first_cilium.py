"""A cluster without a CNI, and what happens there when somebody installs Cilium as its chart lays it.

The agents do what their ConfigMap says when they start, and not before the operator has made the custom resources and
given the node its block; blocks go to nodes in the order in which they ask. An agent writes its CNI configuration when
its data plane stands, and again at once when the file is gone; the file outlives the agent, as do links and
CiliumNodes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from ipaddress import ip_network
from typing import Final

from bot.lab.cluster.dataplane.base import Node, PodNetwork
from bot.lab.cluster.dataplane.cilium import Cilium
from bot.lab.cluster.dataplane.ipam import Range
from bot.lab.cluster.names import Json
from bot.lab.cluster.supervisor.host import HostError, Sandbox

_LOOK_S: Final = 0.1


class FirstCilium(Cilium):
    """See `bot.lab.cluster.dataplane.base.DataPlane`."""

    def __init__(self) -> None:
        super().__init__()
        self.config: Callable[[], Mapping[str, str]] = dict
        """What `cilium-config` holds now."""
        self._hosts: dict[str, Node] = {}
        self._agents: dict[str, Node] = {}
        """The nodes whose agent runs and has programmed them."""
        self._operator = asyncio.Event()
        self._was_installed = False

    def node_files(self, name: str) -> Mapping[str, str]:
        """Nothing of a CNI's."""
        del name
        return {}

    def node_metadata(self, node: Node) -> Json:
        """Nothing of a CNI's."""
        del node
        return {}

    async def start(self, nodes: Sequence[Node]) -> None:
        """Only remember them."""
        self._hosts = {node.name: node for node in nodes}
        self.pods = {node.name: {} for node in nodes}

    def operator_runs(self, *, is_so: bool) -> None:
        """Its operator has started, or has ended."""
        if is_so:
            self._was_installed = True
            self._operator.set()
        else:
            self._operator.clear()

    async def resync(self, node: Node) -> None:
        """An agent starts on the node."""
        await self._operator.wait()
        self.pod_range = self.config()["cluster-pool-ipv4-cidr"]
        self.port = int(self.config()["tunnel-port"])
        self._agents[node.name] = own = self._with_block(node)
        await super().resync(own)
        for peer in self._agents.values():
            await peer.host.steps(self._peer_steps(peer))
        if self.config().get("custom-cni-conf") != "true":
            await own.host.steps([{"write": dict(super().node_files(node.name))}])

    def stopped(self, node: Node) -> None:
        """The agent has ended. What it has made stays."""
        self._agents.pop(node.name, None)

    def _with_block(self, node: Node) -> Node:
        """The node with its block of the pool: the one it has, or the next."""
        if node.name not in self._nodes:
            size = int(self.config().get("cluster-pool-ipv4-mask-size", "24"))
            blocks = ip_network(self.pod_range).subnets(new_prefix=size)
            taken = {one.pod_cidr for one in self._nodes.values()}
            block = next(str(one) for one in blocks if str(one) not in taken)
            self._nodes[node.name] = replace(node, pod_cidr=block)
            self._ranges[node.name] = Range(block, reserved=2)
        return self._nodes[node.name]

    async def run(self) -> None:
        """Until cancelled: agents keep their configuration where it is."""
        while True:
            await asyncio.sleep(_LOOK_S)
            for name, node in list(self._agents.items()):
                if await node.host.missing([self.configuration()]) and name in self._agents:
                    await node.host.steps([{"write": dict(super().node_files(name))}])

    async def add_pod(self, node: Node, pod: Json, sandbox: Sandbox) -> PodNetwork:
        """CNI ADD: the plugin asks the agent for an address."""
        if node.name not in self._agents:
            raise HostError("unable to connect to Cilium agent: dial unix /var/run/cilium/cilium.sock: no such file")
        return await super().add_pod(self._nodes[node.name], pod, sandbox)

    def custom_definitions(self) -> Iterable[Json]:
        """The operator makes them, and nobody takes them away."""
        return super().custom_definitions() if self._was_installed else ()
