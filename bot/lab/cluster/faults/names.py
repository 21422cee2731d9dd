"""DNS (taxonomy 5.9)."""

from __future__ import annotations

from bot.lab.cluster.faults.injection import Injection, has_label
from bot.lab.cluster.faults.registry import fault
from bot.lab.cluster.names import OUTSIDE_HOST

_BINDINGS = "clusterrolebindings.rbac.authorization.k8s.io"


def _dns_pods(lab: Injection) -> list[str]:
    return [
        one["metadata"]["name"]
        for one in lab.storage.peek("pods", "kube-system")
        if has_label(one, "k8s-app", "kube-dns")
    ]


@fault("dns-down", "D1", scope="cluster")
async def dns_down(lab: Injection) -> None:
    """CoreDNS has no pods."""
    lab.patch("deployments.apps", "coredns", "kube-system", {"spec": {"replicas": 0}})
    await lab.until(lambda: not _dns_pods(lab), "CoreDNS ended")


@fault("dns-cannot-list-api", "D2", scope="cluster")
async def cannot_list(lab: Injection) -> None:
    """CoreDNS may not list Services."""
    lab.delete(_BINDINGS, "system:coredns", None)
    old = set(_dns_pods(lab))
    for name in old:
        lab.storage.delete("pods", name, "kube-system")
    await lab.until(lambda: len(set(_dns_pods(lab)) - old) == 2 and not set(_dns_pods(lab)) & old, "CoreDNS restarted")


@fault("dns-upstream-unreachable", "D3", scope="cluster")
async def upstream_dead(lab: Injection) -> None:
    """The resolver outside the cluster does not answer."""
    rule = f"ip daddr {OUTSIDE_HOST} udp dport 53 drop; ip daddr {OUTSIDE_HOST} tcp dport 53 drop;"
    chain = f"chain forward {{ type filter hook forward priority 0; policy accept; {rule} }}"
    await lab.nft_table("ip", "provider", chain, host=lab.underlay)


@fault("dns-wrong-nameserver", "D6", scope="pod", cause="dns-nameserver-mismatch")
async def wrong_nameserver(lab: Injection) -> None:
    """The pod's resolv.conf names an address that is not the DNS Service's."""
    path = f"/var/lib/kubelet/pods/{lab.pod.uid}/resolv.conf"
    old = (await lab.node.host.steps([{"read": [path]}]))[0].out
    await lab.node.host.steps([{"write": {path: old.replace("10.43.0.10", "10.96.0.10")}}])

    async def restore() -> None:
        await lab.node.host.steps([{"write": {path: old}}])

    lab.on_undo(f"{lab.node.name}: {path}", restore)
