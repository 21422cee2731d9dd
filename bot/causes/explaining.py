"""Judgements as sentences: what speaks for a cause, what against it, what was not seen, what it is not."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from bot.causes.cause import Cause, Clause, Fix, is_remote
from bot.causes.contrast import contrast, healthy_sibling
from bot.causes.judging import Judgement
from bot.domain.cause import Explanation
from bot.domain.facts import VARIABLES, FactTable, Subject, SubjectKind
from bot.domain.finding import Symptom
from bot.domain.report import Confidence, Counts, LookAlike, NodeCommands, RemediationReport, Statement
from bot.rules.expression import Expression, Reference, lookup_for
from bot.rules.template import Template, shown

MAX_SUBJECTS = 5
"""Sentences are written out for this many subjects of a cause."""
MAX_ALIKE = 2
"""Sentences that differ only in their subject's own values are written out for this many of them."""
MAX_FIXED = 64
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
    first = facts.relations.asked_first
    ordered = sorted(subjects, key=lambda one: (judgements[one].confidence is not confidence, *first(one)))
    writer = _Writer(cause, facts, ordered, judgements)
    is_out = confidence is Confidence.RULED_OUT
    return Explanation(
        id=cause.id,
        title=cause.title,
        short=cause.short,
        taxonomy=cause.taxonomy,
        mechanism=cause.mechanism,
        hop=cause.hop,
        confidence=confidence,
        subjects=tuple(ordered),
        supporting=() if is_out else _unique((*writer.evidence_for(), *writer.contrast({*suspects, *ordered}))),
        opposing=_unique(writer.evidence_against()),
        unobserved=() if is_out else _unique(writer.unobserved()),
        likenesses=() if is_out else _unique((*writer.refuted(), *writer.not_refuted())),
        explains=tuple(symptoms),
        fixes=() if is_out else tuple(writer.fixes()),
        then=() if is_out else _unique(writer.then()),
        never=cause.never,
        usual_changes=cause.changes,
    )


T = TypeVar("T")


def _unique(statements: Iterable[T]) -> tuple[T, ...]:
    return tuple(dict.fromkeys(statements))[:MAX_SENTENCES]


