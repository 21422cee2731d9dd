"""A team's incident as a known issue: what is drafted loads, and recognises the same evidence again."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.diagnosis.judge import judge
from bot.diagnosis.knowledge import Knowledge, load_knowledge
from bot.domain.errors import ConfigurationError
from bot.domain.report import CauseReport, FindingReport, Report
from bot.incidents.drafting import draft_from_report, read_report
from bot.known_issues.drafting import Nothing, as_yaml, draft, unfinished
from bot.known_issues.loading import build
from bot.probes.catalogue import FACTS
from bot.rules.checking import Vocabulary
from bot.rules.source import parse
from tests.probes.build import FakeCluster, two_nodes
from tests.render.test_render import a_report


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return load_knowledge()


def judged(cluster: FakeCluster, knowledge: Knowledge) -> Report:
    return judge(cluster.evidence(), knowledge, playbook="namespace", started_at="2026-01-02T03:04:05Z", took_s=1.5)


def proxy_arp_off() -> FakeCluster:
    cluster, pod, *_ = two_nodes()
    cluster.snapshot_fields["server_version"] = "v1.33.1+k3s1"
    for name, node in cluster.nodes.items():
        info = msgspec.structs.replace(node.status.node_info, kernel_version="6.8.0-40-generic")
        status = msgspec.structs.replace(node.status, node_info=info)
        cluster.nodes[name] = msgspec.structs.replace(node, status=status)
    cluster.answers(pod, None, None, None)
    cluster.sysctl("node-1", **{f"ipv4__conf__{cluster.report_of(pod).host_link}__proxy_arp": "0"})
    return cluster


def unexplained() -> FakeCluster:
    """No cause is known for this: the node does not get through to a pod that works in all other ways."""
    cluster, a, _, c = two_nodes()
    cluster.test(a, "remote-pod", to=c, outcome="error")
    return cluster


@pytest.mark.parametrize("incident", [proxy_arp_off, unexplained])
def test_the_drafted_record_loads_and_matches_the_same_evidence_again(
    incident: Callable[[], FakeCluster], knowledge: Knowledge, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("rules")
    file = directory / "report.json"
    report = judged(incident(), knowledge)
    file.write_bytes(msgspec.json.encode(report))

    written = draft_from_report(read_report(file), knowledge, directory, "ours-1")

    (directory / "report.json").unlink()
    mine = load_knowledge([directory])
    again = {one.id: one for one in judged(incident(), mine).known_issues}
    assert written == directory / "known-issues" / "ours-1.yaml"
    assert again["ours-1"].match == "matches", again["ours-1"].why


def test_what_the_report_proves_is_filled_in_and_what_people_know_is_asked_for(knowledge: Knowledge) -> None:
    report = judged(proxy_arp_off(), knowledge)

    fields = draft(report, FACTS, {cause.id: cause.subject for cause in knowledge.causes})

    assert not isinstance(fields, Nothing)
    assert fields["id"] == "incident-2026-01-02-calico-proxy-arp-off"
    assert fields["causes"] == ["calico-proxy-arp-off"]
    assert fields["cnis"] == ["calico"]
    assert fields["about"] == "pod"
    assert {"kubernetes": ">=1.33.0 <1.34.0", "kernel": ">=6.8.0 <6.9.0"}.items() <= fields["versions"].items()
    assert 'pod.gateway_arp == "silent"' in {one["that"] for one in fields["matches_when"]}
    assert [one["risk"] for one in fields["workaround"]] == sorted(one["risk"] for one in fields["workaround"])
    issue = build(parse(as_yaml(fields), "draft.yaml"), Vocabulary(FACTS.values()), frozenset(fields["causes"]))
    ((found, left),) = unfinished([issue])
    assert found is issue
    assert {"title", "mechanism", "affected", "environment", "references"} == set(left)


def test_the_drafted_record_does_not_match_a_healthy_or_another_cluster(
    knowledge: Knowledge, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("rules")
    draft_from_report(judged(proxy_arp_off(), knowledge), knowledge, directory, "ours-1")
    mine = load_knowledge([directory])
    cluster = proxy_arp_off()
    cluster.snapshot_fields["server_version"] = "v1.34.0"

    assert "ours-1" not in {one.id for one in judged(two_nodes()[0], mine).known_issues}
    assert "ours-1" not in {one.id for one in judged(cluster, mine).known_issues if one.match == "matches"}


def test_shipped_records_are_no_drafts(knowledge: Knowledge) -> None:
    assert list(unfinished(knowledge.known_issues)) == []


def test_nothing_is_overwritten_and_no_id_is_given_twice(
    knowledge: Knowledge, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("rules")
    report = judged(proxy_arp_off(), knowledge)
    written = draft_from_report(report, knowledge, directory, "ours-1")
    before = written.read_text(encoding="utf-8")

    with pytest.raises(ConfigurationError, match="is not overwritten"):
        draft_from_report(report, knowledge, directory, "ours-1")
    with pytest.raises(ConfigurationError, match="has it already"):
        draft_from_report(report, knowledge, directory, "calico-8689")
    with pytest.raises(ConfigurationError, match="small letters"):
        draft_from_report(report, knowledge, directory, "../../etc/passwd")

    assert written.read_text(encoding="utf-8") == before


def test_a_healthy_report_gives_no_record(knowledge: Knowledge, tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(ConfigurationError, match="nothing to recognise again"):
        draft_from_report(judged(two_nodes()[0], knowledge), knowledge, tmp_path_factory.mktemp("rules"))


@pytest.mark.parametrize(
    ("content", "says"),
    [("{", "it is not a report"), ('{"schema": 1}', "it is not a report"), ("\xff", "it is not a report")],
)
def test_another_file_is_refused_in_one_sentence(
    content: str, says: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("report") / "report.json"
    file.write_text(content, encoding="latin-1")

    with pytest.raises(ConfigurationError, match=says):
        read_report(file)


@settings(max_examples=40)
@given(text=st.text(max_size=80), word=st.text(max_size=20))
def test_text_of_a_cluster_cannot_break_out_of_the_draft(text: str, word: str) -> None:
    """A report's words come from a cluster: quotes, braces and line breaks stay text."""
    cause = CauseReport(
        id="calico-proxy-arp-off", title=text, confidence="confirmed", hop="gateway", mechanism=text,
        subjects=("pod a/b",), evidence_for=(text, "{pod.ip} " + word),
    )  # fmt: skip
    finding = FindingReport(
        probe="p", subject="pod a/b", severity="fail", sentence=text, evidence={word: text, "gateway_arp": text}
    )
    report = a_report(causes=(cause,), findings=(finding,), cni="calico", cni_version=word)

    fields = draft(report, FACTS, {})

    assert not isinstance(fields, Nothing)
    written = as_yaml(fields)
    assert yaml.safe_load(written) == fields
    assert build(parse(written, "d.yaml"), Vocabulary(FACTS.values()), frozenset({"calico-proxy-arp-off"}))


def test_the_command_tells_where_the_draft_is_and_check_tells_what_is_left(
    knowledge: Knowledge, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from typer.testing import CliRunner  # noqa: PLC0415 only here

    from bot.cli import app  # noqa: PLC0415

    directory: Path = tmp_path_factory.mktemp("rules")
    file = tmp_path_factory.mktemp("report") / "report.json"
    file.write_bytes(msgspec.json.encode(judged(proxy_arp_off(), knowledge)))
    runner = CliRunner()
    argv = ["known-issues", "add", "--from-report", str(file), "--id", "ours-1", "--directory", str(directory)]

    added = runner.invoke(app, argv)
    again = runner.invoke(app, argv)
    checked = runner.invoke(app, ["known-issues", "check", "--playbooks-dir", str(directory)])

    assert added.exit_code == 0, added.output
    assert str(directory / "known-issues" / "ours-1.yaml") in added.output
    assert again.exit_code == 2
    assert checked.exit_code == 0
    assert "a draft; still to be written: title, mechanism" in checked.output
