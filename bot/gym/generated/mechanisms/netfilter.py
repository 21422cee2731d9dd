"""Packet filters: any family and hook, any place on the way, matching one pod, one port, one node, a size or all."""

from dataclasses import dataclass

from bot.gym.generated.draw import Draft, Draw, mechanism
from bot.gym.generated.places import L3, PLACES, Place
from bot.gym.generated.scenario import Scope, Selector, Step, Truth

_REFUSALS = (
    "reject",
    "reject with icmp type admin-prohibited",
    "reject with icmp type host-unreachable",
    "reject with icmp type net-unreachable",
    "reject with icmp type port-unreachable",
    "reject with tcp reset",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Which packets."""

    text: str
    selector: Selector
    scope: Scope


def _addresses(place: Place) -> tuple[str, str, str]:
    """How the flow's client, server and the server's port are matched at this place."""
    server = "$SVC_IP" if place.is_service else "$DST_IP"
    if place.direction == "request":
        return "ip saddr $SRC_IP", f"ip daddr {server}", "tcp dport $PORT"
    return "ip daddr $SRC_IP", f"ip saddr {server}", "tcp sport $PORT"


def _tunnel_match(draw: Draw, place: Place) -> Match:
    """The tunnel's packets between the two nodes of the flow."""
    one, other = ("$SRC_NODE_IP", "$DST_NODE_IP") if place.direction == "request" else ("$DST_NODE_IP", "$SRC_NODE_IP")
    is_here_source = (place.direction == "request") == place.on.startswith("src")
    peer = f"ip daddr {other}" if is_here_source or place.on == "underlay" else f"ip saddr {one}"
    port = "udp dport $VXLAN_PORT"
    return draw.one(
        [
            Match(text=f"{peer} {port}", selector="node", scope="node"),
            Match(text=port, selector="port", scope="node"),
            Match(text=f"{peer} meta length > 900", selector="size", scope="node"),
            Match(
                text=f"{peer} {port} numgen random mod 10 < {draw.one([4, 6, 8])}", selector="fraction", scope="node"
            ),
        ]
    )


def _flow_match(draw: Draw, place: Place) -> Match:
    client, server, port = _addresses(place)
    in_pod = place.on.endswith("pod")
    sides = {"src": client, "dst": server}
    near = sides[place.on[:3]] if not in_pod else ""
    choices = [
        Match(text=f"{near} {port}", selector="pod and port", scope="pod"),
        Match(text=f"{client} {server} {port}", selector="pod and port", scope="pod"),
        Match(text=port, selector="port", scope="pod" if in_pod else "node"),
        Match(text=f"{near or port} meta length > 900", selector="size", scope="pod"),
        Match(text=f"{port} numgen random mod 10 < {draw.one([4, 6, 8])}", selector="fraction", scope="pod"),
        Match(text="meta l4proto tcp", selector="protocol", scope="pod" if in_pod else "node"),
    ]
    if near:
        choices.append(Match(text=near, selector="pod", scope="pod"))
    if place.families == L3 and place.hook != "prerouting":
        state = "new" if place.direction == "request" else "established"
        choices.append(Match(text=f"{near} ct state {state} {port}", selector="state", scope="pod"))
    if not place.is_service and not in_pod and not draw.edge.is_local:
        block = "$SRC_BLOCK" if place.on == "dst-node" else "$DST_BLOCK"
        way = "saddr" if (place.on == "dst-node") == (place.direction == "request") else "daddr"
        choices.append(Match(text=f"ip {way} {block}", selector="node", scope="node"))
    if place.is_service and place.direction == "request":
        choices.append(Match(text="udp dport 53", selector="port", scope="pod" if in_pod else "node"))
    return draw.one(choices)


def _possible(draw: Draw) -> list[Place]:
    return [
        place
        for place in PLACES
        if not (place.remote_only and draw.edge.is_local)
        and not (place.bridged_only and not draw.is_bridged)
        and not (place.routed_only and draw.is_bridged)
    ]


def _verdict(draw: Draw, place: Place, match: Match) -> str:
    count = "counter " if draw.maybe() else ""
    if place.may_refuse and not place.is_tunnelled and draw.maybe(0.35):
        refusals = [one for one in _REFUSALS if "tcp" not in one or "tcp" in match.text.split()]
        return count + draw.one(refusals)
    return f"{count}drop"


def table(draw: Draw, place: Place, match: Match, verdict: str, name: str) -> str:
    """An nft table with the one rule, written as one of several authors would."""
    family = draw.one(place.families)
    chain, words = draw.one(["input_x", "c_main", "enforce", "filter_in"]), " ".join(match.text.split())
    if family == "bridge" and "ip " not in words and "meta length" not in words:
        words = f"meta protocol ip {words}"
    device = place.device.replace("iifname ", 'iifname "').replace("oifname ", 'oifname "')
    device = f'{device}"' if device else ""
    hook = place.hook.replace("device ", 'device "') + ('"' if "device" in place.hook else "")
    rule, more = f"{device} {words} {verdict};", ""
    if draw.maybe(0.25):
        rule, more = f"{device} {words} jump verdicts;", f"chain verdicts {{ {verdict}; }}; "
    base = f"type filter hook {hook} priority {draw.one(place.priorities)}; policy accept;"
    return f"table {family} {name} {{ {more}chain {chain} {{ {base} {rule} }}; }}"


def _nft(text: str) -> str:
    return f"nft '{text}'"


@mechanism("nft-rule", "netfilter", weight=8)
def nft_rule(draw: Draw) -> Draft:
    """A rule of somebody else's table drops or rejects what the application needs."""
    place = draw.one(_possible(draw))
    match = (_tunnel_match if place.is_tunnelled else _flow_match)(draw, place)
    verdict, name = _verdict(draw, place, match), draw.name()
    text = table(draw, place, match, verdict, name)
    family = text.split()[1]
    # Out of the nodes' sight, what takes large packets without a word is a black hole for them, whoever made it.
    black_hole = ("pmtu-black-hole",) if place.id == "underlay" and match.selector == "size" else ()
    return Draft(
        place=place.id,
        selector=match.selector,
        scope=match.scope,
        direction=place.direction,
        says=f"a {family} rule at {place.hook.split()[0]} ({verdict}) meets {place.direction} packets at: {place.id}",
        steps=(Step(on=place.on, do=_nft(text), undo=f"nft delete table {family} {name}"),),
        truth=Truth(causes=(*place.causes, *black_hole), hops=place.hops, words=(name,)),
    )


_IPTABLES = (
    ("forward", "filter", "FORWARD"),
    ("prerouting", "raw", "PREROUTING"),
    ("prerouting", "mangle", "PREROUTING"),
    ("output", "filter", "OUTPUT"),
    ("output", "raw", "OUTPUT"),
    ("input", "filter", "INPUT"),
)


@mechanism("iptables-rule", "netfilter", weight=2)
def iptables_rule(draw: Draw) -> Draft:
    """The same by hand with iptables, which counts."""
    places = [one for one in _possible(draw) if one.families == L3 and not one.is_tunnelled]
    places = [one for one in places if one.hook in {hook for hook, _, _ in _IPTABLES}]
    place = draw.one(places)
    _, kept, chain = draw.one([one for one in _IPTABLES if one[0] == place.hook])
    client, server = "$SRC_IP", "$SVC_IP" if place.is_service else "$DST_IP"
    one, other, side = ("-s", "-d", "--dport") if place.direction == "request" else ("-d", "-s", "--sport")
    matches: list[tuple[str, Selector]] = [
        (f"{one} {client} {other} {server} -p tcp {side} $PORT", "pod and port"),
        (f"-p tcp {side} $PORT", "port"),
        (f"{one} {client} {other} {server}", "pod"),
        (f"{one} {client} -p tcp -m length --length 900:65535", "size"),
    ]
    words, selector = draw.one(matches)
    refuses = kept == "filter" and draw.maybe(0.4)
    target = (
        f"REJECT --reject-with {draw.one(['icmp-port-unreachable', 'icmp-admin-prohibited'])}" if refuses else "DROP"
    )
    rule = f"{chain} {words} -j {target}"
    return Draft(
        place=place.id,
        selector=selector,
        scope="node" if selector == "port" else "pod",
        direction=place.direction,
        says=f"iptables -t {kept} -I {chain} ... -j {target}, met by {place.direction} packets at: {place.id}",
        steps=(
            Step(
                on=place.on,
                do=f"iptables -t {kept} -I {rule}",
                undo=f"iptables -t {kept} -D {rule}; nft delete table ip {kept}",
            ),
        ),
        truth=Truth(causes=place.causes, hops=place.hops, words=(chain,)),
    )


@mechanism("arp-rule", "netfilter", weight=1)
def arp_rule(draw: Draw) -> Draft:
    """A rule of the family arp keeps the pod and its gateway from finding each other."""
    name = draw.name()
    on, device, direction = draw.one(
        [("src-node", "$SRC_DEV", "input"), ("src-pod", "eth0", "output"), ("src-pod", "eth0", "input")]
    )
    way = "iifname" if direction == "input" else "oifname"
    text = (
        f"table arp {name} {{ chain c_arp {{ type filter hook {direction} priority 0; policy accept; "
        f'{way} "{device}" drop; }}; }}'
    )
    forget = "ip neigh flush dev eth0"
    steps = [Step(on="src-pod", do=forget, undo=forget)]
    steps.insert(
        0, Step(on="src-node" if on == "src-node" else "src-pod", do=_nft(text), undo=f"nft delete table arp {name}")
    )
    return Draft(
        place="source veth" if on == "src-node" else "source pod",
        selector="protocol",
        scope="node" if on == "src-node" and draw.is_bridged else "pod",
        direction="both",
        says=f"an arp rule drops at {direction} on {device}",
        steps=tuple(steps),
        truth=Truth(causes=("arp-filtered", "pod-firewall"), hops=("gateway", "pod", "node"), words=(name,)),
    )
