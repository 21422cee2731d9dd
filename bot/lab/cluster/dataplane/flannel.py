"""Flannel with VXLAN as K3s lays it: cni0 per node, flannel.1 between nodes, no agent pods.

Source: https://github.com/flannel-io/flannel pkg/backend/vxlan/vxlan_network.go (neighbour, FDB, on-link route),
https://github.com/k3s-io/k3s pkg/agent/flannel/setup.go (CNI configuration and its place)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_network

from bot.lab.cluster.dataplane.base import CniError, Node, PodNetwork, bridge_batch, ip_batch, nft, sysctl
from bot.lab.cluster.names import POD_CIDR, Cni, Json, node_pod_cidr
from bot.lab.cluster.supervisor.host import HostError, Sandbox

BRIDGE = "cni0"
VXLAN = "flannel.1"
VNI = 1
PORT = 8472
MTU = 1450
_CONF_DIRECTORY = "/var/lib/rancher/k3s/agent/etc/cni/net.d"
_BIN_DIRECTORY = "/var/lib/rancher/k3s/data/cni"
_IPAM = "/var/lib/cni/networks/cbr0"


def vtep_mac(node: str) -> str:
    """Stable per node; flannel's is random but kept."""
    digest = hashlib.sha1(f"flannel/{node}".encode(), usedforsecurity=False).hexdigest()
    return "2e:" + ":".join(digest[2 * number : 2 * number + 2] for number in range(5))


def veth_name(container_id: str) -> str:
    """As the bridge plugin names it: ``veth`` and eight hexadecimal digits."""
    return "veth" + hashlib.sha1(container_id.encode(), usedforsecurity=False).hexdigest()[:8]


def gateway(pod_cidr: str) -> str:
    """The bridge's address: the first of the node's range."""
    return str(ip_network(pod_cidr)[1])


def vtep(pod_cidr: str) -> str:
    """flannel.1's address: the network's own."""
    return str(ip_network(pod_cidr)[0])


class Flannel:
    """See `bot.lab.cluster.dataplane.base.DataPlane`."""

    cni: Cni = "flannel-vxlan"

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self.pods: dict[str, dict[str, PodNetwork]] = {}

    def node_files(self, name: str) -> Mapping[str, str]:
        """Files of the installer: configuration and plugins."""
        pod_cidr = node_pod_cidr(int(name.rpartition("-")[2]) - 1)
        net_conf = {"Network": POD_CIDR, "EnableIPv6": False, "EnableIPv4": True, "Backend": {"Type": "vxlan"}}
        return {
            f"{_CONF_DIRECTORY}/10-flannel.conflist": conflist(),
            "/var/lib/rancher/k3s/agent/etc/flannel/net-conf.json": json.dumps(net_conf) + "\n",
            "/run/flannel/subnet.env": subnet_env(pod_cidr),
            "/run/k3s/containerd/containerd.sock": "",
            **{
                f"/var/lib/rancher/k3s/data/cni/{plugin}": ""
                for plugin in ("bandwidth", "bridge", "flannel", "host-local", "portmap")
            },
        }

    def configurations(self) -> tuple[str, ...]:
        """Written by k3s."""
        return (f"{_CONF_DIRECTORY}/10-flannel.conflist",)

    def requirements(self, configuration: str) -> Mapping[str, str]:
        """Plugins of K3s's bundle, and what flanneld leaves for them."""
        del configuration
        open_file = "open /run/flannel/subnet.env: no such file or directory. Check the flannel pod log for this node."
        return {
            **{
                f"{_BIN_DIRECTORY}/{name}": f'failed to find plugin "{name}" in path [{_BIN_DIRECTORY}]'
                for name in ("flannel", "bridge", "host-local")
            },
            "/run/flannel/subnet.env": f'plugin type="flannel" failed (add): loadFlannelSubnetEnv failed: {open_file}',
        }

    def node_metadata(self, node: Node) -> Json:
        """Annotations that the agent keeps on its Node."""
        return {
            "labels": {
                "node.kubernetes.io/instance-type": "k3s",
                "beta.kubernetes.io/instance-type": "k3s",
                "k3s.io/hostname": node.name,
            },
            "annotations": {
                "flannel.alpha.coreos.com/backend-data": json.dumps({"VNI": VNI, "VtepMAC": vtep_mac(node.name)}),
                "flannel.alpha.coreos.com/backend-type": "vxlan",
                "flannel.alpha.coreos.com/kube-subnet-manager": "true",
                "flannel.alpha.coreos.com/public-ip": node.ip,
                "k3s.io/internal-ip": node.ip,
                "k3s.io/hostname": node.name,
            },
        }

    async def start(self, nodes: Sequence[Node]) -> None:
        """Lay every node's devices and the routes between them."""
        self._nodes = {node.name: node for node in nodes}
        for node in nodes:
            self.pods[node.name] = {}
            await node.host.steps(self._bridge_steps(node))
            await node.host.steps([*self._tunnel_steps(node), *self._peer_steps(node)])

    def configure(self, node: Node, env: Mapping[str, str]) -> bool:
        """Its settings are not in the environment."""
        del node, env
        return False

    async def resync(self, node: Node) -> None:
        """A restart of k3s: flannel recreates its device; bridge and veths are only touched by CNI ADD."""
        delete = {"argv": ["ip", "link", "del", VXLAN], "may_fail": True}
        await node.host.steps([delete, *self._tunnel_steps(node), *self._peer_steps(node)])

    def _bridge_steps(self, node: Node) -> list[Json]:
        settings = {
            "net.ipv4.ip_forward": 1,
            "net.ipv4.conf.all.rp_filter": 0,
            "net.ipv4.conf.default.rp_filter": 1,
            "net.ipv4.conf.eth0.rp_filter": 1,
            "net.bridge.bridge-nf-call-iptables": 1,
        }
        lines = [
            f"link add {BRIDGE} mtu {MTU} type bridge",
            f"addr add {gateway(node.pod_cidr)}/24 brd + dev {BRIDGE}",
            f"link set {BRIDGE} up",
        ]
        return [sysctl(settings), ip_batch(lines), nft(_MASQUERADE)]

    def _tunnel_steps(self, node: Node) -> list[Json]:
        lines = [
            (
                f"link add {VXLAN} address {vtep_mac(node.name)} mtu {MTU} type vxlan id {VNI} "
                f"local {node.ip} dev eth0 dstport {PORT} nolearning"
            ),
            f"addr add {vtep(node.pod_cidr)}/32 dev {VXLAN}",
            f"link set {VXLAN} up",
        ]
        return [{"write": {"/run/flannel/subnet.env": subnet_env(node.pod_cidr)}}, ip_batch(lines)]

    def _peer_steps(self, node: Node) -> list[Json]:
        peers = [peer for peer in self._nodes.values() if peer.name != node.name]
        routes: list[str] = []
        fdb: list[str] = []
        for peer in peers:
            address, mac = vtep(peer.pod_cidr), vtep_mac(peer.name)
            routes.append(f"neigh replace {address} lladdr {mac} dev {VXLAN} nud permanent")
            routes.append(f"route replace {peer.pod_cidr} via {address} dev {VXLAN} onlink")
            fdb.append(f"fdb replace {mac} dev {VXLAN} dst {peer.ip} self permanent")
        return [ip_batch(routes), bridge_batch(fdb)] if peers else []

    async def add_pod(self, node: Node, pod: Json, sandbox: Sandbox) -> PodNetwork:
        """CNI ADD."""
        metadata = pod["metadata"]
        address = await self._allocate(node, metadata["uid"])
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
            await node.host.steps(_veth_steps(node, network))
        except HostError as error:
            await node.host.steps([{"remove": [f"{_IPAM}/{address}"]}])
            raise CniError(f'plugin type="flannel" failed (add): failed to delegate add: {error}') from error
        self.pods[node.name][network.uid] = network
        return network

    async def _allocate(self, node: Node, owner: str) -> str:
        """An address by the host-local plugin, to which the bridge plugin delegates; raises CniError."""
        network = ip_network(node.pod_cidr)
        wanted = {"directory": _IPAM, "first": str(network[2]), "last": str(network[-2]), "owner": owner}
        try:
            (result,) = await node.host.steps([{"allocate": wanted}])
        except HostError as error:
            words = str(error).split("allocate: ", 1)[-1]
            raise CniError(f'plugin type="flannel" failed (add): failed to delegate add: {words}') from error
        return result.out

    async def delete_pod(self, node: Node, network: PodNetwork) -> None:
        """CNI DEL."""
        self.pods[node.name].pop(network.uid, None)
        await node.host.steps(
            [ip_batch([f"link del {network.veth}"], force=True), {"remove": [f"{_IPAM}/{network.ip}"]}]
        )

    def custom_definitions(self) -> Iterable[Json]:
        """What the CNI's installer registers."""
        return ()

    def custom_objects(self) -> Iterable[tuple[str, Json]]:
        """What `kubectl get` shows of it."""
        return ()


