"""What the wire and the neighbour table say about a pod's gateway: the founding probe."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from bot.agent.report import Address, Link, Neighbour
from bot.domain import facts
from bot.domain.facts import Rung
from bot.domain.finding import Severity, SymptomKind
from bot.probes import pod_arp_table, pod_link, pod_routes
from bot.probes.pod_arp_table import PROBE
from bot.probes.pod_arp_table.findings import judge
from tests.probes.build import FakeCluster, facts_of, sentences, table, two_nodes


@pytest.mark.parametrize(
    ("cni", "kind", "gateway"),
    [("calico", "link-local", "169.254.1.1"), ("flannel", "bridge", "10.42.1.1"), ("cilium", "node", "10.42.1.2")],
)
def test_a_healthy_gateway_of_each_network(cni: Any, kind: str, gateway: str) -> None:
    cluster, a, _, _ = two_nodes(cni)

    seen = facts_of(cluster.evidence(), PROBE).of(a)

    assert seen["gateway_ip"] == gateway
    assert seen["gateway_kind"] == kind
    assert seen["gateway_neigh"] == "REACHABLE"
    assert seen["gateway_mac_matches"] is True
    assert seen["gateway_macs"] == 1
    assert seen["gateway_arp"] == "answered"
    assert seen["gateway_arp_max_ms"] == 0.05


@pytest.mark.parametrize(
    ("answers", "state", "sentence"),
    [
        (
            (None, None, None),
            "silent",
            "Gateway 169.254.1.1 answered none of 3 ARP requests from shop/a on node-1.",
        ),
        ((None,), "silent", "Gateway 169.254.1.1 answered no ARP request from shop/a on node-1."),
        (
            (0.1, None, 0.1),
            "partial",
            "Gateway 169.254.1.1 answered only 2 of 3 ARP requests from shop/a on node-1.",
        ),
        (
            (0.1, 540.2, 120.0),
            "late",
            (
                "Gateway 169.254.1.1 answered ARP requests from shop/a on node-1 only after up to 540 ms "
                "(a healthy node answers within 50 ms)."
            ),
        ),
    ],
)
def test_each_way_of_not_answering_has_its_sentence(
    answers: tuple[float | None, ...], state: str, sentence: str
) -> None:
    cluster, a, _, _ = two_nodes()
    cluster.answers(a, *answers)

    known = facts_of(cluster.evidence(), PROBE)
    failures = [each for each in judge(known) if each.severity is Severity.FAIL]

    assert known.of(a)["gateway_arp"] == state
    assert sentences(failures) == [sentence]
    symptom = failures[0].symptom
    assert symptom is not None
    assert symptom.kind is (SymptomKind.GATEWAY_SILENT if state == "silent" else SymptomKind.GATEWAY_LATE)
    assert (symptom.subject, symptom.hop) == (a, "gateway")


@pytest.mark.parametrize(("answers", "state"), [((0.1, 0.1, 64.0), "answered"), ((64.0,), "late")])
def test_one_late_answer_of_several_is_a_busy_node(answers: tuple[float | None, ...], state: str) -> None:
    cluster, a, _, _ = two_nodes()
    cluster.answers(a, *answers)

    assert facts_of(cluster.evidence(), PROBE).of(a)["gateway_arp"] == state


def test_a_node_whose_gateway_is_silent_for_all_is_one_finding() -> None:
    cluster = FakeCluster()
    cluster.node("node-1")
    pods = [cluster.pod(f"shop/p{number}", "node-1") for number in range(6)]
    for pod in pods:
        cluster.answers(pod, None, None, None)

    known = facts_of(cluster.evidence(), PROBE)
    failures = [each for each in judge(known) if each.severity is Severity.FAIL]

    assert sentences(failures) == [
        (
            "Gateway 169.254.1.1 answered none of 3 ARP requests from all 6 pods on node-1 "
            "(shop/p0, shop/p1, shop/p2, shop/p3, shop/p4 and 1 more)."
        )
    ]
    symptom = failures[0].symptom
    assert symptom is not None
    assert symptom.subject == facts.node("node-1")
    assert [flow.source for flow in symptom.flows] == pods
    assert dict(known.of(facts.node("node-1"))) == {
        "gateway_silent": "all",
        "gateway_silent_pods": 6,
        "gateway_checked_pods": 6,
        "gateways_absent": (),
        "gateway_restoring": (),
    }


def test_one_silent_gateway_among_healthy_ones_is_told_of_its_pod() -> None:
    cluster, a, b, _ = two_nodes()
    cluster.answers(a, None, None, None)

    known = facts_of(cluster.evidence(), PROBE)
    findings = judge(known)

    assert known.of(facts.node("node-1"))["gateway_silent"] == "some"
    assert known.of(facts.node("node-2"))["gateway_silent"] == "none"
    assert [each.subject for each in findings if each.severity is Severity.FAIL] == [a]
    assert sentences(findings, Severity.PASS) == [
        "Gateway 169.254.1.1 answered every ARP request from shop/b on node-1 within 0.1 ms.",
        "Gateway 169.254.1.1 answered every ARP request from shop/c on node-2 within 0.1 ms.",
    ]
    assert next(each.subject for each in findings if each.severity is Severity.PASS) == b


def test_from_inside_the_pod_alone_a_failed_entry_is_the_evidence() -> None:
    """The exec rung sends no ARP of its own: `ip neigh` is all there is, and says FAILED."""
    cluster, a, b, _ = two_nodes()
    cluster.rungs["node-1"] = Rung.EXEC
    cluster.root("node-1", links=(), addresses=(), sysctls={})
    for pod, state in ((a, "FAILED"), (b, "STALE")):
        cluster.seen(pod, gateway_arp=None, host_link="")
        cluster.inside(pod, neighbours=(Neighbour(ip="169.254.1.1", dev="eth0", state=state),))

    known = facts_of(cluster.evidence(), PROBE)
    findings = judge(known)

    assert "gateway_arp" not in known.of(a)
    assert sentences(findings, Severity.FAIL) == [
        (
            "Gateway 169.254.1.1 is FAILED in the neighbour table of shop/a on node-1: "
            "its last ARP requests were not answered."
        )
    ]
    assert "The gateway's answer to ARP requests of shop/a, shop/b could not be observed" in " ".join(
        sentences(findings, Severity.INCONCLUSIVE)
    )
    # STALE neither proves nor refutes: only the failed one counts as checked.
    assert known.of(facts.node("node-1"))["gateway_checked_pods"] == 1


def test_a_young_pod_is_told_with_the_advice_to_look_again() -> None:
    cluster = FakeCluster()
    cluster.node("node-1")
    a = cluster.pod("shop/a", "node-1", age=timedelta(seconds=30))
    cluster.answers(a, None, None, None)
    known = facts_of(cluster.evidence(), PROBE)
    known = replace(known, values={**known.values, a: {**known.of(a), "is_young": True}})

    assert sentences(judge(known), Severity.FAIL) == [
        (
            "Gateway 169.254.1.1 answered none of 3 ARP requests from shop/a on node-1. "
            "Younger than two minutes: check again before drawing conclusions."
        )
    ]


def test_a_pod_whose_link_is_down_has_no_silent_gateway_of_its_own() -> None:
    cluster, a, _, _ = two_nodes()
    cluster.host_link(a, is_up=False)
    cluster.answers(a, None, None, None)

    known = facts_of(cluster.evidence(), pod_link.PROBE, PROBE)

    assert known.of(a)["gateway_arp"] == "silent"
    assert sentences(judge(known), Severity.FAIL) == []


@pytest.mark.parametrize("state", ["PERMANENT", "REACHABLE"])
def test_an_entry_with_a_mac_that_the_node_does_not_have(state: str) -> None:
    cluster, a, _, _ = two_nodes()
    cluster.inside(a, neighbours=(Neighbour(ip="169.254.1.1", dev="eth0", mac="02:de:ad:00:00:01", state=state),))

    known = facts_of(cluster.evidence(), PROBE)
    findings = judge(known)

    assert known.of(a)["gateway_mac_matches"] is False
    assert sentences(findings, Severity.FAIL) == [
        (
            "In shop/a on node-1, the gateway's neighbour entry holds a MAC address that the node does not answer with "
            f"(169.254.1.1 is {state})."
        )
    ]


def test_a_wrong_mac_beside_a_test_is_only_a_warning() -> None:
    known = table(pod={"shop/a": {"gateway_mac_matches": False, "gateway_neigh": "STALE", "reach_own_node": "timeout"}})

    assert [each.severity for each in judge(known)] == [Severity.WARN]
    assert judge(known)[0].symptom is None


def test_an_entry_that_our_own_question_corrected_was_wrong_until_then() -> None:
    known = table(pod={"shop/a": {"gateway_mac_matches": False, "gateway_neigh": "STALE", "reach_own_node": "ok"}})

    assert sentences(judge(known), Severity.FAIL) == [
        (
            "In shop/a, the gateway's neighbour entry holds a MAC address that the node does not answer with "
            "(gateway is STALE); asking for it by ARP seems to have corrected that."
        )
    ]


def test_the_mac_that_answers_is_right_whoever_has_it() -> None:
    """A virtual router's address, for instance, belongs to no device of the node."""
    cluster, a, _, _ = two_nodes("flannel")
    cluster.inside(a, neighbours=(Neighbour(ip="10.42.1.1", dev="eth0", mac="00:00:5e:00:01:01", state="STALE"),))
    cluster.answers(a, 0.1, macs=("00:00:5E:00:01:01",))

    assert facts_of(cluster.evidence(), PROBE).of(a)["gateway_mac_matches"] is True


