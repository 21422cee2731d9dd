"""Nodes: ready, reachable, and with pod ranges of their own."""

from dataclasses import replace
from typing import Any

import pytest

from bot.agent.report import Link, Neighbour
from bot.domain import facts
from bot.domain.finding import Severity, SymptomKind
from bot.probes.node_to_node import PROBE, judge
from tests.probes.build import FakeCluster, facts_of, sentences, table, two_nodes

NODE, OTHER = facts.node("node-1"), facts.node("node-2")
PAIR = facts.pair("node-1", "node-2")


def test_nodes_that_reach_each_other() -> None:
    cluster, _, _, _ = two_nodes()
    cluster.test(NODE, "node", to=OTHER)
    cluster.test(OTHER, "node", to=NODE)

    known = facts_of(cluster.evidence(), PROBE)

    assert dict(known.of(PAIR)) == {
        "node_ping": "ok",
        "node_loss": "",
        "same_subnet": True,
        "static_neighbours_wrong": (),
    }
    assert dict(known.of(NODE)) == {
        "is_ready": True,
        "kubelet_reports": True,
        "not_ready_reason": "",
        "unschedulable": False,
        "cidr_overlap": False,
        "reach_nodes": "ok",
        "reached_from_nodes": "ok",
        "uplink": "up",
        "uplink_name": "eth0",
        "uplink_neigh_failed": False,
        "link_without_arp": "",
        "bridge_ignores_arp": "",
    }
    assert sentences(judge(known)) == [
        "Node node-1 reaches 1 other node (node-2) by ICMP.",
        "Node node-2 reaches 1 other node (node-1) by ICMP.",
    ]


def test_a_loss_is_told_with_its_measure() -> None:
    cluster, _, _, _ = two_nodes()
    cluster.test(NODE, "node", to=OTHER, outcome="timeout", tries=3, ok=1)
    cluster.test(NODE, "node", to=OTHER, tries=3, ok=3)

    known = facts_of(cluster.evidence(), PROBE)

    assert known.of(PAIR)["node_loss"] == "2 of 6 pings"
    assert sentences(judge(known), Severity.WARN) == [
        "Node node-1 does not reliably reach node node-2: 2 of 6 pings got no answer."
    ]


@pytest.mark.parametrize(
    ("mac", "state", "wrong"),
    [
        ("5a:10:2d:6e:77:01", "PERMANENT", ("172.30.0.12 lladdr 5a:10:2d:6e:77:01 dev eth0 PERMANENT on node-1",)),
        ("02:00:00:00:00:12", "PERMANENT", ()),
        ("5a:10:2d:6e:77:01", "REACHABLE", ()),
    ],
    ids=["wrong", "right", "learnt, as from a router that answers for all"],
)
def test_an_entry_for_another_node_that_somebody_set(mac: str, state: str, wrong: tuple[str, ...]) -> None:
    cluster, _, _, _ = two_nodes()
    cluster.root("node-2", links=(Link(ifindex=2, name="eth0", mac="02:00:00:00:00:12", is_up=True),))
    cluster.root("node-1", neighbours=(Neighbour(ip="172.30.0.12", dev="eth0", mac=mac, state=state),))

    known = facts_of(cluster.evidence(), PROBE)

    assert known.of(PAIR)["static_neighbours_wrong"] == wrong
    assert known.of(facts.pair("node-2", "node-1"))["static_neighbours_wrong"] == wrong


def test_an_unreached_node_is_a_symptom_of_the_direction() -> None:
    cluster, _, _, _ = two_nodes()
    cluster.test(NODE, "node", to=OTHER, outcome="EHOSTUNREACH", latency_ms=3080.0)

    known = facts_of(cluster.evidence(), PROBE)
    failures = [each for each in judge(known) if each.severity is Severity.FAIL]

    assert sentences(failures) == [
        "Node node-1 does not reach node node-2: ICMP got EHOSTUNREACH late (a next hop does not answer ARP)."
    ]
    assert failures[0].symptom is not None
    assert (failures[0].symptom.kind, failures[0].symptom.subject) == (SymptomKind.NODE_UNREACHABLE, PAIR)
    assert failures[0].symptom.hop == "underlay"
    assert sentences(judge(known), Severity.INCONCLUSIVE) == ["Whether node node-2 reaches node-1 was not tested."]


