"""Names, types and values of an expression held against the declared facts, before anything is evaluated."""

import re
from collections.abc import Iterable, Iterator, Mapping

from bot.domain.facts import VARIABLES, FactSpec, Scalar, SubjectKind
from bot.rules.problems import did_you_mean, one_of
from bot.rules.syntax import Binary, Bound, Call, Choice, ExpressionError, Fact, Items, Lit, Macro, Node, Not, parts_of

Kind = str
"""A type: "bool", "number", "str", "list"."""

_KINDS: Mapping[str, Kind] = {"bool": "bool", "int": "number", "float": "number", "str": "str", "list": "list"}


class Vocabulary:
    """All declared facts, by name."""

    def __init__(self, specs: Iterable[FactSpec]) -> None:
        self.specs = {spec.name: spec for spec in specs}

    def spec(self, subject: SubjectKind, variable: str, key: str) -> FactSpec:
        """The fact behind `variable.key` in a rule about `subject`.

        Raises ExpressionError with the nearest names when there is none.
        """
        variables = VARIABLES[subject]
        if variable not in variables:
            hint = did_you_mean(variable, variables)
            msg = f"a rule about a {subject} reads {one_of(list(variables))}, not {variable!r}{hint}"
            raise ExpressionError(msg)
        name = f"{variables[variable]}.{key}"
        if name not in self.specs:
            keys = [spec.key for spec in self.specs.values() if spec.kind is variables[variable]]
            msg = f"no probe observes {name}{did_you_mean(key, keys)}"
            raise ExpressionError(msg)
        return self.specs[name]


def facts_of(node: Node) -> Iterator[Fact]:
    """Every fact that the tree reads, in order, repeats included."""
    if isinstance(node, Fact):
        yield node
    for part in parts_of(node):
        yield from facts_of(part)


class Checker:
    """Types one expression about subjects of one kind."""

    def __init__(self, vocabulary: Vocabulary, subject: SubjectKind) -> None:
        self._vocabulary = vocabulary
        self._subject = subject

    def check(self, node: Node) -> None:
        """Nothing when the expression is a sound truth value; ExpressionError otherwise."""
        self._require(node, "bool", "an expression")

    def _require(self, node: Node, kind: Kind, what: str) -> None:
        found = self._kind(node)
        if found != kind:
            msg = f"{what} must be a {kind}, and {_shown(node)} is a {found}"
            raise ExpressionError(msg)

    def _kind(self, node: Node) -> Kind:
        match node:
            case Lit(value):
                return _literal_kind(value)
            case Bound():
                return "str"
            case Fact(variable, key):
                return _KINDS[self._vocabulary.spec(self._subject, variable, key).type]
            case Not(operand):
                self._require(operand, "bool", "the operand of !")
                return "bool"
            case _:
                return self._compound(node)

    def _compound(self, node: Items | Choice | Binary | Call | Macro) -> Kind:
        match node:
            case Items():
                return self._items(node)
            case Choice():
                return self._choice(node)
            case Binary():
                return self._binary(node)
            case Call():
                return self._call(node)
            case Macro():
                return self._macro(node)

    def _items(self, node: Items) -> Kind:
        if not all(isinstance(item, Lit) for item in node.items):
            msg = "a list holds literals only"
            raise ExpressionError(msg)
        return "list"

    def _choice(self, node: Choice) -> Kind:
        self._require(node.condition, "bool", "the condition of ?:")
        kind = self._kind(node.then)
        self._require(node.otherwise, kind, "the other branch of ?:")
        return kind

    def _binary(self, node: Binary) -> Kind:
        if node.op in {"&&", "||"}:
            self._require(node.left, "bool", f"each side of {node.op}")
            self._require(node.right, "bool", f"each side of {node.op}")
            return "bool"
        if node.op == "in":
            return self._membership(node)
        left, right = self._kind(node.left), self._kind(node.right)
        if left != right:
            msg = f"{_shown(node.left)} is a {left} and cannot be compared with {_shown(node.right)}, a {right}"
            raise ExpressionError(msg)
        if node.op not in {"==", "!="} and left != "number":
            msg = f"{node.op} orders numbers, and {_shown(node.left)} is a {left}"
            raise ExpressionError(msg)
        self._values(node.left, node.right)
        self._values(node.right, node.left)
        return "bool"

    def _membership(self, node: Binary) -> Kind:
        self._require(node.right, "list", "the right side of in")
        left = self._kind(node.left)
        if isinstance(node.right, Items):
            for item in node.right.items:
                self._require(item, left, "each item of the list")
                self._values(node.left, item)
        else:
            self._require(node.left, "str", "what is looked for in a list fact")
            self._values(node.right, node.left)
        return "bool"

    def _call(self, node: Call) -> Kind:
        if node.method == "size":
            if self._kind(node.target) not in {"list", "str"}:
                msg = f"size() counts a list or a string, and {_shown(node.target)} is neither"
                raise ExpressionError(msg)
            return "number"
        self._require(node.target, "str", f"what .{node.method}() is called on")
        if not isinstance(node.argument, Lit) or not isinstance(node.argument.value, str):
            msg = f".{node.method}() takes a string literal"
            raise ExpressionError(msg)
        if node.method == "matches":
            _pattern(node.argument.value)
        return "bool"

    def _macro(self, node: Macro) -> Kind:
        self._require(node.target, "list", f"what .{node.kind}() is called on")
        for fact in facts_of(node.body):
            # The library stops at the first unobserved fact in a macro's body, even beside a deciding element.
            msg = f"the body of .{node.kind}() may read {node.name} only, not {fact.variable}.{fact.key}"
            raise ExpressionError(msg)
        self._require(node.body, "bool", f"the body of .{node.kind}()")
        return "bool"

    def _values(self, fact: Node, literal: Node) -> None:
        """A string compared with an enumerated fact must be one of its values."""
        if not isinstance(fact, Fact) or not isinstance(literal, Lit):
            return
        spec = self._vocabulary.spec(self._subject, fact.variable, fact.key)
        if spec.values and literal.value not in spec.values:
            hint = did_you_mean(str(literal.value), spec.values)
            msg = f"{spec.name} is never {literal.value!r}: it is one of {one_of(spec.values)}{hint}"
            raise ExpressionError(msg)


def _literal_kind(value: Scalar) -> Kind:
    if isinstance(value, bool):
        return "bool"
    return "str" if isinstance(value, str) else "number"


def _pattern(text: str) -> None:
    try:
        re.compile(text)
    except re.error as error:
        msg = f"{text!r} is no regular expression: {error}"
        raise ExpressionError(msg) from error


def _shown(node: Node) -> str:
    match node:
        case Lit(value):
            return repr(value)
        case Fact(variable, key):
            return f"{variable}.{key}"
        case Bound(name):
            return name
        case Items():
            return "the list"
        case _:
            return "this part"
