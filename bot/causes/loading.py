"""Causes from their YAML files, every name in them checked."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from bot.causes.cause import Cause, Clause, Fix, LookAlike
from bot.causes.schema import CauseFile, ClauseFile, FixFile
from bot.domain.facts import FactSpec
from bot.rules.checking import Vocabulary
from bot.rules.expression import Expression, Language
from bot.rules.problems import Problem, RulesError, did_you_mean
from bot.rules.source import Document, Where, collect, model, unique, yaml_files
from bot.rules.syntax import ExpressionError
from bot.rules.template import Template, template

T = TypeVar("T")


def load_causes(directories: Iterable[Path], specs: Iterable[FactSpec]) -> tuple[Cause, ...]:
    """The causes in some directories, by id; later ones replace earlier ones that they override.

    Raises RulesError with every mistake in every file.
    """
    vocabulary = Vocabulary(specs)
    causes = unique(collect(yaml_files(directories), lambda document: build(document, vocabulary)))
    _check_look_alikes(causes)
    return causes


def build(document: Document, vocabulary: Vocabulary) -> Cause:
    """The cause of one document.

    Raises RulesError with every mistake in it, except for look-alikes that exist nowhere.
    """
    return _Builder(document, vocabulary).build()


class _Builder:
    """Compiles one file; collects problems instead of stopping at the first."""

    def __init__(self, document: Document, vocabulary: Vocabulary) -> None:
        self._document = document
        self._vocabulary = vocabulary
        self._file = model(document, CauseFile)
        self._language = Language(vocabulary, self._file.subject)
        self._problems: list[Problem] = []

    def build(self) -> Cause:
        file = self._file
        applies = None if file.applies is None else self._expression(file.applies, ("applies",))
        requires = self._clauses(file.requires, "requires")
        supports = self._clauses(file.supports, "supports")
        excludes = self._clauses(file.excludes, "excludes")
        look_alikes = self._look_alikes()
        fixes = tuple(fix for index, one in enumerate(file.fix) if (fix := self._fix(one, ("fix", index))))
        self._check_order()
        if self._problems:
            raise RulesError(self._problems)
        return Cause(
            id=file.id,
            override=file.override,
            file=self._document.file,
            taxonomy=file.taxonomy,
            title=file.title,
            mechanism=file.mechanism,
            subject=file.subject,
            hop=file.hop,
            applies=applies,
            explains=file.explains,
            requires=requires,
            supports=supports,
            excludes=excludes,
            look_alikes=look_alikes,
            fixes=fixes,
            unobserved=file.unobserved,
            rungs=file.rungs,
            never=file.never,
            specificity=len(file.requires) if file.specificity is None else file.specificity,
            is_consequence=file.consequence,
            is_sufficient=file.sufficient,
            changes=file.changes,
        )

    def _try(self, make: Callable[[], T], where: Where) -> T | None:
        try:
            return make()
        except ExpressionError as error:
            self._problems.append(self._document.problem(where, str(error)))
            return None

    def _expression(self, source: str, where: Where) -> Expression | None:
        return self._try(lambda: self._language.compile(source), where)

    def _template(self, source: str, where: Where) -> Template | None:
        return self._try(lambda: template(source, self._vocabulary, self._file.subject), where)

    def _clauses(self, clauses: Sequence[ClauseFile], field: str) -> tuple[Clause, ...]:
        found: list[Clause] = []
        for index, clause in enumerate(clauses):
            that = self._expression(clause.that, (field, index, "that"))
            says = self._template(clause.says, (field, index, "says"))
            if that and says:
                found.append(Clause(that, says))
        return tuple(found)

    def _look_alikes(self) -> tuple[LookAlike, ...]:
        found: list[LookAlike] = []
        for index, one in enumerate(self._file.look_alikes):
            refuted_when = self._expression(one.refuted_when, ("look_alikes", index, "refuted_when"))
            says = self._template(one.says, ("look_alikes", index, "says"))
            if refuted_when and says:
                found.append(LookAlike(one.cause, refuted_when, says))
        return tuple(found)

    def _fix(self, fix: FixFile, where: Where) -> Fix | None:
        does = self._template(fix.does, (*where, "does"))
        commands = [self._template(one, (*where, "commands", index)) for index, one in enumerate(fix.commands)]
        undo = [self._template(one, (*where, "undo", index)) for index, one in enumerate(fix.undo)]
        then = self._template(fix.then, (*where, "then")) if fix.then else None
        if does is None:
            return None
        return Fix(fix.id, fix.risk, does, tuple(filter(None, commands)), tuple(filter(None, undo)), then)

    def _check_order(self) -> None:
        risks = [fix.risk for fix in self._file.fix]
        for index in range(1, len(risks)):
            if risks[index] < risks[index - 1]:
                sentence = f"{risks[index]} after {risks[index - 1]}: the safest fix comes first"
                self._problems.append(self._document.problem(("fix", index, "risk"), sentence))


def _check_look_alikes(causes: Sequence[Cause]) -> None:
    known = {cause.id for cause in causes}
    problems = [
        Problem(cause.file, 0, f"look_alikes of {cause.id}", f"no cause {one.cause!r}{did_you_mean(one.cause, known)}")
        for cause in causes
        for one in cause.look_alikes
        if one.cause not in known
    ]
    if problems:
        raise RulesError(problems)
