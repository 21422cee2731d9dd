"""From what an alert names to where to look, by what the cluster has."""

import pytest

from bot.domain.alert import AlertScope
from bot.incidents.alerting.locating import Located, locate
from tests.probes.build import FakeCluster, two_nodes
from tests.recorded_cluster import Recorded


@pytest.fixture
def cluster() -> FakeCluster:
    cluster, *_ = two_nodes()
    return cluster


def recorded(cluster: FakeCluster) -> Recorded:
    return Recorded([cluster.evidence().snapshot])


SYSTEM = "kube-system"


@pytest.mark.parametrize(
    ("scope", "found"),
    [
        (AlertScope(kind="pod", namespace="shop", name="x"), Located(namespace="shop", subject="pod shop/x")),
        (AlertScope(kind="pod", name="a"), Located(namespace="shop", subject="pod shop/a")),
        (AlertScope(kind="pod", name="nobody"), None),
        (AlertScope(kind="node", name="node-1"), Located(namespace=SYSTEM, node="node-1", subject="node node-1")),
        (AlertScope(kind="node", name="node-9"), None),
        (
            AlertScope(kind="node-of-pod", namespace="shop", name="a"),
            Located(namespace=SYSTEM, node="node-1", subject="node node-1", why="runs a"),
        ),
        (
            AlertScope(kind="node-of-pod", namespace=SYSTEM, name="calico-node-x2x7p"),
            Located(namespace=SYSTEM, node="*", why="calico-node-x2x7p is gone, so its node is not known"),
        ),
        (
            AlertScope(kind="workload", namespace="shop", name="web", workload="deployment"),
            Located(namespace="shop", subject="deployment shop/web"),
        ),
        (
            AlertScope(kind="service", namespace="shop", name="web"),
            Located(namespace="shop", subject="service shop/web"),
        ),
        (AlertScope(kind="namespace", namespace="shop"), Located(namespace="shop", subject="namespace shop")),
        (AlertScope(kind="component", name="dns"), Located(namespace=SYSTEM, node="*")),
        (AlertScope(kind="api-service", name="v1.metrics.k8s.io"), Located(namespace=SYSTEM, node="*")),
        (AlertScope(kind="cluster"), Located(namespace=SYSTEM, node="*")),
        (AlertScope(kind="address", name="shop.example.com"), None),
        (AlertScope(kind="address", name="198.51.100.7"), None),
    ],
)
async def test_where_to_look(cluster: FakeCluster, scope: AlertScope, found: Located | None) -> None:
    assert await locate(scope, recorded(cluster)) == found


async def test_an_address_is_a_node_or_a_pod(cluster: FakeCluster) -> None:
    evidence = cluster.evidence()
    node = evidence.nodes["node-2"]
    (pod,) = [each for each in evidence.snapshot.pods if each.metadata.name == "a"]

    for host in ("node-2", node.internal_ip):
        found = await locate(AlertScope(kind="address", name=host), recorded(cluster))
        assert found == Located(namespace=SYSTEM, node="node-2", subject="node node-2", why=f"has the address {host}")
    found = await locate(AlertScope(kind="address", name=pod.status.pod_ip), recorded(cluster))
    assert found == Located(namespace="shop", subject="pod shop/a", why=f"has the address {pod.status.pod_ip}")


async def test_where_dns_lives_in_its_own_namespace_the_look_begins_there(cluster: FakeCluster) -> None:
    cluster.pod("openshift-dns/dns-default-x2x7p", node="node-1")
    found = await locate(AlertScope(kind="cluster"), recorded(cluster))

    assert found == Located(namespace="openshift-dns", node="*")
