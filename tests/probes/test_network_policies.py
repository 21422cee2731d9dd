"""Which policies select whom, and which flows they deny."""

from typing import Any

from bot.cluster.objects import (
    CustomObject,
    LabelSelector,
    NetworkPolicy,
    NetworkPolicyEgressRule,
    NetworkPolicyIngressRule,
    NetworkPolicyPeer,
    NetworkPolicyPort,
    NetworkPolicySpec,
    ObjectMeta,
)
from bot.domain.facts import CLUSTER, FactTable
from bot.domain.finding import Finding, Severity
from bot.domain.report import ApiRead, Unobserved
from bot.probes import network_policies, pod_sandbox
from tests.probes.build import FakeCluster, facts_of, sentences, two_nodes, unread
from tests.probes.services import add_dns, add_service, ask


def judged(cluster: FakeCluster, *policies: NetworkPolicy, **snapshot: Any) -> tuple[FactTable, list[Finding]]:
    cluster.snapshot_fields |= {"network_policies": policies, **snapshot}
    known = facts_of(cluster.evidence(), pod_sandbox.PROBE, network_policies.PROBE)
    return known, list(network_policies.PROBE.judge(known))


def policy(name: str, *types: str, selector: LabelSelector | None = None, **rules: Any) -> NetworkPolicy:
    spec = NetworkPolicySpec(pod_selector=selector or LabelSelector(), policy_types=types or ("Ingress",), **rules)
    return NetworkPolicy(metadata=ObjectMeta(name=name, namespace="shop"), spec=spec)


def labels(**wanted: str) -> LabelSelector:
    return LabelSelector(match_labels=wanted)


def test_without_policies_nobody_is_isolated():
    cluster, a, *_ = two_nodes()

    known, findings = judged(cluster)

    assert known.of(a).items() >= {"policies_ingress": 0, "policies_egress": 0, "policy_names": ()}.items()
    assert known.of(a)["egress_dns_denied"] is False
    assert known.of(CLUSTER)["hidden_policies"] == ()
    assert sentences(findings) == ["No NetworkPolicy selects any of 3 pods (shop/a, shop/b, shop/c)."]
    assert findings[0].severity is Severity.PASS


def test_an_empty_pod_selector_denies_it_does_not_allow():
    """The mistake of another tool: an empty podSelector with no rules isolates everybody."""
    cluster, a, _, _ = two_nodes()
    db = cluster.pod("shop/db-1", "node-2", labels={"app": "db"})
    service = add_service(cluster, "shop/db", (db,))

    known, findings = judged(cluster, policy("deny-all"))

    assert known.of(a)["policies_ingress"] == 1
    assert known.of(a)["policy_names"] == ("shop/deny-all",)
    assert known.of(a)["ingress_denied_from_scope"] is True
    assert known.of(service)["denied_by"] == "ingress"
    assert known.of(service)["denying_policies"] == ("shop/deny-all",)
    assert sentences(findings) == [
        (
            "By its NetworkPolicies alone, Service shop/db is denied to shop/a, shop/b, shop/c by the ingress "
            "policies of its "
            "endpoints "
            "(shop/deny-all)."
        )
    ]
    assert findings[0].severity is Severity.INFO


def test_pods_that_policies_cannot_tell_apart_are_denied_together():
    cluster, _, _, c = two_nodes()
    db = cluster.pod("shop/db-1", "node-2", labels={"app": "db"})
    service = add_service(cluster, "shop/db", (db,))
    allow_c = NetworkPolicyIngressRule(from_=(NetworkPolicyPeer(pod_selector=labels(app="c")),))
    ask(cluster, db, service)
    ask(cluster, c, service, "timeout")

    known, _ = judged(cluster, policy("only-c", ingress=(allow_c,)))

    assert known.of(service)["denied_sources"] == ("shop/a", "shop/b", "shop/c")


def test_both_ends():
    cluster, *_ = two_nodes()
    db = cluster.pod("shop/db-1", "node-2", labels={"app": "db"})
    service = add_service(cluster, "shop/db", (db,))

    known, _ = judged(cluster, policy("deny-all", "Ingress", "Egress"))

    assert known.of(service)["denied_by"] == "both"


