"""Causes from their YAML files, every name in them checked."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeVar

from bot.causes.cause import Cause, Clause, Fix, LookAlike, is_remote
from bot.causes.schema import CauseFile, ClauseFile, FixFile
from bot.domain.facts import FactSpec, SubjectKind
from bot.domain.report import Risk
from bot.rules.checking import Vocabulary
from bot.rules.expression import Expression, Language
from bot.rules.problems import Problem, RulesError, did_you_mean
from bot.rules.source import Document, Where, collect, model, unique, yaml_files
from bot.rules.syntax import ExpressionError
from bot.rules.template import Template, template

T = TypeVar("T")
_PLACEHOLDER = re.compile(r"<[A-Za-z][A-Za-z0-9 _|-]*>")
_OF_SERVICES = frozenset({SubjectKind.SERVICE, SubjectKind.CLUSTER})
"""What is changed there is one Service, also where it is the cluster's: its DNS."""
_REACHES: Mapping[Risk, Literal["none", "pod", "node", "cluster"]] = {
    "r0": "none",
    "r1": "pod",
    "r2": "node",
    "r3": "cluster",
}


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
        if not file.fix:
            self._complain(("fix",), "no fix: add one, with commands or with no_command, why there are none")
        self._check_order()
        if self._problems:
            raise RulesError(self._problems)
        return Cause(
            id=file.id,
            override=file.override,
            file=self._document.file,
            taxonomy=file.taxonomy,
            title=file.title,
            short=file.short,
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
            is_pattern=file.pattern,
            proof=next(iter(self._clauses([file.proof], "proof")), None) if file.proof else None,
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
                found.append(Clause(that, says, clause.follows))
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
        self._check_commands(fix, where)
        does = self._template(fix.does, (*where, "does"))
        commands = [self._template(one, (*where, "commands", index)) for index, one in enumerate(fix.commands)]
        undo = [self._template(one, (*where, "undo", index)) for index, one in enumerate(fix.undo)]
        then = self._template(fix.then, (*where, "then")) if fix.then else None
        when = None if fix.when is None else self._expression(fix.when, (*where, "when"))
        if does is None:
            return None
        return Fix(
            id=fix.id,
            risk=fix.risk,
            does=does,
            commands=tuple(filter(None, commands)),
            undo=tuple(filter(None, undo)),
            then=then,
            when=when,
            touches=fix.touches or self._reach(fix.risk),
            decide=fix.decide,
            no_command=fix.no_command,
        )

    def _check_commands(self, fix: FixFile, where: Where) -> None:
        """A fix can be pasted as it is, or says what a person must add, or why there is nothing to paste."""
        blank = next((found[0] for one in (*fix.commands, *fix.undo) if (found := _PLACEHOLDER.search(one))), "")
        if not fix.commands and not fix.no_command:
            self._complain((*where, "commands"), "no command: add one, or say in no_command why there is none")
        if fix.commands and fix.no_command:
            self._complain((*where, "no_command"), "there are commands")
        if blank and not fix.decide:
            sentence = f"nothing fills {blank}: name a fact, or say in decide what a person must decide"
            self._complain((*where, "commands"), sentence)
        placeless = self._file.subject in {SubjectKind.SERVICE, SubjectKind.CLUSTER}
        if placeless and not all(map(is_remote, (*fix.commands, *fix.undo))):
            sentence = f"a {self._file.subject} is on no node: its commands are kubectl's"
            self._complain((*where, "commands"), sentence)
        if fix.decide and not blank:
            self._complain((*where, "decide"), "no command has a <placeholder>")

    def _complain(self, where: Where, sentence: str) -> None:
        self._problems.append(self._document.problem(where, sentence))

    def _reach(self, risk: Risk) -> Literal["none", "pod", "node", "service", "cluster"]:
        """How far a fix of this risk reaches."""
        if risk in {"r1", "r2"} and self._file.subject in _OF_SERVICES:
            return "service"
        return _REACHES[risk]

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
