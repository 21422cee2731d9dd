"""Addresses that pods are configured to dial and that no Service stands behind: agents of nodes, machines outside."""

from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from bot.agent.report import Listener, Outcome
from bot.causes.reachability import Reachability
from bot.cluster.objects import Container, ContainerPort, EnvVar, NetworkPolicy, ObjectMeta
from bot.cluster.objects.policies import IPBlock, NetworkPolicyEgressRule, NetworkPolicyPeer, NetworkPolicySpec
from bot.diagnosis.agent_tasks import plan_tasks
from bot.domain import facts
from bot.domain.facts import FactTable, Subject
from bot.domain.finding import Finding, Severity, SymptomKind
from bot.probes import dialled_addresses, pod_sandbox
from bot.probes.services.unready import unready
from tests.probes.build import FakeCluster, facts_of
from tests.probes.services import add_service

NODE_1, OUTSIDE, FAR = "172.30.0.11", "192.0.2.20", "10.42.2.10"
NODE = facts.node("node-1")
SSH = Listener(protocol="tcp", ip="0.0.0.0", port=22)


@dataclass
class Shop:
    """shop/a on node-1 is configured to dial one address."""

    cluster: FakeCluster
    pod: Subject
    at: tuple[str, int]

    def tried(self, pod: Outcome, node: Outcome | None = None) -> None:
        """What comes of it, from the pod and from its node."""
        ip, port = self.at
        outcomes: dict[Subject, Outcome | None] = {self.pod: pod, NODE: node}
        for source, outcome in outcomes.items():
            if outcome is not None:
                self.cluster.test(
                    source, "dial", outcome=outcome, protocol="tcp", ip=ip, port=port, name=f"{ip}:{port}"
                )

    def judged(self) -> tuple[FactTable, list[Finding]]:
        known = facts_of(self.cluster.evidence(), dialled_addresses.PROBE)
        return known, list(dialled_addresses.PROBE.judge(known))


def shop(ip: str, port: int = 8126, *, is_ready: bool = False) -> Shop:
    cluster = FakeCluster("calico")
    cluster.node("node-1")
    cluster.node("node-2")
    pod = cluster.pod("shop/a", "node-1", is_ready=is_ready)
    cluster.pod("shop/b", "node-1")
    told = Container(name="main", env=(EnvVar(name="AGENT", value=f"{ip}:{port}"),))
    spec = msgspec.structs.replace(cluster.pods[pod].spec, containers=(told,))
    cluster.pods[pod] = msgspec.structs.replace(cluster.pods[pod], spec=spec)
    for node in ("node-1", "node-2"):
        cluster.root(node, listeners=(SSH,))
    return Shop(cluster, pod, (ip, port))


def agent(made: Shop, node: str, **container: Any) -> None:
    """The DaemonSet's pod on a node."""
    subject = made.cluster.pod(f"ops/agent-{node}", node, host_network=True)
    spec = made.cluster.pods[subject].spec
    spec = msgspec.structs.replace(spec, containers=(Container(**container),), host_network=not container)
    made.cluster.pods[subject] = msgspec.structs.replace(made.cluster.pods[subject], spec=spec)
    if not container:
        made.cluster.root(node, listeners=(SSH, Listener(protocol="tcp", ip="::", port=made.at[1])))


@pytest.mark.parametrize("ip", [NODE_1, OUTSIDE])
def test_such_an_address_is_tried_from_the_pod_that_dials_it_and_from_its_node_alone(ip: str):
    made = shop(ip)

    tasks = plan_tasks(made.cluster.evidence(), deadline_s=10)

    (target,) = [each for each in tasks["node-1"].targets if each.purpose == "dial"]
    assert (target.ip, target.port, target.sources, target.from_node_too) == (ip, 8126, ("uid-a",), True)
    assert not [each for each in tasks["node-2"].targets if each.purpose == "dial"]


def test_what_is_sent_over_udp_is_not_tried_over_tcp():
    targets = plan_tasks(shop(OUTSIDE, 8125).cluster.evidence(), deadline_s=10)["node-1"].targets

    assert not [each for each in targets if each.purpose == "dial"]


