"""The drawn path: what is marked broken is where the leading cause stands, on whichever end of the flow that is."""

import pytest

from bot.diagnosis.packet_path import packet_path
from bot.domain.cause import Differential, Explanation
from bot.domain.facts import CLUSTER, FactTable, Flow, Rung, Subject, SubjectKind, Value
from bot.domain.finding import Hop, Symptom, SymptomKind
from bot.domain.report import Confidence, PathHop, Verdict
from tests.probes.build import FakeCluster, two_nodes
from tests.probes.services import add_dns


def drawn(hop: Hop, *places: Subject, is_looked_at: bool = True) -> tuple[PathHop, ...]:
    """The path of a flow from shop/a on node-1 to shop/c on node-2, blamed on some places."""
    cluster, source, _, target = two_nodes()
    blamed = Explanation(
        id="x", title="x", taxonomy=(), mechanism="", hop=hop, confidence=Confidence.CONFIRMED, subjects=places
    )
    symptom = Symptom(
        kind=SymptomKind.CROSS_NODE_UNREACHABLE, subject=source, hop=hop, flows=(Flow(source=source, target=target),)
    )
    verdict = Verdict(status="broken", cause="x", confidence="confirmed", hop=hop)
    evidence = cluster.evidence() if is_looked_at else cluster.evidence(access=Rung.API, reports={})
    return packet_path(evidence, FactTable({}), verdict, Differential(selected=(blamed,)), (symptom,))


def reported(
    cluster: FakeCluster, hop: Hop, place: Subject, kind: SymptomKind, *flows: Flow, known: FactTable | None = None
) -> tuple[PathHop, ...]:
    """The path where some flows fail by a cause at a place."""
    blamed = Explanation(
        id="x", title="x", taxonomy=(), mechanism="", hop=hop, confidence=Confidence.CONFIRMED, subjects=(place,)
    )
    symptom = Symptom(kind=kind, subject=place, hop=hop, flows=flows)
    verdict = Verdict(status="broken", cause="x", confidence="confirmed", hop=hop)
    differential = Differential(selected=(blamed,))
    return packet_path(cluster.evidence(), known or FactTable({}), verdict, differential, (symptom,))


def node(name: str) -> Subject:
    return Subject(SubjectKind.NODE, name)


def broken(path: tuple[PathHop, ...]) -> list[str]:
    return [hop.name for hop in path if hop.state == "broken"]


@pytest.mark.parametrize("name", ["node-1", "node-2"])
def test_the_node_that_is_blamed_is_the_one_marked(name: str) -> None:
    assert broken(drawn("node", node(name))) == [name]


def test_a_gateway_is_that_of_the_pod_on_the_blamed_node() -> None:
    assert [hop.name for hop in drawn("gateway", node("node-1"))] == ["shop/a", "169.254.1.1", "node-1"]
    assert [hop.name for hop in drawn("gateway", node("node-2"))] == ["shop/c", "169.254.1.1", "node-2"]


def test_the_way_out_begins_at_a_pod_and_passes_no_other_node() -> None:
    cluster, *_ = two_nodes()
    path = reported(cluster, "node", node("node-1"), SymptomKind.OUTSIDE_UNREACHABLE)

    assert [f"{hop.name} {hop.state}" for hop in path] == [
        "shop/a ok", "169.254.1.1 ok", "node-1 broken", "outside unknown",
    ]  # fmt: skip


def test_nothing_lies_between_a_node_and_itself() -> None:
    cluster, source, other, _ = two_nodes()
    here = node("node-1")

    to_pod = reported(cluster, "node", here, SymptomKind.SERVICE_UNREACHABLE, Flow(source=source, target=other))
    to_node = reported(cluster, "node", here, SymptomKind.SERVICE_UNREACHABLE, Flow(source=source, target_node=here))

    assert [hop.name for hop in to_pod] == ["shop/a", "169.254.1.1", "node-1", "shop/b"]
    assert [hop.name for hop in to_node] == ["shop/a", "169.254.1.1", "node-1"]


def test_an_overlay_breaks_between_the_nodes() -> None:
    path = drawn("overlay", Subject(SubjectKind.PAIR, "node-1>node-2"))

    assert [hop.name for hop in path] == ["shop/a", "169.254.1.1", "node-1", "overlay", "node-2", "shop/c"]
    assert [hop.state for hop in path] == ["ok", "ok", "ok", "broken", "unknown", "unknown"]


