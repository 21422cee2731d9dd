"""The VXLAN overlay and the network below it (taxonomy 5.6)."""

from __future__ import annotations

from bot.lab.cluster.dataplane.base import Node
from bot.lab.cluster.dataplane.calico import Calico
from bot.lab.cluster.faults.injection import Injection
from bot.lab.cluster.faults.registry import CALICO, FLANNEL, fault
from bot.lab.errors import LabError


async def _mac(lab: Injection, node: Node) -> str:
    words = (await lab.look(["ip", "-brief", "link", "show", lab.tunnel.device], host=node.host)).split()
    return next(word for word in words if word.count(":") == 5)


async def _fdb(lab: Injection, target: Node) -> str:
    """The struck node's forwarding entry for another node, as ``bridge fdb`` takes it."""
    return f"{await _mac(lab, target)} dev {lab.tunnel.device} dst {target.ip} self permanent"


async def _neighbour(lab: Injection, target: Node) -> str:
    """The tunnel address under which the struck node knows another node."""
    mac = await _mac(lab, target)
    found = await lab.look(["ip", "neigh", "show", "dev", lab.tunnel.device])
    entries = [line.split() for line in found.splitlines() if "lladdr" in line]
    own = {await _mac(lab, node) for node in lab.nodes}
    # Beside another fault the target may have a MAC by now that nobody knows: then its entry is the one of no node.
    known = [words[0] for words in entries if mac in words] or [e[0] for e in entries if not own & set(e)]
    if not known:
        raise LabError(f"{lab.node.name} has no neighbour entry for {target.name}")
    return known[0]


@fault("vtep-mac-mismatch", "O1", scope="node")
async def mac_mismatch(lab: Injection) -> None:
    """The node's tunnel device has another MAC than the others know."""
    device = lab.tunnel.device
    # The kernel forgets a device's neighbours with its address; an agent that restarts writes them again.
    neighbours = await _neighbours(lab)
    await lab.ip([f"link set {device} address 5a:10:2d:6e:77:02", *neighbours], [])
    lab.on_undo("the agent programs its device anew", lambda: lab.plane.resync(lab.node))


@fault("fdb-entry-missing", "O2", scope="node")
async def fdb_missing(lab: Injection) -> None:
    """The node's forwarding entry for another node is gone."""
    entry = await _fdb(lab, lab.peer)
    await lab.bridge([f"fdb del {entry}"], [f"fdb replace {entry}"])


@fault("fdb-entry-wrong", "O3", scope="node")
async def fdb_wrong(lab: Injection) -> None:
    """The node's forwarding entry leads to an address that nobody has."""
    right = await _fdb(lab, lab.peer)
    wrong = right.replace(f"dst {lab.peer.ip} ", "dst 172.30.0.250 ")
    await lab.bridge([f"fdb del {right}", f"fdb replace {wrong}"], [f"fdb del {wrong}", f"fdb replace {right}"])


@fault("vtep-neighbour-missing", "O4", scope="node")
async def neighbour_missing(lab: Injection) -> None:
    """The tunnel's neighbour entry for another node is gone."""
    device, address = lab.tunnel.device, await _neighbour(lab, lab.peer)
    mac = await _mac(lab, lab.peer)
    await lab.ip(
        [f"neigh del {address} dev {device}"], [f"neigh replace {address} lladdr {mac} dev {device} nud permanent"]
    )


@fault("vtep-neighbour-wrong", "O4", scope="node")
async def neighbour_wrong(lab: Injection) -> None:
    """The tunnel's neighbour entry for another node has a wrong MAC."""
    device, address = lab.tunnel.device, await _neighbour(lab, lab.peer)
    mac = await _mac(lab, lab.peer)
    entry = f"neigh replace {address} lladdr {{}} dev {device} nud permanent"
    await lab.ip([entry.format("5a:10:2d:6e:77:03")], [entry.format(mac)])


async def _neighbours(lab: Injection) -> list[str]:
    """Commands that write the tunnel's neighbour entries again."""
    device = lab.tunnel.device
    lines = (await lab.look(["ip", "neigh", "show", "dev", device, "nud", "permanent"])).splitlines()
    entries = [line.split() for line in lines]
    return [f"neigh replace {words[0]} lladdr {words[2]} dev {device} nud permanent" for words in entries]


async def _recreate(lab: Injection, *, vni: int, port: int) -> None:
    """The tunnel device anew with other parameters, its addresses and everything that hung on it as before."""
    device, mac = lab.tunnel.device, await _mac(lab, lab.node)
    addresses = (await lab.look(["ip", "-brief", "-4", "addr", "show", device])).split()[2:]
    neighbours = await _neighbours(lab)
    routes = (await lab.look(["ip", "route", "show", "dev", device])).splitlines()
    entries = (await lab.look(["bridge", "fdb", "show", "dev", device])).splitlines()
    await lab.ip(
        [
            f"link del {device}",
            (
                f"link add {device} address {mac} mtu 1450 type vxlan id {vni} local {lab.node.ip} dev eth0 "
                f"dstport {port} nolearning"
            ),
            *(f"addr add {address} dev {device}" for address in addresses),
            f"link set {device} up",
            *neighbours,
            *(f"route replace {line.strip()} dev {device}" for line in routes if "scope link" not in line),
        ],
        [],
    )
    await lab.bridge(
        [
            f"fdb replace {line.split()[0]} dev {device} dst {line.split()[2]} self permanent"
            for line in entries
            if "dst" in line
        ],
        [],
    )
    lab.on_undo("the agent programs its device anew", lambda: lab.plane.resync(lab.node))


