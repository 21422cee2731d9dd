"""Which data planes there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bot.lab.cluster.dataplane.base import DataPlane
from bot.lab.cluster.dataplane.calico import Calico
from bot.lab.cluster.dataplane.cilium import Cilium
from bot.lab.cluster.dataplane.first_cilium import FirstCilium
from bot.lab.cluster.dataplane.flannel import Flannel
from bot.lab.cluster.dataplane.two_overlays import TwoOverlays
from bot.lab.cluster.names import BARE, KUBEADM


def make_plane(cni: str) -> DataPlane:
    """A fresh data plane by the CNI's name; raises KeyError."""
    made: Mapping[str, Callable[[], DataPlane]] = {
        "calico-vxlan": Calico,
        "flannel-vxlan": Flannel,
        "cilium-tunnel": Cilium,
        BARE: FirstCilium,
        KUBEADM: TwoOverlays,
    }
    return made[cni]()
