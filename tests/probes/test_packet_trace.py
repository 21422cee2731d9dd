"""What took probe packets: the reason and the culprit, from sightings, drops and counters."""

from dataclasses import replace
from typing import Any

import pytest

from bot.agent.report import (
    Address,
    FdbEntry,
    Filter,
    Firewall,
    FirewallChain,
    FirewallMatch,
    FirewallRule,
    FirewallStep,
    IpsecPolicy,
    Neighbour,
    Qdisc,
    Route,
    Rule,
)
from bot.agent.traced import RuleMove, Unresolved
from bot.domain import facts
from bot.probes import node_kernel
from bot.probes.filters.held import held_rules
from bot.probes.packet_trace import PROBE
from bot.probes.packet_trace.words import sentence
from tests.probes.build import facts_of
from tests.probes.traced import TUNNEL, A, C, N, Traced, arrived, sent_off


def test_all_answered_is_no_fate() -> None:
    traced = arrived(Traced())
    traced.outcomes = {"ok": N}

    assert (traced.fate().lost, traced.fate().leg, traced.fate().hop) == (0, "", None)
    assert sentence(traced.fate()) == f"Of 17 probe packets (TCP from shop/a to {C}:80 (shop/c)) all were answered."


def guard(*rules: FirewallRule | FirewallStep, hook: str = "forward", family: str = "ip") -> Firewall:
    """A base chain with these rules, in their order."""
    return Firewall(
        chains=(FirewallChain(backend="nft", family=family, table="guard", chain="c", hook=hook),),
        drops=tuple(one for one in rules if isinstance(one, FirewallRule)),
        steps=tuple(one for one in rules if isinstance(one, FirewallStep)),
    )


def rule(text: str, packets: int | None = None, **matches: str) -> tuple[FirewallRule, FirewallStep]:
    """A dropping rule: as it is printed, and what it asks for."""
    place: dict[str, Any] = {"backend": "nft", "family": "ip", "table": "guard", "chain": "c"}
    wanted = tuple(FirewallMatch(fields=(field,), values=(value,)) for field, value in matches.items())
    return (
        FirewallRule(**place, verdict="drop", text=text, packets=packets),
        FirewallStep(**place, verdict="drop", text=text, matches=wanted),
    )


AT = "ip/guard/c (hook forward, priority 0, of unknown origin): "
PORT_80 = rule("tcp dport 80 drop", proto="tcp", dport="80")


@pytest.mark.parametrize(
    ("rules", "moved", "culprit"),
    [
        (PORT_80, {}, f"{AT}tcp dport 80 drop"),
        (rule("udp dport 80 drop", proto="udp", dport="80"), {}, ""),
        (rule("ip saddr 10.9.9.9 drop", saddr="10.9.9.9"), {}, ""),
        (rule("oifname vxlan.calico drop", oif="vxlan.calico"), {}, f"{AT}oifname vxlan.calico drop"),
        (rule("tcp dport 80 counter drop", 3, dport="80"), {}, ""),
        (
            rule("tcp dport 80 counter drop", 3, dport="80"),
            {"tcp dport 80 counter drop": N},
            f"{AT}tcp dport 80 counter drop",
        ),
        ((*rule("meta mark 1 drop", mark="0x1"), *PORT_80), {}, f"one of: {AT}meta mark 1 drop; {AT}tcp dport 80 drop"),
        ((*PORT_80, *rule("drop")), {}, f"{AT}tcp dport 80 drop"),
        ((*rule("meta mark 1 counter drop", 0, mark="0x1"), *PORT_80), {}, f"{AT}tcp dport 80 drop"),
        (
            (*rule("meta mark 1 counter drop", 0, mark="0x1"), *PORT_80),
            {"meta mark 1 counter drop": N},
            f"{AT}meta mark 1 counter drop",
        ),
    ],
)
def test_a_packet_filter_s_rule(rules: Any, moved: dict[str, int], culprit: str) -> None:
    """A rule that counts and stood still took nothing; of the others the first that surely takes the packet ends it."""
    traced = Traced().saw("node-1", "a:eth0>", "cali1<")
    traced.died("node-1", "NETFILTER_DROP", "nft_do_chain", "cali1", hook="forward", family="ip")
    routes = (*traced.cluster.roots["node-1"].routes, Route(dst="10.42.2.0/24", dev="vxlan.calico"))
    traced.cluster.root("node-1", firewall=guard(*rules), routes=routes, rules=(Rule(priority=32766, table=254),))
    moves = tuple(
        RuleMove(family="ip", table="guard", chain="c", text=text, packets=packets) for text, packets in moved.items()
    )
    traced.fields["node-1"] = {"rules": moves}

    fate = traced.fate()

    assert (fate.node, fate.leg, fate.hop, fate.is_known, fate.culprit) == ("node-1", "request", "node", True, culprit)
    assert fate.last_seen == "cali1 of node-1, coming in"
    assert fate.first_not_seen == "vxlan.calico of node-1, going out"
    assert fate.reason == (
        "a packet filter took them (hook ip forward): "
        "17 dropped by the kernel, NETFILTER_DROP in nft_do_chain at cali1 of node-1"
    )


