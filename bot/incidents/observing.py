"""From evidence to facts."""

from bot.domain.facts import FactBuilder, FactTable
from bot.probes import running
from bot.probes.catalogue import PROBES
from bot.probes.evidence import Evidence


def observe(evidence: Evidence) -> FactTable:
    """Every probe's facts about the evidence. Computed once for each evidence."""
    kept = vars(evidence)
    if "_facts" not in kept:
        builder = FactBuilder(spec for probe in PROBES for spec in probe.facts)
        for probe in PROBES:
            running.observe(probe, evidence, builder)
        kept["_facts"] = builder.build(evidence.relations)
    found: FactTable = kept["_facts"]
    return found
