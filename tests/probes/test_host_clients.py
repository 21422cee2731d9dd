"""Pods with hostNetwork that need a Service: what their node's tests say of them."""

from typing import Any

import pytest
from msgspec import structs

from bot.agent.report import Outcome
from bot.causes.reachability import Reachability
from bot.cluster.objects import Container, EnvVar
from bot.domain import facts
from bot.domain.facts import FactTable, Subject
from bot.domain.finding import Finding, Severity
from bot.probes import cluster_ip, network_policies, pod_sandbox, service_endpoints
from tests.probes.build import FakeCluster, facts_of, two_nodes
from tests.probes.services import add_service, ask, ask_directly

NODE = facts.node("node-1")
EDGE = facts.pod("shop", "edge")


def edge(*, host_network: bool = True, value: str = "db:80", phase: str = "Running") -> tuple[FakeCluster, Subject]:
    """shop/edge on node-1 is configured to dial shop/db, whose pod shop/c is on node-2."""
    cluster, a, _, c = two_nodes()
    pod = cluster.pod("shop/edge", "node-1", host_network=host_network, phase=phase)
    spec = structs.replace(cluster.pods[pod].spec, containers=(Container(env=(EnvVar(name="DB", value=value),)),))
    cluster.pods[pod] = structs.replace(cluster.pods[pod], spec=spec)
    db = add_service(cluster, "shop/db", (c,), port=80)
    ask(cluster, a, db)
    return cluster, db


def judged(cluster: FakeCluster) -> tuple[FactTable, list[Finding]]:
    probes = (service_endpoints.PROBE, cluster_ip.PROBE, network_policies.PROBE, pod_sandbox.PROBE)
    known = facts_of(cluster.evidence(), *probes)
    return known, [each for each in cluster_ip.PROBE.judge(known) if each.severity is not Severity.PASS]


@pytest.mark.parametrize(
    ("outcome", "fields", "reach", "words"),
    [
        ("timeout", {}, "timeout", "does not reach Service shop/db: shop/edge on node-1 got no answer"),
        ("timeout", {"tries": 4, "ok": 2}, "mixed", "does not always reach Service shop/db: shop/edge on node-1 "),
    ],
    ids=["never", "now and then"],
)
def test_what_the_node_does_not_reach_its_pods_do_not_reach_either(
    outcome: Outcome, fields: dict[str, int], reach: str, words: str
):
    cluster, db = edge()
    ask(cluster, NODE, db, outcome, **fields)

    known, (finding,) = judged(cluster)

    assert known.of(db)["host_clients_reach"] == reach
    assert finding.severity is Severity.FAIL
    assert finding.sentence.startswith(f"A pod with hostNetwork {words}")
    assert "(its variable DB names db:80)" in finding.sentence
    assert finding.sentence.endswith("It needs it, and other pods reach it.")
    assert finding.symptom is not None
    assert [(flow.source, flow.target) for flow in finding.symptom.flows] == [(EDGE, facts.pod("shop", "c"))]


def test_a_cause_of_it_stands_at_the_node_or_the_service_and_not_at_the_pod():
    cluster, db = edge()
    ask(cluster, NODE, db, "timeout")
    known, (finding,) = judged(cluster)
    assert finding.symptom is not None

    scope = Reachability(known).scope(finding.symptom)

    assert scope.is_explained_by(frozenset({NODE}))
    assert scope.is_explained_by(frozenset({db}))
    assert not scope.is_explained_by(frozenset({EDGE}))


def test_only_the_endpoint_that_the_node_does_not_reach_is_among_the_flows():
    cluster, _ = edge()
    near = cluster.pod("shop/near", "node-1")
    c = facts.pod("shop", "c")
    api = add_service(cluster, "shop/api", (near, c), ip="10.43.0.81", port=80)
    spec = structs.replace(cluster.pods[EDGE].spec, containers=(Container(env=(EnvVar(name="API", value="api:80"),)),))
    cluster.pods[EDGE] = structs.replace(cluster.pods[EDGE], spec=spec)
    ask(cluster, NODE, api, "timeout", tries=4, ok=2)
    ask_directly(cluster, NODE, api, near)
    ask_directly(cluster, NODE, api, c, "timeout")

    known, _ = judged(cluster)

    assert known.of(api)["host_clients_failing_flows"] == ("shop/edge>shop/c",)


@pytest.mark.parametrize(
    ("made", "outcome", "severities"),
    [
        ({}, "ok", []),
        ({"value": "nothing"}, "timeout", [Severity.WARN]),
        ({"host_network": False}, "timeout", [Severity.WARN]),
        ({"phase": "Succeeded"}, "timeout", [Severity.WARN]),
    ],
    ids=["its node gets an answer", "it does not need it", "it has an address of its own", "it has ended"],
)
def test_what_is_no_failure_of_such_a_client(made: dict[str, Any], outcome: Outcome, severities: list[Severity]):
    cluster, db = edge(**made)
    ask(cluster, NODE, db, outcome)

    known, findings = judged(cluster)

    assert known.of(db)["host_clients_failing"] == ()
    assert [each.severity for each in findings] == severities


def test_another_node_s_failure_is_not_its_own():
    cluster, db = edge()
    ask(cluster, NODE, db)
    ask(cluster, facts.node("node-2"), db, "timeout")

    known, findings = judged(cluster)

    assert known.of(db)["host_clients_reach"] == "ok"
    assert [each.severity for each in findings] == [Severity.WARN]