def test_a_rule_that_the_kernel_convicts_is_a_proof_for_causes() -> None:
    traced = Traced().saw("node-1", "a:eth0>", "cali1<")
    traced.died("node-1", "NETFILTER_DROP", "nft_do_chain", "cali1", hook="forward", family="ip")
    traced.cluster.root("node-1", firewall=guard(*PORT_80))

    (held,) = held_rules(traced.evidence())[facts.node("node-1")]

    assert (held.is_traced, held.matches) == (True, True)
    assert held.failed == (f"shop/a → {C}",)
    known = facts_of(traced.evidence(), node_kernel.PROBE).of(facts.node("node-1"))
    assert known["foreign_rules_match"] == (f"{AT}tcp dport 80 drop, which takes requests only",)
    assert known["foreign_drops_hit"] is True


def test_one_of_two_rules_is_no_proof_against_either() -> None:
    traced = Traced().saw("node-1", "a:eth0>", "cali1<")
    traced.died("node-1", "NETFILTER_DROP", "nft_do_chain", "cali1", hook="forward", family="ip")
    traced.cluster.root("node-1", firewall=guard(*rule("meta mark 1 drop", mark="0x1"), *PORT_80))

    assert held_rules(traced.evidence())[facts.node("node-1")] == ()


def test_too_many_candidates_accuse_none() -> None:
    traced = Traced().saw("node-1", "a:eth0>", "cali1<")
    traced.died("node-1", "NETFILTER_DROP", "nft_do_chain", "cali1", hook="forward", family="ip")
    marks = [rule(f"meta mark {at} drop", mark=f"{at:#x}") for at in range(1, 5)]
    traced.cluster.root("node-1", firewall=guard(*(one for pair in marks for one in pair)))

    assert traced.fate().culprit == ""


def test_replies_that_are_dropped_are_told_as_replies() -> None:
    traced = arrived(Traced()).saw("node-2", "c:eth0>", "cali1<", leg="reply")
    traced.died("node-2", "NETFILTER_DROP", "nft_do_chain", "cali1", hook="forward", family="ip", leg="reply")

    fate = traced.fate()

    assert (fate.leg, fate.node, fate.last_seen) == ("reply", "node-2", "cali1 of node-2, coming in")
    assert "the replies were last seen" in sentence(fate)


MAC_HERE, MAC_BELIEVED = "66:00:00:00:00:02", "66:00:00:00:00:09"
BOTH = "vxlan.calico of node-2"
SENDER = "vxlan.calico of node-1"


