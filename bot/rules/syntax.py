"""The subset of CEL that rules may use, parsed into a tree that can be checked.

The library that evaluates (`common-expression-language`) shows no tree, and what it does beyond this subset would
break three-valued logic: `has()` turns "not observed" into false, a macro's body does not absorb an unobserved fact
beside a deciding one, arithmetic can fail. So rules are written in: literals, `variable.fact`, `! && || ?:`,
`== != < <= > >= in`, lists, `size(x)`, `x.startsWith/endsWith/contains/matches("…")`, and `list.exists/all(v, …)`
with a body that reads `v` and literals only.

Source: https://github.com/google/cel-spec/blob/master/doc/langdef.md
"""

import re
from dataclasses import dataclass
from typing import Literal

COMPARISONS = ("==", "!=", "<=", ">=", "<", ">")
METHODS = ("startsWith", "endsWith", "contains", "matches", "size", "exists", "all")
MAX_SOURCE = 2_000


class ExpressionError(Exception):
    """The expression is outside the subset; `str()` is the sentence."""


@dataclass(frozen=True, slots=True)
class Lit:
    """A literal."""

    value: bool | int | float | str


@dataclass(frozen=True, slots=True)
class Fact:
    """`variable.key`."""

    variable: str
    key: str


@dataclass(frozen=True, slots=True)
class Bound:
    """The element variable of a macro."""

    name: str


@dataclass(frozen=True, slots=True)
class Items:
    """A list literal."""

    items: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Not:
    """`!x`."""

    operand: "Node"


@dataclass(frozen=True, slots=True)
class Binary:
    """`left op right` of logic, comparison or membership."""

    op: str
    left: "Node"
    right: "Node"


@dataclass(frozen=True, slots=True)
class Choice:
    """`condition ? then : otherwise`."""

    condition: "Node"
    then: "Node"
    otherwise: "Node"


@dataclass(frozen=True, slots=True)
class Call:
    """`size(x)` or `x.method(argument)`."""

    method: str
    target: "Node"
    argument: "Node | None" = None


@dataclass(frozen=True, slots=True)
class Macro:
    """`list.exists(name, body)` or `list.all(name, body)`."""

    kind: Literal["exists", "all"]
    target: "Node"
    name: str
    body: "Node"


Node = Lit | Fact | Bound | Items | Not | Binary | Choice | Call | Macro


def parts_of(node: Node) -> "tuple[Node, ...]":
    """The direct parts of a node, in order."""
    parts: tuple[Node, ...] = ()
    match node:
        case Items(items):
            parts = items
        case Not(operand):
            parts = (operand,)
        case Binary(_, left, right):
            parts = (left, right)
        case Choice(condition, then, otherwise):
            parts = (condition, then, otherwise)
        case Call(_, target, argument):
            parts = (target,) if argument is None else (target, argument)
        case Macro(_, target, _, body):
            parts = (target, body)
        case _:
            pass
    return parts


_TOKEN = re.compile(
    r"""\s*(?:(?P<number>\d+(?:\.\d+)?)|(?P<string>"(?:[^"\\\n]|\\["'\\nt])*"|'(?:[^'\\\n]|\\["'\\nt])*')"""
    r"""|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<op>&&|\|\||==|!=|<=|>=|[<>!?:.,()\[\]-]))"""
)
_ESCAPES = {"n": "\n", "t": "\t"}


def parse(source: str) -> Node:
    """The tree of an expression.

    Raises ExpressionError with a sentence for everything outside the subset.
    """
    if len(source) > MAX_SOURCE:
        msg = f"the expression is longer than {MAX_SOURCE} characters"
        raise ExpressionError(msg)
    parser = _Parser(_tokens(source))
    node = parser.choice()
    if parser.kind != "end":
        msg = f"{parser.text!r} is not expected here"
        raise ExpressionError(msg)
    return node


def _tokens(source: str) -> list[tuple[str, str]]:
    tokens: list[tuple[str, str]] = []
    position, end = 0, len(source.rstrip())
    while position < end:
        match = _TOKEN.match(source, position)
        if match is None or match.lastgroup is None:
            msg = f"{source[position:].strip()[:20]!r} cannot be read"
            raise ExpressionError(msg)
        tokens.append((match.lastgroup, match[match.lastgroup]))
        position = match.end()
    return [*tokens, ("end", "the end")]


