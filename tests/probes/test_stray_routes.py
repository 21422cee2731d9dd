"""Routes and rules that take single addresses elsewhere: on a node, for one pod, and inside a pod."""

from typing import Any

import pytest

from bot.agent.report import Route, Rule
from bot.domain import facts
from bot.probes import pod_routes
from tests.probes.build import FakeCluster, facts_of, two_nodes
from tests.probes.services import add_service, ask

BLOCK = Route(dst="10.42.2.0/24", via="172.30.0.12", dev="vxlan.calico")


def of(cluster: FakeCluster, subject: facts.Subject) -> dict[str, Any]:
    return dict(facts_of(cluster.evidence(), pod_routes.PROBE).of(subject))


@pytest.mark.parametrize(
    ("route", "is_taken"),
    [
        (Route(dst="10.42.2.10/32", type="unreachable"), True),
        (Route(dst="10.42.2.10/32", type="blackhole"), True),
        (Route(dst="10.42.2.8/29", dev="docker0"), True),
        (Route(dst="10.42.2.10/32", via="172.30.0.12", dev="vxlan.calico"), False),
        (Route(dst="10.42.2.99/32", type="blackhole"), False),
        (Route(dst="10.42.2.0/24", type="blackhole", metric=9), False),
    ],
    ids=["unreachable", "blackhole", "another device", "the usual way", "another address", "a second choice"],
)
def test_a_route_that_takes_one_pod_of_another_node(route: Route, is_taken: bool):  # noqa: FBT001
    cluster, a, _, c = two_nodes()
    cluster.root("node-1", routes=(*cluster.roots["node-1"].routes, BLOCK, route))

    assert of(cluster, c)["taken_away"] is is_taken
    assert of(cluster, c)["taken_wholly"] is is_taken
    assert of(cluster, a)["taken_away"] is False


def test_a_whole_block_that_is_refused_takes_no_single_pod():
    cluster, _, _, c = two_nodes()
    cluster.root("node-1", routes=(*cluster.roots["node-1"].routes, Route(dst="10.42.2.0/24", type="blackhole")))

    assert of(cluster, c)["taken_away"] is False


@pytest.mark.parametrize(
    ("route", "is_stray"),
    [
        (Route(dst="10.42.2.10/32", type="blackhole"), True),
        (Route(dst="10.42.0.0/16", dev="tun0"), True),
        (Route(dst="10.42.2.0/24", via="10.42.1.77", dev="eth0"), True),
        (Route(dst="10.42.1.0/24", dev="eth0"), False),
        (Route(dst="10.42.0.0/16", via="169.254.1.1", dev="eth0"), False),
        (Route(dst="192.168.0.0/16", dev="net1"), False),
    ],
    ids=["refused", "a VPN", "another gateway", "its own subnet", "the gateway", "not of the cluster"],
)
def test_a_route_inside_the_pod(route: Route, is_stray: bool):  # noqa: FBT001
    cluster, a, b, _ = two_nodes()
    state = cluster.report_of(a).state
    assert state
    cluster.inside(a, routes=(*state.routes, route))

    assert of(cluster, a)["has_stray_route"] is is_stray
    assert of(cluster, b)["has_stray_route"] is False


def test_a_rule_inside_the_pod():
    cluster, a, _, _ = two_nodes()
    state = cluster.report_of(a).state
    assert state
    rule = Rule(priority=100, dst="10.42.2.0/24", action="prohibit")
    cluster.inside(a, rules=(*state.rules, rule))

    assert of(cluster, a)["stray_routes"] == ("100: from all to 10.42.2.0/24 prohibit, which takes 10.42.2.10",)


@pytest.mark.parametrize(("outcome", "fails"), [("EACCES", True), ("ok", False)])
def test_a_rule_inside_the_pod_for_one_port_of_a_service(outcome: Any, fails: bool):  # noqa: FBT001
    cluster, a, _, c = two_nodes()
    state = cluster.report_of(a).state
    assert state
    service = add_service(cluster, "shop/db", (c,), ip="10.43.7.7", port=80)
    cluster.inside(
        a,
        rules=(
            *state.rules,
            Rule(priority=100, others="ipproto 6 dport 80", protocol=6, dport=(80, 80), action="prohibit"),
        ),
    )
    ask(cluster, a, service, outcome=outcome)

    known = of(cluster, a)

    assert known["stray_routes"] == ("100: from all ipproto 6 dport 80 prohibit, which takes 10.43.7.7",)
    assert known["stray_routes_fail"] is fails


