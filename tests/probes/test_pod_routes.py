"""Routes inside pods, back to them, and what nodes lack or have too much of."""

from dataclasses import replace
from typing import Any

import pytest

from bot.agent.report import Address, Link, Route, RouteAnswer, Rule
from bot.domain import facts
from bot.domain.facts import Rung
from bot.domain.finding import Severity, SymptomKind
from bot.probes import pod_link
from bot.probes.pod_routes import PROBE
from bot.probes.pod_routes.findings import judge
from bot.probes.pod_routes.rules import lost_rules
from bot.probes.shared.routing import RouteTable, default_state
from tests.probes.build import FakeCluster, Kind, facts_of, sentences, table, two_nodes

NODE = facts.node("node-1")


@pytest.mark.parametrize(
    ("routes", "state"),
    [
        ((Route(dst="default", via="10.0.0.1", dev="eth0"),), "present"),
        ((Route(dst="0.0.0.0/0", via="10.0.0.1", dev="eth0"),), "present"),
        ((Route(dst="0.0.0.0/1", dev="tun0"), Route(dst="128.0.0.0/1", dev="tun0")), "present"),
        ((), "missing"),
        ((Route(dst="default", via="10.0.0.1", dev="eth0", table=100),), "missing"),
        ((Route(dst="0.0.0.0/1", dev="tun0"),), "missing"),
        ((Route(dst="0.0.0.0/32", via="10.0.0.1", dev="eth0"),), "mistyped"),
        ((Route(dst="default", type="unreachable"),), "unreachable"),
        ((Route(dst="default", type="blackhole"),), "blackhole"),
        ((Route(dst="default", type="prohibit"),), "prohibit"),
        (
            (
                Route(dst="default", type="unreachable", metric=4278198272),
                Route(dst="default", via="10.0.0.1", dev="eth0"),
            ),
            "present",
        ),
        ((Route(dst="::/0", via="fe80::1", dev="eth0"),), "missing"),
    ],
)
def test_the_state_of_a_default_route(routes: tuple[Route, ...], state: str) -> None:
    assert default_state(routes) == state


def test_the_longest_prefix_wins_and_then_the_lower_metric() -> None:
    routes = (
        Route(dst="default", via="172.30.0.1", dev="eth0"),
        Route(dst="10.42.0.0/16", dev="docker0"),
        Route(dst="10.42.1.0/26", type="blackhole"),
        Route(dst="10.42.1.5/32", dev="cali5", metric=10),
        Route(dst="10.42.1.5", dev="cali6"),
        Route(dst="10.42.3.0/24", type="throw"),
        Route(dst="not a network", dev="x"),
    )
    found = RouteTable(routes)

    def dev(ip: str) -> str:
        route = found.lookup(ip)
        assert route is not None
        return route.dev or route.type

    assert [dev(ip) for ip in ("10.42.1.5", "10.42.1.6", "10.42.2.1", "8.8.8.8")] == [
        "cali6",
        "blackhole",
        "docker0",
        "eth0",
    ]
    assert found.lookup("10.42.3.1") is None  # it ends the search of this table, whatever shorter routes there are
    assert found.throw("10.42.3.1") == Route(dst="10.42.3.0/24", type="throw")
    assert found.throw("10.42.2.1") is None
    assert found.lookup("fe80::1") is None
    assert RouteTable(()).lookup("10.0.0.1") is None


