"""What an expression may say, and that every mistake in it is found before anything is evaluated."""

import threading
from collections.abc import Mapping

import pytest

from bot.domain.facts import FactSpec, SubjectKind, Value
from bot.rules.checking import Vocabulary
from bot.rules.expression import EvaluationError, Expression, Language
from bot.rules.syntax import ExpressionError

SPECS = (
    FactSpec(name="pod.gateway_arp", type="str", doc="", values=("answered", "silent")),
    FactSpec(name="pod.own_dev", type="str", doc=""),
    FactSpec(name="pod.is_young", type="bool", doc=""),
    FactSpec(name="pod.delay", type="int", doc=""),
    FactSpec(name="pod.names", type="list", doc=""),
    FactSpec(name="pod.states", type="list", doc="", values=("up", "down")),
    FactSpec(name="node.ip_forward", type="bool", doc=""),
    FactSpec(name="node.ratio", type="float", doc=""),
    FactSpec(name="pair.mtu", type="str", doc="", values=("ok", "black-hole")),
)
POD = Language(Vocabulary(SPECS), SubjectKind.POD)


def outcome(source: str, values: Mapping[str, Value]) -> bool | None:
    return POD.compile(source).evaluate(lambda variable, key: values.get(f"{variable}.{key}"))


@pytest.mark.parametrize(
    ("source", "values", "expected"),
    [
        ('pod.gateway_arp == "silent"', {"pod.gateway_arp": "silent"}, True),
        ('pod.gateway_arp == "silent"', {}, None),
        ('pod.gateway_arp == "silent" || pod.is_young', {"pod.is_young": True}, True),
        ('pod.gateway_arp == "silent" && pod.is_young', {"pod.is_young": False}, False),
        ('pod.gateway_arp == "silent" && pod.is_young', {"pod.is_young": True}, None),
        ("!pod.is_young", {}, None),
        ("pod.is_young ? node.ip_forward : pod.delay > 3", {"pod.is_young": True, "node.ip_forward": False}, False),
        ("pod.is_young ? node.ip_forward : pod.delay > 3", {"pod.delay": 4}, None),
        ('pod.gateway_arp in ["silent"]', {}, None),
        ('"a" in pod.names', {"pod.names": ("a", "b")}, True),
        ('"a" in pod.names', {}, None),
        ("pod.names.size() > 1", {"pod.names": ("a", "b")}, True),
        ("size(pod.names) == 0", {"pod.names": ()}, True),
        ('pod.names.exists(one, one.contains("cali-"))', {"pod.names": ("ip/filter/cali-fw: drop",)}, True),
        ('pod.names.all(one, one == "a")', {"pod.names": ()}, True),
        ('pod.own_dev.startsWith("cali")', {"pod.own_dev": "cali1"}, True),
        ('pod.own_dev.matches("^cali[0-9]+$")', {"pod.own_dev": "cali12"}, True),
        ("node.ratio >= 0.95", {"node.ratio": 1}, True),
        ("pod.delay > -1", {"pod.delay": 0}, True),
        ('pod.own_dev == "it\\\'s \\"x\\""', {"pod.own_dev": 'it\'s "x"'}, True),
    ],
)
def test_an_unobserved_fact_is_neither_true_nor_false(
    source: str, values: Mapping[str, Value], expected: object
) -> None:
    assert outcome(source, values) is expected


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ('pod.gatway_arp == "silent"', "no probe observes pod.gatway_arp; did you mean gateway_arp?"),
        (
            'pod.gateway_arp == "slient"',
            "pod.gateway_arp is never 'slient': it is one of answered, silent; did you mean silent?",
        ),
        (
            'pod.gateway_arp in ["answerd"]',
            "pod.gateway_arp is never 'answerd': it is one of answered, silent; did you mean answered?",
        ),
        ('"upp" in pod.states', "pod.states is never 'upp': it is one of up, down; did you mean up?"),
        ('pair.mtu == "ok"', "a rule about a pod reads pod, node, cluster, not 'pair'"),
        ("nod.ip_forward", "a rule about a pod reads pod, node, cluster, not 'nod'; did you mean node?"),
        ("has(pod.is_young)", "has() is not available in rules: it would turn 'not observed' into false"),
        ("pod.names.exists(one, pod.is_young)", "the body of .exists() may read one only, not pod.is_young"),
        ("pod.delay == true", "pod.delay is a number and cannot be compared with True, a bool"),
        ('pod.own_dev > "a"', "> orders numbers, and pod.own_dev is a str"),
        ("pod.delay", "an expression must be a bool, and pod.delay is a number"),
        ("pod.delay && pod.is_young", "each side of && must be a bool, and pod.delay is a number"),
        ("pod.delay + 1 > 3", "'+ 1 > 3' cannot be read"),
        ("foo(pod.delay)", "there is no function 'foo': rules know size()"),
        ('pod.own_dev.startWith("x")', "there is no method 'startWith'"),
        ('pod.own_dev.matches("(")', "'(' is no regular expression"),
        ("pod", "'pod' alone is no value: write pod.fact"),
        ('pod["is_young"]', "'pod' alone is no value: write pod.fact"),
        ("pod.names[0]", "indexing is not available in rules"),
        ("true", "the expression reads no fact"),
        ("pod.is_young &&", "a value is expected before 'the end'"),
        ("(pod.is_young", "')' is expected before 'the end'"),
        ("pod.is_young pod.is_young", "'pod' is not expected here"),
        ("pod.is_young && " * 200 + "pod.is_young", "the expression is longer than 2000 characters"),
    ],
)  # fmt: skip
def test_a_mistake_is_found_when_loaded(source: str, sentence: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        POD.compile(source)

    assert str(caught.value).startswith(sentence)


def test_a_value_of_another_type_than_declared_is_an_error_not_unknown() -> None:
    """A probe that breaks its promise must not pass for one that saw nothing."""
    with pytest.raises(EvaluationError, match="cannot be evaluated"):
        outcome("pod.delay > 3", {"pod.delay": "many"})


def test_equal_values_of_other_types_do_not_share_a_result() -> None:
    expression = POD.compile("pod.is_young")

    assert expression.evaluate(lambda _variable, _key: True) is True
    with pytest.raises(EvaluationError):
        expression.evaluate(lambda _variable, _key: 1)


def test_references_name_each_fact_once_in_order() -> None:
    source = 'pod.is_young || node.ip_forward || pod.is_young || pod.names.exists(x, x == "a")'

    assert POD.compile(source).references == (("pod", "is_young"), ("node", "ip_forward"), ("pod", "names"))


def test_huge_counters_are_compared_all_the_same() -> None:
    """Counters come from a cluster: nothing bounds them."""
    assert outcome("pod.delay > 3", {"pod.delay": 2**80}) is True


def test_expressions_work_in_any_thread() -> None:
    expression: Expression = POD.compile("pod.is_young")
    results: list[bool | None] = []
    thread = threading.Thread(target=lambda: results.append(expression.evaluate(lambda _variable, _key: True)))
    thread.start()
    thread.join()

    assert results == [True]
