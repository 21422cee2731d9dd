"""Known issues held against the evidence: matches, possible, or ruled out, each with the reasons.

A title is never a verdict. An issue matches only when a cause that it names stands, all that it requires holds, and
the versions lie in its ranges; something unobserved, an unknown version included, leaves it possible at most.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from bot.domain.cause import Differential, Explanation
from bot.domain.facts import CLUSTER, FactTable, Subject, SubjectKind, Value
from bot.domain.report import Confidence, KnownIssueReport
from bot.known_issues.schema import Component, Condition, KnownIssue
from bot.rules.expression import lookup_for
from bot.rules.template import shown

Match = Literal["matches", "possible", "ruled_out"]

MAX_SUBJECTS = 200
_ORDER: dict[Match, int] = {"matches": 0, "possible": 1, "ruled_out": 2}
_COMMONPLACE = frozenset({("pod", "is_young"), ("cluster", "cni"), ("cluster", "distribution"), ("cluster", "proxy")})
"""Facts that hold in many clusters at most times: they alone are no reason to name an issue."""
_NAMES: dict[Component, str] = {"cni": "CNI", "kubernetes": "Kubernetes", "kernel": "kernel"}


@dataclass(frozen=True, slots=True)
class _Result:
    match: Match
    why: tuple[str, ...]
    open: tuple[str, ...] = ()
    """Those of the reasons that keep it from matching."""
    evidence: int = 0
    """How many of its own telling conditions hold."""


def match(issues: Iterable[KnownIssue], facts: FactTable, differential: Differential) -> tuple[KnownIssueReport, ...]:
    """The known issues that bear on the symptoms at hand, those that match first.

    One that is ruled out is reported only when it is often blamed for these symptoms.
    """
    if not differential.symptoms:
        return ()
    found: list[KnownIssueReport] = []
    for issue in issues:
        result = _result(issue, facts, differential)
        if result is not None:
            found.append(_report(issue, result))
    return tuple(sorted(found, key=lambda one: (_ORDER[one.match], one.id)))


def _report(issue: KnownIssue, result: _Result) -> KnownIssueReport:
    return KnownIssueReport(
        id=issue.id,
        match=result.match,
        title=issue.title,
        references=tuple(str(reference) for reference in issue.references),
        why=result.why,
        open=result.open,
    )


def _result(issue: KnownIssue, facts: FactTable, differential: Differential) -> _Result | None:
    """How an issue stands; None when it has no bearing on what was found."""
    kinds = {symptom.kind for symptom in differential.symptoms}
    is_blamed = not kinds.isdisjoint(issue.look_alike_of)
    standing = _standing(issue, differential)
    # What a cause explains needs no issue that has none.
    unexplained = {symptom.kind for symptom in differential.unexplained}
    by_symptom = not issue.causes and not unexplained.isdisjoint(issue.symptoms)
    if standing is None and not by_symptom and not is_blamed:
        return None
    subjects = _subjects(issue, facts, _roots(issue, differential, standing))
    out = _ruled_out_by_inventory(issue, facts) or _ruled_out_by_facts(issue, facts, subjects)
    if out is not None:
        return out if is_blamed else None
    if standing is None and not by_symptom:
        return _Result("ruled_out", _other_cause(differential)) if differential.selected else None
    weighed = _weigh(issue, facts, subjects, standing)
    # A candidate among others, a young pod or a version bring nothing up: that would name an issue in every outage.
    is_found = standing is not None and standing in differential.selected
    return weighed if is_found or weighed.match == "matches" or weighed.evidence else None


def _standing(issue: KnownIssue, differential: Differential) -> Explanation | None:
    """The first cause of the issue that stands."""
    for explanation in (*differential.selected, *differential.alternatives):
        if explanation.id in issue.causes:
            return explanation
    return None


def _other_cause(differential: Differential) -> tuple[str, ...]:
    first = differential.selected[0]
    return (f"the cause found is another: {first.short or first.title}",)


def _ruled_out_by_inventory(issue: KnownIssue, facts: FactTable) -> _Result | None:
    cluster = facts.of(CLUSTER)
    cni = cluster.get("cni")
    if issue.cnis and isinstance(cni, str) and cni not in {"unknown", *issue.cnis}:
        return _Result("ruled_out", (f"the CNI is {cni}, and this concerns {', '.join(issue.cnis)}",))
    for component, versions in issue.versions.items():
        for version in _versions(component, facts):
            if versions.contains(version) is not False:
                break
        else:
            shown = ", ".join(_versions(component, facts))
            if shown:
                why = f"the {_NAMES[component]} version {shown} is outside {versions.source}"
                return _Result("ruled_out", (why,))
    return None


def _ruled_out_by_facts(issue: KnownIssue, facts: FactTable, subjects: Sequence[Subject]) -> _Result | None:
    """Ruled out when at each subject something excludes it, or something that it requires is not so."""
    reasons: list[str] = []
    for subject in subjects:
        reason = _exclusion(issue, facts, subject)
        if reason is None:
            return None
        reasons.append(reason)
    return _Result("ruled_out", tuple(dict.fromkeys(reasons))[:3]) if reasons else None


def _exclusion(issue: KnownIssue, facts: FactTable, subject: Subject) -> str | None:
    """Why an issue cannot be what goes on at a subject; None when it can."""
    find = lookup_for(facts, subject)
    for condition in issue.rules_out:
        if condition.that.evaluate(find):
            return condition.says.render(facts, subject)
    for condition in issue.matches_when:
        if condition.that.evaluate(find) is False:
            return f"it does not fit {subject}: {_values(condition, facts, subject)}"
    return None


def _weigh(issue: KnownIssue, facts: FactTable, subjects: Sequence[Subject], standing: Explanation | None) -> _Result:
    why: list[str] = []
    is_sure = not issue.check
    if standing is not None:
        why.append(f"its cause is {standing.confidence.value} here: {standing.short or standing.title}")
        is_sure &= standing.confidence in {Confidence.CONFIRMED, Confidence.LIKELY}
    is_sure &= _versions_fit(issue, facts, why)
    evidence, unknown = _conditions(issue, facts, subjects, why)
    is_open = (*unknown, *(f"to be checked: {one}" for one in issue.check))
    why.extend(is_open)
    verdict: Match = "matches" if is_sure and not is_open else "possible"
    return _Result(verdict, tuple(dict.fromkeys(why)), is_open, evidence)


def _versions_fit(issue: KnownIssue, facts: FactTable, why: list[str]) -> bool:
    """Whether every version is known to lie in its range (those outside were ruled out before)."""
    fit = True
    for component, versions in issue.versions.items():
        known = _versions(component, facts)
        if any(versions.contains(version) for version in known):
            why.append(f"the {_NAMES[component]} version {known[0]} is in {versions.source}")
        else:
            fit = False
            why.append(f"the {_NAMES[component]} version is not known, and it occurs in {versions.source}")
    return fit


def _conditions(
    issue: KnownIssue, facts: FactTable, subjects: Sequence[Subject], why: list[str]
) -> tuple[int, Sequence[str]]:
    """How many telling conditions hold at the subject that fits best, and what stays open there."""
    if not issue.matches_when and not issue.rules_out:
        return 0, ()
    best: tuple[int, list[str], list[str], int] | None = None
    for subject in subjects:
        if _exclusion(issue, facts, subject) is not None:
            continue
        find = lookup_for(facts, subject)
        holding = [one for one in issue.matches_when if one.that.evaluate(find)]
        reported = [one.says.render(facts, subject) for one in holding]
        unknown = [one for one in issue.matches_when if one.that.evaluate(find) is None]
        unknown += [one for one in issue.rules_out if one.that.evaluate(find) is None]
        if best is None or len(unknown) < best[0]:
            telling = sum(not _COMMONPLACE.issuperset(one.that.references) for one in holding)
            best = (len(unknown), reported, [_unobserved(one, facts, subject) for one in unknown], telling)
    if best is None:
        return 0, ("nothing that it depends on was observed",)
    why.extend(best[1])
    return best[3], best[2]


def _unobserved(condition: Condition, facts: FactTable, subject: Subject) -> str:
    names = ", ".join(".".join(reference) for reference in condition.that.unknown(lookup_for(facts, subject)))
    return f"not observed at {subject}: {names}"


def _values(condition: Condition, facts: FactTable, subject: Subject) -> str:
    find = lookup_for(facts, subject)
    values = ((v, k, find(v, k)) for v, k in condition.that.references)
    return ", ".join(f"{v}.{k} is {'not observed' if value is None else shown(value)}" for v, k, value in values)


def _roots(issue: KnownIssue, differential: Differential, standing: Explanation | None) -> Iterable[Subject]:
    """Where the issue would show: at its cause's subjects, else where the symptoms are that bring it up."""
    if standing is not None:
        yield from standing.subjects
        return
    for symptom in differential.symptoms:
        if symptom.kind in issue.look_alike_of or symptom.kind in issue.symptoms:
            if not symptom.flows or symptom.subject.kind is issue.about:
                yield symptom.subject
            for flow in symptom.flows:
                yield flow.source


