"""Who is affected: the pods, nodes, Services and platforms that the symptoms of the verdict concern."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from bot.diagnosis.knowledge import Knowledge
from bot.domain.cause import Differential, Explanation
from bot.domain.errors import bounded
from bot.domain.facts import FactTable, Subject, SubjectKind
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
    SymptomKind.POD_SELF_UNREACHABLE: ("does not reach itself", "do not reach themselves"),
    SymptomKind.POD_ISOLATED: ("is cut off", "are cut off"),
    SymptomKind.LOCAL_PODS_UNREACHABLE: ("does not reach its neighbours", "do not reach their neighbours"),
    SymptomKind.CROSS_NODE_UNREACHABLE: ("does not reach other nodes", "do not reach other nodes"),
    SymptomKind.NODE_UNREACHABLE: ("is on a node that is cut off", "are on a node that is cut off"),
    SymptomKind.SERVICE_UNREACHABLE: ("does not reach a Service", "do not reach Services"),
    SymptomKind.ENDPOINT_UNREACHABLE: ("is not reached", "are not reached"),
    SymptomKind.DNS_FAILING: ("cannot resolve names", "cannot resolve names"),
    SymptomKind.LARGE_PACKETS_LOST: ("loses large packets", "lose large packets"),
    SymptomKind.OUTSIDE_UNREACHABLE: ("does not reach the outside", "do not reach the outside"),
    SymptomKind.ADDRESS_UNREACHABLE: (
        "does not reach an address that it dials",
        "do not reach an address that they dial",
    ),
    SymptomKind.NODE_NOT_READY: ("is on a node that is not ready", "are on a node that is not ready"),
    SymptomKind.PODS_NOT_READY: ("is not ready", "are not ready"),
}
_OF_CLIENTS = frozenset({SymptomKind.SERVICE_UNREACHABLE, SymptomKind.ENDPOINT_UNREACHABLE, SymptomKind.DNS_FAILING})
_LONGEST_NAME = 40


def blast_radius(
    evidence: Evidence, table: FactTable, knowledge: Knowledge, differential: Differential, symptoms: Sequence[Symptom]
) -> BlastRadius:
    """The radius of these symptoms, as far as it was seen."""
    if not symptoms:
        return BlastRadius()
    hit = [(symptom, set(_pods(evidence, table, differential, symptom))) for symptom in symptoms]
    pods = sorted({pod for _, those in hit for pod in those})
    services = sorted({s.subject.name for s in symptoms if s.subject.kind is SubjectKind.SERVICE})
    if any(symptom.kind is SymptomKind.DNS_FAILING for symptom in symptoms):
        services = sorted({*services, *(service.name for service in evidence.dns_services)})
    nodes = sorted({evidence.node_of(pod) for pod in pods} | _nodes(symptoms))
    applications = knowledge.applications(evidence.snapshot)
    scope = set(evidence.scope_pods)
    ranked = sorted(pods, key=lambda pod: (pod not in scope, pod))
    stands_at = {pod for explanation in differential.selected for pod in _pods_of(evidence, explanation)}
    if not differential.selected:
        stands_at = _in_all_failures(symptoms) or set(pods)
    cut_off = [pod for pod in ranked if pod in stands_at]
    waiting = [pod for pod in ranked if pod not in stands_at]
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
        effect=_effect(table, hit, cut_off) if cut_off else "",
    )


def _missed(evidence: Evidence, symptom: Symptom, waiting: Sequence[Subject]) -> Iterator[str]:
    """The Services that some of these pods do not reach, as far as the symptom shows it."""
    if {symptom.subject, *(flow.source for flow in symptom.flows)}.isdisjoint(waiting):
        return
    if symptom.subject.kind is SubjectKind.SERVICE:
        yield symptom.subject.name
    if symptom.kind is SymptomKind.DNS_FAILING:
        yield from (service.name for service in evidence.dns_services)


def _in_all_failures(symptoms: Sequence[Symptom]) -> set[Subject]:
    """The pods to which the first thing on the way happens that is an end of all that fails; nothing if none is.

    All other pods then fail towards these alone.
    """
    causal = sorted((one for one in symptoms if one.kind is not SymptomKind.PODS_NOT_READY), key=_on_the_way)
    failures = [ends for symptom in causal for ends in _ends(symptom)]
    for _, alike in groupby(causal, key=_on_the_way):
        met = {pod for one in alike for pod in _met(one)}
        if met and all(met.intersection(ends) for ends in failures):
            return met
    return set()


def _on_the_way(symptom: Symptom) -> tuple[int, int]:
    """What a packet meets first comes first."""
    return HOPS.index(symptom.hop), list(SymptomKind).index(symptom.kind)


def _met(symptom: Symptom) -> Iterator[Subject]:
    """The pod itself that the symptom is about, else those that send."""
    if symptom.subject.kind is SubjectKind.POD:
        yield symptom.subject
    else:
        yield from (flow.source for flow in symptom.flows if flow.source.kind is SubjectKind.POD)


def _ends(symptom: Symptom) -> Iterator[set[Subject]]:
    """The pods of each flow that fails; the subject where it has no flows."""
    for flow in symptom.flows:
        yield {end for end in (flow.source, flow.target) if end and end.kind is SubjectKind.POD}
    if not symptom.flows:
        yield {symptom.subject}


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
    """The pods at which a cause stands: its own, all whose network is of its node, or of its two ends."""
    for subject in explanation.subjects:
        if subject.kind is SubjectKind.POD:
            yield subject
        nodes = {SubjectKind.NODE: [subject.name], SubjectKind.PAIR: subject.name.split(">")}.get(subject.kind, ())
        for node in nodes:
            yield from evidence.pods_on(node)


def _effect(table: FactTable, hit: Sequence[tuple[Symptom, set[Subject]]], cut_off: Sequence[Subject]) -> str:
    """What happens to each of them: of all such what a packet meets first, for the rest may follow from it."""
    ordered = sorted(hit, key=lambda one: list(SymptomKind).index(one[0].kind))
    alike = [list(group) for _, group in groupby(ordered, key=lambda one: one[0].kind)]
    of_all = [group for group in alike if set(cut_off) <= {pod for _, those in group for pod in those}]
    if not of_all:
        return "is affected" if len(cut_off) == 1 else "are affected"
    first = min(of_all, key=lambda group: min(_on_the_way(symptom) for symptom, _ in group))
    kind, subjects = first[0][0].kind, {symptom.subject for symptom, _ in first}
    one, several = _EFFECTS[kind]
    if all(_passes_others(table, subject) for subject in subjects):
        one, several = "does not reach some pods of other nodes", "do not reach some pods of other nodes"
    elif kind is SymptomKind.OUTSIDE_UNREACHABLE and _is_all_to_nodes(symptom for symptom, _ in first):
        one, several = "does not reach a node that it dials", "do not reach nodes that they dial"
    elif kind is SymptomKind.SERVICE_UNREACHABLE and len(subjects) == 1:
        to = f"Service {bounded(subjects.pop().name, _LONGEST_NAME)}"
        one, several = f"does not reach {to}", f"do not reach {to}"
    return one if len(cut_off) == 1 else several


def _pods(evidence: Evidence, table: FactTable, differential: Differential, symptom: Symptom) -> Iterator[Subject]:
    """Pods whose traffic the symptom stops: its subject, the sources of its flows, or all pods of a node at fault."""
    if symptom.subject.kind is SubjectKind.POD:
        yield symptom.subject
    for flow in symptom.flows:
        # Those asked about count; others may have been sent to try it, by us.
        is_asked = flow.source in evidence.scope_pods
        if flow.source.kind is SubjectKind.POD and (is_asked or _needs(evidence, symptom, flow.source)):
            yield flow.source
    sources = [evidence.pods.get(flow.source) for flow in symptom.flows]
    is_of_hosts = bool(sources) and all(pod is not None and pod.spec.host_network for pod in sources)
    if symptom.subject.kind is SubjectKind.POD or is_of_hosts or _passes_others(table, symptom.subject):
        return  # what fails is what was seen to fail
    for explanation in differential.selected:
        if symptom in explanation.explains:
            for subject in explanation.subjects:
                if subject.kind is SubjectKind.NODE:
                    yield from (
                        pod
                        for pod in evidence.pods_on(subject.name)
                        if not evidence.pods[pod].spec.host_network and _needs(evidence, symptom, pod)
                    )


def _passes_others(table: FactTable, subject: Subject) -> bool:
    """Whether some flows of these two nodes get through."""
    return subject.kind is SubjectKind.PAIR and table.of(subject).get("pod_ping") in {"ok", "mixed"}


def _needs(evidence: Evidence, symptom: Symptom, pod: Subject) -> bool:
    """Whether the pod is known to need what does not work: any network, or this Service."""
    if symptom.kind not in _OF_CLIENTS:
        return True
    return any(pod in clients for (service, _), clients in clients_of(evidence).items() if service == symptom.subject)


def _nodes(symptoms: Sequence[Symptom]) -> set[str]:
    return {symptom.subject.name for symptom in symptoms if symptom.subject.kind is SubjectKind.NODE}


def _is_all_to_nodes(symptoms: Iterable[Symptom]) -> bool:
    return all(
        bool(one.flows) and all(flow.target and flow.target.kind is SubjectKind.NODE for flow in one.flows)
        for one in symptoms
    )
