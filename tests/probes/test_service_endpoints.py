"""Services with and without endpoints, and why there are none."""

from typing import Any

import msgspec
import pytest

from bot.cluster.objects import (
    Container,
    ContainerPort,
    Deployment,
    DeploymentSpec,
    EndpointSlice,
    EnvVar,
    ObjectMeta,
    PodSpec,
    PodTemplate,
)
from bot.domain import facts
from bot.domain.facts import Subject
from bot.domain.finding import Finding, Severity, SymptomKind
from bot.probes import service_endpoints
from tests.probes.build import FakeCluster, facts_of, sentences, two_nodes, unread
from tests.probes.services import add_dns, add_service


def judged(cluster: FakeCluster, **snapshot: Any) -> tuple[Any, list[Finding]]:
    cluster.snapshot_fields |= snapshot
    known = facts_of(cluster.evidence(), service_endpoints.PROBE)
    return known, list(service_endpoints.PROBE.judge(known))


def labelled(cluster: FakeCluster, name: str, node: str = "node-1", *, is_ready: bool = True, **labels: str) -> Subject:
    return cluster.pod(name, node, labels=labels, is_ready=is_ready, ports=(9004,))


def test_ready_endpoints_pass():
    cluster, *_ = two_nodes()
    pods = [labelled(cluster, f"shop/web-{n}", app="web") for n in range(2)]
    web = add_service(cluster, "shop/web", pods)

    known, findings = judged(cluster)

    assert known.of(web) == {
        "in_scope": True,
        "is_dns": False,
        "is_used": False,
        "has_selector": True,
        "selector": "app=web",
        "is_headless": False,
        "local_policy": False,
        "selected_pods": 2,
        "unready_selected": 0,
        "terminating_selected": 0,
        "family_served": True,
        "publishes_unready": (),
        "awaits_itself": (),
        "ports_misnamed": (),
        "similar_pods": 0,
        "scaled_to_zero": False,
        "scaled_deployment": "",
        "slices_astray": (),
        "port_name_ok": True,
        "target_port_declared": True,
        "endpoints": 2,
        "ready_endpoints": 2,
        "nodes_without_local": (),
        "hints_empty_zone": False,
        "ports_unserved": (),
        "endpoints_outdated": (),
    }
    assert sentences(findings) == ["Service shop/web has 2 ready endpoints."]
    assert findings[0].severity is Severity.PASS


@pytest.mark.parametrize(
    ("selector", "labels", "is_near"),
    [
        ({"app": "web"}, {"app": "webb"}, True),
        ({"app": "web"}, {"app": "wbe"}, True),
        ({"app": "front-end"}, {"app": "frontend"}, True),
        ({"app": "web"}, {"k8s-app": "web"}, True),
        ({"app": "web", "version": "v2"}, {"app": "web", "version": "v1"}, True),
        ({"app": "web", "tier": "front"}, {"app": "web"}, True),
        ({"app": "nothing"}, {"app": "web"}, False),
        ({"app": "api"}, {"app": "app"}, False),
        ({"app.kubernetes.io/name": "cache", "app.kubernetes.io/instance": "shop"},
         {"app.kubernetes.io/name": "web", "app.kubernetes.io/instance": "shop"}, False),
        ({"app.kubernetes.io/name": "shop", "app.kubernetes.io/component": "db"},
         {"app.kubernetes.io/name": "shop", "app.kubernetes.io/component": "web"}, False),
    ],
)  # fmt: skip
def test_which_pods_a_selector_nearly_takes(selector: dict[str, str], labels: dict[str, str], *, is_near: bool):
    """A slip shows; that pods carry a label of the same key does not make a Service of nobody's a fault."""
    cluster, *_ = two_nodes()
    cluster.pod("shop/one-1", "node-1", labels=labels)
    service = add_service(cluster, "shop/service", selector=selector)

    known, _ = judged(cluster)

    assert known.of(service)["similar_pods"] == is_near


