"""Playbooks from their YAML files, every probe and fact in them checked."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from bot.playbooks.schema import Expectation, ExpectFile, Playbook, PlaybookFile, Step, StepFile
from bot.probes.engine.probe import Probe
from bot.rules.checking import Vocabulary
from bot.rules.expression import Language
from bot.rules.problems import Problem, RulesError, did_you_mean
from bot.rules.source import Document, Where, collect, model, unique, yaml_files
from bot.rules.syntax import ExpressionError
from bot.rules.template import template

T = TypeVar("T")


def load_playbooks(directories: Iterable[Path], probes: Iterable[Probe]) -> tuple[Playbook, ...]:
    """The playbooks in some directories, by name; later ones replace earlier ones that they override.

    Raises RulesError with every mistake in every file.
    """
    known = tuple(probes)
    return unique(collect(yaml_files(directories), lambda document: build(document, known)))


def build(document: Document, probes: Iterable[Probe]) -> Playbook:
    """The playbook of one document.

    Raises RulesError with every mistake in it.
    """
    return _Builder(document, tuple(probes)).build()


class _Builder:
    """Compiles one file; collects problems instead of stopping at the first."""

    def __init__(self, document: Document, probes: tuple[Probe, ...]) -> None:
        self._document = document
        self._names = {probe.name for probe in probes}
        self._vocabulary = Vocabulary(spec for probe in probes for spec in probe.facts)
        self._file = model(document, PlaybookFile)
        self._problems: list[Problem] = []

    def build(self) -> Playbook:
        steps = tuple(self._step(step, ("steps", index)) for index, step in enumerate(self._file.steps))
        if self._problems:
            raise RulesError(self._problems)
        return Playbook(
            name=self._file.name,
            title=self._file.title,
            audience=self._file.audience,
            steps=steps,
            application=self._file.application,
            file=self._document.file,
            override=self._file.override,
        )

    def _step(self, step: StepFile, where: Where) -> Step:
        if step.probe not in self._names:
            sentence = f"there is no probe {step.probe!r}{did_you_mean(step.probe, self._names)}"
            self._problems.append(self._document.problem((*where, "probe"), sentence))
        found = (self._expectation(one, (*where, "expect", index)) for index, one in enumerate(step.expect))
        return Step(step.look, step.probe, tuple(one for one in found if one is not None))

    def _expectation(self, expect: ExpectFile, where: Where) -> Expectation | None:
        language = Language(self._vocabulary, expect.about)
        condition = expect.where
        scope = None if condition is None else self._try(lambda: language.compile(condition), (*where, "where"))
        that = self._try(lambda: language.compile(expect.that), (*where, "that"))
        otherwise = self._try(lambda: template(expect.otherwise, self._vocabulary, expect.about), (*where, "otherwise"))
        if that is None or otherwise is None:
            return None
        return Expectation(expect.about, scope, that, otherwise, expect.severity)

    def _try(self, make: Callable[[], T], where: Where) -> T | None:
        try:
            return make()
        except ExpressionError as error:
            self._problems.append(self._document.problem(where, str(error)))
            return None
