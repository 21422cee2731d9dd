"""Is the pod plugged in: are both ends of its veth up, and does eth0 carry the pod's address?

A veth pair has one end in the pod (eth0) and one in the node's root namespace (cali…, lxc…, or a port of a bridge).
If either is down or gone nothing else can work, and what a routing daemon does for a link (Felix skips interfaces that
are down) will be missing too, as a consequence. eth0 that is UP without carrier means that the *node's* end is down.

`rx.otherhost` on the node's end counts frames addressed to another MAC address: the pod believes in a wrong gateway.

Source: https://man7.org/linux/man-pages/man4/veth.4.html
Source: https://docs.kernel.org/networking/statistics.html (rx_otherhost_dropped)
"""

from bot.agent.report import Link, NetnsState
from bot.domain.facts import FactBuilder, FactSpec, Rung
from bot.probes.evidence import Evidence
from bot.probes.needs import LOOK_AT_PODS
from bot.probes.pod_link_told import NAME, judge
from bot.probes.probe import Probe
from bot.probes.sight import Root, Sight, miss_all, pods_in_sight, put

CALICO_MAC = "ee:ee:ee:ee:ee:ee"
"""Calico gives every host end of a pod's veth this address."""

_INSIDE = (Rung.EXEC, Rung.AGENT)
_OUTSIDE = (Rung.CNI_AGENT, Rung.AGENT)
_PORT_STATES = {0: "disabled", 1: "listening", 2: "learning", 3: "forwarding", 4: "blocking"}
_PAIRED = {"veth", "netkit", ""}
"""Kinds of devices whose other end lies in the root namespace; macvlan, ipvlan and SR-IOV functions have none."""

_LOOK_ROOT = "ip -d link show <host link>  # on <node>; its index is the number after eth0@if in the pod"
FACTS = (
    FactSpec(
        name="pod.netns_found",
        type="bool",
        doc="The node agent found the pod's network namespace.",
        look="crictl inspectp <sandbox> | grep pid  # on <node>",
    ),
    FactSpec(
        name="pod.eth0",
        type="str",
        values=("up", "down", "missing", "no-carrier"),
        doc="State of the pod's own end of the link; no-carrier: it is up, but the node's end is not.",
        rungs=_INSIDE,
        look="kubectl exec <pod> -- ip link show eth0",
    ),
    FactSpec(
        name="pod.address_matches",
        type="bool",
        doc="An interface of the pod carries the address that the API says it has.",
        rungs=_INSIDE,
        look="kubectl exec <pod> -- ip addr show eth0",
    ),
    FactSpec(
        name="pod.mtu_bytes",
        type="int",
        doc="MTU of the pod's interface.",
        rungs=_INSIDE,
        look="kubectl exec <pod> -- cat /sys/class/net/eth0/mtu",
    ),
    FactSpec(
        name="pod.host_link",
        type="str",
        values=("up", "down", "missing"),
        doc="State of the node's end of the pod's link; missing: no device of the node is the peer of eth0.",
        rungs=_OUTSIDE,
        look=_LOOK_ROOT,
    ),
    FactSpec(
        name="pod.host_link_kind",
        type="str",
        values=("calico", "lxc", "bridge-port", "other"),
        doc="What the node's end is: Calico's cali…, Cilium's lxc…, a port of a bridge, or something else.",
        rungs=_OUTSIDE,
        look=_LOOK_ROOT,
    ),
    FactSpec(
        name="pod.host_mac_is_ee",
        type="bool",
        doc="The node's end has the MAC address ee:ee:ee:ee:ee:ee that Calico gives it.",
        rungs=_OUTSIDE,
        look=_LOOK_ROOT,
    ),
    FactSpec(
        name="pod.host_has_arp",
        type="bool",
        doc="The node's end takes part in ARP (it has no NOARP flag).",
        rungs=_OUTSIDE,
        look=_LOOK_ROOT,
    ),
    FactSpec(
        name="pod.host_master",
        type="str",
        doc="The bridge that the node's end is a port of, empty when it is none.",
        rungs=_OUTSIDE,
        look=_LOOK_ROOT,
    ),
    FactSpec(
        name="pod.bridge_port",
        type="str",
        values=("forwarding", "disabled", "blocking", "listening", "learning", "none"),
        doc="State of the bridge port; none: the node's end is not a port of a bridge.",
        rungs=_OUTSIDE,
        look="bridge -d link show dev <host link>  # on <node>",
    ),
    FactSpec(
        name="pod.bridge_isolated",
        type="bool",
        doc="The bridge port is isolated: it reaches the bridge but no other isolated port.",
        rungs=_OUTSIDE,
        look="bridge -d link show dev <host link>  # on <node>",
    ),
    FactSpec(
        name="pod.bridge_hairpin",
        type="bool",
        doc="The bridge port may send a frame back out of the port it came in by.",
        rungs=_OUTSIDE,
        look="bridge -d link show dev <host link>  # on <node>",
    ),
    FactSpec(
        name="pod.host_otherhost_delta",
        type="int",
        doc="Frames from the pod addressed to another MAC address than the node's end has, while the tests ran.",
        look="ip -s -s -j link show <host link>  # on <node>: rx.otherhost",
    ),
    FactSpec(
        name="pod.host_rx_delta",
        type="int",
        doc="Frames that the node's end received from the pod while the tests ran.",
        look="ip -s link show <host link>  # on <node>, twice",
    ),
    FactSpec(
        name="pod.host_tx_delta",
        type="int",
        doc="Frames that the node's end sent to the pod while the tests ran.",
        look="ip -s link show <host link>  # on <node>, twice",
    ),
    FactSpec(
        name="pod.firewall_drops",
        type="int",
        doc="Rules inside the pod's own network namespace that drop or reject.",
        look="nsenter -t <pid> -n nft list ruleset  # on <node>",
    ),
    FactSpec(
        name="pod.firewall_present",
        type="bool",
        doc="The pod's own network namespace has packet filter rules (a sidecar's, for instance).",
        look="nsenter -t <pid> -n nft list ruleset  # on <node>",
    ),
    FactSpec(
        name="pod.ipv6_dad_failed",
        type="bool",
        doc="An IPv6 address of the pod failed duplicate address detection and is not used.",
        rungs=_INSIDE,
        look="kubectl exec <pod> -- ip -6 addr  # dadfailed",
    ),
)

