"""Why Calico's gateway 169.254.1.1 stays silent (taxonomy G1 to G13)."""

from __future__ import annotations

from bot.lab.faults.registry import CALICO, fault
from bot.lab.faults.surgery import Surgery


def _cali(lab: Surgery, key: str) -> str:
    return f"net/ipv4/conf/{lab.pod.veth}/{key}"


@fault("calico-proxy-arp-off", "G1", "proxy ARP is off on the node and on its cali* interfaces", scope="node", cnis=CALICO)
async def proxy_arp_off(lab: Surgery) -> None:
    interfaces = {f"net/ipv4/conf/{pod.veth}/proxy_arp": 0 for pod in lab.local_pods}
    await lab.sysctl({"net.ipv4.conf.all.proxy_arp": 0, **interfaces})
    await lab.forget_neighbours(lab.local_pods)


@fault(
    "calico-proxy-arp-off-one-pod",
    "G1",
    "proxy ARP is off on one pod's cali* interface",
    scope="pod",
    cnis=CALICO,
    cause="calico-proxy-arp-off",
)
async def proxy_arp_off_one_pod(lab: Surgery) -> None:
    await lab.sysctl({"net.ipv4.conf.all.proxy_arp": 0, _cali(lab, "proxy_arp"): 0})
    await lab.forget_neighbours([lab.pod])
