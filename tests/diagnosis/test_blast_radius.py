"""Who is affected, and what is said of them: true of each pod that is counted."""

from __future__ import annotations

from typing import Any

import pytest

from bot.diagnosis.blast_radius import blast_radius
from bot.diagnosis.knowledge import Knowledge, load_knowledge
from bot.domain import facts
from bot.domain.cause import Confidence, Differential, Explanation
from bot.domain.facts import FactTable, Flow, Subject
from bot.domain.finding import Hop, Symptom, SymptomKind
from bot.domain.report import BlastRadius
from tests.probes.build import FakeCluster, table

A, B, C, D = (facts.pod("shop", name) for name in "abcd")
NODE_1 = facts.node("node-1")
SERVICE = facts.service("shop", "db")
THERE, BACK = facts.pair("node-1", "node-2"), facts.pair("node-2", "node-1")


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return load_knowledge()


def four_pods() -> FakeCluster:
    """node-1 with shop/a and shop/b, node-2 with shop/c and shop/d."""
    cluster = FakeCluster("flannel")
    for number, pods in ((1, "ab"), (2, "cd")):
        cluster.node(f"node-{number}")
        for name in pods:
            cluster.pod(f"shop/{name}", f"node-{number}")
    return cluster


def symptom(kind: SymptomKind, subject: Subject, hop: Hop, *flows: tuple[Subject, Subject]) -> Symptom:
    ends = tuple(Flow(source=source, target=target) for source, target in flows)
    return Symptom(kind=kind, subject=subject, hop=hop, flows=ends)


def cause(subject: Subject, *explains: Symptom) -> Differential:
    named: dict[str, Any] = {"id": "c", "title": "C", "taxonomy": ("N1",), "mechanism": "", "hop": "node"}
    return Differential(
        selected=(Explanation(**named, confidence=Confidence.CONFIRMED, subjects=(subject,), explains=explains),)
    )


def radius(
    knowledge: Knowledge, *symptoms: Symptom, found: Differential | None = None, known: FactTable | None = None
) -> BlastRadius:
    return blast_radius(four_pods().evidence(), known or table(), knowledge, found or Differential(), symptoms)


def names(pods: tuple[str, ...]) -> set[str]:
    return {name.removeprefix("shop/") for name in pods}


def test_the_pod_that_is_in_all_that_fails_is_cut_off_and_nobody_else(knowledge: Knowledge) -> None:
    found = radius(
        knowledge,
        symptom(SymptomKind.LOCAL_PODS_UNREACHABLE, A, "node", (A, B)),
        symptom(SymptomKind.CROSS_NODE_UNREACHABLE, A, "node", (A, C), (C, A), (D, A)),
        symptom(SymptomKind.SERVICE_UNREACHABLE, SERVICE, "service", (A, D)),
        symptom(SymptomKind.PODS_NOT_READY, A, "application"),
    )

    assert (names(found.cut_off_names), names(found.waiting_names)) == ({"a"}, {"c", "d"})
    assert found.effect == "does not reach its neighbours"


def test_pods_without_a_gateway_are_told_and_others_do_not_reach_them(knowledge: Knowledge) -> None:
    found = radius(
        knowledge,
        Symptom(kind=SymptomKind.GATEWAY_SILENT, subject=NODE_1, hop="gateway", flows=(Flow(source=A), Flow(source=B))),
        symptom(SymptomKind.CROSS_NODE_UNREACHABLE, THERE, "gateway", (A, C), (B, C)),
        symptom(SymptomKind.CROSS_NODE_UNREACHABLE, BACK, "gateway", (C, A), (D, B)),
    )

    assert (names(found.cut_off_names), names(found.waiting_names)) == ({"a", "b"}, {"c", "d"})
    assert found.effect == "have no gateway"


def test_of_two_nodes_that_lose_each_other_neither_waits(knowledge: Knowledge) -> None:
    found = radius(
        knowledge,
        symptom(SymptomKind.CROSS_NODE_UNREACHABLE, THERE, "overlay", (A, C), (B, D)),
        symptom(SymptomKind.CROSS_NODE_UNREACHABLE, BACK, "overlay", (C, A), (D, B)),
        symptom(SymptomKind.DNS_FAILING, A, "dns", (A, C)),
    )

    assert (found.cut_off, found.waiting, found.effect) == (4, 0, "do not reach other nodes")


def test_what_does_not_happen_to_all_of_them_is_said_of_none(knowledge: Knowledge) -> None:
    found = radius(
        knowledge,
        symptom(SymptomKind.OUTSIDE_UNREACHABLE, A, "node"),
        symptom(SymptomKind.DNS_FAILING, C, "dns"),
    )

    assert (found.cut_off, found.effect) == (2, "are affected")


@pytest.mark.parametrize(
    ("ping", "struck", "effect"),
    [
        ("mixed", {"a"}, "does not reach some pods of other nodes"),
        ("timeout", {"a", "b"}, "do not reach other nodes"),
    ],
)
def test_a_rule_that_takes_some_flows_of_a_node_concerns_those_alone(
    knowledge: Knowledge, ping: str, struck: set[str], effect: str
) -> None:
    lost = symptom(SymptomKind.CROSS_NODE_UNREACHABLE, THERE, "node", (A, C))
    known = table(pair={"node-1>node-2": {"pod_ping": ping}})

    found = radius(knowledge, lost, found=cause(NODE_1, lost), known=known)

    assert (names(found.cut_off_names), found.effect) == (struck, effect)


def test_a_node_s_pods_that_do_not_use_the_service_are_not_counted(knowledge: Knowledge) -> None:
    lost = symptom(SymptomKind.SERVICE_UNREACHABLE, SERVICE, "service", (A, C))
    cluster = four_pods()
    cluster.pod("other/x", "node-1")

    found = blast_radius(cluster.evidence(), table(), knowledge, cause(NODE_1, lost), [lost])

    assert "other/x" not in found.pod_names
    assert found.effect == "does not reach Service shop/db"


def test_an_unready_pod_counts_for_itself(knowledge: Knowledge) -> None:
    unready = symptom(SymptomKind.PODS_NOT_READY, A, "application")

    found = radius(knowledge, unready, found=cause(NODE_1, unready))

    assert (names(found.cut_off_names), found.effect) == ({"a"}, "is not ready")


def test_a_pod_that_shares_the_blamed_node_s_network_is_cut_off_and_its_neighbours_are_not(
    knowledge: Knowledge,
) -> None:
    cluster = four_pods()
    edge = cluster.pod("shop/edge", "node-1", host_network=True)
    lost = symptom(SymptomKind.OUTSIDE_UNREACHABLE, NODE_1, "node", (edge, facts.node("node-2")))

    found = blast_radius(cluster.evidence(), table(), knowledge, cause(NODE_1, lost), (lost,))

    assert (names(found.cut_off_names), found.waiting) == ({"edge"}, 0)
    assert found.effect == "does not reach a node that it dials"
