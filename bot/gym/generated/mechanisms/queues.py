"""Queueing disciplines and tc filters on any device of the way."""

from bot.domain.finding import Hop
from bot.gym.generated.draw import Draft, Draw, mechanism
from bot.gym.generated.scenario import Direction, Scope, Step, Target, Truth

_VETH: tuple[Hop, ...] = ("gateway", "node", "pod")
_OUT: tuple[tuple[str, Target, str, Direction, tuple[Hop, ...], bool], ...] = (
    ("source pod", "src-pod", "eth0", "request", ("pod",), False),
    ("source veth", "src-node", "$SRC_VETH", "reply", _VETH, False),
    ("source tunnel", "src-node", "$TUN", "request", ("overlay", "node"), True),
    ("source uplink", "src-node", "eth0", "request", ("underlay", "node", "overlay"), True),
    ("target veth", "dst-node", "$DST_VETH", "request", _VETH, False),
    ("target pod", "dst-pod", "eth0", "reply", ("pod",), False),
    ("target tunnel", "dst-node", "$TUN", "reply", ("overlay", "node"), True),
)
"""Place, namespace, device, what leaves by it, hops, whether only flows between nodes meet it."""
_SHAPES = (
    "rate 2kbit burst 70 limit 70",
    "rate 4kbit burst 1540 limit 1540",
    "rate 8kbit burst 1540 limit 3000",
    "rate 1kbit burst 200 limit 400",
)


def _causes(what: str, on: Target, device: str) -> tuple[str, ...]:
    """The cause is called after where the device is: in a pod, at a pod's link, of the whole node."""
    where = "pod" if on.endswith("pod") else "link" if "VETH" in device else "node"
    return (f"{where}-{what}",)


@mechanism("starving-shaper", "queue", weight=3)
def starving_shaper(draw: Draw) -> Draft:
    """A shaper that lets next to nothing through."""
    places = [one for one in _OUT if not (one[5] and draw.edge.is_local)]
    place, on, device, direction, hops, is_shared = draw.one(places)
    shape = draw.one(_SHAPES)
    scope: Scope = "node" if is_shared else "pod"
    return Draft(
        place=place,
        scope=scope,
        direction=direction,
        says=f"tbf {shape} on {device}",
        steps=(Step(on=on, do=f"tc qdisc add dev {device} root tbf {shape}", undo=f"tc qdisc del dev {device} root"),),
        truth=Truth(causes=_causes("qdisc-drops-packets", on, device), hops=hops, words=("tbf",), objects=(device,)),
    )


_IN: tuple[tuple[str, Target, str, str, Direction, bool, bool], ...] = (
    ("source veth", "src-node", "$SRC_VETH", "ingress", "request", True, False),
    ("source veth", "src-node", "$SRC_VETH", "egress", "reply", True, False),
    ("target veth", "dst-node", "$DST_VETH", "egress", "request", False, False),
    ("target veth", "dst-node", "$DST_VETH", "ingress", "reply", False, False),
    ("target tunnel", "dst-node", "$TUN", "ingress", "request", False, True),
    ("source tunnel", "src-node", "$TUN", "egress", "request", False, True),
    ("source pod", "src-pod", "eth0", "egress", "request", True, False),
)
"""Place, namespace, device, side, what it meets, whether Service addresses are seen, whether between nodes only."""


@mechanism("stealing-filter", "queue", weight=2)
def stealing_filter(draw: Draw) -> Draft:
    """A tc filter sends packets to a device where they end."""
    places = [one for one in _IN if not (one[6] and draw.edge.is_local)]
    place, on, device, side, direction, is_service, is_shared = draw.one(places)
    server = "$SVC_IP" if is_service else "$DST_IP"
    near, far = ("dport", "dst") if direction == "request" else ("sport", "src")
    selector, match = draw.one(
        [
            ("port", f"match ip {near} $PORT 0xffff"),
            ("pod", f"match ip {far} {server}/32"),
            ("pod and port", f"match ip {far} {server}/32 match ip {near} $PORT 0xffff"),
            ("protocol", "match ip protocol 6 0xff"),
        ]
    )
    sink = f"span{draw.chance.randint(0, 9)}"
    do = (
        f"ip link add {sink} type bridge; ip link set {sink} up; tc qdisc add dev {device} clsact; "
        f"tc filter add dev {device} {side} protocol ip u32 {match} action mirred egress redirect dev {sink}"
    )
    hops: tuple[Hop, ...] = ("pod",) if on == "src-pod" else ("overlay", "node") if is_shared else _VETH
    return Draft(
        place=place,
        selector=selector,  # type: ignore[arg-type]
        scope="node" if is_shared else "pod",
        direction=direction,
        says=f"u32 {match} redirects to {sink} at {side} of {device}",
        steps=(Step(on=on, do=do, undo=f"tc qdisc del dev {device} clsact; ip link del {sink}"),),
        truth=Truth(causes=_causes("tc-filter-takes-packets", on, device), hops=hops, words=(sink,), objects=(device,)),
    )
