"""Which needed flows go from one node's own address to another's, where a tunnel's smaller packets do not help them."""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from bot.domain import facts
from bot.domain.facts import Subject, SubjectKind
from bot.domain.flows import NeededFlow
from bot.probes.engine.evidence import Evidence
from bot.probes.services.backends import backends
from bot.probes.services.needed import needed_flows

API = facts.service("default", "kubernetes")


def users_of_node_paths(evidence: Evidence, lost: Mapping[Subject, int]) -> Mapping[Subject, tuple[str, ...]]:
    """By pair of nodes, in words, who needs packets of the sizes that are lost there. `lost`: from which size on.

    A connection carries large packets both ways, whoever dialled.
    """
    found: dict[Subject, dict[str, None]] = defaultdict(dict)
    for flow in needed_flows(evidence):
        here = flow.source.name if flow.source.kind is SubjectKind.NODE else evidence.node_of(flow.source)
        for there in _nodes_behind(evidence, flow) if here else ():
            for pair in (facts.pair(here, there), facts.pair(there, here)):
                if pair in lost and _largest(evidence, flow.source) >= lost[pair]:
                    found[pair][f"{flow.source.name} ({flow.why})"] = None
    for there in {node for ip in _api_addresses(evidence) if (node := evidence.node_by_ip.get(ip))}:
        for pair in lost:
            if there in {end.name for end in pair.ends}:
                other = next(end.name for end in pair.ends if end.name != there)
                found[pair][f"kubelet of {other} (the API server is on {there})"] = None
    return {pair: tuple(words) for pair, words in found.items()}


def _nodes_behind(evidence: Evidence, flow: NeededFlow) -> Iterator[str]:
    """The nodes whose own addresses serve the flow."""
    ips = {flow.address}
    if flow.target is not None and flow.target.kind is SubjectKind.SERVICE:
        ips = {each.ip for each in backends(evidence, flow.target) if each.service_port == flow.port}
    own = evidence.node_of(flow.source) if flow.source.kind is SubjectKind.POD else flow.source.name
    yield from sorted({node for ip in ips if (node := evidence.node_by_ip.get(ip)) and node != own})


def _largest(evidence: Evidence, source: Subject) -> int:
    """The largest packet that the source sends: a pod's own device may be smaller than the node's."""
    pod = evidence.pods.get(source)
    report = evidence.pod_reports.get(source)
    if pod is None or pod.spec.host_network or report is None or report.state is None:
        return 65_535
    return max((link.mtu for link in report.state.links if link.name != "lo"), default=65_535)


def _api_addresses(evidence: Evidence) -> Iterator[str]:
    for each in evidence.slices.get(API, ()):
        for endpoint in each.endpoints:
            yield from endpoint.addresses
