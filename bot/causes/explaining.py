"""Judgements as sentences: what speaks for a cause, what against it, what was not seen, what it is not."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from bot.causes.cause import Cause, Clause, Fix
from bot.causes.contrast import contrast, healthy_sibling
from bot.causes.judging import Judgement
from bot.domain.cause import Explanation
from bot.domain.facts import VARIABLES, FactTable, Subject, SubjectKind
from bot.domain.finding import Symptom
from bot.domain.report import Confidence, RemediationReport
from bot.rules.expression import Expression, Reference, lookup_for
from bot.rules.template import Template, shown

MAX_SUBJECTS = 5
"""Sentences are written out for this many subjects of a cause."""
MAX_ALIKE = 2
"""Sentences that differ only in their subject's own values are written out for this many of them."""
MAX_MENDED = 64
"""Commands are written out for this many subjects: all that a fix must touch, within reason."""
MAX_SENTENCES = 12


def explain(
    cause: Cause,
    confidence: Confidence,
    subjects: Iterable[Subject],
    judgements: Mapping[Subject, Judgement],
    facts: FactTable,
    symptoms: Sequence[Symptom] = (),
    suspects: Collection[Subject] = (),
) -> Explanation:
    """The cause at these subjects, with the reasons at the first few of them.

    `suspects` are the subjects that symptoms name: none of them serves as a healthy example.
    """
    ordered = sorted(subjects, key=lambda one: (judgements[one].confidence is not confidence, one))
    writer = _Writer(cause, facts, ordered, judgements)
    is_out = confidence is Confidence.RULED_OUT
    return Explanation(
        id=cause.id,
        title=cause.title,
        taxonomy=cause.taxonomy,
        mechanism=cause.mechanism,
        hop=cause.hop,
        confidence=confidence,
        subjects=tuple(ordered),
        evidence_for=() if is_out else _unique((*writer.evidence_for(), *writer.contrast({*suspects, *ordered}))),
        evidence_against=_unique(writer.evidence_against()),
        unobserved=() if is_out else _unique(writer.unobserved()),
        refuted=() if is_out else _unique(writer.refuted()),
        not_refuted=() if is_out else writer.not_refuted(),
        explains=tuple(symptoms),
        fixes=() if is_out else tuple(writer.fixes()),
        then=() if is_out else _unique(writer.then()),
        never=cause.never,
        usual_changes=cause.changes,
    )


def _unique(sentences: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(sentences))[:MAX_SENTENCES]


