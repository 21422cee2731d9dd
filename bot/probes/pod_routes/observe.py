"""Are there routes both ways: out of the pod, and from its node back to it?

In the pod: without a default route its own kernel refuses to send (ENETUNREACH at once), however well the gateway
answers. On the node: each pod needs a route by its own link (Calico: a /32), or by the bridge that it is a port of.
A missing one is invisible from the pod: requests leave, replies have nowhere to go; with strict rp_filter the gateway
is silent as well.

Rules of other programs (VPN clients, multi-homing) may send pod traffic elsewhere before the main table is asked.

Source: https://man7.org/linux/man-pages/man8/ip-route.8.html, ip-rule.8
Source: https://github.com/projectcalico/calico/issues/3270, issues/7866 (node without default route)
"""

import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from bot.agent.report import Route, RouteAnswer
from bot.domain import facts
from bot.domain.facts import FactBuilder
from bot.probes.engine.evidence import Evidence
from bot.probes.gateway_reachability import growth
from bot.probes.pod_link.observe import host_end, own_link
from bot.probes.pod_routes.facts import REFUSING
from bot.probes.pod_routes.rules import Taking, observe_rules, taken_by_rules
from bot.probes.pod_routes.stray import is_for_single_pods, observe_stray_inside, observe_stray_routes
from bot.probes.shared.pod_views import NodeView, PodView, node_views, observable_pods
from bot.probes.shared.policy_routing import Packet, Routing, route_words
from bot.probes.shared.routing import BY_PROGRAM, MAIN, RouteTable, default_state, is_cni_device

_IN_POD = ("default_route", "eth0_routes")
_POD_KEYS = (*_IN_POD, "route_on_node", "route_dev", "refusing_route", "refusing_route_deletion")
_ERRNO = {"blackhole": "EINVAL", "unreachable": "EHOSTUNREACH", "prohibit": "EACCES"}


def observe(evidence: Evidence, into: FactBuilder) -> None:
    """The routes of every pod in sight, and those of each node that was inspected."""
    has_own_routes = not evidence.cni.runs_cilium or _has_own_routes(evidence)
    by_node: dict[str, list[PodView]] = defaultdict(list)
    missing: Counter[str] = Counter()
    tables = {name: RouteTable(root.state.routes) for name, root in node_views(evidence).items()}
    links = {name: _pod_links(evidence, name) for name in evidence.reports}
    for view in observable_pods(evidence):
        if view.seen is None or view.root is None:
            into.miss_all(view.subject, _POD_KEYS, view.why)
            continue
        by_node[view.root.name].append(view)
        _observe_inside(view, into)
        observe_stray_inside(evidence, view, into)
        answer = view.seen.route_to_pod
        unasked = "the node's route to the pod was not looked up"
        way = _way_back(view, answer, tables[view.root.name], links[view.root.name]) if answer else None
        if way == "other" and answer and not has_own_routes and answer.dev in BY_PROGRAM:
            way = "programs"
        refusal = _refusal(view, answer, tables[view.root.name]) if answer else None
        into.put(view.subject, "route_on_node", "refused" if refusal else way, unasked)
        into.put(view.subject, "refusing_route", route_words(refusal) if refusal else "", unasked)
        into.put(
            view.subject, "refusing_route_deletion", _deletion(refusal) if refusal else None, "no route refuses it"
        )
        into.put(view.subject, "route_dev", answer.dev if answer else None, unasked)
        missing[view.root.name] += way in {"missing", "blackhole"}
    by_rules: dict[str, list[Taking]] = defaultdict(list)
    for name, root in node_views(evidence).items():
        for ip, rules in taken_by_rules(evidence, root, by_node[name]).items():
            by_rules[ip] += rules
    known = {name: table for name, table in tables.items() if not table.is_empty}
    observe_stray_routes(evidence, known, by_rules, into)
    for name, root in node_views(evidence).items():
        into.put(facts.node(name), "pod_routes_missing", missing[name] if by_node[name] else None, "no pod was seen")
        _observe_node(evidence, root, tables[name], by_node[name], into)


def _has_own_routes(evidence: Evidence) -> bool:
    """Whether Cilium gives pods routes of their own (enable-endpoint-routes): then one without has lost it."""
    seen = (each for report in evidence.reports.values() for each in report.pods)
    return any(each.route_to_pod and each.route_to_pod.dev.startswith("lxc") for each in seen)


