"""How application-answers tells what it saw: as WARN, for a wrong answer that arrives is no fault of the network."""

from collections.abc import Iterator, Mapping, Sequence

from bot.domain.facts import FactTable, Subject, SubjectKind, Value
from bot.domain.finding import Finding, Severity
from bot.domain.listing import and_more
from bot.probes.shared.values import strings

NAME = "application-answers"
NAMED = 3


def judge(table: FactTable) -> Sequence[Finding]:
    """WARN for each Service with wrong answers, PASS for right ones."""
    return [
        finding for service in table.subjects(SubjectKind.SERVICE) for finding in _about(service, table.of(service))
    ]


def _about(service: Subject, known: Mapping[str, Value]) -> Iterator[Finding]:
    state = known.get("answers")
    if state in {"wrong", "mixed"}:
        wrong = strings(known.get("wrong_answers"))
        yield Finding(
            probe=NAME,
            subject=service,
            severity=Severity.WARN,
            sentence=f"{service.name} is reached and does not answer as it should: {and_more(wrong, NAMED, by='; ')}.",
            evidence={"wrong_answers": wrong},
        )
    elif state == "right":
        asked = and_more(strings(known.get("right_answers")), NAMED)
        yield Finding(
            probe=NAME,
            subject=service,
            severity=Severity.PASS,
            sentence=f"{service.name} answers as it should: {asked}.",
        )
    elif state == "unreached":
        yield Finding(
            probe=NAME,
            subject=service,
            severity=Severity.INCONCLUSIVE,
            sentence=f"What {service.name} answers is not known: no connection to it was established.",
        )
