"""Does each Service's ClusterIP work, from where, and do the endpoints behind it work when asked directly?

The contrast tells the Service's own rules from the pods behind it. A ClusterIP that fails while every endpoint answers
directly points at kube-proxy (or whatever stands in its place) on the failing nodes; one that fails as its endpoints
do points at them or at the way to them. How it fails says more: refused at once by a reject rule or by a pod that does
not listen, no answer from a drop or a dead pod, no route at once from a node without any.

A flow that NetworkPolicies deny fails as intended: it is kept apart (`service.reach_permitted`).

Source: https://kubernetes.io/docs/reference/networking/virtual-ips/
Source: https://kubernetes.io/docs/tasks/debug/debug-application/debug-service/#a-pod-fails-to-reach-itself-via-the-service-ip
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from bot.agent.report import NodeReport
from bot.domain import facts
from bot.domain.facts import FactBuilder, Rung, Subject, SubjectKind
from bot.probes.cluster_ip.kept_flows import observe_kept_flows
from bot.probes.cluster_ip.outside_addresses import observe_outside_addresses
from bot.probes.cluster_ip.untried import observe_untried
from bot.probes.engine.evidence import Evidence
from bot.probes.services.attempts import (
    ServiceTest,
    ServiceTests,
    asked_of_dns_pods,
    is_spare,
    not_denied,
    tests_by_service,
)
from bot.probes.services.backends import Backend, backends, has_cluster_ip, namespace_of
from bot.probes.services.ends import SERVES, are_alive, common, dead_ends, failing_ports
from bot.probes.services.host_clients import host_clients
from bot.probes.services.kube_proxy import kube_proxy_of, restart_of_kube_proxy
from bot.probes.services.patterns import (
    HEADLESS,
    MAX_FLOWS,
    UDP_SILENCE,
    dead_endpoints,
    failing_after_ms,
    failing_flows,
    failing_nodes,
    fails_from,
    hairpin_fails,
    hairpin_off,
    preferred,
    same_node_only_fails,
    states,
    usable,
)
from bot.probes.services.queues import common_overflow
from bot.probes.services.rules import (
    RulesSeen,
    listening_ports,
    listens_at,
    rules_by_service,
    rules_of_node,
    sockets_tell,
    why_no_rules,
    worst_for_service,
)
from bot.probes.services.workloads import strangers, workloads
from bot.probes.shared.reach import aggregate

MAX_DEAD = 20
MAX_HOST_CLIENTS = 6


def observe(evidence: Evidence, into: FactBuilder) -> None:
    """Every Service that was tested or should have been, the pods behind them, and each node's own part."""
    tests = tests_by_service(evidence)
    rules = rules_by_service(evidence)
    behind = {service: tuple(backends(evidence, service)) for service in evidence.services}
    wanted = [s for s in evidence.services if namespace_of(s) == evidence.snapshot.namespace]
    for service in sorted({*tests, *wanted} & evidence.services.keys()):
        if evidence.services[service].spec.type != "ExternalName":
            of = tests.get(service, ServiceTests())
            ready = [each for each in behind[service] if each.is_ready]
            _observe_reach(evidence, service, of, ready, into)
            _observe_host_clients(evidence, service, into)
            _observe_dead(evidence, service, of, ready, into)
            _observe_workloads(evidence, service, of, ready, into)
            _observe_rules(evidence, service, rules.get(service), behind[service], into)
            _observe_backends(evidence, service, of, ready, into)
            observe_untried(evidence, service, into)
    for service in {*evidence.dns_services} - {*tests, *wanted}:
        _observe_dns_pods(evidence, service, [each for each in behind[service] if each.is_ready], into)
    observe_kept_flows(evidence, into)
    observe_outside_addresses(evidence, into)
    _observe_endpoints(evidence, tests, behind, into)
    _observe_nodes(evidence, tests, behind, into)


# Services


def _untestable(evidence: Evidence, service: Subject) -> str:
    """What keeps any test through the ClusterIP from ever telling, as `service.untestable` has it."""
    if not has_cluster_ip(evidence.services[service]):
        return "headless"
    only_udp = all(port.protocol == "UDP" for port in evidence.services[service].spec.ports)
    return "udp" if only_udp else "no"


def _why_untested(evidence: Evidence, service: Subject) -> str:
    if not evidence.reports:
        return "no node was inspected from inside"
    never = {"headless": HEADLESS, "udp": UDP_SILENCE}
    return never.get(_untestable(evidence, service), "no test of this Service ran")


