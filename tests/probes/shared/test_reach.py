"""Tests in one word, and many words in one."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.agent.report import Test
from bot.domain import facts
from bot.probes.shared.reach import REACH_VALUES, aggregate, in_words, reach_of, reach_of_all, target_of
from tests.probes.build import two_nodes


def tried(**fields: Any) -> Test:
    values: dict[str, Any] = {"source": "node", "purpose": "node", "protocol": "icmp", "ip": "172.30.0.12"}
    return Test(**(values | fields))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"outcome": "ok", "ok": 1}, "ok"),
        ({"outcome": "timeout"}, "timeout"),
        ({"outcome": "ECONNREFUSED"}, "refused"),
        ({"outcome": "reset"}, "reset"),
        ({"outcome": "EHOSTUNREACH", "latency_ms": 0.2}, "host-unreachable"),
        ({"outcome": "EHOSTUNREACH", "latency_ms": 1500.0}, "host-unreachable-late"),
        ({"outcome": "EHOSTUNREACH", "latency_ms": 3070.0}, "host-unreachable-late"),
        ({"outcome": "ENETUNREACH"}, "net-unreachable"),
        ({"outcome": "EINVAL"}, "invalid"),
        ({"outcome": "EACCES"}, "denied"),
        ({"outcome": "EPERM"}, "denied"),
        ({"outcome": "ENOBUFS"}, "error"),
        ({"outcome": "skipped"}, None),
        ({"outcome": "timeout", "tries": 4, "ok": 1}, "mixed"),
        ({"outcome": "timeout", "tries": 3, "outcomes": {"timeout": 1, "ECONNREFUSED": 2}}, "refused"),
        ({"outcome": "timeout", "tries": 2, "outcomes": {"timeout": 1, "ECONNREFUSED": 1}}, "timeout"),
        # The latency is that of the last outcome, so it says nothing about a more frequent one.
        (
            {"outcome": "timeout", "latency_ms": 3000.0, "tries": 3, "outcomes": {"timeout": 1, "EHOSTUNREACH": 2}},
            "host-unreachable",
        ),
    ],
)
def test_one_test_is_one_word(fields: dict[str, Any], expected: str | None) -> None:
    assert reach_of(tried(**fields)) == expected


def test_a_source_that_tells_itself_has_asked_in_vain_for_its_next_hop() -> None:
    """An earlier packet may have asked already: the error comes at once, but from the source's own address."""
    test = tried(outcome="EHOSTUNREACH", latency_ms=0.3, icmp="host-unreachable", icmp_from="10.42.1.10")

    assert reach_of(test, "10.42.1.10") == "host-unreachable-late"
    assert reach_of(test, "10.42.1.11") == "host-unreachable"
    assert reach_of(test) == "host-unreachable"


@pytest.mark.parametrize(
    ("reaches", "expected"),
    [
        ([], None),
        ([None, None], None),
        (["ok", "ok"], "ok"),
        (["ok", None], "ok"),
        (["ok", "timeout"], "mixed"),
        (["mixed", "timeout"], "mixed"),
        (["timeout", "refused", "refused"], "refused"),
        (["refused", "timeout"], "refused"),
        (["host-unreachable", "timeout", "timeout"], "timeout"),
    ],
)
def test_many_words_are_one(reaches: list[str | None], expected: str | None) -> None:
    assert aggregate(reaches) == expected


@given(st.lists(st.sampled_from(REACH_VALUES)))
def test_the_order_of_tests_does_not_matter(reaches: list[str]) -> None:
    assert aggregate(reaches) == aggregate(reversed(reaches)) == aggregate(sorted(reaches))


def test_skipped_tests_are_no_tests() -> None:
    assert reach_of_all([tried(outcome="skipped")]) is None
    assert reach_of_all([tried(outcome="skipped"), tried(outcome="timeout")]) == "timeout"


@pytest.mark.parametrize("reach", REACH_VALUES)
def test_each_word_has_a_sentence(reach: str) -> None:
    assert f"a test {in_words(reach)}".count(" ") >= 2


def test_a_target_is_found_by_its_name_and_else_by_its_address() -> None:
    cluster, a, _, c = two_nodes()
    cluster.pod("shop/host", "node-2", host_network=True)
    evidence = cluster.evidence()

    by_name = tried(purpose="remote-pod", ip="10.42.2.10", name="shop/c:8080", node="node-2")
    by_address = tried(purpose="endpoint", ip="10.42.1.10", name="10.42.1.10")
    to_node = tried(purpose="node", ip="172.30.0.12", name="whatever")
    to_service = tried(purpose="cluster-ip", ip="10.43.0.9", name="shop/front:80")

    to_dns_pod = tried(purpose="dns-pod", ip="10.42.2.10", name="front.shop.svc", service="shop/c", protocol="dns-udp")
    to_dns = tried(purpose="dns-service", name="front.shop.svc", service="kube-system/kube-dns", protocol="dns-udp")

    assert target_of(evidence, by_name) == c
    assert target_of(evidence, to_dns_pod) == c
    assert target_of(evidence, to_dns) == facts.service("kube-system", "kube-dns")
    assert target_of(evidence, by_address) == a
    assert target_of(evidence, to_node) == facts.node("node-2")
    assert target_of(evidence, to_service) == facts.service("shop", "front")
    assert target_of(evidence, tried(purpose="outside", ip="198.51.100.10")) is None
    assert target_of(evidence, tried(purpose="endpoint", ip="10.9.9.9", name="10.9.9.9")) is None
    assert target_of(evidence, tried(purpose="cluster-ip", name="nonsense")) is None
