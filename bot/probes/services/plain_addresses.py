"""What came of dialling addresses that no Service stands behind: an agent on the pod's node, a database outside, a pod.

A pod finds a node's agent by status.hostIP, and a machine outside by its address. No Service, no endpoint and no name
is on that way, so nothing else that is tried shows whether it works. For a pod that shares its node's network the node
dials, and other nodes show whether it is the address or the way from there that is dead.

Source: https://kubernetes.io/docs/concepts/workloads/pods/downward-api/ (status.hostIP)
Source: https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/#communicating-with-daemon-pods
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bot.domain import facts
from bot.domain.facts import Subject, SubjectKind
from bot.domain.flows import NeededFlow
from bot.probes.engine.evidence import Evidence
from bot.probes.engine.once import once_per_evidence
from bot.probes.policy.enforcement import enforces_policy
from bot.probes.policy.evaluation import by_rules
from bot.probes.services.host_clients import place_of
from bot.probes.services.needed import outside_dials, plain_dials
from bot.probes.shared.reach import aggregate, in_words, reach_of

_ANY = frozenset({"0.0.0.0", "::"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainDial:
    """One address that a pod is configured to dial, and what came of it."""

    flow: NeededFlow
    reach: str
    """From the pod, or from the node whose network it shares."""
    contrast: str | None
    """From the pod's node, or where it shares that node's network from other nodes; from the node of the pod that is
    dialled. None where nobody tried, or the address is the node's own."""
    permitted: Literal["yes", "no", "unknown"]
    policies: tuple[str, ...] = ()
    """Those that deny it."""

    @property
    def at(self) -> str:
        """Address and port."""
        return f"{self.flow.address}:{self.flow.port}"

    @property
    def words(self) -> str:
        """In words: "172.30.0.13:8126 was refused (its variable AGENT names 172.30.0.13:8126)"."""
        return f"{self.at} {in_words(self.reach)} ({self.flow.why})"


@once_per_evidence
def plain_addresses(evidence: Evidence) -> Mapping[Subject, Sequence[PlainDial]]:
    """By pod asked about what was tried of the addresses that it is configured to dial."""
    reaches: dict[tuple[str, int], dict[Subject, list[str | None]]] = {}
    for source, _, test in evidence.tests:
        if test.purpose == "dial":
            reaches.setdefault((test.ip, test.port), {}).setdefault(source, []).append(reach_of(test))
    found: dict[Subject, list[PlainDial]] = {}
    for pod, flows in plain_dials(evidence).items():
        for flow in flows:
            tried = reaches.get((flow.address, flow.port), {})
            reach = aggregate(tried.get(place_of(evidence, pod), ()))
            if reach and evidence.pods[pod].status.phase == "Running":
                found.setdefault(pod, []).append(_dial(evidence, pod, flow, reach, _contrast(evidence, flow, tried)))
    return found


def _contrast(
    evidence: Evidence, flow: NeededFlow, tried: Mapping[Subject, Sequence[str | None]]
) -> Iterator[str | None]:
    """What others got there who have another way, or a shorter one."""
    place, node = place_of(evidence, flow.source), facts.node(evidence.node_of(flow.source))
    if place == node:
        yield from (
            reach for source, of in tried.items() if source.kind is SubjectKind.NODE if source != place for reach in of
        )
    elif evidence.node_by_ip.get(flow.address) != node.name:
        yield from tried.get(node, ())


def _dial(evidence: Evidence, pod: Subject, flow: NeededFlow, reach: str, contrast: Iterator[str | None]) -> PlainDial:
    # A node's rules know a machine outside by its address.
    target = flow.target or facts.node(flow.address)
    is_enforced = enforces_policy(evidence) is not False
    allowed = by_rules(evidence, pod, target, flow.port, flow.protocol) if is_enforced else None
    return PlainDial(
        flow=flow,
        reach=reach,
        contrast=aggregate(contrast),
        permitted=allowed.verdict if allowed else "yes",
        policies=allowed.policies if allowed and allowed.verdict == "no" else (),
    )


@once_per_evidence
def outside_addresses_lost(evidence: Evidence) -> Mapping[Subject, Sequence[str]]:
    """By pod, in words, the addresses of Services other than ClusterIPs that it is configured to dial in vain."""
    tried: dict[tuple[Subject, str, int], list[str | None]] = {}
    for source, _, test in evidence.tests:
        if test.purpose == "dial":
            tried.setdefault((source, test.ip, test.port), []).append(reach_of(test))
    found: dict[Subject, list[str]] = {}
    for service, flows in outside_dials(evidence).items():
        for flow in flows:
            reach = aggregate(tried.get((place_of(evidence, flow.source), flow.address, flow.at_port), ()))
            if reach not in {None, "ok", "mixed"}:
                words = f"{flow.address}:{flow.at_port} of Service {service.name} {in_words(str(reach))}"
                found.setdefault(flow.source, []).append(words)
    return found


def serving_at(evidence: Evidence, node: str, port: int) -> Sequence[str] | None:
    """Who serves a port of a node, in words; none is empty, and None is not known.

    A hostPort is translated on its way in: no socket of the node shows it, but the pod's own manifest does.
    """
    report = evidence.reports.get(node)
    if report is None or report.root.listeners is None:
        return None
    pods = (evidence.pods[subject] for subject in evidence.pods_on(node))
    serving = [
        f"pod {pod.metadata.namespace}/{pod.metadata.name}"
        for pod in pods
        for container in pod.spec.containers
        for each in container.ports
        if each.host_port == port or (pod.spec.host_network and each.container_port == port)
    ]
    own = _ANY | {ip for ip, name in evidence.node_by_ip.items() if name == node}
    listening = any(each.port == port and each.ip in own for each in report.root.listeners)
    return tuple(dict.fromkeys(serving)) or (("a process of the node",) if listening else ())
