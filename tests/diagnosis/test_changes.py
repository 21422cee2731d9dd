"""What changed before the symptoms: told with its time, and without any weight in the verdict."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from bot.cluster.objects import (
    Condition,
    ControllerRevision,
    DaemonSet,
    Deployment,
    NetworkPolicy,
    ObjectMeta,
    OwnerReference,
    ReplicaSet,
)
from bot.cluster.objects.pods import ContainerState, ContainerStateRunning, ContainerStatus
from bot.diagnosis.judge import judge
from bot.diagnosis.knowledge import Knowledge, load_knowledge
from bot.domain.facts import Subject
from bot.domain.report import Report
from tests.probes.build import NOW, FakeCluster, two_nodes

HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return load_knowledge()


@pytest.fixture
def broken() -> tuple[FakeCluster, Subject]:
    """Two nodes for ten days, and a pod whose gateway is silent."""
    cluster, pod, *_ = two_nodes()
    for name, node in cluster.nodes.items():
        meta = ObjectMeta(name=name, uid=f"uid-{name}", creation_timestamp=NOW - timedelta(days=10))
        cluster.nodes[name] = msgspec.structs.replace(node, metadata=meta)
    cluster.answers(pod, None, None, None)
    return cluster, pod


def judged(cluster: FakeCluster, knowledge: Knowledge) -> Report:
    return judge(cluster.evidence(), knowledge, playbook="namespace", started_at="2026-01-02T03:04:05Z", took_s=1.0)


def reported(cluster: FakeCluster, knowledge: Knowledge) -> list[str]:
    return [f"{one.subject} {one.what}" for one in judged(cluster, knowledge).changes]


def calico_node(*, age: timedelta = timedelta(days=9), chart: str = "") -> DaemonSet:
    meta = ObjectMeta(
        namespace="kube-system",
        name="calico-node",
        uid="ds",
        creation_timestamp=NOW - age,
        labels={"helm.sh/chart": chart} if chart else {},
    )
    return DaemonSet(metadata=meta)


def revision(number: int, ago: timedelta, owner: str = "ds") -> ControllerRevision:
    meta = ObjectMeta(
        namespace="kube-system",
        name=f"{owner}-{number}",
        uid=f"{owner}-{number}",
        creation_timestamp=NOW - ago,
        owner_references=(OwnerReference(kind="DaemonSet", uid=owner),),
    )
    return ControllerRevision(metadata=meta, revision=number)


def test_a_rollout_of_the_cni_is_told_with_its_helm_chart(
    broken: tuple[FakeCluster, Subject], knowledge: Knowledge
) -> None:
    cluster, _ = broken
    cluster.snapshot_fields |= {
        "daemon_sets": (calico_node(chart="tigera-operator-v3.30.2"),),
        "controller_revisions": (revision(1, timedelta(days=9)), revision(2, 2 * HOUR)),
    }

    (change,) = judged(cluster, knowledge).changes

    assert change.subject == "DaemonSet kube-system/calico-node"
    assert change.what == "got revision 2 (Helm chart tigera-operator-v3.30.2)"
    assert change.ago_s == 7200
    assert change.at == "2026-01-02T01:04:05Z"


def test_what_came_with_the_cluster_or_long_ago_is_no_change(
    broken: tuple[FakeCluster, Subject], knowledge: Knowledge
) -> None:
    cluster, _ = broken
    cluster.snapshot_fields |= {
        "daemon_sets": (calico_node(age=timedelta(days=10)),),
        "controller_revisions": (revision(1, timedelta(days=10)),),
        "network_policies": (policy("old", timedelta(days=3)),),
    }

    assert reported(cluster, knowledge) == []


def policy(name: str, ago: timedelta, namespace: str = "shop") -> NetworkPolicy:
    return NetworkPolicy(
        metadata=ObjectMeta(namespace=namespace, name=name, uid=f"{namespace}-{name}", creation_timestamp=NOW - ago)
    )


def of_revision(number: str) -> dict[str, Any]:
    """A Deployment web, five days old, and its ReplicaSet of three hours, with the revision that stands on it."""
    meta = ObjectMeta(namespace="shop", name="web", uid="web", creation_timestamp=NOW - timedelta(days=5))
    made = ObjectMeta(
        namespace="shop",
        name="web-2",
        uid="web-2",
        creation_timestamp=NOW - 3 * HOUR,
        annotations={"deployment.kubernetes.io/revision": number},
        owner_references=(OwnerReference(kind="Deployment", uid="web"),),
    )
    return {"deployments": (Deployment(metadata=meta),), "replica_sets": (ReplicaSet(metadata=made),)}


def test_changes_come_newest_first_and_only_from_where_they_matter(
    broken: tuple[FakeCluster, Subject], knowledge: Knowledge
) -> None:
    cluster, _ = broken
    cluster.snapshot_fields |= {
        **of_revision("7"),
        "network_policies": (policy("deny", HOUR), policy("deny", HOUR, namespace="elsewhere")),
    }

    assert reported(cluster, knowledge) == [
        "NetworkPolicy shop/deny was created",
        "Deployment shop/web got revision 7",
    ]


@pytest.mark.parametrize("number", ["9" * 5_000, "٣", "²", "-1", "", "x"])
def test_a_revision_that_a_tenant_wrote_ends_no_diagnosis(
    number: str, broken: tuple[FakeCluster, Subject], knowledge: Knowledge
) -> None:
    """Whoever may edit a ReplicaSet may write anything there, and all namespaces are diagnosed by one process."""
    cluster, _ = broken
    cluster.snapshot_fields |= {
        **of_revision(number),
        "network_policies": (policy("deny", HOUR),),
    }

    assert "NetworkPolicy shop/deny was created" in reported(cluster, knowledge)


def test_restarted_agents_make_one_line(broken: tuple[FakeCluster, Subject], knowledge: Knowledge) -> None:
    cluster, _ = broken
    cluster.snapshot_fields["daemon_sets"] = (calico_node(),)
    for node, ago in (("node-1", 20), ("node-2", 40)):
        started = ContainerStateRunning(started_at=NOW - timedelta(minutes=ago))
        status = ContainerStatus(name="calico-node", restart_count=1, state=ContainerState(running=started))
        subject = cluster.pod(
            f"kube-system/calico-{node}",
            node,
            host_network=True,
            age=timedelta(days=9),
            container_statuses=(status,),
        )
        pod = cluster.pods[subject]
        owner = OwnerReference(kind="DaemonSet", uid="ds")
        meta = msgspec.structs.replace(pod.metadata, owner_references=(owner,))
        cluster.pods[subject] = msgspec.structs.replace(pod, metadata=meta)

    assert reported(cluster, knowledge) == [
        "Pod kube-system/calico-node-1 restarted on node-1, the last of 2 such pods",
    ]


def test_a_reboot_is_told_once_and_a_machine_older_than_its_cluster_never(
    broken: tuple[FakeCluster, Subject], knowledge: Knowledge
) -> None:
    cluster, _ = broken
    cluster.node_report("node-1", started_at="2026-01-02T03:04:05Z", uptime_s=1800.0)
    cluster.node_report("node-2", started_at="2026-01-02T03:04:05Z", uptime_s=40 * 86400.0)
    node = cluster.nodes["node-1"]
    again = Condition(type="Ready", status="True", last_transition_time=NOW - timedelta(minutes=28))
    status = msgspec.structs.replace(node.status, conditions=(again,))
    cluster.nodes["node-1"] = msgspec.structs.replace(node, status=status)

    assert reported(cluster, knowledge) == ["Node node-1 was started again"]


def test_a_node_that_says_nonsense_about_its_time_is_not_believed(
    broken: tuple[FakeCluster, Subject], knowledge: Knowledge
) -> None:
    cluster, _ = broken
    cluster.node_report("node-1", started_at="yesterday", uptime_s=1e300)
    cluster.node_report("node-2", started_at="2026-01-02T03:04:05Z", uptime_s=1e300)

    assert reported(cluster, knowledge) == []


def test_settings_of_one_node_alone_are_told_without_a_time(
    broken: tuple[FakeCluster, Subject], knowledge: Knowledge
) -> None:
    cluster, _ = broken
    cluster.node("node-3")
    for name in cluster.nodes:
        cluster.sysctl(name, ipv4__ip_forward="1", ipv4__conf__all__rp_filter="1" if name == "node-2" else "0")

    (change,) = judged(cluster, knowledge).changes

    assert (change.subject, change.at, change.ago_s) == ("Node node-2", "", None)
    assert "ipv4.conf.all.rp_filter=1, peers 0" in change.what


def test_what_came_after_the_first_sign_did_not_precede_it(
    broken: tuple[FakeCluster, Subject], knowledge: Knowledge
) -> None:
    cluster, pod = broken
    unready = Condition(type="Ready", status="False", last_transition_time=NOW - 2 * HOUR)
    known = cluster.pods[pod]
    status = msgspec.structs.replace(known.status, conditions=(unready,))
    cluster.pods[pod] = msgspec.structs.replace(known, status=status)
    cluster.snapshot_fields["network_policies"] = (policy("before", 3 * HOUR), policy("after", HOUR))

    assert reported(cluster, knowledge) == ["NetworkPolicy shop/before was created"]


def test_a_revision_that_an_undo_took_up_again_is_as_old_as_its_pods(
    broken: tuple[FakeCluster, Subject], knowledge: Knowledge
) -> None:
    cluster, _ = broken
    reused = labelled(revision(3, timedelta(days=9)), "old")
    cluster.snapshot_fields |= {
        "daemon_sets": (calico_node(),),
        "controller_revisions": (reused, labelled(revision(2, timedelta(days=2)), "bad")),
    }
    runs(cluster, "node-1", "old", HOUR)

    (change, *_) = judged(cluster, knowledge).changes
    assert change.what == "got revision 3"
    assert change.ago_s == 3600


def labelled(one: ControllerRevision, value: str) -> ControllerRevision:
    meta = msgspec.structs.replace(one.metadata, labels={"controller-revision-hash": value})
    return msgspec.structs.replace(one, metadata=meta)


def runs(cluster: FakeCluster, node: str, value: str, ago: timedelta, **annotations: str) -> None:
    """A pod of calico-node with this revision."""
    subject = cluster.pod(f"kube-system/calico-node-{node}", node, host_network=True)
    meta = ObjectMeta(
        namespace="kube-system",
        name=f"calico-node-{node}",
        uid=f"uid-calico-{node}",
        labels={"controller-revision-hash": value},
        annotations=annotations,
        creation_timestamp=NOW - ago,
        owner_references=(OwnerReference(kind="DaemonSet", uid="ds", name="calico-node", controller=True),),
    )
    cluster.pods[subject] = msgspec.structs.replace(cluster.pods[subject], metadata=meta)


def test_a_change_never_moves_the_verdict(broken: tuple[FakeCluster, Subject], knowledge: Knowledge) -> None:
    cluster, _ = broken
    without = judged(cluster, knowledge)
    cluster.snapshot_fields |= {
        "daemon_sets": (calico_node(),),
        "controller_revisions": (revision(1, timedelta(days=9)), revision(2, HOUR)),
    }

    changed = judged(cluster, knowledge)

    assert changed.changes
    assert replace(changed, changes=()) == without


def test_a_healthy_cluster_has_nothing_that_came_before(knowledge: Knowledge) -> None:
    cluster, *_ = two_nodes()
    cluster.snapshot_fields["network_policies"] = (policy("new", HOUR),)

    assert reported(cluster, knowledge) == []


def test_the_list_is_bounded(broken: tuple[FakeCluster, Subject], knowledge: Knowledge) -> None:
    cluster, _ = broken
    cluster.snapshot_fields["network_policies"] = tuple(policy(f"p{number}", HOUR) for number in range(300))

    assert len(judged(cluster, knowledge).changes) == 20
