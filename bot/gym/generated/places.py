"""The stations of a request and of its reply: where a packet filter can meet them, and how they look there."""

from dataclasses import dataclass

from bot.domain.finding import Hop
from bot.gym.generated.scenario import Direction, Target

_NODE_CAUSES = ("foreign-firewall-drops", "host-firewall-rejects")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a packet of the flow can be met, and how it looks there."""

    id: str
    on: Target
    families: tuple[str, ...]
    hook: str
    """"ingress device X" for netdev."""
    direction: Direction
    device: str = ""
    """A match on the device that the packet comes from or goes to."""
    is_service: bool = False
    """Before the Service's address is translated (for replies: after it is translated back)."""
    is_tunnelled: bool = False
    """Only the tunnel's own packets are seen."""
    hops: tuple[Hop, ...] = ("node",)
    causes: tuple[str, ...] = _NODE_CAUSES
    remote_only: bool = False
    bridged_only: bool = False
    routed_only: bool = False
    priorities: tuple[int, ...] = (-10, 0, 10, 50)

    @property
    def may_refuse(self) -> bool:
        """Whether the kernel rejects here."""
        return self.families[0] in {"ip", "inet"} and self.hook in {"input", "forward", "output"}


_VETH: tuple[Hop, ...] = ("node", "gateway", "pod")
_UPLINK: tuple[Hop, ...] = ("node", "overlay", "underlay")
L3 = ("ip", "inet")
_RAW = (-300, -250, -150)
_POD = ("pod-firewall",)
_UNDERLAY = (
    "overlay-blocked-by-underlay",
    "underlay-blocks-nodes",
    "underlay-loses-packets",
    "underlay-loses-tunnel-packets",
    "fabric-drops-pod-addresses",
)


