"""Of each Service the clients that policies deny, held against what is dialled: each port by itself.

A client is a pod that is known to need the port. Whom we sent as an instrument is none: a policy that keeps it out is
no fault. One thing shows a mistake without any client: a policy that lets its peers in at the Service's port, while the
pods behind it listen on another, so that nobody gets in.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from bot.cluster.objects import NetworkPolicy, NetworkPolicyPort
from bot.domain import facts
from bot.domain.facts import FactBuilder, Subject, SubjectKind
from bot.domain.flows import NeededFlow
from bot.probes.engine.evidence import Evidence
from bot.probes.engine.once import once_per_evidence
from bot.probes.policy.ends import named_ports
from bot.probes.policy.enforcement import allowed, enforces_policy
from bot.probes.policy.evaluation import Allowed, policy_index
from bot.probes.policy.index import name_of
from bot.probes.policy.naming import why_denied
from bot.probes.services.attempts import ServiceTest, tests_by_service
from bot.probes.services.backends import Backend, backends, namespace_of
from bot.probes.services.needed import clients_of
from bot.probes.shared.reach import aggregate, reach_of

MAX_NAMED = 50
MAX_SENTENCES = 6
DNS_PORT = 53


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied:
    """A needed flow that policies deny."""

    flow: NeededFlow
    backend: Backend
    answer: Allowed


def observe_clients(evidence: Evidence, into: FactBuilder) -> None:
    """The denied clients of each Service, what came of their tests, and ports that are opened in vain."""
    needed = needed_by_service(evidence)
    tests = tests_by_service(evidence)
    for service in evidence.services:
        ends = tuple(ends_of(evidence, service))
        if not ends:
            keys = ("denied_clients", "denied_clients_by", "denied_clients_why", "denied_clients_rules")
            keys = (*keys, "denied_clients_hidden", "denied_clients_flows")
            keys = (*keys, "denied_clients_reach", "ports_opened_in_vain", "rules_that_miss")
            into.miss_all(service, keys, "no endpoint is known behind it")
            continue
        denied = list(_denied(evidence, needed.get(service, ()), ends))
        asked = tests[service].vip if service in tests else []
        _observe_service(evidence, service, denied, asked, into)
        in_vain = _first(_opened_in_vain(evidence, ends))
        into.set(service, "ports_opened_in_vain", in_vain)
        into.set(service, "rules_that_miss", _first((*_rules(evidence, denied), *in_vain)))


def needed_by_service(evidence: Evidence) -> Mapping[Subject, Sequence[NeededFlow]]:
    """What the pods asked about need, and what others need of their namespace's Services: nobody else's trouble."""
    found: dict[Subject, list[NeededFlow]] = {}
    asked = set(evidence.scope_pods)
    for (service, _), flows in clients_of(evidence).items():
        is_own = namespace_of(service) == evidence.snapshot.namespace
        found.setdefault(service, []).extend(flow for flow in flows.values() if is_own or flow.source in asked)
    return found


def ends_of(evidence: Evidence, service: Subject) -> Iterator[Backend]:
    """The endpoints behind the Service: the ready ones, or all where none is ready. Of pods, only known ones."""
    known = [each for each in backends(evidence, service) if each.pod is None or each.pod in evidence.pods]
    yield from [each for each in known if each.is_ready] or known


def _end(evidence: Evidence, backend: Backend) -> Subject:
    """Whom policies see there: a pod, a node by its address, else a machine outside (the API server is often one)."""
    return backend.pod or facts.node(evidence.node_by_ip.get(backend.ip, backend.ip))


def _denied(evidence: Evidence, flows: Iterable[NeededFlow], ends: Sequence[Backend]) -> Iterator[Denied]:
    for flow in flows:
        if flow.source.kind is not SubjectKind.POD or any(end.pod == flow.source for end in ends):
            continue
        for end in ends:
            if end.service_port != flow.port:
                continue
            if flow.known_by == "dns" and end.protocol != flow.protocol:
                continue  # A question over TCP is an exception that few resolvers make.
            answer = allowed(evidence, flow.source, _end(evidence, end), end.port, end.protocol, by_service=True)
            # What its own policies say of the nameservers that it asks is a fact of the pod (egress_dns_denied).
            if answer.ingress.verdict == "no" if flow.known_by == "dns" else answer.is_denied:
                yield Denied(flow=flow, backend=end, answer=answer)


def _observe_service(
    evidence: Evidence, service: Subject, denied: Sequence[Denied], asked: Sequence[ServiceTest], into: FactBuilder
) -> None:
    clients = sorted({each.flow.source for each in denied})
    sides = {side for each in denied for side in ("ingress", "egress") if getattr(each.answer, side).verdict == "no"}
    into.set(service, "denied_clients", tuple(client.name for client in clients[:MAX_NAMED]))
    into.set(service, "denied_clients_by", "both" if len(sides) == 2 else next(iter(sides), "none"))
    into.set(service, "denied_clients_why", _first(f"{d.flow.source.name}: {d.flow.why}" for d in denied))
    into.set(service, "denied_clients_rules", _first(_rules(evidence, denied)))
    into.set(service, "denied_clients_hidden", _first(name for each in denied for name in each.answer.hidden))
    index = policy_index(evidence)
    ports = {(index.kind_of(each.flow.source), each.flow.port) for each in denied}
    tried = [each.reach for each in asked if each.is_from_pod and (index.kind_of(each.source), each.port) in ports]
    names = {kind for kind, port in ports if port == DNS_PORT and service in evidence.dns_services}
    tried += [reach for source, reach in _asked_for_names(evidence) if index.kind_of(source) in names]
    waiting = ["timeout"] if any(each.flow.is_waiting for each in denied) else []
    why = "none of them was tested" if denied else "no client is denied"
    into.put(service, "denied_clients_reach", aggregate([*tried, *waiting]), why)
    flows = ((each.flow.source, _end(evidence, each.backend)) for each in denied)
    into.set_flows(service, "denied_clients_flows", flows, most=MAX_NAMED)


@once_per_evidence
def _asked_for_names(evidence: Evidence) -> Sequence[tuple[Subject, str]]:
    """What came of each pod's questions to the cluster's DNS."""
    asked = ((source, reach_of(test)) for source, _, test in evidence.tests if test.purpose == "dns-service")
    return tuple((source, reach) for source, reach in asked if source in evidence.pods and reach)


def _first(sentences: Iterable[str]) -> tuple[str, ...]:
    return tuple(islice(dict.fromkeys(sentences), MAX_SENTENCES))


def _rules(evidence: Evidence, denied: Sequence[Denied]) -> Iterator[str]:
    """By what rules miss these flows: once for each kind of client and port."""
    index = policy_index(evidence)
    seen: set[tuple[int, int]] = set()
    for each in denied:
        key = (index.kind_of(each.flow.source), each.backend.port)
        if key not in seen:
            seen.add(key)
            end = each.backend
            yield from (f"{name} denies it" for name in each.answer.hidden)
            target = _end(evidence, end)
            yield from why_denied(evidence, each.flow.source, target, end.port, end.protocol, end.service_port)


def _opened_in_vain(evidence: Evidence, ends: Sequence[Backend]) -> Iterator[str]:
    """Ingress policies of the pods behind it that open the Service's port, where its pods listen on another one.

    Only where no policy lets anybody in at the port that the Service sends to: then the Service is closed to all.
    """
    index = policy_index(evidence)
    if enforces_policy(evidence) is False:
        return
    for end in ends:
        if end.pod is None or end.port == end.service_port:
            continue
        isolating = index.isolating(end.pod, "ingress")
        if not isolating or any(_openers(evidence, end, isolating, end.port)):
            continue
        for policy, number in _openers(evidence, end, isolating, end.service_port):
            yield (
                f"{name_of(policy)}, ingress rule {number}, opens {end.protocol} {end.service_port}, the Service's "
                f"port; policies see the pods' own, {end.port}, and that one is open to nobody"
            )


def _openers(
    evidence: Evidence, end: Backend, policies: Iterable[NetworkPolicy], port: int
) -> Iterator[tuple[NetworkPolicy, int]]:
    """The ingress rules that open this port of the pod to anybody."""
    for policy in policies:
        for number, rule in enumerate(policy.spec.ingress, 1):
            if not rule.ports or any(_opens(evidence, end, wanted, port) for wanted in rule.ports):
                yield policy, number


def _opens(evidence: Evidence, end: Backend, wanted: NetworkPolicyPort, port: int) -> bool:
    if (wanted.protocol or "TCP") != end.protocol:
        return False
    if isinstance(wanted.port, str):
        named = named_ports(evidence.pods[end.pod]) if end.pod else ()
        return (wanted.port, end.protocol, port) in named
    return wanted.port is None or wanted.port <= port <= (wanted.end_port or wanted.port)
