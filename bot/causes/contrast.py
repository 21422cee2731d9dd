"""A failing pod held against a healthy one: in what they differ is evidence, beside what a single pod can show."""

from collections.abc import Collection, Iterator

from bot.causes.cause import Cause
from bot.domain.facts import FactTable, Subject, SubjectKind
from bot.rules.template import shown

_HEALTHY = {"reach_own_node": "ok", "node_reaches_pod": "ok", "gateway_arp": "answered"}
"""What a pod must show to count as healthy; it must show at least one of these, and none otherwise."""


def healthy_sibling(facts: FactTable, failing: Subject, suspects: Collection[Subject]) -> Subject | None:
    """A pod that works: of the same node if there is one, else the first of any node; None when there is none.

    `suspects` are pods that symptoms or causes name.
    """
    host = facts.relations.node_of_pod.get(failing)
    healthy = [
        one
        for one in facts.subjects(SubjectKind.POD)
        if one != failing and one not in suspects and _is_healthy(facts, one)
    ]
    return min(healthy, key=lambda one: (facts.relations.node_of_pod.get(one) != host, one), default=None)


def _is_healthy(facts: FactTable, one: Subject) -> bool:
    shown_values = {key: value for key, value in facts.of(one).items() if key in _HEALTHY}
    return bool(shown_values) and all(value == _HEALTHY[key] for key, value in shown_values.items())


def contrast(facts: FactTable, cause: Cause, failing: Subject, sibling: Subject) -> Iterator[str]:
    """A sentence for what the cause requires of a pod, and the healthy one does not show."""
    mine, other = facts.of(failing), facts.of(sibling)
    where = "" if facts.relations.node_of_pod.get(sibling) == facts.relations.node_of_pod.get(failing) else " elsewhere"
    references = dict.fromkeys(one for clause in cause.requires for one in clause.that.references)
    differing = [
        f"{key} is {shown(mine[key])} here and {shown(other[key])} there"
        for variable, key in references
        if variable == "pod" and key in mine and key in other and mine[key] != other[key]
    ]
    if differing:
        yield f"{failing} against the healthy {sibling}{where}: {', '.join(differing)}"
