"""Both sides of the overlay on three data planes: one wrong entry at a time."""

import json
from dataclasses import dataclass, replace
from typing import Any

import pytest

from bot.agent.report import Address, FdbEntry, Link, Neighbour, Route
from bot.cluster.cni.detect import CniInventory
from bot.cluster.objects import CustomObject, Node, ObjectMeta
from bot.domain import facts
from bot.domain.facts import FactTable, Rung
from bot.domain.finding import Finding, Severity
from bot.probes import overlay
from tests.probes.build import FakeCluster, Kind, facts_of, sentences

NODES = ("node-1", "node-2", "node-3")
DEVICES: dict[str, tuple[str, int, int]] = {
    "calico": ("vxlan.calico", 4096, 4789),
    "flannel": ("flannel.1", 1, 8472),
    "cilium": ("cilium_vxlan", 2, 8472),
}


@dataclass
class Mesh:
    """Three nodes whose tunnels, tables and declarations agree."""

    cni: Kind = "calico"

    def __post_init__(self) -> None:
        self.cluster = FakeCluster(self.cni)
        self.device, self.vni, self.port = DEVICES[self.cni]
        for name in NODES:
            self.cluster.node(name)
        for number, name in enumerate(NODES, 1):
            self._declare(name, number)
            self._lay(name, number)

    def vtep(self, number: int) -> str:
        return {"calico": f"10.42.{number}.64", "flannel": f"10.42.{number}.0", "cilium": f"10.42.{number}.1"}[self.cni]

    @staticmethod
    def mac(number: int) -> str:
        return f"66:00:00:00:00:0{number}"

    def _declare(self, name: str, number: int) -> None:
        address = f"172.30.0.{10 + number}"
        notes: dict[str, dict[str, str]] = {
            "calico": {
                "projectcalico.org/IPv4Address": f"{address}/24",
                "projectcalico.org/IPv4VXLANTunnelAddr": self.vtep(number),
            },
            "flannel": {
                "flannel.alpha.coreos.com/backend-type": "vxlan",
                "flannel.alpha.coreos.com/backend-data": json.dumps({"VNI": 1, "VtepMAC": self.mac(number)}),
                "flannel.alpha.coreos.com/public-ip": address,
            },
            "cilium": {"network.cilium.io/ipv4-cilium-host": self.vtep(number)},
        }
        self.annotate(name, **notes[self.cni])

    def annotate(self, name: str, **annotations: str) -> None:
        node = self.cluster.nodes[name]
        meta = ObjectMeta(name=name, annotations=node.metadata.annotations | annotations)
        self.cluster.nodes[name] = Node(metadata=meta, spec=node.spec, status=node.status)

    def _lay(self, name: str, number: int) -> None:
        root = self.cluster.roots[name]
        device = Link(
            ifindex=30,
            name=self.device,
            kind="vxlan",
            mac=self.mac(number),
            mtu=1450,
            is_up=True,
            has_carrier=True,
            vxlan_id=self.vni,
            vxlan_port=self.port,
            rx_otherhost_delta=0,
            rx_packets_delta=4,
            tx_packets_delta=5,
        )
        peers = [other for other in range(1, 4) if other != number]
        routes = tuple(
            Route(dst=f"10.42.{peer}.0/24", via=self.vtep(peer), dev=self.device, onlink=True) for peer in peers
        )
        neighbours = tuple(
            Neighbour(ip=self.vtep(peer), dev=self.device, mac=self.mac(peer), state="PERMANENT") for peer in peers
        )
        fdb = tuple(FdbEntry(dev=self.device, mac=self.mac(peer), dst=f"172.30.0.{10 + peer}") for peer in peers)
        self.cluster.root(
            name,
            links=(*root.links, device),
            addresses=(*root.addresses, Address(dev=self.device, ip=self.vtep(number), prefix_len=32)),
            routes=(*root.routes, *routes),
            neighbours=(*root.neighbours, *neighbours),
            fdb=fdb,
            counters={"Udp.NoPorts": 1},
        )

    def change_device(self, name: str, **changes: Any) -> None:
        links = self.cluster.roots[name].links
        self.cluster.root(name, links=tuple(replace(x, **changes) if x.name == self.device else x for x in links))

    def drop(self, node: str, table: str, **match: str) -> None:
        """Remove entries of a table of a node that match."""
        kept = [
            x for x in getattr(self.cluster.roots[node], table) if any(getattr(x, k) != v for k, v in match.items())
        ]
        self.cluster.root(node, **{table: tuple(kept)})

    def judged(self, *, cni: CniInventory | None = None, **snapshot: Any) -> tuple[FactTable, list[Finding]]:
        self.cluster.snapshot_fields |= snapshot
        evidence = self.cluster.evidence()
        vars(evidence)["cni"] = cni or CniInventory(name=self.cni, encapsulation="vxlan")
        known = facts_of(evidence, overlay.PROBE)
        return known, list(overlay.PROBE.judge(known))


