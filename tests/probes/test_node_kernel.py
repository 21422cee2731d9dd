"""Full tables, packet filters, and whose rules took packets."""

from dataclasses import replace
from typing import Any

import pytest

from bot.agent.report import Address, Firewall, FirewallChain, FirewallRule
from bot.domain import facts
from bot.domain.facts import Rung
from bot.domain.finding import Severity
from bot.probes.filters.rule_owners import owners_of
from bot.probes.node_kernel import PROBE
from bot.probes.node_kernel.findings import judge
from bot.probes.node_kernel.observe import in_words
from tests.probes.build import FakeCluster, facts_of, sentences, two_nodes

NODE = facts.node("node-1")


def rule(chain: str, *, hits: int | None = 1, **fields: Any) -> FirewallRule:
    values: dict[str, Any] = {"backend": "nft", "family": "inet", "table": "filter", "verdict": "drop", "text": "drop"}
    return FirewallRule(chain=chain, packets=hits, packets_delta=hits, **(values | fields))


def chain(name: str, **fields: Any) -> FirewallChain:
    values: dict[str, Any] = {
        "backend": "iptables-nft",
        "family": "ip",
        "table": "filter",
        "rules": 1,
        "policy": "accept",
    }
    return FirewallChain(chain=name, **(values | fields))


def seen(*drops: FirewallRule, chains: tuple[FirewallChain, ...] = (), names: tuple[str, ...] = ()) -> dict[str, Any]:
    cluster = FakeCluster()
    cluster.node("node-1")
    firewall = Firewall(chains=chains, drops=drops, drops_total=len(drops), foreign_chains=names)
    cluster.root("node-1", firewall=firewall)
    return dict(facts_of(cluster.evidence(), PROBE).of(NODE))


def test_a_quiet_node() -> None:
    cluster = FakeCluster()
    cluster.node("node-1")
    cluster.root("node-1", firewall=Firewall())
    cluster.node_report(
        "node-1", neighbour_entries=30, neighbour_limit=1024, neighbour_refusals_delta=0, uptime_s=90000.0
    )

    known = facts_of(cluster.evidence(), PROBE)

    assert dict(known.of(NODE)) == {
        "neighbour_ratio": 0.029,
        "neighbour_refusals": 0,
        "forward_policy": "accept",
        "host_firewall": "none",
        "iptables_backends": "none",
        "drop_rules": 0,
        "drops_hit": (),
        "rejects_hit": (),
        "policy_drops_hit": False,
        "foreign_drops_hit": False,
        "foreign_rules_match": (),
        "foreign_rule_deletions": (),
        "foreign_rules_named": (),
        "foreign_rules_perhaps": (),
        "tunnel_rules_match": (),
        "forward_policy_takes": False,
        "rewriting_rule_deletions": (),
        "rewriting_rules": (),
        "rewriting_rules_perhaps": (),
        "raw_rpfilter_hit": False,
        "uptime_s": 90000.0,
        "rebooted_recently": False,
    }
    assert sentences(judge(known)) == [
        "Node node-1 has room in the neighbour table, and no foreign rule dropped a packet while the tests ran."
    ]


@pytest.mark.parametrize(
    ("dropping", "policy", "foreign", "rpfilter"),
    [
        (rule("cali-tw-cali1"), True, False, False),
        (rule("filter-cali-fw-cali1", table="calico"), True, False, False),
        (rule("KUBE-POD-FW-ABC", table="kube-router-old"), False, True, False),
        (rule("KUBE-FIREWALL"), False, False, False),
        (rule("forward", table="kube-proxy"), False, False, False),
        (rule("cali-PREROUTING", table="raw", text="-m rpfilter --invert -j DROP"), False, False, True),
        (rule("forward", text="ip saddr 10.42.0.0/16 counter drop"), False, True, False),
        (rule("FORWARD", backend="iptables-legacy", family="ip"), False, True, False),
        (rule("forward", hits=0), False, False, False),
        (rule("forward", verdict="reject with icmp port-unreachable"), False, True, False),
    ],
)
def test_whose_rule_took_a_packet(dropping: FirewallRule, policy: bool, foreign: bool, rpfilter: bool) -> None:  # noqa: FBT001
    known = seen(dropping)

    assert (known["policy_drops_hit"], known["foreign_drops_hit"], known["raw_rpfilter_hit"]) == (
        policy,
        foreign,
        rpfilter,
    )


def test_a_rule_without_counter_leaves_open_whether_it_took_a_packet() -> None:
    cluster = FakeCluster()
    cluster.node("node-1")
    uncounted = rule("filter_FORWARD", hits=None, table="firewalld", verdict="reject", text="reject")
    cluster.root("node-1", firewall=Firewall(drops=(uncounted, rule("guard", hits=None)), drops_total=2))

    known = facts_of(cluster.evidence(), PROBE)

    assert known.of(NODE).keys() >= {"policy_drops_hit", "raw_rpfilter_hit"}
    assert known.why_unobserved(NODE, "rejects_hit") == "a rule has no counter: inet/firewalld/filter_FORWARD: reject"
    assert known.why_unobserved(NODE, "drops_hit") == "a rule has no counter: inet/filter/guard: drop"
    assert known.why_unobserved(NODE, "foreign_drops_hit") == "a rule has no counter: inet/filter/guard: drop"


