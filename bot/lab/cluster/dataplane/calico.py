"""Calico with VXLAN, as calico-node's Felix and the CNI plugin program a node.

Source: https://github.com/projectcalico/calico cni-plugin/pkg/dataplane/linux (veth, routes, sysctls),
felix/dataplane/linux/endpoint_mgr.go (sysctls, /32 routes), vxlan_mgr.go (neighbours, FDB, block routes)
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence

from bot.lab.cluster.dataplane import calico_objects
from bot.lab.cluster.dataplane.base import CniError, Node, PodNetwork, bridge_batch, ip_batch, nft, sysctl
from bot.lab.cluster.dataplane.ipam import Blocks, ExhaustedError
from bot.lab.cluster.images.serving import go_error
from bot.lab.cluster.names import API_SERVICE_IP, POD_CIDR, Cni, Json
from bot.lab.cluster.supervisor.host import HostError, Sandbox

HOST_MAC = "ee:ee:ee:ee:ee:ee"
GATEWAY = "169.254.1.1"
VXLAN = "vxlan.calico"
VNI = 4096
PORT = 4789
MTU = 1450
_API_TIMEOUT_S = 5.0
VERSION = "v3.30.2"


def veth_name(namespace: str, name: str) -> str:
    """Calico's name for the node's end of a pod's veth."""
    return "cali" + hashlib.sha1(f"{namespace}.{name}".encode(), usedforsecurity=False).hexdigest()[:11]


def vtep_mac(node: str) -> str:
    """Stable per node; Calico derives it from the node's name likewise."""
    digest = hashlib.sha1(node.encode(), usedforsecurity=False).hexdigest()
    return "66:" + ":".join(digest[2 * number : 2 * number + 2] for number in range(5))