def _observe_reach(
    evidence: Evidence, service: Subject, tests: ServiceTests, ready: Sequence[Backend], into: FactBuilder
) -> None:
    into.set(service, "untestable", _untestable(evidence, service))
    why = _why_untested(evidence, service)
    from_pods = [each for each in tests.vip if each.is_from_pod]
    from_nodes = not_denied(each for each in tests.vip if not each.is_from_pod)
    into.put(service, "reach", _reach(from_pods), why)
    into.put(service, "reach_permitted", _reach(not_denied(from_pods)), "no test that policies permit ran")
    into.put(service, "reach_from_nodes", _reach(from_nodes), why)
    into.put(service, "endpoint_reach", _reach(each for each in tests.direct if each.is_from_pod), why)
    into.put(service, "failing_ports", failing_ports(tests) if tests.vip or tests.direct else None, why)
    into.put(service, "endpoint_reach_from_own_node", _reach(_from_own_nodes(tests, ready)), why)
    into.put(service, "fails_from", fails_from(tests.vip), why)
    if tests.vip:
        asked = states(preferred(tests.vip))
        into.set(service, "asked_by", len(asked))
        into.set(service, "failing_for", sum(reach != "ok" for reach in asked.values()))
        into.set(service, "failing_source_nodes", failing_nodes(tests.vip))
        into.set_flows(service, "failing_flows", failing_flows(tests, ready, evidence.node_by_ip), most=MAX_FLOWS)
        into.put(service, "failing_after_ms", failing_after_ms(preferred(tests.vip)), "nothing failed")
    else:
        keys = ("asked_by", "failing_for", "failing_source_nodes", "failing_flows", "failing_after_ms")
        into.miss_all(service, keys, why)
    into.put(service, "hairpin_fails", *hairpin_fails(tests, ready))
    into.put(service, "hairpin_off", *hairpin_off(evidence, tests, ready))
    into.put(service, "same_node_only_fails", *same_node_only_fails(tests, ready))


def _observe_host_clients(evidence: Evidence, service: Subject, into: FactBuilder) -> None:
    """What NetworkPolicies have a part in is a matter of network-policies."""
    known = host_clients(evidence).get(service, ())
    counted = [each for each in known if each.reach == "ok" or each.is_permitted]
    lost = [each for each in counted if each.reach != "ok"]
    reach = aggregate(each.reach for each in lost or counted)
    into.put(service, "host_clients_reach", reach, "no node tried it that carries a client with hostNetwork")
    into.set(service, "host_clients_failing", tuple(each.words for each in lost)[:MAX_HOST_CLIENTS])
    into.set_flows(service, "host_clients_failing_flows", (way for each in lost for way in each.ways), most=MAX_FLOWS)


def _observe_dead(
    evidence: Evidence, service: Subject, tests: ServiceTests, ready: Sequence[Backend], into: FactBuilder
) -> None:
    if not tests.direct:
        keys = ("dead_endpoints", "dead_own", "dead_addresses", "dead_told")
        into.miss_all(service, keys, _why_untested(evidence, service))
        return
    dead = dead_ends(evidence, tests, ready)
    known = strangers(evidence, tests, ready).pods
    own = [end for end in dead if end.backend.pod and end.backend.pod not in known]
    outside = [end for end in dead if end.backend.pod is None and end.backend.ip not in evidence.node_by_ip]
    into.set(service, "dead_endpoints", dead_endpoints(tests))
    into.set(service, "dead_own", tuple(dict.fromkeys(end.name for end in own)))
    into.set(service, "dead_addresses", tuple(end.name for end in outside))
    into.set(service, "dead_told", tuple(map(str, dead))[:MAX_DEAD])
    into.put(service, "dead_addresses_reach", aggregate(end.reach for end in outside), "no such endpoint is dead")
    into.put(service, "dead_reach", aggregate(end.reach for end in own), "no endpoint of its own is dead")
    into.put(service, "dead_listens", common(end.listens for end in own), "the sockets of no dead endpoint were read")
    into.put(service, "dead_are_alive", are_alive(evidence, own), "nothing else was tried with a dead endpoint")


