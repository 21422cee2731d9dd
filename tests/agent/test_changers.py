"""Rules that change packets so that they die: named where the packets die of it, on the real kernel."""

import re
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager

import pytest

from bot.domain import facts
from bot.probes import packet_trace
from tests.agent.nodes import Node, calico_node, is_root, two_nodes, why_no_namespaces
from tests.agent.trace_lab import CHAIN, evidence_in, fate_in, flow
from tests.probes.build import facts_of

pytestmark = [
    pytest.mark.lab,
    pytest.mark.root,
    pytest.mark.skipif(bool(why_no_namespaces()), reason=why_no_namespaces() or "-"),
    pytest.mark.skipif(not is_root(), reason="the tap is root's"),
]
SERVER = {"tcp": [7001], "udp": [7001]}
SERVICE = "10.43.0.5"
SERVER_IP = "10.42.0.11"


@pytest.fixture(scope="module")
def node() -> Generator[Node]:
    """Two pods and one that serves nothing. Each test takes back what it broke."""
    with calico_node([{}, SERVER, {}]) as made:
        yield made


@contextmanager
def rules(node: Node, *lines: str, number: int = -1) -> Generator[None]:
    """Rules of a namespace (the node's): "nft HOOK PRIORITY TYPE: RULE", else a line of iptables or ip."""
    at = node.number if number < 0 else number
    with ExitStack() as undo:
        for index, line in enumerate(lines):
            if line.startswith("nft "):
                head, _, rule = line.removeprefix("nft ").partition(": ")
                family, kind, hook, priority = head.split()
                text = TABLE.format(family=family, index=index, kind=kind, hook=hook, priority=priority, rule=rule)
                node.namespaces.run(at, "nft", "-f", "-", text=text)
                undo.callback(node.namespaces.run, at, "nft", "delete", "table", family, f"odd{index}")
            elif line.startswith("ip "):
                node.namespaces.run(at, *line.split())
                undo.callback(node.namespaces.run, at, *line.replace(" add ", " del ").split())
            else:
                node.namespaces.run(at, *line.split())
                undo.callback(node.namespaces.run, at, *line.replace(" -A ", " -D ").split())
        yield


TABLE = """table {family} odd{index} {{
 chain c {{
  type {kind} hook {hook} priority {priority};
  {rule}
 }}
}}
"""
MARKED = ("ip route add blackhole 10.42.0.11/32 table 77", "ip rule add fwmark 0x7 lookup 77 pref 50")
MARKED_AWAY = (
    "ip route add 10.42.0.11/32 via 172.30.0.99 dev eth0 table 77",
    "ip rule add fwmark 0x7 lookup 77 pref 50",
)
MARKED_FOR_A_PROXY = ("ip route add local default dev lo table 77", "ip rule add fwmark 0x7 lookup 77 pref 50")
DNAT_DEAD = "their destination was changed to 10.42.0.40:7001 on node-1; "
DNAT_PORT = "their destination was changed to 10.42.0.12:7009 on node-1; "
AGED = "their time to live (hop limit) was lowered on node-1; "
LED = "they were marked, and led by another routing table, on node-1; "


