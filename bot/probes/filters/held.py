"""Which rules took the packets of flows that failed: each rule held against every flow that was tried.

Flows that are needed and passed are held against rules a second time, as what no test sends: full packets of data, and
packets that a rule of chance meets. A rule that surely takes these breaks the flow, however well it opened.

A rule that surely takes a flow which failed, and no flow which passed, is as good as seen, counter or not. One that
surely takes a flow which passed is read wrongly by us (a set has changed, a fast path goes round it) and is let be. A
rule whose counter stood still took nothing. Above all that is the kernel's own word: a rule at whose hook it dropped
packets that were followed, and that alone can have done it, took them.

Rules that rewrite packets are held likewise; one that sends a flow to somebody else breaks it even if that one answers.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from bot.agent.report import Firewall, FirewallRule, NetnsState, Test
from bot.domain import facts
from bot.domain.facts import Subject, SubjectKind
from bot.probes.engine.evidence import Evidence
from bot.probes.engine.once import once_per_evidence
from bot.probes.filters.journeys import Journeys, Kind, Leg, Stop
from bot.probes.filters.rewriting import Rewriting, rewriting
from bot.probes.filters.rule_owners import Owners, maps_ports, owners_of
from bot.probes.filters.traced import traced_drops
from bot.probes.filters.walking import Filters, Taking
from bot.probes.policy.enforcement import allowed, enforces_policy
from bot.probes.policy.evaluation import policy_index
from bot.probes.services.kubelet_probes import readiness_ports, unconnected
from bot.probes.services.needed import needs
from bot.probes.shared.reach import target_of

FULL_BYTES = 1400
"""A full packet, where the MTU of its pod is not known."""
MAX_FLOWS = 1500
"""Flows that are held against rules, of those that failed and of those that passed."""
_LOST = frozenset({"timeout", "EPERM"})
_REFUSED = frozenset({"ECONNREFUSED", "reset"})
_OUT_OF_HOPS = frozenset({"ttl-exceeded", "hop-limit-exceeded"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Untried:
    """Packets of a needed flow that passed when it was tried: what of it a rule surely takes."""

    source: Subject
    service: Subject
    endpoint: Subject | None
    port: int
    is_data: bool
    """Full packets of data; else some of all packets, by chance."""
    is_reply: bool
    is_elsewhere: bool = False
    """All of them, for they come to somebody else, who answers."""


CROWD = 50
"""So many connections at once (a second) are nothing unusual for a Service's clients together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A rule of one namespace, and what it does to the flows that were tried."""

    place: Subject
    """The node, or the pod whose own namespace it is."""
    taking: Taking
    packets_delta: int | None
    """By how much its counter grew; None when it has none."""
    failed: tuple[str, ...] = ()
    """Flows that failed and that it surely takes: "SOURCE to TARGET", "answers to …"."""
    perhaps: tuple[str, ...] = ()
    """Flows that failed and that it may take."""
    untried: tuple[Untried, ...] = ()
    """What it surely takes of needed flows that passed."""
    crowded: tuple[Subject, ...] = ()
    """Services of whose needed connections, which passed one by one, it takes some once they are many."""
    passed: int = 0
    """Flows that passed although it surely takes them, as we read it."""
    takes_tunnel: bool = False
    """What it takes of them are the tunnel's packets."""
    directions: frozenset[Literal["request", "reply"]] = frozenset()
    """Which packets of all these flows it surely takes."""
    is_traced: bool = False
    """The kernel said that it took packets which were followed."""

    @property
    def matches(self) -> bool:
        """Whether it accounts for flows that failed, by all that is known."""
        if self.is_traced:
            return True
        return not self.passed and (bool(self.untried) or (bool(self.failed) and self.packets_delta != 0))

    @property
    def may_match(self) -> bool:
        """Whether it may account for flows that failed."""
        return self.matches or (bool(self.perhaps) and not self.passed and self.packets_delta != 0)


@dataclass(slots=True)
class _Tally:
    failed: dict[str, None]
    perhaps: dict[str, None]
    untried: dict[Untried, None]
    crowded: dict[Subject, None] = field(default_factory=dict[Subject, None])
    passed: int = 0
    is_outer: bool = True
    """Of what it surely takes, all are tunnel packets."""
    directions: set[Literal["request", "reply"]] = field(default_factory=set[Literal["request", "reply"]])
    is_traced: bool = False


