"""Names that pods with hostNetwork ask for: of the cluster's DNS, or of their node's nameservers."""

from typing import Any

import msgspec
import pytest

from bot.agent.report import Outcome, PodReport
from bot.causes.reachability import Reachability
from bot.cluster.objects import (
    LabelSelector,
    NetworkPolicy,
    NetworkPolicyIngressRule,
    NetworkPolicyPeer,
    NetworkPolicySpec,
    ObjectMeta,
)
from bot.domain import facts
from bot.domain.facts import CLUSTER, FactTable, Subject
from bot.domain.finding import Finding, Severity, SymptomKind
from bot.probes import dns, network_policies, pod_sandbox, resolver, service_endpoints
from tests.probes.build import FakeCluster, facts_of, two_nodes
from tests.probes.services import API_NAME, DNS_IP, add_dns, resolve

NODE = facts.node("node-1")
OUTSIDE = "192.0.2.53"


def edge(
    policy: str = "ClusterFirstWithHostNet", nameservers: tuple[str, ...] | None = (DNS_IP,), **pod: Any
) -> tuple[FakeCluster, Subject]:
    """shop/edge on node-1, whose DNS pod is on node-2."""
    cluster, a, _, c = two_nodes()
    add_dns(cluster, "node-2")
    for other in (a, c):
        resolve(cluster, other)
    made = cluster.pod("shop/edge", "node-1", host_network=True, **pod)
    spec = msgspec.structs.replace(cluster.pods[made].spec, dns_policy=policy)
    cluster.pods[made] = msgspec.structs.replace(cluster.pods[made], spec=spec)
    if nameservers is not None:
        cluster.pod_reports["node-1"]["uid-edge"] = PodReport(
            uid="uid-edge", namespace="shop", name="edge", is_found=True, is_host_network=True, nameservers=nameservers
        )
    return cluster, made


def own(cluster: FakeCluster, pod: Subject, outcome: Outcome, server: str = DNS_IP, **fields: Any) -> None:
    """A question as the pod's own resolver asks it."""
    about: dict[str, Any] = {"protocol": "dns-udp", "ip": server, "name": API_NAME}
    cluster.test(pod, "dns-own", outcome=outcome, **(about | fields))


def judged(cluster: FakeCluster) -> tuple[FactTable, list[Finding]]:
    probes = (pod_sandbox.PROBE, service_endpoints.PROBE, dns.PROBE, network_policies.PROBE, resolver.PROBE)
    known = facts_of(cluster.evidence(), *probes)
    found = [*dns.PROBE.judge(known), *resolver.PROBE.judge(known), *network_policies.PROBE.judge(known)]
    return known, [each for each in found if each.severity is Severity.FAIL]


def test_one_that_gets_no_answer_of_the_dns_service_fails_as_any_pod_does():
    cluster, pod = edge()
    own(cluster, pod, "timeout")

    known, (finding,) = judged(cluster)

    assert known.of(pod)["dns_service"] == "timeout"
    assert known.of(CLUSTER)["dns_service_state"] == "mixed"
    assert "sent to the DNS Service by shop/edge on node-1, got no answer, while other pods get" in finding.sentence
    assert finding.symptom is not None
    assert finding.symptom.kind is SymptomKind.DNS_FAILING
    assert [flow.source for flow in finding.symptom.flows] == [pod]
    assert Reachability(known).scope(finding.symptom).is_explained_by(frozenset({NODE}))


def test_its_node_s_questions_are_its_own():
    """Where one of several DNS pods is silent, one question of its own may have met the other."""
    cluster, pod = edge()
    own(cluster, pod, "ok", rcode="NOERROR", answers=("10.43.0.1",))
    resolve(cluster, NODE, tries=4, ok=2)

    known, (finding,) = judged(cluster)

    assert known.of(pod)["dns_service"] == "mixed"
    assert "succeeded only sometimes" in finding.sentence


def test_where_nobody_else_asked_it_is_a_matter_of_its_node():
    cluster, pod = edge()
    cluster.tests = {node: [] for node in cluster.tests}
    own(cluster, pod, "timeout")

    _, (finding,) = judged(cluster)

    assert finding.subject == pod
    assert "from a node's network (hostNetwork) by shop/edge on node-1, got no answer" in finding.sentence


