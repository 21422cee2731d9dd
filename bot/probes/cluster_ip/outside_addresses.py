"""Services that pods dial by another address than the ClusterIP: a node port, an externalIP, that of a balancer.

What comes by such an address goes by externalTrafficPolicy. With Local a node serves its own endpoints alone and drops
what it gets for others, so whether it works hangs on the node that is dialled. kube-proxy spares pods that where their
own node translates the address; a node port of another node is beyond its reach.

Source: https://kubernetes.io/docs/reference/networking/virtual-ips/#external-traffic-policy
Source: https://github.com/kubernetes/kubernetes/issues/74383 (a pod that dials another node's port)
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from bot.agent.report import Test
from bot.domain import facts
from bot.domain.facts import FactBuilder, FactTable, Subject, SubjectKind
from bot.domain.finding import Finding, Severity, Symptom, SymptomKind
from bot.domain.flows import NeededFlow
from bot.probes.engine.evidence import Evidence
from bot.probes.policy.selectors import is_within
from bot.probes.services.backends import backends, service_of
from bot.probes.services.host_clients import place_of
from bot.probes.services.needed import outside_dials
from bot.probes.shared.reach import aggregate, in_words, reach_of
from bot.probes.shared.sentences import names
from bot.probes.shared.values import listed, strings

LISTED = 6
NAME = "cluster-ip"
_Tried = Sequence[tuple[Subject, Test, str]]
"""Source, test and how it ended."""


def observe_outside_addresses(evidence: Evidence, into: FactBuilder) -> None:
    """Of each Service that somebody needs so: what came of it, and where no endpoint stands behind the address."""
    needed = outside_dials(evidence)
    tried = _tried(evidence)
    for service, spec in ((subject, each.spec) for subject, each in evidence.services.items()):
        into.set(service, "external_local", spec.external_traffic_policy == "Local")
        own = list(_own(evidence, needed.get(service, ()), tried.get(service, ())))
        lost = [one for one in own if one[2] != "ok"]
        into.put(service, "outside_reach", aggregate(reach for _, _, reach in own), "nobody is known to dial it so")
        into.set(service, "outside_failing", _first(lost))
        into.set(service, "outside_left_out", _left_out(evidence, service, lost))
        ways = ((source, _node_at(evidence, test)) for source, test, _ in lost)
        into.set_flows(service, "outside_flows", ways, most=LISTED)
        served = {end.node for end in backends(evidence, service) if end.is_ready}
        without = {node for source, test, _ in lost if (node := _serving_node(evidence, source, test)) not in served}
        into.set(service, "outside_nodes_without", tuple(sorted(without - {""}))[:LISTED])
        by_clients = [one for one in tried.get(service, ()) if one[0].kind is SubjectKind.POD] + own
        at_served = [each for each in by_clients if _serving_node(evidence, each[0], each[1]) in served]
        reach = aggregate(reach for _, _, reach in at_served)
        into.put(service, "outside_reach_served", reach, "no node with an endpoint was dialled so")


def _tried(evidence: Evidence) -> Mapping[Subject, _Tried]:
    """By Service the tests to such addresses."""
    found: dict[Subject, list[tuple[Subject, Test, str]]] = defaultdict(list)
    for source, _, test in evidence.tests:
        named, reach = service_of(test.name) if test.purpose == "dial" else None, reach_of(test)
        if named is not None and reach is not None:
            found[named[0]].append((source, test, reach))
    return found


def _own(evidence: Evidence, needed: Sequence[NeededFlow], tried: _Tried) -> Iterator[tuple[Subject, Test, str]]:
    """What clients tried themselves; for one that shares its node's network, what its node tried."""
    for flow in dict.fromkeys(needed):
        place, known = place_of(evidence, flow.source), evidence.pods.get(flow.source)
        if place != flow.source and (known is None or known.status.phase != "Running"):
            continue
        for source, test, reach in tried:
            if (source, test.ip, test.port) == (place, flow.address, flow.at_port):
                yield flow.source, test, reach


def _node_at(evidence: Evidence, test: Test) -> Subject | None:
    name = evidence.node_by_ip.get(test.ip)
    return facts.node(name) if name else None


def _serving_node(evidence: Evidence, source: Subject, test: Test) -> str:
    """The node that translates the address: the one that has it, else the source's own."""
    return evidence.node_by_ip.get(test.ip) or evidence.node_of(source)


def _left_out(evidence: Evidence, service: Subject, lost: _Tried) -> tuple[str, ...]:
    """Who dials the balancer's address in vain and is in none of the ranges that may: nodes drop that themselves."""
    made = evidence.services[service]
    ranges = tuple(each.strip() for each in made.spec.load_balancer_source_ranges)
    balancer = {each.ip for each in made.status.load_balancer.ingress}
    found = (
        f"{source.name} ({ip})"
        for source, test, reach in lost
        if ranges and reach == "timeout" and test.ip in balancer and (ip := evidence.pods[source].status.pod_ip)
        if not any(is_within(ip, each) for each in ranges)
    )
    return tuple(dict.fromkeys(found))[:LISTED]


def _first(lost: _Tried) -> tuple[str, ...]:
    words = (f"{test.ip}:{test.port} from {source.name} {in_words(reach)}" for source, test, reach in lost)
    return tuple(dict.fromkeys(words))[:LISTED]


def judge_outside_addresses(table: FactTable) -> Iterator[Finding]:
    """FAIL for each Service that pods do not reach by the address that they are configured with."""
    for service in table.subjects(SubjectKind.SERVICE):
        known = table.of(service)
        lost = strings(known.get("outside_failing"))
        if not lost:
            continue
        flows = table.flows_of(service, "outside_flows")
        inside = ", while its ClusterIP answers" if known.get("reach") == "ok" else ""
        yield Finding(
            probe=NAME,
            subject=service,
            severity=Severity.FAIL,
            sentence=f"{names([service])} is not reached by an address that pods are configured to dial{inside}: "
            f"{listed(lost)}.",
            evidence={"outside_failing": lost},
            symptom=Symptom(kind=SymptomKind.SERVICE_UNREACHABLE, subject=service, hop="service", flows=flows),
        )
