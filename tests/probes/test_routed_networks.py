"""How packets travel between nodes, and which routes are wrong, on networks that no configuration describes."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest

from bot.agent.report import Link, Route
from bot.cluster.cni.detect import CniInventory
from bot.cluster.objects import Node, ObjectMeta
from bot.domain import facts
from bot.domain.facts import FactTable
from bot.probes import cni_inventory, overlay
from tests.probes.build import FakeCluster, facts_of

BY_NODE = {1: {2: "172.30.0.12", 3: "172.30.0.13"}, 2: {1: "172.30.0.11", 3: "172.30.0.13"}, 3: {1: "172.30.0.11"}}
"""Next hops by node and the other node; node-3 has no route to node-2."""
PAIR = facts.pair("node-1", "node-2")
DEVICES = {
    "wg0": Link(ifindex=70, name="wg0", kind="wireguard", is_up=True),
    "tun0": Link(ifindex=71, name="tun0", kind="tun", is_up=True),
    "tunl0": Link(ifindex=72, name="tunl0", kind="ipip"),
    "tun-12ab": Link(ifindex=73, name="tun-12ab", kind="ipip", is_up=True),
    "overlay": Link(ifindex=74, name="overlay", kind="vxlan", is_up=True, vxlan_id=7, vxlan_port=4789),
    "cilium_geneve": Link(ifindex=75, name="cilium_geneve", kind="geneve", is_up=True),
    "cilium_vxlan": Link(ifindex=76, name="cilium_vxlan", kind="vxlan", is_up=True, vxlan_id=0, vxlan_external=True),
}


@dataclass(frozen=True, slots=True)
class Case:
    """Routes of node-1 and its peers, and what is right."""

    encapsulation: str
    route: str | None
    """To node-2 from node-1; None: nobody knows."""
    routes: Mapping[int, tuple[Route, ...]]
    devices: tuple[str, ...] = ()
    cni: CniInventory = field(default_factory=CniInventory)
    tables: str | None = "none"


def by_node(hops: Mapping[int, Mapping[int, str]] = BY_NODE, dev: str = "eth0") -> dict[int, tuple[Route, ...]]:
    return {
        node: tuple(Route(dst=f"10.42.{peer}.0/24", via=via, dev=dev) for peer, via in peers.items())
        for node, peers in hops.items()
    }


def over(dev: str, via: str = "") -> dict[int, tuple[Route, ...]]:
    return {
        node: tuple(Route(dst=f"10.42.{peer}.0/24", dev=dev, via=via) for peer in (1, 2, 3) if peer != node)
        for node in (1, 2, 3)
    }


def with_first(via: str) -> dict[int, tuple[Route, ...]]:
    return by_node(BY_NODE | {1: BY_NODE[1] | {2: via}})


_KUBE_ROUTER = CniInventory(name="kube-router", encapsulation="ipip")
_CILIUM = CniInventory(name="cilium", encapsulation="vxlan")
_NATIVE = CniInventory(name="cilium", encapsulation="none")
_GENEVE = CniInventory(name="cilium", encapsulation="geneve")
_BLACKHOLE = (Route(dst="10.42.2.0/24", type="blackhole"),)
CASES = {
    "static routes": Case("none", "present", by_node()),
    "one is missing": Case("none", "missing", by_node({k: v for k, v in BY_NODE.items() if k != 1})),
    "one leads to another node": Case("none", "wrong-next-hop", with_first("172.30.0.13")),
    "one leads to nobody": Case("none", "wrong-next-hop", with_first("172.30.0.99")),
    "one is a blackhole": Case("none", "blackhole", by_node() | {1: _BLACKHOLE}),
    "one leaves by docker0": Case("none", "wrong-device", by_node() | {1: (Route(dst="10.42.0.0/16", dev="docker0"),)}),
    "a router knows": Case("none", "present", over("eth0", via="172.30.0.1")),
    "the fabric knows": Case("none", None, {}),
    "beside a VPN": Case("none", "present", by_node(), ("wg0", "tun0")),
    "beside an idle tunl0": Case("none", "missing", by_node({2: BY_NODE[2]}), ("tunl0",)),
    "a VPN, and no routes": Case("unknown", "missing", {}, ("tun0",), tables=None),
    "a mesh of WireGuard": Case("wireguard", "present", over("wg0"), ("wg0",)),
    "an unknown VXLAN": Case("vxlan", "present", over("overlay"), ("overlay",), tables="ok"),
    "kube-router in one subnet": Case("none", "present", by_node(), cni=_KUBE_ROUTER),
    "kube-router without a route": Case("none", "missing", by_node({2: BY_NODE[2]}), cni=_KUBE_ROUTER),
    "kube-router across subnets": Case("ipip", "present", over("tun-12ab"), ("tun-12ab",), cni=_KUBE_ROUTER),
    "Cilium": Case("vxlan", "present", over("cilium_host", via="10.42.1.2"), ("cilium_vxlan",), cni=_CILIUM),
    "Cilium with native routing": Case("none", "present", by_node(), cni=_NATIVE),
    "Cilium with native routing, one missing": Case("none", "missing", by_node({2: BY_NODE[2]}), cni=_NATIVE),
    "Cilium with Geneve": Case("geneve", "present", over("cilium_host"), ("cilium_geneve",), cni=_GENEVE),
}


def judged(case: Case) -> FactTable:
    cluster = FakeCluster("cilium")
    for number in (1, 2, 3):
        cluster.node(f"node-{number}")
        root = cluster.roots[f"node-{number}"]
        links = (*root.links, *(DEVICES[name] for name in case.devices))
        cluster.root(f"node-{number}", links=links, routes=(*root.routes, *case.routes.get(number, ())))
    evidence = cluster.evidence()
    vars(evidence)["cni"] = case.cni
    return facts_of(evidence, overlay.PROBE, cni_inventory.PROBE)


@pytest.mark.parametrize("name", CASES)
def test_what_the_nodes_show(name: str):
    case = CASES[name]

    known = judged(case)

    assert known.of(facts.CLUSTER)["encapsulation"] == case.encapsulation
    assert known.of(PAIR).get("route_to_block") == case.route
    if case.tables == "none":
        assert known.of(PAIR).items() >= {"fdb": "none", "vtep_neigh": "none"}.items()
    if case.encapsulation == "none":
        assert known.of(PAIR)["tunnel"] == "none"
        assert known.of(facts.node("node-1"))["overlay_device"] == "none"


def test_pods_in_the_nodes_own_network_need_no_route():
    cluster = FakeCluster("cilium")
    for number in (1, 2):
        cluster.node(f"node-{number}")
        cluster.pod(f"shop/p{number}", f"node-{number}", ip=f"172.30.0.{50 + number}")
    evidence = cluster.evidence()
    vars(evidence)["cni"] = CniInventory(name="aws-vpc-cni", encapsulation="none")

    assert facts_of(evidence, overlay.PROBE).of(PAIR)["route_to_block"] == "present"


def with_annotations(node: Node, annotations: dict[str, str]) -> Node:
    meta = ObjectMeta(name=node.metadata.name, uid=node.metadata.uid, annotations=annotations)
    return Node(metadata=meta, spec=node.spec, status=node.status)


@pytest.mark.parametrize(
    ("hops", "dev", "state"),
    [
        (BY_NODE, "eth0", "none"),
        (BY_NODE, "tunl0", "down"),
        ({}, "eth0", "down"),
        ({2: {1: "172.30.0.11"}, 3: {1: "172.30.0.1"}}, "eth0", "down"),
    ],
    ids=["past it", "by it", "no routes", "by a router"],
)
def test_a_tunnel_that_is_down_matters_to_those_who_use_it(hops: Mapping[int, Mapping[int, str]], dev: str, state: str):
    """Calico with IP-in-IP across subnets only: nodes of one subnet route past tunl0."""
    cluster = FakeCluster("calico")
    for number in (1, 2, 3):
        cluster.node(f"node-{number}")
        root = cluster.roots[f"node-{number}"]
        tunnel = replace(DEVICES["tunl0"], is_up=number != 1)
        routes = by_node(hops, dev).get(number, ())
        cluster.root(f"node-{number}", links=(*root.links, tunnel), routes=(*root.routes, *routes))
    evidence = cluster.evidence()
    vars(evidence)["cni"] = CniInventory(name="calico", encapsulation="ipip")

    assert facts_of(evidence, overlay.PROBE).of(facts.node("node-1"))["overlay_device"] == state


def test_a_tunnels_route_by_another_nodes_end():
    vteps = {1: ((2, "10.42.3.0"), (3, "10.42.3.0")), 2: ((1, "10.42.1.0"),), 3: ((1, "10.42.1.0"), (2, "10.42.2.0"))}
    routes = {
        node: tuple(Route(dst=f"10.42.{peer}.0/24", via=via, dev="flannel.1", onlink=True) for peer, via in peers)
        for node, peers in vteps.items()
    }
    cluster = FakeCluster("flannel")
    for number in (1, 2, 3):
        cluster.node(f"node-{number}")
        root = cluster.roots[f"node-{number}"]
        annotations = {"flannel.alpha.coreos.com/backend-type": "vxlan"}
        cluster.nodes[f"node-{number}"] = with_annotations(cluster.nodes[f"node-{number}"], annotations)
        device = replace(DEVICES["overlay"], name="flannel.1")
        cluster.root(f"node-{number}", links=(*root.links, device), routes=(*root.routes, *routes[number]))
    evidence = cluster.evidence()
    vars(evidence)["cni"] = CniInventory(name="flannel", encapsulation="vxlan")
    known = facts_of(evidence, overlay.PROBE)

    assert known.of(PAIR)["route_to_block"] == "wrong-next-hop"
    assert known.of(facts.pair("node-3", "node-2"))["route_to_block"] == "present"