def test_a_selector_that_takes_nothing():
    cluster, *_ = two_nodes()
    labelled(cluster, "shop/web-1", app="webb")
    web = add_service(cluster, "shop/web")

    _, findings = judged(cluster)

    assert sentences(findings, Severity.FAIL) == [
        "Service shop/web has no endpoint: its selector matches no pod, though 1 pod nearly fits it."
    ]
    assert findings[0].symptom
    assert (findings[0].symptom.kind, findings[0].symptom.subject) == (SymptomKind.SERVICE_UNREACHABLE, web)


@pytest.mark.parametrize(
    ("selector", "labels", "similar"),
    [
        ({"app": "web"}, {"app": "webb"}, 1),
        ({"app": "seldon-schedule"}, {"app": "seldon-scheduler"}, 1),
        ({"app": "retired"}, {"app": "web"}, 0),
        ({"app": "web", "tier": "front"}, {"app": "web", "tier": "back"}, 1),
        ({"app": "web", "tier": "front"}, {"app": "db", "tier": "back"}, 0),
    ],
)
def test_a_pod_nearly_fits_by_its_values_not_by_having_the_label(
    selector: dict[str, str], labels: dict[str, str], similar: int
):
    cluster, *_ = two_nodes()
    cluster.pod("shop/web-1", "node-1", labels=labels, ports=(9004,))
    service = add_service(cluster, "shop/web", selector=selector)

    known, findings = judged(cluster)

    assert known.of(service)["similar_pods"] == similar
    assert bool(sentences(findings, Severity.FAIL)) is bool(similar)


def test_pods_that_are_all_unready():
    cluster, *_ = two_nodes()
    pods = [labelled(cluster, f"shop/web-{n}", app="web", is_ready=False) for n in range(3)]
    add_service(cluster, "shop/web", unready=pods)

    _, findings = judged(cluster)

    assert sentences(findings, Severity.FAIL) == [
        "Service shop/web has no ready endpoint: it selects 3 pods, none of them ready."
    ]


def test_one_of_two_unready_is_worth_a_note():
    cluster, *_ = two_nodes()
    good, bad = (labelled(cluster, f"shop/web-{n}", app="web", is_ready=n == 0) for n in range(2))
    add_service(cluster, "shop/web", (good,), unready=(bad,))

    _, findings = judged(cluster)

    assert sentences(findings, Severity.INFO) == ["Service shop/web has 1 of 2 endpoints ready."]
    assert sentences(findings, Severity.FAIL, Severity.WARN) == []


@pytest.mark.parametrize("is_used", [True, False])
def test_scaled_to_zero_is_a_fault_where_somebody_dials_it_and_a_note_elsewhere(*, is_used: bool):
    cluster, a, *_ = two_nodes()
    add_service(cluster, "shop/web")
    if is_used:
        known_pod = cluster.pods[a]
        reported = msgspec.structs.replace(
            known_pod.spec.containers[0], env=(EnvVar(name="WEB_URL", value="http://web:9004"),)
        )
        cluster.pods[a] = msgspec.structs.replace(
            known_pod, spec=msgspec.structs.replace(known_pod.spec, containers=(reported,))
        )
    template = PodTemplate(metadata=ObjectMeta(labels={"app": "web"}), spec=PodSpec())
    deployment = Deployment(
        metadata=ObjectMeta(namespace="shop", name="web"), spec=DeploymentSpec(replicas=0, template=template)
    )

    known, findings = judged(cluster, deployments=(deployment,))

    assert known.of(facts.service("shop", "web"))["scaled_deployment"] == "web"
    nobody = "" if is_used else ", and no client is known to use it"
    assert sentences(findings, Severity.FAIL if is_used else Severity.WARN) == [
        f"Service shop/web has no endpoint: its workload is scaled to zero{nobody}."
    ]
    assert len(findings) == 1
    assert (findings[0].symptom is not None) is is_used


