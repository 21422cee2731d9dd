"""Does each node's end of the overlay agree with what all its peers believe about it?

Packets between pods of two nodes need a route to the peer's block over the tunnel's device, a neighbour entry for the
peer's tunnel address, a forwarding entry (FDB) that sends its MAC address to the peer's node, and a device there that
is up, has that MAC address, the same VNI and the same UDP port. Each node's declaration is compared with every peer's
tables, so that one wrong entry is found without sending a packet; counters show what arrived and was thrown away.

Where eBPF programs encapsulate (Cilium), tables of the kernel are empty by design: they cannot be at fault.

Source: https://github.com/flannel-io/flannel/issues/1155 (VtepMAC), /1795, /1330
Source: https://docs.kernel.org/networking/vxlan.html
"""

from bot.domain import facts
from bot.domain.facts import FactBuilder, Subject, SubjectKind
from bot.probes.engine.evidence import Evidence
from bot.probes.overlay.facts import NODE_KEYS, PAIR_KEYS
from bot.probes.overlay.tables import is_passed_by, observe_tables, route_to
from bot.probes.overlay.view import Held, Overlay, overlay_of
from bot.probes.shared.encapsulation import TUNNELS
from bot.probes.shared.reach import reach_of_all
from bot.probes.shared.routing import first_address


def observe(evidence: Evidence, into: FactBuilder) -> None:
    """Every node's end, and every ordered pair of looked-at nodes."""
    overlay = overlay_of(evidence)
    for name in evidence.nodes:
        _observe_declaration(evidence, overlay, name, into)
        if name in overlay.held:
            _observe_node(overlay, name, overlay.held[name], into)
        else:
            into.miss_all(facts.node(name), NODE_KEYS, evidence.why_no_report(name))
    looked = sorted(overlay.held.keys() & evidence.nodes.keys())
    concerned = sorted({*looked, *evidence.nodes_in_scope} & evidence.nodes.keys())
    routes = {(a, b): route_to(overlay, a, b) for a in looked for b in concerned if a != b}
    reaches = _vtep_reaches(evidence, overlay)
    for (source, destination), (route, why) in routes.items():
        pair = facts.pair(source, destination)
        into.put(pair, "route_to_block", route, why)
        back = (None, evidence.why_no_report(destination))
        into.put(pair, "return_route", *routes.get((destination, source), back))
        into.put(pair, "overlay_reach", reaches.get(pair), "no test ran from one tunnel address to the other")
        observe_tables(overlay, source, destination, pair, into)
        _observe_ends(evidence, overlay, pair, into)


# Nodes


def _observe_declaration(evidence: Evidence, overlay: Overlay, name: str, into: FactBuilder) -> None:
    said = overlay.declared[name]
    if evidence.cni.runs_cilium and not said.node_ip:
        into.set(facts.node(name), "declared_ip_matches", True)  # It always takes the Node's own InternalIP.
        return
    if not said.node_ip or not said.addresses:
        into.miss(facts.node(name), "declared_ip_matches", "the node declares no address for its tunnel")
        return
    others = (each.node_ip for other, each in overlay.declared.items() if other != name)
    into.set(facts.node(name), "declared_ip_matches", said.node_ip in said.addresses and said.node_ip not in others)


