"""What speaks against Cilium as the first CNI: only a cluster that waits for one, and for nothing else, gets it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from bot.remediation.cilium.fresh import WAITING, checks, waiting_nodes
from bot.remediation.cilium.seen import Seen
from bot.remediation.cilium.values import CiliumValues

VALUES = CiliumValues(pod_range="10.42.0.0/16")
PROXY = {"metadata": {"name": "kube-proxy", "namespace": "kube-system", "uid": "proxy"}}


def node(name: str, *, message: str = f"NetworkReady=false message: {WAITING}", **info: str) -> dict[str, Any]:
    known = {"kernelVersion": "6.1.0", "architecture": "amd64", "kubeletVersion": "v1.36.2", **info}
    ready = {"type": "Ready", "status": "False" if message else "True", "message": message}
    address = {"type": "InternalIP", "address": f"192.168.1.{name[-1]}"}
    status = {"conditions": [ready], "nodeInfo": known, "addresses": [address]}
    return {"metadata": {"name": name}, "spec": {"podCIDR": "10.42.0.0/24"}, "status": status}


def proxy_pod(node_name: str, *, ready: bool = True) -> dict[str, Any]:
    metadata = {"name": f"kube-proxy-{node_name}", "namespace": "kube-system", "ownerReferences": [{"uid": "proxy"}]}
    status = {"phase": "Running", "podIP": "192.168.1.1", "containerStatuses": [{"ready": ready}]}
    return {"metadata": metadata, "spec": {"nodeName": node_name, "hostNetwork": True}, "status": status}


FRESH = Seen(
    nodes=[node("node-1"), node("node-2")],
    pods=[proxy_pod("node-1"), proxy_pod("node-2")],
    services=[{"metadata": {"name": "kubernetes"}, "spec": {"clusterIP": "10.43.0.1"}}],
    daemon_sets=[PROXY],
    namespaces=[],
    definitions=[],
    quotas=[],
    ip_pools=[],
    cilium_nodes=[],
)


def stops(seen: Seen, values: CiliumValues = VALUES) -> Sequence[str]:
    return [f"{one.id} {one.sentence}" for one in checks(values, seen) if one.stops]


def test_a_fresh_cluster_may_have_it() -> None:
    assert stops(FRESH) == []
    assert waiting_nodes(FRESH) == ("node-1", "node-2")


CALICO = {
    "metadata": {"name": "calico-node", "namespace": "kube-system", "uid": "c"},
    "spec": {"template": {"spec": {"containers": [{"name": "calico-node", "image": "calico/node:v3.30.2"}]}}},
}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"nodes": [node("node-1"), node("node-2", message="")]}, "P15 node-2: Ready, so some CNI is configured"),
        ({"nodes": [node("node-1"), node("node-2", message="PLEG is not healthy")]}, "P15 node-2: not Ready, and not"),
        ({"nodes": None}, "P15 No node could be read"),
        ({"nodes": []}, "P15 No node could be read"),
        ({"daemon_sets": [PROXY, CALICO]}, "P03 There is a CNI already (kube-system/calico-node)"),
        ({"daemon_sets": None}, "P03 DaemonSets could not be read"),
        ({"daemon_sets": []}, "P19 There is no kube-proxy"),
        ({"pods": [proxy_pod("node-1")]}, "P19 kube-proxy does not run on node-2"),
        ({"pods": [proxy_pod("node-1"), proxy_pod("node-2", ready=False)]}, "P19 kube-proxy does not run on node-2"),
        ({"cilium_nodes": [{"metadata": {"name": "node-1"}}]}, "P17 1 CiliumNodes exist"),
        ({"cilium_nodes": None}, "P17 CiliumNodes could not be read"),
        ({"nodes": [node("node-1", kernelVersion="5.4.0")]}, "P06 Node node-1 runs kernel 5.4.0"),
        ({"nodes": [node("node-1", architecture="riscv64")]}, "P07 Node node-1 is riscv64"),
        ({"nodes": [node("node-1", kubeletVersion="v1.33.1-eks-1")]}, "P01 Node node-1 is managed"),
        ({"nodes": [node("node-1", kubeletVersion="v1.33.1+k3s1")]}, "P02 No server of K3s"),
        (
            {"services": [{"metadata": {"name": "s"}, "spec": {"clusterIP": "10.42.0.1"}}]},
            "P04 ClusterIPs of Services lie in 10.42.0.0/16",
        ),
        ({"services": None}, "P04 ClusterIPs of Services could not be read"),
        ({"definitions": None}, "P01 CustomResourceDefinitions could not be read"),
        ({"namespaces": None}, "P18 Namespaces could not be read"),
        ({"pods": None}, "P19 DaemonSets or pods could not be read"),
    ],
)
def test_anything_else_stops_it(changes: dict[str, Any], said: str) -> None:
    found = stops(replace(FRESH, **changes))

    assert any(one.startswith(said) for one in found), found


def test_the_nodes_own_ranges_may_be_taken_for_nobody_uses_them() -> None:
    assert not any("Pod ranges" in one for one in stops(FRESH))


def test_a_direct_way_to_the_api_server_needs_no_kube_proxy_everywhere() -> None:
    seen = replace(FRESH, pods=[proxy_pod("node-1")])

    assert stops(seen, CiliumValues(pod_range="10.42.0.0/16", api_server="192.168.1.1:6443")) == []


def test_a_range_with_fewer_blocks_than_nodes_is_refused() -> None:
    found = stops(FRESH, CiliumValues(pod_range="10.44.3.0/24"))

    assert found == ["P04 Blocks of /24 in the range: 1. Nodes: 2"]


def test_pods_with_a_port_of_their_node_are_for_the_approvers_to_know() -> None:
    pod = {"metadata": {"name": "ingress", "namespace": "web"}, "spec": {"containers": [{"ports": [{"hostPort": 80}]}]}}
    seen = replace(FRESH, pods=[*(FRESH.pods or ()), pod])

    assert stops(seen) == []
    assert any(one.state == "asks" and "hostPort" in one.sentence for one in checks(VALUES, seen))
