"""Rules that rewrite packets: which of them break a flow, and which are daily work."""

import json
from dataclasses import replace
from typing import Any

import pytest

from bot.agent.iptables_save import parse_iptables_save
from bot.agent.nft_json import parse_nft
from bot.agent.report import Address, Firewall, FirewallChain, FirewallMatch, FirewallStep, Listener
from bot.agent.rules import RuleSet, firewall
from bot.domain import facts
from bot.domain.finding import SymptomKind
from bot.probes.cluster_ip import PROBE as CLUSTER_IP
from bot.probes.filters.held import Held, held_rules
from bot.probes.filters.naming import loss_in_words
from bot.probes.pod_link import PROBE as POD_LINK
from tests.probes.build import FakeCluster, facts_of, two_nodes
from tests.probes.filters.test_held import match, needed_service, only
from tests.probes.services import add_service

NODE_1, NODE_2 = facts.node("node-1"), facts.node("node-2")
SERVICE_IP = "10.43.51.131"
RULES: dict[str, Any] = {"backend": "nft", "family": "ip", "table": "vpn", "chain": "pre"}


def rule(verdict: str, *matches: FirewallMatch, hook: str = "prerouting", priority: int = -110) -> Firewall:
    chain = FirewallChain(**RULES, hook=hook, priority=priority, policy="accept", rules=1)
    step = FirewallStep(**RULES, matches=matches, verdict=verdict, text="the rule")
    return Firewall(chains=(chain,), steps=(step,))


def dialling(outcome: Any = "timeout", **test: Any) -> tuple[FakeCluster, facts.Subject]:
    """A pod of node-1 that dials a Service whose endpoint is on node-2."""
    cluster, a, _, c = two_nodes()
    add_service(cluster, "shop/db", (c,), ip=SERVICE_IP, port=9004)
    cluster.test(
        a, "cluster-ip", protocol="tcp", ip=SERVICE_IP, port=9004, name="shop/db:9004", outcome=outcome, **test
    )
    return cluster, a


PORT = match("dport", "9004")


@pytest.mark.parametrize(
    ("made", "outcome"),
    [
        (rule("dnat 10.9.9.9:1", PORT), "ECONNREFUSED"),
        (rule("dnat 10.9.9.9", PORT), "timeout"),
        (rule("redirect :15001", PORT), "ECONNREFUSED"),
        (rule("notrack", PORT, priority=-300), "timeout"),
        (rule("ttl 1", PORT, priority=-150), "timeout"),
        (rule("snat 192.168.66.1", PORT, hook="postrouting", priority=90), "timeout"),
    ],
)
def test_a_rule_that_surely_rewrites_what_fails(made: Firewall, outcome: str) -> None:
    cluster, _ = dialling(outcome)
    cluster.root("node-1", firewall=made, listeners=())

    held = only(cluster, NODE_1)

    assert held
    assert held.matches
    assert held.failed


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (rule("dnat 10.9.9.9:1", match("dport", "9005")), "another port"),
        (rule("dnat 10.9.9.9:1", match("daddrtype", "local")), "a hostPort, for the node's own addresses"),
        (rule("dnat 10.9.9.9:1", PORT, priority=-90), "behind kube-proxy, which has translated it"),
        (rule("redirect :15001", PORT), "a proxy listens there"),
        (rule("notrack", PORT, priority=0), "tracked already"),
        (rule("notrack", match("dport", "4789"), priority=-300), "the tunnel's packets need no translation"),
        (rule("ttl 64", PORT, priority=-150), "far enough"),
        (rule("snat 172.30.0.11", PORT, hook="postrouting", priority=90), "the node's own address"),
    ],
)
def test_rewriting_that_is_daily_work(made: Firewall, why: str) -> None:
    cluster, _ = dialling()
    cluster.root("node-1", firewall=made, listeners=(Listener(protocol="tcp", ip="0.0.0.0", port=15001),))

    held = only(cluster, NODE_1)

    assert held is None or not held.may_match, why


