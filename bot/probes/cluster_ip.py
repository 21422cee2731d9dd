"""Does each Service's ClusterIP work, from where, and do the endpoints behind it work when asked directly?

The contrast tells the Service's own rules from the pods behind it. A ClusterIP that fails while every endpoint answers
directly points at kube-proxy (or whatever stands in its place) on the failing nodes; one that fails as its endpoints
do points at them or at the way to them. How it fails says more: refused at once by a reject rule or by a pod that does
not listen, no answer from a drop or a dead pod, no route at once from a node without any.

A flow that NetworkPolicies deny fails as intended: it is told apart (`service.reach_permitted`).

Source: https://kubernetes.io/docs/reference/networking/virtual-ips/
Source: https://kubernetes.io/docs/tasks/debug/debug-application/debug-service/#a-pod-fails-to-reach-itself-via-the-service-ip
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from bot.agent.report import NodeReport
from bot.domain import facts
from bot.domain.facts import FactBuilder, FactTable, Subject, SubjectKind
from bot.domain.finding import Finding
from bot.probes.cluster_ip_facts import FACTS, NEEDS
from bot.probes.cluster_ip_told import NAME, findings
from bot.probes.evidence import Evidence
from bot.probes.kube_proxy import kube_proxy_of
from bot.probes.outcomes import aggregate
from bot.probes.probe import Probe
from bot.probes.service_patterns import (
    UDP_SILENCE,
    dead_endpoints,
    failing_after_ms,
    failing_flows,
    failing_nodes,
    fails_from,
    hairpin_fails,
    preferred,
    same_node_only_fails,
    states,
    usable,
)
from bot.probes.service_rules import (
    RulesSeen,
    listening_ports,
    listens_at,
    rules_by_service,
    rules_of_node,
    why_no_rules,
    worst_for_service,
)
from bot.probes.service_tests import Asked, ServiceTests, not_denied, tests_by_service
from bot.probes.service_view import Backend, backends, has_cluster_ip, namespace_of
from bot.probes.sight import miss_all, put

_OVERFLOWS = "TcpExt.ListenOverflows"
"""ListenDrops counts more than full queues: also clients that vanish halfway, as they do when a route is wrong."""


def observe(evidence: Evidence, into: FactBuilder) -> None:
    """Every Service that was tested or should have been, the pods behind them, and each node's own part."""
    tests = tests_by_service(evidence)
    rules = rules_by_service(evidence)
    behind = {service: tuple(backends(evidence, service)) for service in evidence.services}
    wanted = [s for s in evidence.services if namespace_of(s) == evidence.snapshot.namespace]
    for service in sorted({*tests, *wanted} & evidence.services.keys()):
        if has_cluster_ip(evidence.services[service]):
            of = tests.get(service, ServiceTests())
            ready = [each for each in behind[service] if each.is_ready]
            _observe_reach(evidence, service, of, ready, into)
            _observe_rules(evidence, service, rules.get(service), behind[service], into)
            _observe_backends(evidence, service, ready, into)
    _observe_endpoints(evidence, tests, behind, into)
    _observe_nodes(evidence, tests, behind, into)


# Services


def _why_untested(evidence: Evidence, service: Subject) -> str:
    if not evidence.reports:
        return "no node was looked at from inside"
    if all(port.protocol == "UDP" for port in evidence.services[service].spec.ports):
        return UDP_SILENCE
    return "no test of this Service ran"


