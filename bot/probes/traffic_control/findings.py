"""How traffic-control tells what it saw: as WARN, because other probes state what does not work."""

from collections.abc import Iterator, Mapping, Sequence

from bot.domain.facts import FactTable, Subject, SubjectKind, Value
from bot.domain.finding import Finding, Severity

NAME = "traffic-control"
_TAKING = frozenset({"drops", "holds", "takes"})
_PLACES: Mapping[SubjectKind, Sequence[tuple[str, str]]] = {
    SubjectKind.POD: (("", "inside {}"), ("host_", "on the node's end of the link of {}")),
    SubjectKind.NODE: (("", "on devices of node {} that carry all its pods"),),
}


def judge(table: FactTable) -> Sequence[Finding]:
    """WARN for queues and filters that took packets, INFO for those that may, or take few; nothing for idle ones."""
    return [
        finding
        for kind, places in _PLACES.items()
        for subject in table.subjects(kind)
        for prefix, where in places
        for finding in _about(subject, table.of(subject), prefix, where.format(subject.name))
    ]


def _about(subject: Subject, known: Mapping[str, Value], prefix: str, where: str) -> Iterator[Finding]:
    for key, what in (("queue", "A queue"), ("filter", "A filter or program")):
        state, listed = known.get(f"{prefix}{key}"), known.get(f"{prefix}{key}s")
        if not isinstance(listed, tuple) or not listed:
            continue
        first = listed[0]
        if state in _TAKING:
            sentence = f"{what} {where} takes packets: {first}."
            yield _finding(subject, Severity.WARN, sentence, {f"{prefix}{key}s": listed})
        elif state is None:
            sentence = f"{what} {where} can take packets: {first}."
            yield _finding(subject, Severity.INFO, sentence, {f"{prefix}{key}s": listed})


def _finding(subject: Subject, severity: Severity, sentence: str, evidence: Mapping[str, Value]) -> Finding:
    return Finding(probe=NAME, subject=subject, severity=severity, sentence=sentence, evidence=evidence)
