"""The fewest causes that explain the symptoms."""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from bot.causes.cause import Cause
from bot.causes.judging import STRENGTH, Judgement
from bot.causes.reachability import SymptomScope
from bot.domain.facts import Relations, Subject
from bot.domain.finding import SymptomKind
from bot.domain.report import Confidence

SECONDARY = frozenset({SymptomKind.PODS_NOT_READY, SymptomKind.NODE_NOT_READY})
"""Consequences nearly always: they ask for a cause only when nothing else failed."""

_TIERS = (Confidence.CONFIRMED, Confidence.LIKELY, Confidence.POSSIBLE)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A cause at all the subjects where it is at least this sure."""

    cause: Cause
    confidence: Confidence
    subjects: frozenset[Subject]
    explains: frozenset[int]
    """Indices of symptoms."""
    needed: frozenset[int]
    """Those of them that ask for a cause."""
    rivals: frozenset[str] = frozenset()
    """Look-alikes that are neither refuted at each of the subjects nor ruled out."""
    shares: Mapping[int, frozenset[int]] = field(default_factory=lambda: MappingProxyType({}))
    """Of symptoms that ask for a cause and that it does not explain alone: the flows that it touches."""

    @property
    def strength(self) -> int:
        """The confidence as a number, larger is surer."""
        return STRENGTH[self.confidence]

    def at_most(self, confidence: Confidence) -> "Candidate":
        """The same, no surer than this."""
        return self if self.strength <= STRENGTH[confidence] else replace(self, confidence=confidence)


def needed(scopes: Sequence[SymptomScope]) -> frozenset[int]:
    """The symptoms that ask for a cause: all but mere consequences, or those when there is nothing else."""
    primary = frozenset(index for index, one in enumerate(scopes) if one.symptom.kind not in SECONDARY)
    return primary or frozenset(range(len(scopes)))


def candidates(
    cause: Cause, judgements: Mapping[Subject, Judgement], scopes: Sequence[SymptomScope], ruled_out: AbstractSet[str]
) -> list[Candidate]:
    """The cause at each confidence that adds subjects, surest first, where it explains anything.

    `ruled_out` are the causes that evidence excludes, and that are nobody's rival therefore.
    """
    found: list[Candidate] = []
    asked = needed(scopes)
    subjects: frozenset[Subject] = frozenset()
    for tier in _TIERS:
        more = frozenset(subject for subject, one in judgements.items() if one.confidence is tier)
        if not more:
            continue
        subjects |= more
        explains = frozenset(
            index for index, scope in enumerate(scopes) if _speaks_of(cause, scope) and scope.is_explained_by(subjects)
        )
        shares = {
            index: share
            for index in asked - explains
            if _speaks_of(cause, scopes[index]) and (share := scopes[index].share_of(subjects))
        }
        if explains or shares:
            rivals = _rivals(cause, judgements, subjects) - ruled_out
            found.append(Candidate(cause, tier, subjects, explains, explains & asked, rivals, shares))
    return found


def _speaks_of(cause: Cause, scope: SymptomScope) -> bool:
    """Whether a cause can account for symptoms of this kind; one of DNS for no other Service than that of DNS."""
    is_other_service = scope.symptom.kind is SymptomKind.SERVICE_UNREACHABLE and not scope.is_dns
    return scope.symptom.kind in cause.explains and not (cause.hop == "dns" and is_other_service)


def _rivals(cause: Cause, judgements: Mapping[Subject, Judgement], subjects: Iterable[Subject]) -> frozenset[str]:
    outcomes = {judgements[subject].refuted for subject in subjects}
    return frozenset(
        likeness.cause
        for refuted in outcomes
        for likeness, outcome in zip(cause.look_alikes, refuted, strict=False)
        if outcome is not True
    )


def select(
    all_candidates: Iterable[Candidate], asked: frozenset[int], scopes: Sequence[SymptomScope]
) -> list[Candidate]:
    """A small set of confirmed and likely candidates that explains what can be explained, strongest first.

    Greedy by: no mere consequence, and none whose look-alike is proven; confidence; a state that suffices; symptoms
    newly explained; specificity; id. What the others explain as well is dropped if it is a consequence or less than
    confirmed. What the greedy choice had no need of is a second fault if its required state suffices by itself and it
    is confirmed, or if its only unrefuted look-alikes are there too. A symptom that none explains alone may have
    several confirmed causes that touch all its flows together.
    """
    pool = [one for one in all_candidates if one.strength >= STRENGTH[Confidence.LIKELY]]
    proven = {one.cause.id for one in pool if one.confidence is Confidence.CONFIRMED}
    chosen: list[Candidate] = []
    open_symptoms = asked
    while open_symptoms:
        best = min(
            (one for one in pool if one.needed & open_symptoms),
            key=lambda one: (_doubt(one, proven), *_rank(one, open_symptoms)),
            default=None,
        )
        if best is None:
            break
        chosen.append(best)
        open_symptoms -= best.needed
    chosen = _minimal(chosen)
    joined = [*chosen, *_joint(chosen, pool, scopes, open_symptoms)]
    return sorted(_with_second_faults(joined, pool), key=_order)


def explained(chosen: Sequence[Candidate], scopes: Sequence[SymptomScope]) -> frozenset[int]:
    """The symptoms that ask for a cause and have one, or several together."""
    alone = frozenset[int]().union(*(one.needed for one in chosen))
    together = {
        index
        for index in {index for one in chosen for index in one.shares} - alone
        if not _untouched(chosen, scopes[index], index)
    }
    return alone | together


def _untouched(chosen: Iterable[Candidate], scope: SymptomScope, index: int) -> frozenset[int]:
    """The flows of a symptom that none of these causes touches."""
    touched = frozenset[int]().union(*(one.shares.get(index, frozenset[int]()) for one in chosen))
    return frozenset(range(len(scope.flows))) - touched


def _joint(
    chosen: Sequence[Candidate], pool: Sequence[Candidate], scopes: Sequence[SymptomScope], open_symptoms: Iterable[int]
) -> list[Candidate]:
    """Confirmed candidates that explain open symptoms together with each other and with the chosen ones."""
    added: list[Candidate] = []
    helpers = [one for one in pool if one.confidence is Confidence.CONFIRMED and not one.cause.is_consequence]
    for index in sorted(open_symptoms):
        added += _sharing(index, scopes[index], (*chosen, *added), helpers)
    return [one for at, one in enumerate(added) if one not in added[:at]]


def _sharing(
    index: int, scope: SymptomScope, chosen: Sequence[Candidate], helpers: Sequence[Candidate]
) -> Sequence[Candidate]:
    """The fewest helpers with which the chosen ones touch every flow of one symptom; none when they do not suffice."""
    adding: list[Candidate] = []
    while missing := _untouched((*chosen, *adding), scope, index):
        news = [(len(one.shares.get(index, frozenset[int]()) & missing), one) for one in helpers]
        best = min((one for one in news if one[0]), key=lambda each: (-each[0], *_order(each[1])), default=None)
        if best is None:
            return ()
        adding.append(best[1])
    return adding


def _doubt(one: Candidate, proven: AbstractSet[str]) -> int:
    """How a candidate stands to the others: by itself, as a mere consequence, or unproven because of a proven one."""
    if one.confidence is not Confidence.CONFIRMED and one.rivals & proven:
        return 2
    return int(one.cause.is_consequence)


def _rank(one: Candidate, open_symptoms: frozenset[int]) -> tuple[int, bool, int, int, str]:
    """Smallest first. A state that suffices by itself goes before a cause that stands by elimination."""
    cause = one.cause
    return (-one.strength, not cause.is_sufficient, -len(one.needed & open_symptoms), -cause.specificity, cause.id)


def _order(one: Candidate) -> tuple[bool, int, bool, int, int, str]:
    return (one.cause.is_consequence, *_rank(one, one.needed))


def _minimal(chosen: list[Candidate]) -> list[Candidate]:
    kept = list(chosen)
    for one in sorted(chosen, key=_order, reverse=True):
        if one.confidence is Confidence.CONFIRMED and not one.cause.is_consequence:
            continue
        # That a consequence explains it as well is no reason to drop the cause behind the consequence.
        rivals = (
            other for other in kept if other is not one and (one.cause.is_consequence or not other.cause.is_consequence)
        )
        others = frozenset[int]().union(*(other.needed for other in rivals))
        if one.needed <= others:
            kept.remove(one)
    return kept


def _with_second_faults(chosen: list[Candidate], pool: Sequence[Candidate]) -> list[Candidate]:
    names = {one.cause.id for one in chosen}
    present = {one.cause.id for one in pool}
    extra: dict[str, Candidate] = {}
    for one in pool:
        if one.cause.id not in names and _is_second_fault(one, present):
            extra.setdefault(one.cause.id, one)
    return [*chosen, *extra.values()]


def _is_second_fault(one: Candidate, present: AbstractSet[str]) -> bool:
    if one.cause.is_consequence or not one.cause.is_sufficient or not (one.needed or one.shares):
        return False
    return one.confidence is Confidence.CONFIRMED or (bool(one.needed) and one.rivals <= present)


def remaining(
    all_candidates: Iterable[Candidate],
    chosen: Sequence[Candidate],
    asked: frozenset[int],
    scopes: Sequence[SymptomScope],
) -> list[Candidate]:
    """What may still explain symptoms that no confirmed choice explains, most telling first."""
    settled = explained([one for one in chosen if one.confidence is Confidence.CONFIRMED], scopes)
    unsettled = asked - settled
    names = {one.cause.id for one in chosen}
    best: dict[str, Candidate] = {}
    for one in all_candidates:
        if one.cause.id not in names and one.needed & unsettled:
            best.setdefault(one.cause.id, one)
    return sorted(best.values(), key=lambda one: (-one.strength, -len(one.needed & unsettled), *_order(one)))


def without_what_follows(chosen: Sequence[Candidate]) -> tuple[list[Candidate], list[Candidate]]:
    """The choice apart from mere consequences that only a proven cause of it kept from being certain: these follow."""
    proven = {one.cause.id for one in chosen if one.confidence is Confidence.CONFIRMED}
    doubted = [one for one in chosen if one.cause.is_consequence and one.confidence is not Confidence.CONFIRMED]
    following = [one for one in doubted if one.rivals and one.rivals <= proven]
    return [one for one in chosen if one not in following], following


def without_roots_that_follow(
    chosen: Sequence[Candidate],
    others: Sequence[Candidate],
    asked: frozenset[int],
    scopes: Sequence[SymptomScope],
    relations: Relations,
) -> tuple[list[Candidate], list[Candidate]]:
    """The choice without consequences of pods that lack something themselves; those become alternatives.

    A Service without ready endpoints is no root while what its pods need is out of their reach, and nobody knows why.
    """
    open_symptoms = asked - explained(chosen, scopes)
    lacking = {flow.source for index in open_symptoms for flow in scopes[index].symptom.flows} | {
        scopes[index].symptom.subject for index in open_symptoms
    }
    following = [one for one in chosen if one.cause.is_consequence and _pods_of(one, relations) & lacking]
    kept = [one for one in chosen if one not in following]
    return kept, [*(one.at_most(Confidence.POSSIBLE) for one in following), *others]


def _pods_of(one: Candidate, relations: Relations) -> frozenset[Subject]:
    """The subjects of a cause, and the pods behind those that are Services."""
    behind = (relations.pods_of_service.get(subject, ()) for subject in one.subjects)
    return one.subjects.union(*behind)
