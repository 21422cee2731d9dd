"""Each node's end of the overlay: what it declares in the API, and what its kernel holds.

Declarations: Flannel writes its tunnel's MAC address and the node's public address into annotations, Calico the
node's address and the tunnel's, Cilium its router's address into CiliumNode objects. Every peer's neighbour and FDB
tables must agree with them.

Source: https://github.com/flannel-io/flannel/blob/master/pkg/subnet/kube/annotations.go
Source: https://github.com/projectcalico/calico/blob/master/libcalico-go/lib/backend/k8s/resources/node.go
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_interface
from typing import Any, cast

from bot.agent.report import FdbEntry, Link, Neighbour
from bot.cluster.objects import Node
from bot.probes.engine.evidence import Evidence
from bot.probes.policy.selectors import address, network
from bot.probes.shared.address_ranges import blocks_by_node, text
from bot.probes.shared.encapsulation import encapsulation_of
from bot.probes.shared.pod_views import NodeView, node_views
from bot.probes.shared.routing import RouteTable, first_address

FLANNEL = "flannel.alpha.coreos.com"
CALICO = "projectcalico.org"
_CILIUM_HOST = "network.cilium.io/ipv4-cilium-host"
_DEVICES: Mapping[tuple[str, str], str] = {
    ("calico", "vxlan"): r"vxlan\.calico",
    ("calico", "ipip"): r"tunl0",
    ("calico", "wireguard"): r"wireguard\.cali",
    ("flannel", "vxlan"): r"flannel\.\d+",
    ("flannel", "ipip"): r"flannel\.ipip",
    ("flannel", "wireguard"): r"flannel-wg",
    ("canal", "vxlan"): r"flannel\.\d+",
    ("canal", "wireguard"): r"flannel-wg",
    ("cilium", "vxlan"): r"cilium_vxlan",
    ("cilium", "geneve"): r"cilium_geneve",
}
"""The name of the tunnel's device, by CNI and encapsulation."""
_USUAL: Mapping[str, str] = {
    r"flannel\.\d+": "flannel.1",
    r"vxlan\.calico": "vxlan.calico",
    r"flannel\.ipip": "flannel.ipip",
    r"wireguard\.cali": "wireguard.cali",
}
MAX_POD_ADDRESSES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What a node says about its end of the overlay in the API; "" where it says nothing."""

    node_ip: str = ""
    """The address at which its peers shall send encapsulated packets to it."""
    vtep_ip: str = ""
    vtep_mac: str = ""
    addresses: frozenset[str] = frozenset()
    """All addresses of the Node object."""
    blocks: tuple[str, ...] = ()
    """Networks of its pods, else addresses of some pods."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What the kernel of a looked-at node holds."""

    root: NodeView
    device: Link | None
    routes: RouteTable
    neighbours: Mapping[str, Neighbour] = field(default_factory=dict[str, Neighbour])
    """On the overlay's device, by address."""
    fdb: Mapping[str, tuple[FdbEntry, ...]] = field(default_factory=dict[str, tuple[FdbEntry, ...]])
    """On the overlay's device, those that lead to a peer, by MAC address."""
    addresses: frozenset[str] = frozenset()
    """All addresses of the root namespace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlay:
    """The overlay of the cluster."""

    encapsulation: str
    device: str
    """The usual name of the tunnel's device, "" when not known."""
    declared: Mapping[str, Declared]
    held: Mapping[str, Held]
    macs: Mapping[str, str]
    """By node the MAC address that its tunnel should have: declared, else as most tables (its own included) say."""
    is_routed_by_device: bool
    """Some node routes to a peer's block over the device itself (and does not leave it to eBPF programs)."""
    is_routed_by_nodes: bool = False
    """Some node routes to a peer's block by that peer's own address: the fabric is not asked to know the way."""

    is_by_programs: bool = False
    """Cilium's eBPF programs lay it."""

    def is_external(self, held: Held) -> bool | None:
        """Whether eBPF programs choose the peer of each packet: the kernel's tables take no part in that.

        None when it is not known, for lack of a device.
        """
        device = held.device
        if device is None:
            return None if self.encapsulation == "unknown" else self.is_by_programs and self.encapsulation != "none"
        if device.vxlan_external is not None:
            return device.vxlan_external
        return device.name.startswith("cilium") and not held.fdb and not self.is_routed_by_device


