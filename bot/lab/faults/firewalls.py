"""Policies and packet filters on the way (taxonomy 5.10)."""

from __future__ import annotations

from bot.lab.faults.registry import fault
from bot.lab.faults.surgery import Surgery
from bot.lab.names import Json

_POLICIES = "networkpolicies.networking.k8s.io"
_NAMESPACE = "seldon-mesh"


def _policy(name: str, spec: Json) -> Json:
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name}, "spec": spec}


@fault("network-policy-denies", "N1", scope="cluster")
async def default_deny(lab: Surgery) -> None:
    """A default-deny NetworkPolicy without an allowing one."""
    spec: Json = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    lab.create(_POLICIES, _policy("default-deny", spec), _NAMESPACE)


@fault("network-policy-blocks-dns", "N2", scope="cluster")
async def no_dns(lab: Surgery) -> None:
    """An egress policy that forgets DNS."""
    rule: Json = {"to": [{"podSelector": {}}]}
    spec: Json = {"podSelector": {}, "policyTypes": ["Egress"], "egress": [rule]}
    lab.create(_POLICIES, _policy("same-namespace-only", spec), _NAMESPACE)


@fault("network-policy-selector-mismatch", "N3", scope="cluster")
async def mismatch(lab: Surgery) -> None:
    """A policy's selector matches no pod."""
    peers = [{"podSelector": {"matchLabels": {"app": "frontend"}}}]
    rule: Json = {"from": peers, "ports": [{"protocol": "TCP", "port": 8081}]}
    lab.patch(_POLICIES, "api", "shop", {"spec": {"ingress": [rule]}})


@fault("node-firewall-rejects", "N6", scope="node")
async def node_rejects(lab: Surgery) -> None:
    """The node's own firewall rejects what it forwards."""
    chain = (
        "chain filter_FORWARD { type filter hook forward priority 10; policy accept; "
        "ct state established,related accept; reject with icmpx admin-prohibited; }"
    )
    await lab.nft_table("inet", "firewalld", chain)


@fault("forward-policy-drop", "N7", scope="node")
async def forward_drop(lab: Surgery) -> None:
    """Another program set the FORWARD chain's policy to DROP."""
    chain = (
        "chain FORWARD { type filter hook forward priority filter; policy drop; "
        'iifname "docker0" accept; oifname "docker0" ct state related,established accept; }'
    )
    await lab.nft_table("ip", "filter", chain)


@fault("stale-policy-chains", "N10", scope="node")
async def stale_chains(lab: Surgery) -> None:
    """Chains of a former network policy controller still drop."""
    addresses = ", ".join(pod.ip for pod in lab.local_pods)
    chain = (
        "chain KUBE-POD-FW-7OKJSTE2DWM4NDXR { counter drop; }\n"
        "chain KUBE-ROUTER-FORWARD { type filter hook forward priority filter; policy accept; "
        f"ip saddr {{ {addresses} }} ct state new jump KUBE-POD-FW-7OKJSTE2DWM4NDXR; }}"
    )
    await lab.nft_table("ip", "kube-router-old", chain)
