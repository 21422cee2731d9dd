"""The hooks that a flow's packets meet on their way there and back, and what the packets look like at each.

A test of ours is one packet there and one back: a SYN and its SYN-ACK, a ping, a question. On each node, and in each
pod's own namespace, it passes hooks of devices (netdev), of bridges, of IP, and if it leaves through a tunnel the outer
packet passes those of IP again. Behind the NAT of prerouting (output) a Service's address has become a backend's.

Source: https://wiki.nftables.org/wiki-nftables/index.php/Netfilter_hooks
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from bot.agent.report import Link, Test
from bot.domain.facts import Subject, SubjectKind
from bot.probes.engine.evidence import Evidence
from bot.probes.filters.matching import Packet
from bot.probes.filters.packets import answer_to, opening_packet
from bot.probes.services.backends import Backend, backends
from bot.probes.shared.pod_views import NodeView, node_views, sysctl
from bot.probes.shared.routing import RouteTable, uplink

IP = frozenset({"ip", "inet"})
IP6 = frozenset({"ip6", "inet"})
BRIDGE = frozenset({"bridge"})
DEVICE = frozenset({"netdev", "inet"})
DNAT_PRIORITY, SNAT_PRIORITY = -100, 100
NO_DEVICE = frozenset({""})
_AS_ROOT = {"skuid": frozenset({"0"}), "skgid": frozenset({"0"})}
VXLAN_BYTES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """One hook, and the packet there: before and behind the NAT that happens at `nat_at` of this hook."""

    hook: str
    families: frozenset[str]
    packet: Packet
    device: str = ""
    behind: Packet | None = None
    nat_at: int = 0
    is_outer: bool = False
    """It is the tunnel's packet, with the flow's inside."""

    def packet_at(self, priority: int) -> Packet:
        """The packet as a chain of this priority sees it."""
        return self.behind if self.behind is not None and priority > self.nat_at else self.packet


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """A packet's way through one network namespace: that of a node's root, or of a pod."""

    place: Subject
    stops: tuple[Stop, ...]
    is_reply: bool = False
    is_certain: bool = True
    """False: the flow may have taken another way (another backend)."""
    server: Subject | None = None
    """The pod that answers; None where that is no pod."""


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """Who sends or receives. Without a node: somebody outside the cluster."""

    ip: str
    node: str = ""
    pod: Subject | None = None
    """None: the node itself, a pod that shares its network included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """Which packets of a flow travel: those of the test itself, or others of the same flow that nobody sent."""

    length: int = 0
    """Of full packets of data, once the connection stands; 0: the packet that opens it."""
    is_unlucky: bool = False
    """Met by each rule that takes packets by chance."""
    crowd: int = 0  # so many of them come at once

    def changed(self, packet: dict[str, frozenset[str] | None]) -> dict[str, frozenset[str] | None]:
        """The packet of a test, as one of this kind."""
        packet = {**packet, "chance": frozenset({"met"})} if self.is_unlucky else packet
        packet = {**packet, "crowd": frozenset({str(self.crowd)})} if self.crowd else packet
        if not self.length:
            return packet
        flags = frozenset({"ack", "ack,psh"}) if packet.get("tcpflags") else packet.get("tcpflags")
        length, state = frozenset({str(self.length)}), frozenset({"established"})
        return {**packet, "length": length, "ctstate": state, "tcpflags": flags}


AS_TESTED = Kind()


@dataclass(frozen=True, slots=True)
class _Port:
    """By which device a packet comes to a node's IP layer, or leaves it; "" for the node itself."""

    dev: str = ""
    bridged: str = ""
    """The port of the bridge `dev` behind which the pod is."""
    tunnel: Link | None = None


@dataclass(frozen=True, slots=True)
class _Flow:
    """One direction of a flow: its ends, its packet, and the addresses that the sender's side sees."""

    source: End
    target: End
    packet: dict[str, frozenset[str] | None]
    """As it is between the NAT of both sides: from pod to backend."""
    seen: Mapping[str, frozenset[str]]
    """What differs where the client is: the Service's address and port."""
    is_reply: bool
    is_ours: bool = False
    """Our own test sends it, as root: a sidecar's rules spare the account of its proxy."""


