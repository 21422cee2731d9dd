"""Findings about many pods, reported once: who shares a state, named as a reader would name them."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from bot.domain.facts import CLUSTER, FactTable, Flow, Subject, SubjectKind, Value
from bot.domain.finding import Finding, Hop, Severity, Symptom, SymptomKind
from bot.domain.listing import and_more

NAMED = 5
"""So many names stand in a sentence; the others are counted."""
APART = 3
"""Up to so many pods that share a state without being all of their node get a finding each."""
REASON_LIMIT = 160

State = TypeVar("State")


@dataclass(frozen=True, slots=True, kw_only=True)
class Who:
    """One pod, or several of one node that share a state."""

    pods: tuple[Subject, ...]
    node: Subject | None = None
    is_all: bool = False
    """Whether they are all pods of the node that were inspected (and more than one)."""
    is_whole: bool = True
    """With `is_all`: whether the node has no other pod with a network of its own."""

    @property
    def subject(self) -> Subject:
        """Whom a finding is about: the one pod, or their node."""
        return self.pods[0] if len(self.pods) == 1 or self.node is None else self.node

    @property
    def opening(self) -> str:
        """The same words at the start of a sentence; a pod's name stays as it is."""
        words = str(self)
        return words if len(self.pods) == 1 else words[0].upper() + words[1:]

    @property
    def have(self) -> str:
        """The verb that goes with it."""
        return "has" if len(self.pods) == 1 else "have"

    def symptom(self, kind: SymptomKind, hop: Hop) -> Symptom:
        """The symptom that they share: several pods stand in its flows."""
        several = len(self.pods) > 1
        flows = tuple(Flow(source=pod, source_node=self.node) for pod in self.pods) if several else ()
        return Symptom(kind=kind, subject=self.subject, hop=hop, flows=flows)

    def __str__(self) -> str:
        where = f" on {self.node.name}" if self.node else ""
        if len(self.pods) == 1:
            return f"{self.pods[0].name}{where}"
        count = "both" if self.is_all and len(self.pods) == 2 else f"{'all ' * self.is_all}{len(self.pods)}"
        seen = " inspected" if self.is_all and not self.is_whole else ""
        return f"{count} pods{seen}{where} ({and_more([pod.name for pod in self.pods], NAMED)})"


def names(subjects: Collection[Subject], limit: int = NAMED) -> str:
    """The first names, and how many more there are: "shop/a, shop/b and 7 more"."""
    return and_more([each.name for each in sorted(subjects)], limit)


def sharing(
    table: FactTable, states: Mapping[Subject, State | None], *, apart: int = APART
) -> Iterator[tuple[Who, State]]:
    """Pods by node and state, those asked about first. `states` holds every pod inspected, None for the unreported.

    A few pods that are not all of their node (at most `apart`) come one by one, so that each has its own finding.
    """
    groups: dict[tuple[str, State], list[Subject]] = defaultdict(list)
    checked: dict[str, int] = defaultdict(int)
    for pod in sorted(states, key=table.relations.asked_first):
        host = table.relations.node_of_pod.get(pod)
        name = host.name if host else ""
        checked[name] += 1
        state = states[pod]
        if state is not None:
            groups[name, state].append(pod)
    networked: Mapping[Subject, int] = {}
    for (name, state), pods in groups.items():
        host = Subject(SubjectKind.NODE, name) if name else None
        is_all = len(pods) == checked[name] and len(pods) > 1
        if len(pods) == 1 or host is None or (not is_all and len(pods) <= apart):
            for pod in pods:
                yield Who(pods=(pod,), node=host), state
        else:
            networked = networked or _networked(table)
            is_whole = is_all and len(pods) == networked[host]
            yield Who(pods=tuple(pods), node=host, is_all=is_all, is_whole=is_whole), state


def _networked(table: FactTable) -> Mapping[Subject, int]:
    """How many pods of each node have a network of their own, seen or not."""
    return Counter(
        host
        for subject, known in table.values.items()
        if subject.kind is SubjectKind.POD and not known.get("host_network")
        if (host := table.relations.node_of_pod.get(subject)) is not None
    )


def unseen(
    table: FactTable,
    probe: str,
    kind: SubjectKind,
    key: str,
    what: str,
    is_reported: Callable[[Mapping[str, Value]], bool] = lambda _: False,
) -> Iterator[Finding]:
    """INCONCLUSIVE findings: for each reason why `key` was not seen, one, that names its subjects.

    `what` opens the sentence: "Gateway ARP", "The routes". Subjects of which another finding already says why are left
    out (`is_reported`).
    """
    by_reason: dict[str, list[Subject]] = defaultdict(list)
    for subject in table.subjects(kind):
        why = table.why_unobserved(subject, key)
        if why and key not in table.of(subject) and not is_reported(table.of(subject)):
            by_reason[why].append(subject)
    alone = [why for why, subjects in by_reason.items() if len(subjects) == 1]
    if len(alone) > APART:
        subjects = [subject for why in alone for subject in by_reason.pop(why)]
        first = f"for different reasons; for example: {shortened(alone[0])}"
        yield Finding(
            probe=probe,
            subject=_about(table, subjects),
            severity=Severity.INCONCLUSIVE,
            sentence=f"{what} of {len(subjects)} {kind}s ({names(subjects)}) could not be observed, {first}.",
        )
    for why, subjects in by_reason.items():
        count = f" {len(subjects)} {kind}s:" if len(subjects) > NAMED else ""
        yield Finding(
            probe=probe,
            subject=_about(table, subjects),
            severity=Severity.INCONCLUSIVE,
            sentence=f"{what} of{count} {names(subjects)} could not be observed: {shortened(why)}.",
        )


def _about(table: FactTable, subjects: list[Subject]) -> Subject:
    if len(subjects) == 1:
        return subjects[0]
    hosts = {table.relations.node_of_pod.get(each) for each in subjects}
    only = hosts.pop() if len(hosts) == 1 else None
    return only or CLUSTER


def shortened(text: str, limit: int = REASON_LIMIT) -> str:
    """A sentence without its full stop, cut between words where it is long: the whole stands in the coverage."""
    text = text.rstrip(". ")
    return text if len(text) <= limit else text[:limit].rsplit(" ", 1)[0] + " …"


def plural(count: int, noun: str) -> str:
    """A count and its noun: "1 pod", "3 pods"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