def test_a_service_that_was_left_behind_is_no_fault():
    cluster, *_ = two_nodes()
    add_service(cluster, "shop/gone", selector={"release": "removed"})

    _, findings = judged(cluster)

    assert sentences(findings, Severity.FAIL) == []
    assert [each.symptom for each in findings] == [None]


def test_no_selector_and_nobody_listed_an_endpoint():
    cluster, *_ = two_nodes()
    add_service(cluster, "shop/external", selector={})

    _, findings = judged(cluster)

    assert sentences(findings) == ["Service shop/external has no selector, and no ready endpoint is listed for it."]
    assert findings[0].severity is Severity.WARN


def test_a_target_port_by_a_name_that_no_container_has():
    cluster, *_ = two_nodes()
    labelled(cluster, "shop/web-1", app="web")
    web = add_service(cluster, "shop/web", target="grpc")
    cluster.slices[-1] = EndpointSlice(metadata=cluster.slices[-1].metadata)

    known, findings = judged(cluster)

    assert known.of(web)["port_name_ok"] is False
    assert sentences(findings, Severity.FAIL) == [
        (
            "Service shop/web has no endpoint: no container of the 1 pod that it selects has a port of the name in "
            "targetPort."
        )
    ]


def test_a_target_port_that_is_not_declared_is_only_a_hint():
    cluster, *_ = two_nodes()
    pod = labelled(cluster, "shop/web-1", app="web")
    web = add_service(cluster, "shop/web", (pod,), target=9999)

    known, findings = judged(cluster)

    assert known.of(web)["target_port_declared"] is False
    assert sentences(findings, Severity.INFO) == [
        "Service shop/web has a targetPort that no container behind it declares (which Kubernetes permits)."
    ]


def test_containers_that_declare_no_ports_say_nothing_about_the_target():
    cluster, *_ = two_nodes()
    pod = cluster.pod("shop/web-1", "node-1", labels={"app": "web"})
    web = add_service(cluster, "shop/web", (pod,))

    known, _ = judged(cluster)

    assert "target_port_declared" not in known.of(web)
    assert known.why_unobserved(web, "target_port_declared") == "the containers declare no ports"


def test_slices_that_could_not_be_read_are_unknown_not_empty():
    cluster, *_ = two_nodes()
    add_service(cluster, "shop/web")

    known, findings = judged(
        cluster, unobserved=(unread("endpointslices", "Not allowed to list.", group="discovery.k8s.io"),)
    )

    assert "ready_endpoints" not in known.of(facts.service("shop", "web"))
    assert sentences(findings, Severity.INCONCLUSIVE) == [
        "The endpoints of shop/web could not be observed: Not allowed to list."
    ]
    assert sentences(findings, Severity.FAIL, Severity.PASS) == []


def test_pods_of_other_namespaces_are_not_counted():
    cluster, *_ = two_nodes()
    other = add_service(cluster, "elsewhere/web")

    known, findings = judged(cluster)

    assert "selected_pods" not in known.of(other)
    assert findings == []


def test_dns_counts_wherever_it_is():
    cluster, *_ = two_nodes()
    service, _ = add_dns(cluster, ready=False)

    known, findings = judged(cluster)

    assert known.of(service)["is_dns"] is True
    assert sentences(findings, Severity.FAIL) == [
        "Service kube-system/kube-dns has no ready endpoint: it selects 1 pod, none of them ready."
    ]


def test_headless_and_externalname():
    cluster, *_ = two_nodes()
    headless = add_service(cluster, "shop/peers", ip="None")
    external = add_service(cluster, "shop/away", ip="", type="ExternalName", external_name="example.com")

    known, findings = judged(cluster)

    assert known.of(headless)["is_headless"] is True
    assert known.of(external) == {}
    assert [each.subject for each in findings] == [headless]