class Journeys:
    """Works out the ways through one cluster."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._views = node_views(evidence)
        self._routes = {name: RouteTable(view.state.routes) for name, view in self._views.items()}

    def of(self, source: Subject, node: str, test: Test, kind: Kind = AS_TESTED) -> Iterator[Leg]:
        """The ways there and back of one test; what is not known of them is left out."""
        client = self._client(source, node)
        servers = list(self._servers(test))
        for server, port in servers:
            for leg in self._both_ways(client, server, port, test, kind):
                yield replace(leg, is_certain=len(servers) == 1, server=server.pod)

    def targets(self, test: Test) -> frozenset[str]:
        """The addresses at which a test may rightly end: the one that it dials, and those of endpoints behind it."""
        return frozenset({test.ip, *(server.ip for server, _ in self._servers(test))})

    def _both_ways(self, client: End, server: End, port: int, test: Test, kind: Kind) -> Iterator[Leg]:
        there = kind.changed(opening_packet(test, port))
        there["saddr"], there["daddr"] = self._addresses(client), self._addresses(server)
        if client.pod is not None and (server.pod is None or not server.node):
            there["saddr"] = self._masked(client)
        dialled = {"dport": frozenset({str(test.port or port)})} if "dport" in there else {}
        asked = {"daddr": frozenset({test.ip})} | dialled
        yield from self._one_way(_Flow(client, server, there, asked, is_reply=False, is_ours=kind == AS_TESTED))
        back = kind.changed(answer_to(there))
        answered = {"saddr": asked["daddr"]} | ({"sport": asked["dport"]} if "dport" in asked else {})
        yield from self._one_way(_Flow(server, client, back, answered, is_reply=True))

    # Ends

    def _client(self, source: Subject, node: str) -> End:
        pod = self._evidence.pods.get(source)
        if source.kind is SubjectKind.NODE or pod is None or pod.spec.host_network:
            host = self._evidence.nodes.get(node)
            return End(ip=host.internal_ip if host else "", node=node)
        return End(ip=pod.status.pod_ip, node=node, pod=source)

    def _servers(self, test: Test) -> Iterator[tuple[End, int]]:
        """Who may answer a test, and on which port: the backends of a Service, else the address itself."""
        found = self._backends.get((test.ip, test.port or 53 if test.protocol.startswith("dns") else test.port))
        if found is None:
            yield self._end(test.ip), test.port or (53 if test.protocol.startswith("dns") else 0)
            return
        protocol = "UDP" if test.protocol in {"udp", "dns-udp"} else "TCP"
        for each in found:
            if each.protocol == protocol and each.is_ready:
                yield self._end(each.ip), each.port

    @cached_property
    def _backends(self) -> Mapping[tuple[str, int], list[Backend]]:
        """The backends by ClusterIP and port."""
        found: dict[tuple[str, int], list[Backend]] = {}
        for subject, service in self._evidence.services.items():
            for port in service.spec.ports:
                found.setdefault((service.spec.cluster_ip, port.port), [])
            for each in backends(self._evidence, subject):
                found.setdefault((service.spec.cluster_ip, each.service_port), []).append(each)
        return found

    def _end(self, ip: str) -> End:
        pods = self._evidence.pods_by_ip.get(ip, ())
        if pods:
            return End(ip=ip, node=self._evidence.node_of(pods[0]), pod=pods[0])
        return End(ip=ip, node=self._evidence.node_by_ip.get(ip, ""))

    def _addresses(self, end: End) -> frozenset[str] | None:
        """The addresses that an end may use: a node has several."""
        if end.pod is not None or not end.node:
            return frozenset({end.ip})
        view = self._views.get(end.node)
        own = frozenset(each.ip for each in view.state.addresses if each.dev != "lo") if view else frozenset[str]()
        return own | {end.ip} if own else None

    def _masked(self, client: End) -> frozenset[str]:
        """A pod's address, or that of its node in its stead."""
        host = self._evidence.nodes.get(client.node)
        return frozenset({client.ip} | ({host.internal_ip} if host else set()))

    # Ways

    def _is_disguised(self, flow: _Flow, node: str) -> bool:
        """Whether a bare node of the flow may go by another address than its InternalIP, and so by another device.

        Between a pod and another node packets may be masqueraded, or bear the address of the tunnel's device: at the
        end that routes by this address it is not known which way they take.
        """
        ends = (flow.target, flow.source) if flow.is_reply else (flow.source, flow.target)
        client, server = ends
        if client.node == server.node or not server.node:
            return False
        if client.pod is not None and server.pod is None:
            return node == server.node or flow.is_reply
        return client.pod is None and server.pod is not None and node == server.node

    def _one_way(self, flow: _Flow) -> Iterator[Leg]:
        source, target = flow.source, flow.target
        if source.pod is not None:
            yield self._pod_leg(flow, source.pod, is_sender=True)
        if source.node:
            came = self._port(source.node, source)
            goes = _Port() if self._is_here(source.node, target) else self._way_out(source.node, target)
            yield from self._node_leg(flow, source.node, came, goes)
        if target.node and target.node != source.node:
            came = self._way_in(target.node, source)
            yield from self._node_leg(flow, target.node, came, self._port(target.node, target))
        if target.pod is not None:
            yield self._pod_leg(flow, target.pod, is_sender=False)

    def _is_here(self, node: str, end: End) -> bool:
        return end.node == node and end.pod is None

    def _pod_leg(self, flow: _Flow, pod: Subject, *, is_sender: bool) -> Leg:
        """In the pod itself: the client's knows the Service by its own address."""
        is_client = is_sender is not flow.is_reply
        packet = {**flow.packet, **flow.seen} if is_client else flow.packet
        address = "saddr" if is_sender else "daddr"
        own = flow.source.ip if is_sender else flow.target.ip
        packet = {**packet, address: frozenset({own})}
        out = {**packet, "iif": NO_DEVICE, "oif": frozenset({"eth0"}), **(_AS_ROOT if flow.is_ours else {})}
        into = {**packet, "iif": frozenset({"eth0"}), "oif": NO_DEVICE, "daddrtype": frozenset({"local"})}
        families = _families(packet)
        stops = (
            (
                Stop(hook="output", families=families, packet=out),
                Stop(hook="postrouting", families=families, packet=out),
                Stop(hook="egress", families=DEVICE, packet=out, device="eth0"),
            )
            if is_sender
            else (
                Stop(hook="ingress", families=DEVICE, packet=into, device="eth0"),
                Stop(hook="prerouting", families=families, packet=into),
                Stop(hook="input", families=families, packet=into),
            )
        )
        return Leg(place=pod, stops=stops, is_reply=flow.is_reply)

    def _port(self, node: str, end: End) -> _Port | None:
        """How an end of this node hangs on its IP layer; None when that is not known."""
        if end.pod is None:
            return _Port()
        report = self._evidence.pod_reports.get(end.pod)
        view = self._views.get(node)
        link = view.links.get(report.host_link) if view and report else None
        if link is None or view is None:
            return None
        master = view.links.get(link.master)
        return _Port(dev=master.name, bridged=link.name) if master and master.kind == "bridge" else _Port(dev=link.name)

    def _way_out(self, node: str, target: End) -> _Port | None:
        """The device of the route to somebody else."""
        if target.pod is not None and target.node == node:
            return self._port(node, target)
        view = self._views.get(node)
        route = self._routes[node].lookup(target.ip) if view else None
        link = view.links.get(route.dev) if view and route else None
        if link is None:
            return None
        return _Port(dev=link.name, tunnel=link if link.kind in {"vxlan", "ipip"} else None)

    def _way_in(self, node: str, source: End) -> _Port | None:
        """The device by which somebody else's packets come: that of the route back to it."""
        return self._way_out(node, source)

    def _node_leg(self, flow: _Flow, node: str, came: _Port | None, goes: _Port | None) -> Iterator[Leg]:
        view = self._views.get(node)
        if view is None or came is None or self._is_disguised(flow, node):
            return
        transit = _Transit(self, view, flow, came, goes)
        yield Leg(place=Subject(SubjectKind.NODE, node), stops=tuple(transit.stops()), is_reply=flow.is_reply)

    def outer(self, view: NodeView, flow: _Flow, tunnel: Link, *, is_sender: bool) -> Packet:
        """The tunnel's packet around a flow's."""
        here = tunnel.vxlan_local or self.address_of(view.name)
        there = self.address_of(flow.target.node if is_sender else flow.source.node)
        ends = (here, there) if is_sender else (there, here)
        inner = flow.packet.get("length")
        around: dict[str, frozenset[str] | None] = {
            "ethertype": frozenset({"ip"}),
            "saddr": frozenset({ends[0]}) if ends[0] else None,
            "daddr": frozenset({ends[1]}) if ends[1] else None,
            "proto": frozenset({"udp" if tunnel.kind == "vxlan" else "ipencap"}),
            "ctstate": frozenset({"new"}),  # each direction has ports of its own: none is ever an answer
            "ctdirection": frozenset({"original"}),
            "chance": flow.packet.get("chance"),
            "length": frozenset(str(int(one) + VXLAN_BYTES) for one in inner) if inner else None,
        }
        if tunnel.kind == "vxlan":
            around["dport"] = frozenset({str(tunnel.vxlan_port)}) if tunnel.vxlan_port else None
        else:
            around["dport"] = around["sport"] = frozenset[str]()
        return around

    def address_of(self, node: str) -> str:
        """A node's InternalIP, "" when it is not known."""
        host = self._evidence.nodes.get(node)
        return host.internal_ip if host else ""


