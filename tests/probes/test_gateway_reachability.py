"""What the node would do for a pod, its effective sysctls, and whether the two reach each other."""

from dataclasses import replace
from typing import Any

import pytest

from bot.agent.report import Address, Firewall, FirewallChain, FirewallRule, NetnsState
from bot.domain import facts
from bot.domain.facts import Rung
from bot.domain.finding import Severity, SymptomKind
from bot.probes import pod_arp_table, pod_link
from bot.probes.gateway_reachability import PROBE, judge
from bot.probes.shared.pod_views import either, strictest
from tests.probes.build import facts_of, sentences, table, two_nodes

NODE = facts.node("node-1")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"type": "unicast"}, "ok"),
        ({"type": "local", "dev": "lo"}, "local"),
        ({"errno": "ENETUNREACH", "type": ""}, "net-unreachable"),
        ({"errno": "EHOSTUNREACH", "type": ""}, "host-unreachable"),
        ({"errno": "EINVAL", "type": ""}, "invalid"),
        ({"errno": "EACCES", "type": ""}, "other"),
        ({"type": "unreachable"}, "host-unreachable"),
        ({"type": "blackhole"}, "invalid"),
        ({"type": "multicast"}, "other"),
    ],
)
def test_the_errno_of_the_oracle_is_a_word(answer: dict[str, str], expected: str) -> None:
    cluster, a, _, _ = two_nodes()
    oracle = cluster.report_of(a).gateway_oracle
    assert oracle is not None
    cluster.seen(a, gateway_oracle=replace(oracle, **answer))

    assert facts_of(cluster.evidence(), PROBE).of(a)["gateway_oracle"] == expected


def test_a_healthy_calico_pod() -> None:
    cluster, a, b, _ = two_nodes()
    cluster.test(a, "own-node", to=NODE)
    cluster.test(NODE, "local-pod", to=a)

    known = facts_of(cluster.evidence(), PROBE)

    assert dict(known.of(a)) == {
        "gateway_oracle": "ok",
        "gateway_oracle_dev": "eth0",
        "own_dev": "cali1",
        "host_proxy_arp": True,
        "host_forwarding": True,
        "host_rp_filter": 0,
        "host_proxy_delay": 0,
        "host_arp_ignore": 0,
        "reach_own_node": "ok",
        "node_reaches_pod": "ok",
    }
    assert known.why_unobserved(b, "reach_own_node") == "no test ran from this pod to its own node"
    assert sentences(judge(known), Severity.PASS) == [
        "Packets pass in both directions between shop/a on node-1 and the node itself."
    ]
    assert sentences(judge(known), Severity.FAIL, Severity.INCONCLUSIVE) == []


@pytest.mark.parametrize(
    ("own", "every", "is_on"), [("0", "0", False), ("1", "0", True), ("0", "1", True), ("1", None, True)]
)
def test_proxy_arp_holds_when_either_says_so(own: str, every: str | None, is_on: bool) -> None:  # noqa: FBT001
    sysctls = {"ipv4.conf.cali1.proxy_arp": own} | ({} if every is None else {"ipv4.conf.all.proxy_arp": every})

    assert either(NetnsState(sysctls=sysctls), "cali1", "proxy_arp") is is_on


def test_half_of_a_sysctl_is_no_sysctl() -> None:
    """`all` alone says 0: the interface may still say 1, so nothing is known."""
    assert either(NetnsState(sysctls={"ipv4.conf.all.proxy_arp": "0"}), "cali1", "proxy_arp") is None
    assert strictest(NetnsState(sysctls={"ipv4.conf.all.rp_filter": "1"}), "cali1", "rp_filter") is None
    assert either(NetnsState(sysctls={"ipv4.conf.all.proxy_arp": "yes"}), "all", "proxy_arp") is None


@pytest.mark.parametrize(("own", "every", "effective"), [("0", "1", 1), ("2", "1", 2), ("1", "0", 1), ("0", "0", 0)])
def test_rp_filter_is_the_larger_of_both(own: str, every: str, effective: int) -> None:
    cluster, a, _, _ = two_nodes()
    cluster.root(
        "node-1",
        sysctls=cluster.roots["node-1"].sysctls
        | {
            "ipv4.conf.cali1.rp_filter": own,
            "ipv4.conf.all.rp_filter": every,
        },
    )

    assert facts_of(cluster.evidence(), PROBE).of(a)["host_rp_filter"] == effective


def test_the_sysctls_of_a_bridge_port_are_those_of_its_bridge() -> None:
    cluster, a, _, _ = two_nodes("flannel")
    cluster.root(
        "node-1",
        sysctls=cluster.roots["node-1"].sysctls
        | {
            "ipv4.conf.cni0.forwarding": "0",
            "ipv4.conf.cni0.rp_filter": "2",
            "ipv4.conf.cni0.proxy_arp": "0",
        },
    )

    known = facts_of(cluster.evidence(), PROBE).of(a)

    assert (known["own_dev"], known["host_forwarding"], known["host_rp_filter"]) == ("veth1", False, 2)
    assert known["gateway_oracle"] == "local"


