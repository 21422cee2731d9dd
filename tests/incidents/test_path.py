"""The drawn path: what is marked broken is where the leading cause stands, on whichever end of the flow that is."""

import pytest

from bot.domain.cause import Differential, Explanation
from bot.domain.facts import Rung, Subject, SubjectKind
from bot.domain.finding import Flow, Hop, Symptom, SymptomKind
from bot.domain.report import Confidence, PathHop, Verdict
from bot.incidents.path import packet_path
from tests.probes.build import two_nodes


def drawn(hop: Hop, *places: Subject, is_looked_at: bool = True) -> tuple[PathHop, ...]:
    """The path of a flow from shop/a on node-1 to shop/c on node-2, blamed on some places."""
    world, source, _, target = two_nodes()
    blamed = Explanation(
        id="x", title="x", taxonomy=(), mechanism="", hop=hop, confidence=Confidence.CONFIRMED, subjects=places
    )
    symptom = Symptom(
        kind=SymptomKind.CROSS_NODE_UNREACHABLE, subject=source, hop=hop, flows=(Flow(source=source, target=target),)
    )
    verdict = Verdict(status="broken", cause="x", confidence="confirmed", hop=hop)
    evidence = world.evidence() if is_looked_at else world.evidence(access=Rung.API, reports={})
    return packet_path(evidence, verdict, Differential(selected=(blamed,)), (symptom,))


def node(name: str) -> Subject:
    return Subject(SubjectKind.NODE, name)


def broken(path: tuple[PathHop, ...]) -> list[str]:
    return [hop.name for hop in path if hop.state == "broken"]


@pytest.mark.parametrize("name", ["node-1", "node-2"])
def test_the_node_that_is_blamed_is_the_one_marked(name: str) -> None:
    assert broken(drawn("node", node(name))) == [name]


def test_a_gateway_is_that_of_the_pod_on_the_blamed_node() -> None:
    assert [hop.name for hop in drawn("gateway", node("node-1"))] == ["shop/a", "169.254.1.1", "node-1"]
    assert [hop.name for hop in drawn("gateway", node("node-2"))] == ["shop/c", "169.254.1.1", "node-2"]


def test_an_overlay_breaks_between_the_nodes() -> None:
    path = drawn("overlay", Subject(SubjectKind.PAIR, "node-1>node-2"))

    assert [hop.name for hop in path] == ["shop/a", "169.254.1.1", "node-1", "overlay", "node-2", "shop/c"]
    assert [hop.state for hop in path] == ["ok", "ok", "ok", "broken", "unknown", "unknown"]


def test_hops_at_which_nobody_looked_are_not_called_good() -> None:
    assert [hop.state for hop in drawn("service", is_looked_at=False)] == ["unknown"] * 3 + ["broken", "unknown"]
