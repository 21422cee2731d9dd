"""What rules change in packets, read from what nft and iptables-save print."""

import json
from typing import Any

import pytest

from bot.agent.iptables_save import parse_iptables_save
from bot.agent.nft_json import parse_nft
from bot.agent.report import Firewall
from bot.agent.rules import firewall


def of_iptables(*lines: str, table: str = "mangle", chains: str = ":PREROUTING ACCEPT [0:0]") -> Firewall:
    text = "\n".join([f"*{table}", chains, *lines, "COMMIT", ""])
    return firewall(parse_iptables_save(text, "iptables-legacy", "ip", with_steps=True), None)


@pytest.mark.parametrize(
    ("target", "kind", "to"),
    [
        ("DNAT --to-destination 10.0.0.9:81", "destination", "10.0.0.9:81"),
        ("DNAT --to-destination 10.0.0.1-10.0.0.9:81", "destination", "10.0.0.1-10.0.0.9:81"),
        ("DNAT --to-destination [fd00::1]:81", "destination", "fd00::1:81"),
        ("DNAT --to-destination fd00::1", "destination", "fd00::1:"),
        ("REDIRECT --to-ports 8080", "redirect", ":8080"),
        ("SNAT --to-source 1.2.3.4", "source", "1.2.3.4:"),
        ("TTL --ttl-set 1", "hops", "1"),
        ("TTL --ttl-dec 60", "hops", "-60"),
        ("HL --hl-inc 2", "hops", "+2"),
        ("NOTRACK", "untracked", ""),
        ("CT --notrack", "untracked", ""),
        ("CT --zone 3", "zone", "3"),
        ("CT --zone-orig 3", "zone", "3/original"),
        ("CT --zone mark", "zone", ""),
        ("MARK --set-xmark 0x7/0xff", "mark", "0xffffff00/0x7"),
        ("CONNMARK --restore-mark", "mark", ""),
    ],
)
def test_targets_of_iptables(target: str, kind: str, to: str) -> None:
    [found] = of_iptables(f"[5:420] -A PREROUTING -p udp -j {target}").changes

    assert (found.kind, found.to, found.packets, found.hook) == (kind, to, 5, "prerouting")
    assert found.text == f"-A PREROUTING -p udp -j {target}"
    assert [one.fields for one in found.matches] == [("proto",)]


@pytest.mark.parametrize(
    "target",
    [
        "TCPMSS --set-mss 900",
        "DSCP --set-dscp 0x08",
        "TOS --set-tos 0x08/0xff",
        "CONNMARK --save-mark",
        "MASQUERADE",
        "LOG",
    ],
)
def test_what_harms_no_packet_is_left_out(target: str) -> None:
    assert of_iptables(f"-A PREROUTING -j {target}").changes == ()


def test_rules_of_single_services_and_those_that_no_packet_comes_to_are_left_out() -> None:
    chains = ":PREROUTING ACCEPT [0:0]\n:KUBE-SEP-ABC - [0:0]\n:left - [0:0]\n:used - [0:0]"
    lines = [
        "-A PREROUTING -j KUBE-SEP-ABC",
        "-A PREROUTING -i cali0 -j used",
        "-A KUBE-SEP-ABC -j DNAT --to-destination 10.0.0.1:80",
        "-A left -j DNAT --to-destination 10.0.0.2:80",
        "-A used -j DNAT --to-destination 10.0.0.3:80",
    ]

    [found] = of_iptables(*lines, table="nat", chains=chains).changes

    assert (found.chain, found.to, found.hook, found.priority) == ("used", "10.0.0.3:80", "prerouting", -100)


def nft_rule(*expressions: Any, table: str = "t") -> Firewall:
    chain = {"family": "ip", "table": table, "name": "c", "hook": "prerouting", "prio": -300, "policy": "accept"}
    rule = {"family": "ip", "table": table, "chain": "c", "expr": list(expressions)}
    text = json.dumps({"nftables": [{"chain": chain}, {"rule": rule}]})
    return firewall(parse_nft(text, with_steps=True), None)


@pytest.mark.parametrize(
    ("statement", "kind", "to", "text"),
    [
        ({"dnat": {"addr": "10.0.0.9", "port": 81}}, "destination", "10.0.0.9:81", "dnat to 10.0.0.9:81"),
        ({"dnat": {"addr": "fd00::9", "port": 81}}, "destination", "fd00::9:81", "dnat to [fd00::9]:81"),
        (
            {"snat": {"addr": {"range": ["1.2.3.4", "1.2.3.9"]}}},
            "source",
            "1.2.3.4-1.2.3.9:",
            "snat to 1.2.3.4-1.2.3.9",
        ),
        ({"redirect": {"port": 8080}}, "redirect", ":8080", "redirect to :8080"),
        ({"notrack": None}, "untracked", "", "notrack"),
        ({"mangle": {"key": {"ct": {"key": "zone"}}, "value": 7}}, "zone", "7", "ct zone set 7"),
        (
            {"mangle": {"key": {"ct": {"key": "zone", "dir": "reply"}}, "value": 7}},
            "zone",
            "7/reply",
            "ct reply zone set 7",
        ),
        ({"mangle": {"key": {"payload": {"protocol": "ip", "field": "ttl"}}, "value": 1}}, "hops", "1", "ip ttl set 1"),
        (
            {"mangle": {"key": {"payload": {"protocol": "ip6", "field": "hoplimit"}}, "value": 1}},
            "hops",
            "1",
            "ip6 hoplimit set 1",
        ),
        ({"mangle": {"key": {"meta": {"key": "mark"}}, "value": 7}}, "mark", "0x0/0x7", "meta mark set 7"),
        (
            {"mangle": {"key": {"payload": {"protocol": "ip", "field": "daddr"}}, "value": "10.0.0.9"}},
            "destination",
            "10.0.0.9:",
            "ip daddr set 10.0.0.9",
        ),
    ],
)
def test_statements_of_nft(statement: dict[str, Any], kind: str, to: str, text: str) -> None:
    [found] = nft_rule({"counter": {"packets": 3, "bytes": 9}}, statement).changes

    assert (found.kind, found.to, found.text, found.packets) == (kind, to, f"counter {text}", 3)


def test_kube_proxys_own_table_is_left_out() -> None:
    assert nft_rule({"dnat": {"addr": "10.0.0.9", "port": 81}}, table="kube-proxy").changes == ()