@pytest.mark.parametrize(
    ("routes", "state", "sentence"),
    [
        (
            (),
            "missing",
            "shop/a on node-1 has no default route: its own kernel refuses to send, replies included (ENETUNREACH).",
        ),
        (
            (Route(dst="0.0.0.0/32", via="169.254.1.1", dev="eth0"),),
            "mistyped",
            (
                "shop/a on node-1 has a default route typed as 0.0.0.0/32, which matches nothing: "
                "its own kernel refuses to send, replies included (ENETUNREACH)."
            ),
        ),
        (
            (Route(dst="default", type="blackhole"),),
            "blackhole",
            (
                "shop/a on node-1 has a blackhole for a default route: "
                "its own kernel refuses to send, replies included (EINVAL)."
            ),
        ),
        (
            (Route(dst="default", type="prohibit"),),
            "prohibit",
            (
                "shop/a on node-1 has a prohibiting default route: "
                "its own kernel refuses to send, replies included (EACCES)."
            ),
        ),
    ],
)
def test_a_pod_that_cannot_send(routes: tuple[Route, ...], state: str, sentence: str) -> None:
    cluster, a, _, _ = two_nodes()
    cluster.inside(a, routes=routes)

    known = facts_of(cluster.evidence(), PROBE)
    failures = [each for each in judge(known) if each.severity is Severity.FAIL]

    assert known.of(a)["default_route"] == state
    assert sentences(failures) == [sentence]
    assert failures[0].symptom is not None
    assert (failures[0].symptom.kind, failures[0].symptom.hop) == (SymptomKind.POD_NO_ROUTE, "pod")


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        ((Route(dst="10.42.1.0/24", dev="eth0"),), True),
        ((Route(dst="169.254.1.1", dev="eth0", scope="link"),), True),
        ((Route(dst="10.9.0.0/16", dev="net1"),), False),
        ((Route(dst="10.42.1.0/24", dev="eth0", table=100),), False),
        ((Route(dst="10.42.1.0/24", dev="eth0", type="unreachable"), Route(dst="fe80::/64", dev="eth0")), False),
    ],
)
def test_a_route_by_eth0_shows_that_it_is_switched_on(routes: tuple[Route, ...], expected: bool) -> None:  # noqa: FBT001
    """The kernel flushes a device's routes when it goes down, so one that is there needs no look at the device."""
    cluster, a, _, _ = two_nodes()
    cluster.inside(a, routes=routes)

    known = facts_of(cluster.evidence(), PROBE)

    assert known.of(a)["eth0_routes"] is expected


def test_the_routes_of_a_dead_link_are_told_with_the_link() -> None:
    known = table(pod={"shop/a": {"default_route": "missing", "eth0": "down"}})

    assert judge(known) == []


def test_a_default_route_by_another_device_is_a_warning() -> None:
    cluster, a, _, _ = two_nodes()
    cluster.inside(a, routes=(Route(dst="default", via="192.168.9.1", dev="net1"),))

    known = facts_of(cluster.evidence(), PROBE)

    assert known.of(a)["default_route"] == "other-device"
    assert sentences(judge(known), Severity.WARN) == [
        (
            "In shop/a on node-1, the default route leaves by another device than the one with the address "
            "that the API knows: the cluster's gateway is never asked."
        )
    ]


def test_many_pods_without_default_route_are_told_together() -> None:
    cluster = FakeCluster()
    cluster.node("node-1")
    for number in range(4):
        cluster.inside(cluster.pod(f"shop/p{number}", "node-1"), routes=())

    failures = [each for each in judge(facts_of(cluster.evidence(), PROBE)) if each.severity is Severity.FAIL]

    assert sentences(failures) == [
        (
            "All 4 pods on node-1 (shop/p0, shop/p1, shop/p2, shop/p3) have no default route: "
            "the kernel of each refuses to send, replies included (ENETUNREACH)."
        )
    ]


@pytest.mark.parametrize(
    ("answer", "way"),
    [
        ({"dev": "cali1"}, "own-link"),
        ({"dev": "cali2"}, "wrong-link"),
        ({"dev": "eth0", "via": "172.30.0.1"}, "missing"),
        ({"errno": "ENETUNREACH", "type": ""}, "missing"),
        ({"errno": "EINVAL", "type": ""}, "blackhole"),
        ({"type": "blackhole"}, "blackhole"),
        ({"errno": "EACCES"}, "other"),
        ({"dev": "flannel.1", "via": "10.42.2.0"}, "other"),
        ({"dev": "lo", "type": "local"}, "other"),
    ],
)
def test_the_way_back_to_a_calico_pod(answer: dict[str, str], way: str) -> None:
    cluster, a, _, _ = two_nodes()
    cluster.seen(a, route_to_pod=RouteAnswer(question="10.42.1.10", **({"type": "unicast"} | answer)))

    assert facts_of(cluster.evidence(), PROBE).of(a)["route_on_node"] == way


