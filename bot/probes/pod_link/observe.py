"""Is the pod plugged in: are both ends of its veth up, and does eth0 carry the pod's address?

A veth pair has one end in the pod (eth0) and one in the node's root namespace (cali…, lxc…, or a port of a bridge).
If either is down or gone nothing else can work, and what a routing daemon does for a link (Felix skips interfaces that
are down) will be missing too, as a consequence. eth0 that is UP without carrier means that the *node's* end is down.

`rx.otherhost` on the node's end counts frames addressed to another MAC address: the pod believes in a wrong gateway.

Source: https://man7.org/linux/man-pages/man4/veth.4.html
Source: https://docs.kernel.org/networking/statistics.html (rx_otherhost_dropped)
"""

from collections.abc import Sequence

from bot.agent.report import Link, NetnsState
from bot.domain.facts import FactBuilder
from bot.probes.engine.evidence import Evidence
from bot.probes.filters.held import Held, held_rules
from bot.probes.filters.naming import loss_in_words, rule_in_words
from bot.probes.pod_link.static_entries import wrong_static_entries
from bot.probes.shared.pod_views import NodeView, PodView, observable_pods

CALICO_MAC = "ee:ee:ee:ee:ee:ee"
"""Calico gives every host end of a pod's veth this address."""

_PORT_STATES = {0: "disabled", 1: "listening", 2: "learning", 3: "forwarding", 4: "blocking"}
_PAIRED = {"veth", "netkit", ""}
_WITH_ARP = {"veth", "macvlan"}
"""Kinds that are of no use without: netkit and ipvlan may work on the third layer, and have none then."""
"""Kinds of devices whose other end lies in the root namespace; macvlan, ipvlan and SR-IOV functions have none."""


_IN_POD = (
    "eth0",
    "has_arp",
    "address_matches",
    "mtu_bytes",
    "firewall_drops",
    "firewall_present",
    "ipv6_dad_failed",
)
_RULES_IN_POD = ("firewall_rules_match", "firewall_rules_perhaps", "redirects_unserved")
_ON_HOST_LINK = (
    "static_entries_wrong",
    "host_link_kind",
    "host_mac_is_ee",
    "host_has_arp",
    "host_master",
    "bridge_port",
    "bridge_isolated",
    "bridge_muted",
    "bridge_hairpin",
    "host_otherhost_delta",
    "host_rx_delta",
    "host_tx_delta",
)


def observe(evidence: Evidence, into: FactBuilder) -> None:
    """The link facts of every pod in sight."""
    for view in observable_pods(evidence):
        if view.seen is None:
            if view.is_absent:
                into.set(view.subject, "netns_found", False)
            else:
                into.miss(view.subject, "netns_found", view.why)
            into.miss_all(view.subject, ("host_link", *_IN_POD, *_RULES_IN_POD, *_ON_HOST_LINK), view.why)
            continue
        into.set(view.subject, "netns_found", True)
        _observe_pod_end(view, into)
        _observe_filters(view, held_rules(evidence).get(view.subject), into)
        _observe_host_end(view, into)


def _observe_pod_end(view: PodView, into: FactBuilder) -> None:
    state, pod = view.state, view.subject
    if state is None:
        into.miss_all(pod, _IN_POD, "the pod's own namespace was not read")
        return
    link = own_link(state, view.pod.status.pod_ip)
    if not state.links:
        into.miss_all(pod, ("eth0", "has_arp", "mtu_bytes"), "the pod's interfaces were not read")
    else:
        asks = link.has_arp if link and link.kind in _WITH_ARP else None
        into.put(pod, "has_arp", asks, "its kind of link may do without ARP, or is not known")
        into.set(pod, "eth0", _pod_end_state(link))
        into.put(pod, "mtu_bytes", link.mtu if link and link.mtu else None, "the pod has no eth0")
    if view.has_read("addresses"):
        into.set(pod, "address_matches", any(each.ip == view.pod.status.pod_ip for each in state.addresses))
        into.set(pod, "ipv6_dad_failed", any("dadfailed" in each.flags for each in state.addresses))
    else:
        into.miss_all(pod, ("address_matches", "ipv6_dad_failed"), "the pod's addresses were not read")
    firewall = state.firewall
    if firewall is None:
        why = view.root.why_missing(f"pods.{view.pod.metadata.uid}.firewall", "firewall") if view.root else ""
        into.miss_all(pod, ("firewall_drops", "firewall_present"), why or "the pod's packet filter was not read")
    else:
        into.set(pod, "firewall_drops", max(firewall.drops_total, len(firewall.drops)))
        into.set(pod, "firewall_present", bool(firewall.chains or firewall.drops or firewall.drops_total))


def _observe_filters(view: PodView, held: Sequence[Held] | None, into: FactBuilder) -> None:
    """Rules in the pod's own namespace that account for flows that failed, of the pod and to the pod."""
    if held is None:
        into.miss_all(view.subject, _RULES_IN_POD, "the ways to the rules that drop in the pod were not read")
        return
    sure = [one for one in held if one.matches]
    perhaps = [rule_in_words(one.taking) for one in held if one.may_match and not one.matches]
    # A redirect that somebody answers is meant so, and none of those that are held.
    redirects = [loss_in_words(one) for one in sure if one.taking.kind == "redirect"]
    others = [loss_in_words(one) for one in sure if one.taking.kind != "redirect"]
    into.set(view.subject, "redirects_unserved", tuple(redirects[:10]))
    into.set(view.subject, "firewall_rules_match", tuple(others[:10]))
    into.set(view.subject, "firewall_rules_perhaps", tuple(perhaps[:10]))


