"""Packets over IPv6 are followed like those over IPv4, in namespaces of the real kernel."""

from collections.abc import Generator, Sequence
from typing import Any

import pytest

from tests.agent.nodes import Node, calico_node, is_root, why_no_namespaces
from tests.agent.trace_lab import CHAIN, fate_in, flow, follow, only_drop, seen, trace_of

pytestmark = [
    pytest.mark.lab,
    pytest.mark.root,
    pytest.mark.skipif(bool(why_no_namespaces()), reason=why_no_namespaces() or "-"),
    pytest.mark.skipif(not is_root(), reason="the tap is root's"),
]
SERVER = {"tcp": [7001], "udp": [7001], "terse": [7003]}


@pytest.fixture(scope="module")
def dual() -> Generator[Node]:
    """Two pods with addresses of IPv6 beside their own; the second serves on them, too."""
    with calico_node([{}, {"tcp6": [7001], "udp6": [7001]}]) as made:
        made.namespaces.set_sysctls(made.number, {"ipv6.conf.all.forwarding": 1})
        for at, pod in enumerate(made.pods):
            # Addresses of the link that are still tentative would keep neighbours from answering.
            made.ip_command(
                f"addr flush dev {pod.link} scope link",
                f"addr add fe80::1/64 dev {pod.link} nodad",
                f"addr add fd00:{at}::1/64 dev {pod.link} nodad",
                f"route replace fd00:{at}::10/128 dev {pod.link}",
            )
            made.namespaces.ip(
                pod.number,
                "addr flush dev eth0 scope link",
                "addr add fe80::2/64 dev eth0 nodad",
                f"addr add fd00:{at}::10/64 dev eth0 nodad",
                f"route add default via fd00:{at}::1",
            )
        yield made


TARGET6 = "fd00:1::10"
ENDS6 = ("fd00::10", TARGET6)


@pytest.mark.parametrize("protocol", ["udp", "tcp", "icmp"])
def test_ipv6_is_followed_the_same_way(dual: Node, protocol: str) -> None:
    source = dual.pods[0]

    trace = trace_of(follow([dual], flow(source, TARGET6, protocol=protocol, addresses=ENDS6))["node-1"])

    assert [(one.sent, one.outcomes) for one in trace.sent] == [(17, {"ok": 17})]
    assert seen(trace) == {
        ("0002", "eth0", "out"): 17,
        ("node", "cali0", "in"): 17,
        ("node", "cali1", "out"): 17,
        ("0003", "eth0", "in"): 17,
    }
    assert seen(trace, "reply")["0002", "eth0", "in"] == 17


@pytest.mark.parametrize(
    ("family", "rule", "expected"),
    [
        ("ip6", "udp dport 7001 drop", ("request", "cali0", "forward", "ip6")),
        ("inet", "meta nfproto ipv6 udp dport 7001 drop", ("request", "cali0", "forward", "inet")),
        ("ip6", "udp sport 7001 drop", ("reply", "cali1", "forward", "ip6")),
    ],
)
def test_a_rule_that_takes_ipv6_is_named(
    dual: Node, family: str, rule: str, expected: tuple[str, str, str, str]
) -> None:
    source = dual.pods[0]
    dual.nft(CHAIN.format(family=family, hook="forward", rule=rule))
    try:
        fate = fate_in([dual], flow(source, TARGET6, addresses=ENDS6))
    finally:
        dual.nft(f"delete table {family} guard\n")

    assert fate.drop
    assert (fate.drop.leg, fate.drop.dev, fate.drop.hook, fate.drop.family) == expected
    assert (fate.drop.reason, fate.drop.count) == ("NETFILTER_DROP", 17)
    assert fate.culprit.startswith(f"{family}/guard/c (hook forward")


def test_an_unheard_ipv6_port_is_told_by_the_target(dual: Node) -> None:
    source = dual.pods[0]

    trace = trace_of(follow([dual], flow(source, TARGET6, port=7002, addresses=ENDS6))["node-1"])

    assert (only_drop(trace).netns, only_drop(trace).reason) == (dual.pods[1].uid, "NO_SOCKET")
    assert (trace.sent[0].icmp, trace.sent[0].icmp_from) == ("port-unreachable", TARGET6)


OTHER_TABLE = ("-6 rule del to fd00:1::10 lookup 77 pref 50", "-6 route flush table 77")
BY_TABLE = " table 77 of node-1 (ip rule 50: from all lookup 77)"