def test_large_packets_are_drawn_between_pods_that_were_asked_about() -> None:
    """Sizes are tested between nodes: no pod is an end of that flow, and yet pods are whom it hurts."""
    cluster, *_ = two_nodes()
    place = Subject(SubjectKind.PAIR, "node-1>node-2")
    flow = Flow(source=node("node-1"), target=node("node-2"))
    path = reported(cluster, "overlay", place, SymptomKind.LARGE_PACKETS_LOST, flow)

    assert [hop.name for hop in path] == ["shop/a", "169.254.1.1", "node-1", "overlay", "node-2", "shop/c"]


def test_a_nodes_own_packets_pass_no_pod() -> None:
    cluster, _, _, target = two_nodes()
    flow = Flow(source=node("node-1"), target=target)

    path = reported(cluster, "node", node("node-1"), SymptomKind.ENDPOINT_UNREACHABLE, flow)

    assert path[0].name == "node-1"


def test_of_flows_that_show_it_one_of_the_namespace_is_drawn() -> None:
    cluster, source, _, target = two_nodes()
    stranger = cluster.pod("argo/a", "node-1")
    flows = [Flow(source=stranger, target=target), Flow(source=source, target=target)]

    path = reported(cluster, "node", node("node-1"), SymptomKind.CROSS_NODE_UNREACHABLE, *flows)

    assert path[0].name == "shop/a"


UP: dict[str, Value] = {"dns_service_state": "ok", "dns_pods_state": "ok", "dns_outside_state": "ok"}


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        (
            {"dns_outside_state": "timeout"},
            "shop/a ok, kube-system/kube-dns ok, kube-system/coredns-1 ok, resolver outside broken",
        ),
        ({"dns_service_state": "timeout"}, "shop/a ok, kube-system/kube-dns broken, kube-system/coredns-1 unknown"),
        (
            {"dns_service_state": "timeout", "dns_pods_state": "timeout"},
            "shop/a ok, kube-system/kube-dns unknown, kube-system/coredns-1 broken",
        ),
    ],
)  # fmt: skip
def test_a_lookup_ends_at_the_first_server_that_does_not_answer(states: dict[str, Value], expected: str) -> None:
    path = lookup(CLUSTER, FactTable({CLUSTER: UP | states}))

    assert ", ".join(f"{hop.name} {hop.state}" for hop in path) == expected


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({"nameserver_matches": False, "nameservers": ("10.96.0.10",)}, ["shop/a", "nameserver 10.96.0.10"]),
        ({"nameservers_silent": ("169.254.20.10",)}, ["shop/a", "nameserver 169.254.20.10"]),
        ({"names_not_found": ("web",), "dns_service": "ok"}, ["resolv.conf of shop/a"]),
        ({"dns_service": "timeout", "dns_pods": "ok"}, ["shop/a", "kube-system/kube-dns"]),
    ],
)
def test_a_pods_own_trouble_is_not_that_of_the_servers(known: dict[str, Value], expected: list[str]) -> None:
    pod_a = Subject(SubjectKind.POD, "shop/a")
    path = lookup(pod_a, FactTable({CLUSTER: UP, pod_a: known}))

    assert [hop.name for hop in path if hop.state != "unknown"] == expected
    assert path[len(expected) - 1].state == "broken"


def lookup(place: Subject, known: FactTable) -> tuple[PathHop, ...]:
    """The path of a lookup by shop/a, blamed on a place."""
    cluster, source, *_ = two_nodes()
    add_dns(cluster)
    return reported(cluster, "dns", place, SymptomKind.DNS_FAILING, Flow(source=source), known=known)


def test_hops_at_which_nobody_looked_are_not_called_good() -> None:
    assert [hop.state for hop in drawn("service", is_looked_at=False)] == ["unknown"] * 3 + ["broken", "unknown"]


def test_what_a_pod_with_its_node_s_network_sends_passes_no_gateway() -> None:
    cluster, *_ = two_nodes()
    edge = cluster.pod("shop/edge", "node-1", host_network=True)
    flow = Flow(source=edge, target=node("node-2"))

    path = reported(cluster, "node", node("node-1"), SymptomKind.OUTSIDE_UNREACHABLE, flow)

    assert [hop.name for hop in path] == ["shop/edge", "node-1", "node-2"]
    assert broken(path) == ["node-1"]