@pytest.mark.parametrize(("reach", "hop"), [("net-unreachable", "node"), ("timeout", "underlay")])
def test_the_hop_is_the_node_where_it_does_not_even_send(reach: str, hop: str) -> None:
    symptom = judge(table(pair={"node-1>node-2": {"node_ping": reach}}))[0].symptom

    assert symptom is not None
    assert symptom.hop == hop


def test_icmp_that_a_firewall_takes_is_no_symptom_where_pods_get_through() -> None:
    known = table(pair={"node-1>node-2": {"node_ping": "timeout", "pod_ping": "ok"}})

    assert [(each.severity, each.symptom, each.sentence) for each in judge(known)] == [
        (
            Severity.INFO,
            None,
            (
                "Node node-1 does not reach node node-2: ICMP got no answer, yet its pods reach that node's pods: "
                "a firewall takes ICMP between nodes."
            ),
        )
    ]


def test_a_path_mtu_ladder_is_no_ping() -> None:
    cluster, _, _, _ = two_nodes()
    cluster.test(NODE, "node", to=OTHER, protocol="mtu", outcome="timeout")

    assert "node_ping" not in facts_of(cluster.evidence(), PROBE).of(PAIR)


def test_nodes_that_are_not_ready_need_no_report() -> None:
    cluster = FakeCluster()
    cluster.node("node-1", is_ready=False, reason="NodeStatusUnknown", unschedulable=True)
    cluster.unseen("node-1", "the agent did not start in 5 s")

    known = facts_of(cluster.evidence(), PROBE)
    failures = [each for each in judge(known) if each.severity is Severity.FAIL]

    assert known.of(NODE)["unschedulable"] is True
    assert sentences(failures) == ["Node node-1 is not ready (NodeStatusUnknown)."]
    assert failures[0].symptom is not None
    assert failures[0].symptom.kind is SymptomKind.NODE_NOT_READY


@pytest.mark.parametrize(
    ("ranges", "overlapping"),
    [
        (("10.42.1.0/24", "10.42.2.0/24", "10.42.3.0/24"), set[str]()),
        (("10.42.1.0/24", "10.42.1.0/24", "10.42.3.0/24"), {"node-1", "node-2"}),
        (("10.42.0.0/16", "10.43.2.0/24", "10.42.3.0/24"), {"node-1", "node-3"}),
        (("172.30.0.0/24", "10.42.2.0/24", "10.42.3.0/24"), {"node-1"}),
    ],
)
def test_pod_ranges_that_overlap(ranges: tuple[str, ...], overlapping: set[str]) -> None:
    cluster = FakeCluster()
    for number, cidr in enumerate(ranges, 1):
        cluster.node(f"node-{number}")
        node = cluster.nodes[f"node-{number}"]
        cluster.nodes[f"node-{number}"] = type(node)(
            metadata=node.metadata, spec=type(node.spec)(pod_cidr=cidr), status=node.status
        )

    known = facts_of(cluster.evidence(), PROBE)

    assert {n.name for n in map(facts.node, cluster.nodes) if known.of(n)["cidr_overlap"]} == overlapping


def test_a_node_without_range_overlaps_nothing_that_is_known() -> None:
    cluster = FakeCluster()
    cluster.node("node-1")
    node = cluster.nodes["node-1"]
    cluster.nodes["node-1"] = type(node)(metadata=node.metadata, status=node.status)

    known = facts_of(cluster.evidence(), PROBE)

    assert known.why_unobserved(NODE, "cidr_overlap") == (
        "the node has no podCIDR: its CNI hands out addresses by itself"
    )


