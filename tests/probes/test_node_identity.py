"""What a node holds that belongs to another: addresses, by device or by local route, and MAC addresses."""

from dataclasses import replace
from typing import Any

import pytest

from bot.agent.report import Address, Link, Route
from bot.cluster.objects import ObjectMeta, Service, ServiceSpec
from bot.domain import facts
from bot.domain.finding import Severity
from bot.probes import node_identity, node_to_node
from bot.probes.shared.values import strings
from tests.probes.build import FakeCluster, facts_of, sentences, two_nodes

NODE_1, NODE_2 = facts.node("node-1"), facts.node("node-2")


def holding(cluster: FakeCluster, ip: str, dev: str, kind: str = "bridge") -> None:
    """Node-2 holds an address on a device of its own."""
    root = cluster.roots["node-2"]
    link = Link(ifindex=90, name=dev, kind=kind, is_up=True)
    cluster.root(
        "node-2", links=(*root.links, link), addresses=(*root.addresses, Address(dev=dev, ip=ip, prefix_len=32))
    )


def service(name: str, **spec: Any) -> Service:
    return Service(metadata=ObjectMeta(namespace="shop", name=name), spec=ServiceSpec(**spec))


def held(cluster: FakeCluster) -> list[str]:
    return list(strings(facts_of(cluster.evidence(), node_identity.PROBE).of(NODE_2)["foreign_addresses"]))


@pytest.mark.parametrize("cni", ["calico", "flannel", "cilium"])
def test_a_healthy_node_holds_only_its_own(cni: Any):
    cluster, _, _, _ = two_nodes(cni)
    macs = {"node-1": "52:54:00:00:00:01", "node-2": "52:54:00:00:00:02"}
    for name, mac in macs.items():
        links = cluster.roots[name].links
        cluster.root(name, links=tuple(replace(link, mac=mac) if link.name == "eth0" else link for link in links))

    known = facts_of(cluster.evidence(), node_identity.PROBE)

    assert known.of(NODE_2).items() >= {"holds_foreign_address": False, "has_shared_mac": False}.items()
    assert known.of(facts.pair("node-1", "node-2"))["address_held"] is False
    assert sentences(list(node_identity.PROBE.judge(known)), Severity.PASS) == [
        "No node that was inspected holds an address of another node, a pod or a Service."
    ]


def test_what_no_service_claims_is_taken_from_the_node():
    cluster, _, _, _ = two_nodes()
    holding(cluster, "172.30.0.11", "lo")

    cluster.snapshot_fields["claiming_services"] = None
    assert "foreign_addresses_claimed" not in facts_of(cluster.evidence(), node_identity.PROBE).of(NODE_2), "not read"
    cluster.snapshot_fields["claiming_services"] = ()

    known = facts_of(cluster.evidence(), node_identity.PROBE).of(NODE_2)

    assert known["foreign_addresses_claimed"] == ()
    assert known["foreign_addresses_removal"] == ("ip addr del 172.30.0.11/32 dev lo",)


def test_a_service_of_any_namespace_may_claim_it():
    cluster, _, _, _ = two_nodes()
    holding(cluster, "172.30.0.11", "kube-ipvs0")
    elsewhere = Service(
        metadata=ObjectMeta(namespace="other", name="vip"), spec=ServiceSpec(external_ips=("172.30.0.11",))
    )
    cluster.snapshot_fields["claiming_services"] = (elsewhere,)

    known = facts_of(cluster.evidence(), node_identity.PROBE).of(NODE_2)

    assert known["foreign_addresses_claimed"] == ("other/vip",)
    assert known["foreign_addresses_removal"] == ()


def test_another_nodes_address_that_a_service_claims():
    cluster, _, _, _ = two_nodes()
    holding(cluster, "172.30.0.11", "kube-ipvs0")
    cluster.services.append(service("web", external_ips=("172.30.0.11",)))

    known = facts_of(cluster.evidence(), node_identity.PROBE)

    assert held(cluster) == ["172.30.0.11 of node-1 on kube-ipvs0 (externalIP of Service shop/web)"]
    assert known.of(NODE_2)["foreign_addresses_claimed"] == ("shop/web",)
    assert known.of(NODE_2)["foreign_addresses_removal"] == (), "kube-proxy would put it back"
    assert "holds_foreign_address" in known.of(NODE_1)
    assert known.of(NODE_1)["holds_foreign_address"] is False
    assert known.of(facts.pair("node-1", "node-2"))["address_held"] is True


def test_an_address_by_a_local_route():
    cluster, _, _, _ = two_nodes()
    route = Route(dst="172.30.0.11/32", type="local", dev="lo", table=255)
    cluster.root("node-2", routes=(*cluster.roots["node-2"].routes, route))

    assert held(cluster) == ["172.30.0.11 of node-1 on lo (a local route)"]


def test_a_pods_address():
    cluster, a, _, _ = two_nodes()
    holding(cluster, cluster.pods[a].status.pod_ip, "eth0:1")

    assert held(cluster) == [f"{cluster.pods[a].status.pod_ip} of pod shop/a on eth0:1"]


@pytest.mark.parametrize(
    ("dev", "kind", "count"),
    [("kube-ipvs0", "dummy", 0), ("nodelocaldns", "dummy", 0), ("dummy7", "dummy", 0), ("eth1", "", 1)],
)
def test_addresses_of_services_have_devices_of_their_own(dev: str, kind: str, count: int):
    cluster, _, _, _ = two_nodes()
    holding(cluster, "10.43.0.10", dev, kind)
    cluster.services.append(service("dns", cluster_ip="10.43.0.10"))

    assert len(held(cluster)) == count


def test_two_machines_with_one_mac_address():
    """The nodes of these tests are clones of each other."""
    cluster, _, _, _ = two_nodes()

    known = facts_of(cluster.evidence(), node_identity.PROBE)

    assert known.of(NODE_1)["shared_macs"] == ("52:54:00:00:00:01 on eth0, which node-2 has too",)


def test_a_ping_that_a_node_answers_itself_is_no_reach():
    cluster, _, _, _ = two_nodes()
    cluster.test(NODE_2, "node", to=NODE_1)
    cluster.test(NODE_1, "node", to=NODE_2, outcome="timeout")
    holding(cluster, "172.30.0.11", "kube-ipvs0")

    known = facts_of(cluster.evidence(), node_to_node.PROBE)

    assert "node_ping" not in known.of(facts.pair("node-2", "node-1"))
    assert known.of(facts.pair("node-1", "node-2"))["node_ping"] == "timeout"