@pytest.mark.parametrize(
    ("made", "outcome"),
    [({}, "ok"), ({"policy": "Default", "nameservers": (OUTSIDE,)}, "timeout"), ({"phase": "Pending"}, "timeout")],
    ids=["its node gets an answer", "it asks somebody else", "it does not run"],
)
def test_what_is_no_failure_of_such_a_pod(made: dict[str, Any], outcome: Outcome):
    cluster, pod = edge(**made)
    resolve(cluster, NODE, outcome)

    known, findings = judged(cluster)

    assert known.of(pod).get("dns_service") in {None, "ok"}
    assert findings == []


def test_one_that_was_not_inspected_asks_whom_its_dns_policy_names():
    cluster, pod = edge(nameservers=None)
    resolve(cluster, NODE, "timeout")

    known, (finding,) = judged(cluster)

    assert (known.of(pod)["dns_service"], finding.subject) == ("timeout", pod)


def test_nothing_is_known_of_one_whose_node_was_not_asked():
    known, findings = judged(edge()[0])

    assert "dns_service" not in known.of(facts.pod("shop", "edge"))
    assert findings == []


def test_what_policies_of_the_dns_pods_keep_from_its_node_is_theirs():
    cluster, pod = edge()
    by_label = NetworkPolicyPeer(namespace_selector=LabelSelector(), pod_selector=LabelSelector())
    policy = NetworkPolicy(
        metadata=ObjectMeta(namespace="kube-system", name="from-pods"),
        spec=NetworkPolicySpec(policy_types=("Ingress",), ingress=(NetworkPolicyIngressRule(from_=(by_label,)),)),
    )
    cluster.snapshot_fields["network_policies"] = (policy,)
    own(cluster, pod, "timeout")

    known, (finding,) = judged(cluster)

    assert "dns_service" not in known.of(pod)
    assert known.of(facts.service("kube-system", "kube-dns"))["host_clients_policies"] == ("kube-system/from-pods",)
    assert finding.probe == network_policies.PROBE.name


@pytest.mark.parametrize("policy", ["Default", "ClusterFirst"])
def test_one_that_asks_its_node_s_nameservers_fails_where_none_of_them_answers(policy: str):
    cluster, pod = edge(policy, (OUTSIDE, "192.0.2.54"))
    for server in (OUTSIDE, "192.0.2.54"):
        own(cluster, pod, "timeout", server)
        own(cluster, pod, "timeout", server, name="db.example.com", asked="db.example.com")

    known, (finding,) = judged(cluster)

    assert known.of(pod)["nameservers_dead"] == (OUTSIDE, "192.0.2.54")
    assert finding.sentence == (
        "Pod shop/edge on node-1 does not ask the cluster's DNS, and 192.0.2.53, 192.0.2.54, the nameservers of its "
        "resolv.conf, give no answer: a query got no answer."
    )
    assert finding.symptom is not None
    assert finding.symptom.kind is SymptomKind.DNS_FAILING
    assert Reachability(known).scope(finding.symptom).is_explained_by(frozenset({NODE}))


def test_that_nobody_answers_one_that_is_not_known_to_look_anything_up_is_a_note():
    """CoreDNS itself, or a CNI's agent, in a cluster without names outside."""
    cluster, pod = edge("Default", (OUTSIDE,))
    own(cluster, pod, "timeout", OUTSIDE)

    known, failing = judged(cluster)
    [finding] = [each for each in resolver.PROBE.judge(known) if each.severity is Severity.WARN]

    assert (failing, finding.symptom) == ([], None)
    assert finding.sentence.endswith("got no answer. No name is known that would be looked up there.")


@pytest.mark.parametrize(
    "answer",
    [{"rcode": "NXDOMAIN"}, {"rcode": "SERVFAIL"}],
    ids=["it does not know the cluster's names", "it fails for them"],
)
def test_a_nameserver_that_answers_anything_is_not_dead(answer: dict[str, Any]):
    cluster, pod = edge("Default", (OUTSIDE, "192.0.2.54"))
    own(cluster, pod, "timeout", OUTSIDE)
    own(cluster, pod, "ok", "192.0.2.54", **answer)

    known, findings = judged(cluster)

    assert known.of(pod)["nameservers_dead"] == ()
    assert findings == []
