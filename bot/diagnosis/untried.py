"""Needed flows that nobody tried: while there is one, nothing is known to be healthy.

Each node tries from a bounded number of pods. Where another pod of the same workload tried from the same node it
stands for all of them, and a node for those with its network; where none did, what a pod needs was not seen to work.
"""

from collections.abc import Iterator

from bot.domain.facts import Subject, SubjectKind
from bot.domain.flows import NeededFlow
from bot.probes.engine.evidence import Evidence
from bot.probes.services.backends import backends, has_cluster_ip
from bot.probes.services.dialled_ports import DialledPort, untried_ports
from bot.probes.services.host_clients import DIALLED_BY, place_of
from bot.probes.services.needed import needed_flows, plain_dials
from bot.probes.shared.reach import target_of


def untried_flows(evidence: Evidence) -> Iterator[NeededFlow]:
    """What running pods asked about need of Services with ready endpoints, and was not tried from their place."""
    scope = frozenset(evidence.scope_pods)
    tried = {
        (*_place(evidence, source), test.ip if test.purpose == "dial" else target_of(evidence, test), test.port)
        for source, _, test in evidence.tests
        if test.purpose in {"cluster-ip", "dial"} and test.outcome != "skipped"
        if source in evidence.pods or source.kind is SubjectKind.NODE
    }
    for flow in needed_flows(evidence):
        is_ours = flow.known_by in DIALLED_BY and flow.source in scope and _can_be_tried(evidence, flow)
        at = (flow.address, flow.at_port) if flow.at_port else (flow.target, flow.port)
        if is_ours and (*_place(evidence, flow.source), *at) not in tried:
            yield flow
    yield from untried_dials(evidence)
    for pod, ports in untried_ports(evidence).items():
        if evidence.pods[pod].status.phase == "Running":
            yield from (_dial(pod, each) for each in ports if (*_place(evidence, pod), each.ip, each.port) not in tried)


def untried_dials(evidence: Evidence) -> Iterator[NeededFlow]:
    """What pods that share their node's network dial without an answer, and their node was not asked to try yet."""
    tried = {(source, test.ip, test.port) for source, _, test in evidence.tests if test.purpose == "dial"}
    for pod, flows in plain_dials(evidence).items():
        place = place_of(evidence, pod)
        yield from (each for each in flows if each.is_waiting and (place, each.address, each.port) not in tried)


def _dial(pod: Subject, port: DialledPort) -> NeededFlow:
    """A Service that is dialled at a port which it does not have."""
    return NeededFlow(
        source=pod, target=port.service, address=port.ip, port=port.port, known_by="environment", why=port.named
    )


def _place(evidence: Evidence, pod: Subject) -> tuple[str, str]:
    """The pod's workload (itself, without one) and its node; the node alone where that is what sends."""
    sender = place_of(evidence, pod)
    if sender.kind is SubjectKind.NODE:
        return "", sender.name
    owners = evidence.pods[pod].metadata.owner_references
    return owners[0].uid if owners else pod.name, evidence.node_of(pod)


def _can_be_tried(evidence: Evidence, flow: NeededFlow) -> bool:
    pod, service = evidence.pods[flow.source], flow.target
    if service is None or service not in evidence.services or flow.protocol != "TCP":
        return False
    ready = any(each.is_ready and each.service_port == flow.port for each in backends(evidence, service))
    if flow.at_port and flow.family == 6:
        return False
    return ready and has_cluster_ip(evidence.services[service]) and pod.status.phase == "Running"
