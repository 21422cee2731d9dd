"""What took probe packets where the kernel tells no drop: what refuses, waits, counts, or leads elsewhere."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from bot.agent.report import Address, FdbEntry, FirewallStep, IpsecPolicy, Neighbour, Route, Rule
from bot.agent.traced import Unresolved
from tests.probes.test_packet_trace import guard
from tests.probes.traced import TUNNEL, A, C, N, Traced, arrived, sent_off

MAIN = Rule(priority=32766, table=254)
MAC = "66:00:00:00:00:09"


Broken = Callable[[Traced], None]


def routes(*there: Route) -> Broken:
    """The pod has these routes."""
    return lambda traced: traced.cluster.inside(traced.a, routes=there, rules=(MAIN,))


def policy(dst: str) -> Broken:
    """An IPsec policy of the pod blocks what goes there."""
    blocking = IpsecPolicy(direction="out", action="block", src="0.0.0.0/0", dst=dst)
    return lambda traced: traced.cluster.inside(traced.a, ipsec=(blocking,))


def link_down(traced: Traced) -> None:
    state = traced.cluster.report_of(traced.a).state
    assert state
    links = tuple(replace(link, is_up=link.name == "lo") for link in state.links)
    traced.cluster.inside(traced.a, routes=(), rules=(MAIN,), links=links)


@pytest.mark.parametrize(
    ("outcome", "broken", "culprit"),
    [
        ("EINVAL", routes(Route(dst=f"{C}/32", type="blackhole")), f"route blackhole {C}/32 of "),
        ("EACCES", routes(Route(dst=f"{C}/32", type="prohibit")), f"route prohibit {C}/32 of "),
        (
            "EHOSTUNREACH",
            routes(Route(dst="10.42.0.0/16", type="unreachable")),
            "route unreachable 10.42.0.0/16 of ",
        ),
        ("ENETUNREACH", routes(), f"no route to {C} in the tables of "),
        (
            "ENETUNREACH",
            routes(Route(dst="default", dev="eth0"), Route(dst=f"{C}/32", type="throw")),
            f"route throw {C}/32 of ",
        ),
        ("ENETUNREACH", link_down, "eth0 of shop/a, which is down"),
        ("EHOSTUNREACH", routes(Route(dst="default", via="169.254.1.1", dev="eth0")), ""),
        (
            "EPERM",
            policy(f"{C}/32"),
            f"IPsec policy dir out src 0.0.0.0/0 dst {C}/32 action block of ",
        ),
        ("EPERM", policy("10.9.9.9/32"), ""),
    ],
    ids=[
        "blackhole",
        "prohibit",
        "unreachable",
        "no route",
        "throw, before a default route",
        "a link that is down",
        "a gateway that may be silent",
        "IPsec",
        "IPsec for others",
    ],
)
def test_what_the_senders_kernel_refuses_is_named(outcome: str, broken: Broken, culprit: str) -> None:
    traced = Traced()
    broken(traced)
    traced.outcomes = {outcome: N}

    fate = traced.fate()

    assert (fate.hop, fate.last_seen) == ("pod", "")
    assert fate.culprit == (f"{culprit}shop/a" if culprit.endswith(" ") else culprit)


def waiting(traced: Traced, ip: str, dev: str) -> Traced:
    traced.fields["node-1"] = {"unresolved": (Unresolved(netns="node", ip=ip, dev=dev),)}
    return traced


def by_the_tunnel(traced: Traced, dst: str) -> Traced:
    """Pods of node-2 are behind the tunnel, whose entry leads to this machine."""
    root = traced.cluster.roots["node-1"]
    traced.cluster.root(
        "node-1",
        routes=(*root.routes, Route(dst="10.42.2.0/24", via="10.42.2.0", dev=TUNNEL.name)),
        neighbours=(Neighbour(ip="10.42.2.0", dev=TUNNEL.name, mac=MAC, state="PERMANENT"),),
        fdb=(FdbEntry(dev=TUNNEL.name, mac=MAC, dst=dst),),
    )
    return traced


def test_an_entry_for_a_dead_machine_is_what_packets_wait_for() -> None:
    traced = by_the_tunnel(Traced(), "172.30.0.99").saw("node-1", "a:eth0>", "cali1<", "vxlan.calico>")

    fate = waiting(traced, "172.30.0.99", "eth0").fate()

    assert fate.reason == "they wait for 172.30.0.99 on eth0, which does not answer ARP"
    assert (fate.hop, fate.culprit) == ("overlay", f"FDB entry {MAC} dst 172.30.0.99 on vxlan.calico of node-1")


def test_a_tunnel_that_knows_no_peer_waits_for_it() -> None:
    traced = by_the_tunnel(Traced(), "172.30.0.12").saw("node-1", "a:eth0>", "cali1<")

    fate = waiting(traced, "10.42.2.0", TUNNEL.name).fate()

    assert (fate.hop, fate.culprit) == ("overlay", "neighbour 10.42.2.0 on vxlan.calico of node-1, unanswered")


def test_a_neighbour_that_is_not_on_the_way_is_no_reason() -> None:
    traced = by_the_tunnel(sent_off(Traced()), "172.30.0.12")

    fate = waiting(traced, "172.30.0.99", "eth0").fate()

    assert (fate.hop, fate.culprit) == ("underlay", "")
    assert "172.30.0.99" not in fate.reason


def test_packets_that_are_wrapped_for_another_machine_name_the_entry() -> None:
    traced = by_the_tunnel(sent_off(Traced()), "172.30.0.77")
    wire = traced.sightings["node-1"][-1]
    traced.sightings["node-1"][-1] = replace(wire, dst="172.30.0.77:4789")

    fate = traced.fate()

    assert fate.reason == "they leave for 172.30.0.77, which is not node-2"
    assert (fate.hop, fate.culprit) == ("overlay", f"FDB entry {MAC} dst 172.30.0.77 on vxlan.calico of node-1")


def test_replies_that_leave_beside_the_tunnel_name_the_route_that_takes_them() -> None:
    traced = arrived(Traced()).saw("node-2", "c:eth0>", "cali1<", "eth0>", leg="reply")
    traced.sightings["node-2"] = [
        replace(one, src=one.dst, dst=A) if one.leg == "reply" else one for one in traced.sightings["node-2"]
    ]

    fate = traced.fate()

    assert (fate.leg, fate.hop) == ("reply", "node")
    assert fate.culprit == f"no route to {A} by vxlan.calico of node-2, but default via 172.30.0.1 dev eth0"


def test_a_target_without_a_way_back_is_named() -> None:
    traced = arrived(Traced())
    traced.cluster.inside(traced.c, routes=(), rules=(MAIN,))

    fate = traced.fate()

    assert (fate.leg, fate.hop) == ("reply", "pod")
    assert fate.culprit == f"no route to {A} in the tables of shop/c"


def test_an_address_that_the_node_holds_beside_its_pod_keeps_the_gateway_silent() -> None:
    traced = Traced()
    root = traced.cluster.roots["node-1"]
    traced.cluster.root("node-1", addresses=(*root.addresses, Address(dev="lo", ip=A, prefix_len=32)))
    traced.fields["node-1"] = {"unresolved": (Unresolved(netns="uid-a", ip="169.254.1.1", dev="eth0"),)}

    fate = traced.fate()

    assert (fate.hop, fate.culprit) == ("node", f"address {A} on lo of node-1")


@pytest.mark.parametrize(("verdict", "is_named"), [("reject with tcp reset", True), ("accept", False)])
def test_a_rule_that_answers_by_a_reset_is_named(verdict: str, is_named: bool) -> None:  # noqa: FBT001
    traced = Traced().saw("node-1", "a:eth0>", "cali1<").saw("node-1", "a:eth0<", leg="reply")
    traced.outcomes = {"ECONNREFUSED": N}
    step = FirewallStep(backend="nft", family="ip", table="guard", chain="c", verdict=verdict, text=verdict)
    traced.cluster.root("node-1", firewall=guard(step))

    fate = traced.fate()

    assert fate.reason == "somebody on the way refuses in the target's name (RST), as reject rules do"
    assert bool(fate.culprit) is is_named
    assert not is_named or fate.culprit.endswith(verdict)
