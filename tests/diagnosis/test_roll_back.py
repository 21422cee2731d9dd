"""A rollback is offered first where a new revision divides the nodes as the fault does, and nowhere else."""

from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest

from bot.diagnosis.blast_radius import nodes_at_fault
from bot.diagnosis.judge import judge
from bot.diagnosis.knowledge import Knowledge, load_knowledge
from bot.domain.cause import Explanation
from bot.domain.facts import Subject, pair
from bot.domain.report import Confidence, RemediationReport, Report
from bot.remediation.offers import ROLL_BACK, offer
from bot.remediation.requests import RecreatePod, RestartAgents, RollBack
from tests.diagnosis.test_changes import HOUR, calico_node, labelled, revision, runs
from tests.probes.build import FakeCluster, two_nodes

RESTARTED = {"kubectl.kubernetes.io/restartedAt": "2026-01-02T02:00:00Z"}


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return load_knowledge()


@pytest.fixture
def broken() -> tuple[FakeCluster, Subject]:
    """Proxy ARP off on the link of shop/a on node-1; both revisions of calico-node are kept."""
    cluster, pod, *_ = two_nodes()
    cluster.answers(pod, None, None, None)
    cluster.sysctl("node-1", **{f"ipv4__conf__{cluster.report_of(pod).host_link}__proxy_arp": "0"})
    cluster.snapshot_fields |= {
        "daemon_sets": (calico_node(),),
        "controller_revisions": (
            labelled(revision(1, timedelta(days=9)), "good"),
            labelled(revision(2, HOUR), "bad"),
        ),
    }
    return cluster, pod


def judged(cluster: FakeCluster, knowledge: Knowledge) -> Report:
    evidence = cluster.evidence()
    agents = {node: ("kube-system", f"calico-node-{node}", "calico-node") for node in cluster.nodes}
    cni = replace(evidence.cni, agent_daemon_set="kube-system/calico-node", agent_pods=agents)
    vars(evidence)["cni"] = cni
    return judge(evidence, knowledge, playbook="namespace", started_at="2026-01-02T03:04:05Z", took_s=1.0)


def rollbacks(report: Report) -> list[RemediationReport]:
    return [one for one in report.remediations if one.id == ROLL_BACK]


def test_a_revision_on_exactly_the_nodes_at_fault_is_rolled_back_first(
    broken: tuple[FakeCluster, Subject], knowledge: Knowledge
) -> None:
    cluster, _ = broken
    runs(cluster, "node-1", "bad", HOUR)
    runs(cluster, "node-2", "good", timedelta(days=9))
    report = judged(cluster, knowledge)

    assert report.verdict.cause == "calico-proxy-arp-off"
    first = report.remediations[0]
    assert first.id == ROLL_BACK
    assert first.commands == ("kubectl -n kube-system rollout undo daemonset/calico-node --to-revision=1",)
    assert "node-1 alone" in first.why
    assert offer(report) == RollBack()


@pytest.mark.parametrize(("here", "there"), [("good", "bad"), ("bad", "bad"), ("good", "good")])
def test_a_revision_that_runs_elsewhere_too_or_not_here_is_no_reason(
    broken: tuple[FakeCluster, Subject], knowledge: Knowledge, here: str, there: str
) -> None:
    cluster, _ = broken
    runs(cluster, "node-1", here, HOUR)
    runs(cluster, "node-2", there, HOUR)
    report = judged(cluster, knowledge)

    assert rollbacks(report) == []
    assert offer(report) == RestartAgents(nodes=("node-1",))


def test_a_mere_restart_is_not_rolled_back(broken: tuple[FakeCluster, Subject], knowledge: Knowledge) -> None:
    cluster, _ = broken
    runs(cluster, "node-1", "bad", HOUR, **RESTARTED)
    runs(cluster, "node-2", "good", timedelta(days=9))

    assert rollbacks(judged(cluster, knowledge)) == []


