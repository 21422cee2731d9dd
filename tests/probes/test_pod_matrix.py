"""Pods to pods: by pod, by pair of nodes, in both directions, and without what policies forbid."""

import pytest

from bot.agent.report import Listener
from bot.cluster.objects import LabelSelector, NetworkPolicy, NetworkPolicySpec, ObjectMeta
from bot.domain import facts
from bot.domain.facts import Flow, Subject
from bot.domain.finding import Severity, SymptomKind
from bot.probes import pod_arp_table
from bot.probes.pod_matrix import PROBE
from bot.probes.pod_matrix.findings import judge
from tests.probes.build import FakeCluster, facts_of, sentences, table, two_nodes

NODE, OTHER = facts.node("node-1"), facts.node("node-2")
PAIR, BACK = facts.pair("node-1", "node-2"), facts.pair("node-2", "node-1")


def full(cluster: FakeCluster, sources: list[Subject], targets: list[Subject], *, fails: bool = False) -> None:
    """Every source asks every target, as the plan has it."""
    for source in sources:
        for target in targets:
            if source != target:
                is_local = cluster.pods[source].spec.node_name == cluster.pods[target].spec.node_name
                outcome = "timeout" if fails else "ok"
                cluster.test(source, "local-pod" if is_local else "remote-pod", to=target, outcome=outcome)


def test_a_healthy_matrix() -> None:
    cluster, a, b, c = two_nodes()
    full(cluster, [a, b, c], [a, b, c])
    cluster.test(NODE, "remote-pod", to=c)

    known = facts_of(cluster.evidence(), PROBE)

    assert dict(known.of(a)) == {
        "reach_local_pods": "ok",
        "reach_remote_pods": "ok",
        "failing_local_pods": (),
        "own_failing_flows": (),
    }
    assert dict(known.of(PAIR)) == {
        "pod_ping": "ok",
        "node_to_pod": "ok",
        "reverse_pod_ping": "ok",
        "failing_flows": (),
        "flows_tested": 2,
        "flows_denied": 0,
    }
    assert dict(known.of(NODE)) == {"local_pods_dead": False, "remote_dead_to": "none", "remote_dead_from": "none"}
    assert sentences(judge(known)) == [
        "Pods on node-1 reach each other (tested from shop/a, shop/b).",
        "Pods on node-1 reach pods on 1 other node (node-2).",
        "Pods on node-2 reach pods on 1 other node (node-1).",
    ]


def test_one_dead_direction() -> None:
    cluster, a, b, c = two_nodes()
    full(cluster, [a, b], [c], fails=True)
    full(cluster, [c], [a, b])

    known = facts_of(cluster.evidence(), PROBE)
    failures = [each for each in judge(known) if each.severity is Severity.FAIL]

    assert (known.of(PAIR)["pod_ping"], known.of(PAIR)["reverse_pod_ping"]) == ("timeout", "ok")
    assert (known.of(BACK)["pod_ping"], known.of(BACK)["reverse_pod_ping"]) == ("ok", "timeout")
    assert (known.of(NODE)["remote_dead_to"], known.of(NODE)["remote_dead_from"]) == ("all", "none")
    assert (known.of(OTHER)["remote_dead_to"], known.of(OTHER)["remote_dead_from"]) == ("none", "all")
    assert sentences(failures) == [
        (
            "Pods on node-1 do not reach pods on node-2: a test got no answer; "
            "2 of 2 flows fail (shop/a to shop/c, shop/b to shop/c)."
        )
    ]
    symptom = failures[0].symptom
    assert symptom is not None
    assert (symptom.kind, symptom.subject, symptom.hop) == (SymptomKind.CROSS_NODE_UNREACHABLE, PAIR, "overlay")
    assert [(flow.source, flow.target) for flow in symptom.flows] == [(a, c), (b, c)]
    assert {(flow.source_node, flow.target_node) for flow in symptom.flows} == {(NODE, OTHER)}


def test_what_one_pod_alone_fails_at_is_its_own_and_not_its_nodes() -> None:
    cluster, a, b, c = two_nodes()
    full(cluster, [a], [c], fails=True)
    full(cluster, [b], [c])

    known = facts_of(cluster.evidence(), PROBE)
    (failure,) = [each for each in judge(known) if each.severity is Severity.FAIL]

    assert known.of(PAIR)["pod_ping"] == "ok"
    assert known.of(PAIR)["failing_flows"] == ()
    assert failure.sentence == (
        "shop/a does not reach 1 pod of other nodes (shop/c), while other pods of node-1, node-2 reach each other."
    )
    assert failure.symptom is not None
    assert (failure.symptom.subject, failure.symptom.hop) == (a, "node")
    assert [(flow.source, flow.target, flow.source_node) for flow in failure.symptom.flows] == [(a, c, NODE)]


