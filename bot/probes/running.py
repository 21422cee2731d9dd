"""Running a probe so that its own failure costs only itself: the rest of a diagnosis goes on, and says so."""

from collections.abc import Sequence

import structlog

from bot.domain.facts import CLUSTER, FactBuilder, FactTable
from bot.domain.finding import Finding, Severity
from bot.probes.evidence import Evidence
from bot.probes.probe import Probe

log = structlog.get_logger()


def observe(probe: Probe, evidence: Evidence, facts: FactBuilder) -> None:
    """Fill the probe's facts; those after a failure of the probe itself stay unobserved."""
    try:
        probe.observe(evidence, facts)
    except Exception:
        log.exception("probe.observe_failed", probe=probe.name)


def judge(probe: Probe, facts: FactTable) -> Sequence[Finding]:
    """The probe's findings, or one INCONCLUSIVE finding that says that the probe itself failed."""
    try:
        return probe.judge(facts)
    except Exception as error:
        log.exception("probe.judge_failed", probe=probe.name)
        sentence = f"The probe {probe.name} itself failed ({type(error).__name__}): its question stays open."
        return [Finding(probe=probe.name, subject=CLUSTER, severity=Severity.INCONCLUSIVE, sentence=sentence)]
