"""Flows that connection tracking keeps on a former endpoint."""

import shlex
from typing import Any

import pytest

from bot.agent.report import Connection, Conntrack, TrackedFlow
from bot.domain.facts import Subject
from bot.domain.finding import Finding, Severity, SymptomKind
from bot.probes import cluster_ip
from bot.probes.services.needed import needed_flows
from tests.probes.build import FakeCluster, facts_of, two_nodes
from tests.probes.services import DNS_IP, add_dns, add_service

GONE = "10.42.2.99"
SHOP = "10.43.51.131"


def cluster() -> tuple[FakeCluster, Subject]:
    """shop/a on node-1; kube-dns and shop/db have endpoints."""
    made, a, b, *_ = two_nodes()
    add_dns(made)
    add_service(made, "shop/db", (b,), port=5432)
    return made, a


def tracked(made: FakeCluster, to: str = GONE, **fields: Any) -> None:
    """What shop/a sends to the DNS Service, unless the fields say otherwise."""
    about: dict[str, Any] = {"protocol": "udp", "src": "10.42.1.10", "dst": DNS_IP, "port": 53, "is_sent": True}
    made.node_report("node-1", conntrack=Conntrack(flows=(TrackedFlow(**(about | fields), to=to),)))


def failures(made: FakeCluster) -> list[Finding]:
    found = cluster_ip.PROBE.judge(facts_of(made.evidence(), cluster_ip.PROBE))
    return [each for each in found if each.severity is Severity.FAIL]


def test_a_flow_to_a_pod_that_is_gone():
    made, a = cluster()
    tracked(made)

    (finding,) = failures(made)

    assert finding.sentence == (
        "shop/a keeps sending to a former endpoint of a Service: "
        "what it sends to kube-system/kube-dns (10.43.0.10:53/UDP) goes to 10.42.2.99."
    )
    assert finding.symptom
    assert (finding.symptom.kind, finding.symptom.hop) == (SymptomKind.SERVICE_UNREACHABLE, "service")
    assert facts_of(made.evidence(), cluster_ip.PROBE).of(a)["kept_flow_deletions"] == (
        "conntrack -D -p udp --orig-src 10.42.1.10 --orig-dst 10.43.0.10 --orig-port-dst 53 --reply-src 10.42.2.99",
    )


def test_what_a_node_reports_stays_one_word_of_the_command():
    """Root on a node writes what it likes into its report, and somebody pastes the command on a node."""
    made, a = cluster()
    tracked(made, to="10.42.2.99; reboot $(id)")

    commands: Any = facts_of(made.evidence(), cluster_ip.PROBE).of(a)["kept_flow_deletions"]

    assert [shlex.split(each)[-2:] for each in commands] == [["--reply-src", "10.42.2.99; reboot $(id)"]]


def test_a_flow_to_a_present_endpoint_is_another_matter():
    made, _ = cluster()
    server = next(pod for subject, pod in made.pods.items() if subject.name == "kube-system/coredns-1")
    tracked(made, to=server.status.pod_ip)

    assert failures(made) == []


def test_a_former_endpoint_that_runs_may_answer():
    made, _ = cluster()
    made.pod("kube-system/coredns-2", "node-2", labels={"k8s-app": "kube-dns"}, is_ready=False, ip=GONE)
    tracked(made)

    assert failures(made) == []


def test_another_pod_that_has_the_address_by_now_does_not():
    made, _ = cluster()
    made.pod("shop/new", "node-2", labels={"app": "new"}, ip=GONE)
    tracked(made)

    assert len(failures(made)) == 1


@pytest.mark.parametrize("is_stalled", [True, False], ids=["nobody acknowledges", "it is at rest"])
def test_a_connection_is_told_where_its_own_socket_waits(is_stalled: bool):  # noqa: FBT001
    made, a = cluster()
    tracked(made, protocol="tcp", dst=SHOP, port=5432, is_sent=False)
    held = Connection(ip=SHOP, port=5432, state="established", is_stalled=is_stalled)
    made.inside(a, connections=(held,))

    told = (
        "shop/a keeps sending to a former endpoint of a Service: its connection to shop/db "
        "(10.43.51.131:5432/TCP) leads to 10.42.2.99, which acknowledges nothing."
    )
    assert [each.sentence for each in failures(made)] == ([told] if is_stalled else [])


@pytest.mark.parametrize("is_sent", [True, False], ids=["seen being sent", "sent a moment ago"])
def test_whether_packets_were_seen_is_told(is_sent: bool):  # noqa: FBT001
    made, a = cluster()
    tracked(made, is_sent=is_sent)

    assert facts_of(made.evidence(), cluster_ip.PROBE).of(a)["former_endpoints_are_sent_to"] is is_sent


def test_what_is_being_sent_is_needed_and_what_we_sent_once_is_not():
    made, a = cluster()
    tracked(made)
    flow = next(each for each in needed_flows(made.evidence()) if each.known_by == "tracked")
    assert (flow.source, flow.target and flow.target.name, flow.port, flow.protocol) == (
        a,
        "kube-system/kube-dns",
        53,
        "UDP",
    )

    tracked(made, is_sent=False)
    assert all(each.known_by != "tracked" for each in needed_flows(made.evidence()))


def test_a_table_that_was_not_read_says_nothing():
    made, a = cluster()
    made.node_report("node-1", conntrack=Conntrack())

    assert facts_of(made.evidence(), cluster_ip.PROBE).why_unobserved(a, "flows_to_former_endpoints") == (
        "the node's connection table was not read"
    )