def test_what_the_node_says_about_itself() -> None:
    cluster, _, _, _ = two_nodes()
    drop = FirewallRule(backend="nft", family="arp", table="guard", chain="in", verdict="drop", text="drop")
    cluster.root(
        "node-1",
        sysctls=cluster.roots["node-1"].sysctls
        | {"ipv4.ip_forward": "0", "ipv4.conf.cali1.forwarding": "0", "ipv4.conf.cali2.proxy_arp": "0"},
        addresses=(*cluster.roots["node-1"].addresses, Address(dev="lo", ip="169.254.1.1", prefix_len=32)),
        firewall=Firewall(drops=(drop,), drops_total=1),
        counters={"Ip.InAddrErrors": 7, "TcpExt.IPReversePathFilter": 9},
        counters_delta={"Ip.InAddrErrors": 3},
    )

    assert dict(facts_of(cluster.evidence(), PROBE).of(NODE)) == {
        "ip_forward": False,
        "all_proxy_arp": False,
        "all_rp_filter": 0,
        "arp_filter_deletions": (),
        "arp_filtered": True,
        "arp_filters": ("arp/guard/in: drop",),
        "gateway_address_local": True,
        "gateway_address_dev": "lo",
        "inaddrerrors_delta": 3,
        "rpfilter_delta": 0,
        "pod_links": 2,
        "forwarding_off_links": 1,
        "proxy_arp_off_links": 1,
    }


@pytest.mark.parametrize(
    ("family", "policy", "filtered"), [("arp", "drop", True), ("arp", "accept", False), ("ip", "drop", False)]
)
def test_an_arp_chain_filters_by_its_policy_too(family: str, policy: str, filtered: bool) -> None:  # noqa: FBT001
    cluster, a, _, _ = two_nodes()
    chain = FirewallChain(backend="nft", family=family, table="t", chain="c", hook="input", policy=policy)
    cluster.root("node-1", firewall=Firewall(chains=(chain,)))
    cluster.inside(a, firewall=Firewall(chains=(chain,)))

    known = facts_of(cluster.evidence(), PROBE)
    named = ("arp/t/c: policy drop",) if filtered else ()
    assert (known.of(NODE)["arp_filtered"], known.of(NODE)["arp_filters"]) == (filtered, named)
    assert known.of(a)["arp_filters"] == named


def test_counters_that_were_read_once_have_no_growth() -> None:
    cluster, _, _, _ = two_nodes()
    cluster.rungs["node-1"] = Rung.CNI_AGENT
    cluster.root("node-1", counters={"Ip.InAddrErrors": 7})

    known = facts_of(cluster.evidence(), PROBE)

    assert known.why_unobserved(NODE, "inaddrerrors_delta") == "counters were not read twice"
    assert known.why_unobserved(NODE, "arp_filtered") == "the node's packet filters were not read"


def test_a_pod_that_is_cut_off_although_its_gateway_answers() -> None:
    cluster, a, _, _ = two_nodes()
    cluster.test(a, "own-node", to=NODE, outcome="timeout")
    cluster.test(NODE, "local-pod", to=a, outcome="EHOSTUNREACH", latency_ms=3060.0)

    known = facts_of(cluster.evidence(), pod_link.PROBE, pod_arp_table.PROBE, PROBE)
    failures = [each for each in judge(known) if each.severity is Severity.FAIL]

    assert sentences(failures) == [
        (
            "Between shop/a on node-1 and the node itself packets are lost although the gateway answers ARP: "
            "from pod to node a test got no answer, "
            "from node to pod a test got EHOSTUNREACH late (a next hop does not answer ARP)."
        )
    ]
    symptom = failures[0].symptom
    assert symptom is not None
    assert (symptom.kind, symptom.subject, symptom.hop) == (SymptomKind.POD_ISOLATED, a, "node")


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"gateway_arp": "silent"},
        {"eth0": "no-carrier"},
        {"host_link": "down"},
        {"default_route": "missing"},
    ],
)
def test_what_another_probe_tells_is_not_told_twice(elsewhere: dict[str, Any]) -> None:
    known = table(pod={"shop/a": {"reach_own_node": "timeout", "node_reaches_pod": "timeout"} | elsewhere})

    assert sentences(judge(known), Severity.FAIL, Severity.WARN) == []


def test_a_node_that_answers_no_ping_is_no_trouble() -> None:
    known = table(pod={"shop/a": {"reach_own_node": "timeout", "node_reaches_pod": "ok", "reach_remote_pods": "ok"}})

    assert [(each.severity, each.sentence) for each in judge(known)] == [
        (
            Severity.INFO,
            (
                "The node itself does not answer the pings of shop/a, while it reaches it and it reaches others: "
                "it answers no echo, or something drops ICMP."
            ),
        )
    ]


def test_a_pod_that_talks_to_others_is_not_isolated() -> None:
    """The pod's or the node's firewall takes packets: a warning, not a symptom that needs a cause."""
    known = table(pod={"shop/a": {"reach_own_node": "timeout", "node_reaches_pod": "mixed", "reach_remote_pods": "ok"}})

    assert [(each.severity, each.symptom, each.sentence) for each in judge(known)] == [
        (
            Severity.WARN,
            None,
            (
                "Between shop/a and the node itself packets are lost, yet other pods are reached: "
                "from pod to node a test got no answer, from node to pod a test succeeded only sometimes. "
                "A firewall on the node or in the pod treats these packets differently."
            ),
        )
    ]


def test_a_refusal_counts_only_where_the_pod_listens() -> None:
    """A closed port of a healthy pod refuses: packets pass."""
    cluster, a, _, _ = two_nodes()
    cluster.test(NODE, "endpoint", to=a, protocol="tcp", port=8080, outcome="ECONNREFUSED")

    assert "node_reaches_pod" not in facts_of(cluster.evidence(), PROBE).of(a)
