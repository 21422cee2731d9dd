"""Services that pods dial by a node port, an externalIP or a balancer's address, judged by where these lead."""

from dataclasses import dataclass

import msgspec
import pytest

from bot.agent.report import Outcome
from bot.cluster.objects import Container, EnvVar, ServicePort
from bot.cluster.objects.services import LoadBalancerIngress, LoadBalancerStatus, ServiceStatus
from bot.diagnosis.agent_tasks import plan_tasks
from bot.diagnosis.untried import untried_flows
from bot.domain import facts
from bot.domain.facts import FactTable, Subject
from bot.domain.finding import Finding, Severity
from bot.probes import cluster_ip, pod_sandbox, service_endpoints
from bot.probes.services.needed import clients_of, outside_dials
from bot.probes.services.unready import unready
from tests.probes.build import FakeCluster, facts_of, sentences, two_nodes
from tests.probes.services import add_service

NODE_1, NODE_2, BALANCER, EXTERNAL = "172.30.0.11", "172.30.0.12", "192.0.2.8", "192.0.2.7"


@dataclass
class Shop:
    """shop/a on node-1 is told where shop/web is, whose one pod runs on node-2."""

    cluster: FakeCluster
    client: Subject
    service: Subject

    def test(self, ip: str, port: int, outcome: Outcome) -> None:
        self.cluster.test(self.client, "dial", outcome=outcome, protocol="tcp", ip=ip, port=port, name="shop/web:80")

    def judged(self) -> tuple[FactTable, list[Finding]]:
        probes = (pod_sandbox.PROBE, service_endpoints.PROBE, cluster_ip.PROBE)
        known = facts_of(self.cluster.evidence(), *probes)
        return known, list(cluster_ip.PROBE.judge(known))


def shop(url: str, policy: str = "Local") -> Shop:
    cluster, a, _, c = two_nodes()
    service = add_service(cluster, "shop/web", (c,), port=80, target=8080, external_traffic_policy=policy)
    made = cluster.services[-1]
    spec = msgspec.structs.replace(
        made.spec,
        ports=(ServicePort(name="main", port=80, target_port=8080, node_port=30080),),
        external_ips=(EXTERNAL,),
    )
    status = ServiceStatus(load_balancer=LoadBalancerStatus(ingress=(LoadBalancerIngress(ip=BALANCER),)))
    cluster.services[-1] = msgspec.structs.replace(made, spec=spec, status=status)
    told = Container(name="main", env=(EnvVar(name="WEB_URL", value=url),))
    pod = cluster.pods[a]
    cluster.pods[a] = msgspec.structs.replace(pod, spec=msgspec.structs.replace(pod.spec, containers=(told,)))
    return Shop(cluster, a, service)


@pytest.mark.parametrize("url", [f"http://{EXTERNAL}:9999", f"http://{NODE_1}:9999"])
def test_a_port_that_the_service_does_not_have_there_is_not_taken_for_its_own(url: str):
    assert outside_dials(shop(url).cluster.evidence()) == {}


@pytest.mark.parametrize(
    ("url", "dialled"),
    [
        (f"http://{NODE_1}:30080", (NODE_1, 30080)),
        (f"http://{EXTERNAL}", (EXTERNAL, 80)),
        (f"http://{BALANCER}:80", (BALANCER, 80)),
    ],
    ids=["a node port", "an externalIP", "a balancer's address"],
)
def test_such_an_address_is_needed_by_itself_and_tried(url: str, dialled: tuple[str, int]):
    made = shop(url)
    evidence = made.cluster.evidence()

    (flow,) = outside_dials(evidence)[made.service]

    assert (flow.source, flow.address, flow.at_port, flow.port) == (made.client, *dialled, 80)
    assert made.client not in clients_of(evidence).get((made.service, 80), {}), "the ClusterIP is another way"
    targets = plan_tasks(evidence, deadline_s=10)["node-1"].targets
    assert dialled in {(each.ip, each.port) for each in targets if each.purpose == "dial"}


def test_a_node_with_an_endpoint_is_tried_for_contrast():
    tasks = plan_tasks(shop(f"http://{NODE_1}:30080").cluster.evidence(), deadline_s=10)

    dialled = {(each.ip, each.port) for each in tasks["node-1"].targets if each.purpose == "dial"}
    assert dialled == {(NODE_1, 30080), (NODE_2, 30080)}


def test_a_node_port_without_an_endpoint_behind_it():
    made = shop(f"http://{NODE_1}:30080")
    made.test(NODE_1, 30080, "timeout")
    made.test(NODE_2, 30080, "ok")

    known, findings = made.judged()

    assert (
        known.of(made.service).items()
        >= {
            "external_local": True,
            "outside_reach": "timeout",
            "outside_nodes_without": ("node-1",),
            "outside_reach_served": "ok",
        }.items()
    )
    (sentence,) = sentences(findings, Severity.FAIL)
    assert sentence == (
        "shop/web is not reached by an address that pods are configured to dial: "
        "172.30.0.11:30080 from shop/a got no answer."
    )