def test_a_port_of_the_node_that_nothing_serves_is_told_from_nodes_where_something_does():
    made = shop(NODE_1)
    agent(made, "node-2")
    made.tried("ECONNREFUSED")

    known, (finding,) = made.judged()

    assert known.of(made.pod)["host_ports_unserved"] == ("172.30.0.11:8126 (node node-1)",)
    assert known.of(made.pod)["host_ports_served_at"] == ("node-2 (a process of the node)",)
    assert finding.severity is Severity.FAIL
    assert finding.symptom is not None
    assert (finding.symptom.kind, finding.symptom.hop) == (SymptomKind.ADDRESS_UNREACHABLE, "application")
    why = unready(made.cluster.evidence(), made.pod, made.cluster.pods[made.pod])
    assert why is not None
    assert why.why == "needs", "its being unready is no matter of its own"


@pytest.mark.parametrize(
    ("port", "unknown"), [(30544, ("30544 (shop/web has 30543)",)), (8126, ())], ids=["node-port", "an-agents"]
)
def test_a_node_port_that_no_service_has_is_told_from_a_port_of_an_agent(port: int, unknown: tuple[str, ...]):
    made = shop(NODE_1, port)
    add_service(made.cluster, "shop/web", type="NodePort")
    service = made.cluster.services[-1]
    ports = tuple(msgspec.structs.replace(each, node_port=30543) for each in service.spec.ports)
    spec = msgspec.structs.replace(service.spec, ports=ports)
    made.cluster.services[-1] = msgspec.structs.replace(service, spec=spec)
    made.tried("ECONNREFUSED")

    known, _ = made.judged()

    assert known.of(made.pod)["host_ports_unserved"] == (f"172.30.0.11:{port} (node node-1)",)
    assert known.of(made.pod)["node_ports_unknown"] == unknown


def test_what_listens_on_the_nodes_loopback_alone_serves_no_pod():
    made = shop(NODE_1)
    made.cluster.root("node-1", listeners=(SSH, Listener(protocol="tcp", ip="127.0.0.1", port=8126)))
    made.tried("ECONNREFUSED")

    known, _ = made.judged()

    assert known.of(made.pod)["host_ports_unserved"] == ("172.30.0.11:8126 (node node-1)",)


def test_a_host_port_is_served_though_no_socket_shows_it():
    made = shop(NODE_1)
    agent(made, "node-1", name="agent", ports=(ContainerPort(container_port=80, host_port=8126),))
    made.tried("timeout")

    known, (finding,) = made.judged()

    assert known.of(made.pod)["host_ports_unserved"] == ()
    assert finding.symptom is not None, "it does not answer all the same"


def test_where_sockets_of_the_node_were_not_read_nothing_is_called_unserved():
    made = shop(NODE_1)
    made.cluster.root("node-1", listeners=None)
    made.tried("ECONNREFUSED")

    known, _ = made.judged()

    assert known.of(made.pod)["host_ports_unserved"] == ()
    assert known.of(made.pod)["addresses_failing"] != ()


@pytest.mark.parametrize(
    ("by_node", "dead", "lost_here", "kind"),
    [
        ("timeout", 1, 0, SymptomKind.ADDRESS_UNREACHABLE),
        ("ok", 0, 1, SymptomKind.OUTSIDE_UNREACHABLE),
        (None, 0, 0, SymptomKind.ADDRESS_UNREACHABLE),
    ],
    ids=["the node gets no answer either", "the node does", "the node did not try"],
)
def test_the_pods_own_node_tells_a_dead_machine_from_a_lost_way(
    by_node: Outcome | None, dead: int, lost_here: int, kind: SymptomKind
):
    made = shop(OUTSIDE, 5432)
    made.tried("timeout", by_node)

    known, (finding,) = made.judged()

    assert len(known.of(made.pod)["addresses_dead"]) == dead  # type: ignore[arg-type]
    assert len(known.of(made.pod)["addresses_lost_here"]) == lost_here  # type: ignore[arg-type]
    assert finding.symptom is not None
    assert finding.symptom.kind is kind