@pytest.mark.parametrize(
    ("lines", "protocol", "effect", "culprit"),
    [
        (
            ["nft ip nat prerouting -150: udp dport 7001 counter dnat to 10.42.0.40"],
            "udp",
            DNAT_DEAD,
            (
                "ip/odd0/c (hook prerouting, priority -150, of unknown origin): "
                "udp dport 7001 counter dnat to 10.42.0.40, 17 packets meanwhile"
            ),
        ),
        (
            ["iptables-legacy -t nat -A PREROUTING -p udp --dport 7001 -j DNAT --to-destination 10.42.0.12:7009"],
            "udp",
            DNAT_PORT,
            (
                "ip/nat/PREROUTING (hook prerouting, priority -100, of unknown origin): "
                "-A PREROUTING -p udp -m udp --dport 7001 -j DNAT --to-destination 10.42.0.12:7009, "
                "17 packets meanwhile"
            ),
        ),
        (
            ["iptables-nft -t nat -A PREROUTING -p tcp --dport 7001 -j DNAT --to-destination 10.42.0.12:7009"],
            "tcp",
            DNAT_PORT,
            (
                "ip/nat/PREROUTING (hook prerouting, priority -100, of unknown origin): "
                "-A PREROUTING -p tcp -m tcp --dport 7001 -j DNAT --to-destination 10.42.0.12:7009, "
                "17 packets meanwhile"
            ),
        ),
        (
            ["nft ip nat prerouting -150: tcp dport 7001 redirect to :7010"],
            "tcp",
            "they were redirected to node-1 itself, and cali0 has no address there; ",
            "ip/odd0/c (hook prerouting, priority -150, of unknown origin): tcp dport 7001 redirect to :7010",
        ),
        (
            ["nft ip filter prerouting -150: udp dport 7001 counter ip ttl set 1"],
            "udp",
            AGED,
            (
                "ip/odd0/c (hook prerouting, priority -150, of unknown origin): "
                "udp dport 7001 counter ip ttl set 1, 17 packets meanwhile"
            ),
        ),
        (
            ["iptables-legacy -t mangle -A PREROUTING -i cali0 -j TTL --ttl-set 1"],
            "tcp",
            AGED,
            (
                "ip/mangle/PREROUTING (hook prerouting, priority -150, of unknown origin): "
                "-A PREROUTING -i cali0 -j TTL --ttl-set 1, 17 packets meanwhile"
            ),
        ),
        (
            ["iptables-legacy -t mangle -A PREROUTING -p udp --dport 7001 -j MARK --set-mark 0x7", *MARKED],
            "udp",
            LED,
            (
                "ip/mangle/PREROUTING (hook prerouting, priority -150, of unknown origin): "
                "-A PREROUTING -p udp -m udp --dport 7001 -j MARK --set-xmark 0x7/0xffffffff, 17 packets meanwhile; "
                "by that mark ip rule 50: from all fwmark 0x7 lookup 77 (blackhole 10.42.0.11/32)"
            ),
        ),
        (
            ["iptables-legacy -t mangle -A PREROUTING -p tcp --dport 7001 -j MARK --set-mark 0x7", *MARKED_FOR_A_PROXY],
            "tcp",
            LED,
            (
                "ip/mangle/PREROUTING (hook prerouting, priority -150, of unknown origin): "
                "-A PREROUTING -p tcp -m tcp --dport 7001 -j MARK --set-xmark 0x7/0xffffffff, 17 packets meanwhile; "
                "by that mark ip rule 50: from all fwmark 0x7 lookup 77"
            ),
        ),
        (
            ["nft ip filter prerouting -150: udp dport 7001 counter meta mark set 0x7", *MARKED_AWAY],
            "udp",
            LED,
            (
                "ip/odd0/c (hook prerouting, priority -150, of unknown origin): "
                "udp dport 7001 counter meta mark set 7, 17 packets meanwhile; "
                "by that mark ip rule 50: from all fwmark 0x7 lookup 77"
            ),
        ),
    ],
    ids=[
        "DNAT to a dead address",
        "DNAT to a port of another pod, iptables-legacy",
        "DNAT of TCP, iptables-nft",
        "redirect to the node itself",
        "hops set to one",
        "hops set to one, iptables",
        "mark into a black hole, iptables",
        "mark for a proxy that is gone",
        "mark to a dead gateway",
    ],
)
def test_a_rule_that_packets_die_of_is_named(
    node: Node, lines: Sequence[str], protocol: str, effect: str, culprit: str
) -> None:
    source = node.pods[0]
    with rules(node, *lines):
        fate = fate_in([node], flow(source, SERVER_IP, protocol=protocol))

    assert fate.lost == 17
    assert fate.reason.startswith(effect)
    # Of TCP the rule counts what is sent again, too.
    assert re.sub(r", \d+ packets", ", 17 packets", fate.culprit) == culprit
    assert fate.hop == "node"