@pytest.mark.parametrize(
    ("asked", "is_hit"),
    [
        ({"protocol": 6}, True),
        ({"protocol": 6, "dport": (5432, 5432)}, True),
        ({"dport": (5000, 6000)}, True),
        ({"protocol": 17, "dport": (5432, 5432)}, False),
        ({"dport": (80, 80)}, False),
        ({"protocol": 6, "sport": (5432, 5432)}, False),
        ({"is_of_users": True, "dport": (5432, 5432)}, False),
    ],
)
def test_a_rule_that_takes_one_port_of_one_pod(asked: dict[str, Any], is_hit: bool):  # noqa: FBT001
    cluster, a, b, c = two_nodes()
    root = cluster.roots["node-1"]
    rule = Rule(priority=100, src="10.42.1.10/32", others="in words", table=200, **asked)
    cluster.root("node-1", rules=(rule, *root.rules), routes=(*root.routes, BLOCK, PROHIBIT))
    cluster.test(a, "endpoint", to=c, protocol="tcp", port=5432, outcome="timeout")
    cluster.test(b, "endpoint", to=c, protocol="tcp", port=5432)

    assert (of(cluster, a)["diverted"], of(cluster, a)["diverted_fails"]) == (is_hit, is_hit)
    assert of(cluster, b)["diverted"] is False


@pytest.mark.parametrize("cni", ["calico", "flannel"])
def test_whom_a_pod_dials_on_its_own_node_is_not_the_one_that_a_rule_is_about(cni: Any):
    cluster, a, b, c = two_nodes(cni)
    root = cluster.roots["node-1"]
    rule = Rule(priority=100, src="10.42.1.10/32", table=200)
    cluster.root("node-1", rules=(rule, *root.rules), routes=(*root.routes, BLOCK, PROHIBIT))
    cluster.test(a, "local-pod", to=b, outcome="timeout" if cni == "calico" else "ok")
    cluster.test(a, "remote-pod", to=c, outcome="timeout")

    assert (of(cluster, a)["diverted"], of(cluster, a)["diverted_fails"]) == (True, True)
    assert of(cluster, b)["diverted"] is False


def test_a_rule_that_takes_the_answers_of_one_port():
    cluster, a, _, c = two_nodes()
    root = cluster.roots["node-1"]
    rule = Rule(priority=100, src="10.42.1.10/32", others="sport 8080", protocol=6, sport=(8080, 8080), table=200)
    cluster.root("node-1", rules=(rule, *root.rules), routes=(*root.routes, BLOCK, PROHIBIT))
    cluster.test(c, "endpoint", to=a, protocol="tcp", port=8080, outcome="timeout")

    assert of(cluster, a)["diverted_fails"] is True


PROHIBIT = Route(dst="default", type="prohibit", table=200)


@pytest.mark.parametrize(
    ("rule", "is_hit"),
    [
        (Rule(priority=100, src="10.42.1.10/32", table=200), True),
        (Rule(priority=100, dst="10.42.1.10/32", table=200), True),
        (Rule(priority=100, iif="cali1", table=200), True),
        (Rule(priority=100, src="10.42.1.10/32", others="dport 80", table=200), False),
        (Rule(priority=100, src="10.42.1.10/32", fwmark="0x1", table=200), False),
        (Rule(priority=40000, src="10.42.1.10/32", table=200), False),
        (Rule(priority=100, src="10.42.1.10/32", table=200, suppress_prefix=0), False),
    ],
    ids=["from it", "to it", "by its link", "some port", "with a mark", "behind the main table", "suppressed"],
)
def test_a_rule_that_takes_one_pod(rule: Rule, is_hit: bool):  # noqa: FBT001
    cluster, a, b, _ = two_nodes()
    root = cluster.roots["node-1"]
    rules = tuple(sorted((*root.rules, rule), key=lambda one: one.priority))
    cluster.root("node-1", rules=rules, routes=(*root.routes, BLOCK, PROHIBIT))

    assert of(cluster, a)["diverted"] is is_hit
    assert of(cluster, b)["diverted"] is False