def pair(source: int, destination: int) -> facts.Subject:
    return facts.pair(f"node-{source}", f"node-{destination}")


KINDS: tuple[Kind, ...] = ("calico", "flannel", "cilium")


@pytest.mark.parametrize("cni", KINDS)
def test_agreement_passes(cni: Kind):
    mesh = Mesh(cni)

    known, findings = mesh.judged()

    assert (
        known.of(facts.node("node-1")).items()
        >= {
            "overlay_device": "up",
            "overlay_name": mesh.device,
            "overlay_vni": mesh.vni,
            "overlay_port": mesh.port,
            "overlay_mtu_bytes": 1450,
            "overlay_mac_matches": True,
            "noports_delta": 0,
        }.items()
    )
    assert (
        known.of(pair(1, 2)).items()
        >= {
            "route_to_block": "present",
            "return_route": "present",
            "fdb": "ok",
            "vtep_neigh": "ok",
            "vni_matches": True,
            "port_matches": True,
            "tunnel": "vxlan",
            "dst_otherhost_delta": 0,
            "dst_overlay_rx_delta": 4,
            "src_overlay_tx_delta": 5,
        }.items()
    )
    assert sentences(findings) == [
        (
            "Routes to the pods of other nodes are there (6 directions between nodes inspected) and every "
            "forwarding and "
            "neighbour entry of the tunnels is right."
        )
    ]


@pytest.mark.parametrize("cni", KINDS)
def test_the_device_is_down_or_gone(cni: Kind):
    mesh = Mesh(cni)
    mesh.change_device("node-1", is_up=False)
    mesh.drop("node-2", "links", name=mesh.device)

    known, findings = mesh.judged()

    assert known.of(facts.node("node-1"))["overlay_device"] == "down"
    assert known.of(facts.node("node-2"))["overlay_device"] == "missing"
    assert known.of(facts.node("node-2"))["overlay_name"] == mesh.device
    assert sentences(findings, Severity.WARN)[:2] == [
        f"The tunnel device {mesh.device} of node-1 is down: its pods cannot reach pods of other nodes through it.",
        f"node-2 has no tunnel device {mesh.device}: its pods cannot reach pods of other nodes through it.",
    ]


@pytest.mark.parametrize("cni", KINDS)
def test_a_changed_mac_is_the_changed_nodes_fault(cni: Kind):
    """By declaration with Flannel, by the peers' majority with the others; the peers' tables are right."""
    mesh = Mesh(cni)
    mesh.change_device("node-2", mac="02:de:ad:00:00:01", rx_otherhost_delta=7)

    known, findings = mesh.judged()

    assert known.of(facts.node("node-2"))["overlay_mac_matches"] is False
    assert known.of(pair(1, 2)).items() >= {"fdb": "ok", "vtep_neigh": "ok", "dst_otherhost_delta": 7}.items()
    assert sentences(findings, Severity.WARN) == [
        f"{mesh.device} of node-2 has another MAC address than its peers send to, so it drops their packets."
    ]


@pytest.mark.parametrize("cni", KINDS)
def test_a_wrong_neighbour_is_the_senders_fault(cni: Kind):
    mesh = Mesh(cni)
    mesh.drop("node-1", "neighbours", ip=mesh.vtep(2))
    wrong = Neighbour(ip=mesh.vtep(2), dev=mesh.device, mac="02:de:ad:00:00:01", state="PERMANENT")
    mesh.cluster.root("node-1", neighbours=(*mesh.cluster.roots["node-1"].neighbours, wrong))

    known, findings = mesh.judged()

    assert known.of(pair(1, 2))["vtep_neigh"] == "wrong-mac"
    assert known.of(facts.node("node-2"))["overlay_mac_matches"] is True
    assert sentences(findings, Severity.WARN) == ["node-1 has a wrong MAC address for the tunnel to node-2."]


