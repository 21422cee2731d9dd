"""Whether a cause at certain subjects can account for a symptom: it must touch every flow that shows it."""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from bot.domain.facts import CLUSTER, FactTable, Flow, Relations, Subject, SubjectKind, pair
from bot.domain.finding import Symptom, SymptomKind


@dataclass(frozen=True, slots=True)
class SymptomScope:
    """The subjects at which a cause would explain one symptom."""

    symptom: Symptom
    direct: frozenset[Subject]
    """Any one of these suffices."""
    flows: tuple[frozenset[Subject], ...]
    """Or one of each: the subjects that touch each flow."""
    endpoints: tuple[frozenset[Subject], ...]
    """Or one of each: the pods behind the Service, or their nodes."""
    is_dns: bool = False
    """The symptom is about a DNS Service."""

    def is_explained_by(self, subjects: AbstractSet[Subject]) -> bool:
        """Whether a cause at exactly these subjects accounts for the symptom."""
        if not self.direct.isdisjoint(subjects):
            return True
        return any(
            bool(ways) and not any(way.isdisjoint(subjects) for way in ways) for ways in (self.flows, self.endpoints)
        )

    def share_of(self, subjects: AbstractSet[Subject]) -> frozenset[int]:
        """The flows, by their place, that a cause at these subjects touches."""
        return frozenset(at for at, way in enumerate(self.flows) if not way.isdisjoint(subjects))

    def subjects(self) -> Iterator[Subject]:
        """Every subject that takes part."""
        yield from self.direct
        for way in (*self.flows, *self.endpoints):
            yield from way


class Reachability:
    """What lies under symptoms: nodes, ends and Services of the subjects that show them."""

    def __init__(self, facts: FactTable) -> None:
        self._relations: Relations = facts.relations
        self._dns = frozenset(one for one in facts.subjects(SubjectKind.SERVICE) if facts.of(one).get("is_dns") is True)
        self._on_host = frozenset(
            one for one in facts.subjects(SubjectKind.POD) if facts.of(one).get("host_network") is True
        )
        """Pods that send from their node's network: nothing of their own lies on the way."""
        self._services_of: dict[Subject, set[Subject]] = {}
        for service, pods in self._relations.pods_of_service.items():
            for one in pods:
                self._services_of.setdefault(one, set()).add(service)

    def scope(self, symptom: Symptom) -> SymptomScope:
        """Where a cause of this symptom can be."""
        flows = dict.fromkeys(self._touching(flow) for flow in symptom.flows)
        endpoints = self._endpoints(symptom)
        return SymptomScope(
            symptom, frozenset(self._direct(symptom)), tuple(flows), endpoints, is_dns=symptom.subject in self._dns
        )

    def _direct(self, symptom: Symptom) -> Iterator[Subject]:
        subject = symptom.subject
        yield CLUSTER
        yield subject
        if symptom.kind is SymptomKind.DNS_FAILING:
            yield from self._dns
        match subject.kind:
            case SubjectKind.POD:
                yield from self._under(subject)
                if symptom.kind is SymptomKind.ENDPOINT_UNREACHABLE:
                    yield from self._services_of.get(subject, ())
            case SubjectKind.PAIR:
                source, destination = subject.ends
                yield pair(destination.name, source.name)
                yield source
                yield destination
            case _:
                pass

    def _under(self, subject: Subject) -> Iterator[Subject]:
        """The node that a pod runs on."""
        host = self._relations.node_of_pod.get(subject)
        if host is not None:
            yield host

    def _touching(self, flow: Flow) -> frozenset[Subject]:
        found: set[Subject] = set()
        hosts: list[Subject | None] = [flow.source_node, flow.target_node]
        for end, host in ((flow.source, flow.source_node), (flow.target, flow.target_node)):
            if end is None:
                continue
            if end != flow.source or end not in self._on_host:
                found.add(end)
            if host is None:
                hosts.extend(self._under(end))
        nodes = [host for host in hosts if host is not None]
        found.update(nodes)
        source, target = self._node(flow.source, flow.source_node), self._node(flow.target, flow.target_node)
        if source is not None and target is not None and source != target:
            found.update((pair(source.name, target.name), pair(target.name, source.name)))
        return frozenset(found)

    def _node(self, end: Subject | None, host: Subject | None) -> Subject | None:
        if host is not None or end is None:
            return host
        return end if end.kind is SubjectKind.NODE else self._relations.node_of_pod.get(end)

    def _endpoints(self, symptom: Symptom) -> tuple[frozenset[Subject], ...]:
        if symptom.subject.kind is not SubjectKind.SERVICE:
            return ()
        pods = self._relations.pods_of_service.get(symptom.subject, ())
        return tuple(frozenset((one, *self._under(one))) for one in pods)


def relevant_subjects(scopes: Iterable[SymptomScope]) -> Mapping[SymptomKind, Mapping[SubjectKind, frozenset[Subject]]]:
    """For each kind of symptom the subjects at which a cause could explain one of them, by kind of subject."""
    found: dict[SymptomKind, dict[SubjectKind, set[Subject]]] = {}
    for scope in scopes:
        kinds = found.setdefault(scope.symptom.kind, {})
        for subject in scope.subjects():
            kinds.setdefault(subject.kind, set()).add(subject)
    return {
        symptom: {kind: frozenset(subjects) for kind, subjects in kinds.items()} for symptom, kinds in found.items()
    }
