"""A cluster as kubeadm makes it, with flannel in pods, and what happens there when somebody brings Cilium beside it.

As it was measured on real nodes: the container runtime takes the first configuration of its directory, for CNI ADD and
for CNI DEL alike, so a pod that ends under the other CNI's configuration leaves its address (flannel's reservation,
Cilium's endpoint) behind; a pod keeps its network until it is made again; a flannel pod that starts writes flannel's
configuration anew; in every mixture of old and new pods each reaches each, masqueraded between the two.

What differs: flannel in pods enforces no NetworkPolicy, here those of a lab are enforced throughout.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from bot.lab.cluster.dataplane.base import Node, PodNetwork
from bot.lab.cluster.dataplane.cilium import CONFIGURATION
from bot.lab.cluster.dataplane.first_cilium import FirstCilium
from bot.lab.cluster.dataplane.flannel import Flannel, conflist, subnet_env
from bot.lab.cluster.names import Cni, Json, node_pod_cidr
from bot.lab.cluster.supervisor.host import Sandbox

FLANNEL_CONFIGURATION: Final = "/etc/cni/net.d/10-flannel.conflist"
_BIN: Final = "/opt/cni/bin"


class PodFlannel(Flannel):
    """Flannel where its DaemonSet's pods put it."""

    def node_files(self, name: str) -> Mapping[str, str]:
        """What its init containers and its agent leave."""
        pod_cidr = node_pod_cidr(int(name.rpartition("-")[2]) - 1)
        plugins = ("bandwidth", "bridge", "flannel", "host-local", "loopback", "portmap")
        return {
            FLANNEL_CONFIGURATION: conflist(),
            "/run/flannel/subnet.env": subnet_env(pod_cidr),
            **{f"{_BIN}/{plugin}": "" for plugin in plugins},
        }

    def configurations(self) -> tuple[str, ...]:
        """Written by an init container."""
        return (FLANNEL_CONFIGURATION,)

    def requirements(self, configuration: str) -> Mapping[str, str]:
        """Plugins, and what flanneld leaves for them."""
        words = {path: error for path, error in super().requirements(configuration).items() if "/cni/" not in path}
        return {
            f"{_BIN}/{name}": f'failed to find plugin "{name}" in path [{_BIN}]'
            for name in ("flannel", "bridge", "host-local")
        } | words

    def node_metadata(self, node: Node) -> Json:
        """Flannel's annotations alone."""
        found: Mapping[str, str] = super().node_metadata(node)["annotations"]
        return {"annotations": {key: value for key, value in found.items() if key.startswith("flannel.")}}


class TwoOverlays:
    """See `bot.lab.cluster.dataplane.base.DataPlane`."""

    cni: Cni = "flannel-vxlan"

    def __init__(self) -> None:
        self.flannel = PodFlannel()
        self.cilium = FirstCilium(others=(FLANNEL_CONFIGURATION,))

    @property
    def pods(self) -> Mapping[str, Mapping[str, PodNetwork]]:
        """Of both."""
        return {node: {**pods, **self.cilium.pods[node]} for node, pods in self.flannel.pods.items()}

    def node_files(self, name: str) -> Mapping[str, str]:
        """Flannel's."""
        return self.flannel.node_files(name)

    def configurations(self) -> tuple[str, ...]:
        """Sorted by their names, as the container runtime reads them."""
        return (CONFIGURATION, FLANNEL_CONFIGURATION)

    def requirements(self, configuration: str) -> Mapping[str, str]:
        """Of the CNI whose configuration is in force."""
        maker = self.cilium if configuration == CONFIGURATION else self.flannel
        return maker.requirements(configuration)

    def node_metadata(self, node: Node) -> Json:
        """Flannel's."""
        return self.flannel.node_metadata(node)

    async def start(self, nodes: Sequence[Node]) -> None:
        """Flannel is there from the beginning."""
        await self.flannel.start(nodes)
        await self.cilium.start(nodes)

    def configure(self, node: Node, env: Mapping[str, str]) -> bool:
        """Of Cilium's agent."""
        return self.cilium.configure(node, env)

    async def resync(self, node: Node) -> None:
        """Cilium's agent starts."""
        await self.cilium.resync(node)

    async def flannel_started(self, node: Node) -> None:
        """A pod of flannel's starts: an init container writes its configuration."""
        await node.host.steps([{"write": {FLANNEL_CONFIGURATION: conflist()}}])

    async def _is_cilium(self, node: Node) -> bool:
        return not await node.host.missing([CONFIGURATION])

    async def add_pod(self, node: Node, pod: Json, sandbox: Sandbox) -> PodNetwork:
        """CNI ADD, by the configuration that is in force."""
        maker = self.cilium if await self._is_cilium(node) else self.flannel
        return await maker.add_pod(node, pod, sandbox)

    async def delete_pod(self, node: Node, network: PodNetwork) -> None:
        """CNI DEL, by the configuration that is in force now, whoever made the pod's network."""
        is_new = network.uid in self.cilium.pods[node.name]
        if await self._is_cilium(node):
            if is_new:
                await self.cilium.delete_pod(node, network)
            else:
                self.flannel.pods[node.name].pop(network.uid, None)  # its reservation stays
        elif is_new:
            self.cilium.leave(network)
        else:
            await self.flannel.delete_pod(node, network)

    def custom_definitions(self) -> Iterable[Json]:
        """Cilium's."""
        return self.cilium.custom_definitions()

    def custom_objects(self) -> Iterable[tuple[str, Json]]:
        """Cilium's."""
        return self.cilium.custom_objects()