@pytest.mark.parametrize("cni", KINDS)
def test_missing_entries(cni: Kind):
    mesh = Mesh(cni)
    mesh.drop("node-1", "fdb", mac=mesh.mac(2))
    mesh.drop("node-1", "neighbours", ip=mesh.vtep(3))
    mesh.drop("node-3", "routes", dst="10.42.1.0/24")

    known, findings = mesh.judged()

    assert known.of(pair(1, 2))["fdb"] == "missing"
    assert known.of(pair(1, 3))["vtep_neigh"] == "missing"
    assert known.of(pair(3, 1))["route_to_block"] == "missing"
    assert known.of(pair(1, 3))["return_route"] == "missing"
    assert set(sentences(findings, Severity.WARN)) == {
        "node-1 has no forwarding entry for the tunnel to node-2.",
        "node-1 has no neighbour entry for the tunnel to node-3.",
        "node-3 has no route to the pods of node-1.",
    }


def test_an_fdb_entry_that_points_elsewhere():
    mesh = Mesh("flannel")
    mesh.drop("node-1", "fdb", mac=mesh.mac(2))
    wrong = FdbEntry(dev=mesh.device, mac=mesh.mac(2), dst="172.30.0.99")
    mesh.cluster.root("node-1", fdb=(*mesh.cluster.roots["node-1"].fdb, wrong))

    known, findings = mesh.judged()

    assert known.of(pair(1, 2))["fdb"] == "wrong-ip"
    deletion = f"bridge fdb del {mesh.mac(2)} dev {mesh.device} dst 172.30.0.99 self"
    assert known.of(pair(1, 2))["fdb_entry_deletions"] == (deletion,)
    assert sentences(findings, Severity.WARN) == ["node-1 has a wrong address for the tunnel to node-2."]


@pytest.mark.parametrize(
    ("own", "word", "sentence"),
    [
        ({"port": 9999}, "wrong-port", "node-1 uses a wrong UDP port for the tunnel to node-2."),
        (
            {"vni": 77},
            "wrong-vni",
            "node-1 uses a wrong VNI for the tunnel to node-2.",
        ),
        ({"port": 8472, "vni": 1}, "ok", ""),
    ],
)
def test_an_fdb_entry_with_a_port_or_a_network_of_its_own(own: dict[str, Any], word: str, sentence: str):
    mesh = Mesh("flannel")
    mesh.drop("node-1", "fdb", mac=mesh.mac(2))
    entry = FdbEntry(dev=mesh.device, mac=mesh.mac(2), dst="172.30.0.12", **own)
    mesh.cluster.root("node-1", fdb=(*mesh.cluster.roots["node-1"].fdb, entry))

    known, findings = mesh.judged()

    assert known.of(pair(1, 2))["fdb"] == word
    assert ("fdb_entry_deletions" in known.of(pair(1, 2))) is (word != "ok")
    assert sentences(findings, Severity.WARN) == [sentence] * bool(sentence)


@pytest.mark.parametrize(("kind", "word"), [("blackhole", "blackhole"), ("unreachable", "blackhole")])
def test_a_refusing_route(kind: str, word: str):
    mesh = Mesh()
    mesh.drop("node-1", "routes", dst="10.42.2.0/24")
    mesh.cluster.root("node-1", routes=(*mesh.cluster.roots["node-1"].routes, Route(dst="10.42.2.0/24", type=kind)))

    assert mesh.judged()[0].of(pair(1, 2))["route_to_block"] == word


def test_a_route_by_another_device():
    mesh = Mesh()
    mesh.drop("node-1", "routes", dst="10.42.2.0/24")
    docker = Route(dst="10.42.0.0/16", dev="docker0")
    mesh.cluster.root("node-1", routes=(*mesh.cluster.roots["node-1"].routes, docker))

    known, findings = mesh.judged()

    assert known.of(pair(1, 2))["route_to_block"] == "wrong-device"
    assert known.of(pair(1, 3))["route_to_block"] == "present"
    assert sentences(findings, Severity.WARN) == ["node-1 routes by a wrong device to the pods of node-2."]