def _pod_links(evidence: Evidence, node: str) -> frozenset[str]:
    return frozenset(each.host_link for each in evidence.reports[node].pods if each.host_link) - BY_PROGRAM


def _observe_inside(view: PodView, into: FactBuilder) -> None:
    state = view.state
    if state is None or not view.has_read("routes"):
        into.miss_all(view.subject, _IN_POD, "the pod's routes were not read")
        return
    if ":" in view.pod.status.pod_ip:
        into.miss_all(view.subject, _IN_POD, "only IPv4 routes are judged")
        return
    by_eth0 = (route for route in state.routes if route.dev == "eth0" and route.table == MAIN)
    into.set(view.subject, "eth0_routes", any(route.type == "unicast" and ":" not in route.dst for route in by_eth0))
    found = default_state(state.routes)
    if found == "present":
        own = own_link(state, view.pod.status.pod_ip)
        route = RouteTable(state.routes).default
        found = "other-device" if own and route and route.dev and route.dev != own.name else "gateway"
    into.set(view.subject, "default_route", found)


def _way_back(view: PodView, answer: RouteAnswer, table: RouteTable, pod_links: frozenset[str]) -> str:
    """What the node's answer to "route to the pod" means."""
    link = host_end(view)
    if link is not None and link.name != answer.dev and _is_overruled(view, link.name, table):
        return "overruled"
    if answer.errno or answer.type == "blackhole" or not answer.dev:
        refused = {"EINVAL": "blackhole", "ENETUNREACH": "missing", "": "blackhole" * (answer.type == "blackhole")}
        return refused.get(answer.errno) or "other"
    if link is not None and answer.dev == link.name:
        return "own-link"
    if link is not None and link.master and answer.dev == link.master:
        return "bridge"
    if answer.dev in pod_links:
        return "wrong-link"
    default = table.default
    by_default = default is not None and (answer.dev, answer.via) == (default.dev, default.via)
    return "missing" if by_default else "other"


def _is_overruled(view: PodView, link: str, table: RouteTable) -> bool:
    """Whether the main table has the route to the pod, and a rule before it leads elsewhere."""
    ip = view.pod.status.pod_ip
    kept = table.lookup(ip)
    if view.root is None or kept is None or (kept.dev, kept.type) != (link, "unicast"):
        return False
    answer = Routing(view.root.state).answer(Packet(dst=ip))
    return answer is not None and answer.rule.table != MAIN and answer.way != ("", kept.via, kept.dev)


def _refusal(view: PodView, answer: RouteAnswer, table: RouteTable) -> Route | None:
    """The route for the pod's address alone by which the node's answer refuses it, if that is why it does."""
    route = table.lookup(view.pod.status.pod_ip)
    if route is None or not is_for_single_pods(route):
        return None
    return route if answer.errno and answer.errno == _ERRNO.get(route.type) else None


def _deletion(route: Route) -> str:
    table = f" table {route.table}" if route.table != MAIN else ""
    return f"ip route del {shlex.quote(route.type)} {shlex.quote(route.dst)}{table}"


# The node


def _observe_node(
    evidence: Evidence, root: NodeView, table: RouteTable, views: Sequence[PodView], into: FactBuilder
) -> None:
    node, state = facts.node(root.name), root.state
    into.put(node, "inno_routes_delta", growth(root, "IpExt.InNoRoutes"), "counters were not read twice")
    if not state.routes and not (root.is_ours and state.links):
        keys = (
            "default_route",
            "zeroconf_route",
            "service_route",
            "overlapping_route",
            "foreign_rule",
            "foreign_rules",
            "routing_rules_lost",
        )
        into.miss_all(node, keys, root.why_missing("root.routes") or "the node's routes were not read")
        return
    into.set(node, "default_route", default_state(state.routes))
    into.set(node, "zeroconf_route", any(r.dst == "169.254.0.0/16" and r.table == MAIN for r in state.routes))
    cluster_ips = [each.spec.cluster_ip for each in evidence.services.values() if ":" not in each.spec.cluster_ip]
    known = sorted(ip for ip in cluster_ips if ip not in {"", "None"})[:50]
    route = table.lookup(known[0]) if known else None
    routed = (route is not None and route.type not in REFUSING) if known else None
    into.put(node, "service_route", routed, "no Service with a ClusterIP is known")
    into.set(node, "overlapping_route", _overlaps(evidence, root, table, known))
    observe_rules(evidence, root, views, into)


def _overlaps(evidence: Evidence, root: NodeView, table: RouteTable, cluster_ips: Iterable[str]) -> bool:
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