@once_per_evidence
def held_rules(evidence: Evidence) -> Mapping[Subject, tuple[Held, ...]]:
    """By node and by pod the rules that may take packets of flows that were tried, and are not the CNI's own.

    A place whose rules were not read (or by an agent that did not tell the ways to them) has no entry.
    """
    return _Holding(evidence).held()


class _Holding:
    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        owners = owners_of(evidence.cni.name)
        self._firewalls: dict[Subject, Firewall] = {}
        self._states: dict[Subject, NetnsState] = {}
        self._filters: dict[Subject, Filters] = {}
        self._is_wanted: dict[Subject, Callable[[str, str], bool]] = {}
        for node, report in evidence.reports.items():
            self._add(facts.node(node), report.root, lambda table, chain: _is_strangers(owners, table, chain))
        for pod, report in evidence.pod_reports.items():
            if report.state:
                self._add(pod, report.state, lambda _table, _chain: True)
        self._tallies: dict[tuple[Subject, Taking], _Tally] = defaultdict(lambda: _Tally({}, {}, {}))

    def _add(self, place: Subject, state: NetnsState, is_wanted: Callable[[str, str], bool]) -> None:
        firewall = state.firewall
        if firewall is None or (firewall.steps is None and _may_take(firewall, is_wanted)):
            return
        self._firewalls[place], self._states[place] = firewall, state
        self._is_wanted[place] = is_wanted
        filters = Filters(firewall, is_wanted)
        if not filters.is_empty:
            self._filters[place] = filters

    def held(self) -> Mapping[Subject, tuple[Held, ...]]:
        if self._filters:
            ways = Journeys(self._evidence)
            for source, node, test in self._in_question():
                for leg in ways.of(source, node, test):
                    for taken in self._taking(leg, ways.targets(test)):
                        self._count(leg, taken, source, test)
            self._hold_untried(ways)
        self._hold_traced()
        found: dict[Subject, list[Held]] = {place: [] for place in self._firewalls}
        for (place, taking), tally in self._tallies.items():
            found[place].append(
                Held(
                    place=place,
                    taking=taking,
                    packets_delta=growth_of(self._firewalls[place], taking),
                    failed=tuple(tally.failed),
                    perhaps=tuple(tally.perhaps),
                    untried=tuple(tally.untried),
                    crowded=tuple(tally.crowded),
                    passed=tally.passed,
                    takes_tunnel=tally.is_outer,
                    directions=frozenset(tally.directions),
                    is_traced=tally.is_traced,
                )
            )
        return {place: tuple(rules) for place, rules in found.items()}

    def _hold_traced(self) -> None:
        """The rules that took packets which were followed, where only one can have done it."""
        for traced in traced_drops(self._evidence).values():
            rule = traced.rule
            wanted = self._is_wanted.get(traced.place)
            if rule is None or wanted is None or not wanted(rule.table, rule.chain):
                continue
            tally = self._tallies[traced.place, rule]
            tally.is_outer = bool(traced.drop.tunnel) and (tally.is_outer or not tally.failed)
            tally.is_traced = True
            tally.directions.add("reply" if traced.drop.leg == "reply" else "request")
            source = self._evidence.pod_by_uid.get(traced.flow.source) or facts.node(traced.flow.node)
            answers = "answers to " if traced.drop.leg == "reply" else ""
            tally.failed.setdefault(f"{answers}{source.name} → {traced.flow.ip}")

    def _in_question(self) -> Iterator[tuple[Subject, str, Test]]:
        """The tests, each size of an MTU ladder as one; a bounded number of those that failed and of the others."""
        left = {True: MAX_FLOWS, False: MAX_FLOWS}
        for source, node, test in self._evidence.tests:
            is_ok = test.outcome == "ok"
            if left[is_ok] <= 0:
                continue
            left[is_ok] -= 1
            for one in _single(test):
                if one.outcome == "ok" or not self._is_denied(source, one):
                    yield source, node, one
        yield from self._unanswered_probes()

    def _unanswered_probes(self) -> Iterator[tuple[Subject, str, Test]]:
        """The kubelet's own questions to pods that run and are not ready, where ours did not get an answer for it."""
        answered = {
            (test.ip, test.port)
            for source, node, test in self._evidence.tests
            if source == facts.node(node) and test.protocol == "tcp" and 0 < test.ok == test.tries
        }
        for subject in self._evidence.scope_pods:
            pod = self._evidence.pods[subject]
            node = pod.spec.node_name
            if node not in self._evidence.reports or pod.status.phase != "Running" or pod.is_ready:
                continue
            for port in readiness_ports(pod):
                if (pod.status.pod_ip, port) in answered and not unconnected(self._evidence, pod):
                    continue
                name = f"{subject.name} (readiness probe)"
                yield (
                    facts.node(node),
                    node,
                    Test(
                        source="node",
                        purpose="dial",
                        protocol="tcp",
                        ip=pod.status.pod_ip,
                        port=port,
                        name=name,
                        outcome="timeout",
                    ),
                )

    def _is_denied(self, source: Subject, test: Test) -> bool:
        """Whether NetworkPolicies forbid the flow: then its failing says nothing of rules of others."""
        evidence = self._evidence
        if enforces_policy(evidence) is False or policy_index(evidence).is_empty:
            return False
        target = target_of(evidence, test)
        if target is None:
            return False
        pods = (
            [target] if target.kind is not SubjectKind.SERVICE else evidence.relations.pods_of_service.get(target, ())
        )
        protocol = {"dns-udp": "UDP", "dns-tcp": "TCP", "mtu": "ICMP"}.get(test.protocol, test.protocol.upper())
        port = None if target.kind is SubjectKind.SERVICE else test.port or None
        return bool(pods) and all(allowed(evidence, source, pod, port, protocol).is_denied for pod in pods)

    def _taking(self, leg: Leg, targets: frozenset[str]) -> Iterator["_Taken"]:
        """The rules that take a leg's packet, or rewrite it to its harm."""
        filters = self._filters.get(leg.place)
        if filters is None:
            return
        course = filters.course()
        for stop in leg.stops:
            before = dict(course.taken)
            filters.pass_hook(stop.hook, stop.families, stop.packet_at, stop.device, course)
            for taking, is_sure in course.taken.items():
                if taking in before and (not is_sure or before[taking]):
                    continue
                # Before a Service's address is translated it is all the same which endpoint it will be.
                is_certain = bool(is_sure) and (leg.is_certain or (stop.behind is not None and taking.is_rewriting))
                does = self._rewriting(taking, stop, leg, targets) if taking.is_rewriting else None
                if does is None or does.is_harm is not False:
                    is_certain = is_certain and (does is None or does.is_harm is True)
                    is_elsewhere = does is not None and does.is_elsewhere
                    yield _Taken(taking=taking, is_sure=is_certain, is_outer=stop.is_outer, is_elsewhere=is_elsewhere)

    def _rewriting(self, taking: Taking, stop: Stop, leg: Leg, targets: frozenset[str]) -> Rewriting:
        proxy = self._evidence.cni.kube_proxy_mode
        return rewriting(taking, stop, leg, state=self._states[leg.place], targets=targets, proxy=proxy)

    def _hold_untried(self, ways: Journeys) -> None:
        """What no test sends of the needed flows that passed."""
        for source, node, test in self._evidence.tests:
            service = target_of(self._evidence, test) if test.purpose == "cluster-ip" else None
            is_ok = test.outcome == "ok" and test.protocol == "tcp" and test.ok in {0, test.tries}
            if service is None or not is_ok or not needs(self._evidence, source, service, test.port):
                continue
            for leg in ways.of(source, node, test, Kind(crowd=CROWD)):
                for taken in self._taking(leg, ways.targets(test)):
                    if taken.is_sure and not taken.taking.is_rewriting and not leg.is_reply:
                        self._tallies[leg.place, taken.taking].crowded.setdefault(service)
            data = Kind(length=_full_bytes(self._evidence, source), is_unlucky=True)
            for kind in (Kind(is_unlucky=True), data):
                for leg in ways.of(source, node, test, kind):
                    for taken in self._taking(leg, ways.targets(test)):
                        is_lost = taken.is_elsewhere if taken.taking.is_rewriting else True
                        if taken.is_sure and is_lost:
                            found = replace(_untried(source, service, test, leg, kind), is_elsewhere=taken.is_elsewhere)
                            self._note(leg, taken.taking, found, is_outer=taken.is_outer)

    def _note(self, leg: Leg, taking: Taking, found: Untried, *, is_outer: bool) -> None:
        """Where eBPF programs carry packets, these may pass a node's rules by: without a loss nothing is known."""
        tally = self._tallies[leg.place, taking]
        is_passed_by = leg.place.kind is SubjectKind.NODE and self._evidence.cni.kube_proxy_mode == "ebpf"
        if not is_passed_by and replace(found, is_data=False) not in tally.untried:
            tally.untried[found] = None
            tally.directions.add("reply" if leg.is_reply else "request")
            tally.is_outer = tally.is_outer and is_outer

    def _count(self, leg: Leg, taken: "_Taken", source: Subject, test: Test) -> None:
        taking, is_sure = taken.taking, taken.is_sure
        tally = self._tallies[leg.place, taking]
        match _fate(test, taking):
            case "passed" if taken.is_elsewhere:
                pass  # somebody else answered
            case "passed" if is_sure:
                tally.passed += 1
            case "lost":
                name = f"{'answers to ' if leg.is_reply else ''}{source.name} → {test.name or test.ip}"
                (tally.failed if is_sure else tally.perhaps)[name] = None
                if is_sure:
                    tally.directions.add("reply" if leg.is_reply else "request")
                tally.is_outer = tally.is_outer and (taken.is_outer or not is_sure)
            case "unclear":
                tally.perhaps[f"{source.name} → {test.name or test.ip}"] = None
            case _:
                pass


