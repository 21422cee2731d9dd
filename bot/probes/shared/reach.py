"""What came of tests: one word for a test, one for many, and whom a test asked.

The words ("reach" values) tell apart what an operator must tell apart: refused at once by a host that was reached,
accepted and then reset, no route at once, no route after seconds because a next hop did not answer ARP, nothing at all.

Source: the kernel's connect() and sendto() errors, ip(7), tcp(7), icmp(7); measured on Linux 6.18: a next hop whose
ARP fails gives EHOSTUNREACH after 3.1 s (sooner when it was asked before), a reject rule or an unreachable route gives
it within a millisecond.
"""

from collections import Counter
from collections.abc import Iterable
from types import MappingProxyType

from bot.agent.report import Test
from bot.domain import facts
from bot.domain.facts import Subject, SubjectKind
from bot.probes.engine.evidence import Evidence

REACH_VALUES: tuple[str, ...] = (
    "ok",
    "timeout",
    "refused",
    "reset",
    "host-unreachable",
    "host-unreachable-late",
    "net-unreachable",
    "invalid",
    "denied",
    "mixed",
    "error",
)
"""Every value of a fact that says how something was reached. "mixed": some tries succeeded and some failed."""

LATE_MS = 700.0
"""From here on EHOSTUNREACH means that a kernel gave up resolving a next hop: three ARP requests, 1 s apart, of which
the first may have been asked for an earlier packet. A rule or a route refuses within a round trip."""

_REACH: MappingProxyType[str, str] = MappingProxyType(
    {
        "ok": "ok",
        "timeout": "timeout",
        "ECONNREFUSED": "refused",
        "reset": "reset",
        "EHOSTUNREACH": "host-unreachable",
        "ENETUNREACH": "net-unreachable",
        "EINVAL": "invalid",
        "EACCES": "denied",
        "EPERM": "denied",
    }
)

_WORDS: MappingProxyType[str, str] = MappingProxyType(
    {
        "ok": "succeeded",
        "timeout": "got no answer",
        "refused": "was refused",
        "reset": "was accepted and reset at once",
        "host-unreachable": "got EHOSTUNREACH at once",
        "host-unreachable-late": "got EHOSTUNREACH late (a next hop does not answer ARP)",
        "net-unreachable": "got ENETUNREACH (no route)",
        "invalid": "got EINVAL (a blackhole route)",
        "denied": "was denied by the local kernel (EPERM or EACCES)",
        "mixed": "succeeded only sometimes",
        "error": "failed with an error",
    }
)


def reach_of(test: Test, own_ip: str = "") -> str | None:
    """The reach value of one test, None when it was skipped.

    Of several tries that all failed, the most frequent outcome counts; on a tie that of the last one. `own_ip` is the
    source's address: EHOSTUNREACH from there means, at whatever time, that its own next hop does not answer ARP.
    """
    if test.outcome == "skipped":
        return None
    if 0 < test.ok < test.tries:
        return "mixed"
    if test.outcome == "ok":
        return "ok"
    outcome = _usual_failure(test)
    if outcome == "EHOSTUNREACH" == test.outcome and (test.latency_ms >= LATE_MS or test.icmp_from == own_ip != ""):
        return "host-unreachable-late"
    return _REACH.get(outcome, "error")


def _usual_failure(test: Test) -> str:
    failures = {outcome: times for outcome, times in test.outcomes.items() if outcome not in {"ok", "skipped"}}
    if not failures:
        return test.outcome
    most = max(failures.values())
    if failures.get(test.outcome) == most:
        return test.outcome
    return min(outcome for outcome, times in failures.items() if times == most)


def is_refused_by_rule(test: Test) -> bool:
    """Whether an ICMP message refused the connection: a packet filter does that, a pod that does not listen resets."""
    return test.protocol in {"tcp", "dns-tcp"} and test.outcome != "ok" and test.icmp in _BY_RULE


_BY_RULE = frozenset(
    {"port-unreachable", "admin-prohibited", "host-prohibited", "net-prohibited", "protocol-unreachable"}
)


def reach_from(evidence: Evidence, source: Subject, test: Test) -> str | None:
    """The reach value of one of `Evidence.tests`."""
    return reach_of(test, address_of(evidence, source))


def address_of(evidence: Evidence, subject: Subject) -> str:
    """The address of a pod or node, "" when it is not known."""
    if subject in evidence.pods:
        return evidence.pods[subject].status.pod_ip
    host = evidence.nodes.get(subject.name) if subject.kind is SubjectKind.NODE else None
    return host.internal_ip if host else ""


def aggregate(reaches: Iterable[str | None]) -> str | None:
    """One reach value for many of equal standing; None when there is none (Nones are left out).

    "ok" only when all are; "mixed" when some succeeded and some failed; else the most frequent failure. On a tie one
    that somebody answered counts before silence (kernels send few ICMP errors a second), then the order of
    `REACH_VALUES`.
    """
    counts = Counter(reach for reach in reaches if reach is not None)
    if not counts:
        return None
    if len(counts) == 1:
        return next(iter(counts))
    if "ok" in counts or "mixed" in counts:
        return "mixed"
    return max(counts, key=lambda reach: (counts[reach], reach != "timeout", -REACH_VALUES.index(reach)))


def reach_of_all(tests: Iterable[Test]) -> str | None:
    """One reach value for many tests, None when all were skipped or there was none."""
    return aggregate(reach_of(test) for test in tests)


def in_words(reach: str) -> str:
    """A reach value as the predicate of a sentence: "got no answer", "was refused"."""
    return _WORDS.get(reach, f"ended as {reach}")


def target_of(evidence: Evidence, test: Test) -> Subject | None:
    """The pod, node or Service that a test asked; None for an address outside the cluster or an unknown one."""
    match test.purpose:
        case "own-node" | "node":
            name = evidence.node_by_ip.get(test.ip) or test.node or test.name
            return facts.node(name) if name else None
        case "local-pod" | "remote-pod" | "endpoint":
            return _pod_at(evidence, test.ip, test.name)
        case "dns-pod":
            return _pod_at(evidence, test.ip, test.service)
        case "cluster-ip":
            return _service_named(test.name)
        case "dns-service":
            return _service_named(test.service)
        case "outside" | "dial" | "dns-own":
            return None


def _pod_at(evidence: Evidence, ip: str, called: str) -> Subject | None:
    name = _split(called)
    named = facts.pod(*name) if name else None
    if named in evidence.pods:
        return named
    at_address = evidence.pods_by_ip.get(ip, ())
    return at_address[0] if at_address else named


def _service_named(called: str) -> Subject | None:
    name = _split(called)
    return facts.service(*name) if name else None


def _split(name: str) -> tuple[str, str] | None:
    """Namespace and name of "namespace/name:port"; None for anything else."""
    namespace, _, rest = name.partition(":")[0].partition("/")
    return (namespace, rest) if namespace and rest else None
