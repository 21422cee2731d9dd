"""Of a pod's report: its gateway's ARP, the kernel's routes, its /etc/hosts, and whether it reaches itself."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ArpResult:
    """ARP requests for a pod's gateway, sent from the pod's interface."""

    ip: str
    dev: str
    answers_ms: tuple[float | None, ...]
    """One for each request in order, None where no answer came within `waited_s`."""
    macs: tuple[str, ...] = ()
    """The distinct MAC addresses that answered."""
    waited_s: float = 1.0
    error: str = ""
    """Why requests could not be sent: ENETDOWN, ENODEV, …; "" when all were."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteAnswer:
    """What the kernel answers to one route question (RTM_GETROUTE)."""

    question: str
    """As one would type it: "169.254.1.1 from 10.42.0.3 iif cali1"."""
    errno: str = ""
    """"" when a route was found, else ENETUNREACH, EHOSTUNREACH, EINVAL, EACCES, …"""
    type: str = ""
    """unicast, local, blackhole, unreachable, …"""
    via: str = ""
    dev: str = ""
    src: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostsLine:
    """A line of /etc/hosts."""

    ip: str
    names: tuple[str, ...]
    """In small letters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTest:
    """A connection inside a pod, to a port on which it listens itself."""

    ip: str
    port: int
    outcome: str
    """As that of a `Test`; "reset" and a refusal without an ICMP message say that packets pass."""
    icmp: str = ""