def test_the_mac_of_an_open_vswitch_port_proves_nothing() -> None:
    cluster, a, _, _ = two_nodes()
    cluster.host_link(a, master="ovs-system", name="veth9")
    cluster.seen(a, host_link="veth9", gateway_arp=None)
    cluster.root(
        "node-1", links=(*cluster.roots["node-1"].links, Link(ifindex=9, name="ovs-system", kind="openvswitch"))
    )

    known = facts_of(cluster.evidence(), PROBE)

    assert "gateway_mac_matches" not in known.of(a)
    assert known.why_unobserved(a, "gateway_mac_matches") == (
        "the node's end of the link belongs to ovs-system, which is no bridge"
    )


def test_a_pod_that_cannot_send_has_asked_nobody() -> None:
    """Not a hole in what was seen: the missing route is told, and the gateway needs no question."""
    cluster, a, _, _ = two_nodes()
    cluster.seen(a, gateway_ip="", gateway_arp=None)
    cluster.inside(a, routes=())

    known = facts_of(cluster.evidence(), PROBE, pod_routes.PROBE)

    assert sentences(judge(known), Severity.INCONCLUSIVE) == []


def test_two_devices_that_claim_the_gateway() -> None:
    cluster, a, _, _ = two_nodes("flannel")
    cluster.answers(a, 0.1, 0.2, macs=("0a:00:00:00:00:01", "0a:00:00:00:00:99"))

    assert sentences(judge(facts_of(cluster.evidence(), PROBE)), Severity.WARN) == [
        "2 MAC addresses answered ARP requests for the gateway from shop/a on node-1: two devices claim it."
    ]