def test_a_ready_pod_may_do_without_it():
    made = shop(OUTSIDE, 5432, is_ready=True)
    made.tried("timeout", "timeout")

    _, (finding,) = made.judged()

    assert (finding.severity, finding.symptom) == (Severity.INFO, None)


def test_what_its_node_reaches_a_ready_pod_is_kept_from():
    made = shop(OUTSIDE, 5432, is_ready=True)
    made.tried("timeout", "ok")

    _, (finding,) = made.judged()

    assert finding.severity is Severity.FAIL
    assert finding.sentence.endswith("Its node reaches it.")
    assert finding.symptom is not None
    assert finding.symptom.kind is SymptomKind.OUTSIDE_UNREACHABLE


def test_what_its_own_node_gets_from_itself_is_no_contrast():
    """Our agent may ask the node itself for other pods there."""
    made = shop(NODE_1)
    made.cluster.root("node-1", listeners=(SSH, Listener(protocol="tcp", ip="0.0.0.0", port=8126)))
    made.tried("timeout", "ok")

    known, _ = made.judged()

    assert known.of(made.pod)["addresses_lost_here"] == ()


# Pods that share their node's network


def edge(ip: str, port: int = 5432, *, is_ready: bool = True, **pod: Any) -> Shop:
    """shop/edge shares the network of node-1; shop/far is a pod of node-2 at 10.42.2.10."""
    cluster = FakeCluster("calico")
    for number in (1, 2, 3, 4):
        cluster.node(f"node-{number}")
    cluster.pod("shop/far", "node-2")
    made = cluster.pod("shop/edge", "node-1", host_network=True, is_ready=is_ready, **pod)
    told = Container(name="main", args=(f"--peer={ip}:{port}",))
    spec = msgspec.structs.replace(cluster.pods[made].spec, containers=(told,))
    cluster.pods[made] = msgspec.structs.replace(cluster.pods[made], spec=spec)
    return Shop(cluster, made, (ip, port))


def by_nodes(made: Shop, **outcomes: Outcome) -> None:
    """What comes of it from node_1, node_2, …"""
    ip, port = made.at
    for node, outcome in outcomes.items():
        source = facts.node(node.replace("_", "-"))
        made.cluster.test(source, "dial", outcome=outcome, protocol="tcp", ip=ip, port=port, name=f"{ip}:{port}")


@pytest.mark.parametrize(
    ("ip", "asked"),
    [
        (OUTSIDE, {"node-1", "node-2", "node-3"}),
        (FAR, {"node-1", "node-2", "node-3"}),
        (NODE_1, {"node-1", "node-2", "node-3"}),
        ("172.30.0.14", {"node-1", "node-2", "node-3", "node-4"}),
    ],
    ids=["outside", "a pod", "its own node", "another node"],
)
def test_its_node_dials_for_it_and_others_for_contrast(ip: str, asked: set[str]):
    tasks = plan_tasks(edge(ip).cluster.evidence(), deadline_s=10)

    found = {(node, target.sources) for node, task in tasks.items() for target in task.targets if target.ip == ip}
    assert {(node, sources) for node, sources in found if sources} == {(node, ("node",)) for node in asked}


@pytest.mark.parametrize(
    ("ip", "kind", "target"),
    [
        (OUTSIDE, SymptomKind.OUTSIDE_UNREACHABLE, None),
        ("172.30.0.13", SymptomKind.OUTSIDE_UNREACHABLE, facts.node("node-3")),
        (FAR, SymptomKind.CROSS_NODE_UNREACHABLE, facts.pod("shop", "far")),
    ],
    ids=["outside", "another node", "a pod of another node"],
)
def test_what_other_nodes_reach_and_its_own_does_not_is_a_fault(ip: str, kind: SymptomKind, target: Subject | None):
    made = edge(ip)
    by_nodes(made, node_1="timeout", node_2="ok")

    known, (finding,) = made.judged()

    assert finding.severity is Severity.FAIL
    assert finding.sentence.startswith("Pod shop/edge is ready, and an address that it is configured to dial does not")
    assert finding.symptom is not None
    assert finding.symptom.kind is kind
    assert [(flow.source, flow.target) for flow in finding.symptom.flows] == [(made.pod, target)]
    assert known.of(made.pod)["addresses_dead"] == ()


