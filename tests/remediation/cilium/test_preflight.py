"""What would break if Cilium were installed so: the founding article's command, and one that is fit for a migration."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.agent.report import CniFile, Link, NetnsState, NodeReport, Route
from bot.remediation.cilium.checks.cluster import quantity
from bot.remediation.cilium.preflight import CHECKS, Check, preflight
from bot.remediation.cilium.seen import Host, Seen, host_of

ARTICLE: dict[str, Any] = {
    "kubeProxyReplacement": True,
    "k8sServiceHost": "192.168.1.1",
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


def named(name: str, namespace: str = "", **parts: Any) -> dict[str, Any]:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {}), **parts.pop("metadata", {})}
    return {"metadata": metadata, **parts}


def node(number: int = 1, *, ready: bool = True, annotations: dict[str, str] | None = None, **info: str) -> Any:
    known = {"kernelVersion": "6.1.0", "architecture": "amd64", "kubeletVersion": "v1.36.2", **info}
    status = {
        "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        "nodeInfo": known,
        "addresses": [{"type": "InternalIP", "address": f"192.168.1.{number}"}],
        "allocatable": {"cpu": "4", "memory": "8Gi"},
    }
    spec = {"podCIDR": f"10.42.{number}.0/24"}
    return named(f"node-{number}", metadata={"annotations": annotations or {}}, spec=spec, status=status)


def pod(name: str = "web", namespace: str = "shop", ip: str = "10.42.0.7", **spec: Any) -> dict[str, Any]:
    metadata = {"ownerReferences": [{"kind": "ReplicaSet", "uid": "u"}], **spec.pop("metadata", {})}
    status = {"phase": "Running", "podIP": ip, "conditions": [{"type": "Ready", "status": "True"}]}
    return named(name, namespace, metadata=metadata, spec={"containers": [], **spec}, status=status)


def dns(number: int) -> dict[str, Any]:
    metadata = {"labels": {"k8s-app": "kube-dns"}}
    return pod(f"coredns-{number}", "kube-system", f"10.42.{number}.2", metadata=metadata, nodeName=f"node-{number}")


def agent(
    name: str = "calico-node", image: str = "calico/node:v3.30.2", *, ready: int = 3, **env: str
) -> dict[str, Any]:
    variables = {"IP_AUTODETECTION_METHOD": "kubernetes-internal-ip", **env}
    container = {"name": name, "image": image, "env": [{"name": key, "value": one} for key, one in variables.items()]}
    template = {"spec": {"containers": [container]}}
    status = {"desiredNumberScheduled": 3, "numberReady": ready}
    return named(name, "kube-system", spec={"template": template}, status=status)


FLANNEL = agent("kube-flannel", "ghcr.io/flannel-io/flannel:v0.28.9")
POOL = named("default", spec={"cidr": "10.42.0.0/16", "vxlanMode": "Always"})
HOST = Host(links=("eth0", "vxlan.calico"), tunnels=(("vxlan.calico", 4789),), mtu=1500, pod_mtu=1450, cni_files=())
WELL = Seen(
    nodes=[node(1), node(2), node(3)],
    namespaces=[named("kube-system")],
    pods=[pod(), dns(1), dns(2)],
    services=[named("s", "shop", spec={"clusterIP": "10.43.0.1", "type": "ClusterIP"})],
    daemon_sets=[agent()],
    deployments=[],
    policies=[],
    budgets=[],
    webhooks=[],
    quotas=[],
    definitions=[],
    ip_pools=[POOL],
    felix=[],
    bgp_peers=[],
    calico_policies=[],
    cilium_nodes=[],
    hosts={"node-1": HOST, "node-2": HOST, "node-3": HOST},
)


def reported(seen: Seen, values: dict[str, Any] = FIT) -> Sequence[str]:
    return [f"{one.id} {one.state} {one.sentence}" for one in preflight(values, seen)]


def blocked(checks: list[Check]) -> list[str]:
    return [one.sentence for one in checks if one.state == "blocked"]


def test_the_founding_command_is_refused_with_reasons() -> None:
    checks = preflight(ARTICLE, WELL)
    sentences = blocked(checks)

    assert any(
        "Addresses of running pods lie in 10.42.0.0/16: 3, such as 10.42.0.7/32" in one and "10.245.0.0/16" in one
        for one in sentences
    )
    assert any(one.startswith("cni.customConf must be true, is not set") for one in sentences)
    assert any("kubeProxyReplacement must be false, is true" in one for one in sentences)
    assert "Two pods get the same address, and traffic for one reaches the other." in {one.why for one in checks}
    assert any(one.id == "P19" and one.state == "warns" and "node node-1" in one.sentence for one in checks)


def test_a_cluster_that_is_well_and_fit_values_leave_only_what_nobody_can_see_from_here() -> None:
    checks = preflight(FIT, WELL)

    assert {one.id for one in checks} == {f"P{number:02}" for number in range(1, 20)}
    assert [one.id for one in checks if one.state != "ok"] == ["P05", "P19"]
    assert {one.state for one in checks if one.id in {"P05", "P19"}} == {"asks"}


def test_each_check_has_a_reason_and_a_remedy() -> None:
    assert len(CHECKS) == 19
    assert all(one.why.endswith(".") and one.instead.endswith(".") and one.what.endswith(".") for one in CHECKS)


SERVER = "k3s.io/node-args"
LONG_NAME = "node.cilium.io/agent-not-ready"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"nodes": [node(kubeletVersion="v1.30.1-eks-abc")]}, "P01 blocked Node node-1 is managed"),
        ({"definitions": [named("installations.operator.tigera.io")]}, "P01 blocked The Tigera operator owns the CNI"),
        (
            {"daemon_sets": [agent() | named("calico-node", "kube-system", metadata={
                "labels": {"kustomize.toolkit.fluxcd.io/name": "net"}})]},
            "P01 blocked DaemonSet kube-system/calico-node belongs to Flux Kustomization",
        ),
        ({"nodes": [node(kubeletVersion="v1.33.1+k3s1")]}, "P02 unknown No server of K3s"),
        (
            {"nodes": [node(kubeletVersion="v1.33.1+k3s1", annotations={SERVER: '["server"]'})]},
            "P02 blocked Flannel runs inside k3s",
        ),
        ({"daemon_sets": []}, "P03 blocked No DaemonSet is the agent of a known CNI"),
        ({"daemon_sets": [agent("weave", "weaveworks/weave-kube:2.8")]}, "P03 blocked There is no known way from w"),
        ({"daemon_sets": [agent(), named("kube-multus-ds", "kube-system")]}, "P03 blocked Multus decides"),
        ({"nodes": [node(operatingSystem="windows")]}, "P03 blocked Node node-1 runs Windows"),
        ({"felix": [named("default", spec={"bpfEnabled": True})]}, "P03 blocked FelixConfiguration default switches"),
        ({"felix": [named("default", spec={"wireguardEnabled": True})]}, "P03 blocked FelixConfiguration default swit"),
        ({"bgp_peers": [named("tor")]}, "P03 blocked 1 BGPPeers"),
        ({"ip_pools": [named("bgp", spec={"cidr": "10.9.0.0/16"})]}, "P03 blocked IPPool bgp has no encapsulation"),
        (
            {"hosts": {**WELL.hosts, "node-1": replace(HOST, routes=("10.245.9.0/24",))}},
            "P04 blocked Routes of nodes lie in 10.245.0.0/16",
        ),
        (
            {"hosts": {**WELL.hosts, "node-2": replace(HOST, tunnels=(("site0", 8473),))}},
            "P05 blocked tunnelPort 8473 belongs to site0 on node-2",
        ),
        (
            {"hosts": {**WELL.hosts, "node-2": replace(HOST, tunnels=(("site0", None),))}},
            "P05 unknown The port of site0 on node-2 could not be read",
        ),
        ({"hosts": {}}, "P05 unknown Not inspected: node-1"),
        ({"nodes": [node(kernelVersion="5.4.0-190-generic")]}, "P06 blocked Node node-1 runs kernel 5.4.0"),
        ({"nodes": [node(kernelVersion="")]}, "P06 unknown The kernel of node-1"),
        ({"nodes": [node(architecture="s390x")]}, "P07 blocked Node node-1 is s390x"),
        (
            {"daemon_sets": [agent(IP_AUTODETECTION_METHOD="")]},
            "P08 blocked calico-node finds the node's address by first-found",
        ),
        ({"calico_policies": [named("deny-all")]}, "P09 asks Cilium will enforce none of Calico's own policies: d"),
        (
            {"policies": [named("out", "shop", spec={"egress": [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}]})]},
            "P09 asks Cilium matches no pods by ipBlock: shop/out",
        ),
        ({"policies": [named("deny", "shop")]}, "P10 asks 1 NetworkPolicies are not enforced"),
        (
            {"pods": [pod(metadata={"annotations": {"cni.projectcalico.org/ipAddrs": "[]"}})]},
            "P11 asks shop/web asks Calico for something",
        ),
        ({"pods": [pod(metadata={"ownerReferences": []})]}, "P12 asks 1 pods have no controller"),
        ({"pods": [pod(terminationGracePeriodSeconds=3600)]}, "P12 asks They may take more than 300 s to end"),
        (
            {"budgets": [named("db", "shop", status={"disruptionsAllowed": 0})]},
            "P12 asks PodDisruptionBudgets that allow no eviction now: shop/db",
        ),
        ({"pods": [pod(containers=[{"ports": [{"hostPort": 80}]}])]}, "P13 blocked 1 pods use a hostPort: shop/web"),
        (
            {"services": [named("in", "shop", spec={"clusterIP": "10.43.0.1", "type": "LoadBalancer"})]},
            "P13 asks Tried from outside by nobody: shop/in",
        ),
        (
            {"webhooks": [named("policy", webhooks=[{"clientConfig": {"service": {"name": "a"}}}])]},
            "P13 asks While their pods move, the API server refuses changes: policy",
        ),
        ({"nodes": [node(1)]}, "P14 blocked There is one node"),
        ({"pods": [dns(1)]}, "P14 blocked 1 DNS pods are Ready, not two on different nodes"),
        (
            {"pods": [pod(containers=[{"resources": {"requests": {"cpu": "9"}}}])]},
            "P14 blocked Pods request 112 % of the cpu",
        ),
        (
            {"deployments": [named("cluster-autoscaler", "kube-system", spec={"replicas": 1})]},
            "P14 blocked kube-system/cluster-autoscaler drains, adds or moves",
        ),
        ({"nodes": [node(1), node(2, ready=False)]}, "P15 blocked Node node-2 is not Ready"),
        ({"daemon_sets": [agent(ready=2)]}, "P15 blocked 2 of 3 pods of DaemonSet kube-system/calico-node are Ready"),
        (
            {"hosts": {**WELL.hosts, "node-3": replace(HOST, mtu=1460)}},
            "P16 warns Pods' devices have an MTU of 1450, and Cilium's will have 1410",
        ),
        ({"cilium_nodes": [named("node-1")]}, "P17 blocked 1 CiliumNodes exist"),
        (
            {"nodes": [node(1) | {"spec": {"taints": [{"key": LONG_NAME}]}}]},
            "P17 blocked Node node-1 has the taint node.cilium.io/agent-not-ready",
        ),
        (
            {"hosts": {**WELL.hosts, "node-1": replace(HOST, links=("cilium_host",))}},
            "P17 blocked cilium_host on node-1 are of an earlier Cilium",
        ),
        (
            {"namespaces": [named("kube-system", metadata={
                "labels": {"pod-security.kubernetes.io/enforce": "baseline"}})]},
            "P18 blocked kube-system enforces the pod security level baseline",
        ),
        ({"quotas": [named("q", "kube-system")]}, "P18 asks kube-system/q limits what can be made"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_the_cluster_is_found(changes: dict[str, Any], said: str) -> None:
    found = reported(replace(WELL, **changes))

    assert any(one.startswith(said) for one in found), found


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tunnelPort": 4789}, "P05 blocked tunnelPort 4789 is calico's"),
        ({"tunnelPort": "8473"}, "P05 blocked tunnelPort is '8473'"),
        ({"tunelPort": 1}, "P18 asks tunelPort is no value that is known here"),
        ({"ipam": {"mode": "cluster-pool"}}, "P04 blocked ipam.operator.clusterPoolIPv4PodCIDRList names no range"),
        ({"policyEnforcementMode": "default"}, "P18 blocked policyEnforcementMode must be never, is default"),
    ],
)
def test_what_is_wrong_in_the_values_is_found(changes: dict[str, Any], said: str) -> None:
    found = reported(WELL, FIT | changes)

    assert any(one.startswith(said) for one in found), found


READ = [one.name for one in fields(Seen) if one.name != "hosts"]


@pytest.mark.parametrize("missing", READ)
def test_what_could_not_be_read_is_unknown_and_stops_it(missing: str) -> None:
    checks = preflight(FIT, replace(WELL, **{missing: None}))

    assert any(one.state == "unknown" and one.stops for one in checks), missing


def test_an_mtu_that_nobody_saw_stops_nothing() -> None:
    unseen = [one for one in preflight(FIT, replace(WELL, hosts={})) if one.id == "P16"]

    assert [(one.state, one.stops) for one in unseen] == [("unknown", False)]


@pytest.mark.parametrize("version", ["4.18.0-553.el8_10.x86_64", "5.10.0", "6.18.0-rc1"])
def test_kernels_that_are_new_enough_pass(version: str) -> None:
    assert "P06 ok All kernels are new enough." in reported(replace(WELL, nodes=[node(kernelVersion=version)]))


@pytest.mark.parametrize("arguments", ['["server","--flannel-backend","none"]', '["server","--flannel-backend=none"]'])
def test_k3s_without_its_flannel_passes(arguments: str) -> None:
    server = node(kubeletVersion="v1.33.1+k3s1", annotations={SERVER: arguments})

    assert any(one.startswith("P02 ok") for one in reported(replace(WELL, nodes=[server])))


def test_flannel_has_no_autodetection_to_mislead() -> None:
    assert any(one.startswith("P08 ok") for one in reported(replace(WELL, daemon_sets=[FLANNEL])))


def test_a_nodes_own_network_is_read_from_its_agents_report() -> None:
    links = (
        Link(ifindex=1, name="eth0", kind="veth", mtu=1460),
        Link(ifindex=2, name="flannel.1", kind="vxlan", vxlan_port=8472, mtu=1410),
        Link(ifindex=3, name="veth1", kind="veth", mtu=1410),
    )
    routes = (
        Route(dst="default", dev="eth0"),
        Route(dst="10.42.1.0/24", dev="flannel.1"),
        Route(dst="10.9.0.0/16", dev="eth0", table=100),
    )
    report = NodeReport(
        node="node-1",
        started_at="",
        took_s=0.1,
        root=NetnsState(links=links, routes=routes),
        cni_files=(CniFile(path="/etc/cni/net.d/10-flannel.conflist"),),
    )

    assert host_of(report) == Host(
        links=("eth0", "flannel.1", "veth1"),
        tunnels=(("flannel.1", 8472),),
        mtu=1460,
        pod_mtu=1410,
        routes=("10.42.1.0/24",),
        cni_files=("/etc/cni/net.d/10-flannel.conflist",),
    )


@pytest.mark.parametrize(
    ("text", "number"),
    [("250m", "0.250"), ("2", "2"), ("1Ki", "1024"), ("1.5G", "1500000000.0"), ("", "0"), ("?", "0")],
)
def test_quantities_are_read(text: str, number: str) -> None:
    assert str(quantity(text)) == number


@given(st.integers(9, 24), st.integers(0, 2**24 - 1))
def test_a_range_that_holds_a_live_pod_is_never_let_through(length: int, pod_offset: int) -> None:
    address = ipaddress.ip_address(int(ipaddress.ip_address("10.0.0.0")) + pod_offset)
    wanted = ipaddress.ip_network(f"{address}/{length}", strict=False)
    values = FIT | {"ipam": {"mode": "cluster-pool", "operator": {"clusterPoolIPv4PodCIDRList": [str(wanted)]}}}

    found = reported(replace(WELL, pods=[pod(ip=str(address))]), values)

    assert any(one.startswith("P04 blocked Addresses of running pods") for one in found)