def _veth_steps(node: Node, network: PodNetwork) -> list[Json]:
    pid = network.sandbox.pid
    add = [
        f"link add {network.veth} mtu {MTU} type veth peer name eth0 mtu {MTU} netns {pid}",
        f"link set {network.veth} master {BRIDGE} up",
    ]
    pod = [
        f"addr add {network.ip}/24 brd + dev eth0",
        "link set eth0 up",
        f"route add {POD_CIDR} via {gateway(node.pod_cidr)} dev eth0",
        f"route add default via {gateway(node.pod_cidr)} dev eth0",
    ]
    return [
        ip_batch(add),
        bridge_batch([f"link set dev {network.veth} hairpin on"]),
        ip_batch(pod, netns=pid),
    ]


def subnet_env(pod_cidr: str) -> str:
    """What flanneld tells its CNI plugin."""
    subnet = f"{gateway(pod_cidr)}/24"
    return f"FLANNEL_NETWORK={POD_CIDR}\nFLANNEL_SUBNET={subnet}\nFLANNEL_MTU={MTU}\nFLANNEL_IPMASQ=true\n"


def conflist() -> str:
    """Flannel's configuration of the container runtime."""
    flannel = {"type": "flannel", "delegate": {"hairpinMode": True, "forceAddress": True, "isDefaultGateway": True}}
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    bandwidth = {"type": "bandwidth", "capabilities": {"bandwidth": True}}
    config = {"name": "cbr0", "cniVersion": "1.0.0", "plugins": [flannel, portmap, bandwidth]}
    return json.dumps(config, indent=2) + "\n"


_MASQUERADE = f"""
table ip flannel-ipv4
delete table ip flannel-ipv4
table ip flannel-ipv4 {{
  chain postrtg {{
    type nat hook postrouting priority srcnat; policy accept;
    meta mark & 0x4000 == 0x4000 return
    ip saddr {POD_CIDR} ip daddr {POD_CIDR} return
    ip saddr {POD_CIDR} ip daddr != 224.0.0.0/4 masquerade fully-random
    ip saddr != {POD_CIDR} ip daddr {POD_CIDR} return
  }}
}}
"""
