"""Kernel settings of nodes, and which of them stand out."""

import pytest

from bot.agent.report import Address, Route
from bot.domain import facts
from bot.domain.facts import Rung
from bot.domain.finding import Severity
from bot.probes import gateway_reachability
from bot.probes.node_sysctls import PROBE, judge
from tests.probes.build import FakeCluster, facts_of, sentences

NODE = facts.node("node-1")


def three() -> FakeCluster:
    cluster = FakeCluster()
    for number in (1, 2, 3):
        cluster.node(f"node-{number}")
    return cluster


def test_the_node_that_differs_from_all_others_stands_out() -> None:
    cluster = three()
    cluster.root("node-2", sysctls=cluster.roots["node-2"].sysctls | {"ipv4.conf.all.rp_filter": "1"})

    known = facts_of(cluster.evidence(), PROBE)

    assert known.of(facts.node("node-2"))["sysctl_outliers"] == ("ipv4.conf.all.rp_filter=1, peers 0",)
    assert known.of(NODE)["sysctl_outliers"] == ()
    assert sentences(judge(known), Severity.INFO) == [
        "Node node-2 differs from all other nodes: ipv4.conf.all.rp_filter=1, peers 0."
    ]


def test_two_nodes_that_differ_accuse_nobody() -> None:
    cluster = three()
    for node in ("node-2", "node-3"):
        cluster.root(node, sysctls=cluster.roots[node].sysctls | {"ipv4.conf.all.rp_filter": "1"})
    assert facts_of(cluster.evidence(), PROBE).of(facts.node("node-2"))["sysctl_outliers"] == ()

    del cluster.roots["node-3"]
    pair = facts_of(cluster.evidence(), PROBE)

    assert pair.why_unobserved(NODE, "sysctl_outliers") == "only 2 nodes could be compared"
    assert "sysctl_outliers" not in pair.of(NODE)


def test_uplinks_are_compared_whatever_they_are_called() -> None:
    cluster = three()
    root = cluster.roots["node-2"]
    links = tuple(
        link if link.name != "eth0" else type(link)(ifindex=2, name="ens3.7", is_up=True) for link in root.links
    )
    cluster.root(
        "node-2",
        links=links,
        routes=(Route(dst="default", via="172.30.0.1", dev="ens3.7"),),
        addresses=(Address(dev="ens3.7", ip="172.30.0.12", prefix_len=24),),
        sysctls={"ipv4.conf.all.rp_filter": "0", "ipv4.conf.ens3/7.rp_filter": "1", "ipv4.ip_forward": "1"},
    )

    known = facts_of(cluster.evidence(), PROBE).of(facts.node("node-2"))

    assert known["uplink_rp_filter"] == 1
    assert known["sysctl_outliers"] == ("ipv4.conf.<uplink>.rp_filter=1, peers 0",)


def test_the_uplink_of_a_node_without_default_route_is_the_one_with_its_address() -> None:
    cluster = three()
    cluster.root("node-1", routes=())

    assert facts_of(cluster.evidence(), PROBE).of(NODE)["uplink_rp_filter"] == 0


@pytest.mark.parametrize(("value", "expected"), [("1", True), ("0", False), (None, False)])
def test_without_br_netfilter_bridged_packets_pass_no_rules(value: str | None, expected: bool) -> None:  # noqa: FBT001
    cluster = three()
    extra = {} if value is None else {"bridge.bridge-nf-call-iptables": value}
    cluster.root("node-1", sysctls=cluster.roots["node-1"].sysctls | extra)

    assert facts_of(cluster.evidence(), PROBE).of(NODE)["bridge_nf_call"] is expected


def test_what_was_not_read_is_not_off() -> None:
    cluster = three()
    cluster.rungs["node-1"] = Rung.EXEC
    cluster.root("node-1", links=(), addresses=(), routes=(), sysctls={})

    known = facts_of(cluster.evidence(), PROBE)

    assert dict(known.of(NODE)) == {}
    assert known.why_unobserved(NODE, "uplink_rp_filter") == "the node's uplink is not known"
    assert sentences(judge(known), Severity.INCONCLUSIVE) == [
        "The kernel settings of node-1 could not be observed: the node's sysctls were not read."
    ]


def test_a_node_that_does_not_forward_is_told_with_the_file_that_does_it() -> None:
    cluster = three()
    cluster.sysctl("node-1", ipv4__ip_forward="0")
    cluster.node_report("node-1", sysctl_files=("/etc/sysctl.d/99-hardening.conf: net.ipv4.ip_forward = 0",))

    cluster.node_report("node-2", sysctl_files=())
    findings = judge(facts_of(cluster.evidence(), PROBE, gateway_reachability.PROBE))

    assert sentences(findings, Severity.WARN) == [
        (
            "Node node-1 does not forward packets: net.ipv4.ip_forward is 0 "
            "(set in /etc/sysctl.d/99-hardening.conf: net.ipv4.ip_forward = 0)."
        ),
    ]
    assert sentences(findings, Severity.INFO) == [
        "Node node-1 differs from all other nodes: ipv4.ip_forward=0, peers 1.",
    ]
    assert sentences(findings, Severity.PASS) == [
        "All 2 nodes that were inspected forward packets (net.ipv4.ip_forward is 1)."
    ]


def test_a_node_that_does_not_forward_though_no_file_says_so() -> None:
    cluster = three()
    cluster.sysctl("node-1", ipv4__ip_forward="0")
    cluster.node_report("node-1", sysctl_files=())

    assert sentences(judge(facts_of(cluster.evidence(), PROBE, gateway_reachability.PROBE)), Severity.WARN)[0] == (
        "Node node-1 does not forward packets: net.ipv4.ip_forward is 0."
    )


def test_a_device_that_does_not_forward_is_switched_on_by_itself() -> None:
    """Writing ip_forward again changes no device where it is 1; a device's name may have dots."""
    cluster = three()
    cluster.root("node-1", sysctls=cluster.roots["node-1"].sysctls | {"ipv4.conf.eth0.forwarding": "0"})

    known = facts_of(cluster.evidence(), PROBE).of(NODE)

    assert known["devices_not_forwarding"] == ("eth0",)
    assert known["device_forwarding_on"] == ("sysctl -w net/ipv4/conf/eth0/forwarding=1",)
    assert known["device_forwarding_off"] == ("sysctl -w net/ipv4/conf/eth0/forwarding=0",)
