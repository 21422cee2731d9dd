"""Doubts are inspected twice; what healed is told as that, and nothing is blamed for it."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from bot.agent.report import Neighbour
from bot.diagnosis.judge import judge, judge_recording
from bot.diagnosis.knowledge import Knowledge, load_knowledge
from bot.diagnosis.recording import load, record, save
from bot.diagnosis.second_look import doubtful_pods
from bot.domain.facts import Rung, Subject
from bot.domain.report import Report
from bot.probes.engine.evidence import Evidence
from tests.probes.build import NOW, FakeCluster, two_nodes

RECORDINGS = Path(__file__).parents[1] / "recordings"


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return load_knowledge()


def with_newborn(*answers_ms: float | None, age_s: float = 20.0) -> tuple[FakeCluster, Subject]:
    """shop/new has just been made on node-1; its gateway answers like this. Its link carries no proxy ARP yet."""
    cluster, *_ = two_nodes()
    pod = cluster.pod("shop/new", "node-1", age=timedelta(seconds=age_s))
    cluster.answers(pod, *answers_ms)
    if not any(answers_ms):
        link = cluster.report_of(pod).host_link
        cluster.sysctl("node-1", **{f"ipv4__conf__{link}__proxy_arp": "0"})
    return cluster, pod


def judged(evidence: Evidence, knowledge: Knowledge) -> Report:
    return judge(evidence, knowledge, playbook="namespace", started_at="2026-01-02T03:04:05Z", took_s=1.5)


def seen_twice(first: FakeCluster, second: FakeCluster) -> Evidence:
    later = second.evidence()
    snapshot = msgspec.structs.replace(later.snapshot, taken_at=NOW + timedelta(seconds=4))
    return replace(later, snapshot=snapshot, first=first.evidence())


def test_a_silent_gateway_of_a_newborn_pod_asks_for_a_second_look(knowledge: Knowledge) -> None:
    cluster, pod = with_newborn(None, None, None)

    assert pod in doubtful_pods(cluster.evidence(), knowledge, "namespace")


def test_nothing_wrong_asks_for_no_second_look(knowledge: Knowledge) -> None:
    cluster, _ = with_newborn(0.1, 0.1, 0.1)

    assert doubtful_pods(cluster.evidence(), knowledge, "namespace") == frozenset()


def test_trouble_without_a_certain_cause_asks_for_a_second_look(knowledge: Knowledge) -> None:
    cluster, pod = with_newborn(None, None, None, age_s=121.0)

    assert pod in doubtful_pods(cluster.evidence(), knowledge, "namespace")


def test_a_certain_cause_asks_for_no_second_look(knowledge: Knowledge) -> None:
    evidence = load(RECORDINGS / "flannel-fdb-missing.json.gz").evidence()

    assert doubtful_pods(evidence, knowledge, "namespace") == frozenset()


def test_what_only_one_of_two_looks_shows_is_not_confirmed(knowledge: Knowledge) -> None:
    evidence = load(RECORDINGS / "flannel-fdb-missing.json.gz").evidence()
    assert judged(evidence, knowledge).verdict.confidence == "confirmed"
    assert judged(replace(evidence, first=evidence), knowledge).verdict.confidence == "confirmed"

    other = load(RECORDINGS / "flannel-vxlan-blocked-on-node.json.gz").evidence()
    report = judged(replace(evidence, first=other), knowledge)

    assert (report.verdict.cause, report.verdict.confidence) == ("fdb-entry-missing", "likely")


def test_what_the_first_look_could_not_see_the_second_shows_by_itself(knowledge: Knowledge) -> None:
    """On one node the agent broke off; it is asked again, and not by a lower rung that sees less."""
    evidence = load(RECORDINGS / "flannel-fdb-missing.json.gz").evidence()
    other = load(RECORDINGS / "flannel-vxlan-blocked-on-node.json.gz").evidence()
    by_lower = {**evidence.rungs, "node-1": Rung.EXEC, "node-2": Rung.EXEC, "node-3": Rung.EXEC}

    report = judged(replace(evidence, first=replace(other, rungs=by_lower)), knowledge)

    assert (report.verdict.cause, report.verdict.confidence) == ("fdb-entry-missing", "confirmed")


def test_what_healed_is_transient_and_no_cause_is_named(knowledge: Knowledge) -> None:
    first, _ = with_newborn(None, None, None)
    second, _ = with_newborn(0.1, 0.1, 0.1)

    report = judged(seen_twice(first, second), knowledge)

    assert (report.verdict.status, report.verdict.cause, report.causes) == ("healthy", None, ())
    assert report.verdict.summary == (
        "4 pods on 2 nodes reach what they need; the trouble of pod shop/new went away by itself within 4 s."
    )
    (healed,) = [one for one in report.transients if one.symptom == "gateway-silent"]
    assert (healed.subject, healed.after_s) == ("pod shop/new", 4.0)
    assert "shop/new" in healed.sentence


def test_what_is_reported_of_each_pod_and_was_of_their_node_has_not_healed(knowledge: Knowledge) -> None:
    """The neighbour tables of one node's pods say FAILED and INCOMPLETE in turn; alike, they are one finding."""

    def look(*states: str) -> FakeCluster:
        cluster, first, second, _ = two_nodes()
        for pod, state in zip((first, second), states, strict=True):
            cluster.seen(pod, gateway_arp=None)
            cluster.inside(pod, neighbours=(Neighbour(ip="169.254.1.1", dev="eth0", mac="", state=state),))
        return cluster

    together, apart = look("FAILED", "FAILED"), look("FAILED", "INCOMPLETE")

    said = [
        [one.subject for one in judged(cluster.evidence(), knowledge).findings if "neighbour table" in one.sentence]
        for cluster in (together, apart)
    ]
    assert said == [["node node-1"], ["pod shop/a", "pod shop/b"]]
    assert judged(seen_twice(together, apart), knowledge).transients == ()
    assert judged(seen_twice(apart, together), knowledge).transients == ()


def test_8689_matches_what_healed(knowledge: Knowledge) -> None:
    first, _ = with_newborn(None, None, None)
    second, _ = with_newborn(0.1, 0.1, 0.1)

    issue = next(one for one in judged(seen_twice(first, second), knowledge).known_issues if one.id == "calico-8689")

    assert issue.match == "matches"
    assert issue.why[0] == "it healed by itself within 4 s"


def test_what_stayed_is_blamed_on_its_cause(knowledge: Knowledge) -> None:
    first, pod = with_newborn(None, None, None)
    second, _ = with_newborn(None, None, None)

    report = judged(seen_twice(first, second), knowledge)

    assert report.transients == ()
    assert report.verdict.cause == "calico-proxy-arp-off"
    assert report.causes[0].subjects == (str(pod),)


def test_a_pod_that_went_away_has_not_healed(knowledge: Knowledge) -> None:
    first, _ = with_newborn(None, None, None)
    second, *_ = two_nodes()

    assert judged(seen_twice(first, second), knowledge).transients == ()


def test_both_looks_are_recorded_and_judged_alike(
    knowledge: Knowledge, tmp_path_factory: pytest.TempPathFactory
) -> None:
    first, _ = with_newborn(None, None, None)
    second, _ = with_newborn(0.1, 0.1, 0.1)
    recording = record(seen_twice(first, second), started_at="2026-01-02T03:04:05Z", took_s=1.5, playbook="namespace")
    path = tmp_path_factory.mktemp("recording") / "twice.json.gz"
    save(recording, path)

    assert judge_recording(load(path), knowledge) == judged(seen_twice(first, second), knowledge)
