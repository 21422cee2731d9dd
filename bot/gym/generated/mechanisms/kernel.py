"""Kernel settings, MTUs and links."""

from bot.domain.finding import Hop
from bot.gym.generated.draw import FLANNEL, ROUTED, Draft, Draw, mechanism
from bot.gym.generated.scenario import Direction, Step, Target, Truth


def _side(draw: Draw) -> tuple[str, Target, str]:
    sides: list[tuple[str, Target, str]] = [("SRC", "src-node", "source"), ("DST", "dst-node", "target")]
    return draw.one(sides)


def _sysctl(on: Target, key: str, value: int, was: int) -> Step:
    path = f"/proc/sys/net/ipv4/{key}"
    return Step(on=on, do=f"echo {value} > {path}", undo=f"echo {was} > {path}")


@mechanism("forwarding-off", "kernel", weight=3)
def forwarding_off(draw: Draw) -> Draft:
    """Forwarding is off on a node, or on one device only."""
    side, on, place = _side(draw)
    choices: list[tuple[str, bool]] = [("ip_forward", True), (f"conf/${side}_DEV/forwarding", draw.is_bridged)]
    if not draw.edge.is_local:
        choices.append(("conf/$TUN/forwarding", True))
    key, is_shared = draw.one(choices)
    return Draft(
        place=f"{place} node",
        scope="node" if is_shared else "pod",
        direction="both",
        says=f"{key} is 0 on the {on}",
        steps=(_sysctl(on, key, 0, 1),),
        truth=Truth(
            causes=("node-forwarding-off", "calico-forwarding-off"),
            hops=("node", "gateway", "overlay"),
            words=("forwarding", "ip_forward"),
        ),
        resync=key == "ip_forward",
    )


@mechanism("proxy-arp-off", "kernel", cnis=ROUTED, weight=1)
def proxy_arp_off(draw: Draw) -> Draft:
    """The pod's gateway does not answer: proxy_arp is off on one interface, or it answers late."""
    side, on, place = _side(draw)
    pod: Target = "src-pod" if side == "SRC" else "dst-pod"
    forget = Step(on=pod, do="ip neigh flush dev eth0", undo="ip neigh flush dev eth0")
    setting = _sysctl(on, f"conf/${side}_VETH/proxy_arp", 0, 1)
    return Draft(
        place=f"{place} veth",
        selector="protocol",
        direction="both",
        says=f"proxy_arp is 0 on ${side}_VETH",
        steps=(setting, forget),
        truth=Truth(causes=("calico-proxy-arp-off",), hops=("gateway",), words=("proxy_arp", "Proxy ARP", "proxy ARP")),
    )


@mechanism("link-down", "link", weight=3)
def link_down(draw: Draw) -> Draft:
    """A link of the way is down."""
    side, on, place = _side(draw)
    pod: Target = "src-pod" if side == "SRC" else "dst-pod"
    route = "; ip route add 169.254.1.1 dev eth0 scope link" if draw.cni == "calico-vxlan" else ""
    route = f"; ip route replace ${side}_GATEWAY dev eth0 scope link" if draw.cni == "cilium-tunnel" else route
    more = f"; ip route add 10.42.0.0/16 via ${side}_GATEWAY dev eth0" if draw.is_bridged else ""
    default = f"; ip route add default via ${side}_GATEWAY dev eth0"
    cases: list[tuple[str, Target, str, str, tuple[str, ...], tuple[Hop, ...]]] = [
        (f"{place} veth", on, f"${side}_VETH", "", ("host-veth-down",), ("pod", "gateway")),
        (f"{place} pod", pod, "eth0", f"{route}{more}{default}", ("pod-eth0-down",), ("pod",)),
    ]
    if not draw.edge.is_local:
        cases.append((f"{place} tunnel", on, "$TUN", "", ("overlay-device-down",), ("overlay",)))
    if draw.is_bridged:
        cases.append((f"{place} bridge", on, "cni0", "", ("cni0-down",), ("gateway", "node")))
    where, target, device, back, causes, hops = draw.one(cases)
    restore = (
        "; ip route replace 10.42.0.0/16 dev cni0 scope link; ip route del 10.42.0.0/16" if device == "cni0" else ""
    )
    return Draft(
        place=where,
        scope="pod" if "veth" in where or "pod" in where else "node",
        direction="both",
        says=f"{device} is down",
        steps=(Step(on=target, do=f"ip link set {device} down", undo=f"ip link set {device} up{back}{restore}"),),
        truth=Truth(
            causes=causes, hops=hops, words=(f"{device} is down",), objects=(device, f"${side}_POD", f"${side}_NODE")
        ),
        resync=True,
    )


@mechanism("bridge-port", "link", cnis=FLANNEL, weight=2)
def bridge_port(draw: Draw) -> Draft:
    """The pod's port of the bridge does not forward, is isolated, or is no port at all."""
    side, on, place = _side(draw)
    veth = f"${side}_VETH"
    do, undo, cause = draw.one(
        [
            (f"bridge link set dev {veth} state 0", f"bridge link set dev {veth} state 3", "bridge-port-disabled"),
            (
                f"ip link set {veth} nomaster",
                f"ip link set {veth} master cni0; bridge link set dev {veth} hairpin on",
                "veth-not-on-bridge",
            ),
            (f"bridge link set dev {veth} state 4", f"bridge link set dev {veth} state 3", "bridge-port-disabled"),
        ]
    )
    return Draft(
        place=f"{place} bridge",
        selector="pod",
        direction="both",
        says=do,
        steps=(Step(on=on, do=do, undo=undo),),
        truth=Truth(causes=(cause,), hops=("gateway", "node"), words=(veth,), objects=(f"${side}_POD",)),
    )


@mechanism("small-mtu", "link", weight=2)
def small_mtu(draw: Draw) -> Draft:
    """One end of a link takes less than the other sends: large packets vanish without a notice."""
    side, on, place = _side(draw)
    size, direction = draw.one([576, 900, 1200]), "request" if side == "SRC" else "reply"
    way: Direction = "request" if direction == "request" else "reply"
    return Draft(
        place=f"{place} veth",
        selector="size",
        direction=way,
        says=f"${side}_VETH has an MTU of {size}, its pod's eth0 one of 1450",
        steps=(Step(on=on, do=f"ip link set ${side}_VETH mtu {size}", undo=f"ip link set ${side}_VETH mtu 1450"),),
        truth=Truth(
            causes=("pod-mtu-too-large", "pmtu-black-hole"),
            hops=("pod", "gateway", "node", "overlay"),
            words=(str(size),),
            objects=("MTU", f"${side}_POD"),
        ),
    )