def _observe_reach(
    evidence: Evidence, service: Subject, tests: ServiceTests, ready: Sequence[Backend], into: FactBuilder
) -> None:
    why = _why_untested(evidence, service)
    from_pods = [each for each in tests.vip if each.is_from_pod]
    from_nodes = not_denied(each for each in tests.vip if not each.is_from_pod)
    put(into, service, "reach", _reach(from_pods), why)
    put(into, service, "reach_permitted", _reach(not_denied(from_pods)), "no test that policies permit ran")
    put(into, service, "reach_from_nodes", _reach(from_nodes), why)
    put(into, service, "endpoint_reach", _reach(each for each in tests.direct if each.is_from_pod), why)
    own = not_denied(each for each in tests.direct if not each.is_from_pod and each.node == _node_behind(each, ready))
    put(into, service, "endpoint_reach_from_own_node", _reach(own), why)
    put(into, service, "fails_from", fails_from(tests.vip), why)
    if tests.vip:
        asked = states(preferred(tests.vip))
        into.set(service, "asked_by", len(asked))
        into.set(service, "failing_for", sum(reach != "ok" for reach in asked.values()))
        into.set(service, "failing_source_nodes", failing_nodes(tests.vip))
        into.set(service, "failing_flows", failing_flows(tests, ready, evidence.node_by_ip))
        put(into, service, "failing_after_ms", failing_after_ms(preferred(tests.vip)), "nothing failed")
    else:
        keys = ("asked_by", "failing_for", "failing_source_nodes", "failing_flows", "failing_after_ms")
        miss_all(into, service, keys, why)
    if tests.direct:
        into.set(service, "dead_endpoints", dead_endpoints(tests))
    else:
        into.miss(service, "dead_endpoints", why)
    put(into, service, "hairpin_fails", *hairpin_fails(tests, ready))
    put(into, service, "same_node_only_fails", *same_node_only_fails(tests, ready))


def _reach(asked: Iterable[Asked]) -> str | None:
    return aggregate(each.reach for each in asked)


def _node_behind(asked: Asked, ready: Sequence[Backend]) -> str | None:
    return next((backend.node for backend in ready if backend.pod == asked.backend and backend.node), None)


def _observe_rules(
    evidence: Evidence, service: Subject, seen: RulesSeen | None, behind: Sequence[Backend], into: FactBuilder
) -> None:
    if seen is None:
        keys = ("rules", "rules_missing_nodes", "stale_backends", "has_reject")
        miss_all(into, service, keys, why_no_rules(evidence))
        return
    slices = evidence.slices.get(service, ())
    addresses = {ip for each in slices for endpoint in each.endpoints for ip in endpoint.addresses}
    known = bool(behind) or bool(addresses)
    stale = tuple(sorted(each for each in seen.backends if known and _ip_of(each) not in addresses))
    into.set(service, "rules", _rules_word(seen, is_stale=bool(stale)))
    into.set(service, "rules_missing_nodes", tuple(seen.missing))
    into.set(service, "has_reject", seen.has_reject)
    put(into, service, "stale_backends", stale if known or not seen.backends else None, "no EndpointSlice is known")


def _ip_of(backend: str) -> str:
    return backend.rpartition(":")[0].strip("[]")


def _rules_word(seen: RulesSeen, *, is_stale: bool) -> str:
    if seen.missing:
        return "partial" if seen.present else "missing"
    return "stale" if is_stale else "present"


def _observe_backends(evidence: Evidence, service: Subject, ready: Sequence[Backend], into: FactBuilder) -> None:
    reports = {backend.pod: evidence.pod_reports.get(backend.pod) for backend in ready if backend.pod}
    why = "no pod behind the Service was looked at from inside"
    ports: dict[int, list[str]] = defaultdict(list)
    for backend in ready:
        word = listens_at(reports.get(backend.pod), backend) if backend.pod else None
        if word:
            ports[backend.service_port].append(word)
    put(into, service, "listens", worst_for_service(ports), why)
    found = tuple(sorted(set(listening_ports(reports.values()))))[:20]
    put(into, service, "listening_ports", found if ports else None, why)
    counters = [report.state for report in reports.values() if report and report.state and report.state.counters]
    grown = any(state.counters_delta.get(_OVERFLOWS, 0) > 0 for state in counters)
    put(into, service, "backlog_overflow", grown if counters else None, why)


