"""Strangers' rules that take kube-proxy's mark off the connections that cannot do without it.

kube-proxy marks what it is to masquerade when it translates (nat, prerouting and output), and looks for the mark when
the packet leaves (nat, postrouting). A rule in between that writes a mark of its own over it takes nothing and counts
as nobody's drop; yet a pod that its Service leads back to itself, or a node whose connection goes to another node's pod
with an address that is not for the tunnel, gets no answer.

Source: https://kubernetes.io/docs/reference/networking/virtual-ips/
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bot.agent.report import Test
from bot.domain import facts
from bot.domain.facts import Subject, SubjectKind
from bot.probes.engine.evidence import Evidence
from bot.probes.engine.once import once_per_evidence
from bot.probes.filters.journeys import DNAT_PRIORITY, SNAT_PRIORITY, Journeys, Leg, Stop
from bot.probes.filters.rule_owners import owners_of
from bot.probes.filters.walking import Filters, Taking
from bot.probes.services.attempts import (
    ServiceTest,
    ServiceTests,
    asked_of_dns_services,
    not_denied,
    tests_by_service,
)
from bot.probes.services.backends import Backend, backends
from bot.probes.services.patterns import hairpin_fails

_LOST = frozenset({"timeout", "mixed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmarking:
    """The rules of one node."""

    sure: tuple[Taking, ...] = ()
    """Each meets connections that failed for want of the mark, and none that had it and succeeded."""
    perhaps: tuple[Taking, ...] = ()


@once_per_evidence
def unmarking_rules(evidence: Evidence) -> Mapping[Subject, Unmarking]:
    """By node; no entry where the ways to the rules were not read, nor where programs do kube-proxy's work."""
    owners = owners_of(evidence.cni.name)
    filters = {
        facts.node(name): Filters(firewall, lambda table, chain: not owners.own(table, chain))
        for name, report in evidence.reports.items()
        if (firewall := report.root.firewall) is not None and firewall.steps is not None
    }
    if evidence.cni.kube_proxy_mode == "ebpf":
        return {}
    failed: dict[Subject, dict[Taking, bool | None]] = defaultdict(dict)
    passed: set[tuple[Subject, Taking]] = set()
    ways = Journeys(evidence)
    for service, tests in (*tests_by_service(evidence).items(), *asked_of_dns_services(evidence).items()):
        ready = [each for each in backends(evidence, service) if each.is_ready]
        for test in not_denied(tests.vip):
            node = facts.node(test.node)
            is_contrast = _is_contrast(test, tests, ready)
            for leg in _legs(evidence, ways, test) if node in filters else ():
                for taking, is_sure in _met(filters[node], leg):
                    if test.reach in _LOST and is_contrast is not False:
                        failed[node][taking] = (is_sure and is_contrast) or failed[node].get(taking)
                    elif test.reach == "ok" and is_sure and leg.is_certain and leg.server == test.source:
                        passed.add((node, taking))
    return {node: _of(node, failed[node], passed) for node in filters}


def _of(node: Subject, failed: Mapping[Taking, bool | None], passed: set[tuple[Subject, Taking]]) -> Unmarking:
    left = {taking: is_sure for taking, is_sure in failed.items() if (node, taking) not in passed}
    return Unmarking(
        sure=tuple(taking for taking, is_sure in left.items() if is_sure),
        perhaps=tuple(taking for taking, is_sure in left.items() if not is_sure),
    )


def _is_contrast(test: ServiceTest, tests: ServiceTests, ready: Sequence[Backend]) -> bool | None:
    """Whether all who need no mark reach the Service, which so is not to blame; None where none of them tried.

    Those are other pods, or where none tried the node itself, which reaches the endpoints directly.
    """
    if test.is_from_pod:
        return hairpin_fails(tests, ready)[0]
    own = {backend.pod for backend in ready}
    others = {each.reach for each in not_denied(tests.vip) if each.is_from_pod and each.source not in own}
    others = others or {each.reach for each in not_denied(tests.direct) if each.source == test.source}
    return others == {"ok"} if others else None


def _legs(evidence: Evidence, ways: Journeys, test: ServiceTest) -> Iterator[Leg]:
    """The ways through the client's node of connections that need masquerading: back to itself, or off a node."""
    tried = Test(
        source="node",
        purpose="cluster-ip",
        protocol="udp" if test.protocol == "UDP" else "tcp",
        ip=test.ip,
        port=test.port,
        outcome="timeout",
    )
    for leg in ways.of(test.source, test.node, tried):
        is_back = leg.server is not None and leg.server == test.source
        server_node = evidence.node_of(leg.server) if leg.server is not None else ""
        is_off = test.source.kind is SubjectKind.NODE and server_node not in {"", test.node}
        if not leg.is_reply and leg.place == facts.node(test.node) and (is_back or is_off):
            yield leg


def _met(filters: Filters, leg: Leg) -> Iterator[tuple[Taking, bool | None]]:
    """The rules on the way between where kube-proxy marks and where it looks for the mark."""
    course = filters.course()
    for stop in leg.stops:
        filters.pass_hook(stop.hook, stop.families, stop.packet_at, stop.device, course)
    hooks = {stop.hook: stop for stop in leg.stops if not stop.is_outer and not stop.device}
    for taking, is_sure in course.unmarked.items():
        stop = hooks.get(taking.hook.hook.lower())
        if stop is not None and _is_between(taking, stop):
            yield taking, is_sure


def _is_between(taking: Taking, stop: Stop) -> bool:
    match stop.hook:
        case "prerouting" | "output":
            return taking.hook.priority > DNAT_PRIORITY
        case "postrouting":
            return taking.hook.priority < SNAT_PRIORITY
        case _:
            return stop.hook == "forward"
