"""The part of a node's report that tells what eBPF programs keep."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class CiliumDrop:
    """Packets that Cilium's programs dropped for one reason while the tests ran."""

    reason: int
    """Its number: 133 policy denied, 181 denied by a deny rule, 151 stale or unroutable address, …"""
    direction: str = ""
    """ingress or egress, as seen by the pod."""
    packets: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CiliumPeer:
    """What the ipcache says about one address."""

    ip: str
    identity: int | None = None
    """None: no entry, nor one for a network around it."""
    tunnel_end: str = ""
    """Where packets for it are tunnelled to; "" when they are not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CiliumTunnelEnd:
    """An address that packets are tunnelled to, and for whom."""

    ip: str
    entries: int
    prefixes: tuple[str, ...] = ()
    """At most 8 of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CiliumEndpoint:
    """A pod of this node (or the node itself) in the map by which programs deliver packets."""

    ip: str
    id: int = 0
    ifindex: int = 0
    """Of the pod's link on the node."""
    is_host: bool = False
    mac: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CiliumService:
    """A Service port in the map by which programs choose backends."""

    name: str
    ip: str
    port: int
    protocol: Literal["tcp", "udp"]
    is_known: bool = False
    count: int = 0
    """How many backends it has there."""
    backends: tuple[str, ...] = ()
    """"ip:port", with the state where that is not active; at most 64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BpfProgram:
    """A program that was attached somewhere, and whether it still is."""

    name: str
    place: str
    """A device's name, "endpoint ID", "cgroup"."""
    is_attached: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Cilium:
    """Cilium's data plane, as its pinned maps and links tell; None: not read, the reason is in `missing`."""

    heartbeat_age_s: float | None = None
    """Seconds since the agent last wrote that it lives (it does so every second)."""
    drops: tuple[CiliumDrop, ...] | None = None
    peers: tuple[CiliumPeer, ...] | None = None
    """The addresses that were tested."""
    tunnel_ends: tuple[CiliumTunnelEnd, ...] | None = None
    endpoints: tuple[CiliumEndpoint, ...] | None = None
    services: tuple[CiliumService, ...] | None = None
    programs: tuple[BpfProgram, ...] | None = None
