"""Do Cilium's programs run where they were attached, and do their maps lead packets to the right place?

The kernel's tables say nothing about what these programs do, but their maps do: the ipcache holds for each address the
node to tunnel to, the endpoint map each pod of the node, and counters hold every packet that they dropped, by reason.
A link that is pinned and leads nowhere is a program that somebody detached; nothing in the agent's status tells that.

Source: https://docs.cilium.io/en/stable/network/ebpf/maps
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from bot.agent.report import NodeReport
from bot.agent.report_ebpf import Cilium, CiliumDrop
from bot.domain import facts
from bot.domain.facts import FactBuilder, Subject
from bot.domain.listing import and_more
from bot.probes.ebpf.facts import NODE_KEYS
from bot.probes.engine.evidence import Evidence
from bot.probes.shared.encapsulation import TUNNELS, encapsulation_of
from bot.probes.shared.pod_views import observable_pods

POLICY = frozenset({133, 181})
REASONS: Mapping[int, str] = MappingProxyType(
    {
        130: "invalid source MAC",
        132: "invalid source address",
        133: "policy denied",
        134: "invalid packet",
        137: "unsupported L2 protocol",
        151: "stale or unroutable address",
        155: "connection table full",
        158: "no Service backend",
        160: "no tunnel endpoint",
        162: "unknown connection tracking state",
        169: "no route by the kernel's tables",
        181: "denied by a deny rule",
        196: "TTL exceeded",
    }
)
"""In words, those that say something about a fault; the others by number."""
_BACKGROUND = frozenset({139})
"""IPv6 where it is off: every new pod sends some."""
SILENT_S = 5.0
_NO_CILIUM = "this CNI does not leave packets to such programs"
_NOT_READ = "the maps and links of the node's eBPF programs were not read"
_SOCKET_LB = ("cil_sock4_connect", "cil_sock4_sendmsg")
_FROM_OVERLAY = "cil_from_overlay"
_FROM_HOST = "cil_from_host"


def observe(evidence: Evidence, into: FactBuilder) -> None:
    """What each node's maps hold, and each pod in all of them."""
    for name, report in evidence.reports.items():
        _observe_node(evidence, facts.node(name), report, into)
    for view in observable_pods(evidence):
        _observe_pod(evidence, view.subject, into)


def _why_unread(evidence: Evidence) -> str:
    return _NOT_READ if evidence.cni.runs_cilium else _NO_CILIUM


# Nodes


def _observe_node(evidence: Evidence, node: Subject, report: NodeReport, into: FactBuilder) -> None:
    cilium = report.cilium
    if cilium is None or not evidence.cni.runs_cilium:
        into.miss_all(node, NODE_KEYS, _why_unread(evidence))
        if any(each.what == "cilium" for each in report.missing):
            into.set(node, "ebpf_maps", False)
        return
    into.set(node, "ebpf_maps", True)
    drops = None if cilium.drops is None else tuple(in_words(each) for each in cilium.drops if not _is_noise(each))
    into.put(node, "ebpf_drops", drops, _NOT_READ)
    age = cilium.heartbeat_age_s
    into.put(node, "cni_agent_silent", None if age is None else age > SILENT_S, _NOT_READ)
    strange = None if cilium.tunnel_ends is None else tuple(_strange_ends(evidence, cilium))
    into.put(node, "ebpf_strange_tunnel_ends", strange, _NOT_READ)
    if cilium.programs is None:
        keys = ("ebpf_detached", "ebpf_overlay_detached", "ebpf_socket_lb_detached", "ebpf_host_detached")
        into.miss_all(node, keys, _NOT_READ)
        return
    # A pod's own program is attached again with its next change, and without it the pod is reached all the same.
    fixed = [each for each in cilium.programs if not each.place.startswith("endpoint ")]
    detached = {each.name for each in fixed if not each.is_attached}
    into.set(
        node, "ebpf_detached", tuple(sorted(f"{each.name} ({each.place})" for each in fixed if not each.is_attached))
    )
    for key, names in (
        ("ebpf_overlay_detached", (_FROM_OVERLAY,)),
        ("ebpf_socket_lb_detached", _SOCKET_LB),
        ("ebpf_host_detached", (_FROM_HOST,)),
    ):
        known = any(each.name in names for each in fixed)
        into.put(node, key, bool(detached & set(names)) if known else None, "Cilium pinned no such program here")


def _is_noise(drop: CiliumDrop) -> bool:
    return drop.reason in _BACKGROUND


def in_words(drop: CiliumDrop) -> str:
    """As "policy denied (133, ingress): 17"."""
    what = REASONS.get(drop.reason, "reason")
    return f"{what} ({drop.reason}{f', {drop.direction}' if drop.direction else ''}): {drop.packets}"


def policy_drops(cilium: Cilium | None) -> bool | None:
    """Whether programs dropped packets by policy meanwhile; None when their counters were not read."""
    if cilium is None or cilium.drops is None:
        return None
    return any(each.reason in POLICY for each in cilium.drops)


def _strange_ends(evidence: Evidence, cilium: Cilium) -> Iterator[str]:
    for end in cilium.tunnel_ends or ():
        if end.ip not in evidence.node_by_ip:
            yield f"{end.ip} (for {and_more(end.prefixes[:3], 3, beyond=end.entries - len(end.prefixes[:3]))})"


# Pods


def _observe_pod(evidence: Evidence, pod: Subject, into: FactBuilder) -> None:
    ip, node = evidence.pods[pod].status.pod_ip, evidence.node_of(pod)
    own = evidence.reports[node].cilium if node in evidence.reports else None
    if not evidence.cni.runs_cilium or ":" in ip:
        into.miss_all(pod, ("ebpf_known", "ebpf_lost_from"), _NO_CILIUM)
        return
    known = own.endpoints if own else None
    into.put(pod, "ebpf_known", None if known is None else any(each.ip == ip for each in known), _NOT_READ)
    asked = list(_words_of_others(evidence, ip, node))
    lost = tuple(name for name, is_right in asked if not is_right)
    into.put(pod, "ebpf_lost_from", lost if asked else None, "no other node's maps were searched for it")


def _words_of_others(evidence: Evidence, ip: str, node: str) -> Iterator[tuple[str, bool]]:
    """(node, whether its ipcache leads to the pod's node) for every other node that was asked for the address."""
    if encapsulation_of(evidence) not in TUNNELS or node not in evidence.nodes:
        return
    right = {each.address for each in evidence.nodes[node].status.addresses}
    for name, report in sorted(evidence.reports.items()):
        for peer in (report.cilium.peers if report.cilium else None) or ():
            if peer.ip == ip and name != node:
                yield name, peer.tunnel_end in right