def at_the_tunnel() -> Traced:
    """Packets came out of the tunnel of node-2, whose namespace has one of everything that can take them there."""
    traced = sent_off(Traced()).saw("node-2", "~eth0<", "vxlan.calico<")
    cluster = traced.cluster
    sender, receiver = cluster.roots["node-1"], cluster.roots["node-2"]
    cluster.sysctl(
        "node-2", **{"ipv4__conf__vxlan/calico__forwarding": "0", "ipv4__conf__vxlan/calico__rp_filter": "1"}
    )
    cluster.sysctl("node-2", ipv4__conf__all__rp_filter="0")
    tunnel = replace(TUNNEL, has_carrier=True, mac=MAC_HERE, xdp_program=7, mtu=1450, vxlan_id=1)
    cluster.root(
        "node-2",
        links=(*(one for one in receiver.links if one.name != TUNNEL.name), tunnel),
        routes=(
            *receiver.routes,
            Route(dst="10.42.1.0/24", dev="eth1"),
            Route(dst="default", type="prohibit", table=200),
        ),
        rules=(Rule(priority=100, table=200, src=A), MAIN),
        qdiscs=(Qdisc(dev="vxlan.calico", kind="tbf", handle="8001:", text="tbf rate 4Kbit"),),
        filters=(
            Filter(dev="vxlan.calico", direction="ingress", kind="u32", effect="drop", text="u32 action drop"),
            Filter(dev="vxlan.calico", direction="ingress", kind="matchall", effect="", text="matchall"),
        ),
        ipsec=(IpsecPolicy(direction="fwd", action="block", src="10.42.1.0/24", dst="0.0.0.0/0"),),
        addresses=(*receiver.addresses, Address(dev="lo", ip=A, prefix_len=32)),
    )
    cluster.root(
        "node-1",
        links=(*(one for one in sender.links if one.name != TUNNEL.name), replace(TUNNEL, vxlan_id=9)),
        routes=(*sender.routes, Route(dst="10.42.2.0/24", via="10.42.2.0", dev="vxlan.calico")),
        rules=(MAIN,),
        neighbours=(Neighbour(ip="10.42.2.0", dev="vxlan.calico", mac=MAC_BELIEVED, state="PERMANENT"),),
    )
    return traced


@pytest.mark.parametrize(
    ("reason", "symbol", "hop", "culprit"),
    [
        ("IP_INADDRERRORS", "ip_error", "node", "sysctl net.ipv4.conf.vxlan/calico.forwarding = 0 of node-2"),
        (
            "IP_RPFILTER",
            "ip_rcv_finish_core",
            "node",
            f"sysctl net.ipv4.conf.vxlan/calico.rp_filter = 1 of node-2; the route back to {A} leads to eth1",
        ),
        (
            "NOT_SPECIFIED",
            "ip_error",
            "node",
            f"route prohibit default table 200 of node-2 (ip rule 100: from {A} lookup 200)",
        ),
        ("QDISC_DROP", "__dev_queue_xmit", "overlay", f"tc qdisc tbf rate 4Kbit on {BOTH}"),
        ("TC_INGRESS", "__netif_receive_skb_core", "node", f"tc filter u32 action drop on {BOTH}, ingress"),
        ("TC_EGRESS", "__dev_queue_xmit", "node", ""),
        (
            "XFRM_POLICY",
            "ip_forward",
            "node",
            "IPsec policy dir fwd src 10.42.1.0/24 dst 0.0.0.0/0 action block of node-2",
        ),
        ("IP_LOCAL_SOURCE", "ip_rcv_finish_core", "node", f"address {A} on lo of node-2"),
        ("NOT_SPECIFIED", "do_xdp_generic", "node", f"xdp program id 7 on {BOTH}, ingress"),
        (
            "OTHERHOST",
            "ip_rcv_core",
            "overlay",
            f"neighbour 10.42.2.0 lladdr {MAC_BELIEVED} PERMANENT on {SENDER}, while vxlan.calico has {MAC_HERE}",
        ),
        ("VXLAN_VNI_NOT_FOUND", "vxlan_rcv", "overlay", f"vxlan.calico of node-1 has VNI 9, {BOTH} 1"),
        ("UNHEARD_OF", "some_function", "node", ""),
    ],
)
def test_the_kernel_s_reason_leads_to_the_object(reason: str, symbol: str, hop: str, culprit: str) -> None:
    traced = at_the_tunnel()
    if symbol == "ip_rcv_finish_core":
        traced.cluster.root("node-2", rules=(MAIN,))
    traced.died("node-2", reason, symbol, "vxlan.calico")

    assert (traced.fate().hop, traced.fate().culprit) == (hop, culprit)


