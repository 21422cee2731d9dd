"""Why the pods behind a Service are not ready."""

from typing import Any

import msgspec
import pytest

from bot.cluster.objects import (
    Condition,
    Container,
    ContainerState,
    ContainerStateTerminated,
    ContainerStateWaiting,
    ContainerStatus,
    Deployment,
    DeploymentSpec,
    EnvVar,
    Event,
    HttpGetAction,
    ObjectMeta,
    ObjectReference,
    PodSpec,
    PodTemplate,
    ProbeSpec,
)
from bot.domain import facts
from bot.domain.facts import Rung, Subject
from bot.domain.finding import Finding, Severity, SymptomKind
from bot.probes import service_endpoints
from bot.probes.services.unready import unready
from tests.probes.build import NOW, FakeCluster, facts_of, sentences, two_nodes
from tests.probes.services import add_service, ask, listening


def judged(cluster: FakeCluster, **snapshot: Any) -> tuple[Any, list[Finding]]:
    cluster.snapshot_fields |= snapshot
    known = facts_of(cluster.evidence(), service_endpoints.PROBE)
    return known, list(service_endpoints.PROBE.judge(known))


def labelled(cluster: FakeCluster, name: str, node: str = "node-1", *, is_ready: bool = True, **labels: str) -> Subject:
    return cluster.pod(name, node, labels=labels, is_ready=is_ready, ports=(9004,))


def empty(cluster: FakeCluster, **pod: Any) -> tuple[Subject, Subject]:
    """Service shop/web in front of one pod that is not ready."""
    late = cluster.pod("shop/web-0", "node-1", labels={"app": "web"}, is_ready=False, ports=(9004,), **pod)
    return add_service(cluster, "shop/web", unready=(late,)), late


def status(reason: str = "", *, restarts: int = 0, ended: int | None = None) -> tuple[ContainerStatus, ...]:
    waiting = ContainerStateWaiting(reason=reason) if reason else None
    last = ContainerState(terminated=ContainerStateTerminated(exit_code=ended)) if ended is not None else None
    return (
        ContainerStatus(
            name="main",
            restart_count=restarts,
            state=ContainerState(waiting=waiting),
            last_state=last or ContainerState(),
        ),
    )


def test_the_last_pods_of_a_workload_that_was_just_scaled_to_zero_do_not_hide_that():
    """They linger for their grace period."""
    cluster, *_ = two_nodes()
    web, late = empty(cluster)
    leaving = cluster.pods[late]
    gone_at = msgspec.structs.replace(leaving.metadata, deletion_timestamp=NOW)
    cluster.pods[late] = msgspec.structs.replace(leaving, metadata=gone_at)
    template = PodTemplate(metadata=ObjectMeta(labels={"app": "web"}), spec=PodSpec())
    deployment = Deployment(
        metadata=ObjectMeta(namespace="shop", name="web"), spec=DeploymentSpec(replicas=0, template=template)
    )

    known, _ = judged(cluster, deployments=(deployment,))

    assert known.of(web)["scaled_to_zero"] is True


@pytest.mark.parametrize(
    ("statuses", "why"),
    [
        (status("CrashLoopBackOff", restarts=4), "crash"),
        (status(restarts=2, ended=137), "crash"),
        (status(restarts=2, ended=0), "application"),
        (status("ImagePullBackOff"), "image"),
        (status("CreateContainerConfigError"), "configuration"),
        ((), "application"),
    ],
)
def test_why_pods_are_not_ready(statuses: tuple[ContainerStatus, ...], why: str):
    cluster, *_ = two_nodes()
    web, _ = empty(cluster, container_statuses=statuses)

    known, findings = judged(cluster)

    assert known.of(web)["unready_why"] == why
    assert [each.symptom.kind for each in findings if each.symptom] == [SymptomKind.SERVICE_UNREACHABLE]


@pytest.mark.parametrize("rung", [Rung.EXEC, Rung.CNI_AGENT])
def test_where_nothing_is_sent_it_is_not_known_whether_they_lack_something(rung: Rung):
    cluster, *_ = two_nodes()
    web, _ = empty(cluster)
    cluster.rungs = dict.fromkeys(("node-1", "node-2"), rung)

    known, _ = judged(cluster)

    assert known.of(web).get("unready_why") is None