def go_past_the_tunnel(mesh: Mesh, source: int, destination: int) -> None:
    """Route to a node's pods by that node's own address."""
    name, block = f"node-{source}", f"10.42.{destination}.0/24"
    mesh.drop(name, "routes", dst=block)
    direct = Route(dst=block, via=f"172.30.0.{10 + destination}", dev="eth0")
    mesh.cluster.root(name, routes=(*mesh.cluster.roots[name].routes, direct))


def test_direct_routes_of_cross_subnet_are_present():
    mesh = Mesh()
    go_past_the_tunnel(mesh, 1, 2)
    go_past_the_tunnel(mesh, 2, 1)

    known, _ = mesh.judged()

    assert known.of(pair(1, 2)).items() >= {"route_to_block": "present", "tunnel": "none"}.items()
    assert known.of(pair(2, 1))["route_to_block"] == "present"


def test_one_direction_past_the_tunnel_is_wrong_where_all_others_go_through_it():
    """The peer answers by its tunnel: strict reverse-path filtering drops packets on both nodes."""
    mesh = Mesh("flannel")
    go_past_the_tunnel(mesh, 2, 1)

    known, findings = mesh.judged()

    assert known.of(pair(2, 1))["route_to_block"] == "wrong-device"
    assert known.of(pair(1, 2))["route_to_block"] == "present"
    assert "node-2 routes by a wrong device to the pods of node-1." in sentences(findings, Severity.WARN)


def test_one_direction_through_the_tunnel_is_wrong_where_all_others_go_past_it():
    mesh = Mesh("flannel")
    for source, destination in ((1, 3), (3, 1), (2, 3), (3, 2), (2, 1)):
        go_past_the_tunnel(mesh, source, destination)

    known, _ = mesh.judged()

    assert known.of(pair(1, 2))["route_to_block"] == "wrong-device"
    assert known.of(pair(2, 1))["route_to_block"] == "present"


def test_ports_and_network_identifiers_that_differ():
    mesh = Mesh("flannel")
    mesh.change_device("node-1", vxlan_port=4789)
    mesh.change_device("node-3", vxlan_id=7)

    known, findings = mesh.judged()

    assert known.of(pair(1, 2)).items() >= {"port_matches": False, "vni_matches": True}.items()
    assert known.of(pair(2, 3)).items() >= {"port_matches": True, "vni_matches": False}.items()
    assert "node-1 uses another UDP port for the tunnel than node-2, node-3." in sentences(findings, Severity.WARN)


@pytest.mark.parametrize(
    ("declared", "expected"), [("172.30.0.11/24", True), ("10.0.2.15/24", False), ("172.30.0.12/24", False)]
)
def test_the_declared_address(declared: str, expected: bool):  # noqa: FBT001
    """Not the node's own, or also another node's."""
    mesh = Mesh()
    mesh.annotate("node-1", **{"projectcalico.org/IPv4Address": declared})

    assert mesh.judged()[0].of(facts.node("node-1"))["declared_ip_matches"] is expected


def test_two_nodes_that_declare_one_address():
    mesh = Mesh("flannel")
    for name in NODES:
        mesh.annotate(name, **{"flannel.alpha.coreos.com/public-ip": "10.0.2.15"})

    known, findings = mesh.judged()

    assert known.of(facts.node("node-1"))["declared_ip_matches"] is False
    assert sentences(findings, Severity.WARN)[0] == (
        "The address that the CNI declares for node-1 is not that node's, or another node declares it too."
    )


def test_ebpf_fills_no_tables_and_that_is_no_fault():
    mesh = Mesh("cilium")
    for number, name in enumerate(NODES, 1):
        peers = [other for other in range(1, 4) if other != number]
        kept = [route for route in mesh.cluster.roots[name].routes if route.dev != mesh.device]
        by_program = [Route(dst=f"10.42.{peer}.0/24", via=mesh.vtep(number), dev="cilium_host") for peer in peers]
        mesh.cluster.root(name, routes=(*kept, *by_program), fdb=(), neighbours=())
        mesh.change_device(name, vxlan_id=None, vxlan_port=None)

    known, findings = mesh.judged()

    assert known.of(pair(1, 2))["route_to_block"] == "present"
    assert known.of(pair(1, 2)).items() >= {"fdb": "none", "vtep_neigh": "none"}.items()
    assert known.of(facts.node("node-1"))["overlay_is_external"] is True
    assert "carry the MAC addresses of pods" in known.why_unobserved(facts.node("node-1"), "overlay_mac_matches")
    assert sentences(findings, Severity.WARN) == []