def overlay_of(evidence: Evidence) -> Overlay:
    """Both sides of the overlay, for all nodes."""
    encapsulation = encapsulation_of(evidence)
    name = "cilium" if evidence.cni.runs_cilium else evidence.cni.name
    pattern = _DEVICES.get((name, encapsulation), "")
    blocks = blocks_by_node(evidence)
    pods = dict[str, tuple[str, ...]]() if blocks else _some_pods(evidence)
    held = {each: _held(root, pattern) for each, root in node_views(evidence).items()}
    writers = _writers(evidence, held)
    routers = {
        each.metadata.name: _cilium_router(each.spec)
        for each in evidence.snapshot.custom_objects.get("ciliumnodes", ())
    }
    declared = {
        each: _declared(node, blocks.get(each) or pods.get(each, ()), routers.get(each, ""), writers)
        for each, node in evidence.nodes.items()
    }
    if not pattern and encapsulation in {"unknown", "vxlan", "geneve"}:
        held = _most_common_device(held, "geneve" if encapsulation == "geneve" else "vxlan")
    names = Counter(each.device.name for each in held.values() if each.device)
    usual = names.most_common(1)[0][0] if names else _USUAL.get(pattern, pattern.replace("\\", ""))
    return Overlay(
        encapsulation=encapsulation,
        device=usual,
        declared=declared,
        held=held,
        macs=_macs(declared, held),
        is_routed_by_device=any(_routes_by_device(name, declared, held) for name in held),
        is_routed_by_nodes=any(routes_by_nodes(name, declared, held) for name in held),
        is_by_programs=evidence.cni.runs_cilium,
    )


# Declarations


def _writers(evidence: Evidence, held: Mapping[str, Held]) -> frozenset[str]:
    """Whose annotations hold: those of the CNI that runs. One that was replaced leaves its own on the nodes."""
    if evidence.cni.name == "unknown":
        devices = {name for each in held.values() for name in each.root.links}
        return frozenset(
            writer
            for writer, device in (("flannel", r"flannel[.-].*"), ("calico", r"(vxlan|wireguard)\.cali.*|cali.*|tunl0"))
            if any(re.fullmatch(device, name) for name in devices)
        )
    return frozenset({"calico", "flannel"} if evidence.cni.name == "canal" else {evidence.cni.name})


def _declared(node: Node, blocks: tuple[str, ...], cilium_ip: str, writers: frozenset[str]) -> Declared:
    written = {"flannel": FLANNEL, "calico": CALICO, "cilium": "network.cilium.io"}
    held_by = tuple(prefix for writer, prefix in written.items() if writer in writers)
    notes = {key: value for key, value in node.metadata.annotations.items() if key.startswith(held_by)}
    flannel = _flannel_data(notes.get(f"{FLANNEL}/backend-data", ""))
    is_flannel = f"{FLANNEL}/backend-type" in notes
    vtep = notes.get(f"{CALICO}/IPv4VXLANTunnelAddr", "") or cilium_ip or notes.get(_CILIUM_HOST, "")
    return Declared(
        node_ip=notes.get(f"{FLANNEL}/public-ip", "") if is_flannel else _ip(notes.get(f"{CALICO}/IPv4Address", "")),
        vtep_ip=(_first(node.spec.pod_cidr) if is_flannel else "") or vtep,
        vtep_mac=(flannel or notes.get(f"{CALICO}/VXLANTunnelMACAddr", "")).lower(),
        addresses=frozenset(each.address for each in node.status.addresses if address(each.address)),
        blocks=blocks,
    )


def _flannel_data(note: str) -> str:
    try:
        parsed: object = json.loads(note[:4096]) if note else None
    except (ValueError, RecursionError):
        return ""
    return text(cast("Mapping[str, Any]", parsed), "VtepMAC") if isinstance(parsed, dict) else ""


