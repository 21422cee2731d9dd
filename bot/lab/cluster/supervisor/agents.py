"""What it means for the lab's kernel state that a data plane pod runs: its process stands for the real agent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import structlog

from bot.lab.cluster.dataplane.base import DataPlane, Node
from bot.lab.cluster.dataplane.first_cilium import FirstCilium
from bot.lab.cluster.dataplane.policy_agent import PolicyAgents
from bot.lab.cluster.dataplane.two_overlays import TwoOverlays
from bot.lab.cluster.images.registry import repository
from bot.lab.cluster.proxy.kube_proxy import KubeProxies
from bot.lab.cluster.supervisor.host import HostError

log = structlog.get_logger()
_KUBE_PROXY: Final = "registry.k8s.io/kube-proxy"
_CILIUM_OPERATOR: Final = "quay.io/cilium/operator-generic"
_FLANNEL: Final = "ghcr.io/flannel-io/flannel"
_CNI_AGENTS: Final = ("calico/node", "quay.io/calico/node", "quay.io/cilium/cilium")


class Agents:
    """A restarted agent brings its node back to the CNI's invariants; a stopped kube-proxy lets rules go stale."""

    def __init__(self, plane: DataPlane, proxies: KubeProxies, policies: PolicyAgents) -> None:
        self._plane = plane
        self._installed = plane.cilium if isinstance(plane, TwoOverlays) else plane
        """Cilium, where somebody installs it in the running lab."""
        self._proxies = proxies
        self._policies = policies
        self._programmed: set[str] = set()

    async def started(self, node: Node, image: str, env: Mapping[str, str]) -> None:
        """A restarted CNI agent programs its node anew, as its environment says; kube-proxy begins to follow."""
        name = repository(image)
        if name == _KUBE_PROXY:
            self._proxies.start(node.name)
        if isinstance(self._installed, FirstCilium) and name == _CILIUM_OPERATOR:
            self._installed.operator_runs(is_so=True)
        if isinstance(self._plane, TwoOverlays) and name == _FLANNEL:
            await self._plane.flannel_started(node)
        if name in _CNI_AGENTS:
            is_changed = self._plane.configure(node, env)
            if is_changed or node.name in self._programmed or isinstance(self._installed, FirstCilium):
                await self._resync(node)
            self._programmed.add(node.name)

    async def _resync(self, node: Node) -> None:
        try:
            await self._plane.resync(node)
        except HostError as error:
            log.warning("agent.resync_failed", node=node.name, error=str(error))
        self._policies.rewrite(node.name)

    def stopped(self, node: Node, image: str) -> None:
        """The rules go stale."""
        name = repository(image)
        if name == _KUBE_PROXY:
            self._proxies.stop(node.name)
        if isinstance(self._installed, FirstCilium) and name == _CILIUM_OPERATOR:
            self._installed.operator_runs(is_so=False)
        elif isinstance(self._installed, FirstCilium) and name in _CNI_AGENTS:
            self._installed.stopped(node)