def _observe_workloads(
    evidence: Evidence, service: Subject, tests: ServiceTests, ready: Sequence[Backend], into: FactBuilder
) -> None:
    into.set(service, "workloads", workloads(evidence, ready))
    keys = ("strangers", "stranger_ports", "narrower_labels")
    if not tests.direct:
        into.miss_all(service, keys, "no endpoint was tried directly")
        return
    found = strangers(evidence, tests, ready)
    into.set(service, "strangers", found.workloads)
    into.set(service, "stranger_ports", found.ports)
    into.set(service, "narrower_labels", found.narrower)


def _observe_dns_pods(evidence: Evidence, service: Subject, ready: Sequence[Backend], into: FactBuilder) -> None:
    """The pods behind a DNS Service, which are asked for names instead of being dialled."""
    of = ServiceTests(direct=asked_of_dns_pods(evidence, service))
    listens = _observe_backends(evidence, service, of, ready, into)
    if not of.direct and listens in {"other-port", "nothing"}:
        into.set(service, "endpoint_reach", "refused")  # as their kernels do where nobody listens
    if of.direct:
        _observe_workloads(evidence, service, of, ready, into)
        into.put(service, "endpoint_reach", _reach(of.direct), "no DNS pod was asked directly")
        into.put(service, "endpoint_reach_from_own_node", _reach(_from_own_nodes(of, ready)), "no node asked its own")
        _observe_dead(evidence, service, of, ready, into)


def _reach(asked: Iterable[ServiceTest]) -> str | None:
    return aggregate(each.reach for each in asked)


def _from_own_nodes(tests: ServiceTests, ready: Sequence[Backend]) -> Iterable[ServiceTest]:
    """What nodes asked of the endpoints that they carry: no policy stands between these."""
    return not_denied(each for each in tests.direct if not each.is_from_pod and each.node == _node_behind(each, ready))


def _node_behind(asked: ServiceTest, ready: Sequence[Backend]) -> str | None:
    return next((backend.node for backend in ready if backend.pod == asked.backend and backend.node), None)


def _observe_rules(
    evidence: Evidence, service: Subject, seen: RulesSeen | None, behind: Sequence[Backend], into: FactBuilder
) -> None:
    if seen is None:
        keys = ("rules", "rules_missing_nodes", "stale_backends", "has_reject")
        into.miss_all(service, keys, why_no_rules(evidence))
        return
    slices = evidence.slices.get(service, ())
    addresses = {ip for each in slices for endpoint in each.endpoints for ip in endpoint.addresses}
    known = bool(behind) or bool(addresses)
    stale = tuple(sorted(each for each in seen.backends if known and _ip_of(each) not in addresses))
    into.set(service, "rules", _rules_word(seen, is_stale=bool(stale)))
    into.set(service, "rules_missing_nodes", tuple(seen.missing))
    into.set(service, "has_reject", seen.has_reject)
    into.put(service, "stale_backends", stale if known or not seen.backends else None, "no EndpointSlice is known")


def _ip_of(backend: str) -> str:
    return backend.rpartition(":")[0].strip("[]")


def _rules_word(seen: RulesSeen, *, is_stale: bool) -> str:
    if seen.missing:
        return "partial" if seen.present else "missing"
    return "stale" if is_stale else "present"


def _observe_backends(
    evidence: Evidence, service: Subject, tests: ServiceTests, ready: Sequence[Backend], into: FactBuilder
) -> str | None:
    """Fill, and return, what the pods listen on, of the ports that are not known to work."""
    works = _working_ports(tests)
    reports = {backend.pod: evidence.pod_reports.get(backend.pod) for backend in ready if backend.pod}
    why = "no pod behind the Service was inspected from inside"
    ports: dict[tuple[int, str], list[str]] = defaultdict(list)
    for backend in ready:
        port = (backend.service_port, backend.protocol)
        if is_spare(evidence, service, backend.service_port, backend.protocol):
            continue
        word = listens_at(reports.get(backend.pod), backend) if backend.pod else None
        if word:
            ports[port].append("target-port" if port in works else word)
    listens = worst_for_service(ports)
    into.put(service, "listens", listens, why)
    found = tuple(sorted(set(listening_ports(reports.values()))))[:20]
    into.put(service, "listening_ports", found if ports else None, why)
    nothing_is_sent = evidence.access in {Rung.EXEC, Rung.CNI_AGENT} and _untestable(evidence, service) == "no"
    into.set(service, "sockets_decide", nothing_is_sent and sockets_tell(evidence, ready))
    into.put(service, "backlog_overflow", *common_overflow(evidence, reports))
    return listens


