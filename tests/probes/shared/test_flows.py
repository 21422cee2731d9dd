"""Which of our tests count as flows."""

from bot.agent.report import Outcome
from bot.domain import facts
from bot.domain.facts import Subject
from bot.probes.shared.flows import tried_flows
from tests.probes.build import World, two_nodes


def pinged(world: World, target: Subject, *sources: Subject, outcome: Outcome = "timeout") -> None:
    for source in sources:
        purpose = "local-pod" if world.pods[source].spec.node_name == "node-1" else "remote-pod"
        world.test(source, purpose, to=target, outcome=outcome)


def dialled(world: World, source: Subject, target: Subject, outcome: Outcome = "ok") -> None:
    world.test(source, "endpoint", to=target, protocol="tcp", port=8080, outcome=outcome)


def failed(world: World) -> list[tuple[Subject, Subject, str]]:
    return [(each.source, each.target, each.protocol) for each in tried_flows(world.evidence()) if each.reach != "ok"]


def test_a_pod_that_answers_connections_and_no_ping_is_reached():
    world, a, b, c = two_nodes()
    pinged(world, a, b, c)
    dialled(world, c, a)

    assert failed(world) == []


def test_a_firewall_between_two_nodes_that_takes_only_icmp_hurts_nobody():
    world, a, b, c = two_nodes()
    for target in (a, b):
        pinged(world, target, c)
        world.test(facts.node("node-1"), "local-pod", to=target)
        dialled(world, c, target)

    assert failed(world) == []


def test_a_ping_that_is_lost_where_others_are_answered_counts():
    world, a, b, c = two_nodes()
    pinged(world, a, b)
    pinged(world, a, c, outcome="ok")
    dialled(world, b, a)

    assert failed(world) == [(b, a, "icmp")]


def test_pings_count_where_connections_fail_or_were_not_tried():
    world, a, b, c = two_nodes()
    pinged(world, a, b, c)

    assert len(failed(world)) == 2

    dialled(world, b, a)
    dialled(world, c, a, "timeout")

    assert len(failed(world)) == 3