def test_a_pod_that_nobody_of_one_node_reaches_is_told_as_that_pod() -> None:
    cluster, a, b, c = two_nodes()
    d = cluster.pod("shop/d", "node-2")
    full(cluster, [a, b], [c], fails=True)
    full(cluster, [a, b], [d])
    full(cluster, [c, d], [a, b])

    known = facts_of(cluster.evidence(), PROBE)
    (failure,) = [each for each in judge(known) if each.severity is Severity.FAIL]

    assert failure.subject == c
    assert "shop/c is not reached by 2 pods of other nodes (shop/a, shop/b)" in failure.sentence
    assert known.of(PAIR)["pod_ping"] == "ok"


def test_without_another_pod_to_compare_with_the_nodes_are_what_fails() -> None:
    cluster, a, _, c = two_nodes()
    full(cluster, [a], [c], fails=True)

    known = facts_of(cluster.evidence(), PROBE)

    assert known.of(c).get("own_failing_flows") in (None, ())
    assert [each.subject for each in judge(known) if each.severity is Severity.FAIL] == [PAIR]


def test_a_source_without_gateway_puts_the_hop_there() -> None:
    cluster, a, b, c = two_nodes()
    for pod in (a, b):
        cluster.answers(pod, None, None, None)
    full(cluster, [a, b], [c], fails=True)

    known = facts_of(cluster.evidence(), pod_arp_table.PROBE, PROBE)
    symptom = next(each.symptom for each in judge(known) if each.subject == PAIR)

    assert symptom is not None
    assert symptom.hop == "gateway"


def deny_all(cluster: FakeCluster, namespace: str = "shop") -> None:
    policy = NetworkPolicy(
        metadata=ObjectMeta(name="deny", namespace=namespace),
        spec=NetworkPolicySpec(pod_selector=LabelSelector(), policy_types=("Ingress",)),
    )
    cluster.snapshot_fields = {"network_policies": (policy,)}


def test_what_policies_forbid_accuses_no_overlay() -> None:
    cluster, a, b, c = two_nodes()
    deny_all(cluster)
    full(cluster, [a, b], [c], fails=True)

    known = facts_of(cluster.evidence(), PROBE)

    assert dict(known.of(PAIR)) == {"failing_flows": (), "flows_tested": 0, "flows_denied": 2}
    assert known.why_unobserved(PAIR, "pod_ping") == "NetworkPolicies forbid all flows that were tested"
    assert known.why_unobserved(a, "reach_remote_pods") == "NetworkPolicies forbid all flows that were tested"
    assert [(each.severity, each.sentence) for each in judge(known)] == [
        (Severity.INFO, "From pods on node-1 to pods on node-2, all 2 flows tried are forbidden by NetworkPolicies.")
    ]


def test_a_network_that_enforces_no_policies_is_judged_by_its_packets() -> None:
    cluster, a, _, c = two_nodes("flannel")
    deny_all(cluster)
    cluster.enforces_policy = False
    full(cluster, [a], [c], fails=True)

    assert facts_of(cluster.evidence(), PROBE).of(PAIR)["pod_ping"] == "timeout"


def test_a_pod_that_none_of_its_node_reaches_is_told_once() -> None:
    cluster = FakeCluster()
    cluster.node("node-1")
    pods = [cluster.pod(f"shop/p{number}", "node-1") for number in range(4)]
    full(cluster, pods[1:], [pods[0]], fails=True)
    full(cluster, pods[1:], pods[1:])
    full(cluster, pods[:1], pods[1:])

    known = facts_of(cluster.evidence(), PROBE)
    findings = judge(known)

    assert known.of(pods[1])["reach_local_pods"] == "mixed"
    assert known.of(NODE)["local_pods_dead"] is False
    assert sentences(findings) == ["None of 3 other pods on node-1 (shop/p1, shop/p2, shop/p3) reaches shop/p0."]
    symptom = findings[0].symptom
    assert symptom is not None
    assert (symptom.kind, symptom.subject) == (SymptomKind.LOCAL_PODS_UNREACHABLE, pods[0])
    assert [flow.source for flow in symptom.flows] == pods[1:]


def test_a_pod_that_reaches_none_of_its_node_is_told_itself() -> None:
    cluster = FakeCluster()
    cluster.node("node-1")
    pods = [cluster.pod(f"shop/p{number}", "node-1") for number in range(3)]
    full(cluster, pods[:1], pods[1:], fails=True)
    full(cluster, pods[1:], pods[1:])
    full(cluster, pods[1:], pods[:1], fails=True)

    findings = judge(facts_of(cluster.evidence(), PROBE))

    assert sentences(findings) == [
        "shop/p0 on node-1 reaches no other pod of its node (shop/p1, shop/p2): a test got no answer."
    ]
    symptom = findings[0].symptom
    assert symptom is not None
    assert symptom.subject == pods[0]
    assert {(flow.source, flow.target) for flow in symptom.flows} == {
        (pods[0], pods[1]),
        (pods[0], pods[2]),
        (pods[1], pods[0]),
        (pods[2], pods[0]),
    }


