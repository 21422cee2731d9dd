"""Do pods run out of ports to call from?

Each connection to one target needs a source port of its own out of net.ipv4.ip_local_port_range, and a closed one keeps
it for a minute. Without a free one the pod's own kernel refuses (EADDRNOTAVAIL, "Cannot assign requested address"):
nothing is sent, and everything else of the pod is well.

Source: https://docs.kernel.org/networking/ip-sysctl.html (ip_local_port_range)
"""

from collections.abc import Sequence

from bot.domain.facts import FactBuilder, FactTable, Subject, SubjectKind
from bot.domain.finding import Finding, Severity
from bot.probes.engine.evidence import Evidence
from bot.probes.engine.fact_spec import fact
from bot.probes.engine.needs import LOOK_AT_PODS
from bot.probes.engine.probe import Probe
from bot.probes.shared.pod_views import observable_pods

NAME = "local-ports"
NEED_PORTS = frozenset({"tcp", "dns-tcp", "udp", "dns-udp"})
SYSCTL = "ipv4.ip_local_port_range"
RESERVED = "ipv4.ip_local_reserved_ports"
_LOOK = "nsenter -t <pid> -n sh -c 'sysctl net.ipv4.ip_local_port_range; ss -tan | wc -l'  # on <node>"

FACTS = (
    fact(
        "pod.local_ports",
        "str",
        "Whether the pod's kernel found a free port for all that was tried; exhausted: for some it did not.",
        look=_LOOK,
        values=("free", "exhausted"),
    ),
    fact(
        "pod.local_port_range",
        "str",
        "The ports that the pod may call from, and those among them that are reserved (ip_local_reserved_ports).",
        look=_LOOK,
    ),
)


def observe(evidence: Evidence, into: FactBuilder) -> None:
    """By what the tests of each pod met."""
    tried: dict[Subject, bool] = {}
    for source, _, test in evidence.tests:
        # Over IPv6 the same error says that there is no address to call from.
        if (
            source.kind is SubjectKind.POD
            and test.protocol in {"tcp", "dns-tcp", "udp", "dns-udp"}
            and ":" not in test.ip
        ):
            met = test.outcome == "EADDRNOTAVAIL" or test.outcomes.get("EADDRNOTAVAIL", 0) > 0
            tried[source] = tried.get(source, False) or met
    for view in observable_pods(evidence):
        met = tried.get(view.subject)
        state = None if met is None else "exhausted" if met else "free"
        into.put(view.subject, "local_ports", state, "no connection of this pod was tried")
        ports = " to ".join(view.state.sysctls.get(SYSCTL, "").split()) if view.state else ""
        if ports and view.state and (reserved := view.state.sysctls.get(RESERVED, "")):
            ports = f"{ports} without {reserved[:80]}"
        into.put(view.subject, "local_port_range", ports or None, view.why or "the pod's sysctls were not read")


def judge(table: FactTable) -> Sequence[Finding]:
    """WARN for pods that have none left: other probes say what does not answer."""
    return [
        Finding(
            probe=NAME,
            subject=pod,
            severity=Severity.WARN,
            sentence=f"Pod {pod.name} has no free port left to call from (EADDRNOTAVAIL), "
            f"of {table.of(pod).get('local_port_range', 'a range that was not read')}.",
        )
        for pod in table.subjects(SubjectKind.POD)
        if table.of(pod).get("local_ports") == "exhausted"
    ]


PROBE = Probe(
    name=NAME,
    question="Do pods run out of ports to call from?",
    facts=FACTS,
    needs=LOOK_AT_PODS,
    observe=observe,
    judge=judge,
)