def test_packets_too_large_for_the_next_link_name_its_mtu() -> None:
    traced = at_the_tunnel()
    traced.cluster.root("node-2", rules=(MAIN,))
    traced.died("node-2", "PKT_TOO_BIG", "ip_forward", "eth0")

    assert traced.fate().culprit == "mtu 1450 of cali1 of node-2"


def test_a_tunnel_without_an_entry_names_the_mac_that_has_none() -> None:
    traced = at_the_tunnel()
    traced.died("node-1", "NO_TX_TARGET", "vxlan_xmit", "vxlan.calico")

    assert traced.fate().culprit == f"no FDB entry of {MAC_BELIEVED} (neighbour 10.42.2.0) on vxlan.calico of node-1"


def test_a_next_hop_that_does_not_answer_is_named_with_the_state_of_its_entry() -> None:
    traced = at_the_tunnel()
    traced.cluster.root("node-1", neighbours=(Neighbour(ip="10.42.2.0", dev="vxlan.calico", state="FAILED"),))
    traced.died("node-1", "NEIGH_FAILED", "neigh_invalidate", "vxlan.calico")

    assert traced.fate().culprit == "neighbour 10.42.2.0 on vxlan.calico of node-1, FAILED"


def test_an_entry_with_a_port_of_its_own_is_the_sender_s_mistake() -> None:
    traced = at_the_tunnel()
    entry = FdbEntry(dev="vxlan.calico", mac=MAC_BELIEVED, dst="172.30.0.12", port=9999)
    traced.cluster.root("node-1", fdb=(entry,))
    traced.died("node-2", "NO_SOCKET", "__udp4_lib_rcv", "eth0", tunnel="vxlan", dst="172.30.0.12:9999")

    assert traced.fate().culprit == f"FDB entry {MAC_BELIEVED} dst 172.30.0.12 port 9999 on vxlan.calico of node-1"


def test_a_tunnel_s_wrong_port_is_read_from_the_wire() -> None:
    traced = sent_off(Traced()).saw("node-2", "~eth0<")
    traced.died("node-2", "NO_SOCKET", "__udp4_lib_rcv", "eth0", tunnel="vxlan", dst="172.30.0.12:9999")

    fate = traced.fate()

    assert (fate.hop, fate.culprit) == (
        "overlay",
        "tunnel packets come to UDP port 9999, the tunnel of node-2 takes 4789",
    )


def test_what_the_sender_s_kernel_refuses_was_seen_nowhere() -> None:
    traced = Traced()
    traced.outcomes = {"EACCES": N}

    fate = traced.fate()

    assert (fate.hop, fate.last_seen, fate.reason) == (
        "pod",
        "",
        "the sender's own kernel refuses: a prohibit route (EACCES)",
    )
    assert "none was seen on any device" in sentence(fate)


Hanging = tuple[str, str, str]
"""Name of a program, device, side."""


def program(hanging: Hanging, kind: str = "tcx", effect: str = "program") -> Filter:
    name, dev, side = hanging
    return Filter(dev=dev, direction=side, kind=kind, name=name, effect=effect, text=f"{kind} program {name}")


CATCHER, OTHER = ("catcher", "cali1", "ingress"), ("other", "cali1", "ingress")
ONWARD = ("catcher", "vxlan.calico", "egress")


