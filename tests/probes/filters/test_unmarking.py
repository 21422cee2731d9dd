"""Rules that write over kube-proxy's mark, against connections that cannot do without it."""

import json

import pytest

from bot.agent.iptables_save import parse_iptables_save
from bot.agent.nft_json import parse_nft
from bot.agent.report import Firewall
from bot.agent.rules import firewall
from bot.domain import facts
from bot.domain.facts import Subject
from bot.probes.node_kernel import PROBE
from tests.probes.build import FakeCluster, facts_of, two_nodes
from tests.probes.services import API_NAME, DNS_IP, add_dns, add_service, ask, ask_directly, resolve

NODE_1 = facts.node("node-1")


def saved(rule: str, table: str = "mangle", chain: str = "POSTROUTING") -> Firewall:
    text = f"*{table}\n:{chain} ACCEPT [0:0]\n-A {chain} {rule}\nCOMMIT\n"
    return firewall(parse_iptables_save(text, "iptables-legacy", "ip", with_steps=True), None)


def by_nft(value: object, hook: str = "postrouting", priority: int = -150, when: object = None) -> Firewall:
    chain = {"family": "inet", "table": "vpn", "name": "out", "hook": hook, "prio": priority, "type": "filter"}
    mark = {"mangle": {"key": {"meta": {"key": "mark"}}, "value": value}}
    rule: dict[str, object] = {"family": "inet", "table": "vpn", "chain": "out", "handle": 2}
    rule["expr"] = [mark] if when is None else [{"match": when}, mark]
    printed = json.dumps({"nftables": [{"chain": chain}, {"rule": rule}]})
    return firewall(parse_nft(printed, with_steps=True), None)


def itself(*, ends: int = 1) -> tuple[FakeCluster, Subject, Subject]:
    """A pod of node-1 that does not reach itself through its Service, which all others reach."""
    cluster, a, b, c = two_nodes()
    pods = (a, c)[:ends]
    db = add_service(cluster, "shop/db", pods)
    for source in (b, facts.pod("shop", "c")):
        ask(cluster, source, db)
        for end in pods:
            ask_directly(cluster, source, db, end)
    ask(cluster, a, db, "timeout")
    return cluster, a, db


def known(cluster: FakeCluster, made: Firewall) -> tuple[int, int]:
    """How many rules of node-1 surely rewrite what fails, and how many perhaps."""
    cluster.root("node-1", firewall=made)
    found = facts_of(cluster.evidence(), PROBE).of(NODE_1)
    sure, perhaps = found["rewriting_rules"], found["rewriting_rules_perhaps"]
    assert isinstance(sure, tuple)
    assert isinstance(perhaps, tuple)
    return len(sure), len(perhaps)


@pytest.mark.parametrize(
    "made",
    [
        by_nft(1),
        by_nft(1, "forward", 0),
        by_nft({"&": [{"meta": {"key": "mark"}}, 0xFFFF0000]}),
        by_nft(1, "prerouting", -50),
        saved("-j MARK --set-xmark 0x1/0xffffffff"),
        saved("-j MARK --set-xmark 0x0/0x4000", chain="FORWARD"),
    ],
    ids=["the whole mark", "while it is routed", "bits of it", "behind kube-proxy's marking", "iptables", "one bit"],
)
def test_a_pod_that_reaches_itself_no_more_for_a_stranger_takes_the_mark_off(made: Firewall):
    cluster, _, _ = itself()

    assert known(cluster, made) == (1, 0)


@pytest.mark.parametrize(
    "made",
    [
        by_nft(1, "prerouting", -150),
        by_nft(1, "postrouting", 110),
        by_nft(1, "input", 0),
        by_nft({"|": [{"meta": {"key": "mark"}}, 1]}),
        by_nft(0x4001),
        saved("-j MARK --set-xmark 0x40000/0xff0000"),
        saved("-p udp -j MARK --set-xmark 0x1/0xffffffff"),
        saved("-o tailscale0 -j MARK --set-xmark 0x1/0xffffffff"),
        saved("-j CONNMARK --save-mark"),
    ],
    ids=[
        "before kube-proxy marks",
        "after it looked",
        "not on the way",
        "adds a bit",
        "has the bit",
        "other bits",
        "another protocol",
        "another device",
        "the connection's mark",
    ],
)
def test_marks_that_leave_kube_proxys_alone(made: Firewall):
    cluster, _, _ = itself()

    assert known(cluster, made) == (0, 0)