@pytest.mark.parametrize("cni", ["calico", "flannel", "cilium"])
@pytest.mark.parametrize(
    ("kind", "errno"), [("unreachable", "EHOSTUNREACH"), ("blackhole", "EINVAL"), ("prohibit", "EACCES")]
)
def test_a_route_for_the_pods_address_alone_that_refuses(cni: Kind, kind: str, errno: str) -> None:
    cluster, a, _, _ = two_nodes(cni)
    cluster.root("node-1", routes=(Route(dst="10.42.1.10/32", type=kind), *cluster.roots["node-1"].routes))
    cluster.seen(a, route_to_pod=RouteAnswer(question="10.42.1.10", errno=errno))

    known = facts_of(cluster.evidence(), PROBE).of(a)

    assert known["route_on_node"] == "refused"
    assert known["refusing_route"] == f"{kind} 10.42.1.10/32"
    assert known["refusing_route_deletion"] == f"ip route del {kind} 10.42.1.10/32"


def test_a_block_that_is_refused_is_no_route_for_the_pod() -> None:
    """Calico writes a blackhole for each of its blocks: what it takes has lost its own route."""
    cluster, a, _, _ = two_nodes()
    cluster.root("node-1", routes=(Route(dst="10.42.1.0/26", type="blackhole"),))
    cluster.seen(a, route_to_pod=RouteAnswer(question="10.42.1.10", errno="EINVAL"))

    known = facts_of(cluster.evidence(), PROBE).of(a)

    assert (known["route_on_node"], known["refusing_route"]) == ("blackhole", "")


def test_the_way_back_over_a_bridge_is_good_only_for_its_ports() -> None:
    cluster, a, b, _ = two_nodes("flannel")
    cluster.host_link(b, master="", bridge_port_state=None)

    known = facts_of(cluster.evidence(), PROBE)

    assert known.of(a)["route_on_node"] == "bridge"
    assert known.of(b)["route_on_node"] == "other"


@pytest.mark.parametrize(
    ("way", "sentence"),
    [
        ("missing", "The node has no route to shop/a on node-1: replies do not come back."),
        (
            "blackhole",
            "The node drops, by a blackhole route, what is for shop/a on node-1: replies do not come back.",
        ),
        (
            "wrong-link",
            "The node routes to another pod's link what is for shop/a on node-1: replies do not come back.",
        ),
    ],
)
def test_a_missing_way_back_is_a_failure_only_where_no_test_says_it(way: str, sentence: str) -> None:
    relations = facts.Relations(node_of_pod={facts.pod("shop", "a"): NODE})
    untested = table(pod={"shop/a": {"route_on_node": way, "host_link": "up"}}, relations=relations)
    tested = table(
        pod={"shop/a": {"route_on_node": way, "host_link": "up", "reach_own_node": "timeout"}}, relations=relations
    )
    not_on_the_node = table(pod={"shop/a": {"route_on_node": way}}, relations=relations)

    assert [(each.severity, each.sentence) for each in judge(untested)] == [(Severity.FAIL, sentence)]
    assert [(each.severity, each.symptom) for each in judge(tested)] == [(Severity.WARN, None)]
    assert judge(not_on_the_node) == []


def test_a_healthy_node_and_its_pods() -> None:
    cluster, _, _, _ = two_nodes()

    known = facts_of(cluster.evidence(), pod_link.PROBE, PROBE)

    assert dict(known.of(NODE)) == {
        "default_route": "present",
        "zeroconf_route": False,
        "overlapping_route": False,
        "foreign_rule": False,
        "foreign_rules": (),
        "outside_rules": (),
        "routing_rules_lost": (),
        "pod_routes_missing": 0,
    }
    assert known.why_unobserved(NODE, "service_route") == "no Service with a ClusterIP is known"
    assert sentences(judge(known)) == [
        ("Both pods on node-1 (shop/a, shop/b) have a default route by the gateway, and the node has a route back."),
        "shop/c on node-2 has a default route by the gateway, and the node has a route back.",
    ]