@fault("overlay-port-differs", "O5", scope="node")
async def port_differs(lab: Injection) -> None:
    """The node's tunnel uses another UDP port."""
    await _recreate(lab, vni=lab.tunnel.vni, port=lab.tunnel.port + 1)


@fault("calico-bad-rollout", "O5", scope="cluster", cnis=CALICO, cause="overlay-port-differs")
async def bad_rollout(lab: Injection) -> None:
    """A new revision of calico-node uses another VXLAN port, and its rollout is stuck after the first node."""
    daemon_set = lab.storage.get("daemonsets.apps", "calico-node", "kube-system")
    container = daemon_set["spec"]["template"]["spec"]["containers"][0]
    container["env"] = [*container["env"], {"name": "FELIX_VXLANPORT", "value": "4790"}]
    container["readinessProbe"] = {**container["readinessProbe"], "httpGet": {"path": "/ready", "port": 9098}}
    patch = {"spec": {"template": {"spec": {"containers": [container]}}}}
    lab.patch("daemonsets.apps", "calico-node", "kube-system", patch)

    def is_reprogrammed() -> bool:
        assert isinstance(lab.plane, Calico)
        return any(lab.plane.programmed_port(node.name) == 4790 for node in lab.nodes)

    await lab.until(is_reprogrammed, "the first node took the new revision")


@fault("overlay-vni-differs", "O6", scope="node")
async def vni_differs(lab: Injection) -> None:
    """The node's tunnel uses another VXLAN network identifier."""
    await _recreate(lab, vni=lab.tunnel.vni + 1, port=lab.tunnel.port)


@fault("overlay-blocked-by-underlay", "O7", scope="node")
async def underlay_blocks(lab: Injection) -> None:
    """A firewall between the nodes drops the tunnel's UDP port."""
    port = f"udp dport {lab.tunnel.port}"
    drop = f"ip daddr {lab.node.ip} {port} drop; ip saddr {lab.node.ip} {port} drop;"
    chain = f"chain forward {{ type filter hook forward priority 0; policy accept; {drop} }}"
    await lab.nft_table("bridge", "security_group", chain, host=lab.underlay)


@fault("underlay-blocks-nodes", "O7", scope="node")
async def underlay_blocks_nodes(lab: Injection) -> None:
    """A firewall between the nodes drops everything between two of them."""
    one, other = lab.node.ip, lab.peer.ip
    drop = f"ip saddr {one} ip daddr {other} drop; ip saddr {other} ip daddr {one} drop;"
    chain = f"chain forward {{ type filter hook forward priority 0; policy accept; {drop} }}"
    await lab.nft_table("bridge", "security_group", chain, host=lab.underlay)


@fault("wrong-node-address", "O11", scope="node", cnis=FLANNEL)
async def wrong_node_address(lab: Injection) -> None:
    """Flannel chose the address of another interface (10.0.2.15) for this node's tunnel."""
    annotation = {"flannel.alpha.coreos.com/public-ip": "10.0.2.15"}
    lab.patch("nodes", lab.node.name, None, {"metadata": {"annotations": annotation}})
    mac = await _mac(lab, lab.node)
    entry = f"fdb replace {mac} dev {lab.tunnel.device} dst {{}} self permanent"
    for node in lab.nodes:
        if node.name != lab.node.name:
            remove = f"fdb del {mac} dev {lab.tunnel.device} dst {{}} self permanent"
            await lab.bridge(
                [remove.format(lab.node.ip), entry.format("10.0.2.15")],
                [remove.format("10.0.2.15"), entry.format(lab.node.ip)],
                host=node.host,
            )


@fault("overlay-device-down", "O9", scope="node")
async def device_down(lab: Injection) -> None:
    """The node's tunnel device is down."""
    await lab.ip([f"link set {lab.tunnel.device} down"], [])
    lab.on_undo("the agent programs its device anew", lambda: lab.plane.resync(lab.node))


@fault("underlay-loss", "K6", scope="cluster", cause="underlay-loses-packets")
async def loss(lab: Injection) -> None:
    """The network between the nodes loses a fifth of the packets."""
    rule = "ether type ip numgen random mod 100 < 20 drop;"
    chain = f"chain forward {{ type filter hook forward priority 0; policy accept; {rule} }}"
    await lab.nft_table("bridge", "lossy", chain, host=lab.underlay)


@fault("node-down", "R10", scope="node")
async def node_down(lab: Injection) -> None:
    """The node's uplink is down."""
    await lab.ip([f"link set {lab.node.name} down"], [f"link set {lab.node.name} up"], host=lab.underlay)
