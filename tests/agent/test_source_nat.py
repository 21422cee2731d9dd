"""The way of a packet that leaves through nat rules as each tool prints them."""

import json

import pytest

from bot.agent.iptables_save import parse_iptables_save
from bot.agent.nft_json import parse_nft
from bot.agent.rules import RuleSet
from bot.agent.source_nat import Leaving, egress_nat

POD = Leaving("10.42.1.5", "198.51.100.7", "eth0")
FLANNEL = """*nat
:POSTROUTING ACCEPT [0:0]
:FLANNEL-POSTRTG - [0:0]
:KUBE-POSTROUTING - [0:0]
[0:0] -A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
[0:0] -A POSTROUTING -m comment --comment "flanneld masq" -j FLANNEL-POSTRTG
[0:0] -A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
[0:0] -A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
[0:0] -A KUBE-POSTROUTING -j MASQUERADE --random-fully
[0:0] -A FLANNEL-POSTRTG -s 10.42.0.0/16 -d 10.42.0.0/16 -m comment --comment "flanneld masq" -j RETURN
[0:0] -A FLANNEL-POSTRTG -s 10.42.0.0/16 ! -d 224.0.0.0/4 -m comment --comment "flanneld masq" -j MASQUERADE
COMMIT
"""
AGENT = """*nat
:POSTROUTING ACCEPT [0:0]
:IP-MASQ - [0:0]
[0:0] -A POSTROUTING -m addrtype ! --dst-type LOCAL -j IP-MASQ
[0:0] -A IP-MASQ -d {spared} -m comment --comment "ip-masq-agent: local traffic" -j RETURN
[0:0] -A IP-MASQ -m comment --comment "ip-masq-agent: outbound traffic" -j MASQUERADE
COMMIT
"""
IPSET = """*nat
:POSTROUTING ACCEPT [0:0]
[0:0] -A POSTROUTING -m set --match-set cali40masq-ipam-pools src -j MASQUERADE
COMMIT
"""
DOCKER = """*nat
:POSTROUTING ACCEPT [0:0]
[0:0] -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
COMMIT
"""


def outcome(rules: RuleSet, packet: Leaving = POD) -> bool | None:
    [found] = egress_nat([("uid", packet)], rules.chains, rules.nat)
    return found.is_translated


def saved(text: str) -> RuleSet:
    return parse_iptables_save(text, "iptables-nft", "ip", with_steps=False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (FLANNEL, True),
        ("".join(line for line in FLANNEL.splitlines(keepends=True) if "! -d 224" not in line), False),
        ("".join(line for line in FLANNEL.splitlines(keepends=True) if "-j FLANNEL-POSTRTG" not in line), False),
        (AGENT.format(spared="10.0.0.0/8"), True),
        (AGENT.format(spared="198.51.100.0/24"), False),
        (AGENT.format(spared="0.0.0.0/0"), False),
        (IPSET, None),
        (DOCKER, False),
        (DOCKER + FLANNEL, True),
    ],
    ids=[
        "flannel",
        "its rule gone",
        "its chain unused",
        "spared others",
        "spared",
        "all spared",
        "ipset",
        "docker",
        "both",
    ],
)
def test_iptables(text: str, expected: bool | None):  # noqa: FBT001
    assert outcome(saved(text)) is expected


def nft(*rules: list[object], sets: dict[str, list[str]] | None = None) -> RuleSet:
    """Table ip nat: a base chain that jumps to the chain "masq" with these rules."""
    named = {"family": "ip", "table": "nat"}
    listed: list[object] = [
        {"chain": {**named, "name": "out", "type": "nat", "hook": "postrouting", "prio": 100, "policy": "accept"}},
        {"chain": {**named, "name": "masq"}},
        {"rule": {**named, "chain": "out", "expr": [{"jump": {"target": "masq"}}]}},
    ]
    listed += [{"set": {**named, "name": name, "elem": elem}} for name, elem in (sets or {}).items()]
    listed += [{"rule": {**named, "chain": "masq", "expr": expr}} for expr in rules]
    return parse_nft(json.dumps({"nftables": listed}), with_steps=False)


def match(field: str, right: object, op: str = "==") -> object:
    return {"match": {"op": op, "left": {"payload": {"protocol": "ip", "field": field}}, "right": right}}


def prefix(cidr: str) -> object:
    addr, _, length = cidr.partition("/")
    return {"prefix": {"addr": addr, "len": int(length)}}


OIF = {"match": {"op": "!=", "left": {"meta": {"key": "oifname"}}, "right": "cilium_*"}}
UNMARKED = {"match": {"op": "==", "left": {"&": [{"meta": {"key": "mark"}}, 16384]}, "right": 0}}
MASQUERADE = {"masquerade": None}


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([[MASQUERADE]], True),
        (
            [[match("saddr", prefix("10.42.0.0/16")), match("daddr", prefix("10.42.0.0/16"), "!="), OIF, MASQUERADE]],
            True,
        ),
        ([[match("saddr", prefix("10.42.9.0/24")), MASQUERADE]], False),
        ([[match("saddr", {"set": [prefix("10.42.1.0/24")]}), MASQUERADE]], True),
        ([[match("saddr", "@pools"), MASQUERADE]], True),
        ([[match("saddr", "@unread"), MASQUERADE]], None),
        ([[UNMARKED, {"return": None}], [MASQUERADE]], False),
        ([[match("daddr", prefix("198.51.100.0/24")), {"accept": None}], [MASQUERADE]], False),
        ([[{"snat": {"addr": "172.30.0.11"}}]], True),
        ([], False),
    ],
)
def test_nft(rules: list[list[object]], expected: bool | None):  # noqa: FBT001
    assert outcome(nft(*rules, sets={"pools": ["10.42.1.5"]})) is expected
