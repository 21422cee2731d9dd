"""Flows that something in the cluster needs: who dials what, and how we know."""

from dataclasses import dataclass
from typing import Literal

from bot.domain.facts import Subject

KnownBy = Literal["playbook", "environment", "arguments", "socket", "connection", "tracked", "probe", "dns", "api"]
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
    at_port: int = 0
    """As dialled, by another address than the Service's ClusterIP: its port there, or a node port; else 0."""
    protocol: Protocol = "TCP"
    family: Literal[4, 6] = 4
    known_by: KnownBy
    why: str
    """In words that follow the source: "names it in DATABASE_URL"."""
    is_waiting: bool = False
    """A connection was being tried without an answer while we looked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedAnswer:
    """A question in an application's own protocol that some pods ask of a Service, and what they should get."""

    application: str
    """"MLflow"."""
    service: Subject
    port: int
    sources: tuple[Subject, ...]
    why: str
    kind: Literal["http", "grpc", "dns"]
    path: str = "/"
    """HTTP: the path; gRPC: the service whose health is asked; DNS: the name."""
    tls: Literal["no", "yes", "either"] = "no"
    statuses: tuple[int, ...] = ()
    """HTTP: those that are right; without any, all below 500."""
    contains: str = ""
    """HTTP: a text at the beginning of a right answer."""
    must_serve: bool = False
    """gRPC: the peer must tell by grpc.health.v1 that it serves; else it is enough that it speaks gRPC."""
    addresses: tuple[str, ...] = ()
    """DNS: addresses of which a right answer has one; without any, every answer with an address is right."""

    @property
    def name(self) -> str:
        """The port as node agents name it: "namespace/service:port"."""
        return f"{self.service.name}:{self.port}"

    @property
    def question(self) -> str:
        """What is asked, in words."""
        match self.kind:
            case "http":
                return f"GET {self.path}"
            case "grpc":
                return f"a gRPC health check{f' of {self.path}' if self.path else ''}"
            case "dns":
                return f"the name {self.path}"