class _Transit:
    """One packet's hooks on one node."""

    def __init__(self, ways: Journeys, view: NodeView, flow: _Flow, came: _Port, goes: _Port | None) -> None:
        self._ways = ways
        self._view = view
        self._flow = flow
        self._came = came
        self._goes = goes
        self._uplink = uplink(view.state.routes, view.links, self._own_device())
        self._families = _families(flow.packet)
        is_client_side = view.name == (flow.target if flow.is_reply else flow.source).node
        seen: Packet = {**flow.packet, **flow.seen} if is_client_side else flow.packet
        # A request is translated before it is routed, an answer after.
        self._early, self._late = (flow.packet, seen) if flow.is_reply else (seen, flow.packet)

    def stops(self) -> Iterator[Stop]:
        """In the packet's order."""
        came, goes = self._came, self._goes
        if came.tunnel is not None:
            outer = self._ways.outer(self._view, self._flow, came.tunnel, is_sender=False)
            yield from self._outer_in(outer)
        if goes is not None and came.bridged and goes.bridged and came.dev == goes.dev and self._is_switched:
            yield from self._switched(came, goes)
            return
        if came.dev:
            yield from self._arrive(came)
        if goes is None:
            return
        if not goes.dev:
            yield self._ip("input", self._late_of(local=True), iif=came.dev, behind=self._nat("input"))
            return
        if came.dev:
            middle: Packet = {**self._middle, "saddrtype": frozenset({"unicast"})}
            yield self._ip("forward", middle, iif=came.dev, oif=goes.dev)
            yield self._ip(
                "postrouting",
                middle,
                iif=came.dev,
                oif=goes.dev,
                behind=self._nat("postrouting"),
                nat_at=SNAT_PRIORITY,
            )
        else:
            yield self._own("output", self._early, goes.dev, nat_at=DNAT_PRIORITY)
            yield self._own("postrouting", self._middle, goes.dev, nat_at=SNAT_PRIORITY)
        yield from self._depart(goes)
        if goes.tunnel is not None:
            yield from self._outer_out(self._ways.outer(self._view, self._flow, goes.tunnel, is_sender=True))

    def _own(self, hook: str, packet: Packet, oif: str, *, nat_at: int) -> Stop:
        """A hook on the way out of what the node sends itself: our own tests as root."""
        sent: Packet = {"saddrtype": frozenset({"local"}), **(_AS_ROOT if self._flow.is_ours else {})}
        behind = self._nat(hook)
        behind = {**behind, **sent} if behind is not None else None
        return self._ip(hook, {**packet, **sent}, oif=oif, behind=behind, nat_at=nat_at)

    @property
    def _is_switched(self) -> bool:
        """Whether a bridge passes it on without routing: the sender wrote no address of the node on it."""
        return self._early is self._late or self._early.get("daddr") == self._late.get("daddr")

    @property
    def _middle(self) -> Packet:
        """The packet while it is routed: behind the NAT of a request, before that of an answer."""
        return self._flow.packet

    def _nat(self, hook: str) -> Packet | None:
        """The packet behind the NAT of a hook, None where there is none of it."""
        hooks = {"postrouting", "input"} if self._flow.is_reply else {"prerouting", "output"}
        return self._late if hook in hooks and self._early != self._late else None

    def _late_of(self, *, local: bool) -> Packet:
        kind = "local" if local else "unicast"
        return {**self._middle, "daddrtype": frozenset({kind})}

    def _arrive(self, came: _Port) -> Iterator[Stop]:
        if came.bridged:
            yield self._device("ingress", came.bridged, self._early)
            for hook in ("prerouting", "input"):
                yield self._bridge(hook, self._early, iif=came.bridged, bridge=came.dev)
        yield self._device("ingress", came.dev, self._early)
        is_local = self._goes is not None and not self._goes.dev
        yield self._ip(
            "prerouting",
            self._late_of(local=True) if is_local else self._early,
            iif=came.dev,
            behind=self._nat("prerouting"),
            nat_at=DNAT_PRIORITY,
        )

    def _depart(self, goes: _Port) -> Iterator[Stop]:
        yield self._device("egress", goes.dev, self._late)
        if goes.bridged:
            for hook in ("output", "postrouting"):
                yield self._bridge(hook, self._late, oif=goes.bridged, bridge=goes.dev)
            yield self._device("egress", goes.bridged, self._late)

    def _switched(self, came: _Port, goes: _Port) -> Iterator[Stop]:
        """From port to port of one bridge; IP's hooks see it only where br_netfilter hands it to them."""
        yield self._device("ingress", came.bridged, self._early)
        calls = sysctl(self._view.state, "bridge.bridge-nf-call-iptables") == 1
        yield self._bridge("prerouting", self._early, iif=came.bridged, bridge=came.dev)
        if calls:
            yield self._ip("prerouting", self._early, iif=came.dev, is_switched=None)
        yield self._bridge("forward", self._early, iif=came.bridged, oif=goes.bridged, bridge=came.dev)
        if calls:
            yield self._ip("forward", self._early, iif=came.dev, oif=goes.dev, is_switched=True)
        yield self._bridge("postrouting", self._early, oif=goes.bridged, bridge=came.dev)
        if calls:
            yield self._ip("postrouting", self._early, oif=goes.dev, is_switched=True)
        yield self._device("egress", goes.bridged, self._early)

    def _outer_in(self, outer: Packet) -> Iterator[Stop]:
        local = {**outer, "daddrtype": frozenset({"local"})}
        yield replace(self._device("ingress", self._uplink, local), is_outer=True)
        for hook in ("prerouting", "input"):
            yield replace(self._ip(hook, local, iif=self._uplink), is_outer=True, families=IP)

    def _outer_out(self, outer: Packet) -> Iterator[Stop]:
        for hook in ("output", "postrouting"):
            yield replace(self._ip(hook, outer, oif=self._uplink), is_outer=True, families=IP)
        yield replace(self._device("egress", self._uplink, outer), is_outer=True)

    def _ip(
        self,
        hook: str,
        packet: Packet,
        *,
        iif: str = "",
        oif: str = "",
        behind: Packet | None = None,
        nat_at: int = 0,
        is_switched: bool | None = False,
    ) -> Stop:
        """`is_switched`: whether a bridge passes it on, of which IP's hooks know once the way is found."""
        switched = None if is_switched is None else frozenset({"yes" if is_switched else "no"})
        devices: Packet = {"iif": frozenset({iif}), "oif": frozenset({oif}), "switched": switched}
        return Stop(
            hook=hook,
            families=self._families,
            packet={**packet, **devices},
            behind={**behind, **devices} if behind is not None else None,
            nat_at=nat_at if behind is not None else 0,
        )

    def _bridge(self, hook: str, packet: Packet, *, iif: str = "", oif: str = "", bridge: str) -> Stop:
        devices = {
            "iif": frozenset({iif}),
            "oif": frozenset({oif}),
            "ibr": frozenset({bridge}),
            "obr": frozenset({bridge}),
        }
        return Stop(hook=hook, families=BRIDGE, packet={**packet, **devices})

    def _device(self, hook: str, device: str, packet: Packet) -> Stop:
        name = frozenset({device})
        devices = {"iif": name if hook == "ingress" else NO_DEVICE, "oif": NO_DEVICE if hook == "ingress" else name}
        return Stop(hook=hook, families=DEVICE, packet={**packet, **devices}, device=device)

    def _own_device(self) -> str:
        ip = self._ways.address_of(self._view.name)
        return next((each.dev for each in self._view.state.addresses if each.ip == ip), "")


def _families(packet: Packet) -> frozenset[str]:
    return IP6 if packet.get("ethertype") == frozenset({"ip6"}) else IP
