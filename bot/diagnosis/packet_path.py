"""The packet's way as a row of stations, with the hop where it ends."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from itertools import chain

from bot.diagnosis.dns_path import closed_path, dns_path
from bot.domain.cause import Differential
from bot.domain.facts import CLUSTER, FactTable, Flow, Subject, SubjectKind
from bot.domain.finding import Hop, Symptom, SymptomKind
from bot.domain.report import PathHop, Verdict
from bot.probes.engine.evidence import Evidence
from bot.probes.shared.encapsulation import encapsulation_of


def packet_path(
    evidence: Evidence, facts: FactTable, decided: Verdict, differential: Differential, symptoms: Sequence[Symptom]
) -> tuple[PathHop, ...]:
    """The stations of one affected flow, empty when nothing is wrong."""
    if decided.hop is None:
        return ()
    ends = _ends(evidence, differential, symptoms)
    leads_out = _leads_out(symptoms)
    if leads_out and ends.source and ends.source.kind is SubjectKind.NODE:
        ends = replace(ends, source=_pod_on(evidence, ends.source))
    blamed = next((one for explanation in differential.selected[:1] for one in explanation.subjects), None)
    if decided.hop == "policy" and blamed == CLUSTER:
        hops = closed_path(evidence, facts, ends.source)
        return tuple(_with_detail(hop, decided, differential, is_seen=bool(evidence.reports)) for hop in hops)
    if decided.hop == "dns":
        hops = dns_path(evidence, facts, ends.source, ends.source if _is_pod(blamed) else blamed)
        return tuple(_with_detail(hop, decided, differential, is_seen=bool(evidence.reports)) for hop in hops)
    if ends.is_blamed_there and decided.hop in {"pod", "gateway"}:  # what is broken is the target's own way out
        ends = replace(ends, source=ends.target, target=ends.source, is_blamed_there=False)
    here = _node(evidence, ends.source) or "node"
    there = _node(evidence, ends.target) or "remote node"
    gateway = _gateway(evidence, ends.source)
    stations = _stations(
        decided.hop,
        _name(ends.source, "pod"),
        gateway,
        (here, there),
        _name(ends.target, "pod"),
        ends.service,
        is_tunnelled=encapsulation_of(evidence) != "none",
    )
    if leads_out and decided.hop in {"node", "underlay"}:
        is_node = ends.target is not None and ends.target.kind is SubjectKind.NODE
        stations = (*stations[:3], ("underlay", there if is_node else "outside"))
    if ends.source and ends.source.kind is SubjectKind.NODE and decided.hop not in {"pod", "gateway", "api"}:
        stations = [one for one in stations if one[0] not in {"pod", "gateway"}]  # a node's own packets pass neither
    own = evidence.pods.get(ends.source) if ends.source else None
    if own is not None and own.spec.host_network and decided.hop != "gateway":
        stations = [one for one in stations if one[0] != "gateway"]
    places = [index for index, (hop, _) in enumerate(stations) if hop == decided.hop]
    broken = places[-1] if ends.is_blamed_there else places[0]
    hops = (
        PathHop(name=name, state="ok" if index < broken else "broken" if index == broken else "unknown", detail="")
        for index, (_, name) in enumerate(stations)
    )
    return tuple(_with_detail(hop, decided, differential, is_seen=bool(evidence.reports)) for hop in hops)


def _with_detail(hop: PathHop, decided: Verdict, differential: Differential, *, is_seen: bool) -> PathHop:
    """A station with what is wrong there, as sure as the verdict; none is good from the API alone."""
    if hop.state == "broken":
        is_sure = decided.confidence in {"confirmed", "likely"}
        return replace(hop, state="broken" if is_sure else "suspect", detail=_detail(decided, differential))
    return hop if is_seen else replace(hop, state="unknown")


def _is_pod(subject: Subject | None) -> bool:
    return subject is not None and subject.kind is SubjectKind.POD


def _detail(decided: Verdict, differential: Differential) -> str:
    return differential.selected[0].title if differential.selected else decided.summary


def _leads_out(symptoms: Sequence[Symptom]) -> bool:
    """Whether all that does not work is the way out of the cluster: no other node's pods are on it."""
    kinds = {symptom.kind for symptom in symptoms}
    return SymptomKind.OUTSIDE_UNREACHABLE in kinds and kinds <= {
        SymptomKind.OUTSIDE_UNREACHABLE,
        SymptomKind.PODS_NOT_READY,
    }


