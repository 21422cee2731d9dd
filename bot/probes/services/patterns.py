"""Who fails to reach a Service, and what the failing ones have in common."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import median

from bot.domain import facts
from bot.domain.facts import Ends, Subject
from bot.probes.engine.evidence import Evidence
from bot.probes.services.attempts import ServiceTest, ServiceTests, by_source, not_denied
from bot.probes.services.backends import Backend
from bot.probes.shared.reach import aggregate

FAILS_FROM = ("none", "some-nodes", "all-nodes", "some-pods")
MAX_FLOWS = 64
HEADLESS = "it is headless: clients dial its pods themselves"
UDP_SILENCE = "it is served over UDP only, where silence proves nothing"

States = Mapping[Subject, str]
"""By source what came of all its tests: a reach value."""


def states(asked: Iterable[ServiceTest]) -> States:
    """What came of each source's tests together."""
    found: dict[Subject, str] = {}
    for source, tests in by_source(asked).items():
        reach = tests[0].reach if len(tests) == 1 else aggregate(each.reach for each in tests)
        if reach is not None:
            found[source] = reach
    return found


def preferred(asked: Sequence[ServiceTest]) -> list[ServiceTest]:
    """The tests from pods; from nodes where no pod asked."""
    return [each for each in asked if each.is_from_pod] or list(asked)


def fails_from(asked: Sequence[ServiceTest]) -> str | None:
    """Where those are that do not (always) reach: on whole nodes, or some pods only."""
    of = states(preferred(asked))
    if not of:
        return None
    node = {each.source: each.node for each in asked}
    bad = {source for source, reach in of.items() if reach != "ok"}
    if not bad:
        return "none"
    if len(bad) == len(of):
        return "all-nodes"
    nodes = {node[source] for source in bad}
    whole = all(source in bad for source in of if node[source] in nodes)
    return "some-nodes" if whole else "some-pods"


def failing_nodes(asked: Sequence[ServiceTest]) -> tuple[str, ...]:
    """Nodes of which every source that asked fails."""
    of = states(preferred(asked))
    node = {each.source: each.node for each in asked}
    good = {node[source] for source, reach in of.items() if reach == "ok"}
    return tuple(sorted({node[source] for source, reach in of.items() if reach != "ok"} - good))


def failing_after_ms(asked: Iterable[ServiceTest]) -> float | None:
    """The median time until a failure was known."""
    times = [each.latency_ms for each in asked if each.reach != "ok"]
    return round(median(times), 1) if times else None


def failing_flows(tests: ServiceTests, ready: Sequence[Backend], nodes: Mapping[str, str]) -> Iterator[Ends]:
    """Each failing flow that no policy denies, from its source to an endpoint; None for one that is no pod or node.

    `nodes` are names by address: the Kubernetes API's own endpoints are nodes, mostly.

    A source that fails through the ClusterIP is held against the endpoints that it cannot reach directly either; if
    it reaches all of them, against all.
    """
    direct: dict[Subject, set[Subject]] = {}
    for each in not_denied(tests.direct):
        end = _end(each.backend, each.ip, nodes)
        if each.reach != "ok" and end:
            direct.setdefault(each.source, set()).add(end)
    every = sorted({end for backend in ready if (end := _end(backend.pod, backend.ip, nodes))})
    bad = [source for source, reach in states(not_denied(preferred(tests.vip))).items() if reach != "ok"]
    for source in bad:
        ends = sorted(direct.get(source, ())) or every
        for end in ends:
            if end != source or len(ends) == 1:
                yield source, end
        if not ends:
            yield source, None


def _end(pod: Subject | None, ip: str, nodes: Mapping[str, str]) -> Subject | None:
    return pod or (facts.node(nodes[ip]) if ip in nodes else None)


def dead_endpoints(tests: ServiceTests) -> tuple[str, ...]:
    """Endpoint pods of which nobody who was allowed to reached one of the ports."""
    reaches: dict[tuple[Subject, int], set[str]] = {}
    for each in not_denied(tests.direct):
        if each.backend:
            reaches.setdefault((each.backend, each.port), set()).add(each.reach)
    return tuple(sorted({pod.name for (pod, _), found in reaches.items() if not found & {"ok", "mixed"}}))


def hairpin_fails(tests: ServiceTests, ready: Sequence[Backend]) -> tuple[bool | None, str]:
    """Whether pods behind the Service fail through it that reach all others of its endpoints, while nobody else fails.

    One is enough: hairpin is a setting of each port. Where there are several endpoints, such a pod fails now and then.
    """
    own = {backend.pod for backend in ready}
    of = states(each for each in not_denied(tests.vip) if each.is_from_pod)
    inside = {source: reach for source, reach in of.items() if source in own}
    others = [reach for source, reach in of.items() if source not in own]
    if not inside:
        return None, "no pod behind the Service tried its ClusterIP"
    if not others:
        return None, "only pods behind the Service tried its ClusterIP: nothing to compare them with"
    lost = {each.source for each in not_denied(tests.direct) if each.reach != "ok" and each.backend != each.source}
    failing = {source for source, reach in inside.items() if reach != "ok"}
    return bool(failing) and not failing & lost and all(reach == "ok" for reach in others), ""


def hairpin_off(evidence: Evidence, tests: ServiceTests, ready: Sequence[Backend]) -> tuple[bool | None, str]:
    """Whether the bridge port of each pod that fails to reach itself through the Service has hairpin off."""
    own = {backend.pod for backend in ready}
    of = states(each for each in not_denied(tests.vip) if each.source in own)
    flags = {_is_hairpin_on(evidence, source) for source, reach in of.items() if reach != "ok"}
    if not flags:
        return None, "no pod behind the Service fails through it"
    if None in flags:
        return None, "the node's end of a pod's link is no port of a bridge, or was not read"
    return flags == {False}, ""


def _is_hairpin_on(evidence: Evidence, pod: Subject) -> bool | None:
    report, own = evidence.reports.get(evidence.node_of(pod)), evidence.pod_reports.get(pod)
    links = report.root.links if report and own else ()
    return next((link.is_hairpin for link in links if own and link.name == own.host_link), None)


def same_node_only_fails(tests: ServiceTests, ready: Sequence[Backend]) -> tuple[bool | None, str]:
    """Whether the ClusterIP fails exactly for sources on nodes that carry one of its (directly reached) endpoints."""
    of = states(each for each in not_denied(tests.vip) if each.is_from_pod)
    node = {each.source: each.node for each in tests.vip}
    hosting = {backend.node for backend in ready if backend.node}
    near = [reach for source, reach in of.items() if node[source] in hosting]
    far = [reach for source, reach in of.items() if node[source] not in hosting]
    if not near:
        return None, "no source tried from a node that runs an endpoint"
    if all(reach == "ok" for reach in near):
        return False, ""
    direct = states(each for each in not_denied(tests.direct) if each.is_from_pod and each.node in hosting)
    if not far or not direct:
        return None, "no source tried from a node without endpoints" if not far else "no endpoint was tried directly"
    all_near_fail = all(reach != "ok" for reach in near)
    return all_near_fail and all(reach == "ok" for reach in (*far, *direct.values())), ""


def usable(
    evidence: Evidence, service: Subject, tests: ServiceTests, ready: Sequence[Backend]
) -> Iterator[ServiceTest]:
    """Tests through the ClusterIP that speak of their node: there are endpoints, none is dead, no policy denies."""
    if ready and service in evidence.services and not dead_endpoints(tests):
        yield from not_denied(tests.vip)