def test_pods_that_do_not_reach_what_they_need_are_unready_because_of_that():
    """Also when they crash: many do without what they need."""
    cluster, a, *_ = two_nodes()
    db = add_service(cluster, "shop/db", (a,), ip="10.43.0.77")
    web, late = empty(cluster, container_statuses=status("CrashLoopBackOff", restarts=4))
    ask(cluster, late, db, "timeout")

    known, findings = judged(cluster)

    assert (known.of(web)["unready_why"], known.of(web)["unready_lacks"]) == (
        "needs",
        ("Service shop/db got no answer",),
    )
    reported = next(each for each in findings if each.subject == web)
    assert reported.severity is Severity.WARN
    assert reported.symptom
    assert reported.symptom.kind is SymptomKind.PODS_NOT_READY
    assert "that follows from something else (Service shop/db got no answer)" in reported.sentence


def test_one_port_out_of_reach_is_enough_to_be_unready_for():
    """The others of the same Service answer: what a pod needs is a port, never the Service on average."""
    cluster, a, *_ = two_nodes()
    db = add_service(cluster, "shop/db", (a,), ip="10.43.0.77")
    spec = cluster.services[-1].spec
    more = msgspec.structs.replace(spec.ports[0], name="more", port=9005, target_port=9005)
    both = msgspec.structs.replace(spec, ports=(*spec.ports, more))
    cluster.services[-1] = msgspec.structs.replace(cluster.services[-1], spec=both)
    web, late = empty(cluster)
    ask(cluster, late, db)
    cluster.test(
        late,
        "cluster-ip",
        outcome="timeout",
        ip="10.43.0.77",
        port=9005,
        name="shop/db:9005",
        service="shop/db:9005",
        protocol="tcp",
    )

    known, _ = judged(cluster)

    assert (known.of(web)["unready_why"], known.of(web)["unready_lacks"]) == (
        "needs",
        ("Service shop/db at 9005/TCP got no answer",),
    )


@pytest.mark.parametrize("needs", ["db:5432", "postgres://alias:5432/orders"])
def test_a_pod_that_needs_a_service_behind_which_nobody_is_waits_for_it(needs: str):
    cluster, *_ = two_nodes()
    web, late = empty(cluster)
    add_service(cluster, "shop/db", ip="10.43.7.7", port=5432)
    alias = "db.shop.svc.cluster.local"
    add_service(cluster, "shop/alias", ip="", port=5432, type="ExternalName", external_name=alias)
    container = Container(env=(EnvVar(name="DB", value=needs),))
    spec = msgspec.structs.replace(cluster.pods[late].spec, containers=(container,))
    cluster.pods[late] = msgspec.structs.replace(cluster.pods[late], spec=spec)

    known, _ = judged(cluster)

    assert known.of(web)["unready_why"] == "needs"
    assert known.of(web)["unready_lacks"] == ("Service shop/db, which has no endpoint",)


def test_hand_made_endpoints_that_are_called_unready_serve_nobody():
    cluster, _, b, _ = two_nodes()
    web, late = empty(cluster)
    add_service(cluster, "shop/db", unready=(b,), ip="10.43.7.7", port=5432, selector={})
    made = cluster.slices[-1]
    by_hand = tuple(msgspec.structs.replace(each, target_ref=None) for each in made.endpoints)
    cluster.slices[-1] = msgspec.structs.replace(made, endpoints=by_hand)
    container = Container(env=(EnvVar(name="DB", value="db:5432"),))
    spec = msgspec.structs.replace(cluster.pods[late].spec, containers=(container,))
    cluster.pods[late] = msgspec.structs.replace(cluster.pods[late], spec=spec)

    known, _ = judged(cluster)

    assert known.of(web)["unready_lacks"] == ("Service shop/db, which has no ready endpoint",)


def test_two_empty_services_do_not_explain_each_other():
    cluster, *_ = two_nodes()
    web, late = empty(cluster)
    other = cluster.pod("shop/api-0", "node-1", labels={"app": "api"}, is_ready=False)
    api = add_service(cluster, "shop/api", unready=(other,), ip="10.43.0.78")
    ask(cluster, late, api, "ECONNREFUSED")
    ask(cluster, other, web, "ECONNREFUSED")

    known, _ = judged(cluster)

    assert (known.of(web)["unready_why"], known.of(api)["unready_why"]) == ("application", "application")