def test_what_argo_cd_owns_is_rolled_back_there(broken: tuple[FakeCluster, Subject], knowledge: Knowledge) -> None:
    cluster, _ = broken
    runs(cluster, "node-1", "bad", HOUR)
    runs(cluster, "node-2", "good", timedelta(days=9))
    (known,) = cluster.snapshot_fields["daemon_sets"]
    tracked = {"argocd.argoproj.io/tracking-id": "network:apps/DaemonSet:kube-system/calico-node"}
    meta = msgspec.structs.replace(known.metadata, annotations=tracked)
    cluster.snapshot_fields["daemon_sets"] = (msgspec.structs.replace(known, metadata=meta),)

    (found,) = rollbacks(judged(cluster, knowledge))
    assert found.commands == ()
    assert "Argo CD application network" in found.no_command


def test_what_helm_owns_is_rolled_back_by_a_plan_and_by_no_command_of_kubectl(
    broken: tuple[FakeCluster, Subject], knowledge: Knowledge
) -> None:
    cluster, _ = broken
    runs(cluster, "node-1", "bad", HOUR)
    runs(cluster, "node-2", "good", timedelta(days=9))
    (known,) = cluster.snapshot_fields["daemon_sets"]
    released = {"meta.helm.sh/release-name": "calico", "meta.helm.sh/release-namespace": "kube-system"}
    meta = msgspec.structs.replace(known.metadata, annotations=released)
    cluster.snapshot_fields["daemon_sets"] = (msgspec.structs.replace(known, metadata=meta),)

    report = judged(cluster, knowledge)

    (found,) = rollbacks(report)
    assert found.commands == ()
    assert "cnibot plan propose roll-back" in found.no_command
    assert "helm rollback calico REVISION --namespace kube-system" in found.no_command
    assert offer(report) == RollBack()


def test_the_nodes_that_only_wait_for_the_others_are_not_restarted(
    broken: tuple[FakeCluster, Subject], knowledge: Knowledge
) -> None:
    cluster, _ = broken
    runs(cluster, "node-1", "good", HOUR)
    report = judged(cluster, knowledge)
    radius = replace(report.blast_radius, nodes=("node-1", "node-2"), cut_off_nodes=("node-1", "node-2"))

    assert offer(replace(report, blast_radius=radius)) == RestartAgents(nodes=("node-1",))


def test_where_no_agents_pod_is_known_no_restart_is_offered(
    broken: tuple[FakeCluster, Subject], knowledge: Knowledge
) -> None:
    """The button would propose what no plan can do."""
    report = judged(broken[0], knowledge)

    assert any(one.id == "restart-calico-node" for one in report.remediations)
    assert offer(report) is None


def test_one_pod_is_recreated_and_several_are_left_to_people(knowledge: Knowledge) -> None:
    cluster, *_ = two_nodes()
    report = judged(cluster, knowledge)
    one = RemediationReport(id="recreate-pod", risk="r1", why="", subjects=("pod shop/a",))
    several = replace(one, subjects=("pod shop/a", "pod shop/b"))

    assert offer(replace(report, remediations=(several,))) is None
    assert offer(replace(report, remediations=(several, one))) == RecreatePod(namespace="shop", pod="a")


def test_a_healthy_report_offers_nothing(knowledge: Knowledge) -> None:
    cluster, *_ = two_nodes()
    assert offer(judged(cluster, knowledge)) is None


def test_of_directions_the_node_that_they_share_is_at_fault() -> None:
    cluster = FakeCluster("calico")
    for name in ("node-1", "node-2", "node-3"):
        cluster.node(name)
    pairs = (pair("node-1", "node-3"), pair("node-3", "node-1"), pair("node-2", "node-3"))
    cause = Explanation(
        id="x", title="X", taxonomy=(), mechanism="", hop="overlay", confidence=Confidence.LIKELY, subjects=pairs
    )

    assert nodes_at_fault(cluster.evidence(), cause) == ("node-3",)
    assert nodes_at_fault(cluster.evidence(), replace(cause, subjects=pairs[:1])) == ("node-1", "node-3")
