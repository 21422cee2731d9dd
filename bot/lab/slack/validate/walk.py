"""Checks that put themselves together: each looks at one value and notes what Slack would refuse.

A check is called with the walk (which collects problems), the value, and its JSON pointer. Wordings follow Slack's.
Source: https://github.com/slackhq/hack-json-schema (the validator behind the Web API, and its sentences)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from bot.lab.slack.validate.problem import Problem
from bot.lab.types import Json

Surface = Literal["message", "modal", "home"]


@dataclass(kw_only=True)
class Walk:
    """One validation under way. `error` is the code that problems get unless they say otherwise."""

    surface: Surface
    error: str = "invalid_blocks"
    problems: list[Problem] = field(default_factory=list[Problem])
    block_ids: set[str] = field(default_factory=set[str])

    def fail(self, pointer: str, sentence: str, error: str = "") -> None:
        """Note a problem."""
        self.problems.append(Problem(error=error or self.error, sentence=sentence, pointer=pointer))


Check = Callable[[Walk, Any, str], None]


def string(most: int = 0, *, least: int = 1) -> Check:
    """Text of `least` to `most` characters (0: without end)."""

    def check(walk: Walk, value: Any, pointer: str) -> None:
        if not isinstance(value, str):
            walk.fail(pointer, "must be a string")
        elif len(value) < least:
            walk.fail(pointer, f"must be more than {least - 1} characters")
        elif most and len(value) > most:
            walk.fail(pointer, f"must be less than {most + 1} characters")

    return check


def matching(pattern: str, what: str, most: int = 0) -> Check:
    """Text in a certain form."""
    compiled, length = re.compile(pattern), string(most)

    def check(walk: Walk, value: Any, pointer: str) -> None:
        length(walk, value, pointer)
        if isinstance(value, str) and value and not compiled.fullmatch(value):
            walk.fail(pointer, f"must be a valid {what}")

    return check


def url(most: int = 3000, *, schemes: str = "https?") -> Check:
    """An address."""
    return matching(rf"(?:{schemes})://\S+", "URL", most)


def flag(walk: Walk, value: Any, pointer: str) -> None:
    """Yes or no."""
    if not isinstance(value, bool):
        walk.fail(pointer, "must be a boolean")


def integer(least: float = float("-inf"), most: float = float("inf")) -> Check:
    """A whole number in a range."""

    def check(walk: Walk, value: Any, pointer: str) -> None:
        if not isinstance(value, int) or isinstance(value, bool):
            walk.fail(pointer, "must be an integer")
        elif value < least:
            walk.fail(pointer, f"must be greater than {least - 1}")
        elif value > most:
            walk.fail(pointer, f"must be less than {most + 1}")

    return check


def number(walk: Walk, value: Any, pointer: str) -> None:
    """Any number."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        walk.fail(pointer, "must be a number")


def enum(*values: object) -> Check:
    """One of a few values."""

    def check(walk: Walk, value: Any, pointer: str) -> None:
        if value not in values:
            walk.fail(pointer, f"must be a valid enum value, one of {', '.join(map(str, values))}")

    return check


def items(check: Check, most: int = 0, *, least: int = 1) -> Check:
    """A list of `least` to `most` items (0: without end)."""

    def each(walk: Walk, value: Any, pointer: str) -> None:
        if not isinstance(value, list):
            walk.fail(pointer, "must provide an array")
            return
        given: list[Any] = cast("list[Any]", value)
        if len(given) < least:
            walk.fail(pointer, f"no fewer than {least} items allowed")
        if most and len(given) > most:
            walk.fail(pointer, f"no more than {most} items allowed")
        for index, one in enumerate(given):
            check(walk, one, f"{pointer}/{index}")

    return each


def fields(required: Mapping[str, Check], optional: Mapping[str, Check] | None = None, *more: Check) -> Check:
    """An object with these fields and no others; `more` checks look at the whole object afterwards."""
    known = {**required, **(optional or {})}

    def check(walk: Walk, value: Any, pointer: str) -> None:
        given = as_object(walk, value, pointer)
        if given is None:
            return
        for name in required:
            if given.get(name) is None:
                walk.fail(pointer, f"missing required field: {name}")
        for name, inner in given.items():
            if name not in known:
                walk.fail(pointer, f"invalid additional property: {name}")
            elif inner is not None:
                known[name](walk, inner, f"{pointer}/{name}")
        for one in more:
            one(walk, given, pointer)

    return check


def as_object(walk: Walk, value: Any, pointer: str) -> Json | None:
    """The value as an object; None, and a problem, when it is none."""
    if not isinstance(value, dict):
        walk.fail(pointer, "must provide an object")
        return None
    return cast("Json", value)


def kinds(table: Mapping[str, Check], *, only: frozenset[str] | None = None) -> Check:
    """An object whose `type` says which check it must pass."""

    def check(walk: Walk, value: Any, pointer: str) -> None:
        given = as_object(walk, value, pointer)
        if given is None:
            return
        kind = given.get("type")
        if kind is None:
            walk.fail(pointer, "missing required field: type")
        elif not isinstance(kind, str) or kind not in table or (only is not None and kind not in only):
            walk.fail(f"{pointer}/type", f"unsupported type: {kind}")
        else:
            table[kind](walk, given, pointer)

    return check


def anything(_walk: Walk, _value: Any, _pointer: str) -> None:
    """Not looked into."""


def one_of(*names: str) -> Check:
    """At least one of these fields."""

    def check(walk: Walk, value: Any, pointer: str) -> None:
        if not any(value.get(name) for name in names):
            walk.fail(pointer, f"must define at least one of {', '.join(names)}")

    return check


def exactly_one_of(*names: str) -> Check:
    """One of these fields, and not two."""

    def check(walk: Walk, value: Any, pointer: str) -> None:
        if sum(value.get(name) is not None for name in names) != 1:
            walk.fail(pointer, f"must define exactly one of {', '.join(names)}")

    return check
