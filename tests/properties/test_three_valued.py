"""The library's CEL, as rules may use it, is Kleene's strong three-valued logic: held to a reference here."""

from collections.abc import Mapping

import hypothesis.strategies as st
from hypothesis import given, settings

from bot.domain.facts import FactSpec, SubjectKind, Value
from bot.rules.checking import Vocabulary
from bot.rules.expression import Language
from bot.rules.syntax import Binary, Bound, Call, Choice, Fact, Items, Lit, Macro, Node, Not, parse

WORDS = ("a", "b", "c")
SPECS = (
    *(FactSpec(name=f"pod.b{index}", type="bool", doc="") for index in range(4)),
    *(FactSpec(name=f"pod.s{index}", type="str", doc="") for index in range(2)),
    *(FactSpec(name=f"pod.n{index}", type="int", doc="") for index in range(2)),
    *(FactSpec(name=f"pod.f{index}", type="float", doc="") for index in range(2)),
    *(FactSpec(name=f"pod.l{index}", type="list", doc="") for index in range(2)),
)
POD = Language(Vocabulary(SPECS), SubjectKind.POD)

words = st.sampled_from(WORDS).map(lambda word: f'"{word}"')
numbers = st.sampled_from(("0", "1", "2", "-1", "1.5"))
string = st.sampled_from(("pod.s0", "pod.s1")) | words
number = st.sampled_from(("pod.n0", "pod.n1", "pod.f0", "pod.f1")) | numbers
lists = st.sampled_from(("pod.l0", "pod.l1"))
literal_list = st.lists(words, max_size=3).map(lambda items: f"[{', '.join(items)}]")
leaf = st.one_of(
    st.sampled_from(("pod.b0", "pod.b1", "pod.b2", "pod.b3", "true", "false")),
    st.tuples(string, st.sampled_from(("==", "!=")), string).map(" ".join),
    st.tuples(number, st.sampled_from(("==", "!=", "<", "<=", ">", ">=")), number).map(" ".join),
    st.tuples(string, st.just("in"), literal_list | lists).map(" ".join),
    st.tuples(lists, words).map(lambda pair: f'{pair[0]}.exists(x, x == {pair[1]} || x == "b")'),
    st.tuples(lists, words).map(lambda pair: f"{pair[0]}.all(x, x != {pair[1]})"),
    st.tuples(lists, numbers).map(lambda pair: f"size({pair[0]}) > {pair[1]}"),
    st.tuples(st.sampled_from(("pod.s0", "pod.s1")), words).map(lambda pair: f"{pair[0]}.startsWith({pair[1]})"),
)  # fmt: skip
formulas = st.recursive(
    leaf,
    lambda inner: st.one_of(
        inner.map(lambda one: f"!({one})"),
        st.tuples(inner, st.sampled_from(("&&", "||", "==", "!=")), inner).map(lambda t: f"({t[0]}) {t[1]} ({t[2]})"),
        # Without brackets: the checker's precedence must be the library's.
        st.tuples(leaf, st.sampled_from(("&&", "||")), leaf, st.sampled_from(("&&", "||")), leaf).map(" ".join),
        st.tuples(inner, inner, inner).map(lambda t: f"({t[0]}) ? ({t[1]}) : ({t[2]})"),
    ),
    max_leaves=12,
)
values = st.fixed_dictionaries(
    {},
    optional={
        **{f"b{index}": st.booleans() for index in range(4)},
        **{f"s{index}": st.sampled_from(WORDS) for index in range(2)},
        **{f"n{index}": st.integers(-2, 3) for index in range(2)},
        **{f"f{index}": st.sampled_from((0.0, 1.0, 1.5)) for index in range(2)},
        **{f"l{index}": st.lists(st.sampled_from(WORDS), max_size=3).map(tuple) for index in range(2)},
    },
)


def reference(  # noqa: C901, PLR0911 one case for each kind of node
    node: Node, facts: Mapping[str, Value], bound: Mapping[str, Value]
) -> Value | None:
    """Kleene's logic, written down again without the library. None is unknown."""
    match node:
        case Lit(value):
            return value
        case Bound(name):
            return bound[name]
        case Fact(_, key):
            return facts.get(key)
        case Items(items):
            return tuple(item.value for item in items if isinstance(item, Lit))
        case Not(operand):
            value = reference(operand, facts, bound)
            return None if value is None else not value
        case Choice(condition, then, otherwise):
            value = reference(condition, facts, bound)
            return None if value is None else reference(then if value else otherwise, facts, bound)
        case Binary(op, left, right):
            return binary(op, reference(left, facts, bound), reference(right, facts, bound))
        case Call(method, target, argument):
            value = reference(target, facts, bound)
            if value is None:
                return None
            assert isinstance(value, str | tuple)
            return len(value) if method == "size" else str(value).startswith(str(literal(argument)))
        case Macro(kind, target, name, body):
            value = reference(target, facts, bound)
            if value is None:
                return None
            assert isinstance(value, tuple)
            outcomes = [reference(body, facts, {name: item}) for item in value]
            return any(outcomes) if kind == "exists" else all(outcomes)


def binary(op: str, left: Value | None, right: Value | None) -> bool | None:
    if op == "&&":
        return False if left is False or right is False else None if None in (left, right) else True
    if op == "||":
        return True if left is True or right is True else None if None in (left, right) else False
    if left is None or right is None:
        return None
    if op == "in":
        assert isinstance(right, tuple)
        return left in right
    return compare(op, left, right)


def compare(op: str, left: Value, right: Value) -> bool:
    if op in {"==", "!="}:
        return (left == right) == (op == "==")
    assert isinstance(left, int | float)
    assert isinstance(right, int | float)
    return {"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[op]


def literal(node: Node | None) -> Value:
    assert isinstance(node, Lit)
    return node.value


@settings(max_examples=400, deadline=None)
@given(formulas.filter(lambda source: "pod." in source), values)
def test_cel_is_kleenes_logic(source: str, facts: Mapping[str, Value]) -> None:
    found = POD.compile(source).evaluate(lambda _, key: facts.get(key))

    assert found is reference(parse(source), facts, {})


@settings(max_examples=150, deadline=None)
@given(formulas.filter(lambda source: "pod." in source), values, st.data())
def test_one_observation_less_never_changes_an_answer_it_only_loses_it(
    source: str, facts: Mapping[str, Value], data: st.DataObject
) -> None:
    if not facts:
        return
    gone = data.draw(st.sampled_from(sorted(facts)))
    expression = POD.compile(source)
    before = expression.evaluate(lambda _, key: facts.get(key))
    after = expression.evaluate(lambda _, key: None if key == gone else facts.get(key))

    assert after in {before, None}
