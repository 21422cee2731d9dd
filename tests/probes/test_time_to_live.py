"""Packets that set out with few hops: said with what they did not reach, and harmless where they arrive."""

from typing import Any

import pytest

from bot.domain import facts
from bot.domain.finding import Severity
from bot.probes import time_to_live
from tests.probes.build import facts_of, sentences, two_nodes


@pytest.mark.parametrize(
    ("test", "exceeded"),
    [
        ({"outcome": "EHOSTUNREACH", "icmp": "ttl-exceeded", "icmp_from": "172.30.0.11"}, ("shop/c (by 172.30.0.11)",)),
        ({"outcome": "timeout", "icmp": "hop-limit-exceeded"}, ("shop/c (by a router)",)),
        ({"outcome": "EHOSTUNREACH", "icmp": "host-unreachable", "icmp_from": "172.30.0.11"}, ()),
        ({"outcome": "timeout"}, ()),
    ],
    ids=["the node says so", "of IPv6", "another message", "silence"],
)
def test_what_a_router_gave_up_is_told_by_its_message(test: dict[str, Any], exceeded: tuple[str, ...]):
    cluster, a, _, c = two_nodes()
    cluster.inside(a, sysctls={"ipv4.ip_default_ttl": "1", "ipv6.conf.eth0.hop_limit": "64"})
    cluster.test(a, "remote-pod", to=c, protocol="tcp", port=80, **test)
    table = facts_of(cluster.evidence(), time_to_live.PROBE)

    assert (table.of(a)["ttl"], table.of(a)["hop_limit"], table.of(a)["ttl_exceeded"]) == (1, 64, exceeded)
    found = list(time_to_live.PROBE.judge(table))
    assert bool(sentences(found, Severity.WARN)) is bool(exceeded)
    assert bool(sentences(found, Severity.INFO)) is not bool(exceeded)


def test_routers_send_few_messages_so_those_that_the_kernel_counted_count():
    cluster, a, _, c = two_nodes()
    cluster.inside(a, sysctls={"ipv4.ip_default_ttl": "1"}, counters_delta={"Icmp.InTimeExcds": 3})
    cluster.test(a, "remote-pod", to=c, protocol="tcp", port=80, outcome="timeout")

    known = facts_of(cluster.evidence(), time_to_live.PROBE).of(a)
    assert known["ttl_exceeded"] == ("something (3 messages of routers while the tests ran)",)


def test_usual_hops_are_not_worth_a_word():
    cluster, a, _, c = two_nodes()
    cluster.inside(a, sysctls={"ipv4.ip_default_ttl": "64", "ipv6.conf.eth0.hop_limit": "255"})
    cluster.sysctl("node-1", ipv4__ip_default_ttl="128")
    cluster.test(a, "remote-pod", to=c, outcome="EHOSTUNREACH", icmp="ttl-exceeded")

    assert list(time_to_live.PROBE.judge(facts_of(cluster.evidence(), time_to_live.PROBE))) == []


def test_a_nodes_own_packets_are_told_apart_from_its_pods():
    cluster, a, _, c = two_nodes()
    node = facts.node("node-1")
    cluster.sysctl("node-1", ipv4__ip_default_ttl="1")
    cluster.test(node, "remote-pod", to=c, outcome="EHOSTUNREACH", icmp="ttl-exceeded", icmp_from="172.30.0.12")
    cluster.test(a, "remote-pod", to=c)
    table = facts_of(cluster.evidence(), time_to_live.PROBE)

    assert (table.of(node)["ttl"], table.of(node)["ttl_exceeded"]) == (1, ("shop/c (by 172.30.0.12)",))
    assert table.of(a)["ttl_exceeded"] == ()
    assert "ttl" not in table.of(a)
