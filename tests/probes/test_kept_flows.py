"""UDP flows that connection tracking keeps on a former endpoint."""

from bot.agent.report import Conntrack, UdpFlow
from bot.domain.finding import Finding, Severity, SymptomKind
from bot.probes import cluster_ip
from tests.probes.build import FakeCluster, facts_of, two_nodes
from tests.probes.services import DNS_IP, add_dns


def sending(to: str) -> tuple[FakeCluster, list[Finding]]:
    """shop/a keeps sending to the DNS Service from one socket; connection tracking translates that to an address."""
    cluster, *_ = two_nodes()
    add_dns(cluster)
    flow = UdpFlow(src="10.42.1.10", dst=DNS_IP, port=53, to=to)
    cluster.node_report("node-1", conntrack=Conntrack(udp_flows=(flow,)))
    found = cluster_ip.PROBE.judge(facts_of(cluster.evidence(), cluster_ip.PROBE))
    return cluster, [each for each in found if each.severity is Severity.FAIL]


def test_a_flow_to_a_pod_that_is_gone():
    _, (finding,) = sending("10.42.2.99")

    assert finding.sentence == (
        "shop/a keeps sending to a former endpoint of a Service: "
        "what it sends to kube-system/kube-dns (10.43.0.10:53/UDP) goes to 10.42.2.99."
    )
    assert finding.symptom
    assert (finding.symptom.kind, finding.symptom.hop) == (SymptomKind.SERVICE_UNREACHABLE, "service")


def test_a_flow_to_a_present_endpoint_is_another_matter():
    cluster, _ = sending("10.42.2.99")
    server = next(pod for subject, pod in cluster.pods.items() if subject.name == "kube-system/coredns-1")

    assert sending(server.status.pod_ip)[1] == []


def test_a_table_that_was_not_read_says_nothing():
    cluster, a, *_ = two_nodes()
    cluster.node_report("node-1", conntrack=Conntrack())

    assert facts_of(cluster.evidence(), cluster_ip.PROBE).why_unobserved(a, "flows_to_former_endpoints") == (
        "the node's connection table was not read"
    )