class Calico:
    """See `bot.lab.cluster.dataplane.base.DataPlane`."""

    cni: Cni = "calico-vxlan"

    def __init__(self) -> None:
        self.pool_refusal: Callable[[str], str] = _no_refusal
        """Why the IPPools as they stand give this node no address; "" when they do."""
        self._blocks = Blocks(POD_CIDR)
        self._vteps: dict[str, str] = {}
        self._ports: dict[str, int] = {}
        self._programmed_ports: dict[str, int] = {}
        self._nodes: dict[str, Node] = {}
        self.pods: dict[str, dict[str, PodNetwork]] = {}

    def node_files(self, name: str) -> Mapping[str, str]:
        """Files of the installer: configuration and plugins."""
        plugins = ("bandwidth", "calico", "calico-ipam", "host-local", "loopback", "portmap", "tuning")
        binaries = {f"/opt/cni/bin/{plugin}": "" for plugin in plugins}
        return {
            **binaries,
            "/etc/cni/net.d/10-calico.conflist": _conflist(name),
            "/etc/cni/net.d/calico-kubeconfig": "# Kubeconfig file for Calico CNI plugin. Installed by calico/node.\n",
            "/var/lib/calico/nodename": name,
            "/var/lib/calico/mtu": str(MTU),
        }

    def configurations(self) -> tuple[str, ...]:
        """Written by calico-node's install-cni."""
        return ("/etc/cni/net.d/10-calico.conflist",)

    def requirements(self, configuration: str) -> Mapping[str, str]:
        """The plugins that the configuration names."""
        del configuration
        return {
            f"/opt/cni/bin/{name}": f'failed to find plugin "{name}" in path [/opt/cni/bin]'
            for name in ("calico", "calico-ipam")
        }

    def node_metadata(self, node: Node) -> Json:
        """Annotations that the agent keeps on its Node."""
        return {
            "annotations": {
                "projectcalico.org/IPv4Address": f"{node.ip}/24",
                "projectcalico.org/IPv4VXLANTunnelAddr": self.vtep(node.name),
            }
        }

    def vtep(self, node: str) -> str:
        """The tunnel's address: the first of the node's first block."""
        if node not in self._vteps:
            self._vteps[node] = self._blocks.take(node)[0]
        return self._vteps[node]

    async def start(self, nodes: Sequence[Node]) -> None:
        """Lay every node's devices and the routes between them."""
        self._nodes = {node.name: node for node in nodes}
        for node in nodes:
            self.pods[node.name] = {}
            self.vtep(node.name)
        for node in nodes:
            await node.host.steps(self._device_steps(node))
            await node.host.steps(self._peer_steps(node))

    def configure(self, node: Node, env: Mapping[str, str]) -> bool:
        """Felix takes settings from ``FELIX_*`` variables, so a DaemonSet's revision decides them."""
        port = int(env.get("FELIX_VXLANPORT") or PORT)
        is_changed = self._ports.get(node.name, PORT) != port
        self._ports[node.name] = port
        return is_changed

    def port(self, node: str) -> int:
        """The UDP port that the node's agent was told."""
        return self._ports.get(node, PORT)

    def programmed_port(self, node: str) -> int:
        """The UDP port that the agent's last `resync` gave to the tunnel."""
        return self._programmed_ports.get(node, PORT)

    async def resync(self, node: Node) -> None:
        """Back to the invariants, as after a restart of the agent."""
        port = self.port(node.name)
        await node.host.steps(
            [
                {"argv": ["ip", "link", "del", VXLAN], "may_fail": True},
                *self._device_steps(node),
                *self._peer_steps(node),
                *(step for pod in self.pods[node.name].values() for step in self._workload_steps(pod, force=True)),
            ]
        )
        self._programmed_ports[node.name] = port

    def _device_steps(self, node: Node) -> list[Json]:
        settings = {
            "net.ipv4.ip_forward": 1,
            "net.ipv4.conf.all.rp_filter": 0,
            "net.ipv4.conf.default.rp_filter": 1,
            "net.ipv4.conf.eth0.rp_filter": 1,
        }
        device = [
            (
                f"link add {VXLAN} address {vtep_mac(node.name)} mtu {MTU} type vxlan id {VNI} "
                f"local {node.ip} dev eth0 dstport {self.port(node.name)} nolearning"
            ),
            f"addr add {self.vtep(node.name)}/32 dev {VXLAN}",
            f"link set {VXLAN} up",
        ]
        return [sysctl(settings), ip_batch(device), nft(_MASQUERADE)]

    def _peer_steps(self, node: Node) -> list[Json]:
        """Own blocks as blackholes, the others' blocks through the tunnel."""
        routes = [f"route replace blackhole {block} proto 80" for block in self._blocks.of(node.name)]
        fdb: list[str] = []
        for peer in self._nodes.values():
            if peer.name == node.name:
                continue
            vtep, mac = self.vtep(peer.name), vtep_mac(peer.name)
            routes.append(f"neigh replace {vtep} lladdr {mac} dev {VXLAN} nud permanent")
            fdb.append(f"fdb replace {mac} dev {VXLAN} dst {peer.ip} self permanent")
            blocks = self._blocks.of(peer.name)
            routes += [f"route replace {block} via {vtep} dev {VXLAN} proto 80 onlink" for block in blocks]
        return [ip_batch(routes), *([bridge_batch(fdb)] if fdb else [])]

    async def add_pod(self, node: Node, pod: Json, sandbox: Sandbox) -> PodNetwork:
        """CNI ADD."""
        metadata = pod["metadata"]
        await _reach_api(node)
        if refusal := self.pool_refusal(node.name):
            raise CniError(f'plugin type="calico" failed (add): {refusal}')
        try:
            address, is_new_block = self._blocks.take(node.name)
        except ExhaustedError as error:
            raise CniError(f'plugin type="calico" failed (add): {error}') from error
        network = PodNetwork(
            namespace=metadata["namespace"],
            name=metadata["name"],
            uid=metadata["uid"],
            ip=address,
            veth=veth_name(metadata["namespace"], metadata["name"]),
            sandbox=sandbox,
            labels=metadata.get("labels") or {},
        )
        try:
            if is_new_block:
                await self._announce_blocks()
            await node.host.steps([*_veth_steps(network), *self._workload_steps(network)])
        except HostError as error:
            self._blocks.give_back(node.name, address)
            raise CniError(f'plugin type="calico" failed (add): {error}') from error
        self.pods[node.name][network.uid] = network
        return network

    async def _announce_blocks(self) -> None:
        for node in self._nodes.values():
            await node.host.steps(self._peer_steps(node))

    def _workload_steps(self, network: PodNetwork, *, force: bool = False) -> list[Json]:
        """Felix's part: the link up, its settings, the /32 route."""
        conf = f"net/ipv4/conf/{network.veth}"
        settings = {
            f"{conf}/route_localnet": 1,
            f"net/ipv4/neigh/{network.veth}/proxy_delay": 0,
            f"{conf}/proxy_arp": 1,
            f"{conf}/forwarding": 1,
            f"{conf}/rp_filter": 1,
        }
        lines = [
            f"link set {network.veth} address {HOST_MAC} arp on up",
            f"route replace {network.ip} dev {network.veth} scope link proto 80",
        ]
        return [ip_batch(lines, force=force), {**sysctl(settings), "may_fail": force}]

    async def delete_pod(self, node: Node, network: PodNetwork) -> None:
        """CNI DEL."""
        self.pods[node.name].pop(network.uid, None)
        self._blocks.give_back(node.name, network.ip)
        await node.host.steps([ip_batch([f"link del {network.veth}"], force=True)])

    def custom_definitions(self) -> Iterable[Json]:
        """What the CNI's installer registers."""
        return calico_objects.definitions()

    def custom_objects(self) -> Iterable[tuple[str, Json]]:
        """What `kubectl get` shows of it."""
        blocks = {node: self._blocks.of(node) for node in self._nodes}
        return calico_objects.objects(POD_CIDR, blocks, self._vteps)


