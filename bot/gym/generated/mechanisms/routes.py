"""Routes and rules: in pods and on nodes, for one address, a part of a block or all of it."""

from bot.domain.finding import Hop
from bot.gym.generated.draw import Draft, Draw, mechanism
from bot.gym.generated.scenario import Direction, Scope, Step, Target, Truth

_REFUSING = ("blackhole", "unreachable", "prohibit")
_NODE: tuple[Hop, ...] = ("node",)
_RULES = ("foreign-rule-diverts-pods", "foreign-rule-diverts-one-pod", "policy-rule-captures-pods")
_REMOTE = ("route-takes-remote-pod",)
_LOCAL = ("route-refuses-own-pod", "pod-route-missing", "pod-route-missing-strict-rp-filter")


@mechanism("refusing-route", "route", weight=3)
def refusing_route(draw: Draw) -> Draft:
    """A more specific route of a refusing type, for one pod of another node (or of this one) or for half a block."""
    kind = draw.one(_REFUSING)
    on, direction, address = draw.one(
        [("src-node", "request", "$DST_IP"), ("dst-node", "reply", "$SRC_IP")]
        if not draw.edge.is_local
        else [("src-node", "request", "$DST_IP")]
    )
    return Draft(
        place=f"{'source' if on == 'src-node' else 'target'} node",
        selector="pod",
        scope="pod",
        direction=direction,  # type: ignore[arg-type]
        says=f"a route of type {kind} for {address} on the {on}",
        steps=_route(on, f"{kind} {address}/32", is_taken=draw.edge.is_local),  # type: ignore[arg-type]
        truth=Truth(
            causes=_LOCAL if draw.edge.is_local else _REMOTE,
            hops=("node", "gateway") if draw.edge.is_local else _NODE,
            words=(f"{kind} {address}", f"{address} {kind}", f"{address} is {kind}", f"{address} ({kind}"),
            objects=(address, "$DST_POD" if address == "$DST_IP" else "$SRC_POD"),
        ),
        resync=draw.edge.is_local,
    )


def _route(on: Target, route: str, *, is_taken: bool) -> tuple[Step, ...]:
    verb = "replace" if is_taken else "add"
    return (Step(on=on, do=f"ip route {verb} {route}", undo=f"ip route del {route}"),)


@mechanism("refusing-block", "route", weight=1, is_remote=True)
def refusing_block(draw: Draw) -> Draft:
    """The other node's block has a refusing type, or no route at all."""
    on, direction, block = draw.one([("src-node", "request", "$DST_BLOCK"), ("dst-node", "reply", "$SRC_BLOCK")])
    how = draw.one(["del", *_REFUSING])
    do = f"ip route del {block}" if how == "del" else f"ip route replace {how} {block}"
    undo = "true" if how == "del" else f"ip route del {how} {block}"
    direction_: Direction = "request" if direction == "request" else "reply"
    target: Target = "src-node" if on == "src-node" else "dst-node"
    return Draft(
        place=f"{'source' if on == 'src-node' else 'target'} node",
        selector="node",
        scope="node",
        direction=direction_,
        says=f"the route to {block} is {'gone' if how == 'del' else how} on the {on}",
        steps=(Step(on=target, do=do, undo=undo),),
        truth=Truth(
            causes=("route-to-remote-block-missing", "return-route-missing"),
            hops=_NODE,
            words=(block,),
            objects=("$SRC_NODE>$DST_NODE" if on == "src-node" else "$DST_NODE>$SRC_NODE",),
        ),
        resync=True,
    )


@mechanism("detour", "route", weight=1, is_remote=True)
def detour(draw: Draw) -> Draft:
    """A more specific route leads past the tunnel: by the uplink, or to a device that ends nowhere."""
    on, direction, address = draw.one([("src-node", "request", "$DST_IP"), ("dst-node", "reply", "$SRC_IP")])
    sink = f"old{draw.chance.randint(0, 9)}"
    way = draw.one(["via 172.30.0.1 dev eth0", f"dev {sink}"])
    make = f"ip link add {sink} type bridge; ip link set {sink} up; " if sink in way else ""
    drop = f"; ip link del {sink}" if sink in way else ""
    return Draft(
        place=f"{'source' if on == 'src-node' else 'target'} node",
        selector="pod",
        scope="pod",
        direction="request" if direction == "request" else "reply",
        says=f"{address} is routed {way} on the {on}",
        steps=(
            Step(
                on="src-node" if on == "src-node" else "dst-node",
                do=f"{make}ip route add {address}/32 {way}",
                undo=f"ip route del {address}/32{drop}",
            ),
        ),
        truth=Truth(
            causes=_REMOTE,
            hops=_NODE,
            words=(sink, f"{address} dev {sink}") if sink in way else (f"{address} {way}", f"{address} via 172.30.0.1"),
            objects=(address,),
        ),
    )


