"""The packet's way as a row of stations, with the hop where it ends."""

from collections.abc import Sequence
from itertools import chain

from bot.domain.cause import Differential
from bot.domain.facts import Subject, SubjectKind
from bot.domain.finding import Hop, Symptom
from bot.domain.report import PathHop, Verdict
from bot.probes.evidence import Evidence


def packet_path(
    evidence: Evidence, decided: Verdict, differential: Differential, symptoms: Sequence[Symptom]
) -> tuple[PathHop, ...]:
    """The stations of one affected flow, empty when nothing is wrong."""
    if decided.hop is None:
        return ()
    source, target, service = _ends(evidence, differential, symptoms)
    here = _node(evidence, source) or "node"
    there = _node(evidence, target) or "remote node"
    gateway = _gateway(evidence, source)
    stations = _stations(decided.hop, _name(source, "pod"), gateway, (here, there), _name(target, "pod"), service)
    broken = next(index for index, (hop, _) in enumerate(stations) if hop == decided.hop)
    state = "broken" if decided.confidence in {"confirmed", "likely"} else "suspect"
    return tuple(
        PathHop(
            name=name,
            state="ok" if index < broken else state if index == broken else "unknown",
            detail=_detail(decided, differential) if index == broken else "",
        )
        for index, (_, name) in enumerate(stations)
    )


def _detail(decided: Verdict, differential: Differential) -> str:
    return differential.selected[0].title if differential.selected else decided.summary


def _stations(
    hop: Hop, source: str, gateway: str, nodes: tuple[str, str], target: str, service: str
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
            between: Hop = "underlay" if hop == "underlay" else "overlay"
            label = "underlay" if hop == "underlay" else "overlay"
            return (
                ("pod", source),
                ("gateway", gateway),
                ("node", here),
                (between, label),
                ("application", there),
                ("application", target),
            )


def _ends(
    evidence: Evidence, differential: Differential, symptoms: Sequence[Symptom]
) -> tuple[Subject | None, Subject | None, str]:
    """A source and a target that show it, and the Service in between where there is one.

    A pod at which the leading cause stands goes first, one that was asked about before others.
    """
    flows = tuple(chain.from_iterable(symptom.flows for symptom in symptoms))
    blamed = [subject for explanation in differential.selected[:1] for subject in explanation.subjects]
    asked = set(evidence.scope_pods)
    pods = sorted((s for s in blamed if s.kind is SubjectKind.POD), key=lambda s: (s not in asked, s))
    services = [symptom.subject.name for symptom in symptoms if symptom.subject.kind is SubjectKind.SERVICE]
    service = services[0] if services else ""
    if pods:
        flow = next((each for each in flows if each.source == pods[0]), None)
        return pods[0], flow.target or flow.target_node if flow else None, service
    if flows:
        return flows[0].source, flows[0].target or flows[0].target_node, service
    shown = [symptom.subject for symptom in symptoms if symptom.subject.kind is SubjectKind.POD]
    nodes = [subject for subject in blamed if subject.kind is SubjectKind.NODE]
    return next(iter((*shown, *nodes)), None), None, service


def _name(subject: Subject | None, otherwise: str) -> str:
    return subject.name if subject and subject.name else otherwise


def _node(evidence: Evidence, subject: Subject | None) -> str:
    if subject is None:
        return ""
    return subject.name if subject.kind is SubjectKind.NODE else evidence.node_of(subject)


def _gateway(evidence: Evidence, subject: Subject | None) -> str:
    report = evidence.pod_reports.get(subject) if subject else None
    return report.gateway_ip if report and report.gateway_ip else "gateway"
