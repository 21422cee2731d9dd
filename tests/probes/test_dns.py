"""The cluster's DNS: by Service, by pod, inside and outside names, and what the contrasts say."""

from typing import Any

import pytest
from msgspec.structs import replace

from bot.cluster.objects import (
    ContainerState,
    ContainerStateWaiting,
    ContainerStatus,
    NetworkPolicy,
    NetworkPolicyEgressRule,
    NetworkPolicyPort,
    NetworkPolicySpec,
    ObjectMeta,
)
from bot.domain import facts
from bot.domain.facts import CLUSTER, FactTable, Subject
from bot.domain.finding import Finding, Severity, SymptomKind
from bot.probes import dns, network_policies, pod_sandbox, service_endpoints
from tests.probes.build import FakeCluster, facts_of, sentences, two_nodes, unread
from tests.probes.services import API_NAME, add_dns, resolve


def judged(cluster: FakeCluster, **snapshot: Any) -> tuple[FactTable, list[Finding]]:
    cluster.snapshot_fields |= snapshot
    probes = (pod_sandbox.PROBE, service_endpoints.PROBE, dns.PROBE, network_policies.PROBE)
    known = facts_of(cluster.evidence(), *probes)
    return known, list(dns.PROBE.judge(known))


def with_dns(*, ready: bool = True, **pod: Any) -> tuple[FakeCluster, tuple[Subject, Subject, Subject], Subject]:
    cluster, *pods = two_nodes()
    _, server = add_dns(cluster, ready=ready, **pod)
    return cluster, (pods[0], pods[1], pods[2]), server


def test_a_dns_that_answers_everybody_passes():
    cluster, pods, server = with_dns()
    for pod in pods:
        resolve(cluster, pod)
        resolve(cluster, pod, tcp=True)
        resolve(cluster, pod, server=server)
        resolve(cluster, pod, name="example.com", answers=("203.0.113.9",))

    known, findings = judged(cluster)

    assert known.of(pods[0]).items() >= {"dns_service": "ok", "dns_service_tcp": "ok", "dns_pods": "ok"}.items()
    assert (
        known.of(CLUSTER).items()
        >= {
            "dns_service_state": "ok",
            "dns_pods_state": "ok",
            "dns_outside_state": "ok",
            "dns_ready_pods": 1,
            "dns_pods": 1,
            "dns_service_exists": True,
            "dns_service_ip": "10.43.0.10",
            "dns_crashing": False,
        }.items()
    )
    assert known.of(facts.node("node-1"))["dns_state"] == "ok"
    assert known.of(pods[0])["nameserver_matches"] is True
    assert sentences(findings) == [
        (
            "The cluster's DNS Service answered all 3 pods that tried (shop/a, shop/b, shop/c) for names of the "
            "cluster. "
            "Outside names resolve too."
        )
    ]


@pytest.mark.parametrize(
    ("answer", "expected", "words"),
    [
        ({"outcome": "timeout"}, "timeout", "got no answer"),
        ({"outcome": "ECONNREFUSED"}, "refused", "was refused"),
        ({"outcome": "EHOSTUNREACH", "latency_ms": 3100.0}, "host-unreachable-late", "got EHOSTUNREACH late"),
        ({"rcode": "SERVFAIL"}, "servfail", "was answered with SERVFAIL"),
        ({"rcode": "NXDOMAIN"}, "nxdomain", "was answered with NXDOMAIN (no such name)"),
        ({"rcode": "REFUSED"}, "error", "failed with an error"),
        ({"answers": ("192.0.2.1",)}, "wrong-answer", "was answered wrongly"),
        ({"answers": ()}, "wrong-answer", "was answered wrongly"),
    ],
)
def test_everybody_fails(answer: dict[str, Any], expected: str, words: str):
    cluster, pods, server = with_dns()
    for pod in pods:
        resolve(cluster, pod, **answer)
        resolve(cluster, pod, server=server)

    known, findings = judged(cluster)

    assert known.of(CLUSTER)["dns_service_state"] == expected
    failure = findings[0]
    assert failure.severity is Severity.FAIL
    assert failure.sentence.startswith(
        f"A query for a cluster name, sent to the DNS Service by all 3 pods that tried, {words}"
    )
    assert failure.sentence.endswith("Queried directly, the DNS pods answer.")
    assert failure.symptom
    assert (failure.symptom.kind, failure.symptom.subject) == (SymptomKind.DNS_FAILING, CLUSTER)
    assert {(flow.source, flow.target) for flow in failure.symptom.flows} == {(pod, server) for pod in pods}
    assert sentences(findings, Severity.PASS) == []


def test_what_fails_over_tcp_alone_is_told_so_and_never_as_a_success():
    cluster, (a, b, c), _ = with_dns()
    for pod in (a, b, c):
        resolve(cluster, pod)
    resolve(cluster, a, "timeout", tcp=True)
    resolve(cluster, b, "timeout", tcp=True)
    resolve(cluster, c, "ECONNREFUSED", tcp=True)

    _, findings = judged(cluster)

    (failure,) = sentences(findings, Severity.FAIL)
    assert failure.startswith(
        "A query for a cluster name, sent to the DNS Service over TCP by all 3 pods that tried, got no answer."
    )


