"""Services with and without endpoints, and why there are none."""

from dataclasses import dataclass
from typing import Any

import pytest

from bot.cluster.objects import (
    Container,
    ContainerPort,
    Deployment,
    DeploymentSpec,
    Endpoint,
    EndpointHints,
    EndpointPort,
    EndpointSlice,
    ForZone,
    ObjectMeta,
    PodSpec,
    PodTemplate,
)
from bot.domain import facts
from bot.domain.facts import Subject
from bot.domain.finding import Finding, Severity, SymptomKind
from bot.domain.report import Unobserved
from bot.probes import service_endpoints
from tests.probes.build import World, facts_of, sentences, two_nodes
from tests.probes.services import add_dns, add_service


def judged(world: World, **snapshot: Any) -> tuple[Any, list[Finding]]:
    world.snapshot_fields |= snapshot
    known = facts_of(world.evidence(), service_endpoints.PROBE)
    return known, list(service_endpoints.PROBE.judge(known))


def labelled(world: World, name: str, node: str = "node-1", *, is_ready: bool = True, **labels: str) -> Subject:
    return world.pod(name, node, labels=labels, is_ready=is_ready, ports=(9004,))


def test_ready_endpoints_pass():
    world, *_ = two_nodes()
    pods = [labelled(world, f"shop/web-{n}", app="web") for n in range(2)]
    web = add_service(world, "shop/web", pods)

    known, findings = judged(world)

    assert known.of(web) == {
        "in_scope": True,
        "is_dns": False,
        "has_selector": True,
        "is_headless": False,
        "local_policy": False,
        "selected_pods": 2,
        "unready_selected": 0,
        "similar_pods": 0,
        "scaled_to_zero": False,
        "port_name_ok": True,
        "target_port_declared": True,
        "endpoints": 2,
        "ready_endpoints": 2,
        "nodes_without_local": (),
        "hints_empty_zone": False,
    }
    assert sentences(findings) == ["Service shop/web has 2 ready endpoints."]
    assert findings[0].severity is Severity.PASS


def test_a_selector_that_takes_nothing():
    world, *_ = two_nodes()
    labelled(world, "shop/web-1", app="webb")
    web = add_service(world, "shop/web")

    _, findings = judged(world)

    assert sentences(findings, Severity.FAIL) == [
        "Service shop/web has no endpoint: its selector matches no pod, though 1 pod nearly fits it."
    ]
    assert findings[0].symptom
    assert (findings[0].symptom.kind, findings[0].symptom.subject) == (SymptomKind.SERVICE_UNREACHABLE, web)


def test_pods_that_are_all_unready():
    world, *_ = two_nodes()
    pods = [labelled(world, f"shop/web-{n}", app="web", is_ready=False) for n in range(3)]
    add_service(world, "shop/web", unready=pods)

    _, findings = judged(world)

    assert sentences(findings, Severity.FAIL) == [
        "Service shop/web has no ready endpoint: it selects 3 pods, none of them ready."
    ]


def test_one_of_two_unready_is_worth_a_note():
    world, *_ = two_nodes()
    good, bad = (labelled(world, f"shop/web-{n}", app="web", is_ready=n == 0) for n in range(2))
    add_service(world, "shop/web", (good,), unready=(bad,))

    _, findings = judged(world)

    assert sentences(findings, Severity.INFO) == ["Service shop/web has 1 of 2 endpoints ready."]
    assert sentences(findings, Severity.FAIL, Severity.WARN) == []


def test_scaled_to_zero_is_a_warning_that_names_the_reason():
    world, *_ = two_nodes()
    add_service(world, "shop/web")
    template = PodTemplate(metadata=ObjectMeta(labels={"app": "web"}), spec=PodSpec())
    deployment = Deployment(
        metadata=ObjectMeta(namespace="shop", name="web"), spec=DeploymentSpec(replicas=0, template=template)
    )

    _, findings = judged(world, deployments=(deployment,))

    assert sentences(findings, Severity.FAIL) == []
    assert sentences(findings, Severity.WARN) == ["Service shop/web has no endpoint: its workload is scaled to zero."]
    assert findings[0].symptom is not None


def test_no_selector_and_nobody_listed_an_endpoint():
    world, *_ = two_nodes()
    add_service(world, "shop/external", selector={})

    _, findings = judged(world)

    assert sentences(findings) == [
        "Service shop/external has no selector, and nobody has listed a ready endpoint for it."
    ]
    assert findings[0].severity is Severity.WARN


def test_a_target_port_by_a_name_that_no_container_has():
    world, *_ = two_nodes()
    labelled(world, "shop/web-1", app="web")
    web = add_service(world, "shop/web", target="grpc")
    world.slices[-1] = EndpointSlice(metadata=world.slices[-1].metadata)

    known, findings = judged(world)

    assert known.of(web)["port_name_ok"] is False
    assert sentences(findings, Severity.FAIL) == [
        (
            "Service shop/web has no endpoint: no container of the 1 pod that it selects has a port of the name in "
            "targetPort."
        )
    ]


