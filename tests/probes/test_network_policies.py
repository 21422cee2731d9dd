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
from tests.probes.build import World, facts_of, sentences, two_nodes, unread
from tests.probes.services import add_dns, add_service, ask


def judged(world: World, *policies: NetworkPolicy, **snapshot: Any) -> tuple[FactTable, list[Finding]]:
    world.snapshot_fields |= {"network_policies": policies, **snapshot}
    known = facts_of(world.evidence(), pod_sandbox.PROBE, network_policies.PROBE)
    return known, list(network_policies.PROBE.judge(known))


def policy(name: str, *types: str, selector: LabelSelector | None = None, **rules: Any) -> NetworkPolicy:
    spec = NetworkPolicySpec(pod_selector=selector or LabelSelector(), policy_types=types or ("Ingress",), **rules)
    return NetworkPolicy(metadata=ObjectMeta(name=name, namespace="shop"), spec=spec)


def labels(**wanted: str) -> LabelSelector:
    return LabelSelector(match_labels=wanted)


def test_without_policies_nobody_is_isolated():
    world, a, *_ = two_nodes()

    known, findings = judged(world)

    assert known.of(a).items() >= {"policies_ingress": 0, "policies_egress": 0, "policy_names": ()}.items()
    assert known.of(a)["egress_dns_denied"] is False
    assert known.of(CLUSTER)["hidden_policies"] == ()
    assert sentences(findings) == ["No NetworkPolicy selects any of 3 pods (shop/a, shop/b, shop/c)."]
    assert findings[0].severity is Severity.PASS


def test_an_empty_pod_selector_denies_it_does_not_allow():
    """The mistake of another tool: an empty podSelector with no rules isolates everybody."""
    world, a, _, _ = two_nodes()
    db = world.pod("shop/db-1", "node-2", labels={"app": "db"})
    service = add_service(world, "shop/db", (db,))

    known, findings = judged(world, policy("deny-all"))

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
    world, _, _, c = two_nodes()
    db = world.pod("shop/db-1", "node-2", labels={"app": "db"})
    service = add_service(world, "shop/db", (db,))
    allow_c = NetworkPolicyIngressRule(from_=(NetworkPolicyPeer(pod_selector=labels(app="c")),))
    ask(world, db, service)
    ask(world, c, service, "timeout")

    known, _ = judged(world, policy("only-c", ingress=(allow_c,)))

    assert known.of(service)["denied_sources"] == ("shop/a", "shop/b", "shop/c")


def test_both_ends():
    world, *_ = two_nodes()
    db = world.pod("shop/db-1", "node-2", labels={"app": "db"})
    service = add_service(world, "shop/db", (db,))

    known, _ = judged(world, policy("deny-all", "Ingress", "Egress"))

    assert known.of(service)["denied_by"] == "both"


def test_an_allowing_rule_opens_the_service():
    world, *_ = two_nodes()
    db = world.pod("shop/db-1", "node-2", labels={"app": "db"})
    service = add_service(world, "shop/db", (db,))
    rule = NetworkPolicyIngressRule(ports=(NetworkPolicyPort(port=9004),))

    known, findings = judged(world, policy("deny-all"), policy("open", selector=labels(app="db"), ingress=(rule,)))

    assert known.of(service)["denied_by"] == "none"
    assert sentences(findings) == []


def test_egress_without_dns():
    world, a, _, _ = two_nodes()
    add_dns(world)
    web = NetworkPolicyEgressRule(ports=(NetworkPolicyPort(port=443),))

    known, findings = judged(world, policy("web-only", "Egress", egress=(web,)))

    assert known.of(a)["egress_dns_denied"] is True
    warnings = sentences(findings, Severity.WARN)
    assert "shop/c on node-2 reach no DNS pod (policies: shop/web-only): it cannot resolve names" in warnings[-1]


def test_egress_with_dns():
    world, a, _, _ = two_nodes()
    add_dns(world)
    everywhere = NetworkPolicyPeer(namespace_selector=LabelSelector())
    names = NetworkPolicyEgressRule(to=(everywhere,), ports=(NetworkPolicyPort(port=53, protocol="UDP"),))

    known, findings = judged(world, policy("names", "Egress", egress=(names,)))

    assert known.of(a)["egress_dns_denied"] is False
    assert sentences(findings, Severity.WARN) == []


def test_tested_flows_that_policies_deny_are_marked():
    """So that a denied flow is never taken for a broken overlay."""
    world, a, b, c = two_nodes()
    world.test(a, "local-pod", to=b, outcome="timeout")
    world.test(a, "remote-pod", to=c, outcome="timeout")
    closed = policy("closed", selector=labels(app="c"))
    world.pods[c] = type(world.pods[c])(
        metadata=ObjectMeta(name="c", namespace="shop", uid="uid-c", labels={"app": "c"}),
        spec=world.pods[c].spec,
        status=world.pods[c].status,
    )

    known, _ = judged(world, closed)

    assert known.of(a)["policy_blocks_local"] is False
    assert known.of(a)["policy_blocks_remote"] is True


def test_policies_that_could_not_be_read():
    world, a, *_ = two_nodes()
    forbidden = unread("networkpolicies", "Not allowed to list.", group="networking.k8s.io", namespace="shop")

    known, findings = judged(world, unobserved=(forbidden,))

    assert "policies_ingress" not in known.of(a)
    assert sentences(findings) == [
        (
            "The NetworkPolicies of shop/a, shop/b, shop/c could not be observed: NetworkPolicies of namespace shop "
            "were not "
            "read: Not allowed to list."
        )
    ]


def test_policies_of_other_kinds_are_named():
    world, *_ = two_nodes()
    custom = {
        "globalnetworkpolicies": (CustomObject(kind="GlobalNetworkPolicy", metadata=ObjectMeta(name="x")),),
        "ciliumnetworkpolicies": (),
    }

    known, findings = judged(world, custom_objects=custom)

    assert known.of(CLUSTER)["hidden_policies"] == ("GlobalNetworkPolicy",)
    assert sentences(findings, Severity.INFO) == [
        "Beside NetworkPolicies there are objects of kind GlobalNetworkPolicy, which cnibot does not evaluate."
    ]


def test_a_cni_that_does_not_enforce():
    world, *_ = two_nodes("flannel")
    world.enforces_policy = False

    known, findings = judged(world, policy("deny-all"))

    assert known.of(CLUSTER)["enforces_policy"] is False
    assert sentences(findings, Severity.WARN) == [
        "NetworkPolicies are not enforced here: the existing ones have no effect."
    ]


def test_policies_that_select_nothing():
    world, *_ = two_nodes()

    known, findings = judged(world, policy("typo", selector=labels(ap="db")))

    assert known.of(CLUSTER)["policies_selecting_nothing"] == ("shop/typo",)
    assert sentences(findings, Severity.INFO) == ["NetworkPolicy shop/typo selects no pod."]


def test_policies_of_other_kinds_are_unknown_where_the_api_did_not_say_what_it_serves():
    missed = Unobserved(what="API groups", why="The API server failed.", kind="api", reads=(ApiRead(path="/apis"),))
    world, *_ = two_nodes()

    known, _ = judged(world, unobserved=(missed,))

    assert "hidden_policies" not in known.of(CLUSTER)