@pytest.mark.parametrize(
    ("filters", "takers"),
    [
        ([program(CATCHER)], [CATCHER]),
        ([program(("catcher", "cali2", "ingress"))], []),
        ([program(("catcher", "cali1", "egress"))], []),
        ([program(CATCHER, kind="xdp")], []),
        ([program(CATCHER, effect="change")], []),
        ([program(ONWARD)], [ONWARD]),
        ([program(CATCHER), program(OTHER)], [CATCHER, OTHER]),
        ([program(("cil_from_container", "cali1", "ingress")), program(CATCHER)], [CATCHER]),
    ],
    ids=["there", "elsewhere", "other side", "before it was seen", "lets on", "next device", "two", "beside the CNI's"],
)
def test_packets_that_vanish_without_a_drop_were_taken_by_what_hangs_there(
    filters: list[Filter], takers: list[Hanging]
) -> None:
    traced = Traced().saw("node-1", "a:eth0>", "cali1<")
    traced.cluster.root("node-1", filters=tuple(filters))

    fate = traced.fate()

    named = [f"tcx program {name} on {dev} of node-1, {side}" for name, dev, side in takers]
    assert fate.culprit == f"{'one of: ' if len(named) > 1 else ''}{'; '.join(named)}"
    assert fate.taken_at == (("node-1", *takers[0][1:]) if len(takers) == 1 else None)
    assert ("redirected, stolen" in fate.reason) is bool(takers)


LEAVING = ("catcher", "eth0", "egress")
MAIN = Rule(priority=32766, table=254)


@pytest.mark.parametrize(
    ("traced_fields", "state", "is_named"),
    [
        ({}, {}, True),
        ({"namespaces": ("node",)}, {}, False),
        ({"instrument": "none"}, {}, False),
        ({}, {"filters": (program(("catcher", "eth1", "egress")),)}, False),
        ({}, {"filters": (program(LEAVING), program(("cil_to_host", "eth0", "egress")))}, True),
        ({}, {"rules": ()}, False),
    ],
    ids=["there", "nobody listened", "drops are not reported", "other device", "beside the CNI's", "routing unknown"],
)
def test_packets_that_were_seen_nowhere_were_taken_where_they_leave(
    traced_fields: dict[str, Any],
    state: dict[str, Any],
    is_named: bool,  # noqa: FBT001
) -> None:
    traced = Traced()
    traced.fields["node-1"] = {"namespaces": ("node", "uid-a")} | traced_fields
    routes = {
        "routes": (Route(dst="default", dev="eth0"),),
        "rules": (Rule(priority=32766, table=254),),
        "filters": (program(LEAVING),),
    }
    traced.cluster.inside(traced.a, **routes | state)

    fate = traced.fate()

    assert fate.hop == "pod"
    assert fate.culprit == ("tcx program catcher on eth0 of shop/a, egress" if is_named else "")


def test_what_ipv6_waits_for_is_not_called_arp() -> None:
    traced = Traced()
    traced.flow = replace(traced.flow, ip="fd00:1::10")
    waiting = [Unresolved(netns="uid-a", ip=ip, dev="eth0") for ip in ("169.254.1.1", "fe80::1")]
    traced.fields["node-1"] = {"unresolved": tuple(waiting)}

    assert traced.fate().reason == "they wait for fe80::1 on eth0, which does not answer neighbour discovery (timeout)"


@pytest.mark.parametrize("reason", ["IP_INNOROUTES", "IP_RPFILTER", "NEIGH_FAILED", "OTHERHOST"])
def test_tables_of_ipv4_accuse_nobody_of_what_befell_ipv6(reason: str) -> None:
    traced = at_the_tunnel()
    traced.died("node-2", reason, "ip6_pkt_drop", "vxlan.calico", src="fd00::10", dst="[fd00:1::10]:80")

    assert (traced.fate().is_known, traced.fate().culprit) == (True, "")