def test_no_tunnel_at_all():
    mesh = Mesh()
    for name in NODES:
        mesh.drop(name, "links", name=mesh.device)
        kept = [route for route in mesh.cluster.roots[name].routes if route.dev != mesh.device]
        mesh.cluster.root(name, routes=tuple(kept))

    known, findings = mesh.judged(cni=CniInventory(name="calico", encapsulation="none"))

    assert known.of(facts.node("node-1"))["overlay_device"] == "none"
    assert "route_to_block" not in known.of(pair(1, 2))
    assert known.why_unobserved(pair(1, 2), "route_to_block") == (
        "between nodes without a tunnel the fabric may route by itself"
    )
    assert sentences(findings, Severity.WARN, Severity.FAIL) == []


def test_a_cni_that_nobody_knows_with_vxlan_devices():
    mesh = Mesh("flannel")
    mesh.drop("node-3", "links", name=mesh.device)

    known, _ = mesh.judged(cni=CniInventory())

    assert known.of(facts.node("node-1"))["overlay_name"] == "flannel.1"
    assert known.of(facts.node("node-3"))["overlay_device"] == "missing"


def test_a_cni_that_nobody_knows_without_a_tunnel():
    cluster = FakeCluster()
    cluster.node("node-1")
    evidence = cluster.evidence()
    vars(evidence)["cni"] = CniInventory()

    known = facts_of(evidence, overlay.PROBE)

    assert known.of(facts.node("node-1")).items() >= {"overlay_device": "none", "overlay_is_external": False}.items()


def test_a_cni_that_nobody_knows_of_which_no_node_tells_its_devices():
    cluster = FakeCluster()
    cluster.node("node-1")
    cluster.root("node-1", links=())
    evidence = cluster.evidence()
    vars(evidence)["cni"] = CniInventory()

    known = facts_of(evidence, overlay.PROBE)

    assert not known.of(facts.node("node-1")).keys() & {"overlay_device", "overlay_is_external"}


def test_calicos_blocks_are_those_of_its_affinities():
    mesh = Mesh()
    affinity = CustomObject(
        kind="BlockAffinity",
        spec={"node": "node-2", "cidr": "10.42.77.64/26", "state": "confirmed", "deleted": "false"},
    )

    known, _ = mesh.judged(custom_objects={"blockaffinities": (affinity,)})

    assert known.of(pair(1, 2))["route_to_block"] == "missing"
    assert "route_to_block" not in known.of(pair(1, 3))


def test_hostile_declarations_are_no_declarations():
    mesh = Mesh("flannel")
    mesh.annotate("node-2", **{"flannel.alpha.coreos.com/backend-data": "[" * 100_000})
    junk = CustomObject(
        metadata=ObjectMeta(name="node-2"), spec={"addresses": [3, {"type": "CiliumInternalIP"}], "ipam": 7}
    )

    known, _ = mesh.judged(custom_objects={"ciliumnodes": (junk,)})

    assert known.of(pair(1, 2))["fdb"] == "ok"


def test_tables_that_were_not_read_are_unknown():
    mesh = Mesh("flannel")
    mesh.cluster.rungs = dict.fromkeys(NODES, Rung.CNI_AGENT)
    for name in NODES:
        mesh.cluster.root(name, fdb=(), neighbours=(), counters={})

    known, findings = mesh.judged()

    assert "fdb" not in known.of(pair(1, 2))
    assert "vtep_neigh" not in known.of(pair(1, 2))
    assert "noports_delta" not in known.of(facts.node("node-1"))
    assert sentences(findings, Severity.WARN) == []


def test_a_node_that_was_not_looked_at():
    mesh = Mesh("flannel")
    mesh.cluster.unseen("node-3", "the agent did not start")

    known, findings = mesh.judged()

    assert known.of(pair(1, 3))["route_to_block"] == "present"
    assert known.why_unobserved(pair(1, 3), "return_route") == "the agent did not start"
    assert sentences(findings, Severity.INCONCLUSIVE) == [
        "The overlay's end of node-3 could not be observed: the agent did not start."
    ]


def test_tests_between_tunnel_addresses_count_where_somebody_made_them():
    mesh = Mesh()
    mesh.cluster.test(facts.node("node-1"), "node", ip=mesh.vtep(2), outcome="timeout")

    assert mesh.judged()[0].of(pair(1, 2))["overlay_reach"] == "timeout"