def test_local_traffic_policy_leaves_nodes_without():
    cluster, *_ = two_nodes()
    pod = labelled(cluster, "shop/web-1", "node-1", app="web")
    web = add_service(cluster, "shop/web", (pod,), internal_traffic_policy="Local")

    known, findings = judged(cluster)

    assert known.of(web)["nodes_without_local"] == ("node-2",)
    assert sentences(findings, Severity.WARN) == [
        "Service shop/web serves each node only its own endpoints (internalTrafficPolicy Local), and node-2 has none."
    ]


def test_a_port_name_of_any_container_will_do():
    cluster, *_ = two_nodes()
    pod = labelled(cluster, "shop/web-1", app="web")
    known_pod = cluster.pods[pod]
    containers = (
        Container(name="proxy"),
        Container(name="main", ports=(ContainerPort(container_port=1, name="grpc"),)),
    )
    spec = type(known_pod.spec)(node_name="node-1", containers=containers)
    cluster.pods[pod] = type(known_pod)(metadata=known_pod.metadata, spec=spec, status=known_pod.status)
    web = add_service(cluster, "shop/web", (pod,), target="grpc")

    known, _ = judged(cluster)

    assert known.of(web)["port_name_ok"] is True


def test_a_service_of_an_ip_family_that_no_pod_has():
    cluster, *_ = two_nodes()
    labelled(cluster, "shop/web-0", app="web")
    web = add_service(cluster, "shop/web", ip="fd00::1", ip_families=("IPv6",))

    known, findings = judged(cluster)

    assert known.of(web)["family_served"] is False
    assert "none of them with an address of the Service's IP family" in " ".join(sentences(findings, Severity.FAIL))


def test_a_target_port_by_a_name_that_belongs_to_the_other_protocol():
    """kube-controller-manager wants name and protocol to fit."""
    cluster, *_ = two_nodes()
    pod = cluster.pod("shop/web-0", "node-1", labels={"app": "web"})
    known_pod = cluster.pods[pod]
    container = Container(name="main", ports=(ContainerPort(name="main", container_port=9004, protocol="TCP"),))
    cluster.pods[pod] = msgspec.structs.replace(
        known_pod, spec=msgspec.structs.replace(known_pod.spec, containers=(container,))
    )
    web = add_service(cluster, "shop/web", target="main", protocol="UDP")

    assert judged(cluster)[0].of(web)["port_name_ok"] is False


@pytest.mark.parametrize(
    ("labels", "where"),
    [
        ({}, "EndpointSlice db-1 has no label kubernetes.io/service-name"),
        (
            {"kubernetes.io/service-name": "db-old"},
            "EndpointSlice db-1 belongs to a Service db-old, which does not exist",
        ),
        ({"kubernetes.io/service-name": "web"}, ""),
    ],
)
def test_a_hand_made_slice_belongs_to_the_service_that_its_label_names(labels: dict[str, str], where: str):
    cluster, a, b, _ = two_nodes()
    add_service(cluster, "shop/web", (b,), ip="10.43.7.7")
    db = add_service(cluster, "shop/db", selector={}, port=5432)
    made = cluster.slices.pop()
    cluster.slices.append(
        msgspec.structs.replace(made, metadata=ObjectMeta(namespace="shop", name="db-1", labels=labels))
    )
    needing(cluster, a, "db:5432")

    known, findings = judged(cluster)

    assert known.of(db)["slices_astray"] == ((where,) if where else ())
    (finding,) = [each for each in findings if each.subject == db]
    assert finding.severity is Severity.FAIL, "shop/a needs it"
    assert (finding.symptom is not None, where in finding.sentence) == (True, True)


def needing(cluster: FakeCluster, pod: Subject, at: str) -> None:
    """The pod is configured to dial this."""
    spec = cluster.pods[pod].spec
    told = msgspec.structs.replace(spec.containers[0], env=(EnvVar(name="NEEDS", value=at),))
    cluster.pods[pod] = msgspec.structs.replace(
        cluster.pods[pod], spec=msgspec.structs.replace(spec, containers=(told,))
    )