_IN_POD = (
    "eth0",
    "address_matches",
    "mtu_bytes",
    "firewall_drops",
    "firewall_present",
    "ipv6_dad_failed",
)
_ON_HOST_LINK = (
    "host_link_kind",
    "host_mac_is_ee",
    "host_has_arp",
    "host_master",
    "bridge_port",
    "bridge_isolated",
    "bridge_hairpin",
    "host_otherhost_delta",
    "host_rx_delta",
    "host_tx_delta",
)


def observe(evidence: Evidence, into: FactBuilder) -> None:
    """The link facts of every pod in sight."""
    for sight in pods_in_sight(evidence):
        if sight.seen is None:
            if sight.is_absent:
                into.set(sight.subject, "netns_found", False)
            else:
                into.miss(sight.subject, "netns_found", sight.why)
            miss_all(into, sight.subject, ("host_link", *_IN_POD, *_ON_HOST_LINK), sight.why)
            continue
        into.set(sight.subject, "netns_found", True)
        _observe_pod_end(sight, into)
        _observe_host_end(sight, into)


def _observe_pod_end(sight: Sight, into: FactBuilder) -> None:
    state, pod = sight.state, sight.subject
    if state is None:
        miss_all(into, pod, _IN_POD, "the pod's own namespace was not read")
        return
    link = own_link(state, sight.pod.status.pod_ip)
    if not state.links:
        miss_all(into, pod, ("eth0", "mtu_bytes"), "the pod's interfaces were not read")
    else:
        into.set(pod, "eth0", _pod_end_state(link))
        put(into, pod, "mtu_bytes", link.mtu if link and link.mtu else None, "the pod has no eth0")
    if state.addresses or (sight.root and sight.root.is_ours and state.links):
        into.set(pod, "address_matches", any(each.ip == sight.pod.status.pod_ip for each in state.addresses))
        into.set(pod, "ipv6_dad_failed", any("dadfailed" in each.flags for each in state.addresses))
    else:
        miss_all(into, pod, ("address_matches", "ipv6_dad_failed"), "the pod's addresses were not read")
    firewall = state.firewall
    if firewall is None:
        why = sight.root.why_missing(f"pods.{sight.pod.metadata.uid}.firewall", "firewall") if sight.root else ""
        miss_all(into, pod, ("firewall_drops", "firewall_present"), why or "the pod's packet filter was not read")
    else:
        into.set(pod, "firewall_drops", max(firewall.drops_total, len(firewall.drops)))
        into.set(pod, "firewall_present", bool(firewall.chains or firewall.drops or firewall.drops_total))


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


