"""A probe that fails costs only itself."""

from structlog.testing import capture_logs

from bot.domain.facts import FactBuilder, FactTable
from bot.domain.finding import Finding, Severity
from bot.probes.engine import running
from bot.probes.engine.evidence import Evidence
from bot.probes.engine.probe import Probe
from tests.probes.build import two_nodes


def _observe(_: Evidence, __: FactBuilder) -> None:
    raise IndexError("tuple index out of range")


def _judge(_: FactTable) -> list[Finding]:
    raise IndexError("tuple index out of range")


PROBE = Probe(name="tripping", question="?", facts=(), observe=_observe, judge=_judge)


def test_a_probe_that_fails_while_judging_is_inconclusive_and_logged() -> None:
    with capture_logs() as logs:
        (finding,) = running.judge(PROBE, FactTable(values={}))

    assert finding.severity is Severity.INCONCLUSIVE
    assert finding.sentence == "The probe tripping itself failed (IndexError): its question stays open."
    assert [each["event"] for each in logs] == ["probe.judge_failed"]


def test_a_probe_that_fails_while_observing_is_logged_and_leaves_its_facts_unobserved() -> None:
    cluster, *_ = two_nodes()
    evidence: Evidence = cluster.evidence()
    with capture_logs() as logs:
        running.observe(PROBE, evidence, FactBuilder(()))

    assert [each["event"] for each in logs] == ["probe.observe_failed"]
