"""Needed flows that nobody tried keep a verdict from being healthy."""

from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from bot.agent.report import Connection, ConnectionState, Outcome, PodReport
from bot.cluster.objects import Container, EnvVar, OwnerReference
from bot.diagnosis.agent_tasks import plan_tasks
from bot.diagnosis.knowledge import load_knowledge
from bot.diagnosis.second_look import doubtful_pods
from bot.diagnosis.untried import untried_flows
from bot.diagnosis.verdict import verdict
from bot.domain import facts
from bot.domain.cause import Differential
from bot.domain.facts import Subject
from bot.domain.flows import KnownBy, NeededFlow
from bot.domain.report import Coverage
from tests.probes.build import FakeCluster, two_nodes
from tests.probes.services import add_service, ask


def configure(cluster: FakeCluster, pod: Subject, *, owner: str = "") -> None:
    """The pod is told to dial the Service db; `owner` is its workload."""
    known = cluster.pods[pod]
    spec = structs.replace(known.spec, containers=(Container(env=(EnvVar(name="DB", value="db:80"),)),))
    owners = (OwnerReference(kind="ReplicaSet", name=owner, uid=owner),) if owner else ()
    meta = structs.replace(known.metadata, owner_references=owners)
    cluster.pods[pod] = structs.replace(known, spec=spec, metadata=meta)


def untried(cluster: FakeCluster) -> list[str]:
    return [flow.source.name for flow in untried_flows(cluster.evidence())]


def test_what_was_tried_from_the_pod_or_from_another_of_its_workload_on_its_node():
    cluster, a, b, c = two_nodes()
    db = add_service(cluster, "shop/db", (c,), port=80)
    configure(cluster, a, owner="web")
    configure(cluster, b, owner="web")
    assert untried(cluster) == ["shop/a", "shop/b"]

    ask(cluster, a, db)

    assert untried(cluster) == []


@pytest.mark.parametrize("how", ["another port", "another workload", "skipped"])
def test_what_does_not_stand_for_it(how: str):
    cluster, a, b, c = two_nodes()
    db = add_service(cluster, "shop/db", (c,), port=80)
    configure(cluster, a, owner="web")
    if how == "another workload":
        ask(cluster, b, db)
    elif how == "skipped":
        ask(cluster, a, db, outcome="skipped")
    else:
        ask(cluster, a, db, port=81)

    assert untried(cluster) == ["shop/a"]


def test_what_nobody_can_try_is_told_elsewhere():
    cluster, a, _, c = two_nodes()
    add_service(cluster, "shop/db", (), port=80, unready=(c,))
    configure(cluster, a)

    assert untried(cluster) == []


@pytest.mark.parametrize(("known_by", "is_missed"), [("playbook", True), ("socket", True), ("connection", False)])
def test_a_connection_that_stands_was_seen_to_work(known_by: KnownBy, is_missed: bool):  # noqa: FBT001
    cluster, a, _, c = two_nodes()
    db = add_service(cluster, "shop/db", (c,), port=80)
    flow = NeededFlow(source=a, target=db, port=80, known_by=known_by, why="it holds one")

    assert bool(list(untried_flows(replace(cluster.evidence(), dials=(flow,))))) is is_missed


@pytest.mark.parametrize(("node", "missed"), [("node-1", []), ("node-2", ["shop/edge"])])
def test_a_node_tries_for_the_pods_that_share_its_network(node: str, missed: list[str]):
    cluster, _, _, c = two_nodes()
    db = add_service(cluster, "shop/db", (c,), port=80)
    configure(cluster, cluster.pod("shop/edge", "node-1", host_network=True))

    ask(cluster, facts.node(node), db)

    assert untried(cluster) == missed


@pytest.mark.parametrize(("outcome", "status"), [("ok", "healthy"), ("timeout", "inconclusive")])
def test_nothing_is_healthy_while_a_node_does_not_reach_what_its_pods_need(outcome: Outcome, status: str):
    cluster, _, _, c = two_nodes()
    db = add_service(cluster, "shop/db", (c,), port=80)
    configure(cluster, cluster.pod("shop/edge", "node-1", host_network=True))
    ask(cluster, facts.node("node-1"), db, outcome)
    seen = Coverage(access="agent", nodes_observed=2, nodes_total=2, pods_observed=3, pods_total=3)

    assert verdict(cluster.evidence(), seen, (), Differential()).status == status


@pytest.mark.parametrize(
    ("state", "is_tried", "missed"),
    [("syn-sent", False, ["shop/edge"]), ("syn-sent", True, []), ("established", False, [])],
    ids=["nobody tried", "its node did", "it holds one"],
)
def test_what_a_pod_on_its_nodes_network_dials_without_an_answer_is_tried_at_a_second_look(
    state: ConnectionState,
    is_tried: bool,  # noqa: FBT001
    missed: list[str],
):
    cluster, *_ = two_nodes()
    cluster.pod("shop/edge", "node-1", host_network=True)
    dialled = Connection(ip="192.0.2.9", port=5432, state=state)
    cluster.pod_reports["node-1"]["uid-edge"] = PodReport(
        uid="uid-edge", namespace="shop", name="edge", is_found=True, is_host_network=True, connections=(dialled,)
    )
    if is_tried:
        about: dict[str, Any] = {"protocol": "tcp", "ip": "192.0.2.9", "port": 5432, "name": "192.0.2.9:5432"}
        cluster.test(facts.node("node-1"), "dial", outcome="timeout", **about)

    evidence = cluster.evidence()

    assert untried(cluster) == missed
    assert {pod.name for pod in doubtful_pods(evidence, load_knowledge(), "namespace")} == set(missed)
    targets = plan_tasks(evidence, deadline_s=10)["node-1"].targets
    assert any(each.ip == "192.0.2.9" for each in targets) is (state == "syn-sent")


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        (["node-1"], "1 pod uses the network of its node (hostNetwork), which reaches the API server"),
        (["node-1", "node-1"], "2 pods use the network of one node (hostNetwork), which reaches the API server"),
        (
            ["node-1", "node-2"],
            "2 pods use the network of their 2 nodes (hostNetwork), which reach each other, the API",
        ),
    ],
    ids=["one", "two of a node", "two of two nodes"],
)
def test_where_all_pods_use_their_nodes_networks_it_is_said_of_these_nodes(nodes: list[str], words: str):
    cluster = FakeCluster()
    for number in (1, 2, 3):
        cluster.node(f"node-{number}")
        about: dict[str, Any] = {"protocol": "tcp", "ip": "10.43.0.1", "port": 443, "name": "default/kubernetes:443"}
        cluster.test(facts.node(f"node-{number}"), "cluster-ip", **about)
    for number, node in enumerate(nodes):
        pod = cluster.pod(f"shop/edge-{number}", node, host_network=True)
        spec = structs.replace(cluster.pods[pod].spec, dns_policy="ClusterFirstWithHostNet")
        cluster.pods[pod] = structs.replace(cluster.pods[pod], spec=spec)
        uid = cluster.pods[pod].metadata.uid
        cluster.pod_reports[node][uid] = PodReport(
            uid=uid,
            namespace="shop",
            name=f"edge-{number}",
            is_found=True,
            is_host_network=True,
            nameservers=("10.1.1.1",),
        )
    seen = Coverage(access="agent", nodes_observed=3, nodes_total=3, pods_observed=0, pods_total=0)

    found = verdict(cluster.evidence(), seen, (), Differential())

    assert (found.status, found.summary.startswith(words)) == ("healthy", True), found.summary
