"""The way of a question: pod, DNS Service, DNS pod, resolver outside; and where it ends, by what was asked of each."""

from collections.abc import Mapping
from dataclasses import dataclass

from bot.domain.facts import CLUSTER, FactTable, Subject, SubjectKind, Value
from bot.domain.report import PathHop
from bot.probes.engine.evidence import Evidence
from bot.probes.shared.dns_pods import dns_pods
from bot.probes.shared.values import strings

OUTSIDE = "resolver outside"


@dataclass(frozen=True, slots=True)
class _Station:
    name: str
    answers: bool | None
    """Whether it answered all that asked it; None where nobody did."""


def dns_path(evidence: Evidence, facts: FactTable, source: Subject | None, blamed: Subject | None) -> list[PathHop]:
    """The stations of a lookup, without the words of what is wrong: the last one that a question reached is marked."""
    nothing: Mapping[str, Value] = {}
    known = facts.of(source) if source else nothing
    pod = source.name if source else "pod"
    if names := _wrong_nameservers(known, blamed):
        return _marked((_Station(pod, True), _Station(f"nameserver {names[0]}", False)))
    if blamed and blamed.kind is SubjectKind.NODE:
        return _marked((_Station(pod, True), _Station(blamed.name, False), _Station(_service(evidence), None)))
    if blamed and blamed.kind is SubjectKind.POD and _finds_no_name(known):
        return _marked((_Station(f"resolv.conf of {pod}", False), _Station(_service(evidence), None)))
    return _marked((_Station(pod, True), *_servers(evidence, facts, known, blamed)))


def closed_path(evidence: Evidence, facts: FactTable, source: Subject | None) -> list[PathHop]:
    """The stations of a lookup that ends at policies of the DNS pods, which keep these from whom they ask."""
    found = dns_pods(evidence)
    server = f"{found[0].metadata.namespace}/{found[0].metadata.name}" if found else "DNS pods"
    whom = "API server" if facts.of(CLUSTER).get("dns_denied_to") == "api" else OUTSIDE
    return _marked(
        (
            _Station(source.name if source else "pod", True),
            _Station(_service(evidence), True),
            _Station(server, True),
            _Station("policies of the DNS pods", False),
            _Station(whom, None),
        )
    )


def _wrong_nameservers(known: Mapping[str, Value], blamed: Subject | None) -> list[str]:
    """What the pod asks in the place of the cluster's DNS, where the cause is about one pod."""
    if blamed is None or blamed.kind is not SubjectKind.POD:
        return []
    if known.get("nameserver_matches") is False or known.get("uses_node_resolver") is True:
        return [*strings(known.get("nameservers"))]
    return [*strings(known.get("nameservers_silent"))]


def _finds_no_name(known: Mapping[str, Value]) -> bool:
    return bool(strings(known.get("names_not_found"))) and known.get("dns_service") == "ok"


def _servers(
    evidence: Evidence, facts: FactTable, known: Mapping[str, Value], blamed: Subject | None
) -> tuple[_Station, ...]:
    """The DNS Service, a DNS pod behind it, and where only that fails the resolver that it asks."""
    nothing: Mapping[str, Value] = {}
    one = known if blamed and blamed.kind is SubjectKind.POD else nothing
    cluster = facts.of(CLUSTER)
    service = _answers(one.get("dns_service") or cluster.get("dns_service_state"))
    pods = _answers(one.get("dns_pods") or cluster.get("dns_pods_state"))
    outside = _answers(one.get("dns_outside") or cluster.get("dns_outside_state"))
    is_only_outside = outside is False and service is not False and pods is not False
    found = dns_pods(evidence)
    server = f"{found[0].metadata.namespace}/{found[0].metadata.name}" if found else "DNS pods"
    if not is_only_outside:
        # What is behind it may be what fails: the Service itself is blamed only where its pods answer.
        return (_Station(_service(evidence), None if pods is not True else service), _Station(server, pods))
    return (_Station(_service(evidence), service), _Station(server, pods or service), _Station(OUTSIDE, False))


def _answers(state: Value | None) -> bool | None:
    return None if state is None else state == "ok"


def _service(evidence: Evidence) -> str:
    return evidence.dns_services[0].name if evidence.dns_services else "DNS Service"


def _marked(stations: tuple[_Station, ...]) -> list[PathHop]:
    """The first station that fails is broken; where none is known to, the last one."""
    broken = next((index for index, one in enumerate(stations) if one.answers is False), len(stations) - 1)
    return [
        PathHop(
            name=one.name,
            state="broken" if index == broken else "ok" if index < broken and one.answers else "unknown",
            detail="",
        )
        for index, one in enumerate(stations)
    ]