def test_a_mark_out_of_the_connections_may_be_any():
    cluster, _, _ = itself()

    assert known(cluster, saved("-j CONNMARK --restore-mark")) == (0, 1)


def test_a_rule_behind_which_a_pod_reaches_itself_is_acquitted():
    cluster, _, _ = itself()
    web = add_service(cluster, "shop/web", (facts.pod("shop", "b"),), ip="10.43.51.132")
    ask(cluster, facts.pod("shop", "b"), web)

    assert known(cluster, by_nft(1)) == (0, 0)


def test_where_others_fail_too_the_mark_is_not_to_blame():
    cluster, _, db = itself()
    ask(cluster, facts.pod("shop", "b"), db, "timeout")

    assert known(cluster, by_nft(1)) == (0, 0)


def test_kube_proxys_own_rules_are_no_strangers():
    cluster, _, _ = itself()
    own = "*nat\n:POSTROUTING ACCEPT [0:0]\n:KUBE-POSTROUTING - [0:0]\n-A POSTROUTING -j KUBE-POSTROUTING\n"
    own += "-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0\nCOMMIT\n"

    made = firewall(parse_iptables_save(own, "iptables-legacy", "ip", with_steps=True), None)

    assert known(cluster, made) == (0, 0)


def test_a_nodes_own_connections_to_a_pod_of_another_node_need_the_mark():
    cluster, a, _, c = two_nodes()
    db = add_service(cluster, "shop/db", (c,))
    ask(cluster, a, db)
    ask(cluster, NODE_1, db, "timeout")

    assert known(cluster, by_nft(1)) == (1, 0)
    assert known(cluster, by_nft(1, "output", -150)) == (0, 0)


BY_ROOT = {"op": "==", "left": {"meta": {"key": "skuid"}}, "right": 0}
BY_ITSELF = {"op": "==", "left": {"fib": {"result": "type", "flags": ["saddr"]}}, "right": "local"}


@pytest.mark.parametrize(
    ("made", "counts"),
    [
        (by_nft(1, "output", 0, BY_ROOT), 1),
        (by_nft(1, "output", 0, BY_ROOT | {"right": 1000}), 0),
        (by_nft(1, when=BY_ITSELF), 1),
        (by_nft(1, when=BY_ITSELF | {"op": "!="}), 0),
        (saved("-m owner --uid-owner 0 -j MARK --set-xmark 0x1/0xffffffff"), 1),
        (saved("-m addrtype --src-type LOCAL -j MARK --set-xmark 0x1/0xffffffff"), 1),
    ],
    ids=["by root", "by another account", "by the node itself", "by others", "iptables, by root", "iptables, itself"],
)
def test_a_rule_for_what_the_node_itself_sends_takes_the_mark_off_that(made: Firewall, counts: int):
    cluster, a, _, c = two_nodes()
    db = add_service(cluster, "shop/db", (c,))
    ask(cluster, a, db)
    ask(cluster, NODE_1, db, "timeout")

    assert known(cluster, made) == (counts, 0)


def test_what_is_for_the_node_itself_takes_nothing_that_it_forwards():
    cluster, _, _ = itself()

    assert known(cluster, by_nft(1, when=BY_ITSELF)) == (0, 0)


def test_a_nodes_questions_to_the_dns_pod_of_another_node_need_the_mark():
    cluster, a, _, _ = two_nodes()
    add_dns(cluster, "node-2")
    edge = cluster.pod("shop/edge", "node-1", host_network=True)
    resolve(cluster, a)
    cluster.test(edge, "dns-own", outcome="timeout", ip=DNS_IP, port=53, name=API_NAME, protocol="dns-udp")

    assert known(cluster, by_nft(1)) == (1, 0)


def test_the_rule_is_named_and_deleted_as_it_is_written():
    cluster, _, _ = itself()
    cluster.root("node-1", firewall=by_nft(1))

    found = facts_of(cluster.evidence(), PROBE).of(NODE_1)

    assert "inet/vpn/out (hook postrouting, priority -150, of unknown origin): meta mark set 1" in str(
        found["rewriting_rules"]
    )
    assert found["rewriting_rule_deletions"] == (
        "nft -a list chain inet vpn out | grep -w 'handle 2'",
        "nft delete rule inet vpn out handle 2",
    )
