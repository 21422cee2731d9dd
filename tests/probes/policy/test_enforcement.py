"""What packets show of policies: a denied connection that is answered proves that nobody enforces them there."""

import pytest

from bot.domain.facts import CLUSTER, Subject, pair
from bot.domain.finding import Severity
from bot.probes import network_policies, pod_matrix
from bot.probes.policy.enforcement import allowed, enforces_policy
from tests.probes.build import World, facts_of, sentences, two_nodes
from tests.probes.test_network_policies import policy


def closed(world: World) -> None:
    """Every pod of the namespace is isolated for ingress, nobody is let in."""
    world.snapshot_fields["network_policies"] = (policy("deny-all"),)


def dialled(world: World, source: Subject, target: Subject, *, passes: bool) -> None:
    purpose = "local-pod" if world.pods[source].spec.node_name == world.pods[target].spec.node_name else "remote-pod"
    world.test(source, purpose, to=target, protocol="tcp", port=8080, outcome="ok" if passes else "timeout")


def denies(world: World, source: Subject, target: Subject) -> bool:
    return allowed(world.evidence(), source, target, 8080, "tcp").is_denied


@pytest.mark.parametrize("known", [None, True, False])
def test_without_a_denied_connection_that_passes_the_presumption_holds(*, known: bool | None):
    world, a, _, c = two_nodes("flannel")
    world.enforces_policy = known
    closed(world)
    dialled(world, a, c, passes=False)

    assert enforces_policy(world.evidence()) is known
    assert denies(world, a, c) is (known is not False)


def test_one_denied_connection_that_passes_between_nodes_decides_where_nothing_is_known():
    world, a, b, c = two_nodes("flannel")
    world.enforces_policy = None
    closed(world)
    dialled(world, a, c, passes=True)
    dialled(world, c, b, passes=False)

    assert enforces_policy(world.evidence()) is False
    assert not denies(world, c, b)
    known = facts_of(world.evidence(), pod_matrix.PROBE)
    assert known.of(pair("node-2", "node-1"))["flows_denied"] == 0


def test_within_a_node_it_speaks_of_flows_within_nodes_alone():
    world, a, b, c = two_nodes("flannel")
    world.enforces_policy = None
    closed(world)
    dialled(world, a, b, passes=True)

    assert enforces_policy(world.evidence()) is None
    assert not denies(world, b, a)
    assert denies(world, a, c)


def test_where_the_cni_enforces_it_speaks_of_the_end_that_should_have_stopped_it():
    world, a, b, c = two_nodes("calico")
    closed(world)
    dialled(world, a, c, passes=True)

    assert enforces_policy(world.evidence()) is True
    assert not denies(world, b, c)
    assert denies(world, c, a)


def test_an_echo_that_is_answered_shows_nothing():
    world, a, _, c = two_nodes("flannel")
    world.enforces_policy = None
    closed(world)
    world.test(a, "remote-pod", to=c, protocol="icmp")

    assert enforces_policy(world.evidence()) is None
    assert denies(world, a, c)


@pytest.mark.parametrize(
    ("known", "by"),
    [
        (True, "Policies that deny a connection do not stop it: {}."),
        (None, "NetworkPolicies are not enforced here: the existing ones have no effect ({})."),
    ],
)
def test_a_denied_connection_that_passes_is_told(*, known: bool | None, by: str):
    world, a, _, c = two_nodes("flannel")
    world.enforces_policy = known
    closed(world)
    dialled(world, a, c, passes=True)

    table = facts_of(world.evidence(), network_policies.PROBE)

    passed = "shop/a reaches shop/c on TCP 8080 in spite of shop/deny-all"
    assert table.of(CLUSTER)["denied_but_passed"] == (passed,)
    assert sentences(list(network_policies.PROBE.judge(table)), Severity.WARN) == [by.format(passed)]
