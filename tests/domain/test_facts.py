"""Facts are observed, or unobserved, or nobody's: the last is a mistake in the code and says so."""

import pytest

from bot.domain.facts import (
    FactBuilder,
    FactSpec,
    FactTable,
    Flow,
    Relations,
    Subject,
    SubjectKind,
    UndeclaredFactError,
    node,
    pair,
)

POD, OTHER = Subject(SubjectKind.POD, "shop/a"), Subject(SubjectKind.POD, "shop/b")


def built() -> FactTable:
    specs = [FactSpec(name=f"pod.{key}", type="bool", doc="For the test.") for key in ("is_up", "is_lit")]
    builder = FactBuilder(specs)
    builder.set(POD, "is_up", value=True)
    builder.miss(POD, "is_lit", "it was dark")
    return builder.build(Relations())


def test_a_declared_fact_without_a_value_is_unknown() -> None:
    assert built().of(POD).get("is_lit") is None
    assert "is_lit" not in built().of(POD)
    assert built().of(OTHER).get("is_up") is None


@pytest.mark.parametrize("subject", [POD, OTHER])
def test_reading_what_no_probe_declares_raises(subject: Subject) -> None:
    known = built().of(subject)

    with pytest.raises(UndeclaredFactError, match=r"pod\.is_upp"):
        known.get("is_upp")
    with pytest.raises(UndeclaredFactError):
        _ = "is_upp" in known
    with pytest.raises(UndeclaredFactError):
        known["is_upp"]
    with pytest.raises(UndeclaredFactError):
        _ = known.keys() & {"is_up", "is_upp"}
    assert known.keys() & {"is_up", "is_lit"} == ({"is_up"} if subject == POD else set())


def test_flows_are_values_for_judges_and_strings_for_rules() -> None:
    builder = FactBuilder([FactSpec(name="pod.failing", type="list", doc="For the test.")])
    builder.set_flows(POD, "failing", [(POD, OTHER), (POD, OTHER), (POD, None), (OTHER, POD)], most=2)
    table = builder.build(Relations(node_of_pod={POD: node("node-1")}))

    assert table.of(POD)["failing"] == ("shop/a>shop/b", "shop/a>")
    assert table.flows_of(POD, "failing") == (
        Flow(source=POD, target=OTHER, source_node=node("node-1")),
        Flow(source=POD, target=None, source_node=node("node-1")),
    )
    assert table.flows_of(OTHER, "failing") == ()


def test_the_ends_of_a_pair() -> None:
    assert pair("node-1", "node-2").ends == (node("node-1"), node("node-2"))
