"""What became of probe packets, as findings: they localise, and accuse nobody by themselves."""

from collections.abc import Sequence

from bot.domain.facts import FactTable, SubjectKind
from bot.domain.finding import Finding, Severity
from bot.probes.packet_trace.facts import NAME
from bot.probes.shared.values import strings


def judge(table: FactTable) -> Sequence[Finding]:
    """INFO for each series that was lost."""
    return [
        Finding(probe=NAME, subject=pod, severity=Severity.INFO, sentence=f"{each}.")
        for pod in table.subjects(SubjectKind.POD)
        for each in strings(table.of(pod).get("traced_fates"))
    ]