@dataclass(frozen=True, slots=True, kw_only=True)
class _Taken:
    """A rule that takes a packet."""

    taking: Taking
    is_sure: bool
    is_outer: bool
    """It is the tunnel's packet."""
    is_elsewhere: bool
    """It comes to somebody else."""


def _is_strangers(owners: Owners, table: str, chain: str) -> bool:
    """Whether what a rule there takes is asked about: a stranger's, or one for hostPorts, which may take too much."""
    return maps_ports(table, chain) or not owners.own(table, chain)


def _full_bytes(evidence: Evidence, pod: Subject) -> int:
    """The size of the packets in which a pod sends much data."""
    report = evidence.pod_reports.get(pod)
    links = report.state.links if report and report.state else ()
    return next((link.mtu for link in links if link.name == "eth0" and link.mtu), FULL_BYTES)


def _untried(source: Subject, service: Subject, test: Test, leg: Leg, kind: Kind) -> Untried:
    return Untried(
        source=source,
        service=service,
        endpoint=leg.server,
        port=test.port,
        is_data=bool(kind.length),
        is_reply=leg.is_reply,
    )


def _single(test: Test) -> Iterable[Test]:
    """A test, or for an MTU ladder one for each size."""
    if test.protocol != "mtu":
        return (test,)
    return [
        replace(test, outcome=step.outcome, tries=1, ok=int(step.outcome == "ok"), mtu_steps=(step,))
        for step in test.mtu_steps
        if step.outcome in {"ok", "timeout"}
    ]


