"""Label and field selectors: parsed once, then asked for each object."""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple, cast

from bot.lab.cluster.apiserver.errors import bad_request
from bot.lab.cluster.apiserver.parts import items_of, sub

Labels = Mapping[str, str]

_TOKEN = re.compile(r"\s*(==|!=|=|,|\(|\)|!|<|>|[^\s=!,()<>]+)")
_OPERATORS = "in, notin, =, ==, !=, gt, lt"


class Requirement(NamedTuple):
    """One condition on one label."""

    key: str
    operator: str
    """One of `in`, `notin`, `exists`, `!`, `gt`, `lt`; equality is `in` with one value."""
    values: tuple[str, ...]

    def matches(self, labels: Labels) -> bool:
        """Whether these labels meet the condition."""
        value = labels.get(self.key)
        match self.operator:
            case "in":
                return value in self.values
            case "notin":
                return value not in self.values
            case "exists":
                return value is not None
            case "!":
                return value is None
            case _:
                return value is not None and _compares(value, self.operator, self.values[0])


LabelSelector = tuple[Requirement, ...]
"""All of its requirements must hold; the empty one matches everything."""


def _compares(value: str, operator: str, bound: str) -> bool:
    try:
        left, right = int(value), int(bound)
    except ValueError:
        return False
    return left > right if operator == "gt" else left < right


class _Tokens:
    def __init__(self, text: str) -> None:
        self._words: list[str] = []
        position = 0
        while position < len(text.rstrip()):
            found = _TOKEN.match(text, position)
            if found is None:  # nothing but blanks is left
                break
            self._words.append(found.group(1))
            position = found.end()
        self._at = 0

    def peek(self) -> str:
        return self._words[self._at] if self._at < len(self._words) else ""

    def take(self) -> str:
        word = self.peek()
        self._at += 1
        return word


@lru_cache(maxsize=4096)
def parse_labels(text: str) -> LabelSelector:
    """A label selector as in `labelSelector=`; raises a 400 that says what was expected."""
    tokens = _Tokens(text)
    requirements: list[Requirement] = []
    while tokens.peek():
        requirements.append(_requirement(tokens))
        word = tokens.peek()
        if word == ",":
            tokens.take()
            if not tokens.peek():
                raise bad_request("unable to parse requirement: found '', expected: identifier after ','")
        elif word:
            raise bad_request(f"unable to parse requirement: found '{word}', expected: ',' or 'end of string'")
    return tuple(requirements)


def _requirement(tokens: _Tokens) -> Requirement:
    word = tokens.take()
    if word == "!":
        return Requirement(_key(tokens.take()), "!", ())
    key = _key(word)
    operator = tokens.peek()
    if operator in {"", ","}:
        return Requirement(key, "exists", ())
    tokens.take()
    match operator:
        case "=" | "==":
            return Requirement(key, "in", (_value(tokens),))
        case "!=":
            return Requirement(key, "notin", (_value(tokens),))
        case "in" | "notin":
            return Requirement(key, operator, _values(tokens))
        case ">" | "gt" | "<" | "lt":
            return Requirement(key, "gt" if operator in {">", "gt"} else "lt", (_value(tokens),))
        case _:
            raise bad_request(f"unable to parse requirement: found '{operator}', expected: {_OPERATORS}")


def _key(word: str) -> str:
    if not word or word in {"=", "==", "!=", ",", "(", ")", "!", "<", ">"}:
        raise bad_request(f"unable to parse requirement: found '{word}', expected: !, identifier, or 'end of string'")
    name = word.rpartition("/")[2]
    if not re.fullmatch(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]", name) or len(name) > 63:
        detail = (
            "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
            "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
            "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
        )
        raise bad_request(f'unable to parse requirement: <nil>: Invalid value: "{word}": {detail}')
    return word


def _value(tokens: _Tokens) -> str:
    if tokens.peek() in {"", ","}:
        return ""
    word = tokens.take()
    if word in {"=", "==", "!=", "(", ")", "!", "<", ">"}:
        raise bad_request(f"unable to parse requirement: found '{word}', expected: identifier")
    return word


def _values(tokens: _Tokens) -> tuple[str, ...]:
    word = tokens.take()
    if word != "(":
        raise bad_request(f"unable to parse requirement: found '{word}' expected: '('")
    values: list[str] = []
    while (word := tokens.take()) != ")":
        if not word:
            raise bad_request("unable to parse requirement: found '', expected: ',', or ')'")
        if word != ",":
            values.append(word)
    return tuple(values) or ("",)


def matches_labels(selector: LabelSelector, labels: Labels | None) -> bool:
    """Whether labels meet every requirement."""
    return all(requirement.matches(labels or {}) for requirement in selector)


def from_object(selector: Mapping[str, Any] | None) -> LabelSelector:
    """The selector of an object (`matchLabels`, `matchExpressions`); an empty one matches everything."""
    selector = selector or {}
    requirements = [Requirement(key, "in", (value,)) for key, value in sub(selector, "matchLabels").items()]
    words = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!", "Gt": "gt", "Lt": "lt"}
    for expression in items_of(selector, "matchExpressions"):
        values = tuple(items_of(expression, "values"))
        requirements.append(Requirement(expression["key"], words[expression["operator"]], values))
    return tuple(requirements)


def labels_text(selector: Mapping[str, Any] | None) -> str:
    """A selector object as text, the way `scale` reports it."""
    parts: list[str] = []
    for key, operator, values in sorted(from_object(selector)):
        match operator:
            case "in" if len(values) == 1:
                parts.append(f"{key}={values[0]}")
            case "exists":
                parts.append(key)
            case "!":
                parts.append(f"!{key}")
            case _:
                parts.append(f"{key} {operator} ({','.join(sorted(values))})")
    return ",".join(parts)


class FieldTerm(NamedTuple):
    """One condition on one field."""

    path: str
    equal: bool
    value: str


@lru_cache(maxsize=4096)
def parse_fields(text: str) -> tuple[FieldTerm, ...]:
    """A field selector as in `fieldSelector=`: terms joined by commas, each `a=b`, `a==b` or `a!=b`."""
    terms: list[FieldTerm] = []
    for part in re.split(r"(?<!\\),", text):
        if not part:
            continue
        found = re.match(r"(.*?)(!=|==|=)(.*)\Z", part, re.DOTALL)
        if found is None:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{part}'")
        value = re.sub(r"\\(.)", r"\1", found.group(3))
        terms.append(FieldTerm(found.group(1), found.group(2) != "!=", value))
    return tuple(terms)


def field_value(obj: Mapping[str, Any], path: str) -> str:
    """A field as text: booleans as `true` and `false`, a missing one as the empty string."""
    value: Any = obj
    for step in path.split("."):
        value = cast("Mapping[str, Any]", value).get(step) if isinstance(value, Mapping) else None
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case _:
            return str(value)


Predicate = Callable[[Mapping[str, Any]], bool]
