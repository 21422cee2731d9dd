"""Queues and filters that somebody wrote: whose they are, and whether they took packets."""

from dataclasses import replace
from typing import Any

import pytest

from bot.agent.report import Filter, Link, Missing, Qdisc
from bot.agent.traced import NodeTrace, PacketDrop, Sent, TraceFlow
from bot.cluster.cni.catalogue import CniName
from bot.cluster.cni.detect import CniInventory
from bot.domain import facts
from bot.domain.finding import Severity
from bot.probes import traffic_control
from tests.probes.build import FakeCluster, facts_of, sentences, two_nodes

DEFAULTS = (Qdisc(dev="eth0", kind="fq_codel", text="fq_codel 0: root", packets_delta=9, dropped_delta=9),)


def tbf(dev: str, **counters: int) -> Qdisc:
    return Qdisc(dev=dev, kind="tbf", handle="8001:", text="tbf 8001: root rate 2Kbit limit 70b", **counters)


def redirect(dev: str, **fields: Any) -> Filter:
    plain: dict[str, Any] = {"direction": "ingress", "kind": "u32", "effect": "redirect", "target": "span0"}
    return Filter(dev=dev, text="u32 pref 1 ip match ip dport 9004", **(plain | fields))


def read(cluster: FakeCluster) -> None:
    """As if the agent had read queues and filters everywhere, and found what the kernel sets by itself."""
    for node in cluster.roots:
        cluster.root(node, qdiscs=DEFAULTS, filters=())
    for pod in cluster.pods:
        cluster.inside(pod, qdiscs=DEFAULTS, filters=())


def of(cluster: FakeCluster, subject: facts.Subject) -> dict[str, Any]:
    return dict(facts_of(cluster.evidence(), traffic_control.PROBE).of(subject))


def test_what_the_kernel_sets_by_itself_is_nobodys_whatever_it_drops():
    cluster, a, _, _ = two_nodes()
    read(cluster)

    assert of(cluster, a).items() >= {"queue": "none", "host_queue": "none", "filter": "none"}.items()
    assert of(cluster, facts.node("node-1"))["queue"] == "none"


@pytest.mark.parametrize(
    ("counters", "word"),
    [
        ({"packets_delta": 30}, "idle"),
        ({"packets_delta": 30, "dropped_delta": 1}, None),
        ({"packets_delta": 1, "dropped_delta": 9}, "drops"),
        ({"packets_delta": 1, "backlog": 4}, "holds"),
    ],
)
def test_a_queue_in_the_pod_is_judged_by_its_counters(counters: dict[str, int], word: str | None):
    cluster, a, b, _ = two_nodes()
    read(cluster)
    cluster.inside(a, qdiscs=(tbf("eth0", **counters),))

    assert of(cluster, a).get("queue") == word
    assert of(cluster, a)["queues"][0].startswith(
        "tbf 8001: root rate 2Kbit limit 70b on eth0 (what the pod sends, answers included): "
    )
    assert of(cluster, b)["queue"] == "none"


def test_a_queue_on_the_nodes_end_is_that_pods_alone():
    cluster, a, b, _ = two_nodes()
    read(cluster)
    cluster.root("node-1", qdiscs=(tbf(cluster.report_of(a).host_link, dropped_delta=9),))

    assert of(cluster, a)["host_queue"] == "drops"
    assert of(cluster, b)["host_queue"] == "none"
    assert of(cluster, facts.node("node-1"))["queue"] == "none"


@pytest.mark.parametrize("dev", ["eth0", "cni0"])
def test_a_queue_on_uplink_or_bridge_is_the_nodes(dev: str):
    cluster, _, _, _ = two_nodes("flannel")
    read(cluster)
    cluster.root("node-1", qdiscs=(tbf(dev, dropped_delta=9),))

    assert of(cluster, facts.node("node-1"))["queue"] == "drops"


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"packets": 3, "packets_delta": 3}, "takes"),
        ({"packets": 3, "packets_delta": 0}, "idle"),
        ({}, None),
        ({"kind": "bpf", "effect": "program", "name": "probe.o:[classifier]"}, None),
        ({"kind": "bpf", "effect": "program", "name": "cil_from_container-lxc1"}, "none"),
        ({"effect": ""}, "none"),
    ],
    ids=["took packets", "took none", "without a counter", "a foreign program", "the CNI's program", "mirrors"],
)
def test_a_filter_is_judged_by_what_its_action_took(change: dict[str, Any], word: str | None):
    cluster, a, _, _ = two_nodes("cilium")
    read(cluster)
    cluster.root("node-1", filters=(redirect(cluster.report_of(a).host_link, **change),))

    assert of(cluster, a).get("host_filter") == word


def test_a_foreign_program_is_known_by_the_drops_of_its_place():
    cluster, a, _, _ = two_nodes("flannel")
    read(cluster)
    dev = cluster.report_of(a).host_link
    gate = Qdisc(dev=dev, kind="clsact", handle="ffff:", text="clsact ffff:", dropped_delta=4)
    cluster.root("node-1", qdiscs=(gate,), filters=(redirect(dev, kind="bpf", effect="program", name="x"),))

    assert of(cluster, a)["host_filter"] == "takes"
    assert of(cluster, a)["host_queue"] == "none"