@pytest.mark.parametrize(("outcome", "why"), [("timeout", "needs"), ("ok", "application")])
def test_what_a_pod_needs_may_have_no_endpoint_because_its_own_pods_are_out_of_reach(outcome: Any, why: str):
    cluster, *_ = two_nodes()
    web, late = empty(cluster)
    container = Container(env=(EnvVar(name="API", value="http://api:9004/v1"),))
    spec = msgspec.structs.replace(cluster.pods[late].spec, containers=(container,))
    cluster.pods[late] = msgspec.structs.replace(cluster.pods[late], spec=spec)
    behind = cluster.pod("shop/api-0", "node-1", labels={"app": "api"}, is_ready=False)
    add_service(cluster, "shop/api", unready=(behind,), ip="10.43.0.78")
    cluster.test(facts.node("node-1"), "local-pod", to=behind, outcome=outcome)

    known, _ = judged(cluster)

    assert known.of(web)["unready_why"] == why


def test_pods_that_their_own_node_does_not_reach():
    cluster, *_ = two_nodes()
    web, late = empty(cluster)
    cluster.test(facts.node("node-1"), "local-pod", to=late, outcome="timeout")

    assert judged(cluster)[0].of(web)["unready_why"] == "network"

    cluster.test(facts.node("node-1"), "local-pod", to=late)
    assert judged(cluster)[0].of(web)["unready_why"] == "application"

    cluster.test(facts.node("node-1"), "local-pod", to=late, protocol="tcp", port=9004, outcome="ECONNREFUSED")
    assert judged(cluster)[0].of(web)["unready_why"] == "application"
    listening(cluster, late, ("0.0.0.0", 9004))
    assert judged(cluster)[0].of(web)["unready_why"] == "network", "a pod does not refuse where it listens"


def test_pods_of_a_node_whose_kubelet_does_not_report():
    cluster, *_ = two_nodes()
    web, _ = empty(cluster)
    node = cluster.nodes["node-1"]
    unknown = Condition(type="Ready", status="Unknown", reason="NodeStatusUnknown")
    cluster.nodes["node-1"] = msgspec.structs.replace(
        node, status=msgspec.structs.replace(node.status, conditions=(unknown,))
    )

    known, findings = judged(cluster)

    assert known.of(web)["unready_why"] == "kubelet"
    assert "the kubelet of node-1 does not report" in " ".join(sentences(findings))


def test_pods_that_are_being_deleted_are_said_so():
    cluster, *_ = two_nodes()
    pod = labelled(cluster, "shop/web-0", app="web")
    known_pod = cluster.pods[pod]
    cluster.pods[pod] = msgspec.structs.replace(
        known_pod, metadata=msgspec.structs.replace(known_pod.metadata, deletion_timestamp=NOW)
    )
    add_service(cluster, "shop/web", unready=(pod,))

    _, findings = judged(cluster)

    assert sentences(findings, Severity.FAIL) == [
        "Service shop/web has no ready endpoint: it selects 1 pod, which is being deleted."
    ]


@pytest.mark.parametrize(
    ("outcome", "ok", "why"),
    [("timeout", 0, "network"), ("timeout", 3, "network"), ("EHOSTUNREACH", 0, "network"), ("ok", 5, "application")],
)
def test_a_pod_that_is_pinged_is_still_out_of_kubelets_reach_where_its_port_does_not_answer(
    outcome: Any, ok: int, why: str
):
    cluster, *_ = two_nodes()
    web, late = empty(cluster)
    probed_at(cluster, late, 9004)
    listening(cluster, late, ("0.0.0.0", 9004))
    node = facts.node("node-1")
    cluster.test(node, "local-pod", to=late)
    cluster.test(node, "local-pod", to=late, protocol="tcp", port=9004, outcome=outcome, ok=ok, tries=5)

    known = judged(cluster)[0].of(web)

    assert known["unready_why"] == why
    if ok == 3:
        assert known["unready_lacks"] == ("node-1 reaches it at 9004/TCP, where kubelet asks, only now and then",)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ('Get "http://10.42.1.9:9004/live": dial tcp 10.42.1.9:9004: i/o timeout', "unanswered"),
        ("dial tcp 10.42.1.9:9004: connect: no route to host", "unanswered"),
        ("dial tcp 10.42.1.9:9004: connect: connection refused", "application"),
        ('Get "http://10.42.1.9:9004/live": context deadline exceeded (Client.Timeout exceeded)', "application"),
        ("HTTP probe failed with statuscode: 503", "application"),
    ],
)
def test_kubelets_word_that_nobody_answered_counts_though_we_got_through(words: str, why: str):
    """What is lost now and then may spare our few packets: then nobody says that the pod itself is at fault."""
    cluster, *_ = two_nodes()
    web, late = empty(cluster)
    probed_at(cluster, late, 9004)
    cluster.test(facts.node("node-1"), "local-pod", to=late, protocol="tcp", port=9004, ok=5, tries=5)
    cluster.snapshot_fields["events"] = (unhealthy(cluster, late, f"Readiness probe failed: {words}"),)

    known, findings = judged(cluster)

    assert known.of(web)["unready_why"] == why
    assert ("kubelet does not get through to it" in " ".join(sentences(findings))) is (why == "unanswered")


