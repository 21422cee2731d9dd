"""What another CNI has left on a node: devices, and chains of packet filters.

Source: https://docs.k3s.io/networking/basic-network-options#migrating-from-flannel (what switching CNIs leaves)
Source: https://github.com/k3s-io/k3s/issues/7244 (KUBE-ROUTER and KUBE-POD-FW chains that stay and drop)
"""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from bot.agent.report import NetnsState

_DEVICES: Mapping[str, re.Pattern[str]] = MappingProxyType(
    {
        "flannel": re.compile(r"flannel\.\d+|flannel-wg|flannel-v6\.\d+|cni0"),
        "calico": re.compile(r"vxlan\.calico|vxlan-v6\.calico|tunl0|wireguard\.cali|cali[0-9a-f]{11}"),
        "cilium": re.compile(r"cilium_\w+|lxc[0-9a-f]{6,}|lxc_health"),
        "weave": re.compile(r"weave|vxlan-6784|vethwe-\w+"),
        "kube-router": re.compile(r"kube-bridge|tun-[0-9a-f]+"),
        "antrea": re.compile(r"antrea-\w+"),
        "kube-ovn": re.compile(r"ovn0"),
    }
)
_CHAINS: Mapping[str, re.Pattern[str]] = MappingProxyType(
    {
        "flannel": re.compile(r"FLANNEL-"),
        "calico": re.compile(r"cali-"),
        "cilium": re.compile(r"(OLD_)?CILIUM_"),
        "weave": re.compile(r"WEAVE"),
        "kube-router": re.compile(r"KUBE-ROUTER|KUBE-NWPLCY|KUBE-POD-FW"),
        "antrea": re.compile(r"ANTREA-"),
    }
)
_OWN: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "canal": frozenset({"calico", "flannel"}),
        "flannel": frozenset({"flannel", "kube-router"}),  # K3s enforces policies by kube-router's controller
        "gke-dataplane-v2": frozenset({"cilium"}),
        "aws-vpc-cni": frozenset({"calico"}),
        "azure-cni": frozenset({"calico", "cilium"}),
        "unknown": frozenset(_DEVICES),
    }
)
"""Whose devices and chains each CNI has by right."""
MAX_NAMED = 20


def leftovers(cni: str, root: NetnsState) -> Iterator[str]:
    """Names of devices and chains (each kind once) that this CNI does not make. An idle tunl0 is the kernel's own."""
    own = _OWN.get(cni, frozenset({cni}))
    found: dict[str, None] = {}
    for link in root.links:
        for owner, pattern in _DEVICES.items():
            if owner not in own and pattern.fullmatch(link.name) and not (link.name == "tunl0" and not link.is_up):
                found[_shortened(link.name)] = None
    for chain in root.firewall.foreign_chains if root.firewall else ():
        for owner, pattern in _CHAINS.items():
            match = pattern.match(chain)
            if owner not in own and match:
                found[f"{match[0]}* chains"] = None
    yield from list(found)[:MAX_NAMED]


def _shortened(name: str) -> str:
    """One name for the many links of pods: "cali*"."""
    many = re.fullmatch(r"(cali|lxc|tun-|vethwe-)[0-9a-f]{3,}\w*", name)
    return f"{many[1]}*" if many else name
