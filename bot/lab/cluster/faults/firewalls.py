"""Policies and packet filters on the way (taxonomy 5.10)."""

from __future__ import annotations

from bot.lab.cluster.dataplane.policy_rules import NAMINGS, policy_chain
from bot.lab.cluster.faults.injection import Injection, serves_seldon
from bot.lab.cluster.faults.registry import CALICO, fault
from bot.lab.cluster.names import Json

_POLICIES = "networkpolicies.networking.k8s.io"
_NAMESPACE = "seldon-mesh"
_FORMER = {
    "calico-vxlan": ("kube-router-old", "KUBE-ROUTER-FORWARD", "KUBE-POD-FW-7OKJSTE2DWM4NDXR"),
    "flannel-vxlan": ("calico-old", "cali-FORWARD", "cali-fw-cali7a1b3c5d9e0"),
}
"""Table and chains of another controller than the one at work (K3s runs kube-router's beside Flannel)."""


def _policy(name: str, spec: Json) -> Json:
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name}, "spec": spec}


@fault("network-policy-denies", "N1", scope="cluster", also=("dns-egress-denied",))
async def default_deny(lab: Injection) -> None:
    """A default-deny NetworkPolicy without an allowing one."""
    spec: Json = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    lab.create(_POLICIES, _policy("default-deny", spec), _NAMESPACE)


@fault("network-policy-blocks-dns", "N2", scope="cluster", cause="dns-egress-denied")
async def no_dns(lab: Injection) -> None:
    """An egress policy that forgets DNS."""
    rule: Json = {"to": [{"podSelector": {}}]}
    spec: Json = {"podSelector": {}, "policyTypes": ["Egress"], "egress": [rule]}
    lab.create(_POLICIES, _policy("same-namespace-only", spec), _NAMESPACE)


@fault("dns-server-egress-denied", "N2", scope="cluster")
async def closed_dns_pods(lab: Injection) -> None:
    """An egress policy of the DNS pods that forgets the resolvers outside."""
    rule: Json = {"ports": [{"protocol": "TCP", "port": 443}, {"protocol": "TCP", "port": 6443}]}
    spec: Json = {"podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}, "policyTypes": ["Egress"], "egress": [rule]}
    lab.create(_POLICIES, _policy("coredns-out", spec), "kube-system")


@fault("network-policy-selector-mismatch", "N3", scope="cluster", cause="network-policy-denies")
async def mismatch(lab: Injection) -> None:
    """A policy's selector matches no pod."""
    peers = [{"podSelector": {"matchLabels": {"app.kubernetes.io/part-of": "seldon-model"}}}]
    rule: Json = {"from": peers, "ports": [{"protocol": "TCP", "port": 9004}]}
    selector = {"matchLabels": {"control-plane": "seldon-scheduler"}}
    spec: Json = {"podSelector": selector, "policyTypes": ["Ingress"], "ingress": [rule]}
    lab.create(_POLICIES, _policy("scheduler-from-models", spec), _NAMESPACE)


@fault("policy-stale-on-node", "N4", scope="node", cause="policy-stale-on-node")
async def stale_policy(lab: Injection) -> None:
    """The node's policy rules are older than the policies, for their agent hangs: what the API allows is dropped."""
    naming = NAMINGS[lab.plane.cni]
    victim = next(node for node in lab.nodes if any(map(serves_seldon, lab.plane.pods[node.name].values())))
    selector = {"matchLabels": {"control-plane": "seldon-scheduler"}}
    rule: Json = {"from": [{"namespaceSelector": {}}]}
    spec: Json = {"podSelector": selector, "policyTypes": ["Ingress"], "ingress": [rule]}
    lab.create(_POLICIES, _policy("scheduler", spec), _NAMESPACE)
    await lab.until(lab.policies.is_settled, "the policy was written")
    chain = policy_chain(naming, f"{_NAMESPACE}/scheduler", "ingress")
    node = victim.name

    async def rewrite() -> None:
        lab.policies.rewrite(node)

    lab.policies.hang(node)  # whatever pod comes or goes: it would write everything again
    await lab.nft_run(f"flush chain ip {naming.table} {chain}\n", rewrite, host=victim.host)


@fault("hidden-policy-denies", "N5", scope="cluster", cnis=CALICO)
async def hidden_policy(lab: Injection) -> None:
    """A GlobalNetworkPolicy, which `kubectl get networkpolicy` does not show, denies the scheduler's port."""
    rule: Json = {"action": "Deny", "protocol": "TCP", "destination": {"ports": [9004]}}
    spec: Json = {
        "order": 10,
        "selector": "control-plane == 'seldon-scheduler'",
        "types": ["Ingress"],
        "ingress": [rule],
    }
    body: Json = {"apiVersion": "crd.projectcalico.org/v1", "kind": "GlobalNetworkPolicy"}
    lab.create(
        "globalnetworkpolicies.crd.projectcalico.org", {**body, "metadata": {"name": "lockdown"}, "spec": spec}, None
    )
    for node in lab.nodes:
        for pod in lab.plane.pods[node.name].values():
            if serves_seldon(pod):
                chain = (
                    "chain filter-cali-pi-default.lockdown { tcp dport 9004 counter drop; }\n"
                    "chain filter-cali-FORWARD { type filter hook forward priority -1; policy accept; "
                    f'oifname "{pod.veth}" jump filter-cali-pi-default.lockdown; }}'
                )
                await lab.nft_table("ip", "calico-tiers", chain, host=node.host)


@fault("node-firewall-rejects", "N6", scope="node", cause="host-firewall-rejects")
async def node_rejects(lab: Injection) -> None:
    """The node's own firewall rejects what it forwards."""
    chain = (
        "chain filter_FORWARD { type filter hook forward priority 10; policy accept; "
        "ct state established,related accept; reject with icmpx admin-prohibited; }"
    )
    await lab.nft_table("inet", "firewalld", chain)


@fault("forward-policy-drop", "N7", scope="node")
async def forward_drop(lab: Injection) -> None:
    """Another program set the FORWARD chain's policy to DROP."""
    chain = (
        "chain FORWARD { type filter hook forward priority filter; policy drop; "
        'iifname "docker0" accept; oifname "docker0" ct state related,established accept; }'
    )
    await lab.nft_table("ip", "filter", chain)


@fault("host-port-takes-service-port", "N10", scope="node", cause="foreign-rule-rewrites-packets")
async def host_port_takes_service_port(lab: Injection) -> None:
    """The rule of a hostPort does not ask for the node's own addresses: it takes the port of a Service, too."""
    chain = (
        "chain prerouting { type nat hook prerouting priority -110; policy accept; "
        "tcp dport 9004 dnat to 192.0.2.80:9004; }"
    )
    await lab.nft_table("ip", "cni_hostport", chain)


@fault("stale-policy-chains", "N10", scope="node", cause="foreign-firewall-drops")
async def stale_chains(lab: Injection) -> None:
    """Chains of a former network policy controller still drop."""
    table, base, policy = _FORMER["flannel-vxlan" if lab.plane.cni == "flannel-vxlan" else "calico-vxlan"]
    addresses = ", ".join(pod.ip for pod in lab.local_pods)
    chain = (
        f"chain {policy} {{ counter drop; }}\n"
        f"chain {base} {{ type filter hook forward priority filter; policy accept; "
        f"ip saddr {{ {addresses} }} ct state new jump {policy}; }}"
    )
    await lab.nft_table("ip", table, chain)
