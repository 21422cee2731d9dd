"""Do packets of pods and nodes set out with enough hops?

A packet sets out with net.ipv4.ip_default_ttl hops of its network namespace (64 unless somebody changed it), of IPv6
with hop_limit of its device. Each router takes one, and the node is the first router of a pod: with 1, nothing that a
pod sends goes beyond its node, answers included, while the node and its gateway answer; with 2 or 3 it ends on the
other node, or outside. Whoever drops it says "time exceeded" to the sender, unless that is filtered. The same words
come from a loop and from a rule that lowers the hops, and then the sender's own setting is as usual.

Measured on Linux 6.18, one router between: with 1, connections fail at once with "No route to host", and those that
come in get no answer. Of the other settings of TCP in a namespace (window scaling, timestamps, SACK, ECN, buffers,
retries, backlogs) none kept a connection from opening, at whatever value.

Source: https://docs.kernel.org/networking/ip-sysctl.html (ip_default_ttl, conf/*/hop_limit)
"""

from collections.abc import Iterator, Sequence

from bot.agent.report import NetnsState, Test
from bot.domain import facts
from bot.domain.facts import FactBuilder, FactTable, Subject, SubjectKind
from bot.domain.finding import Finding, Severity
from bot.probes.engine.evidence import Evidence
from bot.probes.engine.fact_spec import fact
from bot.probes.engine.needs import LOOK_AT_PODS
from bot.probes.engine.probe import Probe
from bot.probes.pod_link.observe import own_link
from bot.probes.shared.hops import USUAL, hops_of
from bot.probes.shared.pod_views import node_views, observable_pods, sysctl
from bot.probes.shared.sentences import plural
from bot.probes.shared.values import listed, strings

NAME = "time-to-live"
LISTED = 8
_EXCEEDED = frozenset({"ttl-exceeded", "hop-limit-exceeded"})
_IN_POD = "nsenter -t <pid> -n sysctl net.ipv4.ip_default_ttl net.ipv6.conf.eth0.hop_limit  # on <node>"
_ON_NODE = "sysctl net.ipv4.ip_default_ttl  # on <node>"

FACTS = (
    fact("pod.ttl", "int", "The hops with which the pod's IPv4 packets set out (ip_default_ttl).", look=_IN_POD),
    fact("pod.hop_limit", "int", "The hops with which its IPv6 packets set out by its own device.", look=_IN_POD),
    fact(
        "pod.ttl_exceeded",
        "list",
        "What the pod tried and a router answered with time (hop limit) exceeded, with that router. Routers send one "
        "receiver few such messages a second: where none was about a test of ours, how many its kernel counted.",
        look="tcpdump -ni any 'icmp[icmptype] == icmp-timxceed'  # on <node>",
    ),
    fact("node.ttl", "int", "The hops with which the node's own IPv4 packets set out (ip_default_ttl).", look=_ON_NODE),
    fact(
        "node.ttl_exceeded",
        "list",
        "What was tried from the node itself and a router answered with time (hop limit) exceeded.",
        look="tcpdump -ni any 'icmp[icmptype] == icmp-timxceed'  # on <node>",
    ),
)


def observe(evidence: Evidence, into: FactBuilder) -> None:
    """The settings, and what came back."""
    exceeded: dict[Subject, dict[str, None]] = {}
    tried: set[Subject] = set()
    for source, _, test in evidence.tests:
        tried.add(source)
        if test.icmp in _EXCEEDED:
            exceeded.setdefault(source, {})[_words(test)] = None

    def put_exceeded(subject: Subject, state: NetnsState | None) -> None:
        found = tuple(exceeded.get(subject, ()))[:LISTED]
        counted = state.counters_delta.get("Icmp.InTimeExcds", 0) if state else 0
        if counted and not found:
            found = (f"something ({plural(counted, 'message')} of routers while the tests ran)",)
        into.put(subject, "ttl_exceeded", found if subject in tried else None, "nothing was tried from there")

    for view in observable_pods(evidence):
        why = view.why or "the pod's sysctls were not read"
        into.put(view.subject, "ttl", hops_of(view.state), why)
        into.put(view.subject, "hop_limit", _hop_limit(view.state, view.pod.status.pod_ip), why)
        put_exceeded(view.subject, view.state)
    for name, view in node_views(evidence).items():
        node = facts.node(name)
        into.put(node, "ttl", hops_of(view.state), "the node's sysctls were not read")
        put_exceeded(node, view.state)


def _words(test: Test) -> str:
    return f"{test.name or test.ip} (by {test.icmp_from or 'a router'})"


def _hop_limit(state: NetnsState | None, ip: str) -> int | None:
    link = own_link(state, ip) if state else None
    return sysctl(state, f"ipv6.conf.{link.name.replace('.', '/')}.hop_limit") if state and link else None


def judge(table: FactTable) -> Sequence[Finding]:
    """WARN where packets set out with fewer hops than usual and do not arrive, INFO where all that was tried does."""
    kinds = (SubjectKind.POD, SubjectKind.NODE)
    return [finding for kind in kinds for subject in table.subjects(kind) for finding in _about(table, subject)]


def _about(table: FactTable, subject: Subject) -> Iterator[Finding]:
    known = table.of(subject)
    few = [
        f"{what} of {value}"
        for key, what in (("ttl", "a time to live"), ("hop_limit", "a hop limit (IPv6)"))
        if (subject.kind is SubjectKind.POD or key == "ttl")
        and isinstance(value := known.get(key), int)
        and 0 < value < USUAL
    ]
    if not few:
        return
    exceeded = strings(known.get("ttl_exceeded"))
    lost = f"; it ran out on the way to {listed(exceeded)}" if exceeded else ""
    yield Finding(
        probe=NAME,
        subject=subject,
        severity=Severity.WARN if exceeded else Severity.INFO,
        sentence=f"Packets of {subject} set out with {' and '.join(few)} (usual: {USUAL}){lost}.",
        evidence={"ttl_exceeded": exceeded},
    )


PROBE = Probe(
    name=NAME,
    question="Do packets of pods and nodes set out with enough hops?",
    facts=FACTS,
    needs=LOOK_AT_PODS,
    observe=observe,
    judge=judge,
)
