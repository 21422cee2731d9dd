"""Does a pod reach itself, by its loopback device?

Sidecars, probes that are commands, tools beside a database: they dial 127.0.0.1, ::1, localhost or the pod's own
address. These packets pass the pod's device lo and never leave it, so that nothing else shows when lo is down, has lost
its addresses, or when a rule in the pod drops there. What nobody in the pod is known to dial is reported and breaks
nothing.

Source: https://man7.org/linux/man-pages/man7/network_namespaces.7.html (a new namespace begins with lo down)
"""

from collections.abc import Iterator, Sequence

from bot.agent.report import Firewall, NetnsState, SelfTest
from bot.domain.facts import FactBuilder, FactTable, Subject, SubjectKind
from bot.domain.finding import Finding, Severity, Symptom, SymptomKind
from bot.probes.engine.evidence import Evidence
from bot.probes.engine.fact_spec import fact
from bot.probes.engine.needs import LOOK_AT_PODS
from bot.probes.engine.probe import Probe
from bot.probes.filters.held import growth_of
from bot.probes.filters.journeys import IP, IP6, NO_DEVICE
from bot.probes.filters.matching import Packet
from bot.probes.filters.naming import rule_in_words
from bot.probes.filters.walking import Filters, Taking
from bot.probes.services.dialled_names import lacks_localhost
from bot.probes.services.itself import LISTED, Itself, end_in_words, itself
from bot.probes.shared.pod_views import PodView, observable_pods
from bot.probes.shared.values import listed, strings

NAME = "loopback"
_LOOK = "nsenter -t <pid> -n ip addr show lo  # on <node>"
_TRIED = ("self_unreached", "self_reached", "lo_rules")
_DEVICE = frozenset({"lo"})

FACTS = (
    fact("pod.lo", "str", "The pod's loopback device.", look=_LOOK, values=("up", "down", "missing")),
    fact(
        "pod.lo_lacks",
        "list",
        "Loopback addresses that the pod's lo, though up, does not have; ::1 only where IPv6 is on there.",
        look=_LOOK,
    ),
    fact(
        "pod.self_unreached",
        "list",
        "Ports on which the pod listens, and to which connections from inside it do not pass.",
        look="nsenter -t <pid> -n ss -tln  # on <node>",
    ),
    fact(
        "pod.self_reached",
        "list",
        "Ports on which the pod listens, and to which connections from inside it pass.",
        look="nsenter -t <pid> -n ss -tln  # on <node>",
    ),
    fact(
        "pod.self_broken",
        "list",
        "Ways to itself that the pod is known to need (by its environment, arguments, commands that are probes, or "
        "sockets) and that fail.",
        look="kubectl get pod <pod> -o yaml",
    ),
    fact(
        "pod.lo_rules",
        "list",
        "Rules in the pod's own namespace that take what it sends to itself, of that which fails.",
        look="nsenter -t <pid> -n nft list ruleset  # on <node>",
    ),
    fact(
        "pod.localhost_missing",
        "str",
        'How the pod is known to dial "localhost", where neither its /etc/hosts nor its nameservers know that name; "" '
        "where it is known or nobody dials it.",
        look="kubectl exec <pod> -- cat /etc/hosts",
    ),
)


def observe(evidence: Evidence, into: FactBuilder) -> None:
    """From the pod's devices, and from connections that were tried inside it."""
    found = itself(evidence)
    for view in observable_pods(evidence):
        own = found.get(view.subject)
        if own is None:
            keys = ("lo", "lo_lacks", "self_broken", "localhost_missing", *_TRIED)
            into.miss_all(view.subject, keys, view.why or "the pod's own namespace was not read")
            continue
        _observe(evidence, view, own, into)


def _observe(evidence: Evidence, view: PodView, own: Itself, into: FactBuilder) -> None:
    pod = view.subject
    into.put(pod, "lo", own.lo, "the pod's interfaces were not read")
    has_looked = own.lo is not None and view.has_read("addresses")
    into.put(pod, "lo_lacks", own.lacks if has_looked else None, "the pod's addresses were not read")
    is_known = own.is_tried or bool(own.broken)
    into.put(pod, "self_broken", own.broken if is_known else None, "nothing was tried inside the pod")
    into.set(pod, "localhost_missing", lacks_localhost(evidence, pod))
    if not own.is_tried or view.state is None:
        into.miss_all(pod, _TRIED, "nothing was tried inside the pod")
        return
    into.set(pod, "self_unreached", tuple(map(end_in_words, own.failing))[:LISTED])
    into.set(pod, "self_reached", tuple(map(end_in_words, own.answering))[:LISTED])
    firewall = view.state.firewall
    is_read = firewall is not None and (firewall.steps is not None or not _drops(firewall) or not own.failing)
    rules = tuple(_rules(view.state, own, view.pod.status.pod_ip))[:LISTED] if is_read else None
    into.put(pod, "lo_rules", rules, "the pod's packet filter was not read")


