"""Alertmanager's matchers: `name="value"`, `!=`, `=~`, `!~`. A label that is missing counts as empty.

Regular expressions are anchored and of the kind that needs linear time (Rust's; Alertmanager's are Go's RE2): what
labels hold is foreign text.

Source: https://prometheus.io/docs/alerting/latest/configuration/#matcher
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, cast, get_args

from pydantic_core import SchemaError, SchemaValidator, core_schema

Operator = Literal["=", "!=", "=~", "!~"]

MAX_PATTERN = 1_000
_MATCHER = re.compile(
    r'\s*(?P<name>[A-Za-z_:][A-Za-z0-9_:]*|"(?:[^"\\]|\\.)*")\s*(?P<operator>=~|!~|!=|=)\s*(?P<value>.*?)\s*', re.DOTALL
)
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_ESCAPES = {"n": "\n", '"': '"', "\\": "\\"}


class MatcherError(Exception):
    """The text is no matcher; `str()` is the sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Matcher:
    """One condition on one label."""

    name: str
    operator: Operator
    value: str
    _pattern: SchemaValidator | None = field(default=None, repr=False, compare=False)

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels fulfil it."""
        held = labels.get(self.name, "")
        match self.operator:
            case "=":
                return held == self.value
            case "!=":
                return held != self.value
            case "=~":
                return self._is_match(held)
            case "!~":
                return not self._is_match(held)

    def _is_match(self, text: str) -> bool:
        return self._pattern is not None and self._pattern.isinstance_python(text)

    def __str__(self) -> str:
        escaped = self.value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'{self.name}{self.operator}"{escaped}"'


def parse_matcher(text: str) -> Matcher:
    """The matcher in a text. Errors: `MatcherError`."""
    found = _MATCHER.fullmatch(text)
    if found is None:
        raise MatcherError(f'{text!r} is no matcher: write NAME="VALUE", or with !=, =~ or !~')
    operator = cast("Operator", found["operator"])
    assert operator in get_args(Operator)
    name, value = _unquoted(found["name"]), _unquoted(found["value"])
    if operator in {"=", "!="}:
        return Matcher(name=name, operator=operator, value=value)
    return Matcher(name=name, operator=operator, value=value, _pattern=_checked(value))


def _unquoted(text: str) -> str:
    if not text.startswith('"'):
        if '"' in text:
            raise MatcherError(f"{text!r} has a quotation mark within: put the whole value in quotation marks")
        return text
    if not _QUOTED.fullmatch(text):
        raise MatcherError(f"{text!r} is not closed by a quotation mark, or something follows it")
    return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[0]), text[1:-1], flags=re.DOTALL)


def _checked(value: str) -> SchemaValidator:
    """The pattern, anchored and compiled."""
    if len(value) > MAX_PATTERN:
        raise MatcherError(f"the regular expression is longer than {MAX_PATTERN} characters")
    try:
        return SchemaValidator(core_schema.str_schema(pattern=f"^(?:{value})$", regex_engine="rust-regex"))
    except SchemaError as error:
        why = str(error).splitlines()[-1].removeprefix("error: ")
        raise MatcherError(f"{value!r} is no regular expression: {why}") from error
