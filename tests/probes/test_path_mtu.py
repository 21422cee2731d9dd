"""Ladders of packet sizes, and what each shape means."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from bot.agent.report import Link, MtuStep, Qdisc, Route
from bot.cluster.objects import Container, EnvVar
from bot.domain import facts
from bot.domain.facts import FactTable
from bot.domain.finding import Finding, Severity, SymptomKind
from bot.probes import path_mtu
from bot.probes.path_mtu.observe import Ladder, read_ladder
from tests.probes.build import FakeCluster, Kind, facts_of, sentences, two_nodes
from tests.probes.services import add_service

SIZES = (1280, 1400, 1450, 1451, 1500, 1600)
MARKS: dict[str, Any] = {".": "ok", "x": "timeout", "L": "too-big-local", "F": "frag-needed", "?": "error"}


def steps(marks: str) -> tuple[MtuStep, ...]:
    return tuple(MtuStep(size_bytes=size, outcome=MARKS[mark]) for size, mark in zip(SIZES, marks, strict=True))


@pytest.mark.parametrize(
    ("marks", "expected"),
    [
        ("....LL", Ladder("ok", 1451, None)),
        ("...LLL", Ladder("ok", 1450, None)),
        ("..xxLL", Ladder("black-hole", 1400, 1450)),
        ("..FFLL", Ladder("frag-needed", 1400, None)),
        (".x..LL", Ladder("ok", 1451, None, scattered=1)),
        ("x.xxLL", Ladder("black-hole", 1400, 1450, scattered=1)),
        ("xxxxxx", None),
        ("??????", None),
        (".xxx??", Ladder("black-hole", 1280, 1400)),
    ],
)
def test_shapes(marks: str, expected: Ladder | None):
    assert read_ladder(steps(marks)) == expected


@pytest.mark.parametrize(("mtu", "is_narrow"), [(1280, True), (1450, False), (1500, False)])
def test_a_bridge_that_is_smaller_than_its_pods(*, mtu: int, is_narrow: bool):
    cluster, *_ = two_nodes("flannel")
    links = cluster.roots["node-1"].links
    cluster.root("node-1", links=tuple(replace(one, mtu=mtu) if one.name == "cni0" else one for one in links))

    known = facts_of(cluster.evidence(), path_mtu.PROBE).of(facts.node("node-1"))

    assert (known["bridge_mtu_bytes"], known["bridge_is_narrow"]) == (mtu, is_narrow)


def test_pods_on_no_bridge_have_none_that_is_small():
    cluster, *_ = two_nodes("calico")

    known = facts_of(cluster.evidence(), path_mtu.PROBE).of(facts.node("node-1"))

    assert known["bridge_is_narrow"] is False
    assert "bridge_mtu_bytes" not in known


def test_the_order_of_steps_does_not_matter():
    assert read_ladder(reversed(steps("..xxLL"))) == Ladder("black-hole", 1400, 1450)
    assert read_ladder(()) is None


def judged(cluster: FakeCluster) -> tuple[FactTable, list[Finding]]:
    known = facts_of(cluster.evidence(), path_mtu.PROBE)
    return known, list(path_mtu.PROBE.judge(known))


def climb(cluster: FakeCluster, source: facts.Subject, target: facts.Subject, marks: str) -> None:
    purpose = "node" if target.kind is facts.SubjectKind.NODE else "remote-pod"
    cluster.test(source, purpose, to=target, protocol="mtu", mtu_steps=steps(marks))


PAIR = facts.pair("node-1", "node-2")


def test_what_gets_through_everywhere_passes():
    cluster, a, _, c = two_nodes()
    climb(cluster, a, c, "...LLL")
    climb(cluster, c, a, "...LLL")

    known, findings = judged(cluster)

    assert known.of(PAIR).items() >= {"mtu": "ok", "largest_ok_bytes": 1450, "mtu_differs": False}.items()
    assert known.of(facts.node("node-1")).items() >= {"uplink_mtu_bytes": 1500, "pod_mtu_bytes": 1450}.items()
    assert sentences(findings) == [
        "Between pods of different nodes, packets of up to 1450 bytes get through in all 2 directions tried."
    ]


def test_a_black_hole_in_one_direction():
    cluster, a, _, c = two_nodes()
    climb(cluster, a, c, "..xLLL")
    climb(cluster, c, a, "...LLL")
    climb(cluster, facts.node("node-1"), facts.node("node-2"), "......")

    known, findings = judged(cluster)

    assert known.of(PAIR).items() >= {"mtu": "black-hole", "largest_ok_bytes": 1400, "first_lost_bytes": 1450}.items()
    assert known.of(facts.node("node-1"))["node_mtu"] == "ok"
    failure = findings[0]
    assert failure.severity is Severity.FAIL
    assert failure.sentence == (
        "From pods on node-1 to pods on node-2, packets of 1450 bytes and more are lost silently; 1400 bytes get "
        "through. Between the nodes themselves all sizes get through."
    )
    assert failure.symptom
    assert (failure.symptom.kind, failure.symptom.subject) == (SymptomKind.LARGE_PACKETS_LOST, PAIR)


@pytest.mark.parametrize(("others", "state"), [(("x.xLLL", "x..LLL"), None), (("x..LLL", "...LLL"), "ok")])
def test_sizes_that_are_lost_at_random_are_no_black_hole(others: tuple[str, str], state: str | None):
    cluster, a, b, c = two_nodes()
    climb(cluster, a, c, "..xLLL")
    for source, marks in zip((a, b), others, strict=True):
        climb(cluster, source, c, marks)

    known, findings = judged(cluster)

    assert known.of(PAIR).get("mtu") == state
    assert sentences(findings, Severity.FAIL) == []


def test_a_router_that_says_so():
    cluster, a, _, c = two_nodes()
    climb(cluster, a, c, "..FLLL")

    _, findings = judged(cluster)

    assert sentences(findings, Severity.FAIL) == []
    assert sentences(findings, Severity.WARN) == [
        (
            'From pods on node-1 to pods on node-2, a router answers "fragmentation needed" above 1400 bytes: '
            "this works "
            "while nobody filters ICMP."
        )
    ]


def test_the_worst_of_several_ladders_counts():
    cluster, a, b, c = two_nodes()
    climb(cluster, a, c, "..FLLL")
    climb(cluster, b, c, "..xLLL")

    assert judged(cluster)[0].of(PAIR)["mtu"] == "black-hole"


def test_a_size_that_another_pod_gets_through_is_no_black_hole_of_the_path():
    cluster, a, b, c = two_nodes()
    climb(cluster, a, c, "...LLL")
    climb(cluster, b, c, "..xLLL")

    known, findings = judged(cluster)

    assert known.of(PAIR).items() >= {"mtu": "ok", "mtu_uneven": True}.items()
    assert sentences(findings, Severity.FAIL) == []
    assert sentences(findings, Severity.WARN) == [
        (
            "From pods on node-1 to pods on node-2, large packets of one pod are lost and those of another arrive: "
            "not the path loses them, but that pod, or chance."
        )
    ]


@pytest.mark.parametrize("starved", [0, 1], ids=["the source", "the target"])
def test_a_pod_whose_link_drops_by_a_queue_says_nothing_about_sizes(starved: int):
    cluster, a, _, c = two_nodes()
    climb(cluster, a, c, "..xLLL")
    queue = Qdisc(dev="eth0", kind="tbf", handle="8001:", text="tbf", packets_delta=4, dropped_delta=9)
    cluster.inside((a, c)[starved], qdiscs=(queue,))

    known, _ = judged(cluster)

    assert "mtu" not in known.of(PAIR)


def test_where_nothing_gets_through_sizes_are_unknown():
    cluster, a, _, c = two_nodes()
    climb(cluster, a, c, "xxxxLL")

    known, findings = judged(cluster)

    assert "mtu" not in known.of(PAIR)
    assert known.why_unobserved(PAIR, "mtu") == "not even the smallest packet got through"
    assert findings == []


@pytest.mark.parametrize(
    ("cni", "device", "pod_route", "node_route", "uplink", "state", "largest"),
    [
        ("cilium", 1500, 1450, 1450, 1500, "ok", 1450),
        ("cilium", 1500, None, 1450, 1500, "ok", 1450),
        ("cilium", 1500, None, None, 1500, "ok", 1450),
        ("cilium", 9000, None, None, 9000, "black-hole", 1450),
        ("flannel", 1500, 1450, None, 1500, "ok", 1450),
        ("flannel", 1500, None, None, 1500, "black-hole", 1450),
        ("calico", 1450, None, None, 1500, "ok", 1450),
        ("calico", 1500, 1500, None, 1500, "black-hole", 1450),
    ],
)
def test_what_the_source_would_not_send_was_not_tested(
    cni: Kind, device: int, pod_route: int | None, node_route: int | None, uplink: int, state: str, largest: int
):
    cluster, a, _, c = two_nodes(cni)
    climb(cluster, a, c, "...xxx")
    inside = cluster.report_of(a).state
    assert inside
    links = tuple(replace(link, mtu=device) if link.name == "eth0" else link for link in inside.links)
    routes = tuple(replace(route, mtu=pod_route) if route.dst == "default" else route for route in inside.routes)
    cluster.inside(a, links=links, routes=routes)
    by_programs = (Route(dst="10.42.2.0/24", via="10.42.1.2", dev="cilium_host", mtu=node_route),)
    root = cluster.roots["node-1"]
    tunnel = Link(ifindex=60, name="cilium_vxlan", kind="vxlan", is_up=True, mtu=1500)
    cluster.root(
        "node-1",
        links=(*(replace(each, mtu=uplink) if each.name == "eth0" else each for each in root.links), tunnel),
        routes=(*root.routes, *(by_programs if node_route else ())),
    )

    known, _ = judged(cluster)

    assert known.of(PAIR).items() >= {"mtu": state, "largest_ok_bytes": largest}.items()


def test_nodes_of_different_mtu():
    cluster, *_ = two_nodes()
    links = tuple(replace(link, mtu=9000) if link.name == "eth0" else link for link in cluster.roots["node-2"].links)
    cluster.root("node-2", links=links)

    known, findings = judged(cluster)

    assert known.of(PAIR)["mtu_differs"] is True
    assert sentences(findings, Severity.INFO) == [
        "The uplink MTU is not the same on all nodes: 1500 bytes on node-1; 9000 bytes on node-2."
    ]


def test_packets_that_needed_fragmenting():
    cluster, *_ = two_nodes()
    cluster.root("node-1", counters={"Ip.FragFails": 4}, counters_delta={"Ip.FragFails": 3})

    known, findings = judged(cluster)

    assert known.of(facts.node("node-1"))["fragfails_delta"] == 3
    assert "fragfails_delta" not in known.of(facts.node("node-2"))
    assert sentences(findings, Severity.INFO) == ["3 packets needed fragmentation on node-1 and forbade it."]


def lost_between_nodes(cluster: FakeCluster) -> list[Finding]:
    """From node-1 to node-2, in 1450 bytes and more; pods' packets, of up to 1400 bytes, get through."""
    climb(cluster, facts.pod("shop", "a"), facts.pod("shop", "c"), "..LLLL")
    climb(cluster, facts.node("node-1"), facts.node("node-2"), "..xxxL")
    return judged(cluster)[1]