class _Parser:
    """Recursive descent, one method per precedence level, weakest first."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._at = 0
        self._bound: list[str] = []

    @property
    def kind(self) -> str:
        return self._tokens[self._at][0]

    @property
    def text(self) -> str:
        return self._tokens[self._at][1]

    def _take(self, *texts: str) -> str | None:
        if self.kind in {"op", "name"} and self.text in texts:
            self._at += 1
            return self._tokens[self._at - 1][1]
        return None

    def _need(self, text: str) -> None:
        if self._take(text) is None:
            msg = f"{text!r} is expected before {self.text!r}"
            raise ExpressionError(msg)

    def choice(self) -> Node:
        condition = self._either()
        if self._take("?") is None:
            return condition
        then = self._either()
        self._need(":")
        return Choice(condition, then, self.choice())

    def _either(self) -> Node:
        node = self._both()
        while self._take("||"):
            node = Binary("||", node, self._both())
        return node

    def _both(self) -> Node:
        node = self._relation()
        while self._take("&&"):
            node = Binary("&&", node, self._relation())
        return node

    def _relation(self) -> Node:
        node = self._unary()
        while op := self._take(*COMPARISONS, "in"):
            node = Binary(op, node, self._unary())
        return node

    def _unary(self) -> Node:
        if self._take("!"):
            return Not(self._unary())
        if self._take("-"):
            if self.kind != "number":
                msg = "arithmetic is not available in rules: state such a value as a fact"
                raise ExpressionError(msg)
            return Lit(-self._number())
        return self._member()

    def _member(self) -> Node:
        node = self._primary()
        while self._take("."):
            method = self._name()
            if method not in METHODS:
                msg = f"there is no method {method!r}: rules know {', '.join(METHODS)}"
                raise ExpressionError(msg)
            self._need("(")
            node = self._method(node, method)
            self._need(")")
        if self.text == "[" and self.kind == "op":
            msg = "indexing is not available in rules: write variable.fact"
            raise ExpressionError(msg)
        return node

    def _method(self, target: Node, method: str) -> Node:
        if method == "size":
            return Call("size", target)
        if method not in {"exists", "all"}:
            return Call(method, target, self.choice())
        name = self._name()
        self._need(",")
        self._bound.append(name)
        body = self.choice()
        self._bound.pop()
        return Macro("exists" if method == "exists" else "all", target, name, body)

    def _primary(self) -> Node:
        match self.kind:
            case "number":
                return Lit(self._number())
            case "string":
                return Lit(self._string())
            case "name":
                return self._named()
            case _:
                pass
        if self._take("("):
            node = self.choice()
            self._need(")")
            return node
        if self._take("["):
            return self._list()
        msg = f"a value is expected before {self.text!r}"
        raise ExpressionError(msg)

    def _list(self) -> Node:
        items: list[Node] = []
        while not self._take("]"):
            if items:
                self._need(",")
            items.append(self.choice())
        return Items(tuple(items))

    def _named(self) -> Node:
        name = self._name()
        if name in {"true", "false"}:
            return Lit(name == "true")
        if name in self._bound:
            return Bound(name)
        if self.kind == "op" and self.text == "(":
            return self._function(name)
        if self._take(".") is None:
            msg = f"{name!r} alone is no value: write {name}.fact"
            raise ExpressionError(msg)
        key = self._name()
        if self.kind == "op" and self.text == "(":
            msg = f"{name}.{key}() is not a method of a fact"
            raise ExpressionError(msg)
        return Fact(name, key)

    def _function(self, name: str) -> Node:
        if name == "has":
            msg = "has() is not available in rules: it would turn 'not observed' into false"
            raise ExpressionError(msg)
        if name != "size":
            msg = f"there is no function {name!r}: rules know size() and the methods {', '.join(METHODS)}"
            raise ExpressionError(msg)
        self._need("(")
        node = Call("size", self.choice())
        self._need(")")
        return node

    def _name(self) -> str:
        if self.kind != "name":
            msg = f"a name is expected before {self.text!r}"
            raise ExpressionError(msg)
        self._at += 1
        return self._tokens[self._at - 1][1]

    def _number(self) -> int | float:
        text = self.text
        self._at += 1
        return float(text) if "." in text else int(text)

    def _string(self) -> str:
        text = self.text[1:-1]
        self._at += 1
        return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[1]), text)
