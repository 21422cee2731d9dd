"""Does the pod's gateway answer ARP, and what does the pod's own neighbour table say about it?

Calico pods route everything to 169.254.1.1, an address that nobody has: the node answers ARP for it by proxy. On a
bridge CNI the gateway is the bridge's address, with Cilium an address of the node. A neighbour entry that is FAILED or
INCOMPLETE says that the last questions went unanswered, and nothing about why; "STALE" is healthy. So the wire is
asked too: an answer within 50 ms is healthy, a late one is the mark of a proxy delay, silence has many causes.

An entry whose MAC address is not the node's end of the link sends frames that the node ignores.

Source: https://docs.tigera.io/calico/latest/reference/faq (why 169.254.1.1)
Source: https://man7.org/linux/man-pages/man7/arp.7.html
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import ip_address

from bot.agent.report import ArpResult, Link, Neighbour
from bot.domain import facts
from bot.domain.facts import FactBuilder, FactSpec, FactTable, Rung, Subject, SubjectKind, Value
from bot.domain.finding import Finding, Severity, SymptomKind
from bot.probes.evidence import Evidence
from bot.probes.needs import LOOK_AT_PODS
from bot.probes.pod_link import host_end
from bot.probes.probe import Probe
from bot.probes.sight import Sight, miss_all, pods_in_sight, put
from bot.probes.telling import Who, sharing, unseen

NAME = "pod-arp-table"
PROMPT_MS = 50.0
"""A healthy node answers within this time: it needs no more than its own scheduler."""

_INSIDE = (Rung.EXEC, Rung.AGENT)
_STATES = ("REACHABLE", "STALE", "DELAY", "PROBE", "INCOMPLETE", "FAILED", "PERMANENT", "NOARP", "none")
NO_WAY_OUT = frozenset({"missing", "mistyped", "unreachable", "blackhole", "prohibit"})
"""States of a pod's default route with which its own kernel refuses to send."""
_UNRESOLVED = frozenset({"FAILED", "INCOMPLETE"})
_LOOK_ARP = "nsenter -t <pid> -n arping -c 3 -I eth0 <gateway>  # on <node>"

FACTS = (
    FactSpec(
        name="pod.gateway_ip",
        type="str",
        doc='The next hop of the pod\'s default route, "" when it has none.',
        rungs=_INSIDE,
        look="kubectl exec <pod> -- ip route show default",
    ),
    FactSpec(
        name="pod.gateway_kind",
        type="str",
        values=("link-local", "bridge", "node", "none"),
        doc="What the gateway is: 169.254.1.1 by proxy ARP, the address of a bridge, another address of the node.",
        rungs=_INSIDE,
        look="ip addr | grep -w <gateway>  # on <node>",
    ),
    FactSpec(
        name="pod.gateway_neigh",
        type="str",
        values=_STATES,
        doc="State of the gateway's entry in the pod's neighbour table; none: there is no entry.",
        rungs=_INSIDE,
        look="kubectl exec <pod> -- ip neigh show  # or cat /proc/net/arp",
    ),
    FactSpec(
        name="pod.gateway_mac_matches",
        type="bool",
        doc="The gateway's entry holds the MAC address of the node's end of the link (or of the bridge).",
        look="kubectl exec <pod> -- ip neigh; ip link show <host link>  # the latter on <node>",
    ),
    FactSpec(
        name="pod.gateway_macs",
        type="int",
        doc="Distinct MAC addresses that answered ARP requests for the gateway.",
        look=_LOOK_ARP,
    ),
    FactSpec(
        name="pod.gateway_arp",
        type="str",
        values=("answered", "late", "partial", "silent"),
        doc="What came of ARP requests for the gateway: all answered at once; all, but some late; only some; none.",
        look=_LOOK_ARP,
    ),
    FactSpec(name="pod.gateway_requests", type="int", doc="ARP requests sent for the gateway.", look=_LOOK_ARP),
    FactSpec(name="pod.gateway_answers", type="int", doc="ARP requests that the gateway answered.", look=_LOOK_ARP),
    FactSpec(
        name="pod.gateway_arp_max_ms", type="float", doc="The slowest answer of the gateway to ARP.", look=_LOOK_ARP
    ),
    FactSpec(
        name="pod.gateway_arp_spread_ms",
        type="float",
        doc="The difference between the slowest and the quickest answer of the gateway to ARP.",
        look=_LOOK_ARP,
    ),
    FactSpec(
        name="node.gateway_silent_pods",
        type="int",
        doc="Pods of the node whose gateway does not answer ARP.",
        rungs=_INSIDE,
        look=_LOOK_ARP,
    ),
    FactSpec(
        name="node.gateway_checked_pods",
        type="int",
        doc="Pods of the node whose gateway was asked.",
        rungs=_INSIDE,
        look=_LOOK_ARP,
    ),
    FactSpec(
        name="node.gateway_silent",
        type="str",
        values=("none", "some", "all"),
        doc="For how many of the node's pods the gateway is silent.",
        rungs=_INSIDE,
        look=_LOOK_ARP,
    ),
)

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
    for sight in pods_in_sight(evidence):
        if sight.seen is None:
            miss_all(into, sight.subject, _POD_KEYS, sight.why)
            continue
        gateway = gateway_of(sight)
        neighbour = _observe_table(sight, gateway, into)
        arp = _observe_arp(sight, into)
        is_silent = arp == "silent" if arp else {"REACHABLE": False, "FAILED": True, "INCOMPLETE": True}.get(neighbour)
        if is_silent is not None:
            checked[sight.pod.spec.node_name] += 1
            silent[sight.pod.spec.node_name] += is_silent
    for node in evidence.reports:
        _count(facts.node(node), checked[node], silent[node], into)


