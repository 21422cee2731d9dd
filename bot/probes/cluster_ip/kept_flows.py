"""Flows that connection tracking keeps leading to a former endpoint of a Service.

The first packet of a flow decides where all of it goes. UDP has no end: while a client keeps sending from one socket,
the entry lives, and a pod that is gone gets its packets whatever EndpointSlices and rules say by now. kube-proxy
deletes such entries when endpoints change, unless it misses the change; those of TCP it leaves alone, so that a
connection to a pod that is gone waits until its client gives up. Every new socket works, ours among them.

A former endpoint that still runs (it is not ready, say) may well answer: then nothing is wrong.

Source: https://github.com/kubernetes/kubernetes/issues/125467, issues/48370
Source: https://kubernetes.io/docs/reference/networking/virtual-ips/ (only UDP entries are cleaned up)
"""

import shlex
from collections import defaultdict
from collections.abc import Iterator

from bot.agent.report import TrackedFlow
from bot.domain.facts import FactBuilder, FactTable, Flow, Subject, SubjectKind
from bot.domain.finding import Finding, Severity, Symptom, SymptomKind
from bot.probes.engine.evidence import Evidence
from bot.probes.services.backends import is_taken, namespace_of, service_by_ip
from bot.probes.shared.sentences import names
from bot.probes.shared.values import listed, strings

LISTED = 10
NAME = "cluster-ip"
_KEYS = ("flows_to_former_endpoints", "former_endpoints_are_sent_to", "kept_flow_deletions")


def observe_kept_flows(evidence: Evidence, into: FactBuilder) -> None:
    """By pod the flows of its own that go where no EndpointSlice leads now."""
    for name, report in evidence.reports.items():
        flows = report.conntrack.flows if report.conntrack else None
        kept: dict[Subject, list[tuple[Subject, TrackedFlow]]] = defaultdict(list)
        for flow in flows or ():
            service = service_by_ip(evidence).get(flow.dst)
            if service and _is_lost(evidence, service, flow):
                for pod in evidence.pods_by_ip.get(flow.src, ()):
                    if flow.protocol == "udp" or _is_stalled(evidence, pod, flow):
                        kept[pod].append((service, flow))
        for pod in evidence.pods_on(name):
            if flows is None:
                into.miss_all(pod, _KEYS, "the node's connection table was not read")
                continue
            own = kept.get(pod, [])[:LISTED]
            into.set(pod, "flows_to_former_endpoints", tuple(_in_words(service, flow) for service, flow in own))
            into.set(pod, "former_endpoints_are_sent_to", any(_is_active(flow) for _, flow in own))
            into.set(pod, "kept_flow_deletions", tuple(dict.fromkeys(_deletion(flow) for _, flow in own)))


def _is_lost(evidence: Evidence, service: Subject, flow: TrackedFlow) -> bool:
    """Whether the flow goes to nobody: no endpoint is known there, and no pod of the Service runs there either."""
    slices = evidence.slices.get(service, ())
    known = {ip for each in slices for endpoint in each.endpoints for ip in endpoint.addresses}
    if not known or flow.to in known:
        return False
    selector, namespace = evidence.services[service].spec.selector, namespace_of(service)
    here = (evidence.pods[pod] for pod in evidence.pods_by_ip.get(flow.to, ()) if pod in evidence.pods)
    return not any(
        each.metadata.namespace == namespace and is_taken(selector, each) and each.status.phase == "Running"
        for each in here
    )


def _is_stalled(evidence: Evidence, pod: Subject, flow: TrackedFlow) -> bool:
    """Whether the pod's own sockets say that nobody acknowledges what it sends there."""
    report = evidence.pod_reports.get(pod)
    held = (report.state.connections if report and report.state else None) or ()
    return any(each.is_stalled and (each.ip, each.port) == (flow.dst, flow.port) for each in held)


def _is_active(flow: TrackedFlow) -> bool:
    """Whether it was seen that something is lost: TCP's own sockets say so, UDP's entry only that it was sent."""
    return flow.protocol == "tcp" or flow.is_sent


def _in_words(service: Subject, flow: TrackedFlow) -> str:
    where = f"{service.name} ({flow.dst}:{flow.port}/{flow.protocol.upper()})"
    if flow.protocol == "tcp":
        return f"its connection to {where} leads to {flow.to}, which acknowledges nothing"
    return f"what it sends to {where} goes to {flow.to}"


def _deletion(flow: TrackedFlow) -> str:
    """The command that deletes its entries, and no others."""
    family = ("-f", "ipv6") if ":" in flow.src else ()
    ends = ("--orig-src", flow.src, "--orig-dst", flow.dst, "--orig-port-dst", str(flow.port), "--reply-src", flow.to)
    return shlex.join(("conntrack", "-D", *family, "-p", flow.protocol, *ends))


def judge_kept_flows(table: FactTable) -> Iterator[Finding]:
    """FAIL for each pod that keeps sending to nobody."""
    for pod in table.subjects(SubjectKind.POD):
        kept = strings(table.of(pod).get("flows_to_former_endpoints"))
        if not kept:
            continue
        node = table.relations.node_of_pod.get(pod)
        yield Finding(
            probe=NAME,
            subject=pod,
            severity=Severity.FAIL,
            sentence=f"{names([pod])} keeps sending to a former endpoint of a Service: {listed(kept)}.",
            evidence={"flows_to_former_endpoints": kept},
            symptom=Symptom(
                kind=SymptomKind.SERVICE_UNREACHABLE,
                subject=pod,
                hop="service",
                flows=(Flow(source=pod, target=None, source_node=node),),
            ),
        )
