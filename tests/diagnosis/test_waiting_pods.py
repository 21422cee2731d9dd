"""Who is affected: who is cut off, who waits for them, and which Services each of them misses."""

from dataclasses import replace

import pytest

from bot.diagnosis.blast_radius import blast_radius
from bot.diagnosis.knowledge import Knowledge, load_knowledge
from bot.domain.cause import Differential, Explanation
from bot.domain.facts import Flow, Subject
from bot.domain.facts import service as service_subject
from bot.domain.finding import Hop, Symptom, SymptomKind
from bot.domain.report import BlastRadius, Confidence, Report
from bot.render import brief
from tests.diagnosis.test_judge import judged
from tests.probes.build import FakeCluster, table, two_nodes


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return load_knowledge()


def radius(knowledge: Knowledge, cluster: FakeCluster, cut_off: Subject, *symptoms: Symptom) -> BlastRadius:
    cause = Explanation(
        id="x", title="X", taxonomy=(), mechanism="m", hop="pod", confidence=Confidence.CONFIRMED, subjects=(cut_off,),
        explains=symptoms,
    )  # fmt: skip
    return blast_radius(cluster.evidence(), table(), knowledge, Differential(selected=(cause,)), symptoms)


def fails(kind: SymptomKind, subject: Subject, hop: Hop, *sources: Subject) -> Symptom:
    return Symptom(kind=kind, subject=subject, hop=hop, flows=tuple(Flow(source=one) for one in sources))


def who(whole: Report, knowledge: Knowledge, cluster: FakeCluster, cut_off: Subject, *symptoms: Symptom) -> str:
    return " ".join(brief.who(replace(whole, blast_radius=radius(knowledge, cluster, cut_off, *symptoms))))


def test_those_who_wait_miss_only_what_they_themselves_do_not_reach(knowledge: Knowledge) -> None:
    """A pod that is cut off reaches no Service: nobody else misses those."""
    cluster, a, _, c = two_nodes()
    api, db = service_subject("shop", "api"), service_subject("shop", "db")
    whole = judged(cluster.evidence(), knowledge)
    silent = fails(SymptomKind.GATEWAY_SILENT, a, "gateway")
    crossing = fails(SymptomKind.CROSS_NODE_UNREACHABLE, a, "overlay", c)
    own = fails(SymptomKind.SERVICE_UNREACHABLE, api, "service", a)
    missed = fails(SymptomKind.SERVICE_UNREACHABLE, db, "service", a, c)

    found = radius(knowledge, cluster, a, silent, crossing, own, missed)

    assert found.services == ("shop/api", "shop/db")
    assert found.waited_for == ("shop/db",)
    assert "1 pod elsewhere does not reach it (db)." in who(whole, knowledge, cluster, a, silent, crossing, missed)
    assert "1 pod elsewhere does not reach it." in who(whole, knowledge, cluster, a, silent, crossing, own)
