"""States that look guilty and are harmless: whoever blames them is wrong."""

from __future__ import annotations

from bot.lab.faults.registry import ANY, CALICO, ROUTED, fault
from bot.lab.faults.surgery import Surgery
from bot.lab.names import Json


@fault("decoy-arp-ignore", "G14", scope="node", cnis=CALICO, cause="")
async def arp_ignore(lab: Surgery) -> None:
    """arp_ignore is 1 on cali* interfaces: proxy ARP does not consult it."""
    await lab.sysctl({f"net/ipv4/conf/{pod.veth}/arp_ignore": 1 for pod in lab.local_pods})
    await lab.forget_neighbours(lab.local_pods)


@fault("decoy-proxy-arp-on-all", "G1", scope="node", cnis=CALICO, cause="")
async def proxy_arp_on_all(lab: Surgery) -> None:
    """proxy_arp is 0 on one cali* interface, but 1 on all: the kernel takes either."""
    await lab.sysctl({"net.ipv4.conf.all.proxy_arp": 1, f"net/ipv4/conf/{lab.pod.veth}/proxy_arp": 0})
    await lab.forget_neighbours([lab.pod])


@fault("decoy-zeroconf-route", "G4", scope="node", cause="")
async def zeroconf(lab: Surgery) -> None:
    """The node has a zeroconf route for 169.254.0.0/16 on its uplink."""
    route = "169.254.0.0/16 dev eth0 scope link metric 1002"
    await lab.ip([f"route add {route}"], [f"route del {route}"])


@fault("decoy-failed-neighbour", "G1", scope="pod", cause="")
async def failed_neighbour(lab: Surgery) -> None:
    """The pod's neighbour table holds a FAILED entry for an address that nobody needs."""
    entry = "169.254.169.254 dev eth0"
    await lab.ip([f"neigh replace {entry} nud failed"], [f"neigh del {entry}"], netns=lab.pod.sandbox.pid)


@fault("decoy-unused-service", "S2", scope="cluster", cnis=ANY, cause="")
async def unused_service(lab: Surgery) -> None:
    """A Service without endpoints in a namespace that nobody asked about."""
    ports = [{"port": 80, "targetPort": 8080}]
    spec: Json = {"selector": {"app": "retired"}, "ports": ports}
    service: Json = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "retired"}, "spec": spec}
    lab.create("services", service, "default")


@fault("decoy-allowing-policy", "N1", scope="cluster", cause="")
async def allowing_policy(lab: Surgery) -> None:
    """A NetworkPolicy that selects every pod and allows everything."""
    spec: Json = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "ingress": [{}], "egress": [{}]}
    policy: Json = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"}
    lab.create(
        "networkpolicies.networking.k8s.io", {**policy, "metadata": {"name": "allow-all"}, "spec": spec}, "seldon-mesh"
    )


@fault("decoy-foreign-table", "N10", scope="node", cause="")
async def foreign_table(lab: Surgery) -> None:
    """Another program's packet filter that only counts."""
    chain = "chain forward { type filter hook forward priority 5; policy accept; counter; }"
    await lab.nft_table("inet", "accounting", chain)


@fault("decoy-spare-bridge", "R8", scope="node", cause="")
async def spare_bridge(lab: Surgery) -> None:
    """docker0 with its usual 172.17.0.1/16, which overlaps nothing."""
    await lab.ip(
        ["link add docker0 type bridge", "addr add 172.17.0.1/16 dev docker0", "link set docker0 up"],
        ["link del docker0"],
    )


@fault("decoy-leftover-cni", "P11", scope="node", cnis=ROUTED, cause="")
async def leftover_cni(lab: Surgery) -> None:
    """Flannel's configuration and devices are still on the node, beside a CNI whose configuration comes first."""
    conflist = '{"name": "cbr0", "cniVersion": "0.3.1", "plugins": [{"type": "flannel"}]}\n'
    await lab.files({"/etc/cni/net.d/10-flannel.conflist": conflist})
    local = lab.node.ip
    await lab.ip(
        [
            "link add cni0 type bridge",
            "addr add 10.244.1.1/24 dev cni0",
            "link set cni0 up",
            f"link add flannel.1 type vxlan id 1 local {local} dev eth0 dstport 8475 nolearning",
            "link set flannel.1 up",
        ],
        ["link del flannel.1", "link del cni0"],
    )
