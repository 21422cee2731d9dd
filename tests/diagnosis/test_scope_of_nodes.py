"""Diagnoses of a node, and of all of them: which nodes are looked at, and first."""

import pytest
from msgspec.structs import replace

from bot.cluster.objects import Container, EnvVar
from bot.diagnosis.agent_tasks import nodes_in_scope
from bot.domain import facts
from tests.probes.build import FakeCluster
from tests.probes.services import add_service


def cluster() -> FakeCluster:
    found = FakeCluster()
    for number in range(1, 6):
        found.node(f"node-{number}")
    found.pod("shop/a", node="node-1")
    return found


def test_the_named_node_is_looked_at_beside_those_of_the_pods() -> None:
    assert nodes_in_scope(cluster().evidence(), limit=100, named=("node-4",)) == ("node-1", "node-4")


def test_the_named_node_comes_first_where_not_all_can_be_looked_at() -> None:
    assert nodes_in_scope(cluster().evidence(), limit=1, named=("node-4",)) == ("node-4",)


def test_a_node_that_does_not_exist_is_not_looked_at() -> None:
    assert nodes_in_scope(cluster().evidence(), limit=100, named=("node-9",)) == ("node-1",)


def test_all_nodes_up_to_the_limit() -> None:
    evidence = cluster().evidence()

    assert len(nodes_in_scope(evidence, limit=100, all_nodes=True)) == 5
    assert nodes_in_scope(evidence, limit=2, all_nodes=True) == ("node-1", "node-2")


def dialling(value: str) -> FakeCluster:
    """shop/a on node-1 is configured to dial something; ops/db stands before a pod of node-3."""
    found = cluster()
    add_service(found, "ops/db", (found.pod("ops/x", "node-3"),), port=80)
    pod = found.pods[facts.pod("shop", "a")]
    spec = replace(pod.spec, containers=(Container(env=(EnvVar(name="DB", value=value),)),))
    found.pods[facts.pod("shop", "a")] = replace(pod, spec=spec)
    return found


@pytest.mark.parametrize(
    ("value", "node"),
    [("db.ops:80", "node-3"), ("10.42.3.10:80", "node-3"), ("172.30.0.14:6443", "node-4")],
    ids=["a Service of another namespace", "a pod", "a node"],
)
def test_the_nodes_of_what_a_pod_dials_are_looked_at(value: str, node: str) -> None:
    assert nodes_in_scope(dialling(value).evidence(), limit=100) == ("node-1", node)


def test_what_lies_outside_has_no_node() -> None:
    assert nodes_in_scope(dialling("192.0.2.9:80").evidence(), limit=100) == ("node-1",)
