"""Would the node answer ARP and forward for this pod, and do the pod and its own node reach each other?

The kernel answers ARP by proxy only when it would forward: `ip route get GATEWAY from POD iif LINK` on the node is the
same question ("oracle"). Its errno tells causes apart: ENETUNREACH no default route; EHOSTUNREACH forwarding off, or a
rule to an unreachable table; EINVAL strict rp_filter without a route back to the pod; `local` an address that the node
has itself, for which it never answers by proxy. On a bridge CNI `local` is what it should be.

Sysctls are the effective ones: proxy_arp and rp_filter of the interface count together with those of `all`
(proxy_arp: either; rp_filter and arp_ignore: the larger). For a bridge port the bridge's own values count.

Source: https://docs.kernel.org/networking/ip-sysctl.html
Source: net/ipv4/arp.c, arp_process() and arp_fwd_proxy(): the route lookup that decides about a proxy answer
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from bot.agent.report import FirewallChain, NetnsState, RouteAnswer
from bot.domain import facts
from bot.domain.facts import FactBuilder, FactSpec, FactTable, Rung, Subject, SubjectKind, Value
from bot.domain.finding import Finding, Severity, SymptomKind
from bot.probes.engine.evidence import Evidence
from bot.probes.engine.fact_spec import fact
from bot.probes.engine.needs import LOOK_AT_PODS
from bot.probes.engine.probe import Probe
from bot.probes.filters.deletion import deletions_of
from bot.probes.pod_link.observe import host_end
from bot.probes.shared.flows import Tried, tried_flows
from bot.probes.shared.own_link import cannot_send
from bot.probes.shared.pod_views import (
    NodeView,
    PodView,
    conf,
    either,
    node_views,
    observable_pods,
    strictest,
    sysctl,
)
from bot.probes.shared.reach import REACH_VALUES, aggregate, in_words
from bot.probes.shared.sentences import Who, sharing, unseen

NAME = "gateway-reachability"
LINK_LOCAL_GATEWAY = "169.254.1.1"

_OUTSIDE = (Rung.CNI_AGENT, Rung.AGENT)
_LOOK_SYSCTL = "sysctl -a | grep -E 'conf.(all|(cali|veth|lxc)[^.]*).(proxy_arp|forwarding|rp_filter)'  # on <node>"


def _int(name: str, doc: str, look: str = _LOOK_SYSCTL, rungs: tuple[Rung, ...] = _OUTSIDE) -> FactSpec:
    return fact(name, "int", doc, look=look, rungs=rungs)


def _bool(name: str, doc: str, look: str = _LOOK_SYSCTL, rungs: tuple[Rung, ...] = _OUTSIDE) -> FactSpec:
    return fact(name, "bool", doc, look=look, rungs=rungs)


_LOOK_ORACLE = "ip route get <gateway> from <pod ip> iif <host link>  # on <node>"
_LOOK_NSTAT = "nstat -az Ip.InAddrErrors TcpExt.IPReversePathFilter  # on <node>, twice"
FACTS = (
    fact(
        "pod.gateway_oracle",
        "str",
        "The node's own answer to whether it would forward a packet of this pod to the pod's gateway.",
        values=("ok", "net-unreachable", "host-unreachable", "invalid", "local", "other"),
        rungs=_OUTSIDE,
        look=_LOOK_ORACLE,
    ),
    fact(
        "pod.gateway_oracle_dev",
        "str",
        "The device by which the node would forward it.",
        rungs=_OUTSIDE,
        look=_LOOK_ORACLE,
    ),
    fact(
        "pod.own_dev",
        "str",
        "The node's end of the pod's link.",
        rungs=_OUTSIDE,
        look="ip route show <pod ip>  # on <node>",
    ),
    _bool("pod.host_proxy_arp", "The node answers ARP by proxy on the pod's link (`all` or the interface says so)."),
    _bool("pod.host_forwarding", "The node forwards what comes in by the pod's link (or its bridge)."),
    _int("pod.host_rp_filter", "Reverse path filter on the pod's link: 0 off, 1 strict, 2 loose; the larger of both."),
    _int("pod.host_proxy_delay", "The longest that the node delays an ARP answer by proxy, in hundredths of a second."),
    _int("pod.host_arp_ignore", "arp_ignore on the pod's link, the larger of `all` and the interface's."),
    fact(
        "pod.reach_own_node",
        "str",
        "How the pod reaches its own node's address (ICMP).",
        values=REACH_VALUES,
        look="nsenter -t <pid> -n ping -c 1 <node ip>  # on <node>",
    ),
    fact(
        "pod.node_reaches_pod",
        "str",
        "How the node's root namespace reaches the pod (ICMP, and TCP where it listens).",
        values=REACH_VALUES,
        look="ping -c 1 <pod ip>  # on <node>",
    ),
    _bool(
        "node.ip_forward", "The node forwards IPv4 (net.ipv4.ip_forward).", "sysctl net.ipv4.ip_forward  # on <node>"
    ),
    _bool("node.all_proxy_arp", "net.ipv4.conf.all.proxy_arp: every interface answers ARP by proxy."),
    _int("node.all_rp_filter", "net.ipv4.conf.all.rp_filter: the least that holds for every interface."),
    _bool(
        "node.arp_filtered",
        "A packet filter rule of the ARP family drops on this node.",
        "nft list ruleset arp; arptables -L -v  # on <node>",
    ),
    fact(
        "pod.arp_filters",
        "list",
        "Packet filter rules of the ARP family in the pod's own namespace that drop, and chains whose policy does.",
        look="nsenter -t <pid> -n nft list ruleset  # on <node>",
    ),
    fact(
        "node.arp_filters",
        "list",
        "These rules, and chains of that family whose policy drops.",
        rungs=_OUTSIDE,
        look="nft list ruleset arp; arptables -L -v  # on <node>",
    ),
    fact(
        "node.arp_filter_deletions",
        "list",
        "The commands that delete these rules, of those that can be named exactly.",
        rungs=_OUTSIDE,
        look="nft -a list ruleset arp  # on <node>",
        is_command=True,
    ),
    _bool(
        "node.gateway_address_local",
        "169.254.1.1 is assigned to an interface of the node, which then answers for itself only.",
        "ip addr | grep 169.254.1.1  # on <node>",
    ),
    fact(
        "node.gateway_address_dev",
        "str",
        "The interface that carries 169.254.1.1.",
        rungs=_OUTSIDE,
        look="ip addr | grep 169.254.1.1  # on <node>",
    ),
    _int(
        "node.inaddrerrors_delta",
        "Packets that could not be forwarded (Ip.InAddrErrors) while the tests ran.",
        _LOOK_NSTAT,
        (Rung.AGENT,),
    ),
    _int(
        "node.rpfilter_delta",
        "Packets that the reverse path filter dropped (TcpExt.IPReversePathFilter) while the tests ran.",
        _LOOK_NSTAT,
        (Rung.AGENT,),
    ),
    _int("node.forwarding_off_links", "Pod links of the node with forwarding off."),
    _int("node.proxy_arp_off_links", "Pod links of the node on which it does not answer ARP by proxy."),
    _int("node.pod_links", "Pod links of the node that were found."),
)
_LINK_KEYS = ("own_dev", "host_proxy_arp", "host_forwarding", "host_rp_filter", "host_proxy_delay", "host_arp_ignore")
_POD_KEYS = ("arp_filters", "gateway_oracle", "gateway_oracle_dev", *_LINK_KEYS, "reach_own_node", "node_reaches_pod")

_LISTED = 10
_ERRNO = {"ENETUNREACH": "net-unreachable", "EHOSTUNREACH": "host-unreachable", "EINVAL": "invalid"}
_TYPE = {"unicast": "ok", "local": "local", "unreachable": "host-unreachable", "blackhole": "invalid"}


def observe(evidence: Evidence, into: FactBuilder) -> None:
    """What each node would do for each of its pods, and what tests between them showed."""
    counts: dict[str, dict[str, int]] = defaultdict(lambda: {"pod_links": 0, "forwarding": 0, "proxy_arp": 0})
    for view in observable_pods(evidence):
        if view.seen is None:
            into.miss_all(view.subject, _POD_KEYS, view.why)
            continue
        oracle = view.seen.gateway_oracle
        unasked = "the node was not asked how it would forward for this pod"
        into.put(view.subject, "gateway_oracle", _oracle(oracle), unasked)
        into.put(view.subject, "gateway_oracle_dev", oracle.dev if oracle else None, unasked)
        filters = _arp_filters(view.state) if view.state else None
        into.put(view.subject, "arp_filters", filters, "the pod's packet filters were not read")
        _observe_link(view, into, counts[view.pod.spec.node_name])
    _observe_tests(evidence, into)
    for root in node_views(evidence).values():
        _observe_node(root, into, counts[root.name])


def _oracle(answer: RouteAnswer | None) -> str | None:
    if answer is None:
        return None
    if answer.errno:
        return _ERRNO.get(answer.errno, "other")
    return _TYPE.get(answer.type, "other")


def _observe_link(view: PodView, into: FactBuilder, counts: dict[str, int]) -> None:
    pod, root, link = view.subject, view.root, host_end(view)
    if link is None or root is None:
        into.miss_all(pod, _LINK_KEYS, "the node's end of the pod's link was not found")
        return
    into.set(pod, "own_dev", link.name)
    # A packet from a bridge port comes in, for IP, by the bridge.
    dev = link.master if link.master in root.links and root.links[link.master].kind == "bridge" else link.name
    state = root.state
    forwards, answers = conf(state, dev, "forwarding"), either(state, dev, "proxy_arp")
    unread = f"the sysctls of {dev} were not read"
    into.put(pod, "host_proxy_arp", answers, unread)
    into.put(pod, "host_forwarding", None if forwards is None else forwards != 0, unread)
    into.put(pod, "host_rp_filter", strictest(state, dev, "rp_filter"), unread)
    into.put(pod, "host_arp_ignore", strictest(state, dev, "arp_ignore"), unread)
    delay = sysctl(state, f"ipv4.neigh.{dev.replace('.', '/')}.proxy_delay")
    into.put(pod, "host_proxy_delay", delay, unread)
    counts["pod_links"] += 1
    counts["forwarding"] += forwards == 0
    counts["proxy_arp"] += answers is False


def _observe_tests(evidence: Evidence, into: FactBuilder) -> None:
    outward: dict[Subject, list[str]] = defaultdict(list)
    inward: dict[Subject, list[str]] = defaultdict(list)
    denied: set[Subject] = set()
    for flow in tried_flows(evidence):
        if flow.purpose == "own-node" and flow.source.kind is SubjectKind.POD:
            if flow.is_denied:
                denied.add(flow.source)
            else:
                outward[flow.source].append(flow.reach)
        elif _is_from_own_node(flow) and not flow.is_denied:
            inward[flow.target].append(flow.reach)
    for view in observable_pods(evidence):
        if view.seen is None:
            continue
        policies = "NetworkPolicies do not let it reach its own node"
        untested = policies if view.subject in denied else "no test ran from this pod to its own node"
        into.put(view.subject, "reach_own_node", aggregate(outward[view.subject]), untested)
        untested = "no test ran from its own node to this pod"
        into.put(view.subject, "node_reaches_pod", aggregate(inward[view.subject]), untested)


def _is_from_own_node(flow: Tried) -> bool:
    return (
        flow.source.kind is SubjectKind.NODE
        and flow.target.kind is SubjectKind.POD
        and flow.target_node == flow.source_node
    )


def _observe_node(root: NodeView, into: FactBuilder, counts: Mapping[str, int]) -> None:
    node, state = facts.node(root.name), root.state
    for key, name in (("ip_forward", "ipv4.ip_forward"), ("all_proxy_arp", "ipv4.conf.all.proxy_arp")):
        value = sysctl(state, name)
        into.put(node, key, None if value is None else value != 0, f"net.{name} was not read")
    into.put(
        node,
        "all_rp_filter",
        sysctl(state, "ipv4.conf.all.rp_filter"),
        "net.ipv4.conf.all.rp_filter was not read",
    )
    why = root.why_missing("firewall", "root.firewall") or "the node's packet filters were not read"
    filters = _arp_filters(state)
    into.put(node, "arp_filtered", None if filters is None else bool(filters), why)
    into.put(node, "arp_filters", None if filters is None else filters[:_LISTED], why)
    dropping = [one for one in state.firewall.drops if one.family == "arp"] if state.firewall else ()
    into.put(node, "arp_filter_deletions", None if filters is None else deletions_of(dropping), why)
    carrier = next((each.dev for each in state.addresses if each.ip == LINK_LOCAL_GATEWAY), "")
    into.put(node, "gateway_address_local", bool(carrier) if state.addresses else None, "its addresses were not read")
    into.put(node, "gateway_address_dev", carrier or None, "no interface that was read carries 169.254.1.1")
    for key, name in (("inaddrerrors_delta", "Ip.InAddrErrors"), ("rpfilter_delta", "TcpExt.IPReversePathFilter")):
        into.put(node, key, growth(root, name), "counters were not read twice")
    into.set(node, "pod_links", counts["pod_links"])
    if counts["pod_links"]:
        into.set(node, "forwarding_off_links", counts["forwarding"])
        into.set(node, "proxy_arp_off_links", counts["proxy_arp"])
    else:
        into.miss_all(node, ("forwarding_off_links", "proxy_arp_off_links"), "no pod link of this node was found")


def growth(root: NodeView, counter: str) -> int | None:
    """By how much a counter of the root namespace grew while the tests ran; None when it was not read twice."""
    state = root.state
    if not root.is_ours or counter not in state.counters:
        return None
    return state.counters_delta.get(counter, 0)


def _arp_filters(state: NetnsState) -> tuple[str, ...] | None:
    """What drops ARP, by its place and text; None when the packet filters were not read."""
    firewall = state.firewall
    if firewall is None:
        return None
    rules = [f"arp/{one.table}/{one.chain}: {one.text}" for one in firewall.drops if one.family == "arp"]
    policies = [f"arp/{one.table}/{one.chain}: policy drop" for one in firewall.chains if _drops_arp(one)]
    return (*rules, *policies)


def _drops_arp(chain: FirewallChain) -> bool:
    return chain.family == "arp" and chain.policy == "drop"


# Judgement

_State = tuple[Value | None, Value | None, bool]
"""reach_own_node, node_reaches_pod, and whether the pod is young."""
_ELSEWHERE = ("reach_local_pods", "reach_remote_pods", "reach_outside")


def judge(table: FactTable) -> Sequence[Finding]:
    """FAIL for pods that are cut off although their gateway answers; PASS by node where both directions work."""
    pods = {pod: table.of(pod) for pod in table.subjects(SubjectKind.POD)}
    tested = {pod: known for pod, known in pods.items() if known.keys() & {"reach_own_node", "node_reaches_pod"}}
    states = {pod: _state(known) for pod, known in tested.items()}
    cut_off = {pod: state if state and not _reaches_others(tested[pod]) else None for pod, state in states.items()}
    blocked = {pod: state if state and _reaches_others(tested[pod]) else None for pod, state in states.items()}
    found = [_failure(table, who, state) for who, state in sharing(table, cut_off)]
    found += [_warning(who, state) for who, state in sharing(table, blocked)]
    good = {
        pod: known.get("reach_own_node") == known.get("node_reaches_pod") == "ok" or None
        for pod, known in tested.items()
    }
    found += [_pass(who) for who, _ in sharing(table, good, apart=0)]
    found += unseen(table, NAME, SubjectKind.POD, "gateway_oracle", "The node's way to the gateway", cannot_send)
    return found


def _state(known: Mapping[str, Value]) -> _State | None:
    """What fails between a pod and its node; None when nothing does, or when the reason stands elsewhere.

    A pod without link, route or gateway is reported by the probes that look at these.
    """
    if cannot_send(known) or known.get("gateway_arp") == "silent":
        return None
    ways = (known.get("reach_own_node"), known.get("node_reaches_pod"))
    if all(way in {None, "ok"} for way in ways):
        return None
    return (*ways, known.get("is_young") is True)


def _reaches_others(known: Mapping[str, Value]) -> bool:
    """Whether the pod exchanges packets with anything else: then it is not cut off, but something refuses these."""
    return any(known.get(key) in {"ok", "mixed"} for key in _ELSEWHERE)


def _ways(state: _State) -> str:
    out, back, _ = state
    ways = (("from pod to node", out), ("from node to pod", back))
    return ", ".join(f"{way} a test {in_words(str(reach))}" for way, reach in ways if reach is not None)


def _failure(table: FactTable, who: Who, state: _State) -> Finding:
    answers = " although the gateway answers ARP" if table.of(who.pods[0]).get("gateway_arp") == "answered" else ""
    young = " Younger than two minutes: check again before drawing conclusions." if state[2] else ""
    keys = ("reach_own_node", "node_reaches_pod", "gateway_arp", "gateway_oracle", "route_on_node")
    known = table.of(who.pods[0])
    return Finding(
        probe=NAME,
        subject=who.subject,
        severity=Severity.FAIL,
        sentence=f"Between {who} and the node itself packets are lost{answers}: {_ways(state)}.{young}",
        evidence={key: known[key] for key in keys if key in known},
        symptom=who.symptom(SymptomKind.POD_ISOLATED, "node"),
    )


def _warning(who: Who, state: _State) -> Finding:
    if state[:2] == ("timeout", "ok"):
        one = len(who.pods) == 1
        return Finding(
            probe=NAME,
            subject=who.subject,
            severity=Severity.INFO,
            sentence=f"The node itself does not answer the pings of {who}, while it reaches {'it' if one else 'them'} "
            f"and {'it reaches' if one else 'they reach'} others: it answers no echo, or something drops ICMP.",
        )
    return Finding(
        probe=NAME,
        subject=who.subject,
        severity=Severity.WARN,
        sentence=f"Between {who} and the node itself packets are lost, yet other pods are reached: {_ways(state)}. "
        "A firewall on the node or in the pod treats these packets differently.",
    )


def _pass(who: Who) -> Finding:
    return Finding(
        probe=NAME,
        subject=who.subject,
        severity=Severity.PASS,
        sentence=f"Packets pass in both directions between {who} and the node itself.",
    )


PROBE = Probe(
    name=NAME,
    question="Would the node answer ARP and forward for this pod, and do the pod and its node reach each other?",
    facts=FACTS,
    needs=LOOK_AT_PODS,
    observe=observe,
    judge=judge,
)