class _Writer:
    """Writes the sentences about one cause at its first few subjects."""

    def __init__(
        self, cause: Cause, facts: FactTable, subjects: Sequence[Subject], judgements: Mapping[Subject, Judgement]
    ) -> None:
        self._cause = cause
        self._facts = facts
        self._subjects = subjects[:MAX_SUBJECTS]
        self._mended = subjects[:MAX_MENDED]
        self._more = len(subjects) - len(self._subjects)
        self._of = judgements

    def evidence_for(self) -> Iterator[str]:
        """What holds: requirements first, then what supports."""
        for clauses, outcomes in ((self._cause.requires, "requires"), (self._cause.supports, "supports")):
            for index, clause in enumerate(clauses):
                hold = [one for one in self._subjects if _outcome(self._of[one], outcomes, index) is True]
                yield from self._sentences(clause, hold)

    def contrast(self, suspects: Collection[Subject]) -> Iterator[str]:
        """How the first pod differs from a healthy one."""
        for subject in self._subjects[:1]:
            if subject.kind is SubjectKind.POD:
                sibling = healthy_sibling(self._facts, subject, suspects)
                if sibling is not None:
                    yield from contrast(self._facts, self._cause, subject, sibling)

    def evidence_against(self) -> Iterator[str]:
        """The exclusions that hold and the requirements that do not, by name and value."""
        for subject in self._subjects:
            judgement = self._of[subject]
            for index, clause in enumerate(self._cause.excludes):
                if _outcome(judgement, "excludes", index) is True:
                    yield f"{subject}: {clause.says.render(self._facts, subject)}"
            for index, clause in enumerate(self._cause.requires):
                if _outcome(judgement, "requires", index) is False:
                    yield f"{subject}: {self._values(clause.that, subject)}"

    def unobserved(self) -> Iterator[str]:
        """What was not seen and would bear on it, and how to see it."""
        found = False
        for subject in self._subjects:
            for reference in self._unknown(subject):
                found = True
                why = self._why(subject, reference)
                yield f"{'.'.join(reference)} of {subject} was not observed" + (f" ({why})" if why else "")
        if found:
            yield self._cause.unobserved

    def refuted(self) -> Iterator[str]:
        """For each look-alike that is refuted at all subjects: what shows that."""
        for index, likeness in enumerate(self._cause.look_alikes):
            if self._is_refuted(index):
                for subject in self._subjects[:1]:
                    yield f"not {likeness.cause}: {likeness.says.render(self._facts, subject)}"

    def not_refuted(self) -> tuple[str, ...]:
        """The other look-alikes."""
        return tuple(one.cause for index, one in enumerate(self._cause.look_alikes) if not self._is_refuted(index))

    def fixes(self) -> Iterator[RemediationReport]:
        """The fixes in their order, commands written out for the first few subjects."""
        for fix in self._cause.fixes:
            yield self._fix(fix)

    def then(self) -> Iterator[str]:
        """What keeps it mended."""
        for fix in self._cause.fixes:
            if fix.then is not None:
                for subject in self._subjects[:1]:
                    yield fix.then.render(self._facts, subject)

    def _fix(self, fix: Fix) -> RemediationReport:
        does = tuple(dict.fromkeys(fix.does.render(self._facts, subject) for subject in self._mended))
        return RemediationReport(
            id=fix.id,
            risk=fix.risk,
            why=does[0] + (f" (and likewise for {len(does) - 1} more)" if len(does) > 1 else ""),
            commands=self._commands(fix.commands),
            undo=self._commands(fix.undo),
        )

    def _commands(self, templates: Sequence[Template]) -> tuple[str, ...]:
        """The commands for every subject that is mended, each once."""
        return tuple(dict.fromkeys(one.command(self._facts, subject) for subject in self._mended for one in templates))

    def _sentences(self, clause: Clause, subjects: Sequence[Subject]) -> Iterator[str]:
        """One sentence when all subjects give the same, else one each."""
        rendered = {subject: clause.says.render(self._facts, subject) for subject in subjects}
        if len(set(rendered.values())) == 1 and len(rendered) > 1:
            names = ", ".join(str(subject) for subject in rendered)
            more = f" and {self._more} more" if self._more > 0 else ""
            yield f"{names}{more}: {next(iter(rendered.values()))}"
        else:
            alike = max(0, len(rendered) - MAX_ALIKE) + self._more
            for number, (subject, sentence) in enumerate(list(rendered.items())[:MAX_ALIKE], start=1):
                more = f" (and likewise for {alike} more)" if alike and number == MAX_ALIKE else ""
                yield f"{subject}: {sentence}{more}"

    def _values(self, expression: Expression, subject: Subject) -> str:
        find = lookup_for(self._facts, subject)
        parts: list[str] = []
        for variable, key in expression.references:
            value = find(variable, key)
            words = "was not observed" if value is None else f"is {shown(value)}"
            parts.append(f"{variable}.{key} {words}")
        return " and ".join(parts)

    def _unknown(self, subject: Subject) -> Iterator[Reference]:
        """Unobserved facts of clauses that are unknown because of them."""
        judgement = self._of[subject]
        find = lookup_for(self._facts, subject)
        seen: dict[Reference, None] = {}
        for expression in undecided(self._cause, judgement):
            seen.update(dict.fromkeys(expression.unknown(find)))
        yield from seen

    def _why(self, subject: Subject, reference: Reference) -> str:
        behind = self._facts.relations.context(subject).get(reference[0])
        if behind is None:
            kind = VARIABLES[subject.kind][reference[0]]
            return f"its {kind} is not known"
        return self._facts.why_unobserved(behind, reference[1])

    def _is_refuted(self, index: int) -> bool:
        outcomes = [_outcome(self._of[subject], "refuted", index) for subject in self._subjects]
        return all(one is True for one in outcomes) and bool(outcomes)


def undecided(cause: Cause, judgement: Judgement) -> Iterator[Expression]:
    """The expressions whose unknown outcome keeps a cause from being more, or less."""
    if judgement.applies is None and cause.applies is not None:
        yield cause.applies
    for clauses, outcomes in ((cause.requires, judgement.requires), (cause.excludes, judgement.excludes)):
        for clause, outcome in zip(clauses, outcomes, strict=False):
            if outcome is None:
                yield clause.that
    for likeness, outcome in zip(cause.look_alikes, judgement.refuted, strict=False):
        if outcome is None:
            yield likeness.refuted_when


def _outcome(judgement: Judgement, which: str, index: int) -> bool | None:
    outcomes: tuple[bool | None, ...] = getattr(judgement, which)
    return outcomes[index] if index < len(outcomes) else None
