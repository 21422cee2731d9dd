"""Pods that kubelet reaches and that say no: a matter of the application, as long as nothing they need is lost."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace as changed

from bot.agent.report import Connection, Listener
from bot.cluster.objects import (
    Condition,
    ContainerState,
    ContainerStateRunning,
    ContainerStatus,
    Event,
    ObjectReference,
)
from bot.cluster.objects.pods import ExecAction, HttpGetAction, ProbeSpec
from bot.domain.facts import Subject
from bot.domain.finding import Severity
from bot.probes import pod_sandbox
from tests.probes.build import NOW, FakeCluster, facts_of, sentences, two_nodes
from tests.probes.services import add_service, ask

BY_HTTP = ProbeSpec(http_get=HttpGetAction(port=8080))
BY_COMMAND = ProbeSpec(exec=ExecAction())
STATUS = "HTTP probe failed with statuscode: 503"
REFUSED = 'Get "http://10.42.1.10:8080/": dial tcp 10.42.1.10:8080: connect: connection refused'
SILENT = 'Get "http://10.42.1.10:8080/": context deadline exceeded (Client.Timeout exceeded while awaiting headers)'


def standby(
    failure: str,
    probe: ProbeSpec = BY_HTTP,
    *,
    ago: timedelta = timedelta(minutes=1),
    was_ready: bool = False,
) -> tuple[FakeCluster, Subject]:
    """A pod that is not ready, with what kubelet last said of its probe; its node reaches it."""
    cluster, *_ = two_nodes()
    pod = cluster.pod("shop/standby", "node-1", is_ready=False)
    known = cluster.pods[pod]
    containers = tuple(changed(each, readiness_probe=probe) for each in known.spec.containers)
    started = NOW - timedelta(hours=1)
    running = ContainerStatus(name="c", state=ContainerState(running=ContainerStateRunning(started_at=started)))
    since = started + timedelta(minutes=50) if was_ready else started
    condition = Condition(type="Ready", status="False", last_transition_time=since)
    status = changed(known.status, container_statuses=(running,) * len(containers), conditions=(condition,))
    cluster.pods[pod] = changed(known, spec=changed(known.spec, containers=containers), status=status)
    cluster.inside(pod, listeners=())
    event = Event(
        involved_object=ObjectReference(kind="Pod", namespace="shop", name="standby", uid=known.metadata.uid),
        reason="Unhealthy",
        message=f"Readiness probe failed: {failure}",
        last_timestamp=NOW - ago,
    )
    cluster.snapshot_fields["events"] = (event,)
    return cluster, pod


def of(cluster: FakeCluster, pod: Subject) -> Any:
    return facts_of(cluster.evidence(), pod_sandbox.PROBE).of(pod).get("unready_by_itself")


@pytest.mark.parametrize(
    ("failure", "probe"),
    [(STATUS, BY_HTTP), ('service unhealthy (responded with "NOT_SERVING")', BY_HTTP), ("not the leader", BY_COMMAND)],
    ids=["status", "grpc", "command"],
)
def test_who_answers_no_is_unready_by_itself(failure: str, probe: ProbeSpec):
    cluster, pod = standby(failure, probe)

    assert of(cluster, pod) is True


def test_it_is_told_as_a_matter_of_the_application_and_asks_for_no_cause():
    cluster, pod = standby(STATUS)

    findings = pod_sandbox.PROBE.judge(facts_of(cluster.evidence(), pod_sandbox.PROBE))

    assert [each.symptom for each in findings if each.subject == pod] == [None]
    (sentence,) = sentences(list(findings), Severity.WARN)
    assert sentence == (
        f'Pod shop/standby on node-1 reports that it is not ready (kubelet: "{STATUS}"), and nothing that it '
        "needs is out of reach now: a matter of the application."
    )


def test_who_was_ready_before_may_still_suffer_from_a_fault_that_is_over():
    """Kubelet asks again in its own time."""
    cluster, pod = standby(STATUS, was_ready=True)

    (sentence,) = sentences(
        list(pod_sandbox.PROBE.judge(facts_of(cluster.evidence(), pod_sandbox.PROBE))), Severity.WARN
    )

    assert of(cluster, pod) is True
    assert sentence.endswith("a matter of the application, or what a fault left that has just ended.")


@pytest.mark.parametrize(("listens", "word"), [(False, True), (True, False)])
def test_a_refusal_is_the_pods_own_where_it_does_not_listen(*, listens: bool, word: bool):
    cluster, pod = standby(REFUSED)
    if listens:
        cluster.inside(pod, listeners=(Listener(protocol="tcp", ip="0.0.0.0", port=8080),))

    assert of(cluster, pod) is word


@pytest.mark.parametrize(
    ("failure", "probe"), [(SILENT, BY_HTTP), ('command timed out: "x" timed out after 1s', BY_COMMAND)]
)
def test_silence_is_no_word(failure: str, probe: ProbeSpec):
    cluster, pod = standby(failure, probe)

    assert of(cluster, pod) is False


def test_a_word_of_long_ago_is_none():
    cluster, pod = standby(STATUS, ago=timedelta(hours=1))

    assert of(cluster, pod) is None


def test_who_lacks_what_it_needs_says_no_because_of_that():
    cluster, pod = standby(STATUS)
    db = cluster.pod("shop/db", "node-2")
    service = add_service(cluster, "shop/db", (db,))
    ask(cluster, pod, service, "timeout")

    assert of(cluster, pod) is False


def test_who_waits_for_an_answer_from_somewhere_says_no_because_of_that():
    cluster, pod = standby(STATUS)
    cluster.inside(pod, connections=(Connection(state="syn-sent", ip="198.51.100.7", port=5432),))

    assert of(cluster, pod) is False


def test_without_a_look_inside_it_is_not_known():
    cluster, pod = standby(REFUSED)
    cluster.seen(pod, state=None)

    assert of(cluster, pod) is None