def _both_ways() -> tuple[Place, ...]:
    """The stations of a request and of its reply, in the order of the way."""
    request: list[Place] = [
        Place(
            id="source pod",
            on="src-pod",
            families=L3,
            hook="output",
            direction="request",
            is_service=True,
            hops=("pod",),
            causes=_POD,
        ),
        Place(
            id="source veth",
            on="src-node",
            families=("netdev",),
            hook="ingress device $SRC_VETH",
            direction="request",
            is_service=True,
            hops=_VETH,
        ),
        Place(
            id="source bridge",
            on="src-node",
            families=("bridge",),
            hook="prerouting",
            device="iifname $SRC_VETH",
            direction="request",
            is_service=True,
            hops=_VETH,
            bridged_only=True,
            priorities=_RAW,
        ),
        Place(
            id="source node, before translation",
            on="src-node",
            families=L3,
            hook="prerouting",
            device="iifname $SRC_DEV",
            direction="request",
            is_service=True,
            hops=_VETH,
            priorities=_RAW,
        ),
        Place(id="source node, forwarding", on="src-node", families=L3, hook="forward", direction="request"),
        Place(
            id="source node, leaving",
            on="src-node",
            families=L3,
            hook="postrouting",
            device="oifname $TUN",
            direction="request",
            remote_only=True,
            hops=("node", "overlay"),
        ),
        Place(
            id="source tunnel",
            on="src-node",
            families=("netdev",),
            hook="egress device $TUN",
            direction="request",
            remote_only=True,
            hops=("node", "overlay"),
        ),
        Place(
            id="source uplink",
            on="src-node",
            families=L3,
            hook="output",
            direction="request",
            is_tunnelled=True,
            remote_only=True,
            hops=_UPLINK,
        ),
        Place(
            id="source uplink device",
            on="src-node",
            families=("netdev",),
            hook="egress device eth0",
            direction="request",
            is_tunnelled=True,
            remote_only=True,
            hops=_UPLINK,
        ),
        Place(
            id="underlay",
            on="underlay",
            families=("bridge",),
            hook="forward",
            direction="request",
            is_tunnelled=True,
            remote_only=True,
            hops=("underlay", "overlay"),
            causes=_UNDERLAY,
        ),
        Place(
            id="target uplink device",
            on="dst-node",
            families=("netdev",),
            hook="ingress device eth0",
            direction="request",
            is_tunnelled=True,
            remote_only=True,
            hops=_UPLINK,
        ),
        Place(
            id="target uplink",
            on="dst-node",
            families=L3,
            hook="input",
            direction="request",
            is_tunnelled=True,
            remote_only=True,
            hops=_UPLINK,
        ),
        Place(
            id="target tunnel",
            on="dst-node",
            families=("netdev",),
            hook="ingress device $TUN",
            direction="request",
            remote_only=True,
            hops=("node", "overlay"),
        ),
        Place(
            id="target node, arriving",
            on="dst-node",
            families=L3,
            hook="prerouting",
            device="iifname $TUN",
            direction="request",
            remote_only=True,
            hops=("node", "overlay"),
            priorities=_RAW,
        ),
        Place(id="target node, forwarding", on="dst-node", families=L3, hook="forward", direction="request"),
        Place(
            id="target veth",
            on="dst-node",
            families=("netdev",),
            hook="egress device $DST_VETH",
            direction="request",
            hops=_VETH,
        ),
        Place(
            id="target bridge",
            on="dst-node",
            families=("bridge",),
            hook="postrouting",
            device="oifname $DST_VETH",
            direction="request",
            hops=_VETH,
            bridged_only=True,
        ),
        Place(
            id="target pod", on="dst-pod", families=L3, hook="input", direction="request", hops=("pod",), causes=_POD
        ),
        Place(
            id="target pod's device",
            on="dst-pod",
            families=("netdev",),
            hook="ingress device eth0",
            direction="request",
            hops=("pod",),
            causes=_POD,
        ),
    ]
    reply: list[Place] = [
        Place(id="target pod", on="dst-pod", families=L3, hook="output", direction="reply", hops=("pod",), causes=_POD),
        Place(
            id="target veth",
            on="dst-node",
            families=("netdev",),
            hook="ingress device $DST_VETH",
            direction="reply",
            hops=_VETH,
        ),
        Place(
            id="target node, before translation",
            on="dst-node",
            families=L3,
            hook="prerouting",
            device="iifname $DST_DEV",
            direction="reply",
            hops=_VETH,
            priorities=_RAW,
        ),
        Place(id="target node, forwarding", on="dst-node", families=L3, hook="forward", direction="reply"),
        Place(
            id="target tunnel",
            on="dst-node",
            families=("netdev",),
            hook="egress device $TUN",
            direction="reply",
            remote_only=True,
            hops=("node", "overlay"),
        ),
        Place(
            id="target uplink",
            on="dst-node",
            families=L3,
            hook="output",
            direction="reply",
            is_tunnelled=True,
            remote_only=True,
            hops=_UPLINK,
        ),
        Place(
            id="source uplink",
            on="src-node",
            families=L3,
            hook="input",
            direction="reply",
            is_tunnelled=True,
            remote_only=True,
            hops=_UPLINK,
        ),
        Place(
            id="source tunnel",
            on="src-node",
            families=("netdev",),
            hook="ingress device $TUN",
            direction="reply",
            remote_only=True,
            hops=("node", "overlay"),
        ),
        Place(id="source node, forwarding", on="src-node", families=L3, hook="forward", direction="reply"),
        Place(
            id="source veth",
            on="src-node",
            families=("netdev",),
            hook="egress device $SRC_VETH",
            direction="reply",
            is_service=True,
            hops=_VETH,
        ),
        Place(
            id="source pod",
            on="src-pod",
            families=L3,
            hook="input",
            direction="reply",
            is_service=True,
            hops=("pod",),
            causes=_POD,
        ),
    ]
    return (*request, *reply)


PLACES = _both_ways()
