"""Pods that got no network and why, pods that are not ready, and addresses that are odd."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from bot.agent.report import Address
from bot.cluster.objects import (
    Condition,
    Container,
    ContainerState,
    ContainerStateRunning,
    ContainerStateWaiting,
    ContainerStatus,
    CustomObject,
    Event,
    ObjectMeta,
    ObjectReference,
    ProbeSpec,
    TcpSocketAction,
)
from bot.domain import facts
from bot.domain.finding import Severity, SymptomKind
from bot.probes import pod_sandbox
from tests.probes.build import NOW, FakeCluster, facts_of, sentences, table, two_nodes, unread

NO_ADDRESSES = 'plugin type="flannel" failed (add): no IP addresses available in range set: 10.42.1.1-10.42.1.254'


def failed(pod: facts.Subject, message: str, *, reason: str = "FailedCreatePodSandBox", age_s: float = 10) -> Event:
    namespace, _, name = pod.name.partition("/")
    return Event(
        metadata=ObjectMeta(namespace=namespace, name=f"{name}.1"),
        involved_object=ObjectReference(kind="Pod", namespace=namespace, name=name, uid=f"uid-{name}"),
        reason=reason,
        message=message,
        type="Warning",
        last_timestamp=NOW - timedelta(seconds=age_s),
    )


def creating(cluster: FakeCluster, name: str = "shop/new", *, age: timedelta = timedelta(minutes=5)) -> facts.Subject:
    waiting = ContainerState(waiting=ContainerStateWaiting(reason="ContainerCreating"))
    return cluster.pod(
        name,
        "node-1",
        is_reported=False,
        is_ready=False,
        age=age,
        phase="Pending",
        pod_ip="",
        pod_ips=(),
        container_statuses=(ContainerStatus(name="main", state=waiting),),
    )


def judged(cluster: FakeCluster, **snapshot: Any) -> tuple[Any, list[Any]]:
    cluster.snapshot_fields |= snapshot
    known = facts_of(cluster.evidence(), pod_sandbox.PROBE)
    return known, list(pod_sandbox.PROBE.judge(known))


def test_healthy_pods_have_what_they_need():
    cluster, a, _, _ = two_nodes()

    known, findings = judged(cluster)

    assert known.of(a)["has_ip"] is True
    assert known.of(a)["ip"] == "10.42.1.10"
    assert known.of(a)["sandbox_error"] == "none"
    assert known.of(a)["ip_in_pool"] is True
    assert known.of(a)["is_young"] is False
    assert known.of(a)["has_been_ready"] is True
    assert known.of(facts.node("node-1"))["pods_running"] == 2
    assert sentences(findings) == [
        "Each of the 3 pods asked about has an address, which no other known pod or node has."
    ]
    assert findings[0].severity is Severity.PASS


def test_a_failed_sandbox_is_told_with_its_words():
    cluster, *_ = two_nodes()
    new = creating(cluster)

    known, findings = judged(cluster, events=(failed(new, NO_ADDRESSES),))

    assert known.of(new)["sandbox_error"] == "ipam-exhausted"
    assert known.of(facts.node("node-1"))["pods_without_network"] == 1
    failure = next(each for each in findings if each.severity is Severity.FAIL)
    assert failure.sentence == (
        f'Pod shop/new on node-1 has no network, because no address is left in the range: "{NO_ADDRESSES}".'
    )
    assert failure.symptom
    assert (failure.symptom.kind, failure.symptom.subject) == (SymptomKind.POD_WITHOUT_NETWORK, new)
    assert not any(each.severity is Severity.PASS for each in findings)


def test_many_pods_of_a_node_are_told_once():
    cluster, *_ = two_nodes()
    pods = [creating(cluster, f"shop/new-{number}") for number in range(5)]

    _, findings = judged(cluster, events=tuple(failed(pod, NO_ADDRESSES) for pod in pods))

    failures = [each for each in findings if each.severity is Severity.FAIL]
    assert len(failures) == 1
    assert failures[0].sentence.startswith("5 pods on node-1 (shop/new-0, shop/new-1, ")
    assert failures[0].symptom
    assert [flow.source for flow in failures[0].symptom.flows] == pods


def test_the_last_event_counts():
    cluster, *_ = two_nodes()
    new = creating(cluster)
    events = (failed(new, "Unauthorized", age_s=5), failed(new, NO_ADDRESSES, age_s=500))

    known, _ = judged(cluster, events=events)

    assert known.of(new)["sandbox_error"] == "unauthorized"


def test_a_pod_that_has_its_address_now_has_got_over_it():
    cluster, a, _, _ = two_nodes()

    known, _ = judged(cluster, events=(failed(a, NO_ADDRESSES),))

    assert known.of(a)["sandbox_error"] == "none"


def test_the_nodes_own_words_count_where_there_is_no_event():
    cluster, *_ = two_nodes()
    new = creating(cluster)
    message = "container runtime network not ready: NetworkReady=false message: cni plugin not initialized"
    node = cluster.nodes["node-1"]
    status = type(node.status)(
        addresses=node.status.addresses, conditions=(Condition(type="Ready", status="False", message=message),)
    )
    cluster.nodes["node-1"] = type(node)(metadata=node.metadata, spec=node.spec, status=status)

    known, _ = judged(cluster)

    assert known.of(new)["sandbox_error"] == "cni-not-initialised"
    assert known.of(new)["sandbox_message"] == message


def test_events_that_could_not_be_read_leave_the_reason_unknown():
    cluster, *_ = two_nodes()
    new = creating(cluster)

    known, findings = judged(cluster, unobserved=(unread("events", "Not allowed to list events."),))

    assert "sandbox_error" not in known.of(new)
    assert sentences(findings, Severity.INCONCLUSIVE) == [
        "Why the network could not be made of shop/new could not be observed: Not allowed to list events."
    ]


def test_a_pod_that_waits_for_something_else_is_not_the_networks():
    cluster, *_ = two_nodes()
    creating(cluster)

    _, findings = judged(cluster)

    assert sentences(findings, Severity.FAIL) == []
    assert (
        "Pod shop/new on node-1 has had no address for more than two minutes, and no event says that a sandbox failed: "
        "something before the network (often a volume) is not done yet."
    ) in sentences(findings, Severity.WARN)


def test_a_young_pod_may_be_starting():
    cluster, *_ = two_nodes()
    creating(cluster, age=timedelta(seconds=20))

    _, findings = judged(cluster)

    assert sentences(findings, Severity.FAIL, Severity.WARN) == []
    assert sentences(findings, Severity.INFO) == [
        (
            "Pod shop/new on node-1 is not ready, waiting: ContainerCreating. "
            "Younger than two minutes: this may be its start."
        )
    ]


def test_unready_pods_are_a_consequence():
    cluster, *_ = two_nodes()
    waiting = ContainerState(waiting=ContainerStateWaiting(reason="CrashLoopBackOff"))
    status = ContainerStatus(name="main", restart_count=4, state=waiting)
    bad = cluster.pod("shop/bad", "node-2", is_ready=False, container_statuses=(status,))

    _, findings = judged(cluster)

    warning = next(each for each in findings if each.severity is Severity.WARN)
    assert warning.sentence == "Pod shop/bad on node-2 is not ready, waiting: CrashLoopBackOff (4 restarts so far)."
    assert warning.symptom
    assert (warning.symptom.kind, warning.symptom.subject) == (SymptomKind.PODS_NOT_READY, bad)


def test_pods_of_other_namespaces_that_are_not_ready_are_nobodys_question():
    cluster, *_ = two_nodes()
    cluster.pod("elsewhere/bad", "node-2", is_ready=False)

    _, findings = judged(cluster)

    assert sentences(findings, Severity.WARN) == []


def test_two_pods_with_one_address():
    cluster, *_ = two_nodes()
    cluster.pod("shop/twin", "node-2", ip="10.42.1.10")

    _, findings = judged(cluster)

    assert sentences(findings, Severity.WARN)[0] == (
        "Pods shop/a, shop/twin have the same address 10.42.1.10: traffic to it reaches "
        "sometimes one, sometimes the other."
    )


def test_an_address_outside_every_pool():
    cluster, a, *_ = two_nodes()
    pool = CustomObject(kind="IPPool", metadata=ObjectMeta(name="p"), spec={"cidr": "10.99.0.0/16"})
    old = CustomObject(kind="IPPool", spec={"cidr": "10.42.0.0/16", "disabled": True})

    known, findings = judged(cluster, custom_objects={"ippools": (pool, old)})

    assert known.of(a)["ip_in_pool"] is False
    assert any("an address outside every range" in each for each in sentences(findings, Severity.WARN))


def test_marks_of_other_networks():
    cluster, a, *_ = two_nodes()
    pod = cluster.pods[a]
    annotations = {"k8s.v1.cni.cncf.io/networks": "storage", "kubernetes.io/egress-bandwidth": "1M"}
    metadata = ObjectMeta(
        name="a",
        namespace="shop",
        uid="uid-a",
        annotations=annotations,
        creation_timestamp=pod.metadata.creation_timestamp,
    )
    spec = type(pod.spec)(node_name="node-1", containers=(Container(name="main"), Container(name="istio-proxy")))
    cluster.pods[a] = type(pod)(metadata=metadata, spec=spec, status=pod.status)

    known, _ = judged(cluster)

    assert [known.of(a)[key] for key in ("extra_networks", "bandwidth_limited", "has_sidecar")] == [True, True, True]


@pytest.mark.parametrize(
    ("changed_after_s", "restarts", "expected"),
    [(60.0, 0, True), (-1.0, 0, False), (60.0, 2, None)],
    ids=["was ready, then not", "never ready", "restarted"],
)
def test_whether_an_unready_pod_was_ready_once(changed_after_s: float, restarts: int, expected: bool | None):  # noqa: FBT001
    cluster, *_ = two_nodes()
    started = NOW - timedelta(minutes=10)
    state = ContainerState(running=ContainerStateRunning(started_at=started))
    condition = Condition(
        type="Ready", status="False", last_transition_time=started + timedelta(seconds=changed_after_s)
    )
    pod = cluster.pod(
        "shop/x",
        "node-1",
        conditions=(condition,),
        container_statuses=(ContainerStatus(name="main", restart_count=restarts, state=state),),
    )

    known, _ = judged(cluster)

    assert known.of(pod).get("has_been_ready") is expected


@pytest.mark.parametrize(
    ("probe", "expected"),
    [(ProbeSpec(tcp_socket=TcpSocketAction(port=80)), True), (ProbeSpec(), False), (None, False)],
    ids=["over the network", "by a command", "none"],
)
def test_a_ready_pod_has_used_its_gateway_only_if_it_was_asked_over_the_network(
    probe: ProbeSpec | None,
    expected: bool,  # noqa: FBT001
):
    cluster, *_ = two_nodes()
    pod = cluster.pod("shop/x", "node-1")
    containers = (Container(name="main", readiness_probe=probe),)
    cluster.pods[pod] = replace(cluster.pods[pod], spec=replace(cluster.pods[pod].spec, containers=containers))

    known, _ = judged(cluster)

    assert known.of(pod)["has_answered_probe"] is expected


def test_hostnetwork_pods_share_their_nodes_address_by_right():
    cluster, *_ = two_nodes()
    host = cluster.pod("shop/host", "node-1", host_network=True)

    known, findings = judged(cluster)

    assert "duplicate_ip" not in known.of(host)
    assert sentences(findings, Severity.WARN) == []


def test_a_terminating_pod_is_not_complained_about():
    known = table(pod={"shop/a": {"in_scope": True, "is_ready": False, "is_terminating": True, "is_young": False}})

    assert list(pod_sandbox.PROBE.judge(known)) == []


def test_an_address_that_another_pod_holds_on_the_inside_is_a_duplicate():
    """Whatever the API says: its second owner was given the address behind its back."""
    cluster, a, b, c = two_nodes()
    taken = Address(dev="eth0", ip=cluster.pods[a].status.pod_ip, prefix_len=24)
    cluster.inside(b, addresses=(*inside_of(cluster, b), taken))

    known = facts_of(cluster.evidence(), pod_sandbox.PROBE)

    assert [known.of(pod)["duplicate_ip"] for pod in (a, b, c)] == [True, False, False]


def inside_of(cluster: FakeCluster, pod: facts.Subject) -> tuple[Address, ...]:
    state = cluster.report_of(pod).state
    assert state is not None
    return state.addresses
