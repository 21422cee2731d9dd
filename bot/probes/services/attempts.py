"""The tests of each Service, arranged by who asked: through its ClusterIP, and its endpoints directly.

A flow that NetworkPolicies deny (by the arithmetic of the API) fails as it should: it is kept apart, so that it is
never taken for a broken network. UDP silence proves nothing and counts as no test.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from bot.agent.report import Test
from bot.domain import facts
from bot.domain.facts import Subject, SubjectKind
from bot.probes.engine.evidence import Evidence
from bot.probes.engine.once import once_per_evidence
from bot.probes.policy.enforcement import allowed
from bot.probes.policy.evaluation import Verdict, policy_index
from bot.probes.services.backends import Backend, backends, service_of
from bot.probes.services.needed import UDP_PORTS, needed_flows
from bot.probes.services.queues import overflowing
from bot.probes.services.rules import listens_at
from bot.probes.shared.dns_zone import is_inside
from bot.probes.shared.reach import is_refused_by_rule, reach_of, target_of

DNS_PORT = 53


@dataclass(slots=True)
class ServiceTest:
    """One test of a Service and what came of it."""

    source: Subject
    """A pod, or a node for its root namespace."""
    node: str
    """The source's node."""
    port: int
    """The Service's port."""
    protocol: str
    """TCP or UDP."""
    reach: str
    latency_ms: float
    permitted: Verdict
    """Whether NetworkPolicies allow it; through the ClusterIP "yes" only if to every ready endpoint."""
    backend: Subject | None
    """The endpoint's pod, for a direct test."""
    ip: str
    """The address that was dialled."""
    was_alone: bool = False
    """It was tried again by itself."""
    is_refused_by_rule: bool = False
    """An ICMP message refused it: no pod does that, a packet filter does."""

    @property
    def is_from_pod(self) -> bool:
        """Whether a pod asked."""
        return self.source.kind is SubjectKind.POD


@dataclass(slots=True, kw_only=True)
class ServiceTests:
    """All tests of one Service."""

    vip: list[ServiceTest] = field(default_factory=list[ServiceTest])
    direct: list[ServiceTest] = field(default_factory=list[ServiceTest])


@once_per_evidence
def tests_by_service(evidence: Evidence) -> Mapping[Subject, ServiceTests]:
    """The tests of every Service that was tested."""
    return _Arranging(evidence).arrange()


