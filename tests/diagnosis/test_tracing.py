"""Which flows are followed, how agents start together, and that nothing of it can cost a diagnosis."""

import asyncio
import random
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from bot.agent.report import Filter, NetnsState, NodeReport, Outcome, Task
from bot.agent.traced import NodeTrace, PacketDrop, Sent, Sighting, TraceFlow
from bot.cluster.access.node_agents import WhenReady
from bot.cluster.objects import Container, EnvVar, PodIP
from bot.diagnosis.judge import judge
from bot.diagnosis.knowledge import Knowledge, load_knowledge
from bot.diagnosis.recording import Recording, record
from bot.diagnosis.request import silent
from bot.diagnosis.tracing.follow import followed
from bot.diagnosis.tracing.plan import MAX_FLOWS, plan_trace
from bot.diagnosis.tracing.report import as_sent, localised
from bot.diagnosis.tracing.together import Together
from bot.domain import facts
from bot.domain.errors import AgentError
from bot.domain.facts import Flow, Subject, SubjectKind
from bot.domain.finding import Symptom, SymptomKind
from bot.domain.report import Verdict
from bot.probes.engine.evidence import Evidence
from bot.probes.packet_trace.fate import Fate
from bot.probes.packet_trace.way import Ends
from bot.probes.packet_trace.words import place
from tests.probes.build import FakeCluster, two_nodes
from tests.probes.services import add_service, ask, resolve


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return load_knowledge()


def broken() -> FakeCluster:
    cluster, a, b, c = two_nodes()
    for source, target in ((a, c), (b, c), (c, a)):
        cluster.test(source, "remote-pod", to=target, outcome="timeout")
    cluster.test(a, "local-pod", to=b)
    return cluster


def test_nothing_is_followed_where_nothing_fails() -> None:
    cluster, a, _, c = two_nodes()
    cluster.test(a, "remote-pod", to=c)

    assert plan_trace(cluster.evidence(), random.Random(1)).tasks == {}


def test_failing_flows_are_followed_on_both_nodes_each_by_its_own_fingerprint() -> None:
    plan = plan_trace(broken().evidence(), random.Random(1))

    assert len(plan.flows) == 3
    assert sorted(plan.tasks) == ["node-1", "node-2"]
    assert len({flow.count for flow in plan.flows}) == 3
    assert len({flow.length for flow in plan.flows}) == 3
    ports = [flow.first_port + at for flow in plan.flows for at in range(flow.count)]
    assert len(set(ports)) == len(ports)
    assert max(ports) - min(ports) < 128
    assert {pod.name for pod in plan.tasks["node-2"].pods} == {"c"}
    assert plan.flows[0].addresses == ("10.42.1.10", "10.42.2.10")


def test_connections_over_ipv6_are_followed_from_the_sender_s_own_address_of_that_family() -> None:
    cluster, a, _, c = two_nodes()
    pod = cluster.pods[a]
    status = msgspec.structs.replace(pod.status, pod_ips=(*pod.status.pod_ips, PodIP(ip="fd00::10")))
    cluster.pods[a] = msgspec.structs.replace(pod, status=status)
    cluster.test(a, "endpoint", to=c, ip="fd00:1::10", protocol="tcp", port=80, outcome="timeout")
    cluster.test(a, "remote-pod", to=c, ip="fd00:1::10", protocol="icmp", outcome="timeout")

    flows = plan_trace(cluster.evidence(), random.Random(1)).flows

    assert {flow.protocol for flow in flows} == {"tcp", "icmp"}
    assert {(flow.ip, flow.addresses) for flow in flows} == {("fd00:1::10", ("fd00::10", "fd00:1::10"))}


def test_one_of_each_kind_goes_before_a_second_of_one() -> None:
    cluster = broken()
    a, _, c = sorted(cluster.pods)
    cluster.test(a, "outside", protocol="tcp", port=53, outcome="timeout", name="x")
    cluster.test(a, "dns-pod", to=c, protocol="dns-udp", outcome="timeout")
    cluster.test(a, "outside", protocol="udp", port=53, outcome="timeout", name="silence proves nothing")

    flows = plan_trace(cluster.evidence(), random.Random(1)).flows

    assert len(flows) == MAX_FLOWS
    assert [(flow.protocol, flow.port) for flow in flows[:3]] == [("icmp", 0), ("tcp", 53), ("udp", 53)]