def _no_refusal(_: str) -> str:
    return ""


async def _reach_api(node: Node) -> None:
    """The plugin asks the API through its Service before anything else; raises CniError in Go's words."""
    with node.host.socket() as sock:
        try:
            async with asyncio.timeout(_API_TIMEOUT_S):
                await asyncio.get_running_loop().sock_connect(sock, (API_SERVICE_IP, 443))
        except OSError as error:
            url = f"https://{API_SERVICE_IP}:443/apis/crd.projectcalico.org/v1/clusterinformations/default"
            why = go_error(API_SERVICE_IP, 443, error)
            sentence = f'plugin type="calico" failed (add): error getting ClusterInformation: Get "{url}": {why}'
            raise CniError(sentence) from error


def _veth_steps(network: PodNetwork) -> list[Json]:
    pid = network.sandbox.pid
    node = [f"link add {network.veth} address {HOST_MAC} mtu {MTU} type veth peer name eth0 mtu {MTU} netns {pid}"]
    pod = [
        f"addr add {network.ip}/32 dev eth0",
        "link set eth0 up",
        f"route add {GATEWAY} dev eth0 scope link",
        f"route add default via {GATEWAY} dev eth0",
    ]
    return [ip_batch(node), ip_batch(pod, netns=pid)]


def _conflist(node: str) -> str:
    calico = {
        "type": "calico",
        "datastore_type": "kubernetes",
        "nodename": node,
        "mtu": MTU,
        "ipam": {"type": "calico-ipam"},
        "policy": {"type": "k8s"},
        "kubernetes": {"kubeconfig": "/etc/cni/net.d/calico-kubeconfig"},
    }
    portmap = {"type": "portmap", "snat": True, "capabilities": {"portMappings": True}}
    plugins = [calico, portmap, {"type": "bandwidth", "capabilities": {"bandwidth": True}}]
    return json.dumps({"name": "k8s-pod-network", "cniVersion": "0.3.1", "plugins": plugins}, indent=2) + "\n"


_MASQUERADE = f"""
table ip calico-nat
delete table ip calico-nat
table ip calico-nat {{
  chain nat-POSTROUTING {{
    type nat hook postrouting priority srcnat; policy accept;
    jump nat-cali-POSTROUTING
  }}
  chain nat-cali-POSTROUTING {{
    ip saddr {POD_CIDR} ip daddr != {POD_CIDR} jump nat-cali-nat-outgoing
  }}
  chain nat-cali-nat-outgoing {{
    masquerade
  }}
}}
"""
