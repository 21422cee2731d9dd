"""What one node's routes and tables hold of another node's pods and tunnel."""

import shlex
from collections.abc import Sequence

from bot.agent.report import FdbEntry, Link, Route
from bot.domain.facts import FactBuilder, Subject
from bot.domain.listing import and_more
from bot.probes.overlay.view import Declared, Held, Overlay, routes_by_nodes
from bot.probes.policy.selectors import is_within
from bot.probes.shared.encapsulation import TUNNELS
from bot.probes.shared.routing import BY_PROGRAM, first_address

_REFUSING = frozenset({"blackhole", "unreachable", "prohibit"})
_FLOOD = "00:00:00:00:00:00"
"""The entry that takes every MAC address without one of its own."""


def route_to(overlay: Overlay, source: str, destination: str) -> tuple[str | None, str]:
    """The worst of the routes to the destination's blocks."""
    held, said = overlay.held[source], overlay.declared[destination]
    if not held.root.state.routes:
        return None, held.root.why_missing("root.routes") or "the node's routes were not read"
    if not said.blocks:
        return None, f"no network or address of pods on {destination} is known"
    words = {_route_word(overlay, held, said, block) for block in said.blocks}
    if words == {"present"} and _is_odd_one(overlay, source, destination):
        return "wrong-device", ""
    for word in ("missing", "blackhole", "wrong-next-hop", "wrong-device", "present"):
        if word in words:
            return word, ""
    return None, "between nodes without a tunnel the fabric may route by itself"


def _route_word(overlay: Overlay, held: Held, said: Declared, block: str) -> str | None:
    route = held.routes.lookup(first_address(block))
    if route is None or route.dst == "default":
        return None if overlay.encapsulation == "none" and not _is_way_expected(overlay, held, said) else "missing"
    if route.type in _REFUSING:
        return "blackhole"
    is_direct = bool(route.via) and route.via in (said.addresses | {said.node_ip})
    if is_direct or (route.dev in BY_PROGRAM and not overlay.is_routed_by_device):
        return "present"
    if _leads_to_another(overlay, said, route):
        return "wrong-next-hop"
    if overlay.encapsulation == "none":
        return _untunnelled_word(overlay, held, said, route)
    return "present" if _is_by_tunnel(overlay, held, route) else "wrong-device"


def _is_odd_one(overlay: Overlay, source: str, destination: str) -> bool:
    """Whether the two directions take different ways, and this one not that of the other nodes.

    One goes through the tunnel, the other past it by the peer's own address: each node gets packets by a device by
    which it would not answer, which strict reverse-path filtering drops. Where tunnels are only for nodes of other
    networks (DirectRouting, CrossSubnet), both directions between two nodes go past them.
    """
    if overlay.encapsulation not in TUNNELS or source not in overlay.held or destination not in overlay.held:
        return False
    there, back = _passes_tunnel(overlay, source, destination), _passes_tunnel(overlay, destination, source)
    if there is None or back is None or there == back:
        return False
    names = sorted(overlay.held)
    is_usual = any(
        _passes_tunnel(overlay, one, other) is True and _passes_tunnel(overlay, other, one) is True
        for at, one in enumerate(names)
        for other in names[at + 1 :]
    )
    return there is not is_usual


def _passes_tunnel(overlay: Overlay, source: str, destination: str) -> bool | None:
    """Whether packets to the destination's pods go past the tunnel; None where it is not known, or differs."""
    held, said = overlay.held[source], overlay.declared[destination]
    routes = [held.routes.lookup(first_address(block)) for block in said.blocks]
    ways = {
        True if _is_untunnelled(held, said, route) else False if _is_by_tunnel(overlay, held, route) else None
        for route in routes
        if route is not None and route.dst != "default"
    }
    return next(iter(ways)) if len(ways) == 1 else None


