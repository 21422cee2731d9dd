"""Where probe packets are lost: place and direction, and what is reported of it."""

from dataclasses import replace
from typing import Any

import pytest

from bot.agent.traced import CounterMove, Unresolved
from bot.domain import facts
from bot.domain.facts import Subject
from bot.domain.finding import Severity
from bot.probes.packet_trace import PROBE
from bot.probes.packet_trace.findings import judge
from tests.probes.build import FakeCluster, facts_of, two_nodes
from tests.probes.services import add_service
from tests.probes.traced import A, C, N, Traced, arrived, sent_off


def test_packets_that_wait_for_the_gateway_never_leave() -> None:
    traced = Traced()
    traced.fields["node-1"] = {"unresolved": (Unresolved(netns="uid-a", ip="169.254.1.1", dev="eth0"),)}

    fate = traced.fate()

    assert (fate.hop, fate.reason) == (
        "gateway",
        "they wait for 169.254.1.1 on eth0, which does not answer ARP (timeout)",
    )


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (
            {"unresolved": (Unresolved(netns="node", ip=C, dev="cali1"),)},
            f"they wait for {C} on cali1, which does not answer ARP",
        ),
        (
            {"counters": (CounterMove(flow=1, netns="node", name="XfrmInPolBlock"),)},
            "XfrmInPolBlock of node-2 moved by just as many",
        ),
        ({}, "they vanished without a word of the kernel"),
    ],
)
def test_without_a_drop_event_sightings_place_it(fields: dict[str, Any], reason: str) -> None:
    traced = sent_off(Traced()).saw("node-2", "~eth0<", "vxlan.calico<")
    traced.fields["node-2"] = fields

    fate = traced.fate()

    assert (fate.is_known, fate.node, fate.hop, fate.reason) == (False, "node-2", "node", reason)
    assert fate.first_not_seen == "cali1 of node-2, going out"


def test_between_two_nodes_that_listen_it_is_the_underlay() -> None:
    fate = sent_off(Traced()).fate()

    assert (fate.hop, fate.last_seen) == ("underlay", "eth0 of node-1, going out in the tunnel")
    assert fate.first_not_seen == "node-2, coming in"


def test_replies_are_lost_between_the_nodes_as_requests_are() -> None:
    traced = arrived(sent_off(Traced())).saw("node-2", "c:eth0>", "cali1<", "~eth0>", leg="reply")

    fate = traced.fate()

    assert (fate.leg, fate.hop, fate.last_seen) == ("reply", "underlay", "eth0 of node-2, going out in the tunnel")


def test_what_leaves_the_node_for_a_cluster_ip_was_not_translated() -> None:
    traced = Traced().saw("node-1", "a:eth0>", "cali1<", "eth0>")
    add_service(traced.cluster, "shop/c", (traced.c,), ip="10.43.0.9")
    traced.flow = replace(traced.flow, ip="10.43.0.9", addresses=(A, "10.43.0.9", C))
    traced.sightings["node-1"][-1] = replace(traced.sightings["node-1"][-1], dst="10.43.0.9:80")

    fate = traced.fate()

    assert (fate.hop, fate.segment, fate.node) == ("service", "on-sender", "node-1")
    assert fate.reason.startswith("nothing translated the Service's address")


def test_packets_that_are_spread_over_endpoints_are_not_lost_where_they_part() -> None:
    traced = Traced().saw("node-1", "a:eth0>", "cali1<")
    other = "10.42.1.11"
    traced.flow = replace(traced.flow, ip="10.43.0.10", addresses=(A, C, other))
    traced.outcomes = {"ok": N - 6, "timeout": 6}
    traced.saw("node-1", "vxlan.calico>", count=N - 8).saw("node-1", "cali2>", count=8)
    traced.sightings["node-1"][-1] = replace(traced.sightings["node-1"][-1], dst=f"{other}:80")

    fate = traced.fate()

    assert (fate.last_seen, fate.first_not_seen, fate.hop) == ("cali1 of node-1, coming in", "", None)
    assert fate.reason == "they went on to 2 endpoints, and a part of them was lost behind that"


def test_a_node_that_did_not_listen_in_time_proves_nothing() -> None:
    traced = sent_off(Traced())
    traced.fields["node-2"] = {"is_together": False}

    assert (traced.fate().first_not_seen, traced.fate().hop) == ("", "node")


