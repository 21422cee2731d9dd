"""A pod's loopback on the real kernel, from the agent's connections to the facts."""

from collections.abc import Generator

import pytest

from bot.agent.hosts import localhost_in
from bot.domain import facts
from bot.domain.facts import Value
from bot.probes import loopback
from tests.agent.evidence import evidence_of
from tests.agent.nodes import Node, calico_node, is_root, why_no_namespaces
from tests.probes.build import facts_of

POD = facts.pod("shop", "pod-0-on-1")


@pytest.fixture(scope="module")
def node() -> Generator[Node]:
    """Each test takes back what it broke."""
    with calico_node([{"tcp": [7001]}]) as made:
        yield made


def seen(node: Node) -> tuple[Value, Value, Value]:
    found = facts_of(evidence_of([node]), loopback.PROBE).of(POD)
    return found["lo"], found["lo_lacks"], found["self_unreached"]


@pytest.mark.lab
@pytest.mark.skipif(bool(why_no_namespaces()), reason=why_no_namespaces() or "-")
@pytest.mark.skipif(not is_root(), reason="this process enters the namespaces itself")
def test_what_the_kernel_does_without_lo_and_without_its_address(node: Node) -> None:
    pod = node.pods[0]
    ways = ("127.0.0.1:7001", f"{pod.ip}:7001")
    before = seen(node)
    try:
        node.namespaces.ip(pod.number, "link set lo down")
        down = seen(node)
        node.namespaces.ip(pod.number, "link set lo up")
        node.namespaces.ip(pod.number, "addr del 127.0.0.1/8 dev lo")
        lacking = seen(node)
    finally:
        node.namespaces.ip(pod.number, "link set lo up")
        node.namespaces.ip(pod.number, "addr replace 127.0.0.1/8 dev lo")

    assert before == ("up", (), ())
    assert down == ("down", (), ways)
    assert lacking == ("up", ("127.0.0.1",), ways[:1])
    assert seen(node) == before


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("127.0.0.1 localhost\n::1 localhost ip6-localhost\n", ("127.0.0.1", "::1")),
        ("127.0.0.1\tLocalHost # usual\n", ("127.0.0.1",)),
        ("# 127.0.0.1 localhost\n10.0.0.5 db localhost.example\n", ()),
    ],
)
def test_what_a_hosts_file_says_of_localhost(text: str, addresses: tuple[str, ...]) -> None:
    assert localhost_in(text) == addresses