def test_a_pod_without_default_route_has_no_gateway() -> None:
    cluster, a, _, _ = two_nodes()
    cluster.seen(a, gateway_ip="", gateway_arp=None)
    cluster.inside(a, routes=())

    known = facts_of(cluster.evidence(), PROBE)

    assert (known.of(a)["gateway_ip"], known.of(a)["gateway_kind"]) == ("", "none")
    assert known.why_unobserved(a, "gateway_neigh") == "the pod has no default gateway"


def test_the_gateway_that_was_expected_is_asked_though_no_route_names_it() -> None:
    """A pod without default route: the agent still asks for 169.254.1.1, and it answers (taxonomy L3)."""
    cluster, a, _, _ = two_nodes()
    cluster.seen(a, gateway_ip="")
    cluster.inside(a, routes=())

    known = facts_of(cluster.evidence(), PROBE).of(a)

    assert (known["gateway_arp"], known["gateway_neigh"]) == ("answered", "REACHABLE")


def test_pods_with_the_node_network_have_no_gateway_facts() -> None:
    cluster, _, _, _ = two_nodes()
    host = cluster.pod("shop/host", "node-1", host_network=True)

    assert dict(facts_of(cluster.evidence(), PROBE, pod_arp_table.PROBE).of(host)) == {}


def test_without_any_report_nothing_passes() -> None:
    cluster, _, _, _ = two_nodes()
    for node in ("node-1", "node-2"):
        cluster.unseen(node, "exec into pods is forbidden")

    findings = judge(facts_of(cluster.evidence(), PROBE))

    assert [(each.severity, each.sentence) for each in findings] == [
        (
            Severity.INCONCLUSIVE,
            (
                "The gateway's answer to ARP requests of shop/a, shop/b, shop/c could not be observed: "
                "exec into pods is forbidden."
            ),
        )
    ]
    assert findings[0].subject == facts.CLUSTER


@pytest.mark.parametrize(
    ("device", "carried", "absent"),
    [
        ("cni0", "10.42.1.1", ()),
        ("eth0", "10.42.1.1", ()),
        ("cni0", "10.42.1.99", ("10.42.1.1/24 on cni0",)),
        ("cni0", "", ("10.42.1.1/24 on cni0",)),
        ("cni0", "10.244.9.1", ()),
    ],
    ids=["as it should be", "on another device", "another address", "none at all", "one of another range"],
)
def test_a_gateway_that_no_device_of_the_node_has(device: str, carried: str, absent: tuple[str, ...]) -> None:
    cluster, *_ = two_nodes("flannel")
    addresses = tuple(each for each in cluster.roots["node-1"].addresses if each.dev != "cni0")
    given = (Address(dev=device, ip=carried, prefix_len=24),) if carried else ()
    cluster.root("node-1", addresses=(*addresses, *given))

    known = facts_of(cluster.evidence(), PROBE).of(facts.node("node-1"))

    assert known["gateways_absent"] == absent
    assert known["gateway_restoring"] == tuple(f"ip addr add {one.replace(' on ', ' dev ')}" for one in absent)


def test_the_gateway_of_a_network_that_is_not_the_nodes_may_be_any_router() -> None:
    cluster, *_ = two_nodes("flannel")
    given = cluster.nodes["node-1"]
    cluster.nodes["node-1"] = msgspec.structs.replace(
        given, spec=msgspec.structs.replace(given.spec, pod_cidr="10.99.0.0/24")
    )
    addresses = tuple(each for each in cluster.roots["node-1"].addresses if each.dev != "cni0")
    cluster.root("node-1", addresses=addresses)

    assert facts_of(cluster.evidence(), PROBE).of(facts.node("node-1"))["gateways_absent"] == ()
