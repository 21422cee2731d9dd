"""From evidence to verdict, without a cluster: what is claimed, and what is not."""

import msgspec
import pytest

from bot.agent.report import Missing
from bot.diagnosis.judge import judge, judge_recording
from bot.diagnosis.knowledge import Knowledge, load_knowledge
from bot.diagnosis.recording import Recording, load, record, save
from bot.domain.facts import Rung
from bot.domain.report import Report
from bot.probes.engine.evidence import Evidence
from tests.probes.build import FakeCluster, two_nodes
from tests.probes.test_unready_by_itself import standby


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return load_knowledge()


def judged(evidence: Evidence, knowledge: Knowledge) -> Report:
    return judge(evidence, knowledge, playbook="namespace", started_at="2026-01-02T03:04:05Z", took_s=1.5)


def silent_gateway(cluster: FakeCluster) -> None:
    """Proxy ARP off on the link of shop/a, as the node agent would see it."""
    pod = next(pod for pod in cluster.pods if pod.name == "shop/a")
    link = cluster.report_of(pod).host_link
    cluster.answers(pod, None, None, None)
    cluster.sysctl("node-1", **{f"ipv4__conf__{link}__proxy_arp": "0"})


def test_all_hops_seen_and_nothing_wrong_is_healthy(knowledge: Knowledge) -> None:
    cluster, *_ = two_nodes()

    report = judged(cluster.evidence(), knowledge)

    assert report.verdict.status == "healthy"
    assert report.verdict.summary == "3 pods on 2 nodes reach what they need."
    assert report.path == ()


def test_a_pod_that_is_unready_by_its_own_word_is_told_beside_a_healthy_network(knowledge: Knowledge) -> None:
    cluster, _ = standby("HTTP probe failed with statuscode: 503")

    report = judged(cluster.evidence(), knowledge)

    assert report.verdict.status == "healthy"
    assert report.verdict.summary == (
        "4 pods on 2 nodes reach what they need; not ready by their own word, which is a matter of the application: "
        "shop/standby."
    )


def test_a_node_that_was_not_looked_at_forbids_healthy(knowledge: Knowledge) -> None:
    cluster, *_ = two_nodes()
    cluster.unseen("node-2", "no answer from node node-2 within 30 s")

    report = judged(cluster.evidence(), knowledge)

    assert report.verdict.status == "inconclusive"
    assert report.verdict.summary.startswith("Nothing wrong on 1 of 2 nodes; not seen: node-2 (no answer")


def test_a_pod_that_a_rung_cannot_see_into_is_called_by_its_name(knowledge: Knowledge) -> None:
    cluster, *_ = two_nodes()
    cluster.node_report("node-1", missing=(Missing(what="pods.uid-a.links", why="no command shows them"),))

    report = judged(cluster.evidence(), knowledge)

    assert [each.what for each in report.coverage.unobserved if each.kind == "part"] == [
        "node node-1: pod shop/a: links"
    ]


def test_what_a_node_had_no_time_for_is_told_in_words(knowledge: Knowledge) -> None:
    cluster, *_ = two_nodes()
    cluster.node_report("node-1", missing=(Missing(what="tests.deadline", why="the deadline came first"),))

    report = judged(cluster.evidence(), knowledge)

    reported = [(each.what, each.why) for each in report.coverage.unobserved if each.kind == "part"]
    assert reported == [("node node-1: tests", "the deadline came first")]


@pytest.mark.parametrize("rung", [Rung.API, Rung.EXEC, Rung.CNI_AGENT])
def test_lower_rungs_never_call_a_network_healthy(rung: Rung, knowledge: Knowledge) -> None:
    cluster, *_ = two_nodes()

    report = judged(cluster.evidence(access=rung), knowledge)

    assert report.verdict.status == "inconclusive"


def test_a_silent_gateway_is_traced_to_its_sysctl(knowledge: Knowledge) -> None:
    cluster, *_ = two_nodes()
    silent_gateway(cluster)

    report = judged(cluster.evidence(), knowledge)

    assert report.verdict.cause == "calico-proxy-arp-off"
    assert report.verdict.hop == "gateway"
    assert [hop.state for hop in report.path].count("broken") == 1
    assert next(hop.name for hop in report.path if hop.state == "broken") == "169.254.1.1"
    assert report.blast_radius.pod_names == ("shop/a",)
    assert report.blast_radius.nodes == ("node-1",)


def test_without_the_sysctl_a_silent_gateway_is_not_blamed_on_it(knowledge: Knowledge) -> None:
    cluster, pod, *_ = two_nodes()
    silent_gateway(cluster)
    link = cluster.report_of(pod).host_link
    kept = {
        key: value
        for key, value in cluster.roots["node-1"].sysctls.items()
        if link not in key or "proxy_arp" not in key
    }
    cluster.root("node-1", sysctls=kept)

    report = judged(cluster.evidence(), knowledge)

    assert report.verdict.confidence != "confirmed"
    assert report.verdict.hop == "gateway"
    assert (report.verdict.status, report.verdict.headline) == (
        "inconclusive",
        "shop/a has no gateway, cause not proven",
    )
    assert report.verdict.place == ""


def test_the_same_evidence_always_comes_to_the_same_report(knowledge: Knowledge) -> None:
    cluster, *_ = two_nodes()
    silent_gateway(cluster)
    evidence = cluster.evidence()

    assert judged(evidence, knowledge) == judged(evidence, knowledge)


def test_a_recording_survives_its_file_and_is_judged_alike(
    knowledge: Knowledge, tmp_path_factory: pytest.TempPathFactory
) -> None:
    cluster, *_ = two_nodes()
    silent_gateway(cluster)
    recording = record(cluster.evidence(), started_at="2026-01-02T03:04:05Z", took_s=1.5, playbook="namespace")
    for name in ("plain.json", "packed.json.gz"):
        path = tmp_path_factory.mktemp("recording") / name
        save(recording, path)

        assert load(path) == recording
        assert judge_recording(load(path), knowledge) == judge_recording(recording, knowledge)


def test_an_unknown_field_of_a_newer_recording_does_no_harm(knowledge: Knowledge) -> None:
    cluster, *_ = two_nodes()
    recording = record(cluster.evidence(), started_at="2026-01-02T03:04:05Z", took_s=1.5, playbook="namespace")
    raw = msgspec.json.decode(msgspec.json.encode(recording))
    raw["from_the_future"] = 1

    again = msgspec.json.decode(msgspec.json.encode(raw), type=Recording)

    assert judge_recording(again, knowledge).verdict.status == "healthy"