def test_a_target_that_refuses_is_told_from_a_rule_that_refuses_in_its_name() -> None:
    refused = arrived(Traced()).saw("node-1", "cali1>", "a:eth0<", leg="reply")
    refused.outcomes = {"ECONNREFUSED": N}
    forged = Traced().saw("node-1", "a:eth0>", "cali1<").saw("node-1", "cali1>", "a:eth0<", leg="reply")
    forged.outcomes = {"ECONNREFUSED": N}

    assert refused.fate().hop == "application"
    assert forged.fate().reason == "somebody on the way refuses in the target's name (RST), as reject rules do"
    assert forged.fate().last_seen == "cali1 of node-1, coming in"


def test_facts_and_findings_of_a_trace() -> None:
    traced = Traced().saw("node-1", "a:eth0>", "cali1<")
    traced.died("node-1", "NETFILTER_DROP", "nft_do_chain", "cali1", hook="forward", family="ip")

    known = facts_of(traced.evidence(), PROBE)

    node: Subject = facts.node("node-1")
    assert known.of(node)["traced_drops"] == ("NETFILTER_DROP in nft_do_chain at cali1 (17)",)
    assert (known.of(node)["traced_hooks"], known.of(node)["traced_devices"]) == (("ip forward",), ("cali1",))
    assert known.of(facts.node("node-2"))["traced_drops"] == ()
    assert known.of(traced.a)["traced_hop"] == "node"
    assert [(one.severity, one.subject) for one in judge(known)] == [(Severity.INFO, traced.a)]


@pytest.mark.parametrize(
    ("question", "outcomes", "reported"),
    [
        ("kubernetes.default.svc.cluster.local", {"ok": N}, "answered"),
        ("kubernetes.default.svc.cluster.local", {"timeout": 3, "ok": N - 3}, "lost"),
        ("", {"ok": N}, "not-followed"),
    ],
)
def test_a_node_knows_whether_its_dns_questions_were_answered(
    question: str, outcomes: dict[str, int], reported: str
) -> None:
    traced = Traced("udp")
    traced.flow = replace(traced.flow, question=question)
    traced.outcomes = outcomes

    known = facts_of(traced.evidence(), PROBE)

    assert known.of(facts.node("node-1"))["traced_dns"] == reported
    assert known.of(facts.node("node-2"))["traced_dns"] == "not-followed"


def test_without_a_trace_nothing_is_known() -> None:
    cluster: FakeCluster = two_nodes()[0]

    known = facts_of(cluster.evidence(), PROBE)

    assert known.why_unobserved(facts.node("node-1"), "traced_drops").startswith("no probe packets were followed here")
    assert judge(known) == []


@pytest.mark.parametrize(
    ("arrived_there", "died_on", "there"),
    [(False, "", "between"), (False, "node-1", "on-sender"), (True, "node-2", "on-receiver")],
)
def test_a_pair_of_nodes_knows_where_its_packets_were_lost(
    arrived_there: bool,  # noqa: FBT001
    died_on: str,
    there: str,
) -> None:
    traced = (arrived if arrived_there else sent_off)(Traced())
    if died_on:
        traced.died(died_on, "IP_RPFILTER", "ip_rcv_finish_core", "eth0")

    known = facts_of(traced.evidence(), PROBE)

    assert known.of(facts.pair("node-1", "node-2"))["traced_loss"] == there
    assert known.of(facts.pair("node-1", "node-2"))["traced_share"].endswith(" packets")  # type: ignore[union-attr]
    back = "elsewhere" if died_on else "not-followed"
    assert known.of(facts.pair("node-2", "node-1"))["traced_loss"] == back


def test_what_leaves_for_somebody_else_is_lost_by_the_sender() -> None:
    """A forwarding entry may lead to a host that is not there: the network between the nodes did as it was told."""
    traced = sent_off(Traced())
    wire = traced.sightings["node-1"][-1]
    traced.sightings["node-1"][-1] = replace(wire, dst="172.30.0.99:4789")

    known = facts_of(traced.evidence(), PROBE)

    assert known.of(facts.pair("node-1", "node-2"))["traced_loss"] == "on-sender"


def test_an_xdp_program_of_the_receiver_may_take_what_seems_lost_between() -> None:
    traced = sent_off(Traced())
    links = tuple(replace(one, xdp_program=3) for one in traced.cluster.roots["node-2"].links)
    traced.cluster.root("node-2", links=links)

    known = facts_of(traced.evidence(), PROBE)

    assert known.of(facts.pair("node-1", "node-2"))["traced_loss"] == "not-followed"