@pytest.mark.parametrize(
    ("name", "who"),
    [("tcx_ingress_flo", " (NetObserv)"), ("classifier_ingr", " (Datadog's security agent)"), ("catcher", "")],
)
def test_a_program_is_told_with_whose_it_is(name: str, who: str) -> None:
    traced = Traced().saw("node-1", "a:eth0>", "cali1<")
    traced.cluster.root("node-1", filters=(program((name, "cali1", "ingress")),))

    assert traced.fate().culprit == f"tcx program {name} on cali1 of node-1, ingress{who}"


@pytest.mark.parametrize(
    ("source", "chain", "rewritten"),
    [
        ("172.30.0.11", "filter-cali-tw-cali2", ("shop/a to shop/c arrives as 172.30.0.11",)),
        (A, "filter-cali-tw-cali2", ()),
        ("172.30.0.11", "c", ()),
    ],
    ids=["a policy's rule", "its own address", "somebody's rule, who drops it whoever sends it"],
)
def test_a_source_that_a_node_gave_up_for_its_own(source: str, chain: str, rewritten: tuple[str, ...]) -> None:
    traced = sent_off(Traced()).saw("node-2", "~eth0<", "vxlan.calico<")
    traced.died("node-2", "NETFILTER_DROP", "nft_do_chain", "vxlan.calico", src=source, hook="forward", family="ip")
    routes = (*traced.cluster.roots["node-2"].routes, Route(dst=f"{C}/32", dev="cali1"))
    rules = tuple(replace(one, chain=chain) for one in PORT_80)
    firewall = guard(*rules)
    firewall = replace(firewall, chains=tuple(replace(one, chain=chain) for one in firewall.chains))
    traced.cluster.root("node-2", firewall=firewall, routes=routes, rules=(Rule(priority=32766, table=254),))

    assert facts_of(traced.evidence(), PROBE).of(facts.node("node-1"))["sources_rewritten"] == rewritten


def test_what_a_dns_server_asks_in_its_turn_is_nobodys_masqueraded_packet() -> None:
    traced = sent_off(Traced("udp")).saw("node-2", "~eth0<", "vxlan.calico<")
    upstream = {"src": C, "dst": "198.51.100.10:53", "hook": "forward", "family": "ip"}
    traced.died("node-2", "NETFILTER_DROP", "nft_do_chain", "cali1", **upstream)
    chain = "filter-cali-fw-cali1"
    firewall = guard(*(replace(one, chain=chain) for one in rule("drop")))
    firewall = replace(firewall, chains=tuple(replace(one, chain=chain) for one in firewall.chains))
    traced.cluster.root("node-2", firewall=firewall, rules=(Rule(priority=32766, table=254),))

    assert facts_of(traced.evidence(), PROBE).of(facts.node("node-1"))["sources_rewritten"] == ()
    assert traced.fate().hop == "policy"
    assert traced.fate().reason.startswith("shop/c asks 198.51.100.10 in its turn, and that dies; a packet filter")


def test_the_policy_of_the_forward_hook_is_no_strangers_rule() -> None:
    traced = Traced().saw("node-1", "a:eth0>", "cali1<")
    traced.died("node-1", "NETFILTER_DROP", "nft_do_chain", "cali1", hook="forward", family="ip")
    firewall = guard()
    firewall = replace(firewall, chains=tuple(replace(one, policy="drop") for one in firewall.chains))
    routes = (*traced.cluster.roots["node-1"].routes, Route(dst="10.42.2.0/24", dev="vxlan.calico"))
    traced.cluster.root("node-1", firewall=firewall, routes=routes, rules=(Rule(priority=32766, table=254),))

    known = facts_of(traced.evidence(), node_kernel.PROBE).of(facts.node("node-1"))

    assert (known["forward_policy_takes"], known["foreign_drops_hit"]) == (True, False)