def _working_ports(tests: ServiceTests) -> set[tuple[int, str]]:
    """Ports at which everybody who may ask was served by every endpoint."""
    of: dict[tuple[int, str], list[str]] = defaultdict(list)
    for each in not_denied((*tests.vip, *tests.direct)):
        of[each.port, each.protocol].append(each.reach)
    return {port for port, reaches in of.items() if set(reaches) == {"ok"}}


# Endpoint pods


def _observe_endpoints(
    evidence: Evidence,
    tests: Mapping[Subject, ServiceTests],
    behind: Mapping[Subject, Sequence[Backend]],
    into: FactBuilder,
) -> None:
    """Each pod behind a tested Service, over all Services that it stands behind."""
    asked: dict[Subject, list[ServiceTest]] = defaultdict(list)
    for of in tests.values():
        for each in not_denied(of.direct):
            if each.backend:
                asked[each.backend].append(each)
    ports: dict[Subject, list[Backend]] = defaultdict(list)
    for service in tests:
        for backend in behind.get(service, ()):
            spare = is_spare(evidence, service, backend.service_port, backend.protocol)
            if backend.pod in evidence.pods and backend.is_ready and backend.pod and not spare:
                ports[backend.pod].append(backend)
    for pod, served in sorted(ports.items()):
        into.set(pod, "endpoint_ports", tuple(sorted({f"{each.port}/{each.protocol}" for each in served})))
        found = asked.get(pod, [])
        into.put(pod, "endpoint_reach", _reach(found), "nobody who is permitted to asked this endpoint directly")
        into.put(pod, "endpoint_asked_by", len({each.source for each in found}) or None, "no source tried it directly")
        dead = _dead_ports(found, served)
        reach = aggregate(reach for _, reach in dead)
        into.put(pod, "endpoint_dead_ports", tuple(port for port, _ in dead) if found else None, "no source tried it")
        into.put(pod, "endpoint_dead_reach", reach, "it is reached at each port that was asked")
        alive = {f"{each.port}/{each.protocol}" for each in served} - {port for port, _ in dead}
        suspects = [each for each in served if not dead or f"{each.port}/{each.protocol}" not in alive]
        words = {listens_at(evidence.pod_reports.get(pod), each) for each in suspects} - {None}
        wrong = sorted(word for word in words if word and word != "target-port")
        word = wrong[0] if wrong else "target-port" if words else None
        into.put(pod, "listens", word, "its sockets were not read")


def _dead_ports(asked: Sequence[ServiceTest], served: Sequence[Backend]) -> tuple[tuple[str, str], ...]:
    """The ports of a pod that failed for everybody who asked, and how."""
    found: dict[str, str] = {}
    for end in served:
        at = (end.service_port, end.protocol)
        reaches = [each.reach for each in asked if (each.port, each.protocol) == at and each.ip == end.ip]
        reach = aggregate(reaches)
        if reach is not None and SERVES.isdisjoint(reaches):
            found[f"{end.port}/{end.protocol}"] = reach
    return tuple(sorted(found.items()))


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
        into.put(node, "kube_proxy", value, why)
        into.put(node, "kube_proxy_restart", *restart_of_kube_proxy(evidence, name))
        why = evidence.why_no_report(name) if report is None else "no test of a working Service ran from here"
        into.put(node, "reach_services", aggregate(roots[name]), why)
        into.put(node, "pods_reach_services", aggregate(pods[name]), why)
        _observe_node(evidence, node, report, into)


def _observe_node(evidence: Evidence, node: Subject, report: NodeReport | None, into: FactBuilder) -> None:
    keys = ("service_rules", "conntrack_ratio", "conntrack_drop_delta", "conntrack_insert_failed_delta")
    if report is None:
        into.miss_all(node, keys, evidence.why_no_report(node.name))
        return
    rules = rules_of_node(evidence, report)
    present = [each.mentions > 0 for each in rules or ()]
    word = "present" if all(present) else "partial" if any(present) else "missing"
    into.put(node, "service_rules", word if present else None, why_no_rules(evidence))
    table = report.conntrack
    why = "the connection table was not read"
    ratio = table.count / table.max if table and table.count is not None and table.max else None
    into.put(node, "conntrack_ratio", None if ratio is None else round(ratio, 4), why)
    into.put(node, "conntrack_drop_delta", table.drop_delta if table else None, why)
    into.put(node, "conntrack_insert_failed_delta", table.insert_failed_delta if table else None, why)