def test_one_that_fails_at_a_node_with_an_endpoint_is_not_the_policys():
    made = shop(f"http://{NODE_2}:30080")
    made.test(NODE_2, 30080, "timeout")

    known, _ = made.judged()

    assert known.of(made.service)["outside_nodes_without"] == ()
    assert known.of(made.service)["outside_reach_served"] == "timeout"


def test_what_serves_is_no_finding():
    made = shop(f"http://{NODE_1}:30080", policy="Cluster")
    made.test(NODE_1, 30080, "ok")

    known, findings = made.judged()

    assert known.of(made.service)["outside_reach"] == "ok"
    assert sentences(findings, Severity.FAIL) == []


def test_one_that_nobody_tried_is_not_known_to_work():
    made = shop(f"http://{NODE_1}:30080")
    assert [flow.at_port for flow in untried_flows(made.cluster.evidence())] == [30080]

    made.test(NODE_1, 30080, "ok")
    assert list(untried_flows(made.cluster.evidence())) == []


def test_a_pod_that_dials_it_in_vain_is_not_unready_of_its_own():
    made = shop(f"http://{BALANCER}:80")
    made.test(BALANCER, 80, "timeout")
    evidence = made.cluster.evidence()

    why = unready(evidence, made.client, evidence.pods[made.client])

    assert why is not None
    assert why.why == "needs"
    assert why.lacks == (f"{BALANCER}:80 of Service shop/web got no answer",)


@pytest.mark.parametrize(
    ("ranges", "left_out"),
    [(("198.51.100.0/24",), 1), (("198.51.100.0/24", "10.42.0.0/16"), 0), ((), 0)],
    ids=["clients outside alone", "pods as well", "no ranges"],
)
def test_pods_in_none_of_the_ranges_of_a_balancer_are_told(ranges: tuple[str, ...], left_out: int):
    made = shop(f"http://{BALANCER}:80", policy="Cluster")
    service = made.cluster.services[-1]
    spec = msgspec.structs.replace(service.spec, load_balancer_source_ranges=ranges)
    made.cluster.services[-1] = msgspec.structs.replace(service, spec=spec)
    made.test(BALANCER, 80, "timeout")

    known, _ = made.judged()

    assert len(known.of(made.service)["outside_left_out"]) == left_out  # type: ignore[arg-type]


def test_ranges_of_a_balancer_say_nothing_of_node_ports():
    made = shop(f"http://{NODE_1}:30080", policy="Cluster")
    service = made.cluster.services[-1]
    spec = msgspec.structs.replace(service.spec, load_balancer_source_ranges=("198.51.100.0/24",))
    made.cluster.services[-1] = msgspec.structs.replace(service, spec=spec)
    made.test(NODE_1, 30080, "timeout")

    known, _ = made.judged()

    assert known.of(made.service)["outside_left_out"] == ()


# Pods that share their node's network


def on_the_node(url: str, policy: str = "Cluster") -> Shop:
    """shop/a shares the network of node-1, so that node-1 dials for it."""
    made = shop(url, policy)
    pod = made.cluster.pods[made.client]
    spec = msgspec.structs.replace(pod.spec, host_network=True)
    made.cluster.pods[made.client] = msgspec.structs.replace(pod, spec=spec)
    return made


def by_node(made: Shop, node: str, ip: str, outcome: Outcome) -> None:
    source = facts.node(node)
    made.cluster.test(source, "dial", outcome=outcome, protocol="tcp", ip=ip, port=30080, name="shop/web:80")


@pytest.mark.parametrize("ip", [NODE_1, NODE_2], ids=["of its own node", "of another"])
def test_a_node_port_is_dialled_by_the_node_whose_network_a_pod_shares(ip: str):
    made = on_the_node(f"http://{ip}:30080")

    targets = plan_tasks(made.cluster.evidence(), deadline_s=10)["node-1"].targets

    found = [each for each in targets if each.purpose == "dial" and each.ip == ip]
    assert [(each.name, each.port) for each in found if ip == NODE_2 or "node" in each.sources] == [
        ("shop/web:80", 30080)
    ]


def test_one_that_its_node_does_not_reach_fails():
    made = on_the_node(f"http://{NODE_2}:30080")
    by_node(made, "node-1", NODE_2, "timeout")
    by_node(made, "node-2", NODE_2, "ok")

    known, findings = made.judged()

    assert known.of(made.service)["outside_reach"] == "timeout"
    assert known.of(made.service)["outside_reach_served"] == "timeout"
    (finding,) = [each for each in findings if each.severity is Severity.FAIL]
    assert finding.sentence.endswith("172.30.0.12:30080 from shop/a got no answer.")
    assert finding.symptom is not None
    assert [(flow.source, flow.target) for flow in finding.symptom.flows] == [(made.client, facts.node("node-2"))]


def test_what_another_node_does_not_reach_is_not_its_own_trouble():
    made = on_the_node(f"http://{NODE_2}:30080")
    by_node(made, "node-1", NODE_2, "ok")
    by_node(made, "node-2", NODE_2, "timeout")

    known, findings = made.judged()

    assert known.of(made.service)["outside_reach"] == "ok"
    assert sentences(findings, Severity.FAIL) == []
