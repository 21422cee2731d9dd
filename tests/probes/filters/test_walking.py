"""Rules as iptables prints them, and whether a packet that comes by is taken: surely, perhaps, or not."""

import pytest

from bot.agent.iptables_save import parse_iptables_save
from bot.agent.rules import firewall
from bot.probes.filters.matching import Packet
from bot.probes.filters.walking import Filters

PACKET: Packet = {
    "ethertype": frozenset({"ip"}),
    "saddr": frozenset({"10.42.1.10"}),
    "daddr": frozenset({"10.42.2.20"}),
    "proto": frozenset({"tcp"}),
    "sport": None,
    "dport": frozenset({"9004"}),
    "iif": frozenset({"cali1"}),
    "oif": frozenset({"vxlan.calico"}),
    "ctstate": frozenset({"new"}),
    "length": frozenset({"60"}),
    "tcpflags": frozenset({"syn"}),
}
SURELY, PERHAPS, NOT = True, None, False


def taken(rules: str, packet: Packet = PACKET, policy: str = "ACCEPT") -> bool | None:
    """Whether the packet is taken on its way through FORWARD."""
    text = f"*filter\n:FORWARD {policy} [0:0]\n:SUB - [0:0]\n{rules}\nCOMMIT\n"
    filters = Filters(
        firewall(parse_iptables_save(text, "iptables-nft", "ip", with_steps=True), None), lambda _t, _c: True
    )
    course = filters.course()
    filters.pass_hook("forward", {"ip", "inet"}, lambda _: packet, "", course)
    outcomes = set(course.taken.values())
    return SURELY if True in outcomes else PERHAPS if outcomes else NOT


@pytest.mark.parametrize(
    ("rule", "outcome"),
    [
        ("-j DROP", SURELY),
        ("-p tcp -m tcp --dport 9004 -j DROP", SURELY),
        ("-p tcp -m tcp --dport 9000:9010 -j REJECT --reject-with tcp-reset", SURELY),
        ("-p tcp -m multiport --dports 80,9004 -j DROP", SURELY),
        ("-p udp -m udp --dport 9004 -j DROP", NOT),
        ("-p tcp -m tcp --sport 9004 -j DROP", PERHAPS),
        ("-s 10.42.1.0/24 -j DROP", SURELY),
        ("! -s 10.42.1.10/32 -j DROP", NOT),
        ("! -s 10.42.9.9/32 -j DROP", SURELY),
        ("-d 10.42.1.0/24 -j DROP", NOT),
        ("-m iprange --dst-range 10.42.2.1-10.42.2.30 -j DROP", SURELY),
        ("-i cali+ -o vxlan.calico -j DROP", SURELY),
        ("-i eth+ -j DROP", NOT),
        ("-m conntrack --ctstate NEW -j DROP", SURELY),
        ("-m conntrack --ctstate INVALID -j DROP", NOT),
        ("-m conntrack ! --ctstate RELATED,ESTABLISHED -j DROP", SURELY),
        ("-m length --length 1000:65535 -j DROP", NOT),
        ("-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j DROP", SURELY),
        ("-p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN -j DROP", NOT),
        ("-m set --match-set blocked src -j DROP", PERHAPS),
        ("-m statistic --mode random --probability 0.5 -j DROP", PERHAPS),
        ("-m owner --uid-owner 0 -j DROP", PERHAPS),
        ("-m mark --mark 0x1/0x1 -j DROP", NOT),
        ('-m comment --comment "not -p udp" -j DROP', SURELY),
        ("-p tcp -j NFQUEUE --queue-num 3", PERHAPS),
        ("-j ACCEPT", NOT),
    ],
)
def test_one_rule(rule: str, outcome: bool | None) -> None:  # noqa: FBT001
    assert taken(f"-A FORWARD {rule}") is outcome


@pytest.mark.parametrize(
    ("rules", "outcome"),
    [
        ("-A FORWARD -p tcp -j ACCEPT\n-A FORWARD -j DROP", NOT),
        ("-A FORWARD -p udp -j ACCEPT\n-A FORWARD -j DROP", SURELY),
        ("-A FORWARD -m set --match-set friends src -j ACCEPT\n-A FORWARD -j DROP", PERHAPS),
        ("-A FORWARD -p tcp -j SUB\n-A SUB -j DROP", SURELY),
        ("-A FORWARD -p udp -j SUB\n-A SUB -j DROP", NOT),
        ("-A FORWARD -j SUB\n-A SUB -p tcp -j RETURN\n-A SUB -j DROP", NOT),
        ("-A FORWARD -j SUB\n-A SUB -s 10.42.1.10/32 -j ACCEPT\n-A FORWARD -j DROP", NOT),
        ("-A FORWARD -g SUB\n-A FORWARD -j DROP\n-A SUB -p udp -j DROP", NOT),
        ("-A FORWARD -m set --match-set x src -j SUB\n-A SUB -j DROP", PERHAPS),
        ("-A FORWARD -j MARK --set-xmark 0x66/0xffffffff\n-A FORWARD -m mark --mark 0x66 -j DROP", SURELY),
        ("-A FORWARD -p udp -j MARK --set-xmark 0x4/0x4\n-A FORWARD -m mark --mark 0x4/0x4 -j DROP", NOT),
        (
            "-A FORWARD -j SUB\n-A FORWARD -m mark ! --mark 0x1/0x1 -j DROP\n-A SUB -p tcp -j MARK --set-xmark 0x1/0x1",
            NOT,
        ),
        ("-A FORWARD -j SUB\n-A SUB -j SUB\n-A FORWARD -j DROP", SURELY),
    ],
)
def test_rules_one_after_the_other(rules: str, outcome: bool | None) -> None:  # noqa: FBT001
    assert taken(rules) is outcome


@pytest.mark.parametrize(
    ("rules", "outcome"),
    [("", SURELY), ("-A FORWARD -p tcp -j ACCEPT", NOT), ("-A FORWARD -j SUB\n-A SUB -j RETURN", SURELY)],
)
def test_a_policy_takes_what_no_rule_does(rules: str, outcome: bool | None) -> None:  # noqa: FBT001
    assert taken(rules, policy="DROP") is outcome


def test_of_several_possible_addresses_all_must_agree() -> None:
    several = {**PACKET, "saddr": frozenset({"10.42.1.10", "172.30.0.11"})}

    assert taken("-A FORWARD -s 10.42.0.0/16 -j DROP", several) is PERHAPS
    assert taken("-A FORWARD -s 192.0.2.0/24 -j DROP", several) is NOT
