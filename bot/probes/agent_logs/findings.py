"""How agent-logs tells what it saw."""

from collections.abc import Sequence

from bot.domain.facts import FactTable, SubjectKind
from bot.domain.finding import Finding, Severity
from bot.domain.listing import and_more
from bot.probes.shared.values import strings

NAME = "agent-logs"


def judge(table: FactTable) -> Sequence[Finding]:
    """WARN for nodes whose agents complain of something that we know."""
    found: list[Finding] = []
    for node in table.subjects(SubjectKind.NODE):
        known = table.of(node)
        errors = strings(known.get("agent_errors"))
        if errors:
            sentence = f"On {node.name}, {and_more(strings(known.get('agent_log')), 2, by='; ')}."
            evidence = {"agent_errors": errors}
            found.append(
                Finding(probe=NAME, subject=node, severity=Severity.WARN, sentence=sentence, evidence=evidence)
            )
    return found