@pytest.mark.parametrize(
    ("others", "word"),
    [((), "takes"), ((redirect("x", kind="bpf", effect="program", name="y"),), None)],
    ids=["alone", "one of two"],
)
def test_a_program_without_a_counter_is_convicted_by_the_kernel_s_word(others: tuple[Filter, ...], word: str | None):
    cluster, a, _, _ = two_nodes("flannel")
    read(cluster)
    dev = cluster.report_of(a).host_link
    filters = (redirect(dev, kind="bpf", effect="program", name="x"), *(replace(one, dev=dev) for one in others))
    cluster.root("node-1", filters=filters)
    drop = PacketDrop(flow=1, netns="node", dev=dev, reason="TC_INGRESS", count=17)
    trace = NodeTrace(instrument="bpf", sent=(Sent(flow=1, sent=17, outcomes={"timeout": 17}),), drops=(drop,))
    flow = TraceFlow(
        number=1, node="node-1", source="uid-a", ip="1", protocol="udp", addresses=(), count=17, first_port=9
    )
    evidence = cluster.evidence(traced=(flow,), traces={"node-1": trace})

    assert facts_of(evidence, traffic_control.PROBE).of(a).get("host_filter") == word


def test_a_detour_through_an_ifb_device_counts_as_its_queue():
    """So the bandwidth plugin shapes what a pod sends."""
    cluster, a, _, _ = two_nodes()
    read(cluster)
    ifb = Link(ifindex=77, name="bwp1", kind="ifb", is_up=True)
    detour = redirect(cluster.report_of(a).host_link, target="bwp1", packets=30, packets_delta=30)
    cluster.root("node-1", links=(*cluster.roots["node-1"].links, ifb), filters=(detour,))
    cluster.root("node-1", qdiscs=(tbf("bwp1", dropped_delta=20),))

    assert of(cluster, a).items() >= {"host_filter": "none", "host_queue": "drops"}.items()


def test_what_was_not_read_is_unknown():
    cluster, a, _, _ = two_nodes()
    table = facts_of(cluster.evidence(), traffic_control.PROBE)

    assert "queue" not in table.of(a)
    assert table.why_unobserved(a, "host_filter") == "queues and filters were not read"


def test_a_queue_at_the_nodes_end_takes_what_comes_to_the_pod():
    cluster, a, _, _ = two_nodes()
    read(cluster)
    cluster.root("node-1", qdiscs=(tbf(cluster.report_of(a).host_link, dropped_delta=9, packets_delta=1),))

    assert "on cali1 (what comes to the pod, answers included): 9 of 10" in of(cluster, a)["host_queues"][0]


def test_a_queue_of_the_node_takes_what_it_sends():
    cluster, *_ = two_nodes()
    read(cluster)
    cluster.root("node-1", qdiscs=(tbf("eth0", dropped_delta=9, packets_delta=1),))

    assert "on eth0 (what the node sends by it): 9 of 10" in of(cluster, facts.node("node-1"))["queues"][0]


def test_what_took_packets_is_said():
    cluster, a, _, _ = two_nodes()
    read(cluster)
    cluster.root("node-1", filters=(redirect(cluster.report_of(a).host_link, packets=3, packets_delta=3),))
    table = facts_of(cluster.evidence(), traffic_control.PROBE)

    assert sentences(list(traffic_control.PROBE.judge(table)), Severity.WARN) == [
        (
            "A filter or program on the node's end of the link of shop/a takes packets: u32 pref 1 ip match "
            "ip dport 9004 on cali1 ingress (what the pod sends, answers included), took 3 packets during the tests."
        )
    ]


def test_where_programs_may_hang_that_were_not_told_nothing_is_ruled_out():
    cluster, a, _, _ = two_nodes("flannel")
    read(cluster)
    cluster.node_report("node-1", missing=(Missing(what="root.programs", why="bpf(2) is refused"),))

    table = facts_of(cluster.evidence(), traffic_control.PROBE)

    assert "host_filter" not in table.of(a)
    assert table.why_unobserved(a, "host_filter") == "programs on devices were not read: bpf(2) is refused"
    assert "filter" not in table.of(a)


@pytest.mark.parametrize(("cni", "word"), [("aws-vpc-cni", "none"), ("calico", None)])
def test_a_name_that_anybody_may_use_is_the_cnis_only_where_it_gives_it(cni: CniName, word: str | None):
    cluster, a, _, _ = two_nodes("flannel")
    read(cluster)
    own = redirect(cluster.report_of(a).host_link, kind="bpf", effect="program", name="handle_ingress")
    cluster.root("node-1", filters=(own,))
    evidence = cluster.evidence()
    vars(evidence)["cni"] = CniInventory(name=cni)

    assert facts_of(evidence, traffic_control.PROBE).of(a).get("host_filter") == word