@pytest.mark.parametrize(
    ("rule", "is_taken", "is_wholly"),
    [
        (Rule(priority=100, dst="10.42.2.10/32", table=200), True, True),
        (Rule(priority=100, src="all", dst="10.42.2.10/32", table=200), True, True),
        (Rule(priority=100, src="10.42.1.0/24", dst="10.42.2.10/32", table=200), True, False),
        (Rule(priority=100, src="10.42.2.10/32", table=200), True, False),
        (Rule(priority=100, dst="10.42.2.0/24", table=200), False, False),
        (Rule(priority=100, src="10.42.1.10/32", table=200), False, False),
    ],
    ids=["to it", "from all to it", "from some to it", "from it", "to all of its node", "from one of ours to all"],
)
def test_a_rule_that_takes_one_pod_of_another_node(rule: Rule, is_taken: bool, is_wholly: bool):  # noqa: FBT001
    cluster, _, _, c = two_nodes()
    other = cluster.pod("shop/d", "node-2")
    root = cluster.roots["node-1"]
    cluster.root("node-1", rules=(rule, *root.rules), routes=(*root.routes, BLOCK, PROHIBIT))

    assert of(cluster, c)["taken_away"] is is_taken
    assert bool(of(cluster, c)["taken_away_by"]) is is_taken
    assert of(cluster, c)["taken_wholly"] is is_wholly
    assert of(cluster, other)["taken_away"] is False


def test_a_rule_that_takes_all_pods_is_the_nodes():
    cluster, a, _, _ = two_nodes()
    root = cluster.roots["node-1"]
    rule = Rule(priority=100, src="10.42.1.0/24", dst="10.42.2.0/24", table=200)
    cluster.root("node-1", rules=(rule, *root.rules), routes=(*root.routes, BLOCK, PROHIBIT))

    assert of(cluster, a)["diverted"] is False
    assert of(cluster, facts.pair("node-1", "node-2"))["diverted"] is True
    assert of(cluster, facts.node("node-1"))["foreign_rules"] == (
        "100: from 10.42.1.0/24 to 10.42.2.0/24 lookup 200 (prohibit default)",
    )


def test_a_vpn_client_in_the_pod_takes_all_but_its_own_marked_packets():
    """As wg-quick writes it."""
    cluster, a, b, _ = two_nodes()
    state = cluster.report_of(a).state
    assert state
    rules = (
        Rule(priority=100, table=254, suppress_prefix=0),
        Rule(priority=101, fwmark="0xca6c", is_inverted=True, table=51820),
    )
    routes = (*state.routes, Route(dst="default", dev="wg0", table=51820))
    cluster.inside(a, rules=(*state.rules, *rules), routes=routes)

    assert of(cluster, a)["has_stray_route"] is True
    assert of(cluster, b)["has_stray_route"] is False


def test_a_prefix_that_is_too_short_takes_services_for_neighbours():
    cluster, a, b, c = two_nodes("flannel")
    add_service(cluster, "shop/db", (c,))
    state = cluster.report_of(a).state
    assert state
    cluster.inside(a, routes=(*state.routes, Route(dst="10.0.0.0/8", dev="eth0")))

    assert of(cluster, a)["stray_routes"] == ("10.0.0.0/8 dev eth0, which takes 10.43.51.131",)
    assert of(cluster, b)["has_stray_route"] is False


@pytest.mark.parametrize(
    ("routes", "rules"),
    [
        ((Route(dst="default", dev="tailscale0", table=52),), ("5270: from all lookup 52",)),
        ((Route(dst="default", dev="eth0", table=52),), ()),
        ((Route(dst="default", dev="tailscale0", table=52), Route(dst="198.51.100.0/24", type="throw", table=52)), ()),
        ((Route(dst="100.64.0.0/10", dev="tailscale0", table=52),), ()),
    ],
    ids=["by another device", "by the usual device", "left to the main table", "not its addresses"],
)
def test_a_rule_that_takes_what_leaves_the_cluster(routes: tuple[Route, ...], rules: tuple[str, ...]):
    """As VPN clients set them: cluster networks are of type throw, so only the outside is taken."""
    cluster, a, _, _ = two_nodes()
    root = cluster.roots["node-1"]
    rule = Rule(priority=5270, table=52)
    inside = tuple(Route(dst=dst, type="throw", table=52) for dst in ("10.42.0.0/16", "172.30.0.0/24"))
    cluster.root("node-1", rules=(rule, *root.rules), routes=(*root.routes, BLOCK, *inside, *routes))
    cluster.test(facts.node("node-1"), "outside", outcome="timeout")

    assert of(cluster, facts.node("node-1"))["outside_rules"] == rules
    assert of(cluster, a)["diverted"] is False