def test_an_allowing_rule_opens_the_service():
    cluster, *_ = two_nodes()
    db = cluster.pod("shop/db-1", "node-2", labels={"app": "db"})
    service = add_service(cluster, "shop/db", (db,))
    rule = NetworkPolicyIngressRule(ports=(NetworkPolicyPort(port=9004),))

    known, findings = judged(cluster, policy("deny-all"), policy("open", selector=labels(app="db"), ingress=(rule,)))

    assert known.of(service)["denied_by"] == "none"
    assert sentences(findings) == []


def test_egress_without_dns():
    cluster, a, _, _ = two_nodes()
    add_dns(cluster)
    web = NetworkPolicyEgressRule(ports=(NetworkPolicyPort(port=443),))

    known, findings = judged(cluster, policy("web-only", "Egress", egress=(web,)))

    assert known.of(a)["egress_dns_denied"] is True
    warnings = sentences(findings, Severity.WARN)
    assert "shop/c on node-2 reach no DNS pod (policies: shop/web-only): it cannot resolve names" in warnings[-1]


def test_egress_with_dns():
    cluster, a, _, _ = two_nodes()
    add_dns(cluster)
    everywhere = NetworkPolicyPeer(namespace_selector=LabelSelector())
    names = NetworkPolicyEgressRule(to=(everywhere,), ports=(NetworkPolicyPort(port=53, protocol="UDP"),))

    known, findings = judged(cluster, policy("names", "Egress", egress=(names,)))

    assert known.of(a)["egress_dns_denied"] is False
    assert sentences(findings, Severity.WARN) == []


def test_tested_flows_that_policies_deny_are_marked():
    """So that a denied flow is never taken for a broken overlay."""
    cluster, a, b, c = two_nodes()
    cluster.test(a, "local-pod", to=b, outcome="timeout")
    cluster.test(a, "remote-pod", to=c, outcome="timeout")
    closed = policy("closed", selector=labels(app="c"))
    cluster.pods[c] = type(cluster.pods[c])(
        metadata=ObjectMeta(name="c", namespace="shop", uid="uid-c", labels={"app": "c"}),
        spec=cluster.pods[c].spec,
        status=cluster.pods[c].status,
    )

    known, _ = judged(cluster, closed)

    assert known.of(a)["policy_blocks_local"] is False
    assert known.of(a)["policy_blocks_remote"] is True


def test_policies_that_could_not_be_read():
    cluster, a, *_ = two_nodes()
    forbidden = unread("networkpolicies", "Not allowed to list.", group="networking.k8s.io", namespace="shop")

    known, findings = judged(cluster, unobserved=(forbidden,))

    assert "policies_ingress" not in known.of(a)
    assert sentences(findings) == [
        (
            "The NetworkPolicies of shop/a, shop/b, shop/c could not be observed: NetworkPolicies of namespace shop "
            "were not "
            "read: Not allowed to list."
        )
    ]


def test_policies_of_other_kinds_are_named():
    cluster, *_ = two_nodes()
    custom = {
        "globalnetworkpolicies": (CustomObject(kind="GlobalNetworkPolicy", metadata=ObjectMeta(name="x")),),
        "ciliumnetworkpolicies": (),
    }

    known, findings = judged(cluster, custom_objects=custom)

    assert known.of(CLUSTER)["hidden_policies"] == ("GlobalNetworkPolicy",)
    assert sentences(findings, Severity.INFO) == [
        "Beside NetworkPolicies there are objects of kind GlobalNetworkPolicy, evaluated as far as the API decides."
    ]


def test_a_cni_that_does_not_enforce():
    cluster, *_ = two_nodes("flannel")
    cluster.enforces_policy = False

    known, findings = judged(cluster, policy("deny-all"))

    assert known.of(CLUSTER)["enforces_policy"] is False
    assert sentences(findings, Severity.WARN) == [
        "NetworkPolicies are not enforced here: the existing ones have no effect."
    ]


def test_policies_that_select_nothing():
    cluster, *_ = two_nodes()

    known, findings = judged(cluster, policy("typo", selector=labels(ap="db")))

    assert known.of(CLUSTER)["policies_selecting_nothing"] == ("shop/typo",)
    assert sentences(findings, Severity.INFO) == ["NetworkPolicy shop/typo selects no pod."]


def test_policies_of_other_kinds_are_unknown_where_the_api_did_not_say_what_it_serves():
    missed = Unobserved(what="API groups", why="The API server failed.", kind="api", reads=(ApiRead(path="/apis"),))
    cluster, *_ = two_nodes()

    known, _ = judged(cluster, unobserved=(missed,))

    assert "hidden_policies" not in known.of(CLUSTER)
