"""One cause at one subject: confirmed, likely, possible, ruled out, or nothing known. Equal facts are judged once."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bot.causes.cause import Cause, Clause
from bot.domain.facts import FactTable, Subject, SubjectKind, Value
from bot.domain.report import Confidence
from bot.rules.expression import Lookup, Reference, lookup_for

Vector = tuple[Value | None, ...]

STRENGTH: Mapping[Confidence, int] = {
    Confidence.RULED_OUT: 0,
    Confidence.POSSIBLE: 1,
    Confidence.LIKELY: 2,
    Confidence.CONFIRMED: 3,
}


@dataclass(frozen=True, slots=True)
class Judgement:
    """How one cause stands with one vector of facts; each outcome beside its clause, None where unknown."""

    confidence: Confidence | None
    """None: it does not apply, or nothing speaks for or against it."""
    requires: tuple[bool | None, ...] = ()
    supports: tuple[bool | None, ...] = ()
    excludes: tuple[bool | None, ...] = ()
    refuted: tuple[bool | None, ...] = ()
    applies: bool | None = True


def judge(cause: Cause, lookup: Lookup) -> Judgement:
    """The cause against one subject's facts.

    What is unknown only ever weakens: an unobserved exclusion or applicability leaves a cause possible at most, so
    that taking an observation away never raises a confidence (except that what it ruled out becomes possible).
    """
    applies = True if cause.applies is None else cause.applies.evaluate(lookup)
    if applies is False:
        return Judgement(None, applies=False)
    requires = _outcomes(cause.requires, lookup)
    excludes = _outcomes(cause.excludes, lookup)
    supports = _outcomes(cause.supports, lookup)
    if False in requires or True in excludes:
        return Judgement(Confidence.RULED_OUT, requires, supports, excludes, applies=applies)
    refuted = tuple(one.refuted_when.evaluate(lookup) for one in cause.look_alikes)
    confidence: Confidence | None = None
    if all(requires) and not any(one is None for one in excludes) and applies:
        confidence = Confidence.CONFIRMED if all(refuted) and _is_proven(cause, lookup) else Confidence.LIKELY
    elif True in requires or True in supports:
        confidence = Confidence.POSSIBLE
    return Judgement(confidence, requires, supports, excludes, refuted, applies)


def _is_proven(cause: Cause, lookup: Lookup) -> bool:
    """Whether the mechanism itself was seen. A pattern of reachability alone fits more than one mechanism."""
    if not cause.is_pattern:
        return True
    return cause.proof is not None and cause.proof.that.evaluate(lookup) is True


def _outcomes(clauses: Sequence[Clause], lookup: Lookup) -> tuple[bool | None, ...]:
    return tuple(clause.that.evaluate(lookup) for clause in clauses)


class Judge:
    """Judges causes about subjects of one kind; subjects with equal facts share one judgement."""

    def __init__(self, causes: Iterable[Cause], facts: FactTable, subjects: Iterable[Subject]) -> None:
        self._causes = tuple(causes)
        references = dict.fromkeys(reference for cause in self._causes for reference in cause.references)
        self._index: dict[Reference, int] = {reference: index for index, reference in enumerate(references)}
        self._groups: dict[Vector, list[Subject]] = {}
        for subject in subjects:
            find = lookup_for(facts, subject)
            vector = tuple(find(variable, key) for variable, key in references)
            self._groups.setdefault(vector, []).append(subject)

    def judgements(self) -> Iterator[tuple[Cause, dict[Subject, Judgement]]]:
        """For each cause the judgement of every subject."""
        for cause in self._causes:
            pick = self._picker(cause)
            known: dict[Vector, Judgement] = {}
            of: dict[Subject, Judgement] = {}
            for vector, subjects in self._groups.items():
                own = pick(vector)
                if own not in known:
                    known[own] = judge(cause, _lookup_in(cause.references, own))
                of.update(dict.fromkeys(subjects, known[own]))
            yield cause, of

    def _picker(self, cause: Cause) -> Callable[[Vector], Vector]:
        indices = [self._index[reference] for reference in cause.references]
        return lambda vector: tuple([vector[index] for index in indices])


def _lookup_in(references: Sequence[Reference], vector: Vector) -> Lookup:
    values = dict(zip(references, vector, strict=True))
    return lambda variable, key: values.get((variable, key))


def by_kind(causes: Iterable[Cause]) -> Mapping[SubjectKind, list[Cause]]:
    """The causes by the kind of subject they are about."""
    kinds: dict[SubjectKind, list[Cause]] = {}
    for cause in causes:
        kinds.setdefault(cause.subject, []).append(cause)
    return kinds


def follows(cause: Cause, judgement: Judgement) -> bool:
    """Whether a cause's state is there at a subject, and follows from another fault by one of its exclusions."""
    excluded = zip(cause.excludes, judgement.excludes, strict=False)
    is_there = bool(judgement.requires) and all(one is True for one in judgement.requires)
    return is_there and any(clause.follows and outcome is True for clause, outcome in excluded)
