"""Cilium in tunnel mode, without eBPF: the same devices, addresses and paths, made with routes and nftables.

What is as Cilium leaves it: ``lxc*`` veths, ``cilium_host``/``cilium_net``, ``cilium_vxlan`` on 8472, the pod's default
route through the node's cilium_host address with an on-link host route, one /24 per node routed through cilium_host;
devices of 1500 bytes, and the tunnel's smaller MTU on routes only; cilium_host and cilium_net without ARP.
What differs, because the lab has no eBPF:

- Cilium's programs answer the pod's ARP for the gateway and forward between ``lxc*`` by endpoint maps. Here proxy ARP
  on ``lxc*`` answers, and a /32 route per pod forwards (Cilium has those with ``enable-endpoint-routes``).
- Cilium encapsulates by its ipcache map. Here each remote /24 has a route over ``cilium_vxlan`` with a permanent
  neighbour and FDB entry; the route through cilium_host that Cilium shows is there too, with a worse metric.
- Services are kube-proxy's rules (``kube-proxy-replacement: false``).

Source: https://docs.cilium.io/en/stable/network/concepts/routing/
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_network

from bot.lab.cluster.dataplane import cilium_objects
from bot.lab.cluster.dataplane.base import CniError, Node, PodNetwork, bridge_batch, ip_batch, nft, sysctl
from bot.lab.cluster.dataplane.ipam import ExhaustedError, Range
from bot.lab.cluster.names import POD_CIDR, Cni, Json
from bot.lab.cluster.supervisor.host import HostError, Sandbox

CONFIGURATION = "/etc/cni/net.d/05-cilium.conflist"
VXLAN = "cilium_vxlan"
HOST = "cilium_host"
NET = "cilium_net"
PORT = 8472
VNI = 2
MTU = 1500
TUNNEL_MTU = 1450
"""Cilium leaves devices as large as the uplink and puts what fits into the tunnel on routes."""


def mac(node: str, device: str) -> str:
    """Stable per node and device."""
    digest = hashlib.sha1(f"cilium/{node}/{device}".encode(), usedforsecurity=False).hexdigest()
    return "be:" + ":".join(digest[2 * number : 2 * number + 2] for number in range(5))


def veth_name(uid: str) -> str:
    """``lxc`` and twelve hexadecimal digits."""
    return "lxc" + hashlib.sha256(uid.encode()).hexdigest()[:12]


def router_ip(pod_cidr: str) -> str:
    """cilium_host's address, every pod's gateway: Cilium takes one of the node's range, the lab its first."""
    return str(ip_network(pod_cidr)[1])


class Cilium:
    """See `bot.lab.cluster.dataplane.base.DataPlane`."""

    cni: Cni = "cilium-tunnel"

    def __init__(self, *, pod_range: str = POD_CIDR, port: int = PORT) -> None:
        self.pod_range = pod_range
        self.port = port
        self._nodes: dict[str, Node] = {}
        self._ranges: dict[str, Range] = {}
        self.pods: dict[str, dict[str, PodNetwork]] = {}

    def node_files(self, name: str) -> Mapping[str, str]:
        """Files of the installer: configuration and plugins."""
        cilium = {"type": "cilium-cni", "enable-debug": False, "log-file": "/var/run/cilium/cilium-cni.log"}
        config = {"cniVersion": "0.3.1", "name": "cilium", "plugins": [cilium]}
        return {
            CONFIGURATION: json.dumps(config, indent=2) + "\n",
            "/opt/cni/bin/cilium-cni": "",
            "/opt/cni/bin/loopback": "",
            "/run/cilium/state/node-name": name,
        }

    def configurations(self) -> tuple[str, ...]:
        """Written by the agent when it is up."""
        return (CONFIGURATION,)

    def requirements(self, configuration: str) -> Mapping[str, str]:
        """The one plugin."""
        del configuration
        return {"/opt/cni/bin/cilium-cni": 'failed to find plugin "cilium-cni" in path [/opt/cni/bin]'}

    def node_metadata(self, node: Node) -> Json:
        """Annotations that the agent keeps on its Node."""
        return {
            "annotations": {
                "network.cilium.io/ipv4-cilium-host": router_ip(node.pod_cidr),
                "network.cilium.io/ipv4-pod-cidr": node.pod_cidr,
            }
        }

    async def start(self, nodes: Sequence[Node]) -> None:
        """Lay every node's devices and the routes between them."""
        self._nodes = {node.name: node for node in nodes}
        for node in nodes:
            self.pods[node.name] = {}
            self._ranges[node.name] = Range(node.pod_cidr, reserved=2)
            await node.host.steps([*self._device_steps(node), *self._peer_steps(node)])

    def configure(self, node: Node, env: Mapping[str, str]) -> bool:
        """Its settings are not in the environment."""
        del node, env
        return False

    async def resync(self, node: Node) -> None:
        """Back to the invariants, as after a restart of the agent."""
        delete = [{"argv": ["ip", "link", "del", name], "may_fail": True} for name in (VXLAN, HOST)]
        endpoints = [step for pod in self.pods[node.name].values() for step in _endpoint_steps(pod, force=True)]
        await node.host.steps([*delete, *self._device_steps(node), *self._peer_steps(node), *endpoints])

    def _device_steps(self, node: Node) -> list[Json]:
        return _device_steps(node, self.pod_range, self.port)

    def _peer_steps(self, node: Node) -> list[Json]:
        peers = [peer for peer in self._nodes.values() if peer.name != node.name]
        own = router_ip(node.pod_cidr)
        routes = [f"route replace {node.pod_cidr} via {own} dev {HOST} proto kernel src {own}"]
        fdb: list[str] = []
        for peer in peers:
            address, hardware = router_ip(peer.pod_cidr), mac(peer.name, VXLAN)
            written = f"proto kernel src {own} mtu {TUNNEL_MTU}"
            routes += [
                f"neigh replace {address} lladdr {hardware} dev {VXLAN} nud permanent",
                f"route replace {peer.pod_cidr} via {address} dev {VXLAN} onlink {written}",
                f"route replace {peer.pod_cidr} via {own} dev {HOST} {written} metric 100",
            ]
            fdb.append(f"fdb replace {hardware} dev {VXLAN} dst {peer.ip} self permanent")
        return [ip_batch(routes), *([bridge_batch(fdb)] if fdb else [])]

    async def add_pod(self, node: Node, pod: Json, sandbox: Sandbox) -> PodNetwork:
        """CNI ADD."""
        metadata = pod["metadata"]
        try:
            address = self._ranges[node.name].take()
        except ExhaustedError as error:
            raise CniError(
                f'plugin type="cilium-cni" failed (add): unable to allocate IP via local cilium agent: {error}'
            ) from error
        network = PodNetwork(
            namespace=metadata["namespace"],
            name=metadata["name"],
            uid=metadata["uid"],
            ip=address,
            veth=veth_name(metadata["uid"]),
            sandbox=sandbox,
            labels=metadata.get("labels") or {},
        )
        try:
            await node.host.steps([*_veth_steps(node, network), *_endpoint_steps(network)])
        except HostError as error:
            self._ranges[node.name].give_back(address)
            raise CniError(f'plugin type="cilium-cni" failed (add): {error}') from error
        self.pods[node.name][network.uid] = network
        return network

    async def delete_pod(self, node: Node, network: PodNetwork) -> None:
        """CNI DEL."""
        self.pods[node.name].pop(network.uid, None)
        self._ranges[node.name].give_back(network.ip)
        await node.host.steps([ip_batch([f"link del {network.veth}"], force=True)])

    def custom_definitions(self) -> Iterable[Json]:
        """What the CNI's installer registers."""
        return cilium_objects.definitions()

    def custom_objects(self) -> Iterable[tuple[str, Json]]:
        """What `kubectl get` shows of it."""
        nodes = [(node.name, node.ip, node.pod_cidr, router_ip(node.pod_cidr)) for node in self._nodes.values()]
        yield from cilium_objects.nodes(nodes)
        for name, node in self._nodes.items():
            yield from cilium_objects.endpoints(node.ip, self.pods[name].values())


