"""What to look at next: the unobserved facts that would decide between the remaining causes, cheapest first."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from bot.causes.cause import Cause
from bot.causes.explaining import undecided
from bot.causes.judging import Judgement
from bot.domain.cause import NextObservation
from bot.domain.facts import FactSpec, FactTable, Rung, Subject, SubjectKind
from bot.rules.expression import lookup_for
from bot.rules.template import quoted

MAX_OBSERVATIONS = 8
_LADDER = tuple(Rung)
_PLACEHOLDERS: Mapping[str, tuple[str, str]] = {
    "<host link>": ("pod", "own_dev"),
    "<gateway>": ("pod", "gateway_ip"),
    "<pod ip>": ("pod", "ip"),
    "<uplink>": ("node", "uplink_name"),
    "<overlay device>": ("node", "overlay_name"),
    "<cluster ip>": ("cluster", "dns_service_ip"),
}
"""What a look leaves to whoever types it, and the fact that says it."""


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
    return tuple(found[:MAX_OBSERVATIONS])


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
        look=filled(spec.look, subject, facts) if spec else "",
        decides=tuple(sorted(wanted.causes)),
        why=facts.why_unobserved(subject, name.partition(".")[2]),
    )


def filled(look: str, subject: Subject, facts: FactTable) -> str:
    """The look with everything in it that is known; what is not stays a placeholder."""
    context = facts.relations.context(subject)
    if subject.kind is SubjectKind.SERVICE:  # its own address is no fact, and that of another one would mislead
        context = {"service": subject}
    for placeholder, (variable, key) in _PLACEHOLDERS.items():
        if placeholder in look and (behind := context.get(variable)) is not None:
            value = facts.of(behind).get(key)
            look = look.replace(placeholder, quoted(value)) if isinstance(value, str) and value else look
    node = context.get("node") or context.get("src")
    return look.replace("<node>", quoted(node.name)) if node else look.replace("on <node>", "on any node")
