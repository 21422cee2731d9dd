"""Does the pod's gateway answer ARP, and what does the pod's own neighbour table say about it?

Calico pods route everything to 169.254.1.1, an address that nobody has: the node answers ARP for it by proxy. On a
bridge CNI the gateway is the bridge's address, with Cilium an address of the node. A neighbour entry that is FAILED or
INCOMPLETE says that the last questions went unanswered, and nothing about why; "STALE" is healthy. So the wire is
asked too: an answer within 50 ms is healthy, a late one is the mark of a proxy delay, silence has many causes.

An entry whose MAC address is not the node's end of the link sends frames that the node ignores.

Source: https://docs.tigera.io/calico/latest/reference/faq (why 169.254.1.1)
Source: https://man7.org/linux/man-pages/man7/arp.7.html
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address

from bot.agent.report import ArpResult, Link, Neighbour
from bot.domain import facts
from bot.domain.facts import FactBuilder, Subject
from bot.probes.engine.evidence import Evidence
from bot.probes.pod_arp_table.facts import STATES
from bot.probes.pod_arp_table.findings import PROMPT_MS
from bot.probes.pod_link.observe import host_end
from bot.probes.shared.address_ranges import in_ranges, node_ranges
from bot.probes.shared.pod_views import PodView, node_views, observable_pods

_ARP_KEYS = (
    "gateway_macs",
    "gateway_arp",
    "gateway_requests",
    "gateway_answers",
    "gateway_arp_max_ms",
    "gateway_arp_spread_ms",
)
_POD_KEYS = ("gateway_ip", "gateway_kind", "gateway_neigh", "gateway_mac_matches", *_ARP_KEYS)


def observe(evidence: Evidence, into: FactBuilder) -> None:
    """The gateway of every pod in sight, and how many of each node's pods it is silent for."""
    checked: Counter[str] = Counter()
    silent: Counter[str] = Counter()
    absent: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for view in observable_pods(evidence):
        if view.seen is None:
            into.miss_all(view.subject, _POD_KEYS, view.why)
            continue
        gateway = gateway_of(view)
        absent[view.pod.spec.node_name] |= set(_absent_gateway(evidence, view, gateway or ""))
        neighbour = _observe_table(view, gateway, into)
        arp = _observe_arp(view, into)
        is_silent = arp == "silent" if arp else {"REACHABLE": False, "FAILED": True, "INCOMPLETE": True}.get(neighbour)
        if is_silent is not None:
            checked[view.pod.spec.node_name] += 1
            silent[view.pod.spec.node_name] += is_silent
    for node in evidence.reports:
        _count(facts.node(node), checked[node], silent[node], into)
    for name, root in node_views(evidence).items():
        lacking = sorted(absent[name])
        unread = "the addresses of the node were not read"
        missing = tuple(f"{address} on {bridge}" for address, bridge in lacking) if root.state.addresses else None
        into.put(facts.node(name), "gateways_absent", missing, unread)
        commands = tuple(f"ip addr add {address} dev {bridge}" for address, bridge in lacking)
        into.put(facts.node(name), "gateway_restoring", None if missing is None else commands, unread)


def _absent_gateway(evidence: Evidence, view: PodView, gateway: str) -> Iterator[tuple[str, str]]:
    """The gateway, as an address with its prefix, and the pod's bridge, when no device of the node has that address.

    Only where the gateway is of the range that the node was given: that of another network may be any router's. A
    bridge with an address of another range is cni-inventory's to tell of.
    """
    root, link, node = view.root, host_end(view), evidence.nodes.get(view.pod.spec.node_name)
    if root is None or node is None or link is None or not gateway or not root.state.addresses:
        return
    bridge = root.links.get(link.master)
    if bridge is None or bridge.kind != "bridge" or not in_ranges(gateway, node_ranges(node)):
        return
    others = [each.ip for each in root.state.addresses if each.dev == bridge.name and each.family == 4]
    is_held = any(each.ip == gateway for each in root.state.addresses)
    if is_held or not all(in_ranges(ip, node_ranges(node)) for ip in others):
        return
    own = view.state.addresses if view.state else ()
    prefix = next((each.prefix_len for each in own if each.ip == view.pod.status.pod_ip), None)
    if prefix is not None:
        yield f"{gateway}/{prefix}", bridge.name


def _count(node: Subject, checked: int, silent: int, into: FactBuilder) -> None:
    if not checked:
        keys = ("gateway_silent_pods", "gateway_checked_pods", "gateway_silent")
        into.miss_all(node, keys, "no pod of this node had its gateway checked")
        return
    into.set(node, "gateway_checked_pods", checked)
    into.set(node, "gateway_silent_pods", silent)
    into.set(node, "gateway_silent", "none" if not silent else "all" if silent == checked else "some")