def is_passed_by(overlay: Overlay, name: str) -> bool:
    """Whether every node that knows the way to this one's pods takes it by the node's own address, past any tunnel.

    So do nodes of one subnet where tunnels are for others (CrossSubnet): then its tunnel device carries nothing.
    """
    said = overlay.declared[name]
    ways = [
        _is_untunnelled(held, said, route)
        for other, held in overlay.held.items()
        for block in said.blocks
        if other != name and (route := held.routes.lookup(first_address(block))) and route.dst != "default"
    ]
    return bool(ways) and all(ways)


def _is_untunnelled(held: Held, said: Declared, route: Route) -> bool:
    link = held.root.links.get(route.dev)
    return bool(route.via) and route.via in said.addresses and bool(link) and link.kind not in TUNNELS


def _is_by_tunnel(overlay: Overlay, held: Held, route: Route) -> bool:
    """Whether it leaves by the tunnel's device; where its name is not known, by any device of that kind."""
    usual = held.device.name if held.device else overlay.device
    link = held.root.links.get(route.dev)
    return route.dev == usual if usual else bool(link and link.kind == overlay.encapsulation)


def _is_way_expected(overlay: Overlay, held: Held, said: Declared) -> bool:
    """Whether this node should know the way to the peer's pods itself: nodes here do, for peers on their own link."""
    if _is_on_link(held, said):
        return overlay.is_routed_by_nodes
    return routes_by_nodes(held.root.name, overlay.declared, overlay.held)


def _untunnelled_word(overlay: Overlay, held: Held, said: Declared, route: Route) -> str:
    """Of a route that names neither the peer nor another node: by a router, or straight onto a link."""
    if route.via:
        is_detour = overlay.is_routed_by_nodes and _is_on_link(held, said)
        return "wrong-next-hop" if is_detour else "present"
    # Clouds may take pods' addresses from the nodes' own network.
    return "present" if any(is_within(each, route.dst) for each in said.addresses) else "wrong-device"


def _leads_to_another(overlay: Overlay, said: Declared, route: Route) -> bool:
    """Whether the next hop is a node, or a node's tunnel address, but not that of the peer."""
    if not route.via or route.via == said.vtep_ip:
        return False
    others = (each for each in overlay.declared.values() if each is not said)
    return any(route.via in each.addresses or route.via == each.vtep_ip for each in others)


def _is_on_link(held: Held, said: Declared) -> bool:
    """Whether the peer's address is in a network that the node is connected to."""
    routes = (held.routes.lookup(each) for each in said.addresses)
    return any(route and route.dst != "default" and not route.via and route.type == "unicast" for route in routes)


# Tables


def observe_tables(overlay: Overlay, source: str, destination: str, pair: Subject, into: FactBuilder) -> None:
    """Fill what the source's forwarding and neighbour tables hold of the destination's tunnel."""
    held, said = overlay.held[source], overlay.declared[destination]
    device = held.device
    if has_no_tables(overlay, held):
        into.set(pair, "fdb", "none")
        into.set(pair, "vtep_neigh", "none")
        into.miss_all(pair, ("fdb_entry", "fdb_entry_deletions"), "no such table takes part")
        return
    if device is None:
        into.miss_all(pair, ("fdb", "fdb_entry", "fdb_entry_deletions", "vtep_neigh"), "there is no VXLAN device here")
        return
    expected = overlay.macs.get(destination, "")
    into.put(pair, "fdb", *_fdb_word(overlay, held, destination, expected))
    entries = and_more([_entry_words(one) for one in _entries(held, expected)], 3, by="; ") if expected else ""
    into.put(pair, "fdb_entry", entries or None, "there is no such entry")
    wrong = _wrong_entries(overlay, held, destination, expected)
    deletions = tuple(_deletion(one, device.name) for one in wrong) or None
    into.put(pair, "fdb_entry_deletions", deletions, "no entry is known to lead elsewhere")
    into.put(pair, "vtep_neigh", *_neigh_word(held, _vtep_of(held, said), expected))