def test_rules_of_kube_proxy_need_no_counter() -> None:
    known = seen(rule("cluster-ips-check", hits=None, table="kube-proxy"), rule("guard", hits=0))

    assert (known["drops_hit"], known["foreign_drops_hit"]) == ((), False)


def test_one_rule_that_counts_is_enough_to_know_of_a_drop() -> None:
    known = seen(rule("guard", hits=None), rule("guard", hits=2, text="drop b"))

    assert (known["drops_hit"], known["foreign_drops_hit"]) == (("inet/filter/guard: drop b",), True)
    assert known["foreign_rules_named"] == ("inet/filter/guard: drop b",)


@pytest.mark.parametrize(
    ("icmp", "sender", "prohibits"),
    [
        ("admin-prohibited", "172.30.0.12", True),
        ("host-prohibited", "10.42.2.0", True),
        ("host-unreachable", "172.30.0.12", False),
        ("admin-prohibited", "10.42.1.10", False),
        ("port-unreachable", "172.30.0.12", False),
    ],
)
def test_a_node_that_refuses_by_itself(icmp: str, sender: str, prohibits: bool) -> None:  # noqa: FBT001
    cluster, a, _, c = two_nodes()
    overlay = Address(dev="vxlan.calico", ip="10.42.2.0", prefix_len=32)
    cluster.root("node-2", addresses=(*cluster.roots["node-2"].addresses, overlay))
    cluster.test(a, "remote-pod", to=c, outcome="EHOSTUNREACH", icmp=icmp, icmp_from=sender)

    known = facts_of(cluster.evidence(), PROBE)

    assert known.of(facts.node("node-2"))["sends_prohibited"] is prohibits
    assert known.of(NODE)["sends_prohibited"] is False
    reported = "Node node-2 itself refused packets of the tests (ICMP prohibited): a firewall on it rejects them."
    assert (reported in sentences(judge(known), Severity.WARN)) is prohibits


def test_rules_are_told_by_place_and_text_within_bounds() -> None:
    long = rule("forward", text="ip saddr  10.42.0.0/16\n" + "x" * 300)

    assert in_words(long).startswith("inet/filter/forward: ip saddr 10.42.0.0/16 xxx")
    assert len(in_words(long)) == 120
    assert len(seen(*(rule(f"c{number}") for number in range(30)))["drops_hit"]) == 10


@pytest.mark.parametrize(
    ("chains", "names", "drops", "firewall"),
    [
        ((), (), (), "none"),
        ((), ("ufw-user-forward",), (), "ufw"),
        ((chain("filter_FORWARD", table="firewalld"),), (), (), "firewalld"),
        ((), ("IN_public",), (), "firewalld"),
        ((), ("table firewalld",), (), "firewalld"),
        ((chain("INPUT", hook="input", policy="DROP"),), (), (), "other"),
        ((), (), (rule("guard"),), "other"),
        ((), ("KUBE-SERVICES", "cali-FORWARD"), (rule("KUBE-FIREWALL"), rule("cali-tw-*")), "none"),
    ],
)
def test_a_firewall_of_the_host(
    chains: tuple[FirewallChain, ...], names: tuple[str, ...], drops: tuple[FirewallRule, ...], firewall: str
) -> None:
    assert seen(*drops, chains=chains, names=names)["host_firewall"] == firewall


@pytest.mark.parametrize(
    ("chains", "backends"),
    [
        ((), "none"),
        ((chain("FORWARD"),), "nft"),
        ((chain("FORWARD", backend="iptables-legacy"),), "legacy"),
        ((chain("FORWARD"), chain("FORWARD", backend="iptables-legacy")), "both"),
        ((chain("FORWARD"), chain("FORWARD", backend="iptables-legacy", rules=0)), "nft"),
        ((chain("nat", backend="nft"), chain("FORWARD", backend="iptables-legacy")), "legacy"),
    ],
)
def test_which_backends_have_rules(chains: tuple[FirewallChain, ...], backends: str) -> None:
    assert seen(chains=chains)["iptables_backends"] == backends


@pytest.mark.parametrize(
    ("chains", "policy"),
    [
        ((chain("FORWARD", hook="forward", policy="DROP"),), "drop"),
        ((chain("FORWARD", hook="forward"),), "accept"),
        ((chain("FORWARD", hook="forward", policy="drop", family="ip6"),), "accept"),
    ],
)
def test_the_policy_of_the_forward_hook(chains: tuple[FirewallChain, ...], policy: str) -> None:
    assert seen(chains=chains)["forward_policy"] == policy