class _Arranging:
    """One pass over all tests; what policies say is worked out once for all that they cannot tell apart."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._index = policy_index(evidence)
        self._named: dict[str, tuple[Subject, int] | None] = {}
        self._behind: dict[Subject, tuple[Backend, ...]] = {}
        self._pods: dict[Subject, dict[str, Subject]] = {}
        self._sharing = _ports_of_endpoints(evidence)
        self._verdicts: dict[tuple[int | Subject, str, str, int, str], Verdict] = {}
        """By the source (its kind, where only that matters), name and address that it asked, port and protocol."""

    def arrange(self) -> Mapping[Subject, ServiceTests]:
        found = self._arranged()
        for service, tests in found.items():
            if self._is_doubtful(service, tests):
                tests.vip, tests.direct = _without_doubts(tests.vip), _without_doubts(tests.direct)
        return found

    def _is_doubtful(self, service: Subject, tests: ServiceTests) -> bool:
        """Whether a queue overflowed under our own tests only, while others of them were served."""
        of = overflowing(self._evidence)
        pods = {each.pod for each in backends(self._evidence, service) if each.pod}
        ours = any(of.get(pod, False) is None for pod in pods)
        return ours and any(each.reach == "ok" for each in (*tests.vip, *tests.direct))

    def _arranged(self) -> dict[Subject, ServiceTests]:
        found: dict[Subject, ServiceTests] = {}
        for source, node, test in self._evidence.tests:
            is_vip = test.purpose == "cluster-ip"
            if not (is_vip or test.purpose == "endpoint") or test.protocol not in {"tcp", "udp"}:
                continue
            named, reach = self._service(test.name if is_vip else test.service), reach_of(test)
            if named is None or reach is None or (test.protocol == "udp" and reach in {"timeout", "mixed"}):
                continue
            pod = None if is_vip else self._pods[named[0]].get(test.ip) or target_of(self._evidence, test)
            if is_spare(self._evidence, *named, test.protocol):
                continue
            permitted = self._permitted(source, *named, test, pod)
            by_rule = is_refused_by_rule(test)
            for service, port in (named,) if is_vip else self._all_behind(named, test):
                tests = found.setdefault(service, ServiceTests())
                asked = ServiceTest(
                    source,
                    node,
                    port,
                    test.protocol.upper(),
                    reach,
                    test.latency_ms,
                    permitted,
                    pod,
                    test.ip,
                    was_alone=bool(test.alone),
                    is_refused_by_rule=by_rule,
                )
                (tests.vip if is_vip else tests.direct).append(asked)
        return found

    def _all_behind(self, named: tuple[Subject, int], test: Test) -> Iterable[tuple[Subject, int]]:
        """Every Service and port that leads to the endpoint: it is dialled once for all of them."""
        return dict.fromkeys((named, *self._sharing.get((test.ip, test.port, test.protocol.upper()), ())))

    def _service(self, name: str) -> tuple[Subject, int] | None:
        if name not in self._named:
            named = self._named[name] = service_of(name)
            if named is not None and named[0] not in self._behind:
                behind = self._behind[named[0]] = tuple(backends(self._evidence, named[0]))
                self._pods[named[0]] = {each.ip: each.pod for each in behind if each.pod}
        return self._named[name]

    def _permitted(self, source: Subject, service: Subject, port: int, test: Test, pod: Subject | None) -> Verdict:
        own = self._evidence.pods.get(source)
        is_plain = own is not None and not own.spec.host_network and own.status.pod_ip not in self._pods[service]
        key = (self._index.kind_of(source) if is_plain else source, service.name, test.ip, test.port, test.protocol)
        known = self._verdicts.get(key)
        if known is None:
            known = (
                self._through(source, service, port, test.protocol.upper())
                if test.purpose == "cluster-ip"
                else self._to(source, test, pod)
            )
            self._verdicts[key] = known
        return known

    def _through(self, source: Subject, service: Subject, port: int, protocol: str) -> Verdict:
        """The worst verdict of all ready endpoints: any of them may be the one that a connection meets."""
        verdicts = {
            self._allowed(source, each.pod, each.ip, each.port, each.protocol, by_service=True)
            for each in self._behind[service]
            if (each.service_port, each.protocol) == (port, protocol) and each.is_ready
        }
        return "no" if "no" in verdicts else "unknown" if "unknown" in verdicts else "yes"

    def _to(self, source: Subject, test: Test, pod: Subject | None) -> Verdict:
        return self._allowed(source, pod, test.ip, test.port, test.protocol)

    def _allowed(
        self, source: Subject, pod: Subject | None, ip: str, port: int, protocol: str, *, by_service: bool = False
    ) -> Verdict:
        """An address that is no pod's is judged as a node: only the source's own egress policies can deny it."""
        end = pod or facts.node(self._evidence.node_by_ip.get(ip, ip))
        return allowed(self._evidence, source, end, port, protocol, by_service=by_service).verdict


@once_per_evidence
def spare_ports(evidence: Evidence) -> frozenset[tuple[Subject, int]]:
    """UDP ports beside a TCP port of the same number, where the pods listen on TCP alone and nobody sends UDP.

    Charts often open both: that nobody takes UDP there is no fault, as long as nobody is known to need it.
    """
    sent = {(each.target, each.port) for each in needed_flows(evidence) if each.protocol == "UDP"}
    found: set[tuple[Subject, int]] = set()
    for service in evidence.services:
        ends = [each for each in backends(evidence, service) if each.is_ready]
        by_tcp = {(each.service_port, each.port) for each in ends if each.protocol == "TCP"}
        twins = [each for each in ends if each.protocol == "UDP" and (each.service_port, each.port) in by_tcp]
        for port in {each.service_port for each in twins} - UDP_PORTS:
            listening = {
                listens_at(evidence.pod_reports.get(each.pod) if each.pod else None, each)
                for each in twins
                if each.service_port == port
            }
            if listening == {"other-protocol"} and (service, port) not in sent:
                found.add((service, port))
    return frozenset(found)


def is_spare(evidence: Evidence, service: Subject, port: int, protocol: str) -> bool:
    """Whether a Service's port is one of these; the protocol as Services or as tests write it."""
    return protocol.upper() == "UDP" and (service, port) in spare_ports(evidence)