def test_large_packets_lost_between_nodes_that_nobody_needs_are_a_warning_with_its_reason():
    cluster, *_ = two_nodes()

    [finding] = [one for one in lost_between_nodes(cluster) if one.severity is not Severity.PASS]

    assert (finding.severity, finding.symptom) == (Severity.WARN, None)
    assert finding.sentence == (
        "From node-1 to node-2 (node to node), packets of 1450 bytes and more are lost silently. No connection that is "
        "known to be needed goes that way; packets between pods get through."
    )


@pytest.mark.parametrize(("client_is_on", "port"), [("node-1", 9100), ("node-2", 9100)], ids=["there", "back"])
def test_large_packets_lost_between_nodes_that_a_pod_with_the_nodes_network_needs_are_a_failure(
    client_is_on: str, port: int
):
    """A connection carries large packets both ways, whoever dialled."""
    cluster, *_ = two_nodes()
    other = "node-2" if client_is_on == "node-1" else "node-1"
    client = cluster.pod("shop/scraper", client_is_on, host_network=True)
    server = cluster.pod("shop/exporter", other, host_network=True)
    dials(cluster, client, server, port)

    [finding] = [one for one in lost_between_nodes(cluster) if one.severity is not Severity.PASS]

    assert finding.severity is Severity.FAIL
    assert finding.symptom
    assert (finding.symptom.kind, finding.symptom.hop) == (SymptomKind.LARGE_PACKETS_LOST, "underlay")
    assert finding.sentence.startswith(
        "From node-1 to node-2 (node to node), packets of 1450 bytes and more are lost silently. Affected: shop/"
    )


def test_a_pod_whose_own_packets_are_smaller_than_those_lost_does_not_suffer():
    cluster, a, *_ = two_nodes()
    server = cluster.pod("shop/exporter", "node-2", host_network=True)
    dials(cluster, a, server, 9100)
    state = cluster.report_of(a).state
    assert state
    links = tuple(replace(one, mtu=1400) if one.name == "eth0" else one for one in state.links)
    cluster.inside(a, links=links)

    severities = {one.severity for one in lost_between_nodes(cluster)}

    assert Severity.WARN in severities
    assert Severity.FAIL not in severities


def dials(cluster: FakeCluster, client: facts.Subject, server: facts.Subject, port: int) -> None:
    """By an environment variable that names the server's Service."""
    add_service(cluster, "shop/metrics", ends=[server], port=port)
    container = Container(name="main", env=(EnvVar(name="METRICS", value=f"metrics.shop:{port}"),))
    pod = cluster.pods[client]
    cluster.pods[client] = msgspec.structs.replace(pod, spec=msgspec.structs.replace(pod.spec, containers=(container,)))
