"""NetworkPolicies as rules: every shape of selector, peer and port."""

from __future__ import annotations

from typing import Any

import pytest

from bot.lab.cluster.dataplane.policy_match import Cluster, PolicyPod, directions, matches, rule_matches, selects
from bot.lab.cluster.dataplane.policy_rules import NAMINGS, render

WEB = PolicyPod(namespace="shop", name="web", ip="10.42.0.1", labels={"app": "web"}, named_ports={"http": 8080})
API = PolicyPod(namespace="shop", name="api", ip="10.42.0.2", labels={"app": "api"}, named_ports={"http": 8081})
DNS = PolicyPod(namespace="kube-system", name="dns", ip="10.42.1.3", labels={"k8s-app": "kube-dns"}, named_ports={})
CLUSTER = Cluster(pods=[WEB, API, DNS], namespaces={"shop": {}, "kube-system": {"name": "kube-system"}})


def policy(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "shop", "name": "it"}, "spec": {"podSelector": {}, **spec}}


@pytest.mark.parametrize(
    ("selector", "matched"),
    [
        ({}, True),
        ({"matchLabels": {"app": "web"}}, True),
        ({"matchLabels": {"app": "api"}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["web", "api"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}, False),
        ({"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["x"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}, False),
    ],
)
def test_selectors(selector: dict[str, Any], matched: object) -> None:
    assert matches(selector, WEB.labels) is matched


def test_directions_default_like_the_api_server() -> None:
    assert directions(policy()) == {"ingress"}
    assert directions(policy(egress=[{}])) == {"ingress", "egress"}
    assert directions(policy(policyTypes=["Egress"])) == {"egress"}


def test_policy_selects_in_its_own_namespace_only() -> None:
    assert selects(policy(), WEB)
    assert not selects(policy(), DNS)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({}, [""]),
        ({"from": [{"podSelector": {"matchLabels": {"app": "web"}}}]}, ["ip saddr { 10.42.0.1 }"]),
        ({"from": [{"podSelector": {"matchLabels": {"app": "nobody"}}}]}, []),
        ({"from": [{"namespaceSelector": {"matchLabels": {"name": "kube-system"}}}]}, ["ip saddr { 10.42.1.3 }"]),
        (
            {"from": [{"ipBlock": {"cidr": "192.0.2.0/24", "except": ["192.0.2.7/32"]}}]},
            ["ip saddr 192.0.2.0/24 ip saddr != { 192.0.2.7/32 }"],
        ),
        ({"ports": [{"port": 53, "protocol": "UDP"}, {"port": 80}]}, ["udp dport 53", "tcp dport 80"]),
        ({"ports": [{"port": 8000, "endPort": 8100}]}, ["tcp dport 8000-8100"]),
        ({"ports": [{"protocol": "SCTP"}]}, ["meta l4proto sctp"]),
        ({"ports": [{"port": "http"}]}, ["tcp dport 8080", "tcp dport 8081"]),
    ],
)
def test_ingress_rules(rule: dict[str, Any], expected: list[str]) -> None:
    assert list(rule_matches(policy(ingress=[rule]), "ingress", CLUSTER)) == expected


def test_named_ports_of_egress_are_those_of_the_peers() -> None:
    rule = {"to": [{"podSelector": {"matchLabels": {"app": "api"}}}], "ports": [{"port": "http"}]}

    found = list(rule_matches(policy(policyTypes=["Egress"], egress=[rule]), "egress", CLUSTER))

    assert found == ["ip daddr { 10.42.0.2 } tcp dport 8081"]


def test_unselected_pods_have_no_chain() -> None:
    only_api = policy(podSelector={"matchLabels": {"app": "api"}})

    text = render(NAMINGS["calico-vxlan"], [only_api], CLUSTER, {"cali1": WEB, "cali2": API})

    assert "filter-cali-tw-cali2" in text
    assert "cali1" not in text


def test_bridges_tell_pods_by_address() -> None:
    """On a bridge the input interface of every pod's packet is cni0."""
    text = render(NAMINGS["flannel-vxlan"], [policy()], CLUSTER, {"veth1": WEB})

    assert "ip daddr 10.42.0.1 jump KUBE-POD-FW-IN-" in text
    assert "veth1" not in text


def admin(kind: str, action: str, priority: int = 10, **fields: Any) -> dict[str, Any]:
    peer = {"pods": {"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "web"}}}}
    rule = {"action": action, "from": [peer], "ports": [{"portNumber": {"protocol": "TCP", "port": 8081}}]}
    subject = {"pods": {"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "api"}}}}
    spec = {"priority": priority, "subject": subject, "ingress": [rule], **fields}
    return {"kind": kind, "metadata": {"name": f"{kind}-{priority}".lower()}, "spec": spec}


def lines_of(script: str, chain: str) -> list[str]:
    body = script.split(f"chain {chain} {{", 1)[1].split("}\n", 1)[0]
    return [line.strip() for line in body.splitlines() if line.strip()]


def test_policies_of_cluster_admins_stand_before_network_policies_and_behind_them() -> None:
    naming = NAMINGS["calico-vxlan"]
    both = [
        admin("BaselineAdminNetworkPolicy", "Deny"),
        admin("AdminNetworkPolicy", "Allow", 20),
        admin("AdminNetworkPolicy", "Pass", 5),
    ]
    alone = render(naming, [], CLUSTER, {"cali1": API}, both)
    among = render(naming, [policy()], CLUSTER, {"cali1": API}, both)
    jumps = [line.split("jump ")[1] for line in lines_of(alone, "filter-cali-tw-cali1") if "jump " in line]
    inside = [lines_of(alone, chain)[0] for chain in jumps]

    assert inside == [
        "ip saddr { 10.42.0.1 } tcp dport 8081 meta mark set meta mark | 0x20000 return",
        "ip saddr { 10.42.0.1 } tcp dport 8081 meta mark set meta mark | 0x10000 return",
        "ip saddr { 10.42.0.1 } tcp dport 8081 counter drop",
    ]
    assert jumps[2] not in among
    assert lines_of(among, "filter-cali-tw-cali1")[-1].startswith('counter drop comment "Drop if no policies passed')
