"""Clients that use their node's network, and policies that name clients by labels.

What a pod with hostNetwork sends comes from its node's address (from that of the tunnel, between nodes), and most CNIs
take it for the node's: no podSelector and no namespaceSelector takes it. The API leaves open whether they do, so it is
a fault only where the node of such a client gets no answer.

Source: https://kubernetes.io/docs/concepts/services-networking/network-policies/#networkpolicy-and-hostnetwork-pods
"""

from collections.abc import Iterator, Sequence

from bot.domain import facts
from bot.domain.facts import FactBuilder, Subject, SubjectKind
from bot.domain.flows import NeededFlow
from bot.probes.engine.evidence import Evidence
from bot.probes.network_policies.clients import ends_of, needed_by_service
from bot.probes.policy.enforcement import allowed
from bot.probes.services.attempts import asked_of_dns_services, tests_by_service
from bot.probes.shared.reach import aggregate, in_words

MAX_NAMED = 6


def observe_host_clients(evidence: Evidence, into: FactBuilder) -> None:
    """By Service who of them is left out, and by which policies."""
    needed = needed_by_service(evidence)
    for service in evidence.services:
        found = list(_left_out(evidence, service, needed.get(service, ())))
        words = (f"{flow.source.name} on {_node(evidence, flow)} ({flow.why}) {why}" for flow, why, _ in found)
        into.set(service, "host_clients_left_out", tuple(dict.fromkeys(words))[:MAX_NAMED])
        policies = (name for *_, names in found for name in names)
        into.set(service, "host_clients_policies", tuple(dict.fromkeys(policies))[:MAX_NAMED])
        into.set_flows(service, "host_clients_flows", ((flow.source, None) for flow, *_ in found), most=MAX_NAMED)


def _left_out(
    evidence: Evidence, service: Subject, flows: Sequence[NeededFlow]
) -> Iterator[tuple[NeededFlow, str, tuple[str, ...]]]:
    """The flows of such clients whose node gets no answer where policies with selectors stand before every endpoint."""
    for flow in flows:
        if flow.source.kind is not SubjectKind.POD or not evidence.pods[flow.source].spec.host_network:
            continue
        ends = [end for end in ends_of(evidence, service) if end.service_port == flow.port and end.pod is not None]
        policies: dict[str, None] = {}
        for end in ends:
            answer = allowed(evidence, flow.source, end.pod or flow.source, end.port, end.protocol, by_service=True)
            policies |= dict.fromkeys(answer.ingress.policies if answer.ingress.verdict == "unknown" else ())
        reach = _reach_of_node(evidence, service, flow)
        if policies and reach not in {None, "ok"}:
            yield flow, in_words(str(reach)), tuple(policies)


def _reach_of_node(evidence: Evidence, service: Subject, flow: NeededFlow) -> str | None:
    """How the client's node fares with the Service's port: as the client itself."""
    node, tests = facts.node(_node(evidence, flow)), tests_by_service(evidence)
    if flow.known_by == "dns":
        tests = asked_of_dns_services(evidence)
    asked = tests[service].vip if service in tests else ()
    return aggregate(each.reach for each in asked if each.source == node and each.port == flow.port)


def _node(evidence: Evidence, flow: NeededFlow) -> str:
    return evidence.node_of(flow.source)