def own_link(state: NetnsState, ip: str) -> Link | None:
    """The interface inside the pod that carries its address; without one eth0."""
    links = {link.name: link for link in state.links}
    carrier = next((address.dev for address in state.addresses if address.ip == ip), "eth0")
    return links.get(carrier) or links.get("eth0")


def _pod_end_state(link: Link | None) -> str:
    if link is None:
        return "missing"
    if not link.is_up:
        return "down"
    return "up" if link.has_carrier else "no-carrier"


def host_end(view: PodView) -> Link | None:
    """The node's end of the pod's link, None when it was not found or not looked for."""
    if view.root is None or view.seen is None:
        return None
    named = view.root.links.get(view.seen.host_link) if view.seen.host_link else None
    if view.state is None or (named is not None and view.root.is_ours):
        return named
    # Commands took the device of the node's route for the pod's link, which it is not where programs deliver.
    own = own_link(view.state, view.pod.status.pod_ip)
    peer = view.root.by_index.get(own.peer_ifindex) if own and own.kind in _PAIRED and own.peer_ifindex else None
    return peer or named


def _observe_host_end(view: PodView, into: FactBuilder) -> None:
    pod, root, link = view.subject, view.root, host_end(view)
    if link is None or root is None:
        why = _why_no_host_end(view)
        into.put(pod, "host_link", None if why else "missing", why)
        into.miss_all(pod, _ON_HOST_LINK, why or "the node's end of the link does not exist")
        return
    into.set(pod, "host_link", "up" if link.is_up else "down")
    into.set(pod, "host_link_kind", _kind(link, root))
    into.set(pod, "host_mac_is_ee", link.mac.lower() == CALICO_MAC)
    into.set(pod, "host_has_arp", link.has_arp)
    into.set(pod, "host_master", link.master)
    port = link.bridge_port_state
    into.set(pod, "bridge_port", "none" if port is None else _PORT_STATES.get(port, "none"))
    # What is no port of a bridge is no isolated one; of others the flag may not have been read.
    isolated = link.is_isolated if _is_bridge_port(link, root) else False
    into.put(pod, "bridge_isolated", isolated, "the flags of its bridge port were not read")
    into.put(pod, "bridge_muted", *_is_muted(view, link, root))
    into.put(pod, "bridge_hairpin", link.is_hairpin, "the node's end is not a port of a bridge")
    own = own_link(view.state, view.pod.status.pod_ip) if view.state else None
    mac = own.mac.lower() if own else ""
    wrong = tuple(wrong_static_entries(root, link, view.pod.status.pod_ip, mac)) if mac else None
    into.put(pod, "static_entries_wrong", wrong, "the MAC address of the pod was not read")
    if root.is_ours:
        into.put(pod, "host_otherhost_delta", link.rx_otherhost_delta, "the kernel does not count such frames")
        into.set(pod, "host_rx_delta", link.rx_packets_delta)
        into.set(pod, "host_tx_delta", link.tx_packets_delta)
    else:
        deltas = ("host_otherhost_delta", "host_rx_delta", "host_tx_delta")
        into.miss_all(pod, deltas, "counters were read once only (no node agent)")


def _is_muted(view: PodView, link: Link, root: NodeView) -> tuple[bool | None, str]:
    """Whether frames for the pod find no way out of its bridge port, or why that is not known.

    A port whose flags are off is harmless where an entry, set by hand or learnt before, names the pod's MAC address.
    """
    if not _is_bridge_port(link, root) or link.is_learning or link.is_flooded:
        return False, ""
    if link.is_learning is None or link.is_flooded is None:
        return None, "the flags of its bridge port were not read"
    own = own_link(view.state, view.pod.status.pod_ip) if view.state else None
    if own is None or not own.mac:
        return None, "the MAC address of the pod was not read"
    if any(one.dev == link.name and one.mac.lower() == own.mac.lower() for one in root.state.fdb):
        return False, ""
    if not root.is_ours and not root.state.fdb:
        return None, "the forwarding table of the bridge was not read"
    why = root.why_missing("root.fdb")
    return (None, why) if why else (True, "")


def _why_no_host_end(view: PodView) -> str:
    """Why nothing can be said about the node's end; "" when it was looked for and is not there."""
    if view.root is None or not view.root.state.links:
        return "the node's interfaces were not read"
    own = own_link(view.state, view.pod.status.pod_ip) if view.state else None
    if own is None:
        # A veth pair vanishes whole: without eth0 in the pod there is nothing to look for on the node.
        return "" if view.state and view.state.links else "the pod's interfaces were not read"
    if own.kind not in _PAIRED:
        return f"eth0 is a {own.kind} device: it has no end of its own on the node"
    return "" if own.peer_ifindex else "eth0 does not name its other end"


def _kind(link: Link, root: NodeView) -> str:
    if link.name.startswith("cali"):
        return "calico"
    if link.name.startswith("lxc"):
        return "lxc"
    return "bridge-port" if _is_bridge_port(link, root) else "other"


def _is_bridge_port(link: Link, root: NodeView) -> bool:
    master = root.links.get(link.master)
    return link.bridge_port_state is not None or (master is not None and master.kind == "bridge")