def test_one_node_fails():
    cluster, (a, b, c), _ = with_dns()
    resolve(cluster, a, "timeout")
    resolve(cluster, b, "timeout")
    resolve(cluster, c)

    known, findings = judged(cluster)

    assert known.of(facts.node("node-1"))["dns_state"] == "timeout"
    assert known.of(facts.node("node-2"))["dns_state"] == "ok"
    assert known.of(CLUSTER)["dns_service_state"] == "mixed"
    failures = [each for each in findings if each.severity is Severity.FAIL]
    assert [each.sentence for each in failures] == [
        (
            "A query for a cluster name, sent to the DNS Service by both pods inspected on node-1 "
            "(shop/a, shop/b), got no answer, "
            "while other pods get answers."
        )
    ]
    assert failures[0].symptom
    assert failures[0].symptom.subject == facts.node("node-1")


def test_one_pod_fails():
    cluster, (a, b, c), _ = with_dns()
    resolve(cluster, a, "timeout")
    resolve(cluster, b)
    resolve(cluster, c)

    _, findings = judged(cluster)

    assert [each.symptom.subject for each in findings if each.symptom] == [a]


def test_a_dns_pod_that_is_not_ready_is_counted():
    cluster, pods, _ = with_dns(ready=False)
    for pod in pods:
        resolve(cluster, pod, "ECONNREFUSED")

    _, findings = judged(cluster)

    assert findings[0].sentence.endswith("0 of 1 DNS pod are ready.")
    assert sentences(findings, Severity.WARN) == ["0 of 1 DNS pod are ready."]


def test_a_crashing_dns_pod():
    waiting = ContainerState(waiting=ContainerStateWaiting(reason="CrashLoopBackOff"))
    cluster, *_ = with_dns(ready=False, container_statuses=(ContainerStatus(name="coredns", state=waiting),))

    known, findings = judged(cluster)

    assert known.of(CLUSTER)["dns_crashing"] is True
    assert "A DNS pod crashes again and again." in sentences(findings, Severity.WARN)


def test_outside_names_that_fail_may_be_meant():
    cluster, pods, _ = with_dns()
    for pod in pods:
        resolve(cluster, pod)
        resolve(cluster, pod, name="example.com", rcode="SERVFAIL")

    _, findings = judged(cluster)

    assert sentences(findings, Severity.FAIL) == []
    assert sentences(findings, Severity.WARN) == [
        (
            "A query for an outside name, sent to the cluster's DNS, was answered with SERVFAIL, "
            "while names of the cluster resolve."
        )
    ]
    assert len(sentences(findings, Severity.PASS)) == 1


def test_a_policy_that_lets_pods_send_nothing_is_meant_so():
    """A server that nothing is known to resolve names for: the policy does what it says."""
    cluster, pods, _ = with_dns()
    for pod in pods:
        resolve(cluster, pod, "timeout")
    spec = NetworkPolicySpec(policy_types=("Ingress", "Egress"))
    policy = NetworkPolicy(metadata=ObjectMeta(name="deny-all", namespace="shop"), spec=spec)

    _, findings = judged(cluster, network_policies=(policy,))

    assert sentences(findings, Severity.FAIL, Severity.WARN) == []
    assert all(each.symptom is None for each in findings)


def test_a_question_over_tcp_that_a_policy_denies_is_no_fault():
    cluster, pods, _ = with_dns()
    for pod in pods:
        resolve(cluster, pod)
        resolve(cluster, pod, "timeout", tcp=True)
    names = NetworkPolicyEgressRule(ports=(NetworkPolicyPort(port=53, protocol="UDP"),))
    spec = NetworkPolicySpec(policy_types=("Egress",), egress=(names,))
    policy = NetworkPolicy(metadata=ObjectMeta(name="names", namespace="shop"), spec=spec)

    known, findings = judged(cluster, network_policies=(policy,))

    assert "dns_service_tcp" not in known.of(pods[0])
    assert sentences(findings, Severity.FAIL, Severity.WARN) == []


def test_a_policy_without_dns_is_told_as_such():
    cluster, (a, b, c), _ = with_dns()
    resolve(cluster, a, "timeout")
    resolve(cluster, b, "timeout")
    resolve(cluster, c, "timeout")
    web = NetworkPolicyEgressRule(ports=(NetworkPolicyPort(port=443),))
    spec = NetworkPolicySpec(policy_types=("Egress",), egress=(web,))
    policy = NetworkPolicy(metadata=ObjectMeta(name="web-only", namespace="shop"), spec=spec)

    known, findings = judged(cluster, network_policies=(policy,))

    assert known.of(a)["egress_dns_denied"] is True
    assert sentences(findings, Severity.FAIL) == []
    assert sentences(findings, Severity.WARN) == [
        (
            "The cluster's DNS does not answer both pods inspected on node-1 (shop/a, shop/b): "
            "NetworkPolicies deny them "
            "the DNS "
            "pods, which may be intended."
        ),
        (
            "The cluster's DNS does not answer shop/c on node-2: NetworkPolicies deny it the DNS pods, which may be "
            "intended."
        ),
    ]


