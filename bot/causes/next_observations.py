"""What to look at next: the unobserved facts that would decide between the remaining causes, cheapest first."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from bot.causes.cause import Cause
from bot.causes.explaining import undecided
from bot.causes.judging import Judgement
from bot.causes.looks import filled
from bot.domain.cause import NextObservation
from bot.domain.facts import FactSpec, FactTable, Rung, Subject
from bot.rules.expression import lookup_for

MAX_OBSERVATIONS = 8
_LADDER = tuple(Rung)


@dataclass(slots=True)
class _Wanted:
    subjects: set[Subject] = field(default_factory=set[Subject])
    causes: set[str] = field(default_factory=set[str])


def next_observations(
    open_causes: Iterable[tuple[Cause, Mapping[Subject, Judgement]]],
    facts: FactTable,
    specs: Mapping[str, FactSpec],
) -> tuple[NextObservation, ...]:
    """The facts that would decide most, by the least rung that sees them, then by how many causes they bear on."""
    wanted: dict[str, _Wanted] = {}
    for cause, judgements in open_causes:
        for subject, judgement in judgements.items():
            _want(cause, subject, judgement, facts, wanted)
    found = [_observation(name, one, facts, specs) for name, one in wanted.items()]
    found.sort(key=lambda one: (_LADDER.index(one.rung), -len(one.decides), one.fact, one.subject))
    return tuple(_with_look(one, facts, specs) for one in found[:MAX_OBSERVATIONS])


def _want(cause: Cause, subject: Subject, judgement: Judgement, facts: FactTable, wanted: dict[str, _Wanted]) -> None:
    find = lookup_for(facts, subject)
    context = facts.relations.context(subject)
    for expression in undecided(cause, judgement):
        for variable, key in expression.unknown(find):
            behind = context.get(variable)
            if behind is not None:
                entry = wanted.setdefault(f"{behind.kind}.{key}", _Wanted())
                entry.subjects.add(behind)
                entry.causes.add(cause.id)


def _observation(name: str, wanted: _Wanted, facts: FactTable, specs: Mapping[str, FactSpec]) -> NextObservation:
    subject = min(wanted.subjects, key=facts.relations.asked_first)
    spec = specs.get(name)
    rungs = spec.rungs if spec else (Rung.AGENT,)
    return NextObservation(
        fact=name,
        subject=subject,
        rung=min(rungs, key=_LADDER.index),
        look="",
        decides=tuple(sorted(wanted.causes)),
        why=facts.why_unobserved(subject, name.partition(".")[2]),
    )


def _with_look(one: NextObservation, facts: FactTable, specs: Mapping[str, FactSpec]) -> NextObservation:
    spec = specs.get(one.fact)
    return replace(one, look=filled(spec.look, one.subject, facts)) if spec else one