def gateway_of(view: PodView) -> str | None:
    """The pod's default gateway, "" when it has none, None when its routes were not read."""
    if view.seen is None:
        return None
    if view.seen.gateway_ip:
        return view.seen.gateway_ip
    state = view.state
    if state is None or not view.has_read("routes"):
        return None
    return next((route.via for route in state.routes if route.dst == "default" and route.via), "")


def _observe_table(view: PodView, gateway: str | None, into: FactBuilder) -> str:
    """Fill what the pod's tables say; return the state of the gateway's neighbour entry, "" when not known."""
    pod = view.subject
    unread = "the pod's routes were not read"
    into.put(pod, "gateway_ip", gateway, unread)
    if gateway is None:
        into.miss_all(pod, ("gateway_kind", "gateway_neigh", "gateway_mac_matches"), unread)
        return ""
    into.put(pod, "gateway_kind", _kind(view, gateway), "the node's addresses were not read")
    asked = gateway or (view.seen.gateway_arp.ip if view.seen and view.seen.gateway_arp else "")
    if not asked:
        into.miss_all(pod, ("gateway_neigh", "gateway_mac_matches"), "the pod has no default gateway")
        return ""
    state = view.state
    if state is None or not view.has_read("neighbours"):
        into.miss_all(pod, ("gateway_neigh", "gateway_mac_matches"), "the pod's neighbour table was not read")
        return ""
    entry = next((each for each in state.neighbours if each.ip == asked), None)
    word = entry.state.upper() if entry else "none"
    into.put(pod, "gateway_neigh", word if word in STATES else None, f"unknown neighbour state {word[:20]!r}")
    matches, why = _mac_matches(view, asked, entry)
    into.put(pod, "gateway_mac_matches", matches, why)
    return word


def _kind(view: PodView, gateway: str) -> str | None:
    if not gateway:
        return "none"
    if _is_link_local(gateway):
        return "link-local"
    root = view.root
    if root is None or not root.state.addresses:
        return None
    holder = root.links.get(next((each.dev for each in root.state.addresses if each.ip == gateway), ""))
    if holder is not None:
        return "bridge" if holder.kind == "bridge" else "node"
    link = host_end(view)
    return "bridge" if link and link.master else "node"


def _is_link_local(ip: str) -> bool:
    try:
        return ip_address(ip).is_link_local
    except ValueError:
        return False


def _mac_matches(view: PodView, gateway: str, entry: Neighbour | None) -> tuple[bool | None, str]:
    """Whether the entry's MAC address is one that this node answers with; None and why when that is not known."""
    if entry is None or not entry.mac:
        return None, "the pod's neighbour table holds no MAC address for the gateway"
    arp = view.seen.gateway_arp if view.seen else None
    if arp is not None and entry.mac.lower() in {mac.lower() for mac in arp.macs}:
        return True, ""
    link = host_end(view)
    if link is None or view.root is None:
        return None, "the node's end of the pod's link was not seen"
    expected = set(_expected_macs(view.root.links, link))
    if not expected:
        return None, f"the node's end of the link belongs to {link.master}, which is no bridge"
    expected |= {
        view.root.links[each.dev].mac.lower()
        for each in view.root.state.addresses
        if each.ip == gateway and each.dev in view.root.links
    }
    return entry.mac.lower() in expected, ""


def _expected_macs(links: Mapping[str, Link], link: Link) -> Iterator[str]:
    if not link.master:
        yield link.mac.lower()
    elif link.master in links and links[link.master].kind == "bridge":
        yield links[link.master].mac.lower()


def _observe_arp(view: PodView, into: FactBuilder) -> str:
    """Fill what the gateway answered on the wire; return the state, "" when it was not asked."""
    pod, arp = view.subject, view.seen.gateway_arp if view.seen else None
    if arp is None or not arp.answers_ms:
        uid = view.pod.metadata.uid
        why = view.root.why_missing(f"pods.{uid}.gateway_arp", f"pods.{uid}.arp", "arp") if view.root else ""
        into.miss_all(pod, _ARP_KEYS, why or "no ARP request was sent from this pod")
        return ""
    answered = [each for each in arp.answers_ms if each is not None]
    state = _arp_state(arp, answered)
    into.set(pod, "gateway_arp", state)
    into.set(pod, "gateway_macs", len(arp.macs))
    into.set(pod, "gateway_requests", len(arp.answers_ms))
    into.set(pod, "gateway_answers", len(answered))
    silence = "the gateway answered no ARP request"
    into.put(pod, "gateway_arp_max_ms", max(answered, default=None), silence)
    into.put(pod, "gateway_arp_spread_ms", max(answered) - min(answered) if answered else None, silence)
    return state


def _arp_state(arp: ArpResult, answered: Sequence[float]) -> str:
    if not answered:
        return "silent"
    if len(answered) < len(arp.answers_ms):
        return "partial"
    # A proxy's delay is drawn anew for each answer; one late one of several is the node that was busy.
    late = sum(each > PROMPT_MS for each in answered)
    return "late" if late > 1 or late == len(answered) else "answered"