def test_a_cause_of_it_stands_at_its_node_or_on_the_way():
    made = edge(FAR)
    by_nodes(made, node_1="timeout", node_2="ok")
    known = facts_of(made.cluster.evidence(), pod_sandbox.PROBE, dialled_addresses.PROBE)
    (finding,) = dialled_addresses.PROBE.judge(known)
    assert finding.symptom is not None
    assert finding.sentence.endswith("Other nodes reach it.")

    scope = Reachability(known).scope(finding.symptom)

    assert scope.is_explained_by(frozenset({NODE}))
    assert scope.is_explained_by(frozenset({facts.pair("node-1", "node-2")}))


@pytest.mark.parametrize(
    ("made", "outcomes", "severity"),
    [
        ({}, {"node_1": "ok", "node_2": "ok"}, None),
        ({}, {"node_1": "timeout", "node_2": "timeout"}, Severity.INFO),
        ({}, {"node_1": "timeout"}, Severity.INFO),
        ({"is_ready": False}, {"node_1": "timeout", "node_2": "timeout"}, Severity.FAIL),
        ({}, {"node_2": "timeout"}, None),
        ({"phase": "Pending"}, {"node_1": "timeout", "node_2": "ok"}, None),
    ],
    ids=["it answers", "it answers nobody", "nobody else tried", "it is missed", "not tried", "it does not run"],
)
def test_what_answers_nobody_it_may_do_without(
    made: dict[str, Any], outcomes: dict[str, Outcome], severity: Severity | None
):
    shop = edge(OUTSIDE, **made)
    by_nodes(shop, **outcomes)

    known, findings = shop.judged()

    assert [each.severity for each in findings] == ([severity] if severity else [])
    is_dead = severity is not None and "node_2" in outcomes
    assert bool(known.of(shop.pod).get("addresses_dead")) is is_dead


def test_a_node_port_that_others_are_answered_is_served_though_no_socket_shows_it():
    made = edge("172.30.0.12", 30543)
    made.cluster.root("node-2", listeners=(SSH,))
    by_nodes(made, node_1="timeout", node_3="ok")

    known, (finding,) = made.judged()

    assert known.of(made.pod)["host_ports_unserved"] == ()
    assert finding.severity is Severity.FAIL


def test_what_answers_is_not_mentioned():
    made = shop(OUTSIDE, 5432)
    made.tried("ok", "ok")

    known, findings = made.judged()

    assert (known.of(made.pod)["addresses_failing"], findings) == ((), [])


def test_what_was_not_tried_is_unknown():
    known, findings = shop(OUTSIDE, 5432).judged()

    assert "addresses_failing" not in known.of(facts.pod("shop", "a"))
    assert findings == []


@pytest.mark.parametrize(("block", "is_denied"), [("10.9.0.0/16", True), ("192.0.2.0/24", False)])
def test_an_egress_policy_is_held_against_the_address_itself(block: str, is_denied: bool):  # noqa: FBT001
    made = shop(OUTSIDE, 5432)
    rule = NetworkPolicyEgressRule(to=(NetworkPolicyPeer(ip_block=IPBlock(cidr=block)),))
    policy = NetworkPolicy(
        metadata=ObjectMeta(namespace="shop", name="out"),
        spec=NetworkPolicySpec(policy_types=("Egress",), egress=(rule,)),
    )
    made.cluster.snapshot_fields["network_policies"] = (policy,)
    made.tried("timeout", "timeout")

    known, _ = made.judged()

    assert known.of(made.pod)["addresses_denying"] == (("shop/out",) if is_denied else ())
    assert bool(known.of(made.pod)["addresses_dead"]) is not is_denied
