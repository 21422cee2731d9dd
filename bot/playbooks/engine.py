"""Facts judged in the order of a playbook: what its probes find, and what its expectations add."""

from collections.abc import Iterable, Iterator

from bot.domain.facts import CLUSTER, FactTable, Subject, SubjectKind
from bot.domain.finding import Finding, Severity
from bot.domain.listing import and_more
from bot.playbooks.schema import Expectation, Playbook, Step
from bot.probes.engine import running
from bot.probes.engine.probe import Probe
from bot.rules.expression import Expression, lookup_for

MAX_NAMED = 3


def run(playbook: Playbook, probes: Iterable[Probe], facts: FactTable) -> tuple[Finding, ...]:
    """The findings of the playbook's probes, step by step, each followed by its unmet expectations.

    An expectation over something unobserved is INCONCLUSIVE and says what was not observed (one that would only be
    worth a remark says nothing). A probe that stands in several steps is judged once.
    """
    known = {probe.name: probe for probe in probes}
    judged: set[str] = set()
    findings: list[Finding] = []
    for step in playbook.steps:
        if step.probe not in judged:
            judged.add(step.probe)
            findings.extend(running.judge(known[step.probe], facts))
        findings.extend(_unmet(step, facts))
    return tuple(findings)


def _unmet(step: Step, facts: FactTable) -> Iterator[Finding]:
    for expectation in step.expectations:
        unseen: list[Subject] = []
        for subject in _subjects(expectation.about, facts):
            find = lookup_for(facts, subject)
            if expectation.where is not None and expectation.where.evaluate(find) is not True:
                continue
            outcome = expectation.that.evaluate(find)
            if outcome is None:
                unseen.append(subject)
            elif not outcome:
                yield _finding(step, expectation, facts, subject)
        if unseen and expectation.severity != "info":
            yield _inconclusive(step, expectation, facts, unseen)


def _subjects(kind: SubjectKind, facts: FactTable) -> Iterable[Subject]:
    return (CLUSTER,) if kind is SubjectKind.CLUSTER else facts.subjects(kind)


def _finding(step: Step, expectation: Expectation, facts: FactTable, subject: Subject) -> Finding:
    find = lookup_for(facts, subject)
    seen = {f"{variable}.{key}": find(variable, key) for variable, key in expectation.that.references}
    return Finding(
        probe=step.probe,
        subject=subject,
        severity=Severity(expectation.severity),
        sentence=expectation.otherwise.render(facts, subject),
        evidence={name: value for name, value in seen.items() if value is not None},
    )


def _inconclusive(step: Step, expectation: Expectation, facts: FactTable, subjects: list[Subject]) -> Finding:
    """One finding for all subjects of an expectation that could not be decided."""
    first = subjects[0]
    names = and_more(subjects, MAX_NAMED)
    return Finding(
        probe=step.probe,
        subject=first if len(subjects) == 1 else CLUSTER,
        severity=Severity.INCONCLUSIVE,
        sentence=f"{_missing(expectation.that, facts, first)} was not observed for {names}.",
    )


def _missing(expression: Expression, facts: FactTable, subject: Subject) -> str:
    context = facts.relations.context(subject)
    parts: list[str] = []
    for variable, key in expression.unknown(lookup_for(facts, subject)):
        behind = context.get(variable)
        why = facts.why_unobserved(behind, key) if behind else ""
        parts.append(f"{variable}.{key}" + (f" ({why})" if why else ""))
    return " and ".join(parts)
