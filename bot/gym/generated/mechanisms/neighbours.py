"""Neighbour and forwarding entries: wrong, missing, or leading elsewhere."""

from bot.gym.generated.draw import FLANNEL, Draft, Draw, mechanism
from bot.gym.generated.scenario import Direction, Step, Target, Truth

_BAD = "5a:10:2d:6e:77:{:02x}"


def _bad_mac(draw: Draw) -> str:
    return _BAD.format(draw.chance.randint(16, 250))


def _tunnel_side(draw: Draw) -> tuple[Target, str, Direction]:
    """Where the entry is, and whose entry it is: the sender's about the receiver."""
    sides: list[tuple[Target, str, Direction]] = [("src-node", "DST", "request"), ("dst-node", "SRC", "reply")]
    return draw.one(sides)


@mechanism("tunnel-neighbour", "neighbour", weight=2, is_remote=True)
def tunnel_neighbour(draw: Draw) -> Draft:
    """The tunnel's neighbour entry for the other node is wrong or gone."""
    on, peer, direction = _tunnel_side(draw)
    is_gone = draw.maybe(0.4)
    right = f"${peer}_VTEP lladdr ${peer}_VTEP_MAC dev $TUN nud permanent"
    do = (
        f"ip neigh del ${peer}_VTEP dev $TUN"
        if is_gone
        else f"ip neigh replace ${peer}_VTEP lladdr {_bad_mac(draw)} dev $TUN nud permanent"
    )
    return Draft(
        place="source tunnel" if on == "src-node" else "target tunnel",
        selector="node",
        scope="node",
        direction=direction,
        says=f"the tunnel's neighbour entry for the {peer.lower()} node is {'gone' if is_gone else 'wrong'}",
        steps=(Step(on=on, do=do, undo=f"ip neigh replace {right}"),),
        truth=Truth(
            causes=("vtep-neighbour-missing",) if is_gone else ("vtep-neighbour-wrong",),
            hops=("overlay",),
            words=(f"${peer}_VTEP lladdr", f"for ${peer}_VTEP"),
            objects=(f"${peer}_VTEP", f"{'$SRC_NODE>$DST_NODE' if on == 'src-node' else '$DST_NODE>$SRC_NODE'}"),
        ),
    )


@mechanism("tunnel-forwarding", "neighbour", weight=3, is_remote=True)
def tunnel_forwarding(draw: Draw) -> Draft:
    """The tunnel's forwarding entry for the other node is gone, or has a wrong address, port or VNI."""
    on, peer, direction = _tunnel_side(draw)
    entry = f"${peer}_VTEP_MAC dev $TUN dst"
    pair = "$SRC_NODE>$DST_NODE" if on == "src-node" else "$DST_NODE>$SRC_NODE"
    right = f"{entry} ${peer}_NODE_IP self permanent"
    how, wrong, causes = draw.one(
        [
            ("gone", "", ("fdb-entry-missing",)),
            (
                "another address",
                f"{entry} 172.30.0.{draw.chance.randint(200, 250)} self permanent",
                ("fdb-entry-wrong",),
            ),
            ("the third node", f"{entry} $OTHER_NODE_IP self permanent", ("fdb-entry-wrong",)),
            (
                "another port",
                f"{entry} ${peer}_NODE_IP port {draw.chance.randint(9000, 9999)} self permanent",
                ("fdb-entry-wrong", "overlay-port-differs"),
            ),
            (
                "another VNI",
                f"{entry} ${peer}_NODE_IP vni {draw.chance.randint(5000, 9000)} self permanent",
                ("fdb-entry-wrong", "overlay-vni-differs"),
            ),
        ]
    )
    do = f"bridge fdb del {right}" + (f"; bridge fdb replace {wrong}" if wrong else "")
    undo = (f"bridge fdb del {wrong}; " if wrong else "") + f"bridge fdb replace {right}"
    return Draft(
        place="source tunnel" if on == "src-node" else "target tunnel",
        selector="node",
        scope="node",
        direction=direction,
        says=f"the forwarding entry for the {peer.lower()} node: {how}",
        steps=(Step(on=on, do=do, undo=undo),),
        truth=Truth(causes=causes, hops=("overlay",), words=(f"${peer}_VTEP_MAC",), objects=(pair,)),
    )


@mechanism("pod-neighbour", "neighbour", weight=2)
def pod_neighbour(draw: Draw) -> Draft:
    """A permanent neighbour entry with a wrong MAC between a pod and its node."""
    mac = _bad_mac(draw)
    cases: list[tuple[Target, str, Direction, tuple[str, ...], str]] = [
        ("src-pod", "$GATEWAY dev eth0", "request", ("pod-gateway-mac-static",), "source pod"),
        ("dst-pod", "$DST_GATEWAY dev eth0", "reply", ("pod-gateway-mac-static",), "target pod"),
        ("dst-node", "$DST_IP dev $DST_DEV", "request", ("pod-entry-on-node-wrong",), "target node"),
        ("src-node", "$SRC_IP dev $SRC_DEV", "reply", ("pod-entry-on-node-wrong",), "source node"),
    ]
    on, who, direction, causes, place = draw.one(cases)
    return Draft(
        place=place,
        selector="pod",
        direction=direction,
        says=f"permanent neighbour {who} with the wrong MAC {mac}",
        steps=(
            Step(
                on=on,
                do=f"ip neigh replace {who.replace(' dev', f' lladdr {mac} dev')} nud permanent",
                undo=f"ip neigh del {who}",
            ),
        ),
        truth=Truth(causes=causes, hops=("gateway", "node", "pod"), words=(mac,), objects=("$SRC_POD", "$DST_POD")),
    )


@mechanism("node-neighbour", "neighbour", weight=1, is_remote=True)
def node_neighbour(draw: Draw) -> Draft:
    """A permanent neighbour entry with a wrong MAC for the other node, on the uplink."""
    on, peer, direction = _tunnel_side(draw)
    mac, who = _bad_mac(draw), f"${peer}_NODE_IP dev eth0"
    return Draft(
        place="source uplink" if on == "src-node" else "target uplink",
        selector="node",
        scope="node",
        direction=direction,
        says=f"permanent neighbour {who} with the wrong MAC {mac}",
        steps=(
            Step(
                on=on,
                do=f"ip neigh replace {who.replace(' dev', f' lladdr {mac} dev')} nud permanent",
                undo=f"ip neigh del {who}",
            ),
        ),
        truth=Truth(
            causes=("node-neighbour-static",),
            hops=("underlay", "node"),
            words=(mac,),
            follows=("underlay-blocks-nodes",),
        ),
    )


@mechanism("bridge-forwarding", "neighbour", weight=1, cnis=FLANNEL)
def bridge_forwarding(draw: Draw) -> Draft:
    """A static entry of the bridge leads frames for one pod to another port."""
    side, on, direction = draw.one([("SRC", "src-node", "reply"), ("DST", "dst-node", "request")])
    target: Target = "src-node" if on == "src-node" else "dst-node"
    entry = f"${side}_MAC dev ${side}_NEIGHBOUR_VETH master static"
    return Draft(
        place="source bridge" if side == "SRC" else "target bridge",
        selector="pod",
        direction="request" if direction == "request" else "reply",
        says=f"the bridge sends frames for the pod to another port ({entry})",
        steps=(Step(on=target, do=f"bridge fdb replace {entry}", undo=f"bridge fdb del {entry}"),),
        truth=Truth(causes=("pod-entry-on-node-wrong",), hops=("gateway", "node", "pod"), words=(f"${side}_MAC",)),
    )