def _count(node: Subject, checked: int, silent: int, into: FactBuilder) -> None:
    if not checked:
        keys = ("gateway_silent_pods", "gateway_checked_pods", "gateway_silent")
        miss_all(into, node, keys, "no pod of this node had its gateway checked")
        return
    into.set(node, "gateway_checked_pods", checked)
    into.set(node, "gateway_silent_pods", silent)
    into.set(node, "gateway_silent", "none" if not silent else "all" if silent == checked else "some")


def gateway_of(sight: Sight) -> str | None:
    """The pod's default gateway, "" when it has none, None when its routes were not read."""
    if sight.seen is None:
        return None
    if sight.seen.gateway_ip:
        return sight.seen.gateway_ip
    state = sight.state
    if state is None or not (state.routes or (sight.root and sight.root.is_ours and state.links)):
        return None
    return next((route.via for route in state.routes if route.dst == "default" and route.via), "")


def _observe_table(sight: Sight, gateway: str | None, into: FactBuilder) -> str:
    """Fill what the pod's tables say; return the state of the gateway's neighbour entry, "" when not known."""
    pod = sight.subject
    unread = "the pod's routes were not read"
    put(into, pod, "gateway_ip", gateway, unread)
    if gateway is None:
        miss_all(into, pod, ("gateway_kind", "gateway_neigh", "gateway_mac_matches"), unread)
        return ""
    put(into, pod, "gateway_kind", _kind(sight, gateway), "the node's addresses were not read")
    asked = gateway or (sight.seen.gateway_arp.ip if sight.seen and sight.seen.gateway_arp else "")
    if not asked:
        miss_all(into, pod, ("gateway_neigh", "gateway_mac_matches"), "the pod has no default gateway")
        return ""
    state = sight.state
    if state is None or not (state.neighbours or (sight.root and sight.root.is_ours)):
        miss_all(into, pod, ("gateway_neigh", "gateway_mac_matches"), "the pod's neighbour table was not read")
        return ""
    entry = next((each for each in state.neighbours if each.ip == asked), None)
    word = entry.state.upper() if entry else "none"
    put(into, pod, "gateway_neigh", word if word in _STATES else None, f"unknown neighbour state {word[:20]!r}")
    matches, why = _mac_matches(sight, asked, entry)
    put(into, pod, "gateway_mac_matches", matches, why)
    return word


def _kind(sight: Sight, gateway: str) -> str | None:
    if not gateway:
        return "none"
    if _is_link_local(gateway):
        return "link-local"
    root = sight.root
    if root is None or not root.state.addresses:
        return None
    holder = root.links.get(next((each.dev for each in root.state.addresses if each.ip == gateway), ""))
    if holder is not None:
        return "bridge" if holder.kind == "bridge" else "node"
    link = host_end(sight)
    return "bridge" if link and link.master else "node"


def _is_link_local(ip: str) -> bool:
    try:
        return ip_address(ip).is_link_local
    except ValueError:
        return False


def _mac_matches(sight: Sight, gateway: str, entry: Neighbour | None) -> tuple[bool | None, str]:
    """Whether the entry's MAC address is one that this node answers with; None and why when that cannot be told."""
    if entry is None or not entry.mac:
        return None, "the pod's neighbour table holds no MAC address for the gateway"
    arp = sight.seen.gateway_arp if sight.seen else None
    if arp is not None and entry.mac.lower() in {mac.lower() for mac in arp.macs}:
        return True, ""
    link = host_end(sight)
    if link is None or sight.root is None:
        return None, "the node's end of the pod's link was not seen"
    expected = set(_expected_macs(sight.root.links, link))
    if not expected:
        return None, f"the node's end of the link belongs to {link.master}, which is no bridge"
    expected |= {
        sight.root.links[each.dev].mac.lower()
        for each in sight.root.state.addresses
        if each.ip == gateway and each.dev in sight.root.links
    }
    return entry.mac.lower() in expected, ""


