"""Applications are recognised by their pods, and what their pods dial is known by port."""

from datetime import UTC, datetime
from functools import cache

import pytest
from pydantic import ValidationError

from bot.cluster.objects import Pod, Service
from bot.cluster.objects.base import ObjectMeta
from bot.cluster.objects.pods import Container, PodSpec, PodStatus
from bot.cluster.objects.services import ServicePort, ServiceSpec
from bot.cluster.snapshot.snapshot import Snapshot
from bot.domain.facts import pod as pod_subject
from bot.domain.facts import service as service_subject
from bot.playbooks.applications import dials, expected, needed, recognised
from bot.playbooks.loading import load_playbooks
from bot.playbooks.schema import DialFile, Playbook
from bot.probes.catalogue import PROBES
from bot.rules.source import data_directory


@cache
def playbooks() -> tuple[Playbook, ...]:
    return load_playbooks([data_directory()], PROBES)


def pod(name: str, image: str, namespace: str = "ml", phase: str = "Running", **labels: str) -> Pod:
    return Pod(
        metadata=ObjectMeta(
            name=name,
            namespace=namespace,
            uid=f"{namespace}-{name}",
            labels={key.replace("__", "/").replace("_", "."): value for key, value in labels.items()},
        ),
        spec=PodSpec(containers=(Container(name="main", image=image),)),
        status=PodStatus(phase=phase),
    )


def service(name: str, *ports: int, namespace: str = "ml", protocol: str = "TCP") -> Service:
    return Service(
        metadata=ObjectMeta(name=name, namespace=namespace, uid=f"{namespace}-{name}"),
        spec=ServiceSpec(ports=tuple(ServicePort(port=port, protocol=protocol) for port in ports)),
    )


def snapshot(*objects: Pod | Service) -> Snapshot:
    return Snapshot(
        cluster="lab",
        taken_at=datetime(2026, 11, 22, tzinfo=UTC),
        namespace="ml",
        pods=tuple(one for one in objects if isinstance(one, Pod)),
        services=tuple(one for one in objects if isinstance(one, Service)),
    )


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("docker.io/seldonio/mlserver:1.7.1", "Seldon Core 2"),
        ("registry.example:5000/seldonio/seldon-scheduler@sha256:0123", "Seldon Core 2"),
        ("ghcr.io/mlflow/mlflow:v3.3.2", "MLflow"),
        ("quay.io/argoproj/workflow-controller:v3.7.1", "Argo Workflows"),
        ("quay.io/jupyterhub/k8s-hub:4.2.0", "JupyterHub"),
        ("quay.io/prometheus/alertmanager:v0.28.1", "Prometheus"),
        ("docker.io/prom/prometheus:v3", "Prometheus"),
        ("harbor.example/mirror/docker.io/seldonio/seldon-agent:2.9", "Seldon Core 2"),
    ],
)
def test_an_application_is_recognised_by_its_image(image: str, name: str) -> None:
    (found,) = recognised(playbooks(), snapshot(pod("a", image)))

    assert found.name == name
    assert found.pods == {pod_subject("ml", "a")}
    assert found.namespaces == {"ml"}


def test_strangers_and_the_dead_are_not_recognised() -> None:
    strangers = snapshot(pod("a", "shop/frontend:1"), pod("b", "seldonio/mlserver:1.7.1", phase="Succeeded"))

    assert recognised(playbooks(), strangers) == ()


def test_seldon_dials_the_ports_of_its_scheduler() -> None:
    """9002, 9004, 9005 and 9008 are in the scheduler's own source; an agent on the wrong one waits for ever."""
    found = dials(
        playbooks(),
        snapshot(
            pod("model", "docker.io/seldonio/mlserver:1.7.1"),
            pod("envoy", "docker.io/seldonio/seldon-envoy:2.9.1"),
            service("seldon-scheduler", 9002, 9004, 9005, 9008),
            service("seldon-scheduler", 9004, namespace="elsewhere"),
        ),
    )

    assert {one.service for one in found} == {service_subject("ml", "seldon-scheduler")}
    assert [(flow.port, flow.source.name) for flow in needed(found)] == [(9002, "ml/envoy"), (9005, "ml/model")]
    assert {one.protocol for one in found} == {"tcp"}


def test_a_service_without_the_port_is_not_dialled() -> None:
    found = dials(
        playbooks(), snapshot(pod("a", "ghcr.io/mlflow/mlflow:v3"), service("mlflow", 8080), service("pg", 5432))
    )

    assert found == ()


def test_all_who_connect_to_a_port_need_it_and_it_is_asked_one_question() -> None:
    """The proxy hands logins to the hub, and users' servers ask it who their user is: both, at the same port."""
    labels = {"app": "jupyterhub"}
    found = dials(
        playbooks(),
        snapshot(
            pod("proxy", "configurable-http-proxy:4", **labels, component="proxy"),
            pod("jupyter-ann", "notebook:1", **labels, component="singleuser-server"),
            service("hub", 8081),
        ),
    )

    assert {flow.source.name for flow in needed(found)} == {"ml/proxy", "ml/jupyter-ann"}
    (asked,) = expected(found)
    assert {source.name for source in asked.sources} == {"ml/proxy", "ml/jupyter-ann"}