def test_a_node_that_has_the_dialled_address_may_leave_it_untracked() -> None:
    cluster, _ = dialling()
    own = cluster.evidence().reports["node-1"].root.addresses
    held_here = Address(dev="nodelocaldns", ip=SERVICE_IP, prefix_len=32)
    cluster.root("node-1", firewall=rule("notrack", PORT, priority=-300), addresses=(*own, held_here))

    held = only(cluster, NODE_1)

    assert held is None or not held.may_match


def test_a_rule_at_kube_proxys_own_place_may_come_first_or_not() -> None:
    cluster, _ = dialling()
    cluster.root("node-1", firewall=rule("dnat 10.9.9.9", PORT, priority=-100))

    held = only(cluster, NODE_1)

    assert held
    assert (held.matches, held.may_match) == (False, True)


def test_packets_that_run_out_of_hops_are_reported_by_the_router_and_arrive_on_the_node_itself() -> None:
    cluster, a = dialling("EHOSTUNREACH", icmp="ttl-exceeded")
    cluster.test(a, "own-node", to=NODE_1)
    cluster.root("node-1", firewall=rule("ttl 1", priority=-150))

    held = only(cluster, NODE_1)

    assert held
    assert (held.matches, held.passed) == (True, 0)


def test_an_unknown_listener_leaves_a_redirection_possible() -> None:
    cluster, _ = dialling("ECONNREFUSED")
    cluster.root("node-1", firewall=rule("redirect :15001", PORT), listeners=None)

    held = only(cluster, NODE_1)

    assert held
    assert (held.matches, held.may_match) == (False, True)


def test_what_passes_acquits_a_rule_that_keeps_packets_untranslated() -> None:
    cluster, _ = dialling()
    cluster.test(facts.pod("shop", "b"), "cluster-ip", protocol="tcp", ip=SERVICE_IP, port=9004, name="shop/db:9004")
    cluster.root("node-1", firewall=rule("notrack", PORT, priority=-300))

    held = only(cluster, NODE_1)

    assert held
    assert not held.matches


def test_a_needed_flow_that_somebody_else_answers_is_lost() -> None:
    cluster, service = needed_service()
    cluster.root("node-1", firewall=rule("dnat 10.9.9.9:9000", PORT))

    held = only(cluster, NODE_1)
    table = facts_of(cluster.evidence(), CLUSTER_IP)
    findings = CLUSTER_IP.judge(table)

    assert held
    assert held.matches
    assert [one.is_elsewhere for one in held.untried] == [True]
    assert "which sends them elsewhere" in loss_in_words(held)
    assert "goes to somebody else" in str(table.of(service)["untried_losses"])
    assert [one.symptom.kind for one in findings if one.symptom] == [SymptomKind.SERVICE_UNREACHABLE]


def test_a_rule_that_leads_to_the_endpoint_is_no_harm() -> None:
    cluster, _ = needed_service()
    endpoint = cluster.pods[facts.pod("shop", "c")].status.pod_ip
    cluster.root("node-1", firewall=rule(f"dnat {endpoint}:9004", PORT))

    assert only(cluster, NODE_1) is None


# As agents read them

NFT = [
    {"chain": {"family": "ip", "table": "cni_hostport", "name": "pre", "hook": "prerouting", "prio": -110}},
    {
        "rule": {
            "family": "ip",
            "table": "cni_hostport",
            "chain": "pre",
            "expr": [
                {
                    "match": {
                        "op": "==",
                        "left": {"payload": {"protocol": "tcp", "field": "dport"}},
                        "right": 9004,
                    }
                },
                {"dnat": {"addr": "10.9.9.9", "port": 9100}},
            ],
        }
    },
]
SAVED = """*raw
:PREROUTING ACCEPT [0:0]
-A PREROUTING -p tcp -m tcp --dport 9004 -j CT --notrack
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-SVC-X - [0:0]
:CNI-HOSTPORT-DNAT - [0:0]
:CNI-DN-1 - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
-A KUBE-SERVICES -d 10.43.51.131/32 -p tcp -j KUBE-SVC-X
-A KUBE-SVC-X -p tcp -j DNAT --to-destination 10.42.1.2:9004
-A CNI-HOSTPORT-DNAT -p tcp -m multiport --dports 9004 -j CNI-DN-1
-A CNI-DN-1 -p tcp -m tcp --dport 9004 -j DNAT --to-destination 10.42.1.9:9004
COMMIT
"""