def has_no_tables(overlay: Overlay, held: Held) -> bool:
    """Whether forwarding and neighbour entries take no part: no tunnel, another kind of tunnel, or eBPF programs."""
    device = held.device
    if overlay.encapsulation not in {"vxlan", "unknown"}:
        return True
    return bool(overlay.is_external(held)) or (device is not None and device.kind not in {"vxlan", ""})


def _fdb_word(overlay: Overlay, held: Held, destination: str, mac: str) -> tuple[str | None, str]:
    if not held.root.is_ours and not held.root.state.fdb:
        return None, "the forwarding table was not read"
    if why := held.root.why_missing("root.fdb"):
        return None, why
    if not mac:
        return None, f"the MAC address of {destination}'s tunnel is not known"
    entries = _entries(held, mac)
    if not entries:
        return "missing", ""
    right, there = _ends(overlay, destination)
    if not right:
        return None, f"the addresses of {destination} are not known"
    words = [_entry_word(one, right, there) for one in entries]
    return (
        "ok" if "ok" in words else next(word for word in ("wrong-port", "wrong-vni", "wrong-ip") if word in words)
    ), ""


def _ends(overlay: Overlay, destination: str) -> tuple[frozenset[str], Link | None]:
    """The peer's own addresses, as far as they are known, and its device."""
    there = overlay.held.get(destination)
    addresses = there.addresses if there else frozenset[str]()
    return addresses or overlay.declared[destination].addresses, there.device if there else None


def _wrong_entries(overlay: Overlay, held: Held, destination: str, mac: str) -> Sequence[FdbEntry]:
    """The entries for the peer's MAC address that lead elsewhere; those that flood are everybody's."""
    right, there = _ends(overlay, destination)
    return [one for one in held.fdb.get(mac, ()) if mac and right and _entry_word(one, right, there) != "ok"]


def _deletion(entry: FdbEntry, device: str) -> str:
    port = f" port {entry.port}" if entry.port else ""
    vni = f" vni {entry.vni}" if entry.vni is not None else ""
    mac, dev, dst = map(shlex.quote, (entry.mac, device, entry.dst))
    return f"bridge fdb del {mac} dev {dev} dst {dst}{port}{vni} self"


def _entries(held: Held, mac: str) -> tuple[FdbEntry, ...]:
    return held.fdb.get(mac) or held.fdb.get(_FLOOD, ())


def _entry_word(entry: FdbEntry, right: frozenset[str], there: Link | None) -> str:
    """An entry against the peer's addresses, and its own port and network identifier against the peer's device."""
    if entry.dst not in right:
        return "wrong-ip"
    if there and entry.port and there.vxlan_port and entry.port != there.vxlan_port:
        return "wrong-port"
    if there and entry.vni is not None and there.vxlan_id and entry.vni != there.vxlan_id:
        return "wrong-vni"
    return "ok"


def _entry_words(entry: FdbEntry) -> str:
    port = f" port {entry.port}" if entry.port else ""
    vni = f" vni {entry.vni}" if entry.vni is not None else ""
    return f"{entry.mac} dst {entry.dst}{port}{vni}"


def _vtep_of(held: Held, said: Declared) -> str:
    """The peer's tunnel address: declared, else the next hop of the route to its block."""
    if said.vtep_ip or not said.blocks:
        return said.vtep_ip
    route = held.routes.lookup(first_address(said.blocks[0]))
    return route.via if route and held.device and route.dev == held.device.name else ""


def _neigh_word(held: Held, vtep_ip: str, mac: str) -> tuple[str | None, str]:
    if not held.root.is_ours and not held.root.state.neighbours:
        return None, "the neighbour table was not read"
    if why := held.root.why_missing("root.neighbours"):
        return None, why
    if not vtep_ip:
        return None, "the peer's tunnel address is not known"
    entry = held.neighbours.get(vtep_ip)
    if entry is None or not entry.mac or entry.state in {"FAILED", "INCOMPLETE"}:
        return "missing", ""
    if not mac:
        return None, "the MAC address of the peer's tunnel is not known"
    return ("ok" if entry.mac.lower() == mac else "wrong-mac"), ""
