"""Single routes that take one address elsewhere than others go: on a node for one pod of another, or in a pod."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from bot.agent.report import Route
from bot.domain.facts import FactBuilder
from bot.probes.engine.evidence import Evidence
from bot.probes.pod_link.observe import own_link
from bot.probes.pod_routes.facts import REFUSING
from bot.probes.pod_routes.rules import Taking
from bot.probes.shared.address_ranges import blocks_by_node
from bot.probes.shared.pod_views import PodView
from bot.probes.shared.policy_routing import Packet, Routing, in_words, protocol_and_port, route_words
from bot.probes.shared.routing import MAIN, RouteTable, network

LISTED = 10
MOST_TARGETS = 300
_KEYS = ("has_stray_route", "stray_routes", "stray_routes_fail")

way = tuple[str, str]


def observe_stray_routes(
    evidence: Evidence, tables: Mapping[str, RouteTable], by_rules: Mapping[str, Sequence[Taking]], into: FactBuilder
) -> None:
    """For each pod, the nodes on which a route or a rule takes it elsewhere than the other pods of its node.

    `by_rules` are the rules, by address.
    """
    pods, blocks = _pods_by_node(evidence), blocks_by_node(evidence)
    taken: dict[str, list[str]] = defaultdict(list)
    wholly: set[str] = set()
    for ip, rules in by_rules.items():
        taken[ip] += [one.words for one in rules]
        wholly |= {ip for one in rules if one.is_whole}
    for name, table in sorted(tables.items()):
        for other in pods:
            for ip, route in _stray(table, pods[other], blocks.get(other, ())) if other != name else ():
                taken[ip].append(f"{route_words(route)} on {name}")
                wholly.add(ip)
    for ip, owners in evidence.pods_by_ip.items():
        for subject in owners if tables else ():
            into.set(subject, "taken_away", ip in taken)
            into.set(subject, "taken_wholly", ip in wholly)
            into.set(subject, "taken_away_by", tuple(taken[ip][:LISTED]) if ip in taken else ())


def _pods_by_node(evidence: Evidence) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for ip, owners in sorted(evidence.pods_by_ip.items()):
        found[evidence.node_of(owners[0])].append(ip)
    return found


def _stray(table: RouteTable, ips: Sequence[str], blocks: Sequence[str]) -> Iterator[tuple[str, Route]]:
    """Each address whose route is its own and leads elsewhere than all that is known of the node's range."""
    routes = {ip: route for ip in ips[:MOST_TARGETS] if (route := table.lookup(ip))}
    for ip, route in routes.items():
        net = network(route.dst)
        if net is None or net.prefixlen < 32 - _SMALL_BITS or not _takes_less(net.prefixlen, blocks):
            continue
        others = [one for one in routes.values() if one is not route]
        others += [one for block in blocks if (one := table.lookup(_another(block, route)))]
        below = table.without(route, ip)
        if not others and below and below.dst != "default":
            others = [below]
        usual = {_way(one) for one in others if one.type not in REFUSING}
        if usual and _way(route) not in usual:
            yield ip, route


def is_for_single_pods(route: Route) -> bool:
    """Whether it takes 16 addresses or fewer."""
    net = network(route.dst)
    return net is not None and net.prefixlen >= 32 - _SMALL_BITS


_SMALL_BITS = 4


def _takes_less(length: int, blocks: Sequence[str]) -> bool:
    nets = [net for net in map(network, blocks) if net]
    return not nets or all(length > net.prefixlen for net in nets)


def _way(route: Route) -> way:
    if route.type in REFUSING:
        return (route.type, "")
    return (route.via, route.dev)


def _another(block: str, route: Route) -> str:
    """An address of the block that the route does not take, as far as there is one."""
    net, taken = network(block), network(route.dst)
    if net is None:
        return ""
    some = (net[1 % net.num_addresses], net[-1], net[0])
    return next((str(one) for one in some if taken is None or one not in taken), "")


# In the pod


def observe_stray_inside(evidence: Evidence, view: PodView, into: FactBuilder) -> None:
    """In the pod, routes and rules that take addresses of the cluster elsewhere than its default route."""
    state = view.state
    default = RouteTable(state.routes).default if state else None
    own = own_link(state, view.pod.status.pod_ip) if state else None
    if state is None or default is None or own is None or ":" in view.pod.status.pod_ip:
        into.miss_all(view.subject, _KEYS, "the pod has no default route to compare with")
        return
    routing = Routing(state)
    # A Service has no machine: what takes its address for a neighbour's (a prefix too short) asks nobody.
    services = {each.spec.cluster_ip for each in evidence.services.values()}
    found: dict[str, None] = {}
    outcomes: list[bool] = []
    for packet, outcome in _packets(evidence, view):
        ip = packet.dst
        answer = routing.answer(packet) if state.rules else None
        route = answer.route if answer else routing.table(MAIN).lookup(ip)
        refusal = answer.refusal if answer else route.type if route and route.type in REFUSING else ""
        neighbours = {default.via} if ip in services else {"", default.via}
        is_usual = route is not None and route.dev == own.name and route.via in neighbours
        if (refusal or (route is not None and not is_usual)) and route is not default:
            by_rule = answer is not None and answer.rule.table != MAIN
            words = in_words(answer) if answer and by_rule else route_words(route) if route else ""
            found.setdefault(f"{words}, which takes {ip}")
            outcomes += [] if outcome is None else [outcome]
    into.set(view.subject, "stray_routes_fail", bool(outcomes) and not any(outcomes))
    into.set(view.subject, "has_stray_route", bool(found))
    into.set(view.subject, "stray_routes", tuple(found)[:LISTED])


def _packets(evidence: Evidence, view: PodView) -> Iterator[tuple[Packet, bool | None]]:
    """What the pod sends to others, and whether it arrived, where that was tested."""
    own = view.pod.status.pod_ip
    yield from ((Packet(ip, own), None) for ip in _addresses(evidence, view))
    for source, _, test in evidence.tests:
        asked = protocol_and_port(test)
        if source == view.subject and asked and ":" not in test.ip and test.outcome != "skipped":
            protocol, port = asked
            yield Packet(test.ip, own, (), protocol, dport=port), test.ok > 0 or test.outcome == "ok"


def _addresses(evidence: Evidence, view: PodView) -> Iterator[str]:
    """Other pods, Services and nodes."""
    ips = [ip for ip in sorted(evidence.pods_by_ip) if ip != view.pod.status.pod_ip]
    ips += [each.spec.cluster_ip for each in evidence.services.values()]
    ips += [node.internal_ip for node in evidence.nodes.values()]
    known = [ip for ip in ips if ip and ip != "None" and ":" not in ip]
    yield from known[:: max(1, len(known) // MOST_TARGETS)]