# Endpoint pods


def _observe_endpoints(
    evidence: Evidence,
    tests: Mapping[Subject, ServiceTests],
    behind: Mapping[Subject, Sequence[Backend]],
    into: FactBuilder,
) -> None:
    """Each pod behind a tested Service, over all Services that it stands behind."""
    asked: dict[Subject, list[Asked]] = defaultdict(list)
    for of in tests.values():
        for each in not_denied(of.direct):
            if each.backend:
                asked[each.backend].append(each)
    ports: dict[Subject, list[Backend]] = defaultdict(list)
    for service in tests:
        for backend in behind.get(service, ()):
            if backend.pod in evidence.pods and backend.is_ready and backend.pod:
                ports[backend.pod].append(backend)
    for pod, served in sorted(ports.items()):
        into.set(pod, "endpoint_ports", tuple(sorted({f"{each.port}/{each.protocol}" for each in served})))
        found = asked.get(pod, [])
        put(into, pod, "endpoint_reach", _reach(found), "nobody who is permitted to asked this endpoint directly")
        put(into, pod, "endpoint_asked_by", len({each.source for each in found}) or None, "nobody asked it directly")
        words = {listens_at(evidence.pod_reports.get(pod), each) for each in served} - {None}
        wrong = sorted(word for word in words if word and word != "target-port")
        word = wrong[0] if wrong else "target-port" if words else None
        put(into, pod, "listens", word, "its sockets were not read")


# Nodes


def _observe_nodes(
    evidence: Evidence,
    tests: Mapping[Subject, ServiceTests],
    behind: Mapping[Subject, Sequence[Backend]],
    into: FactBuilder,
) -> None:
    roots: dict[str, list[str]] = defaultdict(list)
    pods: dict[str, list[str]] = defaultdict(list)
    for service, of in tests.items():
        ready = [each for each in behind.get(service, ()) if each.is_ready]
        for each in usable(evidence, service, of, ready):
            (pods if each.source.kind is SubjectKind.POD else roots)[each.node].append(each.reach)
    for name in evidence.nodes:
        node, report = facts.node(name), evidence.reports.get(name)
        value, why = kube_proxy_of(evidence, name)
        put(into, node, "kube_proxy", value, why)
        why = evidence.why_no_report(name) if report is None else "no test of a working Service ran from here"
        put(into, node, "reach_services", aggregate(roots[name]), why)
        put(into, node, "pods_reach_services", aggregate(pods[name]), why)
        _observe_node(evidence, node, report, into)


def _observe_node(evidence: Evidence, node: Subject, report: NodeReport | None, into: FactBuilder) -> None:
    keys = ("service_rules", "conntrack_ratio", "conntrack_drop_delta", "conntrack_insert_failed_delta")
    if report is None:
        miss_all(into, node, keys, evidence.why_no_report(node.name))
        return
    rules = rules_of_node(evidence, report)
    present = [each.mentions > 0 for each in rules or ()]
    word = "present" if all(present) else "partial" if any(present) else "missing"
    put(into, node, "service_rules", word if present else None, why_no_rules(evidence))
    table = report.conntrack
    why = "the connection table was not read"
    ratio = table.count / table.max if table and table.count is not None and table.max else None
    put(into, node, "conntrack_ratio", None if ratio is None else round(ratio, 4), why)
    put(into, node, "conntrack_drop_delta", table.drop_delta if table else None, why)
    put(into, node, "conntrack_insert_failed_delta", table.insert_failed_delta if table else None, why)


def judge(table: FactTable) -> Sequence[Finding]:
    """See `bot.probes.cluster_ip_told`."""
    return findings(table)


PROBE = Probe(
    name=NAME,
    question="Does each Service's ClusterIP work, from where, and do the endpoints behind it answer directly?",
    facts=FACTS,
    needs=NEEDS,
    observe=observe,
    judge=judge,
)
