"""Why Calico's gateway 169.254.1.1 stays silent (taxonomy 5.3)."""

from __future__ import annotations

from bot.lab.cluster.faults.injection import Injection
from bot.lab.cluster.faults.registry import CALICO, fault


def _conf(lab: Injection, key: str) -> str:
    return f"net/ipv4/conf/{lab.pod.veth}/{key}"


@fault("calico-proxy-arp-off", "G1", scope="node", cnis=CALICO)
async def proxy_arp_off(lab: Injection) -> None:
    """Proxy ARP is off on the node and on its cali* interfaces."""
    interfaces = {f"net/ipv4/conf/{pod.veth}/proxy_arp": 0 for pod in lab.local_pods}
    await lab.sysctl({"net.ipv4.conf.all.proxy_arp": 0, **interfaces})
    await lab.forget_neighbours(lab.local_pods)


@fault("calico-proxy-arp-off-one-pod", "G1", scope="pod", cnis=CALICO, cause="calico-proxy-arp-off")
async def proxy_arp_off_one_pod(lab: Injection) -> None:
    """Proxy ARP is off on one pod's cali* interface."""
    await lab.sysctl({"net.ipv4.conf.all.proxy_arp": 0, _conf(lab, "proxy_arp"): 0})
    await lab.forget_neighbours([lab.pod])


@fault("node-default-route-mistyped", "G3", scope="node", cnis=CALICO)
async def default_mistyped(lab: Injection) -> None:
    """The node's default route was typed as 0.0.0.0/32."""
    route = await lab.default_route()
    wrong = route.replace("default", "0.0.0.0/32", 1)
    await lab.ip([f"route del {route}", f"route add {wrong}"], [f"route del {wrong}", f"route replace {route}"])
    await lab.forget_neighbours(lab.local_pods)


@fault("node-default-route-unusable", "G5", scope="node", cnis=CALICO)
async def default_unusable(lab: Injection) -> None:
    """The node's default route is of type unreachable."""
    route = await lab.default_route()
    await lab.ip(
        [f"route del {route}", "route add unreachable default"],
        ["route del unreachable default", f"route replace {route}"],
    )
    await lab.forget_neighbours(lab.local_pods)


@fault("policy-rule-captures-pods", "G5", scope="node", cnis=CALICO)
async def rule_captures(lab: Injection) -> None:
    """A policy rule sends the pods' traffic to a table that is unreachable."""
    rules = [f"iif {pod.veth} lookup 900 pref {50 + number}" for number, pod in enumerate(lab.local_pods)]
    await lab.ip(
        ["route add unreachable default table 900", *(f"rule add {rule}" for rule in rules)],
        [*(f"rule del {rule}" for rule in rules), "route flush table 900"],
    )
    await lab.forget_neighbours(lab.local_pods)


@fault("calico-forwarding-off", "G6", scope="node", cnis=CALICO, cause="node-forwarding-off")
async def forwarding_off(lab: Injection) -> None:
    """Forwarding (ip_forward) is 0 on the node."""
    await lab.sysctl({"net.ipv4.ip_forward": 0})
    await lab.forget_neighbours(lab.local_pods)


@fault("calico-forwarding-off-one-pod", "G6", scope="pod", cnis=CALICO, cause="calico-forwarding-off")
async def forwarding_off_one_pod(lab: Injection) -> None:
    """Forwarding is 0 on one pod's cali* interface."""
    await lab.sysctl({_conf(lab, "forwarding"): 0})
    await lab.forget_neighbours([lab.pod])


@fault("pod-route-missing-strict-rp-filter", "G7", scope="pod", cnis=CALICO)
async def route_missing_strict(lab: Injection) -> None:
    """The pod's /32 route is gone and rp_filter is strict."""
    route = f"{lab.pod.ip} dev {lab.pod.veth} scope link proto 80"
    await lab.ip([f"route del {route}"], [f"route replace {route}"])
    await lab.forget_neighbours([lab.pod])


@fault("arp-filtered", "G10", scope="node", cnis=CALICO)
async def arp_filtered(lab: Injection) -> None:
    """An nftables arp table drops requests from pods."""
    chain = (
        'chain input { type filter hook input priority 0; policy accept; iifname "cali*" arp operation request drop; }'
    )
    await lab.nft_table("arp", "guard", chain)
    await lab.forget_neighbours(lab.local_pods)


@fault("host-link-noarp", "G10", scope="pod", cnis=CALICO)
async def noarp(lab: Injection) -> None:
    """ARP is switched off on the pod's cali* interface."""
    await lab.ip([f"link set {lab.pod.veth} arp off"], [f"link set {lab.pod.veth} arp on"])
    await lab.forget_neighbours([lab.pod])


@fault("calico-proxy-delay", "G12", scope="pod", cnis=CALICO)
async def proxy_delay(lab: Injection) -> None:
    """The setting proxy_delay has the kernel's default of 80."""
    await lab.sysctl({f"net/ipv4/neigh/{lab.pod.veth}/proxy_delay": 80})
    await lab.forget_neighbours([lab.pod])


@fault("calico-proxy-delay-long", "G12", scope="pod", cnis=CALICO, cause="calico-proxy-delay")
async def proxy_delay_long(lab: Injection) -> None:
    """The setting proxy_delay is five minutes."""
    await lab.sysctl({f"net/ipv4/neigh/{lab.pod.veth}/proxy_delay": 30000})
    await lab.forget_neighbours([lab.pod])


@fault("gateway-address-on-node", "G13", scope="pod", cnis=CALICO)
async def gateway_on_node(lab: Injection) -> None:
    """169.254.1.1 is assigned on the node, with arp_ignore=8."""
    address = f"169.254.1.1/32 dev {lab.pod.veth}"
    await lab.sysctl({_conf(lab, "arp_ignore"): 8})
    # With an interface's last address the kernel removes every route over it, the pod's own too.
    route = f"route replace {lab.pod.ip} dev {lab.pod.veth} scope link proto 80"
    await lab.ip([f"addr add {address}"], [f"addr del {address}", route])
    await lab.forget_neighbours([lab.pod])


@fault("gateway-mac-changed", "L6", scope="pod", cnis=CALICO)
async def gateway_mac_changed(lab: Injection) -> None:
    """The cali* interface's MAC changed after pods had learnt it."""
    # The pod must know the old address: a stale entry with the old MAC is what the real event leaves behind.
    learnt = f"neigh replace {await lab.gateway()} lladdr ee:ee:ee:ee:ee:ee dev eth0 nud reachable"
    await lab.ip([learnt], [], netns=lab.pod.sandbox.pid)
    # Whoever asked by ARP meanwhile has learnt the other address: without this the way back would be the same fault.
    lab.on_undo("pods forget the gateway's MAC", lambda: lab.forget_neighbours([lab.pod]))
    veth = lab.pod.veth
    await lab.ip([f"link set {veth} address 5a:10:2d:6e:77:01"], [f"link set {veth} address ee:ee:ee:ee:ee:ee"])
