"""Which of our tests count as flows."""

from bot.agent.report import Outcome
from bot.domain import facts
from bot.domain.facts import Subject
from bot.probes.shared.flows import tried_flows
from tests.probes.build import FakeCluster, two_nodes


def pinged(cluster: FakeCluster, target: Subject, *sources: Subject, outcome: Outcome = "timeout") -> None:
    for source in sources:
        purpose = "local-pod" if cluster.pods[source].spec.node_name == "node-1" else "remote-pod"
        cluster.test(source, purpose, to=target, outcome=outcome)


def dialled(cluster: FakeCluster, source: Subject, target: Subject, outcome: Outcome = "ok") -> None:
    cluster.test(source, "endpoint", to=target, protocol="tcp", port=8080, outcome=outcome)


def failed(cluster: FakeCluster) -> list[tuple[Subject, Subject, str]]:
    return [(each.source, each.target, each.protocol) for each in tried_flows(cluster.evidence()) if each.reach != "ok"]


def test_a_pod_that_answers_connections_and_no_ping_is_reached():
    cluster, a, b, c = two_nodes()
    pinged(cluster, a, b, c)
    dialled(cluster, c, a)

    assert failed(cluster) == []


def test_a_firewall_between_two_nodes_that_takes_only_icmp_hurts_nobody():
    cluster, a, b, c = two_nodes()
    for target in (a, b):
        pinged(cluster, target, c)
        cluster.test(facts.node("node-1"), "local-pod", to=target)
        dialled(cluster, c, target)

    assert failed(cluster) == []


def test_a_ping_that_is_lost_where_others_are_answered_counts():
    cluster, a, b, c = two_nodes()
    pinged(cluster, a, b)
    pinged(cluster, a, c, outcome="ok")
    dialled(cluster, b, a)

    assert failed(cluster) == [(b, a, "icmp")]


def test_pings_count_where_connections_fail_or_were_not_tried():
    cluster, a, b, c = two_nodes()
    pinged(cluster, a, b, c)

    assert len(failed(cluster)) == 2

    dialled(cluster, b, a)
    dialled(cluster, c, a, "timeout")

    assert len(failed(cluster)) == 3