def _cilium_router(spec: Mapping[str, Any]) -> str:
    found = spec.get("addresses")
    for each in cast("list[object]", found) if isinstance(found, list) else ():
        if isinstance(each, dict) and text(cast("Mapping[str, Any]", each), "type") == "CiliumInternalIP":
            ip = text(cast("Mapping[str, Any]", each), "ip")
            if ":" not in ip:
                return ip
    return ""


def _ip(interface: str) -> str:
    try:
        return str(ip_interface(interface).ip) if interface else ""
    except ValueError:
        return ""


def _first(cidr: str) -> str:
    net = network(cidr) if cidr else None
    return str(net.network_address) if net and net.version == 4 else ""


def _some_pods(evidence: Evidence) -> Mapping[str, tuple[str, ...]]:
    """Addresses of a few pods of each node, for want of anything better."""
    found: dict[str, tuple[str, ...]] = {}
    for pod in evidence.pods.values():
        here = found.get(pod.spec.node_name, ())
        if pod.status.pod_ip and not pod.spec.host_network and len(here) < MAX_POD_ADDRESSES:
            found[pod.spec.node_name] = (*here, pod.status.pod_ip)
    return found


# Kernels


def _held(root: NodeView, pattern: str) -> Held:
    device = next((link for name, link in root.links.items() if pattern and re.fullmatch(pattern, name)), None)
    return _with_device(root, device)


def _with_device(root: NodeView, device: Link | None) -> Held:
    name = device.name if device else ""
    fdb: dict[str, tuple[FdbEntry, ...]] = {}
    entries: Iterable[FdbEntry] = (each for each in root.state.fdb if each.dev == name and each.dst)
    for each in entries:
        fdb[each.mac.lower()] = (*fdb.get(each.mac.lower(), ()), each)
    return Held(
        root=root,
        device=device,
        routes=RouteTable(root.state.routes),
        neighbours={each.ip: each for each in root.state.neighbours if each.dev == name},
        fdb=fdb,
        addresses=frozenset(each.ip for each in root.state.addresses),
    )


def _most_common_device(held: Mapping[str, Held], kind: str) -> Mapping[str, Held]:
    """For a CNI that is not known: the device of this kind that most nodes have."""
    names = Counter(link.name for each in held.values() for link in each.root.links.values() if link.kind == kind)
    if not names:
        return held
    usual = max(sorted(names), key=lambda name: names[name])
    return {name: _with_device(each.root, each.root.links.get(usual)) for name, each in held.items()}


def _macs(declared: Mapping[str, Declared], held: Mapping[str, Held]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for name, said in declared.items():
        own = held[name].device if name in held else None
        votes = [each.neighbours[said.vtep_ip].mac.lower() for each in held.values() if said.vtep_ip in each.neighbours]
        votes += [own.mac.lower()] if own else []
        counts = Counter(vote for vote in votes if vote)
        best = max(counts.values(), default=0)
        leading = [mac for mac in sorted(counts) if counts[mac] == best]
        tie_break = own.mac.lower() if own and own.mac.lower() in leading else next(iter(leading), "")
        found[name] = said.vtep_mac or tie_break
    return found


def routes_by_nodes(name: str, declared: Mapping[str, Declared], held: Mapping[str, Held]) -> bool:
    """Whether this node routes to any peer's block by that peer's own address."""
    for other, said in declared.items():
        for block in said.blocks if other != name else ():
            route = held[name].routes.lookup(first_address(block))
            if route and route.via and route.via in said.addresses:
                return True
    return False


def _routes_by_device(name: str, declared: Mapping[str, Declared], held: Mapping[str, Held]) -> bool:
    own = held[name]
    if own.device is None:
        return False
    blocks = (block for other, said in declared.items() if other != name for block in said.blocks)
    found = (own.routes.lookup(first_address(block)) for block in blocks)
    return any(route and route.dev == own.device.name for route in found)