@pytest.mark.parametrize("backend", ["nft", "iptables-nft", "iptables-legacy"])
def test_the_tool_that_a_dropping_chain_is_written_with(backend: Any) -> None:
    dropping = replace(chain("FORWARD", hook="forward", policy="drop"), backend=backend)

    known = seen(chains=(dropping,))

    assert known["forward_dropping_tool"] == backend
    assert known["forward_dropping_chain"] == f"{dropping.family} {dropping.table} FORWARD"


def test_what_is_worth_a_warning() -> None:
    cluster = FakeCluster()
    cluster.node("node-1")
    cluster.root(
        "node-1",
        firewall=Firewall(
            chains=(chain("FORWARD", hook="forward", policy="drop"), chain("INPUT", backend="iptables-legacy")),
            drops=(rule("guard", text="ip protocol icmp drop"), rule("KUBE-SERVICES", verdict="reject", text="reject")),
            foreign_chains=("ufw-before-input",),
        ),
    )
    cluster.node_report(
        "node-1",
        neighbour_entries=1000,
        neighbour_limit=1024,
        uptime_s=600.0,
    )

    known = facts_of(cluster.evidence(), PROBE)

    assert [(each.severity, each.sentence) for each in judge(known)] == [
        (Severity.WARN, "The neighbour table of node node-1 is 98% full."),
        (
            Severity.WARN,
            "While the tests ran, 1 rule on node node-1 dropped packets: inet/filter/guard: ip protocol icmp drop.",
        ),
        (
            Severity.INFO,
            "While the tests ran, 1 rule on node node-1 rejected packets: inet/filter/KUBE-SERVICES: reject.",
        ),
        (
            Severity.INFO,
            "On node node-1 a forwarded packet that no rule allows is dropped (policy of the forward hook).",
        ),
        (Severity.WARN, "On node node-1 rules of iptables-legacy and iptables-nft are in force together."),
        (Severity.INFO, "On node node-1 ufw filters packets beside the CNI."),
        (Severity.INFO, "Node node-1 was started 10 minutes ago."),
    ]


def test_without_tools_nothing_is_known_of_rules() -> None:
    cluster = FakeCluster()
    cluster.node("node-1")

    known = facts_of(cluster.evidence(), PROBE)

    assert dict(known.of(NODE)) == {}
    assert sentences(judge(known)) == [
        "The packet filters of node-1 could not be observed: the node's packet filters were not read."
    ]


def test_rules_read_once_have_taken_nothing_that_is_known() -> None:
    cluster = FakeCluster()
    cluster.node("node-1")
    cluster.rungs["node-1"] = Rung.CNI_AGENT
    cluster.root("node-1", firewall=Firewall(drops=(rule("guard"),), drops_total=1))

    known = facts_of(cluster.evidence(), PROBE)

    assert known.of(NODE)["drop_rules"] == 1
    assert "foreign_drops_hit" not in known.of(NODE)


@pytest.mark.parametrize(
    ("cni", "table", "name", "owned"),
    [
        ("calico", "filter", "cali-FORWARD", True),
        ("calico", "calico", "anything", True),
        ("calico", "filter", "KUBE-FORWARD", True),
        ("calico", "kube-proxy", "forward", True),
        ("calico", "filter", "DOCKER-USER", False),
        ("calico", "filter", "FORWARD", False),
        ("calico", "edr", "guard", False),
        ("flannel", "filter", "FLANNEL-FWD", True),
        ("flannel", "kube-router", "KUBE-POD-FW-IN-ABC", True),
        ("cilium", "cilium-policy", "CILIUM_to_lxc1", True),
        ("unknown", "filter", "cali-tw-cali1", True),
        ("unknown", "filter", "KUBE-NWPLCY-ABC", True),
        # left behind by another CNI
        ("calico", "kube-router-old", "KUBE-POD-FW-ABC", False),
        ("calico", "filter", "KUBE-NWPLCY-ABC", False),
        ("cilium", "filter", "cali-tw-cali1", False),
        ("flannel", "filter", "CILIUM_FORWARD", False),
    ],
)
def test_owners(cni: str, table: str, name: str, owned: bool) -> None:  # noqa: FBT001
    assert owners_of(cni).own(table, name) is owned


@pytest.mark.parametrize(
    ("cni", "name", "enforces"),
    [
        ("calico", "filter-cali-tw-cali1", True),
        ("calico", "KUBE-NWPLCY-ABC", False),
        ("flannel", "KUBE-NWPLCY-ABC", True),
        ("flannel", "KUBE-FIREWALL", False),
        ("canal", "cali-pi-abc", True),
        ("unknown", "ANTREA-POL-INGRESS", True),
    ],
)
def test_whose_drops_are_those_of_policies(cni: str, name: str, enforces: bool) -> None:  # noqa: FBT001
    assert owners_of(cni).enforce(name) is enforces