ELSEWHERE = "connection tracking looks for the answers on node-1 in another zone than their packets are in, so "
TRANSLATING = f"nft ip nat prerouting -100: ip daddr {SERVICE} udp dport 80 dnat to {SERVER_IP}:7001"


@pytest.mark.parametrize(
    ("rule", "effect"),
    [
        (f"ip daddr {SERVICE} notrack", "connection tracking leaves them out on node-1, so nothing translates them; "),
        (
            f"ip saddr {SERVER_IP} counter notrack",
            "connection tracking leaves the answers out on node-1, so their address is not changed back; ",
        ),
        (f"ip daddr {SERVICE} ct zone set 7", f"{ELSEWHERE}their address is not changed back; "),
        (f"ip saddr {SERVER_IP} counter ct zone set 7", f"{ELSEWHERE}their address is not changed back; "),
    ],
    ids=["requests", "answers", "requests in a zone", "answers in a zone"],
)
def test_a_rule_that_keeps_a_service_from_being_translated_is_named(node: Node, rule: str, effect: str) -> None:
    followed = flow(node.pods[0], SERVICE, port=80, addresses=(node.pods[0].ip, SERVICE, SERVER_IP))
    with rules(node, f"nft ip filter prerouting -300: {rule}", TRANSLATING):
        fate = fate_in([node], followed)

    assert fate.reason.startswith(effect)
    assert fate.culprit.startswith(f"ip/odd0/c (hook prerouting, priority -300, of unknown origin): {rule}")


@pytest.mark.parametrize("table", ["odd", "kube-proxy"])
def test_a_stranger_s_rule_is_a_proof_for_causes_and_kube_proxy_s_own_is_none(node: Node, table: str) -> None:
    """Whatever it does, and whether or not it counts."""
    lead = "ip saddr 10.42.0.10 udp dport 7001 counter meta mark set 7"
    text = TABLE.format(family="ip", index=0, kind="filter", hook="prerouting", priority=-150, rule=lead)
    with rules(node, *MARKED):
        node.namespaces.run(node.number, "nft", "-f", "-", text=text.replace("odd0", table))
        try:
            evidence = evidence_in([node], flow(node.pods[0], SERVER_IP))
        finally:
            node.namespaces.run(node.number, "nft", "delete", "table", "ip", table)

    known = facts_of(evidence, packet_trace.PROBE).of(facts.node("node-1"))["traced_changers"]
    named = f"ip/odd/c (hook prerouting, priority -150, of unknown origin): {lead}"
    assert known == ((named,) if table == "odd" else ())


def test_answers_that_are_dropped_because_nobody_tracks_them(node: Node) -> None:
    """As policies do it: what belongs to no connection is dropped."""
    with rules(
        node,
        f"nft ip filter prerouting -300: ip saddr {SERVER_IP} notrack",
        f"nft ip filter forward 0: ip saddr {SERVER_IP} ct state established accept; ip saddr {SERVER_IP} drop",
    ):
        fate = fate_in([node], flow(node.pods[0], SERVER_IP))

    assert fate.reason.startswith("connection tracking leaves the answers out on node-1, so a packet filter knows")
    assert fate.culprit.startswith("ip/odd0/c (hook prerouting, priority -300")


def test_answers_that_are_dropped_because_their_connection_is_in_another_zone(node: Node) -> None:
    with rules(
        node,
        f"nft ip filter prerouting -300: ip daddr {SERVER_IP} ct zone set 7",
        "nft ip filter forward 0: ct state invalid drop",
    ):
        fate = fate_in([node], flow(node.pods[0], SERVER_IP, protocol="tcp"))

    assert fate.reason.startswith(f"{ELSEWHERE}a packet filter knows no connection of theirs")
    assert fate.culprit.startswith("ip/odd0/c (hook prerouting, priority -300")
    assert "ct zone set 7" in fate.culprit