def _expected_macs(links: Mapping[str, Link], link: Link) -> Iterator[str]:
    if not link.master:
        yield link.mac.lower()
    elif link.master in links and links[link.master].kind == "bridge":
        yield links[link.master].mac.lower()


def _observe_arp(sight: Sight, into: FactBuilder) -> str:
    """Fill what the gateway answered on the wire; return the state, "" when it was not asked."""
    pod, arp = sight.subject, sight.seen.gateway_arp if sight.seen else None
    if arp is None or not arp.answers_ms:
        uid = sight.pod.metadata.uid
        why = sight.root.why_missing(f"pods.{uid}.gateway_arp", f"pods.{uid}.arp", "arp") if sight.root else ""
        miss_all(into, pod, _ARP_KEYS, why or "no ARP request was sent from this pod")
        return ""
    answered = [each for each in arp.answers_ms if each is not None]
    state = _arp_state(arp, answered)
    into.set(pod, "gateway_arp", state)
    into.set(pod, "gateway_macs", len(arp.macs))
    into.set(pod, "gateway_requests", len(arp.answers_ms))
    into.set(pod, "gateway_answers", len(answered))
    silence = "the gateway answered no ARP request"
    put(into, pod, "gateway_arp_max_ms", max(answered, default=None), silence)
    put(into, pod, "gateway_arp_spread_ms", max(answered) - min(answered) if answered else None, silence)
    return state


def _arp_state(arp: ArpResult, answered: Sequence[float]) -> str:
    if not answered:
        return "silent"
    if len(answered) < len(arp.answers_ms):
        return "partial"
    return "late" if max(answered) > PROMPT_MS else "answered"


# Judgement


def judge(table: FactTable) -> Sequence[Finding]:
    """FAIL for gateways that are silent or late, PASS by node, INCONCLUSIVE for pods whose gateway was not asked.

    A pod whose own link is down is left to pod-link: its gateway was never asked.
    """
    pods = {pod: table.of(pod) for pod in table.subjects(SubjectKind.POD)}
    looked = {pod: known for pod, known in pods.items() if known.keys() & {"gateway_arp", "gateway_neigh"}}
    linked = {pod: known for pod, known in looked.items() if not is_link_broken(known)}
    states = {pod: _state(linked[pod]) if pod in linked else None for pod in looked}
    found = [_tell(table, who, state) for who, state in sharing(table, states)]
    good = {
        pod: known.get("gateway_ip") if known.get("gateway_arp") == "answered" else None
        for pod, known in looked.items()
    }
    found += (_pass(table, who, gateway) for who, gateway in sharing(table, good, apart=0))
    found += _wrong_macs(table, linked)
    found += _several_macs(table, linked)
    found += unseen(table, NAME, SubjectKind.POD, "gateway_arp", "The gateway's answer to ARP requests", cannot_send)
    return found


def is_link_broken(known: Mapping[str, Value]) -> bool:
    """Whether pod-link found one of the ends of the pod's link down or missing."""
    return known.get("eth0") in {"down", "missing", "no-carrier"} or known.get("host_link") in {"down", "missing"}


def cannot_send(known: Mapping[str, Value]) -> bool:
    """Whether pod-link or pod-routes tells that nothing leaves the pod: then its gateway was never asked."""
    return is_link_broken(known) or known.get("default_route") in NO_WAY_OUT


_State = tuple[str, str, Value, Value, bool]
"""Gateway, what happened, answers, requests, and whether the pod is young: what pods must share to be told together."""


def _state(known: Mapping[str, Value]) -> _State | None:
    gateway = str(known.get("gateway_ip") or "of the node")
    arp, is_young = known.get("gateway_arp"), known.get("is_young") is True
    if arp in {"silent", "partial"}:
        return (gateway, str(arp), known.get("gateway_answers", 0), known.get("gateway_requests", 0), is_young)
    if arp == "late":
        return (gateway, "late", 0, 0, is_young)
    if arp is None and known.get("gateway_neigh") in _UNRESOLVED:
        return (gateway, str(known["gateway_neigh"]), 0, 0, is_young)
    return None


