"""The differential diagnosis: every cause held against the facts, and the fewest that explain the symptoms.

Pure: same causes, facts and symptoms, same result, in whatever order they come. Without a symptom there is no cause,
however guilty a state looks. While a symptom has no cause, no cause is confirmed: what was overlooked may explain all.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from bot.causes.cause import Cause
from bot.causes.explaining import explain
from bot.causes.judging import Judge, Judgement, by_kind, follows
from bot.causes.next_observations import next_observations
from bot.causes.reachability import Reachability, SymptomScope, relevant_subjects
from bot.causes.selection import (
    Candidate,
    candidates,
    explained,
    needed,
    remaining,
    select,
    without_roots_that_follow,
    without_what_follows,
)
from bot.domain.cause import Differential, Explanation
from bot.domain.facts import FactSpec, FactTable, Subject, SubjectKind
from bot.domain.finding import Symptom, SymptomKind
from bot.domain.report import Confidence

MAX_ALTERNATIVES = 8
MAX_RULED_OUT = 15

Judged = Mapping[str, Mapping[Subject, Judgement]]


def differentiate(
    causes: Iterable[Cause], facts: FactTable, symptoms: Iterable[Symptom], specs: Iterable[FactSpec] = ()
) -> Differential:
    """Which causes explain the symptoms, which remain possible, which are ruled out, and what would settle the rest.

    `specs` serve to say how an unobserved fact can be seen.
    """
    reachability = Reachability(facts)
    scopes = [reachability.scope(symptom) for symptom in _ordered(symptoms)]
    if not scopes:
        return Differential()
    known = {cause.id: cause for cause in causes}
    judged = _judge(known.values(), facts, scopes)
    out = {name for name, judgements in judged.items() if _is_out(judgements)}
    pool = [one for name in sorted(judged) for one in candidates(known[name], judged[name], scopes, out)]
    asked = needed(scopes)
    chosen = select(pool, asked, scopes)
    others = remaining(pool, chosen, asked, scopes)
    chosen, others = without_roots_that_follow(chosen, others, asked, scopes, facts.relations)
    settled = explained(chosen, scopes)
    if asked - settled:
        chosen = [one.at_most(Confidence.LIKELY) for one in chosen]
    chosen, following = without_what_follows(chosen)
    selected = _merged(chosen, judged, facts, scopes)
    consequences = () if asked - settled else _consequences(known, judged, facts, selected)
    open_causes = [one for one in (*chosen, *others) if one.confidence is not Confidence.CONFIRMED]
    return Differential(
        selected=selected,
        consequences=(*_merged(following, judged, facts, scopes), *consequences),
        alternatives=_merged(others[:MAX_ALTERNATIVES], judged, facts, scopes),
        ruled_out=_ruled_out(known, judged, out, facts, selected),
        symptoms=tuple(scope.symptom for scope in scopes),
        unexplained=tuple(scopes[index].symptom for index in sorted(asked - settled)),
        next_observations=next_observations(
            [(one.cause, _at(judged[one.cause.id], one.subjects)) for one in open_causes],
            facts,
            {spec.name: spec for spec in specs},
        ),
    )


def _ordered(symptoms: Iterable[Symptom]) -> list[Symptom]:
    return sorted(symptoms, key=lambda one: (one.subject, one.kind, one.hop, repr(one.flows)))


def _judge(causes: Iterable[Cause], facts: FactTable, scopes: Sequence[SymptomScope]) -> Judged:
    """Each cause that could explain any of the symptoms, judged at the subjects where it could."""
    relevant = relevant_subjects(scopes)
    judged: dict[str, Mapping[Subject, Judgement]] = {}
    for kind, group in by_kind(causes).items():
        concerned = [cause for cause in group if any(symptom in relevant for symptom in cause.explains)]
        subjects = sorted({one for cause in concerned for one in _subjects(cause, kind, relevant)})
        for cause, judgements in Judge(concerned, facts, subjects).judgements():
            judged[cause.id] = _at(judgements, _subjects(cause, kind, relevant))
    return judged


def _subjects(
    cause: Cause, kind: SubjectKind, relevant: Mapping[SymptomKind, Mapping[SubjectKind, frozenset[Subject]]]
) -> frozenset[Subject]:
    return frozenset[Subject]().union(*(relevant[one].get(kind, ()) for one in cause.explains if one in relevant))


def _at(judgements: Mapping[Subject, Judgement], subjects: Iterable[Subject]) -> Mapping[Subject, Judgement]:
    return {subject: judgements[subject] for subject in subjects}


def _merged(
    chosen: Iterable[Candidate], judged: Judged, facts: FactTable, scopes: Sequence[SymptomScope]
) -> tuple[Explanation, ...]:
    """One explanation for each cause; the same cause chosen at two confidences keeps the better."""
    by_cause: dict[str, list[Candidate]] = {}
    for one in chosen:
        by_cause.setdefault(one.cause.id, []).append(one)
    return tuple(_explanation(group, judged, facts, scopes) for group in by_cause.values())


def _explanation(
    group: Sequence[Candidate], judged: Judged, facts: FactTable, scopes: Sequence[SymptomScope]
) -> Explanation:
    best = group[0]
    subjects = frozenset[Subject]().union(*(one.subjects for one in group))
    indices = sorted(frozenset[int]().union(*(one.explains | one.shares.keys() for one in group)))
    symptoms = [scopes[index].symptom for index in indices]
    suspects = {one for scope in scopes for one in _named(scope.symptom)}
    return explain(best.cause, best.confidence, subjects, judged[best.cause.id], facts, symptoms, suspects)


def _named(symptom: Symptom) -> Iterator[Subject]:
    yield symptom.subject
    for flow in symptom.flows:
        yield flow.source


def _ruled_out(
    known: Mapping[str, Cause],
    judged: Judged,
    out: Iterable[str],
    facts: FactTable,
    selected: Sequence[Explanation],
) -> tuple[Explanation, ...]:
    """Causes that are excluded wherever they could have been; look-alikes of the selected ones first."""
    alike = {one.cause for chosen in selected for one in known[chosen.id].look_alikes}
    direct = {known[chosen.id].explains[0] for chosen in selected}
    names = sorted(out, key=lambda name: (name not in alike, known[name].explains[0] not in direct, name))
    return tuple(
        explain(known[name], Confidence.RULED_OUT, _out(judged[name]), judged[name], facts)
        for name in names[:MAX_RULED_OUT]
    )


def _consequences(
    known: Mapping[str, Cause], judged: Judged, facts: FactTable, selected: Sequence[Explanation]
) -> tuple[Explanation, ...]:
    """The states that are there and follow from what is confirmed: no causes, and yet what people come upon."""
    if not any(one.confidence is Confidence.CONFIRMED for one in selected):
        return ()
    found = ((known[name], [at for at, one in of.items() if follows(known[name], one)]) for name, of in judged.items())
    return tuple(
        explain(cause, Confidence.RULED_OUT, subjects, judged[cause.id], facts) for cause, subjects in found if subjects
    )


def _is_out(judgements: Mapping[Subject, Judgement]) -> bool:
    considered = [one for one in judgements.values() if one.applies is not False]
    return bool(considered) and all(one.confidence is Confidence.RULED_OUT for one in considered)


def _out(judgements: Mapping[Subject, Judgement]) -> list[Subject]:
    return [subject for subject, one in judgements.items() if one.confidence is Confidence.RULED_OUT]
