"""Do Services have the ports at which pods are configured to dial them?

A name that resolves and a Service whose endpoints are ready say nothing of a client that dials another port than the
Service's: every test of the Service itself passes, and the client is refused.

Source: https://kubernetes.io/docs/tasks/debug/debug-application/debug-service/
"""

from collections.abc import Iterator, Sequence

from bot.domain import facts
from bot.domain.facts import FactBuilder, FactTable, Flow, Subject, SubjectKind
from bot.domain.finding import Finding, Severity, Symptom, SymptomKind
from bot.probes.engine.evidence import Evidence
from bot.probes.engine.fact_spec import fact
from bot.probes.engine.needs import LOOK_AT_PODS
from bot.probes.engine.probe import Probe
from bot.probes.services.dialled_ports import missing_ports, untried_ports
from bot.probes.shared.values import listed, strings

NAME = "dialled-ports"
_LOOK = "kubectl get pod <pod> -o jsonpath='{.spec.containers[*].env}'"

FACTS = (
    fact(
        "pod.ports_missing",
        "list",
        "Services that the pod is configured to dial at a port that they do not have (a headless one: on which its "
        "pods do not listen), and where it gets no connection.",
        look=_LOOK,
    ),
    fact(
        "pod.ports_missing_services",
        "list",
        "The names of these Services.",
        look="kubectl get services -A",
    ),
    fact(
        "pod.ports_missing_sure",
        "bool",
        "Such a port is written down with the name, or the pod is not ready; a bare http://NAME may be for people.",
        look=_LOOK,
    ),
)
_KEYS = ("ports_missing", "ports_missing_services", "ports_missing_sure")


def observe(evidence: Evidence, into: FactBuilder) -> None:
    """Of each pod asked about what it dials in vain."""
    missing, untried = missing_ports(evidence), untried_ports(evidence)
    for pod in evidence.scope_pods:
        if pod in untried:
            into.miss_all(pod, _KEYS, "not every port that it is configured to dial was tried from it")
            continue
        lost = missing.get(pod, ())
        is_ready = evidence.pods[pod].is_ready
        into.set(pod, "ports_missing", tuple(each.words for each in lost))
        into.set(pod, "ports_missing_services", tuple(dict.fromkeys(each.service.name for each in lost)))
        into.set(pod, "ports_missing_sure", bool(lost) and (not is_ready or any(each.is_explicit for each in lost)))


def judge(table: FactTable) -> Sequence[Finding]:
    """FAIL where it is sure that a pod needs such a port, INFO where it is not."""
    return [finding for pod in table.subjects(SubjectKind.POD) for finding in _about(table, pod)]


def _about(table: FactTable, pod: Subject) -> Iterator[Finding]:
    known = table.of(pod)
    lost = strings(known.get("ports_missing"))
    if not lost:
        return
    is_sure = known.get("ports_missing_sure") is True
    services = (facts.service(*name.split("/", 1)) for name in strings(known.get("ports_missing_services")))
    flows = tuple(Flow(source=pod, target=service) for service in services)
    yield Finding(
        probe=NAME,
        subject=pod,
        severity=Severity.FAIL if is_sure else Severity.INFO,
        sentence=f"Pod {pod.name} gets no connection where it is configured to dial: {listed(lost)}.",
        evidence={"ports_missing": lost},
        symptom=Symptom(kind=SymptomKind.ADDRESS_UNREACHABLE, subject=pod, hop="service", flows=flows)
        if is_sure
        else None,
    )


PROBE = Probe(
    name=NAME,
    question="Do Services have the ports at which pods are configured to dial them?",
    facts=FACTS,
    needs=LOOK_AT_PODS,
    observe=observe,
    judge=judge,
)