def _stations(
    hop: Hop, source: str, gateway: str, nodes: tuple[str, str], target: str, service: str, *, is_tunnelled: bool
) -> Sequence[tuple[Hop, str]]:
    """The stations that matter for this hop, each with the hop that ends there."""
    here, there = nodes
    match hop:
        case "api":
            return (("application", "kubelet"), ("api", f"CNI on {here}"), ("pod", source))
        case "pod" | "gateway":
            return (("pod", source), ("gateway", gateway), ("node", here))
        case "service" | "policy" | "application" | "dns":
            middle: tuple[Hop, str] = ("dns" if hop == "dns" else "service", service or "Service")
            policies: tuple[tuple[Hop, str], ...] = (("policy", "NetworkPolicies"),) if hop == "policy" else ()
            return (("pod", source), ("gateway", gateway), ("node", here), middle, *policies, ("application", target))
        case "node" | "overlay" | "underlay":
            between: Hop = "overlay" if hop == "overlay" or (is_tunnelled and hop == "node") else "underlay"
            sent: tuple[tuple[Hop, str], ...] = (("pod", source), ("gateway", gateway), ("node", here))
            way: tuple[tuple[Hop, str], ...] = ((between, between), ("node", there))
            if hop == "node" and here == there:
                way = ()
            return (*sent, *way, *(() if target == there else (("application", target),)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ends:
    """A source and a target that show what is wrong, and the Service in between where there is one."""

    source: Subject | None = None
    target: Subject | None = None
    service: str = ""
    is_blamed_there: bool = False
    """The leading cause stands on the target's node, and not on the source's."""


def _ends(evidence: Evidence, differential: Differential, symptoms: Sequence[Symptom]) -> _Ends:
    """The flow to draw: one that starts where the leading cause stands, else one that ends there, else any.

    Among pods at which it stands, one that was asked about goes first.
    """
    flows = tuple(chain.from_iterable(symptom.flows for symptom in symptoms))
    blamed = [subject for explanation in differential.selected[:1] for subject in explanation.subjects]
    asked = set(evidence.scope_pods)
    pods = sorted((s for s in blamed if s.kind is SubjectKind.POD), key=lambda s: (s not in asked, s))
    services = [symptom.subject.name for symptom in symptoms if symptom.subject.kind is SubjectKind.SERVICE]
    own = f"{evidence.snapshot.namespace}/"
    service = min(services, key=lambda name: not name.startswith(own), default="")
    if pods:
        flow = next((each for each in flows if each.source == pods[0]), None)
        if flow and flow.target and flow.target.kind is SubjectKind.SERVICE:  # no pod of it is ever met
            return _Ends(source=pods[0], service=flow.target.name)
        return _Ends(source=pods[0], target=flow.target or flow.target_node if flow else None, service=service)
    places = {subject.name for subject in blamed if subject.kind in {SubjectKind.NODE, SubjectKind.PAIR}}
    pairs = sorted((one for one in blamed if one.kind is SubjectKind.PAIR), key=lambda one: _unasked(evidence, one))
    between_pods = [flow for flow in flows if _is_pod(flow.source)]
    ranked = [
        (_rank(evidence, flow, places), flow.source not in asked, flow.target not in asked, flow)
        for flow in (between_pods if pairs else flows)
    ]
    if ranked:
        rank, *_, flow = min(ranked, key=lambda one: one[:3])
        target = flow.target or flow.target_node
        return _Ends(source=flow.source, target=target, service=service, is_blamed_there=rank == _ENDS_THERE)
    if pairs:
        source, target = (_pod_on(evidence, end) for end in pairs[0].ends)
        return _Ends(source=source, target=target, service=service)
    shown = [symptom.subject for symptom in symptoms if symptom.subject.kind is SubjectKind.POD]
    nodes = [subject for subject in blamed if subject.kind is SubjectKind.NODE]
    return _Ends(source=next(iter((*shown, *nodes)), None), service=service)


_STARTS_THERE, _ENDS_THERE, _ELSEWHERE = range(3)


def _rank(evidence: Evidence, flow: Flow, places: AbstractSet[str]) -> int:
    """How a flow stands to the nodes, or ordered pairs of nodes, at which the cause stands."""
    source = _node(evidence, flow.source)
    target = _node(evidence, flow.target or flow.target_node)
    if source in places or f"{source}>{target}" in places:
        return _STARTS_THERE
    return _ENDS_THERE if target in places else _ELSEWHERE


def _unasked(evidence: Evidence, pair: Subject) -> tuple[int, Subject]:
    """How many ends of a direction carry no pod that was asked about."""
    nodes = {evidence.node_of(pod) for pod in evidence.scope_pods}
    return sum(end.name not in nodes for end in pair.ends), pair


def _pod_on(evidence: Evidence, node: Subject) -> Subject:
    """A pod of a node by which its traffic is drawn: one that was asked about, else any with a network of its own."""
    here = sorted(evidence.pods_on(node.name), key=lambda pod: (pod not in evidence.scope_pods, pod))
    return next((pod for pod in here if not evidence.pods[pod].spec.host_network), node)


def _name(subject: Subject | None, otherwise: str) -> str:
    return subject.name if subject and subject.name else otherwise


def _node(evidence: Evidence, subject: Subject | None) -> str:
    if subject is None:
        return ""
    return subject.name if subject.kind is SubjectKind.NODE else evidence.node_of(subject)


def _gateway(evidence: Evidence, subject: Subject | None) -> str:
    report = evidence.pod_reports.get(subject) if subject else None
    return report.gateway_ip if report and report.gateway_ip else "gateway"
