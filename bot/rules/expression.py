"""A truth value over facts: true, false, or unknown (None) when something unobserved would decide.

The library evaluates; this module gives it only the facts that the expression reads, and takes a missing one for
"unknown". `&&` and `||` of CEL absorb errors on either side, so the result is Kleene's strong three-valued logic
(held to a reference over random formulas in tests/properties).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import cel

from bot.domain.facts import FactTable, Subject, SubjectKind, Value
from bot.rules.checking import Checker, Vocabulary, facts_of
from bot.rules.syntax import ExpressionError, parse

Reference = tuple[str, str]
"""A variable and a fact's key: ("pod", "gateway_arp")."""
Lookup = Callable[[str, str], Value | None]
"""The value behind a reference; None when it was not observed."""

_CACHE_LIMIT = 20_000


def lookup_for(facts: FactTable, subject: Subject) -> Lookup:
    """How an expression about `subject` finds its facts."""
    values = {variable: facts.of(behind) for variable, behind in facts.relations.context(subject).items()}

    def find(variable: str, key: str) -> Value | None:
        of = values.get(variable)
        return None if of is None else of.get(key)

    return find


class EvaluationError(Exception):
    """A fact has another type than its probe declared: a mistake of that probe, never "unknown"."""


class Expression:
    """One checked expression. Equal fact values are evaluated once."""

    __slots__ = ("_cache", "_program", "references", "source")

    def __init__(self, source: str, references: tuple[Reference, ...]) -> None:
        self.source = source
        self.references = references
        """The facts that it reads, each once."""
        self._program = cel.compile(source)
        self._cache: dict[tuple[tuple[type, Value | None], ...], bool | None] = {}

    def evaluate(self, lookup: Lookup) -> bool | None:
        """Whether it holds; None when unknown.

        Raises EvaluationError when a value is not of the declared type.
        """
        values = [lookup(variable, key) for variable, key in self.references]
        signature = tuple((type(value), value) for value in values)
        if signature not in self._cache:
            if len(self._cache) >= _CACHE_LIMIT:
                self._cache.clear()
            self._cache[signature] = self._execute(values)
        return self._cache[signature]

    def unknown(self, lookup: Lookup) -> tuple[Reference, ...]:
        """The references without a value."""
        return tuple(reference for reference in self.references if lookup(*reference) is None)

    def _execute(self, values: Iterable[Value | None]) -> bool | None:
        context: dict[str, dict[str, Value]] = {variable: {} for variable, _ in self.references}
        for (variable, key), value in zip(self.references, values, strict=True):
            if value is not None:
                context[variable][key] = value
        try:
            result = self._program.execute(context)
        except KeyError:
            return None
        except Exception as error:
            msg = f"{self.source!r} cannot be evaluated with {context}: {error}"
            raise EvaluationError(msg) from error
        if not isinstance(result, bool):
            msg = f"{self.source!r} came to {result!r} with {context}"
            raise EvaluationError(msg)
        return result

    def __repr__(self) -> str:
        return f"Expression({self.source!r})"


@dataclass(frozen=True, slots=True)
class Language:
    """Compiles expressions about one kind of subject."""

    vocabulary: Vocabulary
    subject: SubjectKind

    def compile(self, source: str) -> Expression:
        """The checked expression.

        Raises ExpressionError with a sentence about what is wrong and the nearest right name.
        """
        tree = parse(source)
        Checker(self.vocabulary, self.subject).check(tree)
        references = tuple(dict.fromkeys((fact.variable, fact.key) for fact in facts_of(tree)))
        if not references:
            msg = "the expression reads no fact"
            raise ExpressionError(msg)
        try:
            return Expression(source, references)
        except ValueError as error:
            raise ExpressionError(str(error).splitlines()[0]) from error