@pytest.mark.parametrize(
    ("broken", "fixed", "changes", "place", "culprit"),
    [
        (
            ("-6 route add blackhole fd00:1::10/128 table 77", "-6 rule add to fd00:1::10 lookup 77 pref 50"),
            OTHER_TABLE,
            {},
            "cali0 of node-1",
            f"route blackhole fd00:1::10/128{BY_TABLE}",
        ),
        (
            ("-6 route add unreachable fd00:1::10/128 table 77", "-6 rule add to fd00:1::10 lookup 77 pref 50"),
            OTHER_TABLE,
            {"protocol": "icmp"},
            "cali0 of node-1",
            f"route unreachable fd00:1::10/128{BY_TABLE}",
        ),
        (
            ("-6 route add prohibit fd00:1::10/128 table 77", "-6 rule add to fd00:1::10 lookup 77 pref 50"),
            OTHER_TABLE,
            {"protocol": "tcp"},
            "cali0 of node-1",
            f"route prohibit fd00:1::10/128{BY_TABLE}",
        ),
        (
            ("-6 rule add to fd00:1::10 prohibit pref 50",),
            ("-6 rule del to fd00:1::10 prohibit pref 50",),
            {},
            "cali0 of node-1",
            "ip rule 50: from all to fd00:1::10/128 prohibit of node-1",
        ),
        (
            ("link set cali1 mtu 1300",),
            ("link set cali1 mtu 1500",),
            {"protocol": "icmp", "length": 1400},
            "cali1 of node-1",
            "mtu 1300 of cali1 of node-1",
        ),
        (
            ("-6 addr add fd00::10/128 dev lo nodad",),
            ("-6 addr del fd00::10/128 dev lo",),
            {},
            "cali1 of node-1",
            "address fd00::10 on lo of node-1",
        ),
        (
            ("-6 neigh replace fd00:1::10 lladdr 02:00:00:00:00:77 dev cali1 nud permanent",),
            ("-6 neigh del fd00:1::10 dev cali1",),
            {},
            "eth0 of shop/pod-1-on-1",
            "neighbour fd00:1::10 lladdr 02:00:00:00:00:77 PERMANENT on cali1 of node-1, while eth0 has ",
        ),
    ],
    ids=["blackhole", "unreachable", "prohibit", "a rule that prohibits", "MTU", "held elsewhere", "wrong MAC"],
)
def test_what_takes_ipv6_is_named(
    dual: Node, broken: Sequence[str], fixed: Sequence[str], changes: dict[str, Any], place: str, culprit: str
) -> None:
    source = dual.pods[0]
    for line in broken:
        dual.namespaces.run(dual.number, "ip", *line.split())
    try:
        fate = fate_in([dual], flow(source, TARGET6, addresses=ENDS6, **changes))
    finally:
        for line in fixed:
            dual.namespaces.run(dual.number, "ip", *line.split())

    assert (fate.lost, fate.died_at) == (17, place)
    assert fate.culprit.startswith(culprit)


def test_forwarding_of_ipv6_that_is_off_is_named(dual: Node) -> None:
    dual.sysctl({"ipv6.conf.all.forwarding": 0})
    try:
        fate = fate_in([dual], flow(dual.pods[0], TARGET6, addresses=ENDS6))
    finally:
        dual.sysctl({"ipv6.conf.all.forwarding": 1})

    assert fate.culprit == "sysctl net.ipv6.conf.all.forwarding = 0 of node-1"


def test_neighbour_discovery_that_nobody_answers_is_told(dual: Node) -> None:
    dual.ip_command("route add fd00:1::99/128 dev cali1")
    try:
        fate = fate_in([dual], flow(dual.pods[0], "fd00:1::99", addresses=("fd00::10", "fd00:1::99")))
    finally:
        dual.ip_command("route del fd00:1::99/128 dev cali1")

    assert fate.reason == "they wait for fd00:1::99 on cali1, which does not answer neighbour discovery"


def test_a_router_that_says_packet_too_big_is_heard(dual: Node) -> None:
    source = dual.pods[0]
    dual.ip_command("link set cali1 mtu 1300")
    try:
        trace = trace_of(follow([dual], flow(source, TARGET6, addresses=ENDS6, protocol="icmp", length=1420))["node-1"])
    finally:
        dual.ip_command("link set cali1 mtu 1500")

    assert seen(trace, "error")["0002", "eth0", "in"]
    assert trace.sent[0].icmp == "packet-too-big"
