"""Static ARP entries for routers, against what the other nodes learnt."""

from dataclasses import replace

import pytest

from bot.agent.report import Neighbour, NetnsState
from bot.domain import facts
from bot.domain.finding import Severity
from bot.probes import router_entries
from tests.probes.build import facts_of, sentences, two_nodes

NODE_1, NODE_2 = facts.node("node-1"), facts.node("node-2")
WRONG, RIGHT = "02:00:00:00:00:99", "52:54:00:00:00:fe"
ROUTER = Neighbour(ip="172.30.0.1", dev="eth0", mac=WRONG, state="PERMANENT")


@pytest.mark.parametrize(
    ("entry", "is_wrong"),
    [
        (ROUTER, True),
        (replace(ROUTER, mac=RIGHT), False),
        (replace(ROUTER, state="STALE"), False),
        (replace(ROUTER, ip="172.30.0.77"), False),
    ],
    ids=["contradicts", "agrees", "was learnt", "is no next hop"],
)
def test_a_static_entry_that_contradicts_all_others_is_wrong(entry: Neighbour, is_wrong: bool) -> None:  # noqa: FBT001
    cluster, *_ = two_nodes()
    cluster.root("node-1", neighbours=(entry,))

    known = facts_of(cluster.evidence(), router_entries.PROBE)

    assert bool(known.of(NODE_1)["router_entries_wrong"]) is is_wrong
    assert known.of(NODE_1)["router_entry_deletions"] == ("ip neigh del 172.30.0.1 dev eth0",) * is_wrong
    assert known.of(NODE_2)["router_entries_wrong"] == ()


def test_where_nobody_else_knows_the_router_nothing_is_said() -> None:
    cluster, *_ = two_nodes()
    cluster.root("node-1", neighbours=(ROUTER,))
    cluster.root("node-2", neighbours=())

    assert facts_of(cluster.evidence(), router_entries.PROBE).of(NODE_1)["router_entries_wrong"] == ()


def test_a_table_that_was_not_read_is_unknown() -> None:
    cluster, *_ = two_nodes()
    cluster.roots["node-1"] = NetnsState()

    assert "router_entries_wrong" not in facts_of(cluster.evidence(), router_entries.PROBE).of(NODE_1)


def test_what_is_wrong_is_said_as_it_is_written() -> None:
    cluster, *_ = two_nodes()
    cluster.root("node-1", neighbours=(ROUTER,))
    table = facts_of(cluster.evidence(), router_entries.PROBE)

    entry = f"172.30.0.1 dev eth0 lladdr {WRONG} PERMANENT, while node-2 learnt {RIGHT}"
    assert sentences(list(router_entries.PROBE.judge(table)), Severity.WARN) == [
        f"Node node-1 has a static ARP entry for its router that is wrong: {entry}."
    ]