def _device_steps(node: Node, pod_range: str, port: int) -> list[Json]:
    settings = {
        "net.ipv4.ip_forward": 1,
        "net.ipv4.conf.all.rp_filter": 0,
        "net.ipv4.conf.default.rp_filter": 0,
        "net.ipv4.conf.eth0.rp_filter": 1,
    }
    lines = [
        f"link add {HOST} address {mac(node.name, HOST)} mtu {MTU} type veth peer name {NET} mtu {MTU}",
        f"link set {NET} arp off up",
        f"link set {HOST} arp off up",
        f"addr add {router_ip(node.pod_cidr)}/32 dev {HOST} scope link",
        (
            f"link add {VXLAN} address {mac(node.name, VXLAN)} mtu {MTU} type vxlan id {VNI} local {node.ip} dev eth0 "
            f"dstport {port} nolearning"
        ),
        f"link set {VXLAN} up",
        f"route replace {router_ip(node.pod_cidr)} dev {HOST} scope link",
    ]
    return [sysctl(settings), ip_batch(lines), nft(_masquerade(node, pod_range))]


def _veth_steps(node: Node, network: PodNetwork) -> list[Json]:
    pid, router = network.sandbox.pid, router_ip(node.pod_cidr)
    add = [f"link add {network.veth} mtu {MTU} type veth peer name eth0 mtu {MTU} netns {pid}"]
    pod = [
        f"addr add {network.ip}/32 dev eth0",
        "link set eth0 up",
        f"route add {router} dev eth0 scope link",
        f"route add default via {router} dev eth0 mtu {TUNNEL_MTU}",
    ]
    return [ip_batch(add), ip_batch(pod, netns=pid)]


def _endpoint_steps(network: PodNetwork, *, force: bool = False) -> list[Json]:
    """What stands for the endpoint's eBPF programs."""
    conf = f"net/ipv4/conf/{network.veth}"
    settings = {
        f"{conf}/forwarding": 1,
        f"{conf}/rp_filter": 0,
        f"{conf}/proxy_arp": 1,
        f"net/ipv4/neigh/{network.veth}/proxy_delay": 0,
    }
    lines = [
        f"link set {network.veth} arp on up",
        f"route replace {network.ip} dev {network.veth} scope link",
    ]
    return [ip_batch(lines, force=force), {**sysctl(settings), "may_fail": force}]


def _masquerade(node: Node, pod_range: str) -> str:
    """Pods leave by their node's address; what the node itself sends into the tunnel comes from cilium_host.

    The second stands for Cilium's choice of source: answers then return through the tunnel too. The third stands for
    its load balancer, by which pods reach ClusterIPs with their own address: kube-proxy may know another cluster range.
    """
    return f"""
table ip cilium-nat
delete table ip cilium-nat
table ip cilium-nat {{
  chain CILIUM_POST_nat {{
    type nat hook postrouting priority srcnat - 1; policy accept;
    ip saddr {pod_range} ip daddr != {pod_range} oifname != "cilium_*" masquerade
    ip saddr != {pod_range} oifname "{VXLAN}" snat to {router_ip(node.pod_cidr)}
    ip saddr {pod_range} oifname "{VXLAN}" meta mark set meta mark & 0xffffbfff
  }}
}}
"""
