"""Who is affected: the pods, nodes, Services and platforms that the symptoms of the verdict concern."""

from collections.abc import Iterator, Mapping, Sequence

from bot.diagnosis.knowledge import Knowledge
from bot.domain.cause import Differential, Explanation
from bot.domain.facts import Flow, Subject, SubjectKind
from bot.domain.finding import HOPS, Symptom, SymptomKind
from bot.domain.report import BlastRadius
from bot.probes.engine.evidence import Evidence
from bot.probes.services.needed import clients_of

MAX_NAMES = 50
_EFFECTS: Mapping[SymptomKind, tuple[str, str]] = {
    SymptomKind.POD_WITHOUT_NETWORK: ("has no network", "have no network"),
    SymptomKind.POD_LINK_DOWN: ("has no link", "have no link"),
    SymptomKind.POD_NO_ROUTE: ("has no route", "have no route"),
    SymptomKind.GATEWAY_SILENT: ("has no gateway", "have no gateway"),
    SymptomKind.GATEWAY_LATE: ("gets late ARP answers from its gateway", "get late ARP answers from their gateway"),
    SymptomKind.POD_ISOLATED: ("is cut off", "are cut off"),
    SymptomKind.LOCAL_PODS_UNREACHABLE: ("does not reach its neighbours", "do not reach their neighbours"),
    SymptomKind.CROSS_NODE_UNREACHABLE: ("does not reach other nodes", "do not reach other nodes"),
    SymptomKind.NODE_UNREACHABLE: ("is on a node that is cut off", "are on a node that is cut off"),
    SymptomKind.SERVICE_UNREACHABLE: ("does not reach a Service", "do not reach Services"),
    SymptomKind.ENDPOINT_UNREACHABLE: ("is not reached", "are not reached"),
    SymptomKind.DNS_FAILING: ("cannot resolve names", "cannot resolve names"),
    SymptomKind.LARGE_PACKETS_LOST: ("loses large packets", "lose large packets"),
    SymptomKind.OUTSIDE_UNREACHABLE: ("does not reach the outside", "do not reach the outside"),
    SymptomKind.NODE_NOT_READY: ("is on a node that is not ready", "are on a node that is not ready"),
    SymptomKind.PODS_NOT_READY: ("is not ready", "are not ready"),
}
_OF_CLIENTS = frozenset({SymptomKind.SERVICE_UNREACHABLE, SymptomKind.ENDPOINT_UNREACHABLE, SymptomKind.DNS_FAILING})


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
    scope = set(evidence.scope_pods)
    ranked = sorted(pods, key=lambda pod: (pod not in scope, pod))
    stands_at = {pod for explanation in differential.selected for pod in _pods_of(evidence, explanation)}
    cut_off = [pod for pod in ranked if pod in stands_at or not differential.selected]
    waiting = [pod for pod in ranked if pod not in set(cut_off)]
    return BlastRadius(
        nodes=tuple(node for node in nodes if node),
        pods=len(pods),
        namespaces=tuple(sorted({pod.name.partition("/")[0] for pod in pods})),
        services=tuple(services),
        platforms=tuple(application.name for application in applications if application.pods.intersection(pods)),
        pod_names=tuple(pod.name for pod in ranked[:MAX_NAMES]),
        cut_off=len(cut_off),
        cut_off_names=tuple(pod.name for pod in cut_off[:MAX_NAMES]),
        cut_off_nodes=tuple(sorted({evidence.node_of(pod) for pod in cut_off} - {""})),
        fault_nodes=tuple(
            sorted({node for explanation in differential.selected for node in nodes_at_fault(evidence, explanation)})
        ),
        waiting=len(waiting),
        waiting_names=tuple(pod.name for pod in waiting[:MAX_NAMES]),
        waited_for=tuple(sorted({name for symptom in symptoms for name in _missed(evidence, symptom, waiting)})),
        effect=_effect(symptoms, is_one=len(cut_off) == 1) if cut_off else "",
    )


def _missed(evidence: Evidence, symptom: Symptom, waiting: Sequence[Subject]) -> Iterator[str]:
    """The Services that some of these pods do not reach, as far as the symptom shows it."""
    if {symptom.subject, *(flow.source for flow in symptom.flows)}.isdisjoint(waiting):
        return
    if symptom.subject.kind is SubjectKind.SERVICE:
        yield symptom.subject.name
    if symptom.kind is SymptomKind.DNS_FAILING:
        yield from (service.name for service in evidence.dns_services)


def nodes_at_fault(evidence: Evidence, cause: Explanation) -> tuple[str, ...]:
    """The nodes at which it stands, sorted: those of its pods, those that it names, those that its directions share."""
    if cause.subjects and all(one.kind is SubjectKind.PAIR for one in cause.subjects):
        return _shared([one.name.split(">") for one in cause.subjects])
    found = {evidence.node_of(one) for one in cause.subjects if one.kind is SubjectKind.POD}
    found |= {one.name for one in cause.subjects if one.kind is SubjectKind.NODE}
    return tuple(sorted(found - {""}))


def _shared(ends: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """The one node that all directions have in common, else all of their ends."""
    common = set(ends[0]).intersection(*ends)
    return tuple(sorted(common if len(common) == 1 else {name for pair in ends for name in pair}))


def _pods_of(evidence: Evidence, explanation: Explanation) -> Iterator[Subject]:
    """The pods at which a cause stands: its own, all that have their network of its node, or of its two ends."""
    for subject in explanation.subjects:
        if subject.kind is SubjectKind.POD:
            yield subject
        nodes = {SubjectKind.NODE: [subject.name], SubjectKind.PAIR: subject.name.split(">")}.get(subject.kind, ())
        for node in nodes:
            yield from (pod for pod in evidence.pods_on(node) if not evidence.pods[pod].spec.host_network)


def _effect(symptoms: Sequence[Symptom], *, is_one: bool) -> str:
    """What the symptom says that a packet meets first: what fails further on may follow from it."""
    first = min(symptoms, key=lambda one: (HOPS.index(one.hop), list(SymptomKind).index(one.kind)))
    return _EFFECTS[first.kind][0 if is_one else 1]


def _pods(evidence: Evidence, differential: Differential, symptom: Symptom) -> Iterator[Subject]:
    """Pods whose traffic the symptom stops: its subject, the sources of its flows, or all pods of a node at fault."""
    if symptom.subject.kind is SubjectKind.POD:
        yield symptom.subject
    for flow in symptom.flows:
        if flow.source.kind is SubjectKind.POD and _is_hit(evidence, symptom, flow):
            yield flow.source
    for explanation in differential.selected:
        if symptom in explanation.explains:
            for subject in explanation.subjects:
                if subject.kind is SubjectKind.NODE:
                    yield from (p for p in evidence.pods_on(subject.name) if not evidence.pods[p].spec.host_network)


def _is_hit(evidence: Evidence, symptom: Symptom, flow: Flow) -> bool:
    """Whether the source is one of those asked about, or needs what does not answer: others we sent to try it."""
    if symptom.kind not in _OF_CLIENTS or flow.source in evidence.scope_pods:
        return True
    return any(
        flow.source in clients for (service, _), clients in clients_of(evidence).items() if service == symptom.subject
    )


def _nodes(symptoms: Sequence[Symptom]) -> set[str]:
    return {symptom.subject.name for symptom in symptoms if symptom.subject.kind is SubjectKind.NODE}