def test_nodes_speak_for_the_cluster_only_where_no_pod_asked():
    cluster, *_ = two_nodes()
    add_dns(cluster)
    resolve(cluster, facts.node("node-1"), "timeout")

    known, findings = judged(cluster)

    assert known.of(facts.node("node-1"))["dns_state"] == "timeout"
    assert sentences(findings, Severity.FAIL) == ["A query to the cluster's DNS Service from nodes got no answer."]


def test_a_node_without_a_way_to_services_does_not_spoil_its_pods_answers():
    cluster, (a, b, c), _ = with_dns()
    for pod in (a, b, c):
        resolve(cluster, pod)
    resolve(cluster, facts.node("node-1"), "ENETUNREACH")

    known, _ = judged(cluster)

    assert known.of(facts.node("node-1"))["dns_state"] == "ok"


def test_wrong_nameservers():
    cluster, (a, _, _), _ = with_dns()
    cluster.seen(a, nameservers=("8.8.8.8",))

    known, findings = judged(cluster)

    assert known.of(a)["nameserver_matches"] is False
    assert sentences(findings, Severity.WARN) == [
        "Pod shop/a on node-1 asks a nameserver that is not the cluster's DNS Service, though dnsPolicy says so."
    ]
    assert [each.symptom.kind for each in findings if each.symptom] == [SymptomKind.DNS_FAILING]


@pytest.mark.parametrize(
    ("answer", "severity", "end"),
    [
        ({"outcome": "timeout"}, Severity.FAIL, ": a name of the cluster got no answer."),
        ({"rcode": "NXDOMAIN"}, Severity.FAIL, ": a name of the cluster was answered with NXDOMAIN (no such name)."),
        ({"rcode": "NOERROR", "answers": ("10.43.0.1",)}, Severity.INFO, ", and gets the cluster's names there."),
    ],
)
def test_what_a_wrong_nameserver_answers_decides(answer: dict[str, Any], severity: Severity, end: str):
    cluster, (a, _, _), _ = with_dns()
    cluster.seen(a, nameservers=("8.8.8.8",))
    cluster.test(a, "dns-own", protocol="dns-udp", ip="8.8.8.8", name=API_NAME, **answer)

    _, findings = judged(cluster)

    start = "Pod shop/a on node-1 asks a nameserver that is not the cluster's DNS Service, though dnsPolicy says so"
    assert start + end in sentences(findings, severity)
    assert any(each.symptom for each in findings) is (severity is Severity.FAIL)


def test_a_pod_with_the_nodes_network_uses_the_nodes_nameservers():
    cluster, (a, _, _), _ = with_dns()
    pod = cluster.pods[a]
    cluster.pods[a] = replace(pod, spec=replace(pod.spec, host_network=True))
    cluster.seen(a, nameservers=("8.8.8.8",))

    assert "nameserver_matches" not in judged(cluster)[0].of(a)


def test_node_local_dns_is_a_legitimate_nameserver():
    cluster, (a, _, _), _ = with_dns()
    cluster.seen(a, nameservers=("169.254.20.10",))

    assert judged(cluster)[0].of(a)["nameserver_matches"] is True


def test_where_nobody_asked_nothing_passes():
    cluster, *_ = two_nodes()
    add_dns(cluster)

    known, findings = judged(cluster)

    assert "dns_service_state" not in known.of(CLUSTER)
    assert sentences(findings) == [
        "Whether the cluster's DNS answers could not be observed: no pod queried the cluster's DNS."
    ]


def test_a_cluster_without_dns():
    cluster, *_ = two_nodes()

    known, findings = judged(cluster)

    assert known.of(CLUSTER)["dns_service_exists"] is False
    assert sentences(findings, Severity.WARN) == ["The cluster has no DNS Service with an address."]


def test_services_that_could_not_be_read_are_no_missing_dns():
    cluster, *_ = two_nodes()

    known, findings = judged(cluster, unobserved=(unread("services", "Not allowed."),))

    assert "dns_service_exists" not in known.of(CLUSTER)
    assert sentences(findings, Severity.WARN, Severity.FAIL) == []


def test_without_kube_systems_pods_endpoints_are_counted():
    cluster, *_ = with_dns()
    everything = cluster.evidence().snapshot
    mine = tuple(pod for pod in everything.pods if pod.metadata.namespace == "shop")

    known, _ = judged(cluster, node_pods=mine, unobserved=(unread("pods", "Not allowed."),))

    assert (known.of(CLUSTER)["dns_pods"], known.of(CLUSTER)["dns_ready_pods"]) == (1, 1)
    assert "dns_crashing" not in known.of(CLUSTER)
