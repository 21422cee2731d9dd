"""Diagnoses of a node, and of all of them: which nodes are looked at, and first."""

from bot.diagnosis.agent_tasks import nodes_in_scope
from tests.probes.build import FakeCluster


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
