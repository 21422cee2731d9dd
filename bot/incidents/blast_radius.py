"""Who is hit: the pods, nodes, Services and platforms that the symptoms of the verdict concern."""

from collections.abc import Iterator, Sequence

from bot.domain.cause import Differential
from bot.domain.facts import Subject, SubjectKind
from bot.domain.finding import Symptom, SymptomKind
from bot.domain.report import BlastRadius
from bot.incidents.knowledge import Knowledge
from bot.probes.evidence import Evidence

MAX_NAMES = 50


def blast_radius(
    evidence: Evidence, knowledge: Knowledge, differential: Differential, symptoms: Sequence[Symptom]
) -> BlastRadius:
    """The radius of these symptoms, as far as it was seen."""
    if not symptoms:
        return BlastRadius()
    pods = sorted({pod for symptom in symptoms for pod in _pods(evidence, differential, symptom)})
    services = sorted({s.subject.name for s in symptoms if s.subject.kind is SubjectKind.SERVICE})
    if any(symptom.kind is SymptomKind.DNS_FAILING for symptom in symptoms):
        services = sorted({*services, *(service.name for service in evidence.dns_services)})
    nodes = sorted({evidence.node_of(pod) for pod in pods} | _nodes(symptoms))
    applications = knowledge.applications(evidence.snapshot)
    return BlastRadius(
        nodes=tuple(node for node in nodes if node),
        pods=len(pods),
        services=tuple(services),
        platforms=tuple(application.name for application in applications if application.pods.intersection(pods)),
        pod_names=tuple(pod.name for pod in pods[:MAX_NAMES]),
    )


def _pods(evidence: Evidence, differential: Differential, symptom: Symptom) -> Iterator[Subject]:
    """Pods whose traffic the symptom stops: its subject, the sources of its flows, or all pods of a node at fault."""
    if symptom.subject.kind is SubjectKind.POD:
        yield symptom.subject
    for flow in symptom.flows:
        if flow.source.kind is SubjectKind.POD:
            yield flow.source
    for explanation in differential.selected:
        if symptom in explanation.explains:
            for subject in explanation.subjects:
                if subject.kind is SubjectKind.NODE:
                    yield from (p for p in evidence.pods_on(subject.name) if not evidence.pods[p].spec.host_network)


def _nodes(symptoms: Sequence[Symptom]) -> set[str]:
    return {symptom.subject.name for symptom in symptoms if symptom.subject.kind is SubjectKind.NODE}