def test_what_a_pod_asked_about_needs_through_its_node_s_network_goes_first_and_the_node_sends_it() -> None:
    cluster, _, _, c = two_nodes()
    edge = cluster.pod("shop/edge", "node-1", host_network=True)
    told = Container(env=(EnvVar(name="DB", value="db:80"),))
    spec = msgspec.structs.replace(cluster.pods[edge].spec, containers=(told,))
    cluster.pods[edge] = msgspec.structs.replace(cluster.pods[edge], spec=spec)
    node = facts.node("node-1")
    for name, ip in (("shop/api", "10.43.0.7"), ("shop/db", "10.43.0.8")):
        ask(cluster, node, add_service(cluster, name, (c,), ip=ip, port=80), "timeout")
    resolve(cluster, edge, "timeout")

    plan = plan_trace(cluster.evidence(), random.Random(1))

    assert [(flow.source, flow.ip) for flow in plan.flows[:2]] == [("node", "10.43.0.8"), ("node", "10.43.0.10")]


def test_what_a_node_sends_shows_what_fails_of_pods_with_its_network() -> None:
    cluster, a, _, c = two_nodes()
    edge = cluster.pod("shop/edge", "node-1", host_network=True)
    flows = (Flow(source=edge, target=c), Flow(source=a, target=c))
    fails = Symptom(
        kind=SymptomKind.SERVICE_UNREACHABLE, subject=facts.service("shop", "db"), hop="service", flows=flows
    )

    (sent,) = as_sent(cluster.evidence(), [fails])

    assert [flow.source for flow in sent.flows] == [facts.node("node-1"), a]


async def test_all_begin_when_the_last_has_come() -> None:
    meeting, order = Together(3), list[str]()

    async def come(name: str) -> None:
        await meeting.arrive()
        order.append(name)

    async with asyncio.TaskGroup() as group:
        group.create_task(come("one"))
        group.create_task(come("two"))
        await asyncio.sleep(0)
        assert order == []
        meeting.leave()  # the third never comes

    assert sorted(order) == ["one", "two"]


class Looks:
    """Agents that tell what they are given; `fails` answers with an error, `hangs` never."""

    def __init__(self, fails: str = "", hangs: str = "") -> None:
        self.fails, self.hangs = fails, hangs
        self.began: list[str] = []

    async def look(self, node: str, task: Task, /, *, when_ready: WhenReady | None = None) -> NodeReport:
        if node == self.fails:
            raise AgentError(node, "it is gone")
        if node == self.hangs:
            await asyncio.Event().wait()
        assert when_ready
        await when_ready()
        self.began.append(node)
        trace = NodeTrace(instrument="bpf", sent=(Sent(flow=1, sent=17),))
        return NodeReport(node=node, started_at="", took_s=1.0, root=NetnsState(), trace=trace)


async def follow(looks: Looks, evidence: Evidence, seconds: float = 30) -> Evidence:
    return await followed(evidence, looks.look, silent, ends_at=asyncio.get_running_loop().time() + seconds)


async def test_each_node_is_asked_once_and_tells_what_it_saw() -> None:
    looks = Looks()

    seen = await follow(looks, broken().evidence())

    assert sorted(looks.began) == sorted(seen.traces) == ["node-1", "node-2"]
    assert len(seen.traced) == 3


async def test_after_a_second_look_the_same_flows_are_not_followed_again() -> None:
    """One exec on each node is all that a trace may cost."""
    looks = Looks()
    seen = await follow(looks, broken().evidence())
    looks.began.clear()

    assert await follow(looks, seen) is seen
    assert looks.began == []


async def test_what_packets_showed_of_a_flow_that_works_by_now_is_forgotten() -> None:
    looks = Looks(fails="node-2")
    seen = await follow(looks, broken().evidence())
    healed = two_nodes()[0].evidence()

    now = await follow(looks, replace(seen, reports=healed.reports))

    assert (now.traced, now.traces, now.unobserved) == ((), {}, ())


async def test_a_flow_that_fails_only_by_now_is_followed() -> None:
    looks = Looks()
    cluster, a, _, c = two_nodes()
    cluster.test(a, "remote-pod", to=c, outcome="timeout")
    seen = await follow(looks, cluster.evidence())
    cluster.test(a, "outside", ip="192.0.2.9", port=443, protocol="tcp", outcome="timeout")

    now = await follow(looks, replace(seen, reports=cluster.evidence().reports))

    assert [each.ip for each in now.traced if each.ip == "192.0.2.9"] == ["192.0.2.9"]
    assert len(now.traced) == 2


async def test_a_node_that_fails_keeps_nobody_waiting() -> None:
    seen = await follow(Looks(fails="node-2"), broken().evidence())

    assert list(seen.traces) == ["node-1"]
    assert [(one.what, "it is gone" in one.why) for one in seen.unobserved] == [("trace on node node-2", True)]


