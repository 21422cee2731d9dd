"""Ladders of packet sizes, and what each shape means."""

from dataclasses import replace
from typing import Any

import pytest

from bot.agent.report import MtuStep
from bot.domain import facts
from bot.domain.facts import FactTable
from bot.domain.finding import Finding, Severity, SymptomKind
from bot.probes import path_mtu
from bot.probes.path_mtu import Ladder, read_ladder
from tests.probes.build import World, facts_of, sentences, two_nodes

SIZES = (1280, 1400, 1450, 1451, 1500, 1600)
MARKS: dict[str, Any] = {".": "ok", "x": "timeout", "L": "too-big-local", "F": "frag-needed", "?": "error"}


def steps(marks: str) -> tuple[MtuStep, ...]:
    return tuple(MtuStep(size_bytes=size, outcome=MARKS[mark]) for size, mark in zip(SIZES, marks, strict=True))


@pytest.mark.parametrize(
    ("marks", "expected"),
    [
        ("....LL", Ladder("ok", 1451, None)),
        ("...LLL", Ladder("ok", 1450, None)),
        ("..xxLL", Ladder("black-hole", 1400, 1450)),
        ("..FFLL", Ladder("frag-needed", 1400, None)),
        (".x..LL", Ladder("ok", 1451, None)),
        ("xxxxxx", None),
        ("??????", None),
        (".xxx??", Ladder("black-hole", 1280, 1400)),
    ],
)
def test_shapes(marks: str, expected: Ladder | None):
    assert read_ladder(steps(marks)) == expected


def test_the_order_of_steps_does_not_matter():
    assert read_ladder(reversed(steps("..xxLL"))) == Ladder("black-hole", 1400, 1450)
    assert read_ladder(()) is None


def judged(world: World) -> tuple[FactTable, list[Finding]]:
    known = facts_of(world.evidence(), path_mtu.PROBE)
    return known, list(path_mtu.PROBE.judge(known))


def climb(world: World, source: facts.Subject, target: facts.Subject, marks: str) -> None:
    purpose = "node" if target.kind is facts.SubjectKind.NODE else "remote-pod"
    world.test(source, purpose, to=target, protocol="mtu", mtu_steps=steps(marks))


PAIR = facts.pair("node-1", "node-2")


def test_what_gets_through_everywhere_passes():
    world, a, _, c = two_nodes()
    climb(world, a, c, "...LLL")
    climb(world, c, a, "...LLL")

    known, findings = judged(world)

    assert known.of(PAIR).items() >= {"mtu": "ok", "largest_ok_bytes": 1450, "mtu_differs": False}.items()
    assert known.of(facts.node("node-1")).items() >= {"uplink_mtu_bytes": 1500, "pod_mtu_bytes": 1450}.items()
    assert sentences(findings) == [
        "Between pods of different nodes, packets of up to 1450 bytes get through in all 2 directions tried."
    ]


def test_a_black_hole_in_one_direction():
    world, a, _, c = two_nodes()
    climb(world, a, c, "..xLLL")
    climb(world, c, a, "...LLL")
    climb(world, facts.node("node-1"), facts.node("node-2"), "......")

    known, findings = judged(world)

    assert known.of(PAIR).items() >= {"mtu": "black-hole", "largest_ok_bytes": 1400, "first_lost_bytes": 1450}.items()
    assert known.of(facts.node("node-1"))["node_mtu"] == "ok"
    failure = findings[0]
    assert failure.severity is Severity.FAIL
    assert failure.sentence == (
        "From pods on node-1 to pods on node-2, packets of 1450 bytes and more are lost silently; 1400 bytes get "
        "through. Between the nodes themselves all sizes get through."
    )
    assert failure.symptom
    assert (failure.symptom.kind, failure.symptom.subject) == (SymptomKind.LARGE_PACKETS_LOST, PAIR)


def test_a_router_that_says_so():
    world, a, _, c = two_nodes()
    climb(world, a, c, "..FLLL")

    _, findings = judged(world)

    assert sentences(findings, Severity.FAIL) == []
    assert sentences(findings, Severity.WARN) == [
        (
            'From pods on node-1 to pods on node-2, a router answers "fragmentation needed" above 1400 bytes: '
            "this works "
            "while nobody filters ICMP."
        )
    ]


def test_the_worst_of_several_ladders_counts():
    world, a, b, c = two_nodes()
    climb(world, a, c, "...LLL")
    climb(world, b, c, "..xLLL")

    assert judged(world)[0].of(PAIR)["mtu"] == "black-hole"


def test_where_nothing_gets_through_sizes_are_unknown():
    world, a, _, c = two_nodes()
    climb(world, a, c, "xxxxLL")

    known, findings = judged(world)

    assert "mtu" not in known.of(PAIR)
    assert known.why_unobserved(PAIR, "mtu") == "not even the smallest packet got through"
    assert findings == []


def test_nodes_of_different_mtu():
    world, *_ = two_nodes()
    links = tuple(replace(link, mtu=9000) if link.name == "eth0" else link for link in world.roots["node-2"].links)
    world.root("node-2", links=links)

    known, findings = judged(world)

    assert known.of(PAIR)["mtu_differs"] is True
    assert sentences(findings, Severity.INFO) == [
        "The uplink MTU is not the same on all nodes: 1500 bytes on node-1; 9000 bytes on node-2."
    ]


def test_packets_that_needed_fragmenting():
    world, *_ = two_nodes()
    world.root("node-1", counters={"Ip.FragFails": 4}, counters_delta={"Ip.FragFails": 3})

    known, findings = judged(world)

    assert known.of(facts.node("node-1"))["fragfails_delta"] == 3
    assert "fragfails_delta" not in known.of(facts.node("node-2"))
    assert sentences(findings, Severity.INFO) == ["3 packets needed fragmenting on node-1 and forbade it."]
