"""What a probe found: one sentence, its severity and the evidence behind it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Literal, get_args

from bot.domain.facts import Flow, Subject, Value

Hop = Literal["api", "pod", "gateway", "node", "overlay", "underlay", "policy", "service", "dns", "application"]
"""Where on the packet's way: from the API object that never became a pod, to the application that does not listen."""

HOPS: tuple[Hop, ...] = get_args(Hop)
"""In the order in which a packet meets them."""


class Severity(StrEnum):
    """How a probe grades what it saw."""

    PASS = "pass"  # noqa: S105 a grade
    INFO = "info"
    """Worth saying, harmless by itself."""
    WARN = "warn"
    FAIL = "fail"
    """Something does not work: it needs a cause."""
    INCONCLUSIVE = "inconclusive"
    """Could not be seen; `sentence` says why and what would help."""


class SymptomKind(StrEnum):
    """What does not work, in the words of someone who uses it."""

    POD_WITHOUT_NETWORK = "pod-without-network"
    """No sandbox or no address: the pod never got a network."""
    POD_LINK_DOWN = "pod-link-down"
    POD_NO_ROUTE = "pod-no-route"
    """The pod's own kernel refuses to send."""
    GATEWAY_SILENT = "gateway-silent"
    GATEWAY_LATE = "gateway-late"
    POD_SELF_UNREACHABLE = "pod-self-unreachable"
    """Processes of the pod do not reach each other: the packets never leave it."""
    POD_ISOLATED = "pod-isolated"
    """The gateway answers, yet the pod and its own node do not reach each other."""
    LOCAL_PODS_UNREACHABLE = "local-pods-unreachable"
    CROSS_NODE_UNREACHABLE = "cross-node-unreachable"
    """Pods of one node do not reach pods of another."""
    NODE_UNREACHABLE = "node-unreachable"
    """Node to node."""
    SERVICE_UNREACHABLE = "service-unreachable"
    ENDPOINT_UNREACHABLE = "endpoint-unreachable"
    DNS_FAILING = "dns-failing"
    LARGE_PACKETS_LOST = "large-packets-lost"
    OUTSIDE_UNREACHABLE = "outside-unreachable"
    ADDRESS_UNREACHABLE = "address-unreachable"
    """Dialled by configuration, and no Service is behind it: an address, or a port that a Service does not have."""
    NODE_NOT_READY = "node-not-ready"
    PODS_NOT_READY = "pods-not-ready"
    """Readiness fails; a consequence nearly always."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Symptom:
    """Something that does not work, and the flows that show it: what a cause must explain."""

    kind: SymptomKind
    subject: Subject
    hop: Hop
    """The first hop not proven good."""
    flows: tuple[Flow, ...] = ()
    """Empty: the subject itself is what fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One statement of a probe about one subject."""

    probe: str
    subject: Subject
    severity: Severity
    sentence: str
    """True, complete, in plain words; names and numbers included."""
    evidence: Mapping[str, Value] = field(default_factory=lambda: MappingProxyType({}))
    symptom: Symptom | None = None
    """Only with FAIL (or WARN): what needs a cause."""