def test_nobody_is_held_to_need_what_a_playbook_names_no_client_for() -> None:
    """The workflow controller never calls the server: a policy that keeps it away does what it is for."""
    found = dials(
        playbooks(), snapshot(pod("c", "quay.io/argoproj/workflow-controller:v3.7"), service("argo-server", 2746))
    )

    assert [one.port for one in found] == [2746]
    assert needed(found) == ()


@pytest.mark.parametrize(
    ("image", "labels", "services", "ports"),
    [
        # SeldonIO/seldon-core, operator/controllers/reconcilers/seldon/service_reconciler.go
        (
            "docker.io/seldonio/seldon-envoy:2.9.1",
            {},
            {"seldon-scheduler": (9002, 9004, 9044, 9005, 9055, 9008), "seldon-mesh": (80, 9003)},
            {9002, 9004, 80},
        ),
        ("docker.io/seldonio/seldon-pipelinegateway:2.9.1", {}, {"seldon-kafka-bootstrap": (9091, 9092)}, {9092}),
        ("docker.io/seldonio/seldon-dataflow-engine:2.9.1", {}, {"seldon-scheduler": (9004, 9008)}, {9004, 9008}),
        ("docker.io/seldonio/seldon-agent:2.9.1", {}, {"seldon-scheduler": (9005, 9055)}, {9005}),
        # community-charts/helm-charts, charts/mlflow
        ("burakince/mlflow:3.7.0", {}, {"mlflow": (80,), "mlflow-postgresql": (5432,)}, {80, 5432}),
        # argoproj/argo-helm, charts/argo-workflows
        (
            "quay.io/argoproj/workflow-controller:v3.7",
            {},
            {"argo-workflows-server": (2746,), "argo-workflows-workflow-controller": (8080, 8081)},
            {2746, 8080},
        ),
        # jupyterhub/zero-to-jupyterhub-k8s
        ("k8s-hub:4", {"app": "jupyterhub", "component": "hub"}, {"proxy-api": (8001,)}, {8001}),
        ("proxy:4", {"app": "jupyterhub", "component": "proxy"}, {"hub": (8081,), "proxy-public": (443,)}, {8081, 443}),
        ("traefik:3", {"app": "jupyterhub", "component": "autohttps"}, {"proxy-http": (8000,)}, {8000}),
        # prometheus-community/helm-charts: prometheus, and kube-prometheus-stack with Grafana
        (
            "quay.io/prometheus/prometheus:v3",
            {},
            {
                "prometheus-server": (80,),
                "prometheus-alertmanager": (9093,),
                "prometheus-prometheus-pushgateway": (9091,),
            },
            {80, 9093, 9091},
        ),
        (
            "docker.io/grafana/grafana:12",
            {},
            {"kube-prometheus-stack-prometheus": (9090, 8080), "kube-prometheus-stack-grafana": (80,)},
            {9090, 80},
        ),
    ],
)
def test_the_services_of_the_projects_own_charts_are_dialled(
    image: str, labels: dict[str, str], services: dict[str, tuple[int, ...]], ports: set[int]
) -> None:
    cluster = snapshot(pod("a", image, **labels), *(service(name, *numbers) for name, numbers in services.items()))

    assert {one.port for one in dials(playbooks(), cluster)} == ports


# What they ask


@pytest.mark.parametrize(
    ("image", "named", "port", "asks"),
    [
        ("seldonio/seldon-agent:2.9", "seldon-scheduler", 9005, "a gRPC health check"),
        ("ghcr.io/mlflow/mlflow:v3", "mlflow", 5000, "GET /health"),
        ("quay.io/argoproj/argocli:v3.7", "argo-server", 2746, "GET /"),
        ("grafana/grafana:12", "prometheus", 9090, "GET /-/ready"),
        ("quay.io/prometheus/prometheus:v3", "alertmanager", 9093, "GET /-/ready"),
    ],
)
def test_shipped_applications_are_asked_in_their_own_protocol(image: str, named: str, port: int, asks: str) -> None:
    found = expected(dials(playbooks(), snapshot(pod("client", image), service(named, port))))

    assert [(one.service.name, one.port, one.question) for one in found] == [(f"ml/{named}", port, asks)]


def test_the_hub_and_its_proxy_are_asked_in_http() -> None:
    labels = {"app": "jupyterhub"}
    cluster = snapshot(
        pod("hub", "k8s-hub:4", **labels, component="hub"),
        pod("proxy", "configurable-http-proxy:4", **labels, component="proxy"),
        service("hub", 8081),
        service("proxy-api", 8001),
    )

    found = {one.service.name: one.question for one in expected(dials(playbooks(), cluster))}

    assert found == {"ml/hub": "GET /hub/health", "ml/proxy-api": "GET /api/routes"}


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"port": 80, "expects": {}}, "give one of http, grpc, dns"),
        ({"port": 80, "expects": {"http": {}, "grpc": {}}}, "give one of http, grpc, dns"),
        ({"port": 80, "expects": {"dns": {"name": "a.b"}}}, "names are asked on port 53"),
        ({"port": 53, "expects": {"http": {}}}, "names are asked on port 53"),
        ({"port": 80, "expects": {"http": {"path": "/a b"}}}, "pattern"),
        ({"port": 80, "expects": {"http": {"path": "/a\r\nX: y"}}}, "pattern"),
        ({"port": 80, "expects": {"http": {"status": [99]}}}, "100"),
    ],
)
def test_a_question_that_cannot_be_asked_is_refused(fields: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        DialFile.model_validate({"to": {"name": "web"}, "why": "clients order here", **fields})
