"""What commands inside pods prove, when nothing else may look: links, routes, listening sockets."""

from dataclasses import replace

import msgspec
import pytest

from bot.agent.report import Missing, NetnsState
from bot.cluster.objects import Container
from bot.diagnosis.judge import judge
from bot.diagnosis.knowledge import Knowledge, load_knowledge
from bot.domain.facts import Rung, Subject
from bot.domain.report import Report
from tests.probes.build import FakeCluster, Kind, two_nodes
from tests.probes.services import add_service, listening

SHOWN = ("links", "addresses", "routes", "neighbours", "rules")


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return load_knowledge()


def by_commands(cluster: FakeCluster, *, shown: tuple[str, ...] = SHOWN) -> None:
    """Leave of the reports what the exec rung sees: each pod's own namespace, and nothing of the nodes."""
    for node, pods in cluster.pod_reports.items():
        cluster.rungs[node] = Rung.EXEC
        cluster.roots[node] = NetnsState()
        cluster.node_report(node, missing=(Missing(what="root", why="from inside pods the node cannot be seen"),))
        for uid, report in pods.items():
            assert report.state is not None
            default = next((route.via for route in report.state.routes if route.dst == "default"), "")
            pods[uid] = replace(
                report,
                state=replace(report.state, shown=shown),
                gateway_ip=default,
                gateway_arp=None,
                gateway_oracle=None,
                route_to_pod=None,
                host_link="",
            )


def judged(cluster: FakeCluster, knowledge: Knowledge) -> Report:
    return judge(cluster.evidence(), knowledge, playbook="namespace", started_at="2026-01-02T03:04:05Z", took_s=1.5)


def without_routes(cluster: FakeCluster, pod: Subject) -> None:
    """As `ip link set eth0 down` leaves a pod: its routes and neighbours are gone with the link."""
    state = cluster.report_of(pod).state
    assert state is not None
    links = tuple(replace(link, is_up=link.name == "lo", has_carrier=link.name == "lo") for link in state.links)
    cluster.inside(pod, links=links, routes=(), neighbours=())


@pytest.mark.parametrize("cni", ["calico", "flannel", "cilium"])
def test_a_pod_whose_eth0_is_down(cni: Kind, knowledge: Knowledge) -> None:
    cluster, a, *_ = two_nodes(cni)
    without_routes(cluster, a)
    by_commands(cluster)

    report = judged(cluster, knowledge)

    assert (report.verdict.cause, report.verdict.confidence) == ("pod-eth0-down", "confirmed")


def test_what_no_command_showed_is_unknown_and_not_absent(knowledge: Knowledge) -> None:
    cluster, a, *_ = two_nodes()
    without_routes(cluster, a)
    by_commands(cluster, shown=("links",))

    report = judged(cluster, knowledge)

    assert report.verdict.cause is None
    assert "possible: the pod's eth0 is down" in report.verdict.summary


@pytest.mark.parametrize("cni", ["calico", "flannel", "cilium"])
def test_a_pod_without_a_default_route(cni: Kind, knowledge: Knowledge) -> None:
    cluster, a, *_ = two_nodes(cni)
    state = cluster.report_of(a).state
    assert state is not None
    cluster.inside(a, routes=tuple(route for route in state.routes if route.dst != "default"))
    by_commands(cluster)

    report = judged(cluster, knowledge)

    assert (report.verdict.cause, report.verdict.confidence) == ("pod-default-route-missing", "confirmed")


def serving(*sockets: tuple[str, int], declared: int = 9004) -> tuple[FakeCluster, Subject]:
    """Service shop/web before one pod, which listens at these sockets."""
    cluster, *_ = two_nodes()
    pod = cluster.pod("shop/web-1", "node-1", labels={"app": "web"}, ports=(declared,))
    add_service(cluster, "shop/web", (pod,))
    listening(cluster, pod, *sockets)
    return cluster, pod


def contain(cluster: FakeCluster, pod: Subject, *containers: Container) -> None:
    """Replace the pod's containers."""
    made = cluster.pods[pod]
    cluster.pods[pod] = msgspec.structs.replace(made, spec=msgspec.structs.replace(made.spec, containers=containers))


@pytest.mark.parametrize(
    ("sockets", "declared", "cause", "words"),
    [
        (
            (("127.0.0.1", 9004),),
            9004,
            "app-listens-on-loopback",
            "they listen there on their loopback address only, so their kernels refuse each connection.",
        ),
        ((), 9004, "app-not-listening", "they listen on no port at all, so their kernels refuse each connection."),
        (
            (("::", 8080),),
            8080,
            "service-wrong-target-port",
            "they do not listen there but on 8080, so their kernels refuse each connection.",
        ),
    ],
)
def test_a_service_at_whose_port_nobody_listens(
    sockets: tuple[tuple[str, int], ...], declared: int, cause: str, words: str, knowledge: Knowledge
) -> None:
    cluster, _ = serving(*sockets, declared=declared)
    by_commands(cluster)

    report = judged(cluster, knowledge)

    assert (report.verdict.cause, report.verdict.confidence) == (cause, "confirmed")
    sentences = [finding.sentence for finding in report.findings if finding.severity == "fail"]
    assert sentences == [f"Service shop/web sends to a port at which its ready pods do not serve it: {words}"]


def test_a_service_at_whose_port_they_listen_is_not_blamed(knowledge: Knowledge) -> None:
    cluster, _ = serving(("0.0.0.0", 9004))
    by_commands(cluster)

    report = judged(cluster, knowledge)

    assert [finding for finding in report.findings if finding.severity == "fail"] == []


def test_the_port_of_a_headless_service_is_a_word_that_nobody_need_dial(knowledge: Knowledge) -> None:
    cluster, a, *_ = two_nodes()
    add_service(cluster, "shop/web", (a,), ip="None")
    listening(cluster, a)
    by_commands(cluster)

    report = judged(cluster, knowledge)

    assert [finding for finding in report.findings if finding.severity == "fail"] == []


def test_a_meshs_proxy_may_serve_what_nobody_listens_at(knowledge: Knowledge) -> None:
    cluster, pod = serving(("127.0.0.1", 9004))
    contain(cluster, pod, *cluster.pods[pod].spec.containers, Container(name="istio-proxy"))
    by_commands(cluster)

    report = judged(cluster, knowledge)

    assert [finding for finding in report.findings if finding.severity == "fail"] == []


def test_one_endpoint_whose_sockets_were_not_read_may_serve(knowledge: Knowledge) -> None:
    cluster, a, b, _ = two_nodes()
    add_service(cluster, "shop/web", (a, b))
    listening(cluster, a)
    cluster.inside(b, listeners=None)
    by_commands(cluster)

    report = judged(cluster, knowledge)

    assert [finding for finding in report.findings if finding.severity == "fail"] == []