def _drops(firewall: Firewall) -> bool:
    """Whether anything here takes packets: where nothing does, there are no ways to read."""
    return bool(firewall.drops or firewall.drops_total) or any(one.policy == "drop" for one in firewall.chains)


def _rules(state: NetnsState, own: Itself, ip: str) -> Iterator[str]:
    """Those that surely take what fails and nothing that passes, and whose counter did not stand still."""
    firewall = state.firewall
    if firewall is None or own.lo != "up" or not own.failing:
        return
    filters = Filters(firewall, lambda _table, _chain: True)
    passed = {taking for test in own.answering for taking in _takings(filters, test, ip)}
    for taking in dict.fromkeys(taking for test in own.failing for taking in _takings(filters, test, ip)):
        if taking not in passed and growth_of(firewall, taking) != 0:
            yield rule_in_words(taking)


def _takings(filters: Filters, test: SelfTest, own_ip: str) -> Iterator[Taking]:
    """There and back, each packet leaves by lo and comes in by it."""
    source = "::1" if test.ip == "::1" else "127.0.0.1" if test.ip.startswith("127.") else own_ip
    there = _packet(source, test.ip, is_ipv6=":" in test.ip) | {
        "dport": frozenset({str(test.port)}),
        "sport": None,
        "tcpflags": frozenset({"syn"}),
        "ctstate": frozenset({"new"}),
        "ctdirection": frozenset({"original"}),
    }
    back = _packet(test.ip, source, is_ipv6=":" in test.ip) | {
        "sport": frozenset({str(test.port)}),
        "dport": None,
        "tcpflags": frozenset({"syn,ack", "ack,syn"}),
        "ctstate": frozenset({"established"}),
        "ctdirection": frozenset({"reply"}),
    }
    families = IP6 if ":" in test.ip else IP
    for packet in (there, back):
        course = filters.course()
        for hook, iif, oif in (
            ("output", NO_DEVICE, _DEVICE),
            ("postrouting", NO_DEVICE, _DEVICE),
            ("prerouting", _DEVICE, NO_DEVICE),
            ("input", _DEVICE, NO_DEVICE),
        ):
            seen: Packet = {**packet, "iif": iif, "oif": oif}
            filters.pass_hook(hook, families, lambda _, it=seen: it, "lo", course)
        yield from (taking for taking, is_sure in course.taken.items() if is_sure and not taking.is_rewriting)


def _packet(source: str, target: str, *, is_ipv6: bool) -> dict[str, frozenset[str] | None]:
    nothing = frozenset[str]()
    return {
        "ethertype": frozenset({"ip6" if is_ipv6 else "ip"}),
        "proto": frozenset({"tcp"}),
        "saddr": frozenset({source}) if source else None,
        "daddr": frozenset({target}),
        "daddrtype": frozenset({"local"}),
        "length": frozenset({"60"}),
        "icmptype": nothing,
        "arpop": nothing,
    }


def judge(table: FactTable) -> Sequence[Finding]:
    """FAIL where a needed way to itself fails, WARN where one fails that nobody is known to need."""
    return [finding for pod in table.subjects(SubjectKind.POD) for finding in _about(table, pod)]


def _about(table: FactTable, pod: Subject) -> Iterator[Finding]:
    known = table.of(pod)
    broken, localhost = strings(known.get("self_broken")), known.get("localhost_missing")
    lo, lacks, unreached = known.get("lo"), strings(known.get("lo_lacks")), strings(known.get("self_unreached"))
    if broken:
        yield _fail(pod, f"Pod {pod.name} does not reach itself: {listed(broken)}.", broken)
    elif lo in {"down", "missing"}:
        yield _warn(pod, f"In pod {pod.name} the loopback device lo is {lo}; nothing is known to need it.")
    elif "127.0.0.1" in lacks or unreached:
        what = f"lo has no address {listed(lacks)}" if lacks else f"connections to {listed(unreached)} do not pass"
        yield _warn(pod, f"Inside pod {pod.name} {what}; nothing in it is known to need that.")
    if localhost:
        says = f"In pod {pod.name} the name localhost leads nowhere: {localhost}, and no line of /etc/hosts has it."
        yield _fail(pod, says, (str(localhost),))


def _fail(pod: Subject, sentence: str, broken: Sequence[str]) -> Finding:
    return Finding(
        probe=NAME,
        subject=pod,
        severity=Severity.FAIL,
        sentence=sentence,
        evidence={"self_broken": tuple(broken)},
        symptom=Symptom(kind=SymptomKind.POD_SELF_UNREACHABLE, subject=pod, hop="pod"),
    )


def _warn(pod: Subject, sentence: str) -> Finding:
    return Finding(probe=NAME, subject=pod, severity=Severity.WARN, sentence=sentence)


PROBE = Probe(
    name=NAME,
    question="Does each pod reach itself, by its loopback device?",
    facts=FACTS,
    needs=LOOK_AT_PODS,
    observe=observe,
    judge=judge,
)
