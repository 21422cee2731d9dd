"""Routes that spread packets over several next hops, one of them dead."""

from dataclasses import replace

import pytest

from bot.agent.report import Link, Neighbour, NetnsState, Route
from bot.domain import facts
from bot.domain.finding import Severity
from bot.probes import router_entries
from tests.probes.build import FakeCluster, facts_of, sentences, two_nodes

NODE_1 = facts.node("node-1")
DEAD = Route(dst="10.42.2.0/24", via="192.168.77.2", dev="eth1")
ALIVE = Route(dst="10.42.2.0/24", via="172.30.0.12", dev="eth0", onlink=True)
SILENT = Neighbour(ip="192.168.77.2", dev="eth1", state="FAILED")


def spread(
    *legs: Route, neighbours: tuple[Neighbour, ...] = (SILENT,), has_carrier: bool = True, outcome: str = "timeout"
) -> FakeCluster:
    """A pod of node-1 that asks one of node-2, over a route with these next hops."""
    cluster, a, _, c = two_nodes()
    root = cluster.evidence().reports["node-1"].root
    routes = tuple(route for route in root.routes if route.dst != "10.42.2.0/24")
    links = (*root.links, Link(ifindex=77, name="eth1", is_up=True, has_carrier=has_carrier))
    cluster.root("node-1", routes=(*routes, *legs), neighbours=neighbours, links=links)
    cluster.test(a, "remote-pod", to=c, protocol="tcp", port=8080, outcome=outcome)  # type: ignore[arg-type]
    return cluster


def known(cluster: FakeCluster, key: str = "route_legs_dead") -> object:
    return facts_of(cluster.evidence(), router_entries.PROBE).of(NODE_1).get(key)


def test_a_next_hop_that_does_not_answer_beside_one_that_does():
    cluster = spread(ALIVE, DEAD)

    assert known(cluster) == (
        "10.42.2.0/24 nexthop via 192.168.77.2 dev eth1 (does not answer ARP, FAILED; of 2 next hops)",
    )
    assert known(cluster, "route_leg_repairs") == ("ip route replace 10.42.2.0/24 via 172.30.0.12 dev eth0 onlink",)
    assert known(cluster, "route_legs_idle") == ()


def test_a_next_hop_on_a_device_without_carrier():
    assert "eth1 has no carrier" in str(known(spread(ALIVE, DEAD, neighbours=(), has_carrier=False)))


def test_what_is_left_of_three_next_hops_is_written_as_it_was():
    third = replace(ALIVE, via="172.30.0.13", onlink=False)
    legs = (replace(leg, proto="bird", metric=32, src="172.30.0.11") for leg in (ALIVE, DEAD, third))

    repair = "ip route replace 10.42.2.0/24 proto bird metric 32 src 172.30.0.11"
    repair += " nexthop via 172.30.0.12 dev eth0 onlink nexthop via 172.30.0.13 dev eth0"
    assert known(spread(*legs), "route_leg_repairs") == (repair,)


@pytest.mark.parametrize(
    "cluster",
    [
        spread(ALIVE, DEAD, neighbours=(replace(SILENT, state="REACHABLE"),)),
        spread(ALIVE, DEAD, neighbours=()),
        spread(ALIVE, replace(DEAD, metric=200)),
        spread(ALIVE, replace(DEAD, table=200)),
        spread(ALIVE),
    ],
    ids=["answers", "was not asked", "of a second choice", "of another table", "alone"],
)
def test_routes_that_lose_nothing(cluster: FakeCluster):
    assert known(cluster) == ()
    assert known(cluster, "route_legs_idle") == ()


@pytest.mark.parametrize(
    "cluster",
    [
        spread(ALIVE, DEAD, outcome="ok"),
        spread(replace(ALIVE, dst="192.0.2.0/24"), replace(DEAD, dst="192.0.2.0/24"), ALIVE),
    ],
    ids=["nothing failed", "nothing that failed goes there"],
)
def test_a_dead_next_hop_that_no_failed_flow_takes_is_a_warning_and_no_cause(cluster: FakeCluster):
    table = facts_of(cluster.evidence(), router_entries.PROBE)

    assert table.of(NODE_1)["route_legs_dead"] == ()
    assert "does not answer" in sentences(list(router_entries.PROBE.judge(table)), Severity.WARN)[0]


def test_answers_take_the_route_of_the_server_s_node():
    cluster = spread(ALIVE, DEAD, outcome="ok")
    cluster.test(facts.pod("shop", "c"), "remote-pod", to=facts.pod("shop", "a"), protocol="tcp", outcome="timeout")

    assert known(cluster) != ()


def test_where_nothing_was_read_nothing_is_known():
    cluster = spread(ALIVE, DEAD)
    cluster.roots["node-1"] = NetnsState()

    assert known(cluster) is None
