"""What happens in a lab where somebody installs Cilium as its chart lays it: as the first CNI, or beside another.

An agent does what its configuration says when it starts (`cilium-config`, and what CiliumNodeConfigs that select its
node say otherwise), and not before the operator has made the custom resources and given the node its block; blocks go
to nodes in the order in which they ask. An agent that writes its CNI configuration does so when its data plane stands.
From then on until it has ended it writes the file again as soon as it is gone, and renames that of another CNI as soon
as it is there (here within a tenth of a second, the real one within a millisecond). The file outlives the agent, as do
links and CiliumNodes.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from ipaddress import ip_network
from typing import Final

from bot.lab.cluster.dataplane.base import Node, PodNetwork
from bot.lab.cluster.dataplane.cilium import CONFIGURATION, Cilium
from bot.lab.cluster.dataplane.ipam import Range
from bot.lab.cluster.names import Json
from bot.lab.cluster.supervisor.host import HostError, Sandbox

_LOOK_S: Final = 0.1
_IN_AGENT: Final = "/host/etc/cni/net.d/05-cilium.conflist"


class FirstCilium(Cilium):
    """See `bot.lab.cluster.dataplane.base.DataPlane`."""

    def __init__(self, *, others: Sequence[str] = ()) -> None:
        super().__init__()
        self.config: Callable[[str], Mapping[str, str]] = lambda _: {}
        """What an agent reads that starts on this node now."""
        self._others = others
        """Configuration files of other CNIs."""
        self._agents: dict[str, Node] = {}
        """The nodes whose agent runs and has programmed them."""
        self._managing: set[str] = set()
        """Those whose agent keeps the CNI configuration."""
        self._pods_of_agents: dict[str, str] = {}
        self._left_over: set[str] = set()
        """Uids of pods that ended without their CNI DEL: the agent keeps them until it starts again."""
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
        """Nothing before somebody installs it."""
        self.pods = {node.name: {} for node in nodes}

    def configure(self, node: Node, env: Mapping[str, str]) -> bool:
        """Remember which pod is the node's agent."""
        self._pods_of_agents[node.name] = env.get("HOSTNAME", "")
        return False

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
        config = self.config(node.name)
        self.pod_range = config["cluster-pool-ipv4-cidr"]
        self.port = int(config["tunnel-port"])
        own = self._with_block(node, int(config.get("cluster-pool-ipv4-mask-size", "24")))
        self._forget_left_over(node.name)
        self._agents[node.name] = own
        await super().resync(own)
        for peer in self._agents.values():
            await peer.host.steps(self._peer_steps(peer))
        is_managing = config.get("custom-cni-conf") != "true"
        if is_managing:
            self._managing.add(node.name)
            await self._take_over(own)
        await own.host.steps([{"write": self._status(node, is_managing=is_managing)}])

    def _status(self, node: Node, *, is_managing: bool) -> Mapping[str, str]:
        """What this agent answers to ``cilium-dbg status -o json``."""
        written = f"successfully wrote CNI configuration file to {_IN_AGENT}"
        file = {"state": "Disabled", "msg": "CNI configuration management disabled"}
        if is_managing:
            file = {"state": "Ok", "msg": written}
        status = {"cni-file": file, "routing": {"inter-host-routing-mode": "Tunnel"}}
        return {f"/run/cilium/state/{self._pods_of_agents.get(node.name)}.json": json.dumps(status)}

    async def _take_over(self, node: Node) -> None:
        """Its own configuration is there, and no other."""
        away = [{"argv": ["mv", path, f"{path}.cilium_bak"], "may_fail": True} for path in self._others]
        await node.host.steps([{"write": dict(super().node_files(node.name))}, *away])

    def stopped(self, node: Node) -> None:
        """The agent has ended. What it has made stays."""
        self._agents.pop(node.name, None)
        self._managing.discard(node.name)

    def _with_block(self, node: Node, size: int) -> Node:
        """The node with its block of the pool: the one it has, or the next."""
        if node.name not in self._nodes:
            blocks = ip_network(self.pod_range).subnets(new_prefix=size)
            taken = {one.pod_cidr for one in self._nodes.values()}
            block = next(str(one) for one in blocks if str(one) not in taken)
            self._nodes[node.name] = replace(node, pod_cidr=block)
            self._ranges[node.name] = Range(block, reserved=2)
        return self._nodes[node.name]

    async def run(self) -> None:
        """Until cancelled: agents keep their configuration, and no other, where it is."""
        while True:
            await asyncio.sleep(_LOOK_S)
            for node in [self._agents[name] for name in self._managing]:
                missing = await node.host.missing([CONFIGURATION, *self._others])
                if missing != [*self._others] and node.name in self._managing:
                    await self._take_over(node)

    async def add_pod(self, node: Node, pod: Json, sandbox: Sandbox) -> PodNetwork:
        """CNI ADD: the plugin asks the agent for an address."""
        if node.name not in self._agents:
            raise HostError("unable to connect to Cilium agent: dial unix /var/run/cilium/cilium.sock: no such file")
        return await super().add_pod(self._nodes[node.name], pod, sandbox)

    def leave(self, network: PodNetwork) -> None:
        """The pod has ended, and CNI DEL went to another CNI: its address and its endpoint stay."""
        self._left_over.add(network.uid)

    def _forget_left_over(self, node: str) -> None:
        for uid in self._left_over & self.pods[node].keys():
            self._ranges[node].give_back(self.pods[node].pop(uid).ip)
            self._left_over.discard(uid)

    def custom_definitions(self) -> Iterable[Json]:
        """The operator makes them, and nobody takes them away."""
        return super().custom_definitions() if self._was_installed else ()
