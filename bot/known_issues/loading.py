"""Known issues from their YAML files, every fact, cause and version range in them checked."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol, TypeVar

from bot.domain.facts import FactSpec
from bot.known_issues.schema import Component, Condition, ConditionFile, KnownIssue, KnownIssueFile
from bot.known_issues.versions import VersionError, VersionRange, parse_range
from bot.rules.checking import Vocabulary
from bot.rules.expression import Language
from bot.rules.problems import Problem, RulesError, did_you_mean
from bot.rules.source import Document, Where, collect, model, unique, yaml_files
from bot.rules.syntax import ExpressionError
from bot.rules.template import template

T = TypeVar("T")


class HasId(Protocol):
    """A cause, as far as known issues name it."""

    @property
    def id(self) -> str:
        """Its id."""
        ...


def load_known_issues(
    directories: Iterable[Path], specs: Iterable[FactSpec], causes: Iterable[HasId]
) -> tuple[KnownIssue, ...]:
    """The known issues in some directories, by id; later ones replace earlier ones that they override.

    Raises RulesError with every mistake in every file.
    """
    vocabulary = Vocabulary(specs)
    known = frozenset(cause.id for cause in causes)
    return unique(collect(yaml_files(directories), lambda document: build(document, vocabulary, known)))


def build(document: Document, vocabulary: Vocabulary, causes: frozenset[str]) -> KnownIssue:
    """The known issue of one document.

    Raises RulesError with every mistake in it.
    """
    return _Builder(document, vocabulary, causes).build()


class _Builder:
    """Compiles one file; collects problems instead of stopping at the first."""

    def __init__(self, document: Document, vocabulary: Vocabulary, causes: frozenset[str]) -> None:
        self._document = document
        self._vocabulary = vocabulary
        self._causes = causes
        self._file = model(document, KnownIssueFile)
        self._language = Language(vocabulary, self._file.about)
        self._problems: list[Problem] = []

    def build(self) -> KnownIssue:
        file = self._file
        self._check()
        matches_when = self._conditions(file.matches_when, "matches_when")
        rules_out = self._conditions(file.rules_out, "rules_out")
        versions = self._versions()
        if self._problems:
            raise RulesError(self._problems)
        return KnownIssue(
            id=file.id,
            title=file.title,
            references=file.references,
            about=file.about,
            causes=file.causes,
            symptoms=file.symptoms,
            cnis=file.cnis,
            matches_when=matches_when,
            rules_out=rules_out,
            check=file.check,
            look_alike_of=file.look_alike_of,
            heals=file.heals,
            versions=versions,
            affected=file.affected,
            fixed_in=file.fixed_in,
            environment=file.environment,
            mechanism=file.mechanism,
            workaround=file.workaround,
            confidence=file.confidence,
            notes=file.notes,
            file=self._document.file,
            override=file.override,
        )

    def _check(self) -> None:
        for index, name in enumerate(self._file.causes):
            if name not in self._causes:
                self._problem(("causes", index), f"there is no cause {name!r}{did_you_mean(name, self._causes)}")
        if not self._file.causes and not self._file.symptoms:
            self._problem((), "give causes or symptoms that bring it up")
        risks = [step.risk for step in self._file.workaround]
        for index in range(1, len(risks)):
            if risks[index] < risks[index - 1]:
                self._problem(("workaround", index, "risk"), "the safest step comes first")

    def _conditions(self, conditions: Iterable[ConditionFile], field: str) -> tuple[Condition, ...]:
        found: list[Condition] = []
        for index, one in enumerate(conditions):
            that = self._try(lambda one=one: self._language.compile(one.that), (field, index, "that"))
            says = self._try(
                lambda one=one: template(one.says, self._vocabulary, self._file.about), (field, index, "says")
            )
            if that and says:
                found.append(Condition(that, says))
        return tuple(found)

    def _versions(self) -> dict[Component, VersionRange]:
        given: dict[Component, str | None] = {
            "cni": self._file.versions.cni,
            "kubernetes": self._file.versions.kubernetes,
            "kernel": self._file.versions.kernel,
        }
        found: dict[Component, VersionRange] = {}
        for component, source in given.items():
            if source is not None:
                try:
                    found[component] = parse_range(source)
                except VersionError as error:
                    self._problem(("versions", component), str(error))
        return found

    def _try(self, make: Callable[[], T], where: Where) -> T | None:
        try:
            return make()
        except ExpressionError as error:
            self._problem(where, str(error))
            return None

    def _problem(self, where: Where, sentence: str) -> None:
        self._problems.append(self._document.problem(where, sentence))
