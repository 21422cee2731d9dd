"""Every mechanism by which a kernel loses packets: how far they came, in which direction they died, and of what.

What `tests.agent.test_trace` shows of instruments this shows of the judgement: place, direction and the object at
fault, named as it is written.
"""

from collections.abc import Generator, Mapping, Sequence
from fnmatch import fnmatchcase

import pytest

from tests.agent.fate_mechanisms import Mechanism, done, mechanisms, server_of
from tests.agent.nodes import Node, bridge_node, calico_node, is_root, two_nodes, why_no_namespaces
from tests.agent.trace_lab import fate_in, flow

pytestmark = [
    pytest.mark.long,
    pytest.mark.lab,
    pytest.mark.root,
    pytest.mark.skipif(bool(why_no_namespaces()), reason=why_no_namespaces() or "-"),
    pytest.mark.skipif(not is_root(), reason="the tap is root's"),
]
KNOWN = mechanisms()
SERVER = {"tcp": [7001], "udp": [7001], "full": [7008], "deaf": [7006]}


def each(named: Mapping[str, Mechanism]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("mechanism", named.values(), ids=named.keys())


@pytest.fixture
def routed() -> Generator[Node]:
    with calico_node([{}, SERVER]) as made:
        yield made


@pytest.fixture
def bridged() -> Generator[Node]:
    with bridge_node([{}, SERVER]) as made:
        yield made


@pytest.fixture
def crowded() -> Generator[Node]:
    with bridge_node([{}, SERVER, {}]) as made:
        yield made


@pytest.fixture
def tunnelled() -> Generator[tuple[Node, Node]]:
    with two_nodes([SERVER]) as made:
        yield made


@each(KNOWN["routed"])
def test_between_pods_that_are_routed(routed: Node, mechanism: Mechanism) -> None:
    assert_is_named([routed], mechanism)


@each(KNOWN["bridged"])
def test_between_pods_on_a_bridge(bridged: Node, mechanism: Mechanism) -> None:
    assert_is_named([bridged], mechanism)


@each(KNOWN["crowded"])
def test_where_a_bridge_may_choose_another_pod(crowded: Node, mechanism: Mechanism) -> None:
    assert_is_named([crowded], mechanism)


@each(KNOWN["tunnelled"])
def test_between_nodes(tunnelled: tuple[Node, Node], mechanism: Mechanism) -> None:
    assert_is_named(tunnelled, mechanism)


def assert_is_named(nodes: Sequence[Node], mechanism: Mechanism) -> None:
    with done(mechanism, nodes):
        fate = fate_in(nodes, flow(nodes[0].pods[0], server_of(nodes).ip, **mechanism.flow))

    assert fate.lost
    assert (fate.leg, fate.hop) == (mechanism.leg, mechanism.hop)
    assert fnmatchcase(fate.died_at or fate.last_seen, mechanism.seen), fate
    assert fnmatchcase(fate.culprit, mechanism.culprit), fate.culprit