async def test_without_time_nothing_is_followed_and_that_is_said() -> None:
    seen = await follow(Looks(), broken().evidence(), seconds=3)

    assert seen.traced == ()
    assert [one.why for one in seen.unobserved] == ["too little time was left"]


async def test_a_node_that_hangs_costs_a_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.diagnosis.tracing.follow.LIMIT_S", 1.0)
    monkeypatch.setattr("bot.diagnosis.tracing.together.PATIENCE_S", 0.01)

    seen = await follow(Looks(hangs="node-2"), broken().evidence())

    assert list(seen.traces) == ["node-1"]
    assert [one.what for one in seen.unobserved] == ["trace on node node-2"]


def test_a_trace_is_recorded_and_localises_a_verdict_without_a_cause(knowledge: Knowledge) -> None:
    evidence = broken().evidence()
    flow = TraceFlow(
        number=1,
        node="node-1",
        source="uid-a",
        ip="10.42.2.10",
        protocol="icmp",
        addresses=("10.42.1.10", "10.42.2.10"),
        count=17,
        first_port=61440,
    )
    trace = NodeTrace(
        instrument="bpf",
        sent=(Sent(flow=1, sent=17, outcomes={"timeout": 17}),),
        sightings=(
            Sighting(
                flow=1, netns="node", dev="cali1", is_out=False, leg="request", count=17, first_ms=1, src="", dst=""
            ),
        ),
        drops=(PacketDrop(flow=1, netns="node", dev="cali1", reason="UNHEARD_OF", symbol="new_function", count=17),),
    )
    traced = Recording.evidence(
        record(
            replace(evidence, traced=(flow,), traces={"node-1": trace}),
            started_at="",
            took_s=1,
            playbook="namespace",
        )
    )

    report = judge(traced, knowledge, playbook="namespace", started_at="", took_s=1)

    assert [(one.lost, one.hop, one.is_kernels_word) for one in report.trace] == [(17, "node", True)]
    if report.verdict.status == "inconclusive":
        assert report.verdict.hop == "node"
        assert "new_function" in report.verdict.summary


def fate(**fields: Any) -> Fate:
    ends = Ends(source=facts.pod("shop", "a"), source_node="node-1", target=None, target_node="")
    flow = TraceFlow(
        number=1,
        node="node-1",
        source="uid-a",
        ip="10.43.0.1",
        protocol="tcp",
        addresses=(),
        count=17,
        first_port=61440,
    )
    plain: dict[str, Any] = {"flow": flow, "ends": ends, "sent": 17, "lost": 17, "leg": "request", "hop": "node"}
    return Fate(**(plain | fields))


FAILS = Symptom(
    kind=SymptomKind.SERVICE_UNREACHABLE,
    subject=facts.service("shop", "db"),
    hop="service",
    flows=(Flow(source=facts.pod("shop", "a")),),
)
DROP = PacketDrop(flow=1, netns="node", count=17)
REFUSAL = fate(drop=DROP, died_at="here", reason="no endpoints", is_service_refusal=True, culprit="kube-proxy's")
RULE = fate(drop=DROP, died_at="there", reason="a rule", culprit="the rule")
UNNAMED = fate(drop=DROP, died_at="elsewhere", reason="something")
SILENT = fate(last_seen="cali1", reason="vanished")


@pytest.mark.parametrize(
    ("fates", "reported"),
    [
        ([REFUSAL, RULE], RULE),
        ([REFUSAL, UNNAMED], UNNAMED),
        ([UNNAMED, RULE], RULE),
        ([SILENT, UNNAMED], UNNAMED),
        ([SILENT, REFUSAL], REFUSAL),
    ],
)
def test_what_tells_most_stands_in_the_verdict(fates: list[Fate], reported: Fate) -> None:
    unknown = Verdict(status="inconclusive", hop="pod", summary="Something fails.")

    for order in (fates, fates[::-1]):
        decided = localised(unknown, order, [FAILS])
        assert decided.summary == f"Cause unknown, place known: {place(reported)}. Something fails."
        assert decided.hop == "node"


def test_a_certain_cause_needs_no_place_and_an_uncertain_one_gets_it() -> None:
    sure = Verdict(status="broken", cause="x", confidence="confirmed", hop="dns", summary="It is x.")
    likely = Verdict(status="broken", cause="x", confidence="likely", hop="dns", summary="It is x.")
    healthy = Verdict(status="healthy", summary="All is well.")

    assert localised(sure, [RULE], [FAILS]) == sure
    assert localised(healthy, [RULE], [FAILS]) == healthy
    assert localised(likely, [RULE], [FAILS]).summary == f"It is x; traced: {place(RULE)}"
    assert localised(likely, [RULE], [FAILS]).hop == "dns"
    assert localised(likely, [], [FAILS]) == likely