@pytest.fixture(scope="module")
def nodes() -> Generator[tuple[Node, Node]]:
    with two_nodes([SERVER]) as made:
        yield made


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (
            "iptables-nft -t nat -A POSTROUTING -o flannel.1 -p udp -j SNAT --to-source 203.0.113.9",
            (
                "ip/nat/POSTROUTING (hook postrouting, priority 100, of unknown origin): "
                "-A POSTROUTING -o flannel.1 -p udp -j SNAT --to-source 203.0.113.9, "
            ),
        ),
        (
            'nft ip nat postrouting 90: oifname "flannel.1" counter snat to 203.0.113.9',
            (
                "ip/odd0/c (hook postrouting, priority 90, of unknown origin): "
                "meta oifname flannel.1 counter snat to 203.0.113.9, "
            ),
        ),
    ],
    ids=["iptables", "nft"],
)
def test_a_source_to_which_no_answer_leads_is_the_rules_doing(nodes: tuple[Node, Node], line: str, shown: str) -> None:
    first, second = nodes
    with rules(first, line):
        fate = fate_in(nodes, flow(first.pods[0], second.pods[0].ip))

    assert fate.leg == "reply"
    assert fate.reason.startswith("their source was changed to 203.0.113.9 on node-1, where no answer leads to; ")
    assert fate.culprit.startswith(shown)


def test_a_redirect_to_a_port_that_nobody_serves_is_named(nodes: tuple[Node, Node]) -> None:
    first, second = nodes
    with rules(first, "nft ip nat prerouting -150: tcp dport 7001 counter redirect to :7010"):
        fate = fate_in(nodes, flow(first.pods[0], second.pods[0].ip, protocol="tcp"))

    assert fate.reason.startswith("their destination was changed to 10.42.0.1:7010 on node-1; ")
    assert fate.culprit.startswith("ip/odd0/c (hook prerouting, priority -150, of unknown origin): tcp dport 7001")


HARMLESS = (
    (
        "nft ip filter prerouting -140: ip ttl set 64; udp dport 9 ip ttl set 1; ip dscp set cs1; "
        "tcp flags syn tcp option maxseg size set 1200"
    ),
    "nft ip filter prerouting -139: meta mark set 0x9; ip daddr 10.99.0.1 notrack",
    "nft ip filter prerouting -310: ip ttl > 1 ct zone set 5; udp dport 9 ct zone set 6",
    "nft ip nat prerouting -150: udp dport 9 dnat to 10.42.0.40; tcp dport 9 redirect to :7010",
    'nft ip nat postrouting 90: oifname "cali2" snat to 203.0.113.9; oifname "cali1" udp dport 9 snat to 203.0.113.9',
    "iptables-legacy -t mangle -A FORWARD -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1200",
    "iptables-legacy -t mangle -A FORWARD -j DSCP --set-dscp 8",
    "iptables-legacy -t mangle -A PREROUTING -j TOS --set-tos 8",
    "iptables-legacy -t nat -A POSTROUTING -o cali1 -j MASQUERADE",
    "iptables-legacy -t mangle -A PREROUTING -p udp --dport 9 -j TTL --ttl-set 1",
    "ip rule add fwmark 0x7 lookup 77 pref 51",
)


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_rules_that_change_packets_and_harm_none_are_not_named(node: Node, protocol: str) -> None:
    source = node.pods[0]
    with rules(node, *HARMLESS):
        healthy = fate_in([node], flow(source, SERVER_IP, protocol=protocol))
        node.nft(CHAIN.format(family="ip", hook="forward", rule=f"{protocol} dport 7001 drop"))
        try:
            dropped = fate_in([node], flow(source, SERVER_IP, protocol=protocol))
        finally:
            node.nft("delete table ip guard\n")
        with rules(
            node, "ip route add blackhole 10.42.0.11/32 table 78", "ip rule add to 10.42.0.11 lookup 78 pref 52"
        ):
            lost = fate_in([node], flow(source, SERVER_IP, protocol=protocol))

    assert healthy.lost == 0
    assert dropped.culprit.startswith("ip/guard/c (hook forward")
    assert lost.culprit.startswith("route blackhole 10.42.0.11/32 table 78 of node-1")
