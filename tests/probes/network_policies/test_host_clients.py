"""Clients with their node's network, before policies that name clients by labels."""

import msgspec
import pytest

from bot.agent.report import Outcome
from bot.cluster.objects import (
    Container,
    EnvVar,
    LabelSelector,
    NetworkPolicy,
    NetworkPolicyIngressRule,
    NetworkPolicyPeer,
    NetworkPolicySpec,
    ObjectMeta,
)
from bot.domain import facts
from bot.domain.facts import FactTable, Subject
from bot.domain.finding import Finding, Severity
from bot.probes import network_policies
from tests.probes.build import FakeCluster, facts_of, two_nodes
from tests.probes.services import add_service

IP = "10.43.0.80"
ANYBODY = NetworkPolicyIngressRule()
BY_LABEL = NetworkPolicyIngressRule(
    from_=(NetworkPolicyPeer(pod_selector=LabelSelector(match_labels={"app": "nginx"})),)
)


def edge(*, host_network: bool = True) -> tuple[FakeCluster, Subject]:
    """shop/nginx on node-1 dials shop/web, whose pod runs on node-2."""
    cluster, *_, c = two_nodes()
    nginx = cluster.pod("shop/nginx", "node-1", host_network=host_network, labels={"app": "nginx"})
    told = Container(name="main", env=(EnvVar(name="WEB", value="web:80"),))
    spec = msgspec.structs.replace(cluster.pods[nginx].spec, containers=(told,))
    cluster.pods[nginx] = msgspec.structs.replace(cluster.pods[nginx], spec=spec)
    return cluster, add_service(cluster, "shop/web", (c,), ip=IP, port=80, target=8080)


def judged(cluster: FakeCluster, rule: NetworkPolicyIngressRule, outcome: Outcome) -> tuple[FactTable, list[Finding]]:
    policy = NetworkPolicy(
        metadata=ObjectMeta(namespace="shop", name="from-edge"),
        spec=NetworkPolicySpec(policy_types=("Ingress",), ingress=(rule,)),
    )
    cluster.snapshot_fields["network_policies"] = (policy,)
    node = facts.node("node-1")
    cluster.test(node, "cluster-ip", protocol="tcp", ip=IP, port=80, name="shop/web:80", outcome=outcome)
    known = facts_of(cluster.evidence(), network_policies.PROBE)
    return known, [each for each in network_policies.PROBE.judge(known) if each.severity is Severity.FAIL]


def test_one_whose_node_gets_no_answer_is_left_out_by_a_policy_that_names_its_labels():
    cluster, web = edge()

    known, (finding,) = judged(cluster, BY_LABEL, "timeout")

    assert known.of(web)["host_clients_left_out"] == (
        "shop/nginx on node-1 (its variable WEB names web:80) got no answer",
    )
    assert known.of(web)["host_clients_policies"] == ("shop/from-edge",)
    assert finding.symptom is not None
    assert [flow.source for flow in finding.symptom.flows] == [facts.pod("shop", "nginx")]


@pytest.mark.parametrize(
    ("host_network", "rule", "outcome"),
    [(True, BY_LABEL, "ok"), (True, ANYBODY, "timeout"), (False, BY_LABEL, "timeout")],
    ids=["its node gets an answer", "the policy lets everybody in", "it has an address of its own"],
)
def test_nobody_else_is(host_network: bool, rule: NetworkPolicyIngressRule, outcome: Outcome):  # noqa: FBT001
    cluster, web = edge(host_network=host_network)

    known, findings = judged(cluster, rule, outcome)

    assert known.of(web)["host_clients_left_out"] == ()
    assert findings == []
