"""What one node's routes and tables hold of another node's pods and tunnel."""

from bot.domain.facts import FactBuilder, Subject
from bot.probes.overlay_view import BY_PROGRAM, Declared, Held, Overlay, first_address
from bot.probes.sight import miss_all, put

_REFUSING = frozenset({"blackhole", "unreachable", "prohibit"})
_FLOOD = "00:00:00:00:00:00"
"""The entry that takes every MAC address without one of its own."""


def route_to(overlay: Overlay, source: str, destination: str) -> tuple[str | None, str]:
    """The worst of the routes to the destination's blocks."""
    held, said = overlay.held[source], overlay.declared[destination]
    if not held.root.state.routes:
        return None, held.root.why_missing("root.routes", "routes") or "the node's routes were not read"
    if not said.blocks:
        return None, f"no network or address of pods on {destination} is known"
    words = {_route_word(overlay, held, said, block) for block in said.blocks}
    for word in ("missing", "blackhole", "wrong-device", "present"):
        if word in words:
            return word, ""
    return None, "between nodes without a tunnel the fabric may route by itself"


def _route_word(overlay: Overlay, held: Held, said: Declared, block: str) -> str | None:
    route = held.routes.lookup(first_address(block))
    if route is None or route.dst == "default":
        by_fabric = overlay.encapsulation == "none" and not _has_direct_routes(overlay, held)
        return None if by_fabric else "missing"
    if route.type in _REFUSING:
        return "blackhole"
    is_direct = bool(route.via) and route.via in (said.addresses | {said.node_ip})
    is_by_tunnel = route.dev == (held.device.name if held.device else overlay.device)
    is_by_program = route.dev in BY_PROGRAM and not overlay.is_routed_by_device
    return "present" if is_direct or is_by_tunnel or is_by_program else "wrong-device"


def _has_direct_routes(overlay: Overlay, held: Held) -> bool:
    """Whether this node routes to any peer's block by that peer's address."""
    for name, said in overlay.declared.items():
        for block in said.blocks if name != held.root.name else ():
            route = held.routes.lookup(first_address(block))
            if route and route.via and route.via in said.addresses:
                return True
    return False


# Tables


def observe_tables(overlay: Overlay, source: str, destination: str, pair: Subject, into: FactBuilder) -> None:
    """Fill what the source's forwarding and neighbour tables hold of the destination's tunnel."""
    held, said = overlay.held[source], overlay.declared[destination]
    device = held.device
    if device is None or device.kind not in {"vxlan", ""}:
        why = "there is no VXLAN device here" if device is None else f"a tunnel of kind {device.kind} has no such table"
        miss_all(into, pair, ("fdb", "vtep_neigh"), why)
        return
    if _is_left_to_programs(overlay, held):
        miss_all(into, pair, ("fdb", "vtep_neigh"), "eBPF programs choose the peer: the kernel's tables are empty")
        return
    expected = overlay.macs.get(destination, "")
    put(into, pair, "fdb", *_fdb_word(overlay, held, destination, expected))
    put(into, pair, "vtep_neigh", *_neigh_word(held, _vtep_of(held, said), expected))


def _is_left_to_programs(overlay: Overlay, held: Held) -> bool:
    is_cilium = bool(held.device and held.device.name.startswith("cilium"))
    return is_cilium and not held.fdb and not overlay.is_routed_by_device


def _fdb_word(overlay: Overlay, held: Held, destination: str, mac: str) -> tuple[str | None, str]:
    if not held.root.is_ours and not held.root.state.fdb:
        return None, "the forwarding table was not read"
    if why := held.root.why_missing("root.fdb", "fdb"):
        return None, why
    if not mac:
        return None, f"the MAC address of {destination}'s tunnel is not known"
    targets = held.fdb.get(mac) or held.fdb.get(_FLOOD, ())
    if not targets:
        return "missing", ""
    right = overlay.held[destination].addresses if destination in overlay.held else frozenset[str]()
    right = right or overlay.declared[destination].addresses
    if not right:
        return None, f"the addresses of {destination} are not known"
    return ("ok" if right.intersection(targets) else "wrong-ip"), ""


def _vtep_of(held: Held, said: Declared) -> str:
    """The peer's tunnel address: declared, else the next hop of the route to its block."""
    if said.vtep_ip or not said.blocks:
        return said.vtep_ip
    route = held.routes.lookup(first_address(said.blocks[0]))
    return route.via if route and held.device and route.dev == held.device.name else ""


def _neigh_word(held: Held, vtep_ip: str, mac: str) -> tuple[str | None, str]:
    if not held.root.is_ours and not held.root.state.neighbours:
        return None, "the neighbour table was not read"
    if why := held.root.why_missing("root.neighbours", "neighbours"):
        return None, why
    if not vtep_ip:
        return None, "the peer's tunnel address is not known"
    entry = held.neighbours.get(vtep_ip)
    if entry is None or not entry.mac or entry.state in {"FAILED", "INCOMPLETE"}:
        return "missing", ""
    if not mac:
        return None, "the MAC address of the peer's tunnel is not known"
    return ("ok" if entry.mac.lower() == mac else "wrong-mac"), ""
