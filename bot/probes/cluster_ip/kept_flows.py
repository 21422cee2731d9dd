"""UDP flows that connection tracking keeps leading to a former endpoint of a Service.

The first packet of a flow decides where all of it goes. UDP has no end: while a client keeps sending from one socket,
the entry lives, and a pod that is gone gets its packets whatever EndpointSlices and rules say by now. kube-proxy
deletes such entries when endpoints change, unless it misses the change. Every new socket works, ours among them.

Source: https://github.com/kubernetes/kubernetes/issues/125467, issues/48370
"""

from collections import defaultdict
from collections.abc import Iterator

from bot.agent.report import UdpFlow
from bot.domain.facts import FactBuilder, FactTable, Flow, Subject, SubjectKind
from bot.domain.finding import Finding, Severity, Symptom, SymptomKind
from bot.probes.engine.evidence import Evidence
from bot.probes.shared.sentences import names
from bot.probes.shared.values import listed, strings

LISTED = 10
NAME = "cluster-ip"


def observe_kept_flows(evidence: Evidence, into: FactBuilder) -> None:
    """By pod the flows of its own that go where no EndpointSlice leads now."""
    services = {each.spec.cluster_ip: subject for subject, each in evidence.services.items()}
    for name, report in evidence.reports.items():
        flows = report.conntrack.udp_flows if report.conntrack else None
        kept: dict[Subject, list[str]] = defaultdict(list)
        for flow in flows or ():
            service = services.get(flow.dst)
            if service and not _is_endpoint(evidence, service, flow):
                for pod in evidence.pods_by_ip.get(flow.src, ()):
                    kept[pod].append(f"what it sends to {service.name} ({flow.dst}:{flow.port}/UDP) goes to {flow.to}")
        for pod in evidence.pods_on(name):
            known = None if flows is None else tuple(kept.get(pod, ()))[:LISTED]
            into.put(pod, "flows_to_former_endpoints", known, "the node's connection table was not read")


def _is_endpoint(evidence: Evidence, service: Subject, flow: UdpFlow) -> bool:
    """Whether it is one, or the endpoints are not known."""
    slices = evidence.slices.get(service, ())
    known = {ip for each in slices for endpoint in each.endpoints for ip in endpoint.addresses}
    return not known or flow.to in known


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
