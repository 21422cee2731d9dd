"""Whether Calico's IPPools, as they stand in the API, give a node addresses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from bot.lab.cluster.apiserver.store.storage import Storage

_RESOURCE = "ippools.crd.projectcalico.org"
_TERM = re.compile(r"""\s*(?:(all)\(\)|(!?)has\(([^)]+)\)|([\w./-]+)\s*(==|!=)\s*['"]([^'"]*)['"])\s*""")


def refusal(storage: Storage, node: str) -> str:
    """The IPAM plugin's error, "" when a pool is enabled and selects the node."""
    pools = list(storage.peek(_RESOURCE)) if _is_served(storage) else []
    found: Mapping[str, Any] = storage.find("nodes", node) or {"metadata": {}}
    labels: Mapping[str, str] = found["metadata"].get("labels") or {}
    enabled = [one for one in pools if not one["spec"].get("disabled")]
    if pools and not any(selects(one["spec"].get("nodeSelector") or "all()", labels) for one in enabled):
        return f"failed to request IPv4 addresses: no configured Calico pools for node {node}"
    return ""


def _is_served(storage: Storage) -> bool:
    return storage.find("customresourcedefinitions.apiextensions.k8s.io", _RESOURCE) is not None


def selects(selector: str, labels: Mapping[str, str]) -> bool:
    """Calico's selector language, as far as pools use it: terms joined by ``&&``.

    Source: https://docs.tigera.io/calico/latest/reference/resources/networkpolicy#selectors
    """
    return all(_term(one, labels) for one in selector.split("&&"))


def _term(term: str, labels: Mapping[str, str]) -> bool:
    match = _TERM.fullmatch(term)
    if match is None:
        return False
    everything, negated, present, key, operator, value = match.groups()
    if everything:
        return True
    if present:
        return (present.strip() in labels) != bool(negated)
    return (labels.get(key) == value) == (operator == "==")
