"""Are there routes both ways: out of the pod, and from its node back to it?

In the pod: without a default route its own kernel refuses to send (ENETUNREACH at once), however well the gateway
answers. On the node: each pod needs a route by its own link (Calico: a /32), or by the bridge that it is a port of.
A missing one is invisible from the pod: requests leave, replies have nowhere to go; with strict rp_filter the gateway
is silent as well.

Rules of other programs (VPN clients, multi-homing) may send pod traffic elsewhere before the main table is asked.

Source: https://man7.org/linux/man-pages/man8/ip-route.8.html, ip-rule.8
Source: https://github.com/projectcalico/calico/issues/3270, issues/7866 (node without default route)
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from bot.agent.report import RouteAnswer, Rule
from bot.domain import facts
from bot.domain.facts import FactBuilder, FactSpec, Rung
from bot.probes.evidence import Evidence
from bot.probes.gateway_reachability import LINK_LOCAL_GATEWAY, growth
from bot.probes.needs import LOOK_AT_PODS
from bot.probes.pod_link import host_end, own_link
from bot.probes.pod_routes_told import NAME, judge
from bot.probes.probe import Probe
from bot.probes.routing import MAIN, RouteTable, default_state, is_cni_device, network
from bot.probes.sight import Root, Sight, miss_all, pods_in_sight, put, roots

_INSIDE = (Rung.EXEC, Rung.AGENT)
_OUTSIDE = (Rung.CNI_AGENT, Rung.AGENT)
_REFUSING = ("unreachable", "blackhole", "prohibit")
_LOOK_POD = "kubectl exec <pod> -- ip route"
_LOOK_BACK = "ip route get <pod ip>  # on <node>"
_LOOK_NODE = "ip route show default  # on <node>"
_LOOK_RULES = "ip rule; ip route show table all  # on <node>"

FACTS = (
    FactSpec(
        name="pod.default_route",
        type="str",
        values=("gateway", "missing", "mistyped", "other-device", *_REFUSING),
        doc="The default route inside the pod; mistyped: 0.0.0.0/32 instead of 0.0.0.0/0.",
        rungs=_INSIDE,
        look=_LOOK_POD,
    ),
    FactSpec(
        name="pod.route_on_node",
        type="str",
        values=("own-link", "wrong-link", "missing", "blackhole", "bridge", "other"),
        doc="How the node routes to the pod: by the pod's own link, by another pod's, by its bridge, or not at all.",
        rungs=_OUTSIDE,
        look=_LOOK_BACK,
    ),
    FactSpec(
        name="pod.route_dev",
        type="str",
        doc="The device by which the node routes to the pod.",
        rungs=_OUTSIDE,
        look=_LOOK_BACK,
    ),
    FactSpec(
        name="node.default_route",
        type="str",
        values=("present", "missing", "mistyped", *_REFUSING),
        doc="The node's default route; mistyped: 0.0.0.0/32 instead of 0.0.0.0/0.",
        rungs=_OUTSIDE,
        look=_LOOK_NODE,
    ),
    FactSpec(
        name="node.zeroconf_route",
        type="bool",
        doc="The node has a route to 169.254.0.0/16, which stands in for a default route when ARP is answered.",
        rungs=_OUTSIDE,
        look="ip route show 169.254.0.0/16  # on <node>",
    ),
    FactSpec(
        name="node.foreign_rule",
        type="bool",
        doc="A routing rule that is neither the kernel's nor a CNI's sends pod traffic elsewhere.",
        rungs=_OUTSIDE,
        look=_LOOK_RULES,
    ),
    FactSpec(
        name="node.foreign_rules",
        type="list",
        doc="Such rules, as `ip rule` prints them.",
        rungs=_OUTSIDE,
        look=_LOOK_RULES,
    ),
    FactSpec(
        name="node.pod_routes_missing",
        type="int",
        doc="Pods of the node to which it has no route of their own.",
        rungs=_OUTSIDE,
        look=_LOOK_BACK,
    ),
    FactSpec(
        name="node.inno_routes_delta",
        type="int",
        doc="Packets that the node had no route for (IpExt.InNoRoutes) while the tests ran.",
        look="nstat -az IpExtInNoRoutes  # on <node>, twice",
    ),
    FactSpec(
        name="node.service_route",
        type="bool",
        doc="The node itself has a route for ClusterIPs (usually the default route), without which it cannot use them.",
        rungs=_OUTSIDE,
        look="ip route get <cluster ip>  # on <node>",
    ),
    FactSpec(
        name="node.overlapping_route",
        type="bool",
        doc="A network of the node that is not the CNI's (docker0, a VPN) takes packets for pods or ClusterIPs.",
        rungs=_OUTSIDE,
        look="ip route get <remote pod ip>  # on <node>",
    ),
)
_POD_KEYS = ("default_route", "route_on_node", "route_dev")


def observe(evidence: Evidence, into: FactBuilder) -> None:
    """The routes of every pod in sight, and those of each node that was looked at."""
    by_node: dict[str, list[Sight]] = defaultdict(list)
    missing: Counter[str] = Counter()
    tables = {name: RouteTable(root.state.routes) for name, root in roots(evidence).items()}
    links = {name: _pod_links(evidence, name) for name in evidence.reports}
    for sight in pods_in_sight(evidence):
        if sight.seen is None or sight.root is None:
            miss_all(into, sight.subject, _POD_KEYS, sight.why)
            continue
        by_node[sight.root.name].append(sight)
        _observe_inside(sight, into)
        answer = sight.seen.route_to_pod
        unasked = "the node was not asked for its route to the pod"
        way = _way_back(sight, answer, tables[sight.root.name], links[sight.root.name]) if answer else None
        put(into, sight.subject, "route_on_node", way, unasked)
        put(into, sight.subject, "route_dev", answer.dev if answer else None, unasked)
        missing[sight.root.name] += way in {"missing", "blackhole"}
    for name, root in roots(evidence).items():
        put(into, facts.node(name), "pod_routes_missing", missing[name] if by_node[name] else None, "no pod was seen")
        _observe_node(evidence, root, tables[name], by_node[name], into)


def _pod_links(evidence: Evidence, node: str) -> frozenset[str]:
    return frozenset(each.host_link for each in evidence.reports[node].pods if each.host_link)


def _observe_inside(sight: Sight, into: FactBuilder) -> None:
    state = sight.state
    if state is None or not (state.routes or (sight.root and sight.root.is_ours and state.links)):
        into.miss(sight.subject, "default_route", "the pod's routes were not read")
        return
    if ":" in sight.pod.status.pod_ip:
        into.miss(sight.subject, "default_route", "only IPv4 routes are judged")
        return
    found = default_state(state.routes)
    if found == "present":
        own = own_link(state, sight.pod.status.pod_ip)
        route = RouteTable(state.routes).default
        found = "other-device" if own and route and route.dev and route.dev != own.name else "gateway"
    into.set(sight.subject, "default_route", found)


def _way_back(sight: Sight, answer: RouteAnswer, table: RouteTable, pod_links: frozenset[str]) -> str:
    """What the node's answer to "route to the pod" means."""
    if answer.errno or answer.type == "blackhole" or not answer.dev:
        refused = {"EINVAL": "blackhole", "ENETUNREACH": "missing", "": "blackhole" * (answer.type == "blackhole")}
        return refused.get(answer.errno) or "other"
    link = host_end(sight)
    if link is not None and answer.dev == link.name:
        return "own-link"
    if link is not None and link.master and answer.dev == link.master:
        return "bridge"
    if answer.dev in pod_links:
        return "wrong-link"
    default = table.default
    by_default = default is not None and (answer.dev, answer.via) == (default.dev, default.via)
    return "missing" if by_default else "other"


