"""Running a probe so that its own failure costs only itself: the rest of a diagnosis goes on, and says so."""

from collections.abc import Sequence

import structlog

from bot.domain.facts import CLUSTER, FactBuilder, FactTable
from bot.domain.finding import Finding, Severity
from bot.probes.engine.evidence import Evidence
from bot.probes.engine.probe import Probe

log = structlog.get_logger()
FAILURE = "failure"
"""The key of the evidence that names the error of a probe that failed itself."""


def observe(probe: Probe, evidence: Evidence, facts: FactBuilder) -> None:
    """Fill the probe's facts; those after a failure of the probe itself stay unobserved."""
    try:
        probe.observe(evidence, facts)
    except Exception as error:
        log.exception("probe.observe_failed", probe=probe.name)
        facts.fail(probe.name, type(error).__name__)


def judge(probe: Probe, facts: FactTable) -> Sequence[Finding]:
    """The probe's findings, with one INCONCLUSIVE finding where the probe itself failed."""
    try:
        found = probe.judge(facts)
    except Exception as error:
        log.exception("probe.judge_failed", probe=probe.name)
        return [_failure(probe, type(error).__name__)]
    error_kind = facts.failures.get(probe.name)
    return [*found, _failure(probe, error_kind)] if error_kind else found


def has_failed(finding: Finding) -> bool:
    """Whether the finding says that its probe itself failed: then nothing that it did not find is known to be well."""
    return FAILURE in finding.evidence


def _failure(probe: Probe, error_kind: str) -> Finding:
    return Finding(
        probe=probe.name,
        subject=CLUSTER,
        severity=Severity.INCONCLUSIVE,
        sentence=f"The probe {probe.name} itself failed ({error_kind}): its question stays open.",
        evidence={FAILURE: error_kind},
    )
