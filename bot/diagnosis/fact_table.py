"""From evidence to facts."""

from bot.domain.facts import FactBuilder, FactTable
from bot.probes.catalogue import PROBES
from bot.probes.engine import running
from bot.probes.engine.evidence import Evidence
from bot.probes.engine.once import once_per_evidence


@once_per_evidence
def observe(evidence: Evidence) -> FactTable:
    """Every probe's facts about the evidence."""
    builder = FactBuilder(spec for probe in PROBES for spec in probe.facts)
    for probe in PROBES:
        running.observe(probe, evidence, builder)
    return builder.build(evidence.relations)
