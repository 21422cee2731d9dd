"""Flows that something in the cluster needs: who dials what, and how we know."""

from dataclasses import dataclass
from typing import Literal

from bot.domain.facts import Subject

KnownBy = Literal["playbook", "environment", "arguments", "socket", "connection", "probe", "dns", "api"]
Protocol = Literal["TCP", "UDP", "SCTP"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NeededFlow:
    """A connection that its source makes for its own sake; what we try besides is an instrument."""

    source: Subject
    """A pod, or a node where its kubelet dials."""
    target: Subject | None
    """The Service or pod that is dialled; None for an address that is neither."""
    address: str = ""
    """As dialled; "" for a name that was not resolved."""
    name: str = ""
    """The host as the pod is configured to dial it, where that is a name: what its resolver has to find."""
    port: int
    protocol: Protocol = "TCP"
    family: Literal[4, 6] = 4
    known_by: KnownBy
    why: str
    """In words that follow the source: "names it in DATABASE_URL"."""
    is_waiting: bool = False
    """A connection was being tried without an answer while we looked."""