def _tell(table: FactTable, who: Who, state: _State) -> Finding:
    gateway, kind, answers, requests, is_young = state
    is_late = kind in {"late", "partial"}
    young = " Younger than two minutes: look again before blaming anything." if is_young else ""
    return Finding(
        probe=NAME,
        subject=who.subject,
        severity=Severity.FAIL,
        sentence=_sentence(table, who, gateway, kind, (answers, requests)) + young,
        evidence=_evidence(table, who),
        symptom=who.symptom(SymptomKind.GATEWAY_LATE if is_late else SymptomKind.GATEWAY_SILENT, "gateway"),
    )


def _sentence(table: FactTable, who: Who, gateway: str, kind: str, counts: tuple[Value, Value]) -> str:
    answers, requests = counts
    slowest = _slowest(table, who.pods)
    match kind:
        case "silent":
            asked = (
                f"none of {requests} ARP requests" if isinstance(requests, int) and requests > 1 else "no ARP request"
            )
            return f"Gateway {gateway} answered {asked} from {who}."
        case "partial":
            return f"Gateway {gateway} answered only {answers} of {requests} ARP requests from {who}."
        case "late":
            return (
                f"Gateway {gateway} answered ARP requests from {who} only after up to {slowest:.0f} ms "
                f"(a healthy node answers within {PROMPT_MS:g} ms)."
            )
        case _:
            entry = "neighbour table" if len(who.pods) == 1 else "neighbour tables"
            return f"Gateway {gateway} is {kind} in the {entry} of {who}: its last ARP requests were not answered."


def _slowest(table: FactTable, pods: Iterable[Subject]) -> float:
    values = (table.of(pod).get("gateway_arp_max_ms") for pod in pods)
    return max((float(each) for each in values if isinstance(each, int | float)), default=0.0)


def _evidence(table: FactTable, who: Who) -> dict[str, Value]:
    known = table.of(who.pods[0])
    keys = ("gateway_ip", "gateway_arp", "gateway_neigh", "gateway_answers", "gateway_requests", "gateway_arp_max_ms")
    return {key: known[key] for key in keys if key in known}


def _pass(table: FactTable, who: Who, gateway: Value) -> Finding:
    return Finding(
        probe=NAME,
        subject=who.subject,
        severity=Severity.PASS,
        sentence=f"Gateway {gateway} answered every ARP request from {who} within {_slowest(table, who.pods):.1f} ms.",
    )


def _wrong_macs(table: FactTable, pods: Mapping[Subject, Mapping[str, Value]]) -> Iterator[Finding]:
    """Entries that point elsewhere: WARN beside a test that says that the pod is cut off, else FAIL.

    Where tests succeed nevertheless, our own ARP request has corrected the entry: until then nothing came through.
    """
    wrong: dict[Subject, str | None] = {}
    for pod, known in pods.items():
        ways = {known.get("reach_own_node"), known.get("node_reaches_pod")} - {None}
        tested = "corrected" if "ok" in ways else "told" if ways else "untested"
        wrong[pod] = tested if known.get("gateway_mac_matches") is False else None
    for who, tested in sharing(table, wrong, apart=len(wrong)):
        known = table.of(who.pods[0])
        entry = "entry holds a MAC address" if len(who.pods) == 1 else "entries hold MAC addresses"
        cure = "; asking for it by ARP seems to have corrected that" if tested == "corrected" else ""
        yield Finding(
            probe=NAME,
            subject=who.subject,
            severity=Severity.WARN if tested == "told" else Severity.FAIL,
            sentence=f"In {who}, the gateway's neighbour {entry} that the node does not answer with "
            f"({known.get('gateway_ip', 'gateway')} is {known.get('gateway_neigh', 'resolved')}){cure}.",
            evidence=_evidence(table, who),
            symptom=None if tested == "told" else who.symptom(SymptomKind.POD_ISOLATED, "gateway"),
        )


def _several_macs(table: FactTable, pods: Mapping[Subject, Mapping[str, Value]]) -> Iterator[Finding]:
    counts: dict[Subject, Value | None] = {}
    for pod, known in pods.items():
        macs = known.get("gateway_macs")
        counts[pod] = macs if isinstance(macs, int) and macs > 1 else None
    for who, macs in sharing(table, counts):
        yield Finding(
            probe=NAME,
            subject=who.subject,
            severity=Severity.WARN,
            sentence=f"{macs} MAC addresses answered ARP requests for the gateway from {who}: two devices claim it.",
        )


PROBE = Probe(
    name=NAME,
    question="Does the pod's gateway answer ARP, and what does the pod's own neighbour table say about it?",
    facts=FACTS,
    needs=LOOK_AT_PODS,
    observe=observe,
    judge=judge,
)