def _fate(test: Test, taking: Taking) -> str:
    """What the outcome means for a rule of this kind: passed, lost, unclear, or "" when it has none to do with it."""
    if 0 < test.ok < test.tries:
        return "unclear"
    if test.outcome == "ok":
        return "passed"
    if test.outcome in _LOST or (taking.is_rewriting and _is_rewritings(test, taking)):
        return "lost"
    if not taking.is_reject:
        return "passed" if test.outcome in _REFUSED and not test.icmp else ""
    verdict = taking.step.verdict if taking.step else ""
    by_reset = "reset" in verdict
    if test.outcome in _REFUSED:
        return "lost" if by_reset is not bool(test.icmp) else "passed" if not test.icmp else ""
    return "lost" if test.icmp and not by_reset else ""


def _is_rewritings(test: Test, taking: Taking) -> bool:
    """Whether a rule that rewrites can make such a failure: nothing answers, a stranger does, or a router gives up."""
    return not test.icmp or (taking.kind == "ttl" and test.icmp in _OUT_OF_HOPS)


def growth_of(firewall: Firewall, taking: Taking) -> int | None:
    """By how much the rule's counter grew while the tests ran; None when it has none, or was read once."""
    step = taking.step
    if step is None:
        return taking.hook.packets_delta
    return next((rule.packets_delta for rule in firewall.drops if _is_of(rule, taking)), None)


def _is_of(rule: FirewallRule, taking: Taking) -> bool:
    step = taking.step
    return step is not None and (rule.backend, rule.family, rule.table, rule.chain, rule.text) == (
        step.backend,
        step.family,
        step.table,
        step.chain,
        step.text,
    )


def _may_take(firewall: Firewall, is_wanted: Callable[[str, str], bool]) -> bool:
    """Whether there is any drop that is asked for; without one there are no ways to read."""
    policies = (chain for chain in firewall.chains if chain.policy == "drop" and chain.hook)
    rules = firewall.drops_total > len(firewall.drops) or any(is_wanted(one.table, one.chain) for one in firewall.drops)
    return rules or any(is_wanted(one.table, one.chain) for one in policies)