def host_end(sight: Sight) -> Link | None:
    """The node's end of the pod's link, None when it was not found or not looked for."""
    if sight.root is None or sight.seen is None:
        return None
    named = sight.root.links.get(sight.seen.host_link) if sight.seen.host_link else None
    if named is not None or sight.state is None:
        return named
    own = own_link(sight.state, sight.pod.status.pod_ip)
    return sight.root.by_index.get(own.peer_ifindex) if own and own.kind in _PAIRED and own.peer_ifindex else None


def _observe_host_end(sight: Sight, into: FactBuilder) -> None:
    pod, root, link = sight.subject, sight.root, host_end(sight)
    if link is None or root is None:
        why = _why_no_host_end(sight)
        put(into, pod, "host_link", None if why else "missing", why)
        miss_all(into, pod, _ON_HOST_LINK, why or "the node's end of the link does not exist")
        return
    into.set(pod, "host_link", "up" if link.is_up else "down")
    into.set(pod, "host_link_kind", _kind(link, root))
    into.set(pod, "host_mac_is_ee", link.mac.lower() == CALICO_MAC)
    into.set(pod, "host_has_arp", link.has_arp)
    into.set(pod, "host_master", link.master)
    port = link.bridge_port_state
    into.set(pod, "bridge_port", "none" if port is None else _PORT_STATES.get(port, "none"))
    put(into, pod, "bridge_isolated", link.is_isolated, "the node's end is not a port of a bridge")
    put(into, pod, "bridge_hairpin", link.is_hairpin, "the node's end is not a port of a bridge")
    if root.is_ours:
        put(into, pod, "host_otherhost_delta", link.rx_otherhost_delta, "the kernel does not count such frames")
        into.set(pod, "host_rx_delta", link.rx_packets_delta)
        into.set(pod, "host_tx_delta", link.tx_packets_delta)
    else:
        deltas = ("host_otherhost_delta", "host_rx_delta", "host_tx_delta")
        miss_all(into, pod, deltas, "counters were read once only (no node agent)")


def _why_no_host_end(sight: Sight) -> str:
    """Why nothing can be said about the node's end; "" when it was looked for and is not there."""
    if sight.root is None or not sight.root.state.links:
        return "the node's interfaces were not read"
    own = own_link(sight.state, sight.pod.status.pod_ip) if sight.state else None
    if own is None:
        # A veth pair vanishes whole: without eth0 in the pod there is nothing to look for on the node.
        return "" if sight.state and sight.state.links else "the pod's interfaces were not read"
    if own.kind not in _PAIRED:
        return f"eth0 is a {own.kind} device: it has no end of its own on the node"
    return "" if own.peer_ifindex else "eth0 does not name its other end"


def _kind(link: Link, root: Root) -> str:
    if link.name.startswith("cali"):
        return "calico"
    if link.name.startswith("lxc"):
        return "lxc"
    master = root.links.get(link.master)
    if link.bridge_port_state is not None or (master is not None and master.kind == "bridge"):
        return "bridge-port"
    return "other"


PROBE = Probe(
    name=NAME,
    question="Is the pod plugged in: are both ends of its link up, and does eth0 carry the pod's address?",
    facts=FACTS,
    needs=LOOK_AT_PODS,
    observe=observe,
    judge=judge,
)
