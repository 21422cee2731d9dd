"""Which nodes reach which, told from the agents' tests alone."""

import pytest

from bot.diagnosis.connectivity import MAX_NODES, MAX_NODES_IN_FULL, connectivity
from bot.domain import facts
from bot.domain.facts import Rung
from bot.domain.report import Connectivity
from tests.probes.build import FakeCluster, two_nodes


def states(cluster: FakeCluster) -> dict[str, str]:
    return {f"{one.source}>{one.target}": one.state for one in connectivity(cluster.evidence())}


def test_one_direction_that_fails_is_told_from_the_other() -> None:
    cluster, a, _, b = two_nodes()
    cluster.test(a, "remote-pod", to=b, outcome="timeout")
    cluster.test(b, "remote-pod", to=a)

    found = states(cluster)

    assert found["node-1>node-2"] == "failed"
    assert found["node-2>node-1"] == "ok"


def test_some_of_several_flows_make_a_pair_partial_and_are_counted() -> None:
    cluster, a, _, b = two_nodes()
    cluster.test(a, "remote-pod", to=b, outcome="timeout")
    cluster.test(a, "remote-pod", to=b)

    (pair,) = [one for one in connectivity(cluster.evidence()) if (one.source, one.target) == ("node-1", "node-2")]

    assert pair == Connectivity(source="node-1", target="node-2", state="partial", tested=2, failed=1, latency_ms=0.4)


def test_a_node_s_own_tests_count_only_where_no_pod_tested() -> None:
    """A firewall that takes ICMP between nodes whose pods reach each other breaks nothing."""
    cluster, a, _, b = two_nodes()
    one, two = facts.node("node-1"), facts.node("node-2")
    cluster.test(one, "node", to=two, outcome="timeout")
    cluster.test(two, "node", to=one, outcome="timeout")
    cluster.test(a, "remote-pod", to=b)

    found = states(cluster)

    assert found["node-1>node-2"] == "ok"
    assert found["node-2>node-1"] == "failed"


def test_what_nobody_tested_is_unknown_and_never_ok() -> None:
    cluster, *_ = two_nodes()

    assert states(cluster) == {f"{a}>{b}": "unknown" for a in ("node-1", "node-2") for b in ("node-1", "node-2")}


def test_without_any_look_at_a_node_there_is_nothing_to_tell() -> None:
    cluster, *_ = two_nodes()
    for name in ("node-1", "node-2"):
        cluster.unseen(name, "no agent")

    assert connectivity(cluster.evidence(access=Rung.API)) == ()


@pytest.mark.parametrize(("count", "pairs"), [(MAX_NODES_IN_FULL, MAX_NODES_IN_FULL**2), (MAX_NODES + 20, 1)])
def test_the_list_stays_bounded_and_sorted_with_many_nodes(count: int, pairs: int) -> None:
    cluster = FakeCluster("calico")
    for number in range(1, count + 1):
        cluster.node(f"node-{number:03}")
    a, b = cluster.pod("shop/a", "node-001"), cluster.pod("shop/b", "node-002")
    cluster.test(a, "remote-pod", to=b)

    found = connectivity(cluster.evidence())

    assert len(found) == pairs
    assert [(one.source, one.target) for one in found] == sorted((one.source, one.target) for one in found)