def test_a_pod_that_one_other_does_not_reach_is_told_by_that_one() -> None:
    cluster = FakeCluster()
    cluster.node("node-1")
    pods = [cluster.pod(f"shop/p{number}", "node-1") for number in range(3)]
    full(cluster, pods[:1], pods[1:2], fails=True)
    full(cluster, pods[:1], pods[2:])
    full(cluster, pods[1:], pods)

    assert sentences(judge(facts_of(cluster.evidence(), PROBE))) == [
        "shop/p0 on node-1 does not reach 1 other pod of its node (shop/p1)."
    ]


@pytest.mark.parametrize(
    ("elsewhere", "hop"),
    [
        ({"eth0": "down"}, "pod"),
        ({"default_route": "missing"}, "pod"),
        ({"gateway_arp": "silent"}, "gateway"),
        ({"node_reaches_pod": "timeout"}, "node"),
        ({"node_reaches_pod": "ok"}, "overlay"),
    ],
)
def test_the_hop_of_a_pair_is_the_first_that_is_not_proven_good(elsewhere: dict[str, str], hop: str) -> None:
    known = table(
        pair={"node-1>node-2": {"pod_ping": "timeout", "failing_flows": ("shop/a>shop/c",), "flows_tested": 1}},
        pod={"shop/c": elsewhere},
        flows={(PAIR, "failing_flows"): (Flow(source=facts.pod("shop", "a"), target=facts.pod("shop", "c")),)},
    )

    symptom = judge(known)[0].symptom

    assert symptom is not None
    assert symptom.hop == hop


def test_isolated_ports_of_a_bridge_are_dead_for_each_other() -> None:
    cluster = FakeCluster("flannel")
    cluster.node("node-1")
    pods = [cluster.pod(f"shop/p{number}", "node-1") for number in range(3)]
    full(cluster, pods, pods, fails=True)

    known = facts_of(cluster.evidence(), PROBE)

    assert known.of(NODE)["local_pods_dead"] is True
    assert sentences(judge(known)) == [
        (
            "No pod on node-1 reaches another pod of the node (tested from shop/p0, shop/p1, shop/p2): "
            "a test got no answer."
        )
    ]
    symptom = judge(known)[0].symptom
    assert symptom is not None
    assert (symptom.subject, len(symptom.flows)) == (NODE, 6)


@pytest.mark.parametrize(
    ("port", "listens", "expected"),
    [
        (8080, (Listener(protocol="tcp", ip="0.0.0.0", port=8080),), "refused"),
        (8080, (Listener(protocol="tcp", ip="127.0.0.1", port=8080),), None),
        (8080, (), None),
    ],
)
def test_a_refusal_counts_only_from_a_port_that_listens(
    port: int, listens: tuple[Listener, ...], expected: str | None
) -> None:
    cluster, a, _, c = two_nodes()
    cluster.inside(c, listeners=listens)
    cluster.test(a, "endpoint", to=c, protocol="tcp", port=port, outcome="ECONNREFUSED")

    assert facts_of(cluster.evidence(), PROBE).of(PAIR).get("pod_ping_tcp") == expected


def test_a_refusal_by_icmp_comes_from_a_rule_and_counts() -> None:
    cluster, a, _, c = two_nodes()
    cluster.test(a, "endpoint", to=c, protocol="tcp", port=80, outcome="ECONNREFUSED", icmp="port-unreachable")

    assert facts_of(cluster.evidence(), PROBE).of(PAIR)["pod_ping_tcp"] == "refused"


def test_tcp_alone_speaks_for_a_pair() -> None:
    cluster, a, _, c = two_nodes()
    cluster.test(a, "endpoint", to=c, protocol="tcp", port=8080, outcome="timeout")

    known = facts_of(cluster.evidence(), PROBE)

    assert known.of(PAIR)["pod_ping_tcp"] == "timeout"
    assert known.of(NODE)["remote_dead_to"] == "all"
    assert sentences(judge(known), Severity.FAIL) == [
        "Pods on node-1 do not reach pods on node-2: a test got no answer; 1 of 1 flow fails (shop/a to shop/c)."
    ]


def test_pods_that_were_no_source_are_silently_unknown() -> None:
    cluster, a, _, _ = two_nodes()

    known = facts_of(cluster.evidence(), PROBE)

    assert known.why_unobserved(a, "reach_local_pods") == "the pod was not a source of tests"
    assert judge(known) == []
