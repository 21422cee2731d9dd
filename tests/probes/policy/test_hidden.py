"""Policies of the CNI's own kinds: what of them the API alone decides, and how they bear with NetworkPolicies."""

from typing import Any

import pytest

from bot.cluster.objects import (
    CustomObject,
    LabelSelector,
    Namespace,
    NetworkPolicy,
    NetworkPolicyIngressRule,
    NetworkPolicyPeer,
    NetworkPolicySpec,
    ObjectMeta,
)
from bot.domain import facts
from bot.domain.facts import Subject
from bot.probes.engine.evidence import Evidence
from bot.probes.policy.calico_selector import parse_selector
from bot.probes.policy.enforcement import allowed
from bot.probes.policy.evaluation import Allowed
from tests.probes.build import FakeCluster, Kind

API = facts.pod("shop", "api")
DB = facts.pod("shop", "db")
OTHER = facts.pod("argo", "argo")


def evidence(cni: Kind, plural: str, *specs: dict[str, Any], namespace: str = "shop", **fields: Any) -> Evidence:
    cluster = FakeCluster(cni)
    cluster.node("node-1")
    cluster.node("node-2")
    cluster.pod("shop/api", "node-1", labels={"app": "api"})
    cluster.pod("shop/db", "node-2", labels={"app": "db"})
    cluster.pod("argo/argo", "node-1", labels={"app": "argo"})
    kind = {"ciliumnetworkpolicies": "CiliumNetworkPolicy", "globalnetworkpolicies": "GlobalNetworkPolicy"}[plural]
    objects = tuple(
        CustomObject(kind=kind, metadata=ObjectMeta(name=f"p{at}", namespace=namespace), spec=spec)
        for at, spec in enumerate(specs)
    )
    names = tuple(Namespace(metadata=ObjectMeta(name=name, labels={"team": name})) for name in ("shop", "argo"))
    cluster.snapshot_fields |= {"custom_objects": {plural: objects}, "namespaces": names, **fields}
    return cluster.evidence()


def plain(*allowing: str) -> NetworkPolicy:
    """A NetworkPolicy that isolates the database and lets these in."""
    peers = tuple(NetworkPolicyPeer(pod_selector=LabelSelector(match_labels={"app": app})) for app in allowing)
    rules = tuple(NetworkPolicyIngressRule(from_=(peer,)) for peer in peers)
    spec = NetworkPolicySpec(
        pod_selector=LabelSelector(match_labels={"app": "db"}), policy_types=("Ingress",), ingress=rules
    )
    return NetworkPolicy(metadata=ObjectMeta(name="plain", namespace="shop"), spec=spec)


def asked(seen: Evidence, source: Subject = API, port: int = 5432, protocol: str = "TCP") -> Allowed:
    return allowed(seen, source, DB, port, protocol)


DATABASE: dict[str, Any] = {"matchLabels": {"app": "db"}}
FROM_API: dict[str, Any] = {"fromEndpoints": [{"matchLabels": {"k8s:app": "api"}}]}


CILIUM: tuple[tuple[dict[str, Any], str, str, str], ...] = (
    ({"ingress": [FROM_API]}, "yes", "no", "yes"),
    ({"ingress": [FROM_API | {"toPorts": [{"ports": [{"port": "80", "protocol": "TCP"}]}]}]}, "no", "no", "yes"),
    ({"ingress": [{"toPorts": [{"ports": [{"port": "5400", "endPort": 5500}]}]}]}, "yes", "yes", "yes"),
    ({"ingress": [{}]}, "no", "no", "yes"),
    ({"ingress": [{"fromEndpoints": [{}]}]}, "yes", "no", "yes"),  # of the policy's own namespace
    (
        {"ingress": [{"fromEndpoints": [{"matchLabels": {"k8s:io.kubernetes.pod.namespace": "argo"}}]}]},
        "no",
        "yes",
        "yes",
    ),
    ({"ingress": [{"fromEntities": ["cluster"]}]}, "yes", "yes", "yes"),
    ({"ingress": [{"fromEntities": ["world"]}]}, "no", "no", "yes"),
    ({"ingress": [{"fromCIDR": ["10.42.0.0/16"]}]}, "no", "no", "yes"),  # pods have identities
    ({"ingress": [{"fromGroups": [{}]}]}, "unknown", "unknown", "yes"),
    ({"ingressDeny": [{"fromEntities": ["all"]}]}, "no", "no", "no"),  # kubelet, too
    ({"ingress": [{"fromEntities": ["all"]}], "ingressDeny": [FROM_API]}, "no", "yes", "yes"),
    ({"egress": [{"toEntities": ["world"]}]}, "yes", "yes", "yes"),  # another direction
    ({"ingress": [FROM_API], "enableDefaultDeny": {"ingress": False}}, "yes", "yes", "yes"),
)


