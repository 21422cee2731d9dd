"""The tests of each Service, arranged by who asked: through its ClusterIP, and its endpoints directly.

A flow that NetworkPolicies deny (by the arithmetic of the API) fails as it should: it is kept apart, so that it is
never taken for a broken network. UDP silence proves nothing and counts as no test.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from bot.agent.report import Test
from bot.domain import facts
from bot.domain.facts import Subject, SubjectKind
from bot.probes.evidence import Evidence
from bot.probes.outcomes import reach_of, target_of
from bot.probes.policy_arithmetic import Verdict, allowed
from bot.probes.service_view import Backend, backends, service_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One test of a Service and what came of it."""

    source: Subject
    """A pod, or a node for its root namespace."""
    node: str
    """The source's node."""
    port: int
    """The Service's port."""
    reach: str
    latency_ms: float
    permitted: Verdict
    """Whether NetworkPolicies allow it; through the ClusterIP "yes" only if to every ready endpoint."""
    backend: Subject | None = None
    """The endpoint's pod, for a direct test."""
    ip: str = ""

    @property
    def is_from_pod(self) -> bool:
        """Whether a pod asked."""
        return self.source.kind is SubjectKind.POD


@dataclass(slots=True, kw_only=True)
class ServiceTests:
    """All tests of one Service."""

    vip: list[Asked] = field(default_factory=list[Asked])
    direct: list[Asked] = field(default_factory=list[Asked])


def tests_by_service(evidence: Evidence) -> Mapping[Subject, ServiceTests]:
    """The tests of every Service that was tested."""
    found: dict[Subject, ServiceTests] = defaultdict(ServiceTests)
    behind: dict[Subject, tuple[Backend, ...]] = {}
    for source, node, test in evidence.tests:
        if test.purpose not in {"cluster-ip", "endpoint"} or test.protocol not in {"tcp", "udp"}:
            continue
        named = service_of(test.name if test.purpose == "cluster-ip" else test.service)
        reach = reach_of(test)
        if named is None or reach is None or (test.protocol == "udp" and reach in {"timeout", "mixed"}):
            continue
        service, port = named
        if service not in behind:
            behind[service] = tuple(backends(evidence, service))
        if test.purpose == "cluster-ip":
            ready = (each for each in behind[service] if each.service_port == port and each.is_ready)
            permitted = _through(evidence, source, ready)
            found[service].vip.append(_asked(source, node, port, test, reach, permitted))
        else:
            pod = target_of(evidence, test)
            end = pod or facts.node(evidence.node_by_ip.get(test.ip, test.ip))
            permitted = allowed(evidence, source, end, test.port, test.protocol).verdict
            found[service].direct.append(_asked(source, node, port, test, reach, permitted, pod))
    return found


def _asked(
    source: Subject,
    node: str,
    port: int,
    test: Test,
    reach: str,
    permitted: Verdict,
    backend: Subject | None = None,
) -> Asked:
    return Asked(
        source=source,
        node=node,
        port=port,
        reach=reach,
        latency_ms=test.latency_ms,
        permitted=permitted,
        backend=backend,
        ip=test.ip,
    )


def _through(evidence: Evidence, source: Subject, ready: Iterable[Backend]) -> Verdict:
    """The worst verdict of all ready endpoints: any of them may be the one that a connection meets."""
    verdicts = {_to_backend(evidence, source, each) for each in ready}
    if "no" in verdicts:
        return "no"
    return "unknown" if "unknown" in verdicts else "yes"


def _to_backend(evidence: Evidence, source: Subject, backend: Backend) -> Verdict:
    """An address that is no pod's is judged as a node: only the source's own egress policies can deny it."""
    target = backend.pod or facts.node(evidence.node_by_ip.get(backend.ip, backend.ip))
    return allowed(evidence, source, target, backend.port, backend.protocol).verdict


def by_source(asked: Iterable[Asked]) -> Mapping[Subject, list[Asked]]:
    """Tests by who asked, in order of name."""
    found: dict[Subject, list[Asked]] = defaultdict(list)
    for each in asked:
        found[each.source].append(each)
    return {source: found[source] for source in sorted(found)}


def not_denied(asked: Iterable[Asked]) -> Iterator[Asked]:
    """Those that succeeded, and those that failed though NetworkPolicies do not deny them.

    Failures from nodes count only where policies certainly allow them: what a node sends to a pod of another node
    under a policy is left to each implementation.
    """
    for each in asked:
        if each.reach == "ok" or each.permitted == "yes" or (each.is_from_pod and each.permitted == "unknown"):
            yield each