class _Writer:
    """Writes the sentences about one cause at its first few subjects."""

    def __init__(
        self, cause: Cause, facts: FactTable, subjects: Sequence[Subject], judgements: Mapping[Subject, Judgement]
    ) -> None:
        self._cause = cause
        self._facts = facts
        self._subjects = subjects[:MAX_SUBJECTS]
        self._every = frozenset(subjects)
        self._fixed = subjects[:MAX_FIXED]
        self._more = len(subjects) - len(self._subjects)
        self._of = judgements

    def evidence_for(self) -> Iterator[Statement]:
        """What holds: requirements first, then what supports."""
        for clauses, outcomes in ((self._cause.requires, "requires"), (self._cause.supports, "supports")):
            for index, clause in enumerate(clauses):
                hold = [one for one in self._subjects if _outcome(self._of[one], outcomes, index) is True]
                yield from self._sentences(clause, hold)

    def contrast(self, suspects: Collection[Subject]) -> Iterator[Statement]:
        """How the first pod differs from a healthy one."""
        for subject in self._subjects[:1]:
            if subject.kind is SubjectKind.POD:
                sibling = healthy_sibling(self._facts, subject, suspects)
                if sibling is not None:
                    for sentence in contrast(self._facts, self._cause, subject, sibling):
                        yield Statement(text=sentence)

    def evidence_against(self) -> Iterator[Statement]:
        """The exclusions that hold and the requirements that do not, by name and value."""
        for subject in self._subjects:
            judgement = self._of[subject]
            for index, clause in enumerate(self._cause.excludes):
                if _outcome(judgement, "excludes", index) is True:
                    yield Statement(subjects=(str(subject),), text=clause.says.render(self._facts, subject))
            for index, clause in enumerate(self._cause.requires):
                if _outcome(judgement, "requires", index) is False:
                    yield Statement(subjects=(str(subject),), text=self._values(clause.that, subject))

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

    def refuted(self) -> Iterator[LookAlike]:
        """For each look-alike that is refuted at all subjects: what shows that."""
        for index, likeness in enumerate(self._cause.look_alikes):
            if self._is_refuted(index):
                for subject in self._subjects[:1]:
                    why = likeness.says.render(self._facts, subject)
                    yield LookAlike(cause=likeness.cause, is_refuted=True, why=why)

    def not_refuted(self) -> Iterator[LookAlike]:
        """The other look-alikes."""
        for index, one in enumerate(self._cause.look_alikes):
            if not self._is_refuted(index):
                yield LookAlike(cause=one.cause, is_refuted=False)

    def fixes(self) -> Iterator[RemediationReport]:
        """The fixes in their order where they apply, commands written out for the first few subjects.

        One whose commands could not be written comes after those of the same risk that can be pasted.
        """
        made = [(fix, self._fix(fix, found)) for fix in self._cause.fixes if (found := self._concerned(fix))]
        yield from (one for _, one in sorted(made, key=lambda pair: (pair[1].risk, _lacks_commands(*pair))))

    def then(self) -> Iterator[str]:
        """What keeps it fixed."""
        for fix in self._cause.fixes:
            if fix.then is not None:
                for subject in self._concerned(fix)[:1]:
                    yield fix.then.render(self._facts, subject)

    def _concerned(self, fix: Fix) -> Sequence[Subject]:
        """The subjects at which a fix applies; where that is unknown it does not."""
        if fix.when is None:
            return self._fixed
        return [one for one in self._fixed if fix.when.evaluate(lookup_for(self._facts, one)) is True]

    def _fix(self, fix: Fix, concerned: Sequence[Subject]) -> RemediationReport:
        at = self._placed(fix.commands, concerned)
        undo_at = self._placed(fix.undo, concerned) if at else ()  # nothing is undone that nobody could type
        unknown = "" if at or fix.no_command else self._not_filled(fix, concerned)
        return RemediationReport(
            id=fix.id,
            risk=fix.risk,
            why=fix.does.of_several(self._facts, concerned),
            commands=_unplaced(at),
            undo=_unplaced(undo_at),
            at=at,
            undo_at=undo_at,
            touches=fix.touches,
            decide=fix.decide if at else "",
            no_command=fix.no_command or unknown,
            subjects=tuple(map(str, concerned)),
        )

    def _not_filled(self, fix: Fix, concerned: Sequence[Subject]) -> str:
        """Why no command could be written: the first value that is missing."""
        for subject in concerned:
            for field in (field for one in fix.commands for field in one.unknown(self._facts, subject)):
                variable, _, key = field.partition(".")
                why = self._why(subject, (variable, key)) if key else "its name is not known"
                return why or f"{field} of {subject} is not known"
        return ""

    def _placed(self, templates: Sequence[Template], concerned: Sequence[Subject]) -> tuple[NodeCommands, ...]:
        """The commands for every subject that is fixed, each once, by the node on which they are typed."""
        placed: dict[str, dict[str, None]] = {}
        for subject in concerned:
            if any(one.unknown(self._facts, subject) for one in templates if not one.raw):
                continue  # half of a sequence is worse than none
            for one in templates:
                for command in one.commands(self._facts, subject):
                    node = "" if is_remote(command) else self._node_of(subject, one)
                    placed.setdefault(node, {})[command] = None
        return tuple(NodeCommands(node=node, commands=tuple(commands)) for node, commands in placed.items())

    def _node_of(self, subject: Subject, command: Template) -> str:
        """Where a command is typed: of a direction's two nodes the one that sends, unless it is about the other."""
        context = self._facts.relations.context(subject)
        ends = {field.partition(".")[0] for field in command.fields} & {"src", "dst"}
        found = context.get("node") or context.get("dst" if ends == {"dst"} else "src")
        return found.name if found else ""

    def _sentences(self, clause: Clause, subjects: Sequence[Subject]) -> Iterator[Statement]:
        """One statement when it is the same for all subjects, else one each."""
        if not subjects:
            return
        rendered = {subject: clause.says.render(self._facts, subject) for subject in subjects}
        counts, pattern = self._counts(clause), clause.says.of_several(self._facts, subjects)
        if len(set(rendered.values())) == 1 and len(rendered) > 1:
            names = tuple(str(subject) for subject in rendered)
            text = next(iter(rendered.values()))
            yield Statement(subjects=names, text=text, more=max(0, self._more), counts=counts, pattern=pattern)
            return
        alike = max(0, len(rendered) - MAX_ALIKE) + self._more
        for number, (subject, text) in enumerate(list(rendered.items())[:MAX_ALIKE], start=1):
            likewise = alike if number == MAX_ALIKE else 0
            first = number == 1
            yield Statement(
                subjects=(str(subject),), text=text, likewise=likewise,
                counts=counts if first else None, pattern=pattern if first else "",
            )  # fmt: skip

    def _counts(self, clause: Clause) -> Counts | None:
        """Of how many subjects at fault the clause holds, and of how many others to which the cause could apply.

        Those at which it is unknown are in neither number.
        """
        kind = self._cause.subject
        if kind is SubjectKind.CLUSTER:
            return None
        here, elsewhere = [0, 0], [0, 0]
        for subject in self._facts.subjects(kind):
            find = lookup_for(self._facts, subject)
            if self._cause.applies is not None and self._cause.applies.evaluate(find) is not True:
                continue
            outcome = clause.that.evaluate(find)
            if outcome is not None:
                numbers = here if subject in self._every else elsewhere
                numbers[0] += outcome
                numbers[1] += 1
        return Counts(kind=kind.value, here=here[0], of_here=here[1], elsewhere=elsewhere[0], of_elsewhere=elsewhere[1])

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


def _lacks_commands(fix: Fix, made: RemediationReport) -> bool:
    """Whether it has commands, of which none could be written."""
    return bool(fix.commands) and not made.commands


def _unplaced(placed: Iterable[NodeCommands]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(command for one in placed for command in one.commands))


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