def steps(rules: RuleSet) -> list[tuple[str, str]]:
    return [(step.chain, step.verdict) for step in firewall(rules, None).steps or ()]


def test_an_agent_reports_the_translations_of_strangers() -> None:
    found = firewall(parse_nft(json.dumps({"nftables": NFT}), with_steps=True), None).steps or ()

    assert [(step.verdict, step.text) for step in found] == [
        ("dnat 10.9.9.9:9100", "tcp dport 9004 dnat to 10.9.9.9:9100")
    ]


def test_an_agent_leaves_out_what_kube_proxy_translates() -> None:
    assert steps(parse_iptables_save(SAVED, "iptables-legacy", "ip", with_steps=True)) == [
        ("CNI-DN-1", "dnat 10.42.1.9:9004"),
        ("CNI-HOSTPORT-DNAT", "jump CNI-DN-1"),
        ("PREROUTING", "accept"),  # perhaps: what becomes of it in kube-proxy's chains is not reported
        ("PREROUTING", "jump CNI-HOSTPORT-DNAT"),
        ("PREROUTING", "notrack"),
    ]


@pytest.mark.parametrize(
    ("saved", "matches", "may_match"),
    [
        (SAVED, True, True),
        (SAVED.replace("CT --notrack", "ACCEPT"), False, False),
        (SAVED.replace("CT --notrack", "ACCEPT").replace("-m addrtype --dst-type LOCAL ", ""), False, True),
    ],
)
def test_rules_as_iptables_saves_them(saved: str, *, matches: bool, may_match: bool) -> None:
    cluster, _ = dialling()
    cluster.root(
        "node-1", firewall=firewall(parse_iptables_save(saved, "iptables-legacy", "ip", with_steps=True), None)
    )
    evidence = cluster.evidence()
    vars(evidence)["cni"] = replace(evidence.cni, kube_proxy_mode="iptables")

    held: tuple[Held, ...] = held_rules(evidence)[NODE_1]

    assert any(one.matches for one in held) is matches
    assert any(one.may_match for one in held) is may_match


ISTIO = """*nat
:OUTPUT ACCEPT [0:0]
:ISTIO_OUTPUT - [0:0]
:ISTIO_REDIRECT - [0:0]
-A OUTPUT -p tcp -j ISTIO_OUTPUT
-A ISTIO_OUTPUT -m owner --uid-owner 1337 -j RETURN
-A ISTIO_OUTPUT -m owner --gid-owner 1337 -j RETURN
-A ISTIO_OUTPUT -d 127.0.0.1/32 -j RETURN
-A ISTIO_OUTPUT -j ISTIO_REDIRECT
-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports 15001
COMMIT
"""
PROXY = Listener(protocol="tcp", ip="0.0.0.0", port=15001)


@pytest.mark.parametrize(("listeners", "unserved"), [((), 1), ((PROXY,), 0)], ids=["no proxy listens", "one does"])
def test_rules_of_a_sidecar_lead_to_nobody_where_its_proxy_does_not_listen(
    listeners: tuple[Listener, ...], unserved: int
) -> None:
    cluster, a = dialling("ECONNREFUSED")
    cluster.inside(
        a,
        firewall=firewall(parse_iptables_save(ISTIO, "iptables-legacy", "ip", with_steps=True), None),
        listeners=listeners,
    )

    known = facts_of(cluster.evidence(), POD_LINK).of(a)

    assert len(known["redirects_unserved"]) == unserved  # type: ignore[arg-type]
    assert known["firewall_rules_match"] == (), "they drop nothing"


def test_whose_answers_a_rule_about_accounts_takes_is_not_known() -> None:
    """Our own test is sent by root; by which account the pod answers nobody told."""
    cluster, a, _, c = two_nodes()
    add_service(cluster, "shop/db", (c,), ip=SERVICE_IP, port=9004)
    cluster.test(a, "cluster-ip", protocol="tcp", ip=SERVICE_IP, port=9004, name="shop/db:9004", outcome="timeout")
    cluster.inside(c, firewall=rule("drop", match("skuid", "0"), hook="output", priority=0))

    held = only(cluster, c)

    assert held
    assert (held.matches, held.may_match) == (False, True)
