"""Calico's selector expressions: "app == 'db' && !has(debug)".

Source: https://docs.tigera.io/calico/latest/reference/resources/networkpolicy#selectors
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache

Selector = Callable[[Mapping[str, str]], bool]

_TOKEN = re.compile(
    r"\s*(&&|\|\||==|!=|\(|\)|\{|\}|,|!|'[^']*'|\"[^\"]*\"|[A-Za-z0-9_./-]+)",
)
MAX_LENGTH = 4096


@lru_cache(maxsize=1024)
def parse_selector(text: str) -> Selector | None:
    """The expression as a function of labels; an empty one takes everything; None for what is not understood."""
    if not text.strip():
        return lambda _: True
    try:
        parser = _Parser(_tokens(text[:MAX_LENGTH]))
        parsed = parser.any_of()
        parser.end()
    except _NotUnderstoodError:
        return None
    return parsed


class _NotUnderstoodError(ValueError):
    pass


def _tokens(text: str) -> list[str]:
    found: list[str] = []
    at = 0
    text = text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise _NotUnderstoodError
        found.append(match[1])
        at = match.end()
    return found


class _Parser:
    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._at = 0

    def end(self) -> None:
        if self._at != len(self._tokens):
            raise _NotUnderstoodError

    def any_of(self) -> Selector:
        parts = [self._all_of()]
        while self._accept("||"):
            parts.append(self._all_of())
        return lambda labels: any(part(labels) for part in parts)

    def _all_of(self) -> Selector:
        parts = [self._one()]
        while self._accept("&&"):
            parts.append(self._one())
        return lambda labels: all(part(labels) for part in parts)

    def _one(self) -> Selector:
        if self._accept("!"):
            negated = self._one()
            return lambda labels: not negated(labels)
        if self._accept("("):
            inner = self.any_of()
            self._expect(")")
            return inner
        word = self._next()
        if word in {"all", "global", "has"} and self._accept("("):
            return self._call(word)
        return self._comparison(word)

    def _call(self, word: str) -> Selector:
        if word == "has":
            key = self._next()
            self._expect(")")
            return lambda labels: key in labels
        self._expect(")")
        return lambda _: word == "all"

    def _comparison(self, key: str) -> Selector:
        operator = self._next()
        if operator == "not":
            operator = f"not {self._next()}"
        match operator:
            case "==" | "!=":
                value = self._text()
                is_same = operator == "=="
                return lambda labels: (labels.get(key) == value) is is_same
            case "in" | "not in":
                values = self._set()
                is_inside = operator == "in"
                return lambda labels: (labels.get(key) in values) is is_inside
            case "contains" | "starts" | "ends":
                return self._part(key, operator)
            case _:
                raise _NotUnderstoodError

    def _part(self, key: str, operator: str) -> Selector:
        if operator != "contains":
            self._expect("with")
        value = self._text()
        if operator == "contains":
            return lambda labels: value in labels.get(key, "") if key in labels else False
        if operator == "starts":
            return lambda labels: key in labels and labels[key].startswith(value)
        return lambda labels: key in labels and labels[key].endswith(value)

    def _set(self) -> frozenset[str]:
        self._expect("{")
        found: set[str] = set()
        while not self._accept("}"):
            found.add(self._text())
            self._accept(",")
        return frozenset(found)

    def _text(self) -> str:
        token = self._next()
        if len(token) < 2 or token[0] not in "'\"":
            raise _NotUnderstoodError
        return token[1:-1]

    def _next(self) -> str:
        if self._at >= len(self._tokens):
            raise _NotUnderstoodError
        self._at += 1
        return self._tokens[self._at - 1]

    def _accept(self, token: str) -> bool:
        if self._at < len(self._tokens) and self._tokens[self._at] == token:
            self._at += 1
            return True
        return False

    def _expect(self, token: str) -> None:
        if not self._accept(token):
            raise _NotUnderstoodError
