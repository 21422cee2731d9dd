"""What would break if Cilium were installed so: the founding article's command, and one that is fit for a migration."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.remediation.cilium.preflight import Check, Seen, preflight

ARTICLE: dict[str, Any] = {
    "kubeProxyReplacement": True,
    "k8sServiceHost": "192.168.1.85",
    "k8sServicePort": 6443,
    "ipam": {"operator": {"clusterPoolIPv4PodCIDRList": ["10.42.0.0/16"]}},
}
"""`helm install cilium cilium/cilium --set …` of the team that replaced its CNI in the middle of an outage."""
FIT: dict[str, Any] = {
    "cni": {"customConf": True, "uninstall": False},
    "routingMode": "tunnel",
    "tunnelProtocol": "vxlan",
    "tunnelPort": 8473,
    "ipam": {"mode": "cluster-pool", "operator": {"clusterPoolIPv4PodCIDRList": ["10.245.0.0/16"]}},
    "policyEnforcementMode": "never",
    "bpf": {"hostLegacyRouting": True},
    "operator": {"unmanagedPodWatcher": {"restart": False}, "setNodeTaints": False},
    "kubeProxyReplacement": False,
}


def node(name: str = "node-1", address: str = "192.168.1.85", **info: str) -> dict[str, Any]:
    known = {"kernelVersion": "6.1.0", "architecture": "amd64", "kubeletVersion": "v1.33.1", **info}
    status = {
        "conditions": [{"type": "Ready", "status": "True"}],
        "nodeInfo": known,
        "addresses": [{"type": "InternalIP", "address": address}],
    }
    return {"metadata": {"name": name}, "spec": {"podCIDR": "10.42.0.0/24"}, "status": status}


def pod(name: str = "web", ip: str = "10.42.0.7", **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "shop", "ownerReferences": [{"kind": "ReplicaSet", "uid": "u"}]}
    return {"metadata": metadata, "spec": {"containers": [], **spec}, "status": {"phase": "Running", "podIP": ip}}


def daemon_set(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "kube-system"}}


def seen(**changes: Any) -> Seen:
    values: dict[str, Any] = {
        "nodes": [node()],
        "pods": [pod()],
        "services": [{"metadata": {"name": "s"}, "spec": {"clusterIP": "10.43.0.1"}}],
        "daemon_sets": [daemon_set("calico-node")],
        "policies": [],
        "ip_pools": [],
        "cilium_nodes": [],
    }
    return Seen(**(values | changes))


def blocked(checks: list[Check]) -> list[str]:
    return [one.sentence for one in checks if one.state == "blocked"]


def states(checks: list[Check], check_id: str) -> set[str]:
    return {one.state for one in checks if one.id == check_id}


def test_the_founding_command_is_refused_with_reasons() -> None:
    sentences = blocked(preflight(ARTICLE, seen()))

    assert any(
        "Addresses of running pods lie in 10.42.0.0/16: 1, such as 10.42.0.7/32" in one and "10.245.0.0/16" in one
        for one in sentences
    )
    assert any(one.startswith("cni.customConf must be true, is not set") for one in sentences)
    assert any("kubeProxyReplacement must be false, is true" in one for one in sentences)
    assert states(preflight(ARTICLE, seen()), "P19") == {"warns"}


def test_values_fit_for_a_migration_pass() -> None:
    checks = preflight(FIT, seen())

    assert blocked(checks) == []
    assert {one.state for one in checks} == {"ok"}


@pytest.mark.parametrize(
    ("values", "cluster", "check_id", "state"),
    [
        (FIT, seen(pods=None), "P04", "unknown"),
        (FIT, seen(ip_pools=None), "P04", "unknown"),
        (FIT, seen(nodes=None), "P15", "unknown"),
        (FIT | {"tunnelPort": 4789}, seen(), "P05", "blocked"),
        (FIT | {"tunnelPort": "8473"}, seen(), "P05", "blocked"),
        (FIT | {"tunnelPort": 8472}, seen(daemon_sets=[daemon_set("kube-flannel-ds")]), "P05", "blocked"),
        (FIT, seen(nodes=[node(kernelVersion="5.4.0-190-generic")]), "P06", "blocked"),
        (FIT, seen(nodes=[node(kernelVersion="4.18.0-553.el8_10.x86_64")]), "P06", None),
        (FIT, seen(nodes=[node(kernelVersion="")]), "P06", "unknown"),
        (FIT, seen(nodes=[node(kubeletVersion="v1.30.1-eks-abc")]), "P01", "blocked"),
        (FIT, seen(nodes=[node(kubeletVersion="v1.33.1+k3s1")]), "P02", "unknown"),
        (FIT, seen(policies=[{"metadata": {"name": "deny"}}]), "P10", "asks"),
        (FIT, seen(cilium_nodes=[{"metadata": {"name": "node-1"}}]), "P17", "blocked"),
        (FIT, seen(pods=[pod(containers=[{"ports": [{"hostPort": 80}]}])]), "P13", "blocked"),
        (FIT | {"tunelPort": 1}, seen(), "values-unknown", "asks"),
    ],
)
def test_each_check_says_what_it_saw(values: Any, cluster: Seen, check_id: str, state: str | None) -> None:
    assert states(preflight(values, cluster), check_id) >= ({state} if state else set())
    if state is None:
        assert states(preflight(values, cluster), check_id) == set()


@pytest.mark.parametrize(
    ("arguments", "state"),
    [
        ('["server","--flannel-backend","none","--disable-network-policy"]', set[str]()),
        ('["server","--flannel-backend=none"]', set[str]()),
        ('["server"]', {"blocked"}),
    ],
)
def test_k3s_with_flannel_inside_is_refused(arguments: str, state: set[str]) -> None:
    server = node(kubeletVersion="v1.33.1+k3s1")
    server["metadata"]["annotations"] = {"k3s.io/node-args": arguments}

    assert states(preflight(FIT, seen(nodes=[server])), "P02") == state


@given(st.integers(0, 255), st.integers(9, 24), st.integers(0, 2**24 - 1))
def test_a_range_that_holds_a_live_pod_is_never_let_through(third: int, length: int, pod_offset: int) -> None:
    address = ipaddress.ip_address(int(ipaddress.ip_address("10.0.0.0")) + pod_offset)
    wanted = ipaddress.ip_network(f"{address}/{length}", strict=False)
    values = FIT | {"ipam": {"mode": "cluster-pool", "operator": {"clusterPoolIPv4PodCIDRList": [str(wanted)]}}}

    checks = preflight(values, seen(pods=[pod(ip=str(address))]))

    assert "blocked" in states(checks, "P04")