def _without_doubts(asked: Iterable[ServiceTest]) -> list[ServiceTest]:
    """Those that did not time out beside all the others, or were tried again by themselves."""
    return [each for each in asked if each.was_alone or each.reach not in {"timeout", "mixed"}]


def _ports_of_endpoints(evidence: Evidence) -> Mapping[tuple[str, int, str], Sequence[tuple[Subject, int]]]:
    """Address, port and protocol of each ready endpoint -> the Services and ports that it stands behind."""
    found: dict[tuple[str, int, str], list[tuple[Subject, int]]] = defaultdict(list)
    for service in evidence.services:
        for each in backends(evidence, service):
            if each.is_ready:
                found[each.ip, each.port, each.protocol].append((service, each.service_port))
    return found


def by_source(asked: Iterable[ServiceTest]) -> Mapping[Subject, list[ServiceTest]]:
    """Tests by who asked, in order of name."""
    found: dict[Subject, list[ServiceTest]] = defaultdict(list)
    for each in asked:
        found[each.source].append(each)
    return {source: found[source] for source in sorted(found, key=lambda one: one.name)}


def not_denied(asked: Iterable[ServiceTest]) -> Iterator[ServiceTest]:
    """Those that succeeded, and those that failed though NetworkPolicies do not deny them.

    Failures from nodes count only where policies certainly allow them: what a node sends to a pod of another node
    under a policy is left to each implementation.
    """
    for each in asked:
        if each.reach == "ok" or each.permitted == "yes" or (each.is_from_pod and each.permitted == "unknown"):
            yield each


def asked_of_dns_pods(evidence: Evidence, service: Subject) -> list[ServiceTest]:
    """The questions to pods behind a DNS Service, as tests of its endpoints: whoever answers at all is reached.

    They go to port 53; where the Service leads to another one, they say nothing of its endpoints. Nor does silence on
    a name that is not the cluster's: the DNS pod waits for somebody else then.
    """
    behind = (each for each in backends(evidence, service) if each.pod and each.service_port == DNS_PORT)
    ends = {each.ip: each for each in behind if each.port == DNS_PORT}
    found: list[ServiceTest] = []
    for source, node, test in evidence.tests:
        end, reach = ends.get(test.ip), reach_of(test)
        if test.purpose != "dns-pod" or end is None or end.pod is None or reach is None:
            continue
        if reach == "timeout" and not is_inside(test.name):
            continue
        protocol = "TCP" if test.protocol == "dns-tcp" else "UDP"
        verdict = allowed(evidence, source, end.pod, end.port, protocol).verdict
        found.append(ServiceTest(source, node, DNS_PORT, protocol, reach, test.latency_ms, verdict, end.pod, test.ip))
    return found


@once_per_evidence
def asked_of_dns_services(evidence: Evidence) -> Mapping[Subject, ServiceTests]:
    """The questions to DNS Services for names of the cluster, and to the pods behind, as tests of these.

    What a pod with its node's network asks, the node asks.
    """
    found: dict[Subject, ServiceTests] = {}
    behind = {service: [each for each in backends(evidence, service) if each.pod] for service in evidence.dns_services}
    at = {evidence.services[service].spec.cluster_ip: service for service in evidence.dns_services}
    for source, node, test in evidence.tests:
        service, reach = at.get(test.ip), reach_of(test)
        if test.purpose not in {"dns-service", "dns-own"} or service is None or reach is None:
            continue
        if not is_inside(test.name):
            continue
        protocol = "TCP" if test.protocol == "dns-tcp" else "UDP"
        pod = evidence.pods.get(source)
        sender = facts.node(node) if pod is not None and pod.spec.host_network else source
        verdicts = {
            allowed(evidence, sender, each.pod, each.port, protocol, by_service=True).verdict
            for each in behind[service]
            if (each.service_port, each.protocol) == (DNS_PORT, protocol) and each.is_ready and each.pod
        }
        permitted = "no" if "no" in verdicts else "unknown" if "unknown" in verdicts else "yes"
        asked = ServiceTest(sender, node, DNS_PORT, protocol, reach, test.latency_ms, permitted, None, test.ip)
        found.setdefault(service, ServiceTests()).vip.append(asked)
    for service, tests in found.items():
        tests.direct = asked_of_dns_pods(evidence, service)
    return found
