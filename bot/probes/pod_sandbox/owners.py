"""Whose a CNI plugin is, and where a node's configuration names it: that decides who repairs it.

The plugin that fails need not be the cluster's CNI: a service mesh chains its own behind it, Multus calls others, and
the reference plugins (portmap, bandwidth, host-local) come with a package or with the CNI's install container.

Source: https://github.com/containernetworking/cni/blob/main/SPEC.md (network configuration lists)
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, cast

from bot.agent.report import CniFile

OWNERS = ("own", "reference", "meta", "foreign", "unknown")
_META = frozenset({"multus", "multus-shim", "genie", "danm"})
_REFERENCE = frozenset(
    {
        *("bandwidth", "bridge", "dhcp", "dummy", "firewall", "host-device", "host-local", "ipvlan", "loopback"),
        *("macvlan", "portmap", "ptp", "sbr", "static", "tap", "tuning", "vlan", "vrf"),
    }
)
"""What github.com/containernetworking/plugins builds."""
_OWN: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "calico": frozenset({"calico", "calico-ipam"}),
        "canal": frozenset({"calico", "calico-ipam", "flannel"}),
        "flannel": frozenset({"flannel"}),
        "cilium": frozenset({"cilium-cni"}),
        "gke-dataplane-v2": frozenset({"cilium-cni", "gke"}),
        "weave": frozenset({"weave-net", "weave-ipam"}),
        "antrea": frozenset({"antrea", "antrea-ipam"}),
        "aws-vpc-cni": frozenset({"aws-cni", "egress-cni", "egress-v4-cni", "vpc-branch-eni"}),
        "azure-cni": frozenset({"azure-vnet", "azure-vnet-ipam", "azure-ipam", "azure-cns"}),
        "ovn-kubernetes": frozenset({"ovn-k8s-cni-overlay"}),
        "kube-ovn": frozenset({"kube-ovn"}),
        "kube-router": frozenset({"kube-router"}),
    }
)
_FOLDERS: Mapping[str, str] = MappingProxyType(
    {
        "k3s": "/var/lib/rancher/k3s/agent/etc/cni/net.d",
        "rke2": "/etc/cni/net.d",
        "microk8s": "/var/snap/microk8s/current/args/cni-network",
    }
)
_FOLDER = "/etc/cni/net.d"


@dataclass(frozen=True, slots=True)
class Entry:
    """A plugin's place in a node's configuration."""

    path: str
    is_first: bool
    """It makes the interface; the others are chained behind it."""
    kubeconfig: str = ""


def owner_of(plugin: str, cni: str) -> str:
    """Whose plugin this is in a cluster with this CNI: "own", "reference", "meta", "foreign", "unknown"."""
    if not plugin:
        return "unknown"
    if plugin in _META:
        return "meta"
    if plugin in _REFERENCE:
        return "reference"
    if cni not in _OWN:
        return "own" if any(plugin in names for names in _OWN.values()) else "unknown"
    return "own" if plugin in _OWN[cni] else "foreign"


def folder_of(distribution: str) -> str:
    """Where the runtime of a distribution reads its configuration from."""
    return _FOLDERS.get(distribution, _FOLDER)


def entry_of(plugin: str, files: tuple[CniFile, ...]) -> Entry | None:
    """Where a node's configuration names the plugin, in the runtime's order; None when it does nowhere."""
    for each in sorted(files, key=lambda one: one.path):
        for number, part in enumerate(_parts(each.text)):
            if plugin in {part.get("type"), _dict(part.get("ipam")).get("type")}:
                return Entry(each.path, is_first=number == 0, kubeconfig=_kubeconfig(part))
        if plugin in each.plugins:
            return Entry(each.path, is_first=each.plugins[0] == plugin)
    return None


def _kubeconfig(part: Mapping[str, Any]) -> str:
    named = part.get("kubeconfig") or _dict(part.get("kubernetes")).get("kubeconfig")
    return str(named)[:120] if isinstance(named, str) else ""


def _parts(text: str) -> Iterator[Mapping[str, Any]]:
    try:
        document = _dict(json.loads(text))
    except (ValueError, RecursionError):
        return
    listed = document.get("plugins", document.get("delegates"))
    for part in cast("list[object]", listed) if isinstance(listed, list) else [document]:
        yield _dict(part)


def _dict(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}