def test_a_node_without_default_route_is_told_but_accused_of_nothing() -> None:
    cluster, _, _, _ = two_nodes()
    cluster.root("node-1", routes=(Route(dst="169.254.0.0/16", dev="eth0"),))

    known = facts_of(cluster.evidence(), PROBE)
    warnings = [each for each in judge(known) if each.severity is Severity.WARN]

    assert (known.of(NODE)["default_route"], known.of(NODE)["zeroconf_route"]) == ("missing", True)
    assert sentences(warnings) == ["Node node-1 has no default route."]
    assert warnings[0].symptom is None


@pytest.mark.parametrize(
    ("rule", "routes", "is_foreign"),
    [
        (Rule(priority=100, iif="cali1", table=99), (Route(dst="default", type="unreachable", table=99),), True),
        (Rule(priority=100, src="10.42.0.0/16", table=99), (Route(dst="default", dev="tun0", table=99),), True),
        (Rule(priority=100, table=52), (Route(dst="default", dev="tailscale0", table=52),), True),
        (Rule(priority=100, iif="cali1", action="unreachable"), (), True),
        (Rule(priority=5210, dst="10.42.2.0/24", table=52), (Route(dst="default", dev="tailscale0", table=52),), True),
        # as wg-quick writes it, which takes all that it did not mark itself
        (
            Rule(priority=32000, fwmark="0xca6c", is_inverted=True, table=51820),
            (Route(dst="10.42.2.0/24", dev="wg0", table=51820),),
            True,
        ),
        # as Calico writes it for its own WireGuard
        (
            Rule(priority=99, fwmark="0x100000/0x100000", is_inverted=True, table=1),
            (Route(dst="10.42.2.0/24", dev="wireguard.cali", table=1),),
            False,
        ),
        # harmless: another device's packets, another source, a mark, an empty table, the same way as the main table
        (Rule(priority=100, iif="tun0", table=99), (Route(dst="default", type="unreachable", table=99),), False),
        (Rule(priority=100, src="192.168.0.0/16", table=99), (Route(dst="default", dev="tun0", table=99),), False),
        (Rule(priority=9, fwmark="0x200/0xf00", table=2004), (Route(dst="default", dev="lo", table=2004),), False),
        (Rule(priority=5270, table=52), (Route(dst="100.64.0.7/32", dev="tailscale0", table=52),), False),
        (
            Rule(priority=100, iif="cali1", table=99),
            (Route(dst="default", dev="eth0", via="172.30.0.1", table=99),),
            False,
        ),
        # what comes back to the pod leaves by the uplink again
        (Rule(priority=100, table=99), (Route(dst="default", dev="eth0", via="172.30.0.1", table=99),), True),
        (Rule(priority=100, dst="192.168.0.0/16", table=99), (Route(dst="default", dev="tun0", table=99),), False),
        (Rule(priority=100, oif="eth0", table=99), (Route(dst="default", dev="tun0", table=99),), False),
    ],
)
def test_only_rules_that_take_pod_traffic_elsewhere_are_foreign(
    rule: Rule,
    routes: tuple[Route, ...],
    is_foreign: bool,  # noqa: FBT001
) -> None:
    cluster, _, _, _ = two_nodes()
    root = cluster.roots["node-1"]
    cluster.root("node-1", rules=(*root.rules, rule), routes=(*root.routes, *routes))

    known = facts_of(cluster.evidence(), PROBE)

    assert known.of(NODE)["foreign_rule"] is is_foreign
    reported = sentences(judge(known), Severity.WARN)
    assert bool(reported) is is_foreign
    if is_foreign:
        assert reported[0].startswith("1 routing rule of node node-1 may send pod traffic elsewhere: ")


def test_a_docker_network_over_the_pod_range() -> None:
    cluster, _, _, _ = two_nodes()
    root = cluster.roots["node-1"]
    docker = Link(ifindex=30, name="docker0", kind="bridge", is_up=True)
    cluster.root(
        "node-1",
        links=(*root.links, docker),
        routes=(*root.routes, Route(dst="10.42.2.0/24", dev="docker0", scope="link", proto="kernel")),
        addresses=(*root.addresses, Address(dev="docker0", ip="10.42.2.1", prefix_len=24)),
    )

    known = facts_of(cluster.evidence(), PROBE)

    assert known.of(NODE)["overlapping_route"] is True
    assert sentences(judge(known), Severity.WARN) == [
        "On node node-1 a network that is not the CNI's takes packets for pods or Services."
    ]


