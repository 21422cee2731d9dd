"""Applications are recognised by their pods, and what their pods dial is known by port."""

from datetime import UTC, datetime
from functools import cache

import pytest

from bot.cluster.objects import Pod, Service
from bot.cluster.objects.base import ObjectMeta
from bot.cluster.objects.pods import Container, PodSpec, PodStatus
from bot.cluster.objects.services import ServicePort, ServiceSpec
from bot.cluster.snapshot.snapshot import Snapshot
from bot.domain.facts import pod as pod_subject
from bot.domain.facts import service as service_subject
from bot.playbooks.applications import dials, recognised
from bot.playbooks.loading import load_playbooks
from bot.playbooks.schema import Playbook
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

    assert [(one.service, one.port) for one in found] == [
        (service_subject("ml", "seldon-scheduler"), 9002),
        (service_subject("ml", "seldon-scheduler"), 9004),
        (service_subject("ml", "seldon-scheduler"), 9005),
    ]
    assert found[0].sources == (pod_subject("ml", "envoy"),)
    assert {one.protocol for one in found} == {"tcp"}


def test_a_service_without_the_port_is_not_dialled() -> None:
    found = dials(
        playbooks(), snapshot(pod("a", "ghcr.io/mlflow/mlflow:v3"), service("mlflow", 80), service("pg", 5432))
    )

    assert found == ()