@pytest.mark.parametrize(
    ("neighbour", "failed"),
    [
        (Neighbour(ip="172.30.0.1", dev="eth0", state="FAILED"), True),
        (Neighbour(ip="172.30.0.12", dev="eth0", state="INCOMPLETE"), True),
        (Neighbour(ip="172.30.0.12", dev="eth0", mac="52:54:00:00:00:02", state="STALE"), False),
        (Neighbour(ip="172.30.0.99", dev="eth0", state="FAILED"), False),
        (Neighbour(ip="172.30.0.1", dev="cali1", state="FAILED"), False),
    ],
)
def test_only_next_hops_on_the_uplink_count(neighbour: Neighbour, failed: bool) -> None:  # noqa: FBT001
    cluster, _, _, _ = two_nodes()
    cluster.root("node-1", neighbours=(neighbour,))

    assert facts_of(cluster.evidence(), PROBE).of(NODE)["uplink_neigh_failed"] is failed


@pytest.mark.parametrize(
    ("device", "changes", "named"),
    [
        ("eth0", {}, ""),
        ("eth0", {"has_arp": False}, "eth0"),
        ("eth0", {"has_arp": False, "mac": ""}, ""),
        ("cni0", {"has_arp": False}, "cni0"),
        ("lo", {"has_arp": False}, ""),
    ],
    ids=["all ask", "the uplink", "a tunnel as uplink", "the bridge of pods", "another device"],
)
def test_links_that_need_arp_and_have_none(device: str, changes: dict[str, Any], named: str) -> None:
    cluster, _, _, _ = two_nodes("flannel")
    links = cluster.roots["node-1"].links
    cluster.root("node-1", links=tuple(replace(one, **changes) if one.name == device else one for one in links))

    known = facts_of(cluster.evidence(), PROBE)

    assert known.of(NODE)["link_without_arp"] == named


@pytest.mark.parametrize(
    ("values", "uplink", "bridge", "answering"),
    [
        ({"all": 0, "eth0": 0, "cni0": 0}, False, "", []),
        ({"all": 1, "eth0": 2, "cni0": 0}, False, "", []),
        ({"all": 0, "eth0": 8, "cni0": 0}, True, "", ["eth0"]),
        ({"all": 0, "eth0": 0, "cni0": 8}, False, "cni0", ["cni0"]),
        ({"all": 8, "eth0": 0, "cni0": 8}, True, "cni0", ["all", "cni0"]),
    ],
    ids=["default", "as load balancers have it", "the uplink", "the bridge of pods", "all of them"],
)
def test_where_arp_ignore_silences_a_node(
    values: dict[str, int],
    uplink: bool,  # noqa: FBT001
    bridge: str,
    answering: list[str],
) -> None:
    cluster, _, _, _ = two_nodes("flannel")
    cluster.sysctl("node-1", **{f"ipv4.conf.{dev}.arp_ignore": str(value) for dev, value in values.items()})

    known = facts_of(cluster.evidence(), PROBE).of(NODE)

    assert (known["uplink_ignores_arp"], known["bridge_ignores_arp"]) == (uplink, bridge)
    assert known["arp_answering"] == tuple(f"sysctl -w net/ipv4/conf/{dev}/arp_ignore=0" for dev in answering)


def test_where_nobody_is_asked_for_nobody_failed_to_answer() -> None:
    cluster, _, _, _ = two_nodes("flannel")
    links = cluster.roots["node-1"].links
    cluster.root("node-1", links=tuple(replace(one, has_arp=False) if one.name == "eth0" else one for one in links))

    known = facts_of(cluster.evidence(), PROBE)

    assert "uplink_neigh_failed" not in known.of(NODE)
    assert known.why_unobserved(NODE, "uplink_neigh_failed") == "the node's uplink carries the NOARP flag"