@pytest.mark.parametrize(
    "route",
    [
        Route(dst="10.42.2.0/24", via="10.42.2.0", dev="flannel.1", onlink=True),
        Route(dst="10.42.2.0/24", via="172.30.0.12", dev="eth0"),
        Route(dst="10.42.0.0/16", dev="cilium_host"),
    ],
)
def test_the_routes_of_a_cni_overlap_nothing(route: Route) -> None:
    cluster, _, _, _ = two_nodes()
    cluster.root("node-1", routes=(*cluster.roots["node-1"].routes, route))

    assert facts_of(cluster.evidence(), PROBE).of(NODE)["overlapping_route"] is False


def test_from_inside_pods_alone_nodes_stay_unknown() -> None:
    cluster, a, _, _ = two_nodes()
    cluster.rungs["node-1"] = Rung.EXEC
    cluster.root("node-1", links=(), addresses=(), routes=(), rules=(), sysctls={})
    cluster.seen(a, route_to_pod=None, host_link="")

    known = facts_of(cluster.evidence(), PROBE)

    assert known.of(a)["default_route"] == "gateway"
    assert known.why_unobserved(a, "route_on_node") == "the node's route to the pod was not looked up"
    assert known.why_unobserved(NODE, "default_route") == "the node's routes were not read"


@pytest.mark.parametrize("changes", [{"links": (), "routes": ()}, {"routes": (), "addresses": ()}])
def test_an_empty_list_is_an_answer_only_from_our_agent(changes: dict[str, Any]) -> None:
    cluster, a, _, _ = two_nodes()
    cluster.inside(a, **changes)
    ours = facts_of(cluster.evidence(), PROBE)
    cluster.rungs["node-1"] = Rung.EXEC
    theirs = facts_of(cluster.evidence(), PROBE)

    assert ("default_route" in ours.of(a)) is ("links" not in changes)
    assert "default_route" not in theirs.of(a)


def kernels(**changes: Any) -> tuple[Rule, ...]:
    """The rules that a kernel makes by itself; `changes` are those of the first, for local addresses."""
    rules = [replace(Rule(priority=0, table=255), **changes), Rule(priority=32766, table=254)]
    return (*rules, Rule(priority=32767, table=253))


@pytest.mark.parametrize(
    ("rules", "lost"),
    [
        (kernels(), ()),
        (kernels(priority=100), ()),
        (kernels()[1:], ("from all lookup local",)),
        (kernels(src="10.42.0.0/16"), ("from all lookup local",)),
        (kernels(fwmark="0x200/0xf00"), ("from all lookup local",)),
        (kernels()[:1], ("from all lookup main",)),
        ((*kernels()[:1], Rule(priority=32766, table=254, suppress_prefix=0)), ("from all lookup main",)),
        ((*kernels()[:1], Rule(priority=32766, table=254, family=6)), ("from all lookup main",)),
    ],
)
def test_the_kernels_own_rules_must_lead_to_its_tables(rules: tuple[Rule, ...], lost: tuple[str, ...]) -> None:
    assert lost_rules(rules) == lost


def test_rules_that_nobody_read_are_not_lost() -> None:
    assert lost_rules(()) is None


def test_a_route_that_is_there_and_is_not_asked_is_not_missing() -> None:
    """A VPN's rule before the main table: tailscale's table 52 with an exit node."""
    cluster, a, _, _ = two_nodes()
    cluster.seen(a, route_to_pod=RouteAnswer(question="10.42.1.10", type="unicast", dev="tailscale0"))
    root = cluster.roots["node-1"]
    rules = (Rule(priority=5270, table=52), *root.rules)
    cluster.root("node-1", rules=rules, routes=(*root.routes, Route(dst="default", dev="tailscale0", table=52)))

    known = facts_of(cluster.evidence(), PROBE).of(a)

    assert (known["route_on_node"], known["route_dev"]) == ("overruled", "tailscale0")