# The node


def _observe_node(
    evidence: Evidence, root: Root, table: RouteTable, sights: Sequence[Sight], into: FactBuilder
) -> None:
    node, state = facts.node(root.name), root.state
    put(into, node, "inno_routes_delta", growth(root, "IpExt.InNoRoutes"), "counters were not read twice")
    if not state.routes and not (root.is_ours and state.links):
        keys = (
            "default_route",
            "zeroconf_route",
            "service_route",
            "overlapping_route",
            "foreign_rule",
            "foreign_rules",
        )
        miss_all(into, node, keys, root.why_missing("root.routes", "routes") or "the node's routes were not read")
        return
    into.set(node, "default_route", default_state(state.routes))
    into.set(node, "zeroconf_route", any(r.dst == "169.254.0.0/16" and r.table == MAIN for r in state.routes))
    cluster_ips = [each.spec.cluster_ip for each in evidence.services.values() if ":" not in each.spec.cluster_ip]
    known = sorted(ip for ip in cluster_ips if ip not in {"", "None"})[:50]
    route = table.lookup(known[0]) if known else None
    routed = (route is not None and route.type not in _REFUSING) if known else None
    put(into, node, "service_route", routed, "no Service with a ClusterIP is known")
    into.set(node, "overlapping_route", _overlaps(evidence, root, table, known))
    if not state.rules:
        miss_all(into, node, ("foreign_rule", "foreign_rules"), "the node's routing rules were not read")
        return
    foreign = tuple(_foreign_rules(evidence, root, table, sights))
    into.set(node, "foreign_rule", bool(foreign))
    into.set(node, "foreign_rules", foreign[:10])


