"""The verdict for a lock screen: where, what, and what it means for whom. "node-2: proxy ARP is off, 8 pods …"."""

from collections.abc import Sequence
from dataclasses import replace

from bot.diagnosis.blast_radius import nodes_at_fault
from bot.diagnosis.verdict import MAX_HEADLINE, unproven
from bot.domain.cause import Differential, Explanation
from bot.domain.errors import bounded
from bot.domain.facts import Subject, SubjectKind
from bot.domain.listing import counted
from bot.domain.report import BlastRadius, Verdict
from bot.probes.engine.evidence import Evidence

_MOST_NODES = 20
_MAX_NAME = 40


def with_headline(decided: Verdict, evidence: Evidence, differential: Differential, radius: BlastRadius) -> Verdict:
    """The verdict with its headline, and where a cause is named with its place."""
    first = next((one for one in differential.selected if one.id == decided.cause), None)
    if first is None:
        return replace(decided, headline=_without_cause(radius) or decided.headline)
    nodes = nodes_at_fault(evidence, first)
    head = f"{_short_place(first, nodes)}: {_fact(first)}"
    effect = _effect(radius)
    whole = f"{head}, {effect}" if effect else head
    headline = whole if len(whole) <= MAX_HEADLINE else bounded(head, MAX_HEADLINE)
    return replace(decided, headline=headline, place=_place(first, nodes))


def _without_cause(radius: BlastRadius) -> str:
    """Whom something happens to, and what; "" where no pod is known to be affected."""
    if not (radius.cut_off and radius.effect):
        return ""
    if radius.cut_off == 1:
        says = f"{bounded(radius.cut_off_names[0], _MAX_NAME)} {radius.effect}"
    else:
        place = f"{_nodes(radius.cut_off_nodes)}: " if radius.cut_off_nodes else ""
        says = f"{place}{radius.cut_off} pods {radius.effect}"
    return unproven(says)


def _nodes(names: Sequence[str]) -> str:
    return bounded(" and ".join(names), _MAX_NAME) if len(names) < 3 else f"{len(names)} nodes"


def _fact(cause: Explanation) -> str:
    """The short title, else the beginning of the title."""
    return cause.short or bounded(cause.title, 60)


def _effect(radius: BlastRadius) -> str:
    if radius.cut_off and radius.effect:
        return f"{counted(radius.cut_off, 'pod')} {radius.effect}"
    if radius.waiting:
        return f"{counted(radius.waiting, 'pod')} {'waits' if radius.waiting == 1 else 'wait'} for it"
    return ""


def _short_place(cause: Explanation, nodes: Sequence[str]) -> str:
    match cause.subjects:
        case (Subject(kind=SubjectKind.POD, name=name),):
            return bounded(name, _MAX_NAME)
        case (Subject(kind=SubjectKind.PAIR, name=name),):
            return bounded(name.replace(">", " to "), _MAX_NAME)
        case (Subject(kind=SubjectKind.SERVICE, name=name), *more):
            return f"{len(more) + 1} Services" if more else f"Service {bounded(name, _MAX_NAME)}"
        case _ if nodes:
            return _nodes(nodes)
        case _:
            return "the cluster"


def _place(cause: Explanation, nodes: Sequence[str]) -> str:
    """The same in full: two faults of one cause at different places are two faults."""
    kinds = {one.kind for one in cause.subjects}
    if len(cause.subjects) == 1 or kinds == {SubjectKind.SERVICE}:
        return ", ".join(str(one) for one in cause.subjects[:_MOST_NODES]).removeprefix("node ")
    return ", ".join(nodes[:_MOST_NODES]) or "cluster"