def test_a_target_port_that_is_not_declared_is_only_a_hint():
    world, *_ = two_nodes()
    pod = labelled(world, "shop/web-1", app="web")
    web = add_service(world, "shop/web", (pod,), target=9999)

    known, findings = judged(world)

    assert known.of(web)["target_port_declared"] is False
    assert sentences(findings, Severity.INFO) == [
        "Service shop/web has a targetPort that no container behind it declares (which Kubernetes permits)."
    ]


def test_containers_that_declare_no_ports_say_nothing_about_the_target():
    world, *_ = two_nodes()
    pod = world.pod("shop/web-1", "node-1", labels={"app": "web"})
    web = add_service(world, "shop/web", (pod,))

    known, _ = judged(world)

    assert "target_port_declared" not in known.of(web)
    assert known.why_unobserved(web, "target_port_declared") == "the containers declare no ports"


def test_slices_that_could_not_be_read_are_unknown_not_empty():
    world, *_ = two_nodes()
    add_service(world, "shop/web")

    known, findings = judged(
        world, unobserved=(Unobserved(what="endpointslices.discovery.k8s.io", why="Not allowed to list."),)
    )

    assert "ready_endpoints" not in known.of(facts.service("shop", "web"))
    assert sentences(findings, Severity.INCONCLUSIVE) == [
        "The endpoints of shop/web could not be seen: Not allowed to list."
    ]
    assert sentences(findings, Severity.FAIL, Severity.PASS) == []


def test_pods_of_other_namespaces_are_not_counted():
    world, *_ = two_nodes()
    other = add_service(world, "elsewhere/web")

    known, findings = judged(world)

    assert "selected_pods" not in known.of(other)
    assert findings == []


def test_dns_counts_wherever_it_is():
    world, *_ = two_nodes()
    service, _ = add_dns(world, ready=False)

    known, findings = judged(world)

    assert known.of(service)["is_dns"] is True
    assert sentences(findings, Severity.FAIL) == [
        "Service kube-system/kube-dns has no ready endpoint: it selects 1 pod, none of them ready."
    ]


def test_headless_and_externalname():
    world, *_ = two_nodes()
    headless = add_service(world, "shop/peers", ip="None")
    external = add_service(world, "shop/away", ip="", type="ExternalName", external_name="example.com")

    known, findings = judged(world)

    assert known.of(headless)["is_headless"] is True
    assert known.of(external) == {}
    assert [each.subject for each in findings] == [headless]


def test_local_traffic_policy_leaves_nodes_without():
    world, *_ = two_nodes()
    pod = labelled(world, "shop/web-1", "node-1", app="web")
    web = add_service(world, "shop/web", (pod,), internal_traffic_policy="Local")

    known, findings = judged(world)

    assert known.of(web)["nodes_without_local"] == ("node-2",)
    assert sentences(findings, Severity.WARN) == [
        "Service shop/web serves each node only its own endpoints (internalTrafficPolicy Local), and node-2 has none."
    ]


@dataclass(frozen=True)
class _Zone:
    hinted: bool
    zone: str
    expected: bool


@pytest.mark.parametrize("case", [_Zone(True, "b", True), _Zone(True, "a", False), _Zone(False, "b", False)])
def test_zone_hints(case: _Zone):
    """Hints count only where every ready endpoint carries one."""
    world, *_ = two_nodes()
    for name, node in list(world.nodes.items()):
        meta = ObjectMeta(name=name, labels={"topology.kubernetes.io/zone": "a"})
        world.nodes[name] = type(node)(metadata=meta, spec=node.spec, status=node.status)
    web = add_service(world, "shop/web")
    hints = EndpointHints(for_zones=(ForZone(name=case.zone),)) if case.hinted else None
    world.slices[-1] = EndpointSlice(
        metadata=world.slices[-1].metadata,
        ports=(EndpointPort(name="main", port=9004),),
        endpoints=(Endpoint(addresses=("10.42.1.10",), node_name="node-1", hints=hints),),
    )

    known, _ = judged(world)

    assert known.of(web)["hints_empty_zone"] is case.expected


def test_a_port_name_of_any_container_will_do():
    world, *_ = two_nodes()
    pod = labelled(world, "shop/web-1", app="web")
    known_pod = world.pods[pod]
    containers = (
        Container(name="proxy"),
        Container(name="main", ports=(ContainerPort(container_port=1, name="grpc"),)),
    )
    spec = type(known_pod.spec)(node_name="node-1", containers=containers)
    world.pods[pod] = type(known_pod)(metadata=known_pod.metadata, spec=spec, status=known_pod.status)
    web = add_service(world, "shop/web", (pod,), target="grpc")

    known, _ = judged(world)

    assert known.of(web)["port_name_ok"] is True
