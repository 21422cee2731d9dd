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
from tests.probes.build import NOW, World, facts_of, sentences, two_nodes

_KEY = "node.cloudprovider.kubernetes.io/uninitialized"
_WORDS = f"0/2 nodes are available: 2 node(s) had untolerated taint {{{_KEY}: true}}."


def pending(
    world: World, name: str, words: str = _WORDS, *, reason: str = "Unschedulable", age_s: float = 300
) -> facts.Subject:
    condition = Condition(type="PodScheduled", status="False", reason=reason, message=words)
    subject = world.pod(
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
    pod = world.pods[subject]
    world.pods[subject] = replace(pod, spec=replace(pod.spec, node_name=""))
    return subject


def judged(world: World, **snapshot: Any) -> tuple[Any, list[Any]]:
    world.snapshot_fields |= snapshot
    known = facts_of(world.evidence(), pod_start.PROBE, pod_sandbox.PROBE)
    return known, [*pod_start.PROBE.judge(known), *pod_sandbox.PROBE.judge(known)]


def test_a_pod_without_a_node_is_told_once_with_the_schedulers_words():
    world, *_ = two_nodes()
    new = pending(world, "shop/new")

    known, findings = judged(world)

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
    world, *_ = two_nodes()
    pods = [pending(world, f"shop/new-{number}", "0/2 nodes are available: 2 Insufficient cpu.") for number in range(7)]

    _, findings = judged(world)

    (finding,) = [each for each in findings if each.severity is Severity.WARN]
    assert finding.sentence.startswith("7 pods (shop/new-0, ")
    assert [flow.source for flow in finding.symptom.flows] == pods


def test_a_young_one_is_told_without_a_symptom():
    """An autoscaler may be adding a node."""
    world, *_ = two_nodes()
    pending(world, "shop/new", age_s=20)

    _, findings = judged(world)

    assert [each.symptom for each in findings if each.severity is Severity.WARN] == [None]


def test_a_scheduler_that_names_no_taint_means_those_of_all_nodes():
    world, *_ = two_nodes()
    for name in ("node-1", "node-2"):
        node = world.nodes[name]
        taints = (Taint(key=_KEY, effect="NoSchedule"), Taint(key=name, effect="NoSchedule"))
        world.nodes[name] = replace(node, spec=replace(node.spec, taints=taints))
    new = pending(world, "shop/new", "0/2 nodes are available: 2 node(s) had untolerated taint(s).")

    known, _ = judged(world)

    assert known.of(new)["untolerated_taints"] == (_KEY,)


def test_where_no_scheduler_says_anything_none_runs():
    world, *_ = two_nodes()
    old, new = pending(world, "shop/old", reason=""), pending(world, "shop/new", reason="", age_s=5)

    known, _ = judged(world)

    assert known.of(old)["unscheduled"] == "no-scheduler"
    assert known.of(new)["unscheduled"] == "no"


def test_a_gated_pod_waits_for_its_gate():
    world, *_ = two_nodes()
    new = pending(world, "shop/new", "Scheduling is blocked", reason="SchedulingGated")

    known, _ = judged(world)

    assert known.of(new)["unscheduled"] == "gated"


def test_the_event_says_why_an_image_is_not_there_where_the_status_does_not():
    world, *_ = two_nodes()
    state = ContainerState(
        waiting=ContainerStateWaiting(reason="ImagePullBackOff", message='Back-off pulling image "x"')
    )
    bad = world.pod(
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

    known, findings = judged(world, events=(event,))

    assert known.of(bad)["image_error"] == "name"
    assert sentences(findings, Severity.WARN) == [
        (
            "Pod shop/bad waits for an image: the registry's name does not resolve on the node: "
            '"Failed to pull image "x": dial tcp: lookup registry.example on 10.0.0.2:53: no such host".'
        )
    ]


def test_without_dns_pods_nothing_is_said_of_them():
    world, *_ = two_nodes()

    known, _ = judged(world)

    assert "dns_unscheduled" not in known.of(CLUSTER)
