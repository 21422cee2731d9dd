"""What a Cilium agent reads when it starts: `cilium-config`, and what CiliumNodeConfigs say otherwise for its node.

Source: https://docs.cilium.io/en/stable/configuration/per-node-config/
"""

from __future__ import annotations

from collections.abc import Mapping

from bot.lab.cluster.apiserver.errors import ApiError
from bot.lab.cluster.apiserver.store.selectors import from_object, matches_labels
from bot.lab.cluster.apiserver.store.storage import Storage

_NAMESPACE = "kube-system"


def of(storage: Storage, node: str) -> Mapping[str, str]:
    """For an agent on this node; later names win."""
    found: dict[str, str] = dict((storage.find("configmaps", "cilium-config", _NAMESPACE) or {}).get("data") or {})
    labels = (storage.find("nodes", node) or {"metadata": {}})["metadata"].get("labels")
    try:
        configs = list(storage.peek("ciliumnodeconfigs.cilium.io", _NAMESPACE))
    except ApiError:
        return found
    for one in configs:
        if matches_labels(from_object(one["spec"].get("nodeSelector")), labels):
            found |= one["spec"].get("defaults") or {}
    return found
