"""Of a node's report: what its packet filters do for Services, and to what pods send outside."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRules:
    """How often a Service port's address stands in the node's packet filters, and the backends behind it."""

    name: str
    ip: str
    port: int
    protocol: Literal["tcp", "udp"]
    mentions: int = 0
    has_reject: bool = False
    backends: tuple[str, ...] = ()
    """"ip:port" DNAT targets reachable from its rules, at most 64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressNat:
    """Whether what a pod sends outside gets another source address on its node, by the rules of its packet filters."""

    pod: str
    """Its uid."""
    dst: str
    is_translated: bool | None = None
    """None: a rule may do it, whose conditions are not understood."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedFlow:
    """What somebody sends to an address that connection tracking translates, and to which one."""

    protocol: Literal["tcp", "udp"]
    src: str
    dst: str
    port: int
    to: str
    is_sent: bool = False
    """Packets of it were sent while we looked."""