def test_a_readiness_probe_at_a_port_where_nobody_listens():
    cluster, *_ = two_nodes()
    web, late = empty(cluster)
    probed_at(cluster, late, 8081)
    listening(cluster, late, ("0.0.0.0", 9004))

    assert judged(cluster)[0].of(web)["unready_why"] == "probe-port"

    listening(cluster, late, ("0.0.0.0", 9004), ("0.0.0.0", 8081))
    assert judged(cluster)[0].of(web)["unready_why"] == "application"


def test_containers_that_kubelet_ends_because_it_does_not_get_through_do_not_crash_by_themselves():
    cluster, *_ = two_nodes()
    web, late = empty(cluster, container_statuses=status("CrashLoopBackOff", restarts=4, ended=137))
    said = 'Liveness probe failed: Get "http://10.42.1.9:9004/live": dial tcp 10.42.1.9:9004: i/o timeout'
    cluster.snapshot_fields["events"] = (unhealthy(cluster, late, said),)

    assert judged(cluster)[0].of(web)["unready_why"] == "unanswered"

    said = "Liveness probe failed: HTTP probe failed with statuscode: 500"
    cluster.snapshot_fields["events"] = (unhealthy(cluster, late, said),)

    assert judged(cluster)[0].of(web)["unready_why"] == "crash"


def probed_at(cluster: FakeCluster, pod: Subject, port: int) -> None:
    """Kubelet asks the pod's first container at this port."""
    known_pod = cluster.pods[pod]
    probe = ProbeSpec(http_get=HttpGetAction(port=port))
    container = msgspec.structs.replace(known_pod.spec.containers[0], readiness_probe=probe)
    cluster.pods[pod] = msgspec.structs.replace(
        known_pod, spec=msgspec.structs.replace(known_pod.spec, containers=(container,))
    )


def unhealthy(cluster: FakeCluster, pod: Subject, message: str) -> Event:
    """An event of the pod's kubelet, just now."""
    namespace, _, name = pod.name.partition("/")
    involved = ObjectReference(kind="Pod", namespace=namespace, name=name, uid=cluster.pods[pod].metadata.uid)
    return Event(
        metadata=ObjectMeta(name="unhealthy", namespace=namespace),
        involved_object=involved,
        reason="Unhealthy",
        message=message,
        last_timestamp=NOW,
    )


@pytest.mark.parametrize(("value", "word"), [("db:80", "needs"), ("nothing", None)])
def test_one_that_shares_its_node_s_network_waits_for_what_it_needs_alone(value: str, word: str | None):
    cluster, _, b, _ = two_nodes()
    late = cluster.pod("shop/late", "node-1", is_ready=False, host_network=True)
    spec = cluster.pods[late].spec
    spec = msgspec.structs.replace(spec, containers=(Container(env=(EnvVar(name="DB", value=value),)),))
    cluster.pods[late] = msgspec.structs.replace(cluster.pods[late], spec=spec)
    ask(cluster, facts.node("node-1"), add_service(cluster, "shop/db", (b,), port=80), "timeout")

    found = unready(cluster.evidence(), late, cluster.pods[late])

    assert (found.why if found else None) == word