def _observe_node(overlay: Overlay, name: str, held: Held, into: FactBuilder) -> None:
    node, device = facts.node(name), held.device
    is_external = overlay.is_external(held)
    into.put(node, "overlay_is_external", is_external, "which tunnel this CNI uses is not known")
    state, why = _device_state(overlay, held)
    if state in {"down", "missing"} and is_passed_by(overlay, name):
        state, why = "none", ""
    into.put(node, "overlay_device", state, why)
    if device is None:
        why = why or f"there is no device {overlay.device}" if state == "missing" else why or "this CNI uses no tunnel"
        into.put(node, "overlay_name", overlay.device if state == "missing" else None, why)
        into.miss_all(node, ("overlay_port", "overlay_vni", "overlay_mac_matches", "overlay_mtu_bytes"), why)
    else:
        into.set(node, "overlay_name", device.name)
        into.put(node, "overlay_port", device.vxlan_port, "the device tells no UDP port")
        into.put(node, "overlay_vni", device.vxlan_id or None, "the device tells no network identifier")
        into.put(node, "overlay_mtu_bytes", device.mtu or None, "the device tells no MTU")
        expected = overlay.macs.get(name, "")
        knows = bool(device.mac and expected) and device.kind in {"vxlan", ""} and not is_external
        matches = device.mac.lower() == expected if knows else None
        why = "packets in this tunnel carry the MAC addresses of pods" if is_external else ""
        why = why or "nobody says which MAC address the tunnel should have"
        into.put(node, "overlay_mac_matches", matches, why)
    for key, counter in (
        ("noports_delta", "Udp.NoPorts"),
        ("dest_unreach_delta", "Icmp.InDestUnreachs"),
        ("udp_in_csum_delta", "Udp.InCsumErrors"),
    ):
        into.put(node, key, _delta(held, counter), "the counters were not read")


def _device_state(overlay: Overlay, held: Held) -> tuple[str | None, str]:
    if held.device is not None:
        return ("up" if held.device.is_up else "down"), ""
    if overlay.encapsulation == "none":
        return "none", ""
    if not held.root.links:
        return None, "the node's devices were not read"
    if overlay.device:
        return "missing", ""
    return None, f"how this CNI's tunnel ({overlay.encapsulation}) is called is not known"


def _delta(held: Held, counter: str) -> int | None:
    state = held.root.state
    return state.counters_delta.get(counter, 0) if state.counters else None


# Both ends


def _observe_ends(evidence: Evidence, overlay: Overlay, pair: Subject, into: FactBuilder) -> None:
    source, destination = (end.name for end in pair.ends)
    there = overlay.held.get(destination)
    here = overlay.held[source].device
    into.put(pair, "tunnel", _tunnel(overlay, source, destination), "the kind of tunnel is not known")
    no_device = "the node has no tunnel device"
    into.put(pair, "src_overlay_tx_delta", here.tx_packets_delta if here else None, no_device)
    if there is None:
        into.miss_all(pair, PAIR_KEYS, evidence.why_no_report(destination))
        return
    device = there.device
    into.put(pair, "dst_noports_delta", _delta(there, "Udp.NoPorts"), "the counters were not read")
    into.put(pair, "dst_overlay_rx_delta", device.rx_packets_delta if device else None, no_device)
    why = "the kernel does not count frames for other MAC addresses" if device else no_device
    into.put(pair, "dst_otherhost_delta", device.rx_otherhost_delta if device else None, why)
    why = "not both devices tell it"
    if here is None or device is None:
        into.miss_all(pair, ("vni_matches", "port_matches"), no_device)
        return
    into.put(pair, "vni_matches", _same(here.vxlan_id, device.vxlan_id), why)
    into.put(pair, "port_matches", _same(here.vxlan_port, device.vxlan_port), why)


def _same(here: int | None, there: int | None) -> bool | None:
    return None if here is None or there is None else here == there


def _tunnel(overlay: Overlay, source: str, destination: str) -> str | None:
    """How packets to the destination's pods travel, by the route if there is one."""
    held, said = overlay.held[source], overlay.declared[destination]
    route = held.routes.lookup(first_address(said.blocks[0])) if said.blocks else None
    if route and route.via and route.via in said.addresses and (not held.device or route.dev != held.device.name):
        return "none"
    kind = held.device.kind if held.device else ""
    word = kind if kind in TUNNELS else overlay.encapsulation
    return word if word in TUNNELS | {"none"} else None


def _vtep_reaches(evidence: Evidence, overlay: Overlay) -> dict[Subject, str]:
    """Tests from nodes' root namespaces to peers' tunnel addresses, where somebody made them."""
    owner = {said.vtep_ip: name for name, said in overlay.declared.items() if said.vtep_ip}
    found: dict[Subject, str] = {}
    for source, node, test in evidence.tests:
        if source.kind is SubjectKind.NODE and test.protocol == "icmp" and owner.get(test.ip, node) != node:
            reach = reach_of_all((test,))
            if reach:
                found[facts.pair(node, owner[test.ip])] = reach
    return found