@mechanism("local-pod-route", "route", weight=1, cnis=("calico-vxlan", "cilium-tunnel"))
def local_pod_route(draw: Draw) -> Draft:
    """The node's own route to one of its pods is gone, or leads to another pod's device."""
    side, direction = draw.one([("SRC", "reply"), ("DST", "request")])
    how = draw.one(["del", "wrong"])
    address, node = f"${side}_IP", f"{side.lower()}-node"
    do = f"ip route del {address}" if how == "del" else f"ip route replace {address} dev ${side}_NEIGHBOUR_VETH"
    return Draft(
        place=f"{'source' if side == 'SRC' else 'target'} node",
        selector="pod",
        direction="request" if direction == "request" else "reply",
        says=f"the node's route to {address} {'is gone' if how == 'del' else 'leads to another pod'}",
        steps=(Step(on="src-node" if node == "src-node" else "dst-node", do=do, undo="true"),),
        truth=Truth(
            causes=("pod-route-missing", "pod-route-missing-strict-rp-filter", "pod-route-wrong-link"),
            hops=("node", "gateway"),
            words=(f"route to {address}",),
            objects=(f"${side}_POD", address),
        ),
        resync=True,
    )


@mechanism("diverting-rule", "route", weight=3)
def diverting_rule(draw: Draw) -> Draft:
    """An ip rule takes the flow's packets to a table, or refuses them itself."""
    on, direction, match = draw.one(
        [
            ("src-node", "request", "from $SRC_IP"),
            ("src-node", "request", "iif $SRC_DEV from $SRC_IP"),
            ("src-node", "request", "to $DST_IP"),
            ("src-node", "request", "from $SRC_IP ipproto tcp dport $PORT"),
            ("dst-node", "reply", "from $DST_IP"),
            ("dst-node", "reply", "to $SRC_IP"),
            ("dst-node", "reply", "from $DST_IP ipproto tcp sport $PORT"),
        ]
    )
    table, priority = draw.chance.randint(100, 250), draw.chance.randint(50, 20000)
    act = draw.one([*_REFUSING, "table", "table", "table"])
    kind = draw.one([*_REFUSING, "via"])
    route = "default via 172.30.0.1 dev eth0" if kind == "via" else f"{kind} default"
    if act == "table":
        do = f"ip rule add {match} lookup {table} pref {priority}; ip route add {route} table {table}"
        undo = f"ip route flush table {table}; ip rule del pref {priority}"
        words = (f"table {table}", f"lookup {table}", f"{priority}:", f"rule {priority}", f"pref {priority}")
    else:
        do, undo = f"ip rule add {match} pref {priority} {act}", f"ip rule del pref {priority}"
        words = (f"{priority}:", f"rule {priority}", f"pref {priority}", f"priority {priority}")
    scope: Scope = "pod"
    return Draft(
        place=f"{'source' if on == 'src-node' else 'target'} node",
        selector="pod and port" if "port" in match else "pod",
        scope=scope,
        direction="request" if direction == "request" else "reply",
        says=f"ip rule {match} {act}{' ' + route if act == 'table' else ''}",
        steps=(Step(on="src-node" if on == "src-node" else "dst-node", do=do, undo=undo),),
        truth=Truth(causes=(*_RULES, *_REMOTE), hops=("node", "gateway"), words=words),
    )


@mechanism("route-in-pod", "route", weight=2)
def route_in_pod(draw: Draw) -> Draft:
    """A route or a rule in the network namespace of one end."""
    on, direction, goal = draw.one([("src-pod", "request", "$SVC_IP"), ("dst-pod", "reply", "$SRC_IP")])
    kind, priority = draw.one(_REFUSING), draw.chance.randint(50, 20000)
    how = draw.one(["specific", "rule", "no default", "default"])
    target: Target = "src-pod" if on == "src-pod" else "dst-pod"
    gateway = "$SRC_GATEWAY" if on == "src-pod" else "$DST_GATEWAY"
    causes: tuple[str, ...] = ("pod-default-route-missing", "pod-default-route-unusable")
    objects: tuple[str, ...] = ("$SRC_POD" if on == "src-pod" else "$DST_POD",)
    if how == "specific":
        step = Step(on=target, do=f"ip route add {kind} {goal}/32", undo=f"ip route del {kind} {goal}/32")
        causes, words = ("pod-route-takes-targets",), (f"{kind} {goal}", f"{goal} {kind}")
    elif how == "rule":
        step = Step(on=target, do=f"ip rule add to {goal} pref {priority} {kind}", undo=f"ip rule del pref {priority}")
        causes, words = (*_RULES, "pod-route-takes-targets"), (f"{priority}:", f"rule {priority}", f"pref {priority}")
    elif how == "no default":
        more = "; ip route del 10.42.0.0/16" if draw.is_bridged else ""
        back = f"; ip route add 10.42.0.0/16 via {gateway} dev eth0" if draw.is_bridged else ""
        step = Step(
            on=target, do=f"ip route del default{more}", undo=f"ip route add default via {gateway} dev eth0{back}"
        )
        words = ("no default route",)
    else:
        step = Step(
            on=target,
            do=f"ip route replace {kind} default metric 0; ip route del default via {gateway} dev eth0; true",
            undo=f"ip route del {kind} default; ip route add default via {gateway} dev eth0",
        )
        words = (f"{kind} default", f"default {kind}")
    return Draft(
        place="source pod" if on == "src-pod" else "target pod",
        selector="pod" if how in {"specific", "rule"} else "all",
        direction="request" if direction == "request" else "reply",
        says=f"in the {on}: {step.do}",
        steps=(step,),
        truth=Truth(causes=causes, hops=("pod",), words=words, objects=objects),
    )