def _overlaps(evidence: Evidence, root: Root, table: RouteTable, cluster_ips: Iterable[str]) -> bool:
    """Whether packets for pods or ClusterIPs go, by a connected network, into a device that is not the CNI's."""
    pods = sorted(ip for ip, owners in evidence.pods_by_ip.items() if evidence.node_of(owners[0]) != root.name)
    default = table.default
    own = {default.dev if default else ""} | {
        each.dev for each in root.state.addresses if evidence.node_by_ip.get(each.ip) == root.name
    }
    own |= _pod_links(evidence, root.name) | {link.master for link in root.state.links if link.kind == "veth"}
    for ip in (*pods[:: max(1, len(pods) // 100)], *cluster_ips):
        route = table.lookup(ip)
        if route is None or route.via or route.type != "unicast" or route.dev in own or route is default:
            continue
        if not is_cni_device(route.dev):
            return True
    return False


_KERNEL_RULES = frozenset({0, 32766, 32767})
_AWS_PRIORITIES = frozenset({512, 1024, 1536})


def _foreign_rules(evidence: Evidence, root: Root, main: RouteTable, sights: Sequence[Sight]) -> Iterator[str]:
    """Rules that take packets of this node's pods and end elsewhere than the main table would.

    Rules that ask for a mark are left out: they take only what somebody marked. So are those of CNIs that route pods
    by rules (AWS: priorities 512, 1024, 1536).
    """
    tables: dict[int, RouteTable] = {}
    targets = (LINK_LOCAL_GATEWAY, *_one_pod_of_each_other_node(evidence, root))
    for rule in root.state.rules:
        if rule.priority in _KERNEL_RULES or rule.fwmark or rule.is_inverted or rule.table in {MAIN, 255}:
            continue
        if evidence.cni.name == "aws-vpc-cni" and rule.priority in _AWS_PRIORITIES:
            continue
        if not any(_takes(rule, sight) for sight in sights):
            continue
        taken = [ip for ip in targets if _is_within(ip, rule.dst)]
        table = tables.setdefault(rule.table, RouteTable(root.state.routes, rule.table))
        if any(rule.action in _REFUSING or _leads_elsewhere(table, main, ip) for ip in taken):
            yield _in_words(rule)


def _one_pod_of_each_other_node(evidence: Evidence, root: Root) -> Iterator[str]:
    """An address of a pod of each other node in scope: where packets of this node's pods go, besides the outside."""
    by_node: dict[str, str] = {}
    for ip, owners in evidence.pods_by_ip.items():
        by_node.setdefault(evidence.node_of(owners[0]), ip)
    return (by_node[name] for name in evidence.nodes_in_scope if name != root.name and name in by_node)


def _takes(rule: Rule, sight: Sight) -> bool:
    """Whether a packet that comes from this pod would match, but for where it goes."""
    link = host_end(sight)
    if rule.iif and (link is None or rule.iif not in {link.name, link.master}):
        return False
    return not rule.oif and _is_within(sight.pod.status.pod_ip, rule.src)


def _leads_elsewhere(table: RouteTable, main: RouteTable, ip: str) -> bool:
    """Whether this table sends packets for `ip` elsewhere than the main table, or refuses them."""
    route, usual = table.lookup(ip), main.lookup(ip)
    if route is None:
        return False
    return route.type in _REFUSING or (usual is not None and usual.type == "unicast" and route.dev != usual.dev)


def _is_within(ip: str, cidr: str) -> bool:
    if cidr in {"", "all", "default"}:
        return True
    net, host = network(cidr), network(ip)
    return net is not None and host is not None and host.subnet_of(net)


def _in_words(rule: Rule) -> str:
    iif = f" iif {rule.iif}" if rule.iif else ""
    to = f" to {rule.dst}" if rule.dst not in {"", "all"} else ""
    ending = f"lookup {rule.table}" if rule.action not in _REFUSING else rule.action
    return f"{rule.priority}: from {rule.src or 'all'}{to}{iif} {ending}"[:120]


PROBE = Probe(
    name=NAME,
    question="Are there routes both ways: out of the pod, and from its node back to it?",
    facts=FACTS,
    needs=LOOK_AT_PODS,
    observe=observe,
    judge=judge,
)