@pytest.mark.parametrize(("spec", "api", "other", "node"), CILIUM)
def test_a_cilium_policy(spec: dict[str, Any], api: str, other: str, node: str):
    seen = evidence("cilium", "ciliumnetworkpolicies", {"endpointSelector": DATABASE, **spec})

    verdicts = [asked(seen, source).verdict for source in (API, OTHER, facts.node("node-2"))]

    assert verdicts == [api, other, node]


def test_both_kinds_allow_together_and_a_deny_rule_beats_both():
    allowing = {"endpointSelector": DATABASE, "ingress": [FROM_API]}
    denying = {"endpointSelector": DATABASE, "ingressDeny": [FROM_API]}

    together = evidence("cilium", "ciliumnetworkpolicies", allowing, network_policies=(plain("argo"),))
    denied = evidence("cilium", "ciliumnetworkpolicies", denying, network_policies=(plain("api"),))

    assert asked(together).verdict == "yes"
    assert asked(denied).verdict == "no"
    assert asked(denied).hidden == ("CiliumNetworkPolicy shop/p0",)


def test_names_outside_do_not_take_pods_and_leave_addresses_open():
    spec = {
        "endpointSelector": {"matchLabels": {"app": "api"}},
        "egress": [{"toFQDNs": [{"matchName": "example.com"}]}],
    }
    seen = evidence("cilium", "ciliumnetworkpolicies", spec)

    assert asked(seen).verdict == "no"
    assert allowed(seen, API, facts.node("198.51.100.7"), 443, "TCP").verdict == "unknown"


DENY_API = {"action": "Deny", "source": {"selector": "app == 'api'"}}
ALLOW_ALL = {"action": "Allow"}


@pytest.mark.parametrize(
    ("specs", "policies", "api", "other"),
    [
        ([{"ingress": [DENY_API, ALLOW_ALL]}], (), "no", "yes"),
        ([{"ingress": [{"action": "Allow", "source": {"selector": "app == 'api'"}}]}], (), "yes", "no"),
        (
            [{"ingress": [{"action": "Allow", "protocol": "TCP", "destination": {"ports": ["5000:6000"]}}]}],
            (),
            "yes",
            "yes",
        ),
        ([{"ingress": [{"action": "Allow", "source": {"nets": ["10.42.2.0/24"]}}]}], (), "no", "no"),
        ([{"ingress": [{"action": "Allow", "source": {"namespaceSelector": "team == 'argo'"}}]}], (), "no", "yes"),
        ([{"order": 10, "ingress": [DENY_API]}, {"order": 20, "ingress": [ALLOW_ALL]}], (), "no", "yes"),
        ([{"order": 20, "ingress": [DENY_API]}, {"order": 10, "ingress": [ALLOW_ALL]}], (), "yes", "yes"),
        # NetworkPolicies stand at order 1000.
        ([{"order": 10, "ingress": [DENY_API]}], ("api",), "no", "no"),
        ([{"order": 2000, "ingress": [DENY_API, ALLOW_ALL]}], ("api",), "yes", "yes"),
        ([{"ingress": [{"action": "Log"}, {"action": "Pass"}]}], (), "yes", "yes"),
        ([{"types": ["Egress"]}], (), "yes", "yes"),
        ([{"ingress": [{"action": "Deny", "http": {"methods": ["GET"]}}]}], (), "unknown", "unknown"),
    ],
)
def test_policies_of_calico(specs: list[dict[str, Any]], policies: tuple[str, ...], api: str, other: str):
    selecting = [{"selector": "app == 'db'", **spec} for spec in specs]
    plains = (plain(*policies),) if policies else ()
    seen = evidence("calico", "globalnetworkpolicies", *selecting, namespace="", network_policies=plains)

    assert [asked(seen, source).verdict for source in (API, OTHER)] == [api, other]


@pytest.mark.parametrize(
    ("text", "takes"),
    [
        ("", True),
        ("all()", True),
        ("global()", False),
        ("app == 'db'", True),
        ("app != 'db'", False),
        ('app in {"web", "db"} && has(tier)', True),
        ("app not in {'db'} || !has(tier)", False),
        ("(app == 'web' || tier starts with 'da') && tier ends with 'ta'", True),
        ("tier contains 'at'", True),
        ("app ~ 'db'", None),
        ("app == ", None),
    ],
)
def test_a_selector_of_calico(text: str, *, takes: bool | None):
    parsed = parse_selector(text)

    assert (parsed and parsed({"app": "db", "tier": "data"})) is takes
