"""Pods that no node takes, and pods whose image is not there."""

from datetime import timedelta
from typing import Any

from msgspec.structs import replace

from bot.cluster.objects import (
    Condition,
    ContainerState,
    ContainerStateWaiting,
    ContainerStatus,
    Event,
    ObjectMeta,
    ObjectReference,
    Taint,
)
from bot.domain import facts
from bot.domain.facts import CLUSTER
from bot.domain.finding import Severity
from bot.probes import pod_sandbox, pod_start
from tests.probes.build import NOW, FakeCluster, facts_of, sentences, two_nodes

_KEY = "node.cloudprovider.kubernetes.io/uninitialized"
_WORDS = f"0/2 nodes are available: 2 node(s) had untolerated taint {{{_KEY}: true}}."


def pending(
    cluster: FakeCluster, name: str, words: str = _WORDS, *, reason: str = "Unschedulable", age_s: float = 300
) -> facts.Subject:
    condition = Condition(type="PodScheduled", status="False", reason=reason, message=words)
    subject = cluster.pod(
        name,
        "node-1",
        is_reported=False,
        is_ready=False,
        age=timedelta(seconds=age_s),
        phase="Pending",
        pod_ip="",
        pod_ips=(),
        conditions=(condition,) if reason else (),
    )
    pod = cluster.pods[subject]
    cluster.pods[subject] = replace(pod, spec=replace(pod.spec, node_name=""))
    return subject


def judged(cluster: FakeCluster, **snapshot: Any) -> tuple[Any, list[Any]]:
    cluster.snapshot_fields |= snapshot
    known = facts_of(cluster.evidence(), pod_start.PROBE, pod_sandbox.PROBE)
    return known, [*pod_start.PROBE.judge(known), *pod_sandbox.PROBE.judge(known)]


def test_a_pod_without_a_node_is_told_once_with_the_schedulers_words():
    cluster, *_ = two_nodes()
    new = pending(cluster, "shop/new")

    known, findings = judged(cluster)

    assert known.of(new)["unscheduled"] == "taints"
    assert known.of(new)["untolerated_kind"] == "cloud-provider"
    assert known.of(new)["untolerated_taints"] == (_KEY,)
    assert sentences(findings, Severity.WARN) == [
        (
            "Pod shop/new is not scheduled, because every node that could take it has a taint that it does not tolerate"
            f': "{_WORDS}".'
        )
    ]


def test_many_pods_with_one_reason_are_told_once():
    cluster, *_ = two_nodes()
    pods = [
        pending(cluster, f"shop/new-{number}", "0/2 nodes are available: 2 Insufficient cpu.") for number in range(7)
    ]

    _, findings = judged(cluster)

    (finding,) = [each for each in findings if each.severity is Severity.WARN]
    assert finding.sentence.startswith("7 pods (shop/new-0, ")
    assert [flow.source for flow in finding.symptom.flows] == pods


def test_a_young_one_is_told_without_a_symptom():
    """An autoscaler may be adding a node."""
    cluster, *_ = two_nodes()
    pending(cluster, "shop/new", age_s=20)

    _, findings = judged(cluster)

    assert [each.symptom for each in findings if each.severity is Severity.WARN] == [None]


def test_a_scheduler_that_names_no_taint_means_those_of_all_nodes():
    cluster, *_ = two_nodes()
    for name in ("node-1", "node-2"):
        node = cluster.nodes[name]
        taints = (Taint(key=_KEY, effect="NoSchedule"), Taint(key=name, effect="NoSchedule"))
        cluster.nodes[name] = replace(node, spec=replace(node.spec, taints=taints))
    new = pending(cluster, "shop/new", "0/2 nodes are available: 2 node(s) had untolerated taint(s).")

    known, _ = judged(cluster)

    assert known.of(new)["untolerated_taints"] == (_KEY,)


def test_where_no_scheduler_says_anything_none_runs():
    cluster, *_ = two_nodes()
    old, new = pending(cluster, "shop/old", reason=""), pending(cluster, "shop/new", reason="", age_s=5)

    known, _ = judged(cluster)

    assert known.of(old)["unscheduled"] == "no-scheduler"
    assert known.of(new)["unscheduled"] == "no"


def test_a_gated_pod_waits_for_its_gate():
    cluster, *_ = two_nodes()
    new = pending(cluster, "shop/new", "Scheduling is blocked", reason="SchedulingGated")

    known, _ = judged(cluster)

    assert known.of(new)["unscheduled"] == "gated"


def test_the_event_says_why_an_image_is_not_there_where_the_status_does_not():
    cluster, *_ = two_nodes()
    state = ContainerState(
        waiting=ContainerStateWaiting(reason="ImagePullBackOff", message='Back-off pulling image "x"')
    )
    bad = cluster.pod(
        "shop/bad", "node-1", is_ready=False, container_statuses=(ContainerStatus(name="main", state=state),)
    )
    event = Event(
        metadata=ObjectMeta(namespace="shop", name="bad.1"),
        involved_object=ObjectReference(kind="Pod", namespace="shop", name="bad", uid="uid-bad"),
        reason="Failed",
        message='Failed to pull image "x": dial tcp: lookup registry.example on 10.0.0.2:53: no such host',
        type="Warning",
        last_timestamp=NOW,
    )

    known, findings = judged(cluster, events=(event,))

    assert known.of(bad)["image_error"] == "name"
    assert sentences(findings, Severity.WARN) == [
        (
            "Pod shop/bad waits for an image: the registry's name does not resolve on the node: "
            '"Failed to pull image "x": dial tcp: lookup registry.example on 10.0.0.2:53: no such host".'
        )
    ]


def test_without_dns_pods_nothing_is_said_of_them():
    cluster, *_ = two_nodes()

    known, _ = judged(cluster)

    assert "dns_unscheduled" not in known.of(CLUSTER)