def test_a_place_where_packets_die_that_nobody_misses_is_no_news() -> None:
    """An outside name server that refuses what no pod needs was told as the place of somebody else's trouble."""
    unknown = Verdict(status="inconclusive", hop="gateway", summary="Something fails.")
    elsewhere = Symptom(
        kind=SymptomKind.CROSS_NODE_UNREACHABLE,
        subject=Subject(SubjectKind.PAIR, "node-2>node-3"),
        hop="overlay",
        flows=(Flow(source=facts.pod("shop", "b"), target=facts.pod("shop", "c")),),
    )
    late = Symptom(kind=SymptomKind.GATEWAY_LATE, subject=facts.node("node-2"), hop="gateway")
    here = Symptom(kind=SymptomKind.GATEWAY_LATE, subject=facts.node("node-1"), hop="gateway")

    assert localised(unknown, [RULE], [elsewhere, late]) == unknown
    assert localised(unknown, [RULE], [elsewhere, here]).hop == "node"


CATCHER = Filter(
    dev="veth1", direction="egress", kind="tcx", name="catcher", effect="program", text="tcx program catcher id 1"
)
TAKES = "link-tc-filter-takes-packets"


def cut_off(*hanging: Filter) -> FakeCluster:
    """Nobody reaches shop/c, on whose link a program hangs that has no counter."""
    cluster, a, b, c = two_nodes("flannel")
    for at, node in enumerate(cluster.roots, 1):
        links = tuple(replace(link, mac=f"52:54:00:00:00:{at:02x}") for link in cluster.roots[node].links)
        cluster.root(node, links=links, qdiscs=(), filters=(), has_all_programs=True)
    for pod in cluster.pods:
        cluster.inside(pod, qdiscs=(), filters=(), has_all_programs=True)
    cluster.root("node-2", filters=hanging)
    for source, target in ((a, c), (b, c), (c, a)):
        cluster.test(source, "remote-pod", to=target, outcome="timeout")
    cluster.test(c, "own-node", to=facts.node("node-2"), outcome="timeout")
    cluster.test(facts.node("node-2"), "local-pod", to=c, outcome="timeout")
    cluster.test(a, "local-pod", to=b)
    cluster.test(a, "own-node", to=facts.node("node-1"))
    cluster.test(b, "own-node", to=facts.node("node-1"))
    return cluster


def test_what_a_trace_proves_of_a_state_that_both_looks_show_is_certain(knowledge: Knowledge) -> None:
    evidence = cut_off(CATCHER).evidence()
    ends = ("10.42.1.10", "10.42.2.10")
    about: dict[str, Any] = {"number": 1, "node": "node-1", "source": "uid-a", "ip": ends[1], "protocol": "icmp"}
    flow = TraceFlow(**about, addresses=ends, count=17, first_port=61440)
    drop = PacketDrop(flow=1, netns="node", dev="veth1", reason="TC_EGRESS", symbol="__dev_queue_xmit", count=17)
    traces = {
        "node-1": NodeTrace(instrument="bpf", sent=(Sent(flow=1, sent=17, outcomes={"timeout": 17}),)),
        "node-2": NodeTrace(instrument="bpf", drops=(drop,)),
    }
    reported: dict[str, Any] = {"traced": (flow,), "traces": traces}

    def confidence(seen: Evidence) -> set[str]:
        report = judge(seen, knowledge, playbook="namespace", started_at="", took_s=1)
        return {one.confidence for one in report.causes if one.id == TAKES}

    assert confidence(evidence) == {"possible"}
    assert confidence(replace(evidence, **reported, first=evidence)) == {"confirmed"}
    assert confidence(replace(evidence, **reported, first=cut_off().evidence())) == {"likely"}


@pytest.mark.parametrize(("outcome", "followed_up"), [("reset", 0), ("ECONNREFUSED", 0), ("timeout", 1)])
def test_what_the_outside_itself_refused_or_reset_came_through(outcome: Outcome, followed_up: int) -> None:
    cluster, a, *_ = two_nodes()
    cluster.test(a, "outside", protocol="tcp", ip="198.51.100.10", port=53, outcome=outcome)

    assert len(plan_trace(cluster.evidence(), random.Random(1)).flows) == followed_up