def _subjects(issue: KnownIssue, facts: FactTable, roots: Iterable[Subject]) -> Sequence[Subject]:
    """The subjects of the issue's own kind that the roots are, or hang on."""
    if issue.about is SubjectKind.CLUSTER:
        return (CLUSTER,)
    found = dict.fromkeys(one for root in roots for one in _kin(root, issue.about, facts))
    return tuple(found)[:MAX_SUBJECTS]


def _kin(root: Subject, kind: SubjectKind, facts: FactTable) -> Iterable[Subject]:
    if root.kind is kind:
        yield root
    elif root.kind is SubjectKind.POD and kind is SubjectKind.NODE:
        host = facts.relations.node_of_pod.get(root)
        if host is not None:
            yield host
    elif root.kind is SubjectKind.NODE and kind is SubjectKind.POD:
        yield from sorted(pod for pod, host in facts.relations.node_of_pod.items() if host == root)
    elif root.kind is SubjectKind.PAIR and kind is SubjectKind.NODE:
        yield from root.ends
    elif root.kind is SubjectKind.SERVICE and kind is SubjectKind.POD:
        yield from facts.relations.pods_of_service.get(root, ())
    elif root.kind is SubjectKind.CLUSTER:
        yield from facts.subjects(kind)


def _versions(component: Component, facts: FactTable) -> list[str]:
    """The versions that were observed of a component (kernels of all nodes)."""
    values: list[Value | None]
    if component == "kernel":
        values = [facts.of(node).get("kernel") for node in facts.subjects(SubjectKind.NODE)]
    else:
        values = [facts.of(CLUSTER).get("cni_version" if component == "cni" else "kubernetes_version")]
    return sorted({value for value in values if isinstance(value, str) and value})
